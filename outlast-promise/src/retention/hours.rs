//! The hours of a day in which a vault may forget and prune.

use std::time::Duration;

use outlast_civil::{Hours, InvalidHours};

/// What looks every hour must not miss them.
const LEAST: Duration = Duration::from_secs(2 * 3600);

/// Why a text names no such hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWorkHours {
    #[error(transparent)]
    Hours(#[from] InvalidHours),
    #[error("{hours} is too short for work that begins once an hour: write two hours or more")]
    TooShort { hours: Hours },
}

/// Hours that are long enough to work in.
pub fn work_hours(text: &str) -> Result<Hours, InvalidWorkHours> {
    let hours: Hours = text.parse()?;
    if hours.length() < LEAST { Err(InvalidWorkHours::TooShort { hours }) } else { Ok(hours) }
}
