//! Hours of a day.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, Time};
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::zone::Zone;

const MINUTES_OF_DAY: u16 = 24 * 60;

/// Such as `22:00-06:00`, which go over midnight; `00:00-24:00` is always. To the minute, in the time of a
/// zone that others name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// In minutes since midnight.
    begin: u16,
    /// Not after `begin` if they go over midnight: then it is on the next day.
    end: u16,
}

/// A text that names no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} are no hours: write such as 07:00-19:00, 22:00-06:00 or 00:00-24:00")]
pub struct InvalidHours {
    text: String,
}

impl Hours {
    pub const ALWAYS: Self = Self { begin: 0, end: MINUTES_OF_DAY };

    /// How long they are, where no clock is changed.
    pub fn length(self) -> Duration {
        let minutes = match self.end.checked_sub(self.begin) {
            Some(minutes) if minutes > 0 => minutes,
            _ => self.end + MINUTES_OF_DAY - self.begin,
        };
        Duration::from_secs(u64::from(minutes) * 60)
    }

    /// Whether a moment is in them, on whatever day.
    pub fn contain(self, at: Timestamp, zone: &Zone) -> bool {
        let (today, yesterday) = self.began(zone.civil(at).time());
        today || yesterday
    }

    /// Whether a time of day is in those that begin on its day, and whether in those of the day before.
    pub(crate) fn began(self, time: Time) -> (bool, bool) {
        let now = minute_of(time);
        if self.begin < self.end {
            ((self.begin..self.end).contains(&now), false)
        } else {
            (now >= self.begin, now < self.end)
        }
    }

    /// From when to when those are that begin on a day. A time that the clocks skip is as much later as
    /// they were put forward.
    pub fn on(self, day: Date, zone: &Zone) -> Option<(Timestamp, Timestamp)> {
        let is_over_midnight = self.begin >= self.end || self.end == MINUTES_OF_DAY;
        let end_day = if is_over_midnight { day.tomorrow().ok()? } else { day };
        let (begin, end) = (time_of(self.begin)?, time_of(self.end % MINUTES_OF_DAY)?);
        Some((zone.moment(day.to_datetime(begin))?, zone.moment(end_day.to_datetime(end))?))
    }
}

fn minute_of(time: Time) -> u16 {
    let part = |part: i8| u16::try_from(part).unwrap_or(0);
    part(time.hour()) * 60 + part(time.minute())
}

fn time_of(minute: u16) -> Option<Time> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    Time::new(hour, minute, 0, 0).ok()
}

/// A time of day in minutes, which may be the end of the day: `7:00`, `07:00`, `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time =
        matches!(hour.len(), 1 | 2) && minute.len() == 2 && digits(hour) && digits(minute);
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let at = hour * 60 + minute;
    (is_time && minute < 60 && at <= MINUTES_OF_DAY).then_some(at)
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let read = || {
            let (begin, end) = text.split_once('-')?;
            let (begin, end) = (minutes(begin.trim())?, minutes(end.trim())?);
            (begin != end && begin < MINUTES_OF_DAY).then_some(Self { begin, end })
        };
        read().ok_or_else(|| InvalidHours { text: text.chars().take(80).collect() })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_go_over_midnight_and_are_said_as_they_are_read() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let night: Hours = "22:00-06:00".parse().unwrap();
        assert!(night.contain(at("2026-11-25T21:00:00Z"), &berlin));
        assert!(night.contain(at("2026-11-25T04:59:59Z"), &berlin));
        assert!(!night.contain(at("2026-11-25T05:00:00Z"), &berlin));
        assert!(!night.contain(at("2026-11-25T20:59:59Z"), &berlin));
        assert!(Hours::ALWAYS.contain(at("2026-11-25T23:59:59Z"), &Zone::utc()));
        assert_eq!("00:00-24:00".parse(), Ok(Hours::ALWAYS));
        for (text, said, hours) in [
            ("22:00-06:00", "22:00-06:00", 8),
            ("7:00-19:00", "07:00-19:00", 12),
            ("22:00 - 00:00", "22:00-00:00", 2),
            ("08:00-24:00", "08:00-24:00", 16),
            ("00:00-24:00", "00:00-24:00", 24),
        ] {
            let read: Hours = text.parse().unwrap();
            assert_eq!(read.to_string(), said);
            assert_eq!(said.parse(), Ok(read), "it is read as it is said");
            assert_eq!(read.length(), Duration::from_secs(hours * 3600), "{text}");
        }
        for bad in [
            "",
            "22",
            "22:00",
            "8-18",
            "22:00-22:00",
            "24:00-06:00",
            "25:00-26:00",
            "09:61-10:00",
            "09:0-10:00",
            "+9:00-10:00",
            "009:00-10:00",
            "08:00-24:01",
            "08:00--9:00",
        ] {
            let said = bad.parse::<Hours>().unwrap_err().to_string();
            assert!(said.contains("are no hours") && said.contains("22:00-06:00"), "{said}");
        }
    }

    #[test]
    fn those_of_a_day_have_a_beginning_and_an_end_that_clocks_move() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let on = |hours: &str, day: &str| {
            hours.parse::<Hours>().unwrap().on(day.parse().unwrap(), &berlin).unwrap()
        };
        let between = |begin: &str, end: &str| (at(begin), at(end));
        let night = between("2026-11-25T21:00:00Z", "2026-11-26T05:00:00Z");
        assert_eq!(on("22:00-06:00", "2026-11-25"), night);
        let day = between("2026-11-24T23:00:00Z", "2026-11-25T23:00:00Z");
        assert_eq!(on("00:00-24:00", "2026-11-25"), day);
        // 2026-03-29: 01:59:59+01 is followed by 03:00:00+02.
        let skipped = between("2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z");
        assert_eq!(on("02:30-04:00", "2026-03-29"), skipped);
    }
}
