//! What was promised of one recovery point.

use std::fmt;
use std::time::Duration;

use outlast_types::{Timestamp, human};
use serde::{Deserialize, Serialize};

/// What was promised of a recovery point that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Promised {
    /// That it is no older than this.
    Rpo(Duration),
    /// That it is there at a moment, by a schedule and its deadline.
    By {
        by: Timestamp,
        /// The same for people, in the schedule's time zone: `2026-11-26 06:00 Europe/Berlin`.
        shown: String,
        schedule: String,
    },
}

/// `26 h`, `2026-11-26 06:00 Europe/Berlin`.
impl fmt::Display for Promised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rpo(rpo) => f.write_str(&human::duration(*rpo)),
            Self::By { shown, .. } => f.write_str(shown),
        }
    }
}
