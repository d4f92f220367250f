//! Hours of a day in which a product reads.

use std::fmt;
use std::str::FromStr;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_SECONDS: i64 = 86_400;

/// From one time of the day to another, in UTC; over midnight if it ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    begin: i64,
    end: i64,
}

/// A text that is no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} are no hours: write such as 22:00-06:00, in UTC")]
pub struct InvalidHours(String);

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let invalid = || InvalidHours(text.chars().take(40).collect());
        let (begin, end) = text.split_once('-').ok_or_else(invalid)?;
        let seconds = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            if hour.len() != 2 || minute.len() != 2 {
                return None;
            }
            let (hour, minute) = (hour.parse::<u8>().ok()?, minute.parse::<u8>().ok()?);
            let is_time = minute < 60 && (hour < 24 || (hour == 24 && minute == 0));
            is_time.then(|| i64::from(hour) * 3600 + i64::from(minute) * 60)
        };
        let (begin, end) = seconds(begin)
            .zip(seconds(end))
            .filter(|(a, b)| a != b && *a < DAY_SECONDS)
            .ok_or_else(invalid)?;
        Ok(Self { begin, end })
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

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds: i64| (seconds / 3600, seconds % 3600 / 60);
        let ((begin, begin_minute), (end, end_minute)) = (time(self.begin), time(self.end));
        write!(f, "{begin:02}:{begin_minute:02}-{end:02}:{end_minute:02}")
    }
}

impl Hours {
    /// Whether a moment lies in them.
    pub fn contains(&self, at: Timestamp) -> bool {
        let second = at.unix_seconds().rem_euclid(DAY_SECONDS);
        if self.begin < self.end {
            (self.begin..self.end).contains(&second)
        } else {
            second >= self.begin || second < self.end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_go_over_midnight_and_nonsense_is_refused() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let night: Hours = "22:00-06:00".parse().unwrap();
        assert!(night.contains(at("2026-01-31T23:59:59Z")));
        assert!(night.contains(at("2026-01-31T05:59:59Z")));
        assert!(!night.contains(at("2026-01-31T06:00:00Z")));
        let day: Hours = "08:00-24:00".parse().unwrap();
        assert!(
            day.contains(at("2026-01-31T23:59:59Z")) && !day.contains(at("2026-01-31T07:00:00Z"))
        );
        assert_eq!(night.to_string(), "22:00-06:00");
        for bad in
            ["", "22-06", "22:00", "25:00-06:00", "22:60-06:00", "06:00-06:00", "24:00-06:00"]
        {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
    }
}
