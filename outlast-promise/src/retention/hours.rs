//! The hours of a day in which work may be done.

use std::fmt;
use std::str::FromStr;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::zone::Zone;

/// Such as `22:00-06:00`, over midnight too; `00:00-24:00` is always. In the time of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// In minutes since midnight.
    begin: u16,
    end: u16,
}

/// Two hours, in minutes.
const LEAST: u16 = 120;

/// Why a text names no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} are no hours: write two or more, such as 22:00-06:00, or 00:00-24:00 for always")]
pub struct InvalidHours {
    text: String,
}

impl Hours {
    pub const ALWAYS: Self = Self { begin: 0, end: 24 * 60 };

    /// Whether a moment is in them.
    pub fn contain(self, at: Timestamp, zone: &Zone) -> bool {
        let time = zone.civil(at).time();
        let now = i32::from(time.hour()) * 60 + i32::from(time.minute());
        let (begin, end) = (i32::from(self.begin), i32::from(self.end));
        if begin < end { (begin..end).contains(&now) } else { now >= begin || now < end }
    }
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let invalid = || InvalidHours { text: text.chars().take(80).collect() };
        let minutes = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let is_time = hour.len() == 2 && minute.len() == 2;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            let at = hour * 60 + minute;
            (is_time && minute < 60 && at <= 24 * 60).then_some(at)
        };
        let (begin, end) = text.split_once('-').ok_or_else(invalid)?;
        let (begin, end) = (minutes(begin).ok_or_else(invalid)?, minutes(end).ok_or_else(invalid)?);
        // What looks every hour must not miss them.
        let length = (end + 24 * 60 - begin) % (24 * 60);
        let is_too_short = length < LEAST && (begin, end) != (0, 24 * 60);
        if is_too_short || begin == 24 * 60 { Err(invalid()) } else { Ok(Self { begin, end }) }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { begin, end } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", begin / 60, begin % 60, end / 60, end % 60)
    }
}

impl TryFrom<String> for Hours {
    type Error = InvalidHours;

    fn try_from(text: String) -> Result<Self, InvalidHours> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}
