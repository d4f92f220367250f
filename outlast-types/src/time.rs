//! Points in time and calendar days, always in UTC.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A moment in UTC with nanoseconds, years 0 to 9999; RFC 3339 as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(OffsetDateTime);

/// Why a text or number is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidTime {
    text: String,
    expected: &'static str,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(OffsetDateTime::UNIX_EPOCH);

    /// The moment `seconds` and `nanos` after (or before, if negative) 1970; `None` outside the
    /// years 0 to 9999.
    pub fn from_unix(seconds: i64, nanos: u32) -> Option<Self> {
        let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        let at = at.replace_nanosecond(nanos).ok()?;
        (0..=9999).contains(&at.year()).then_some(Self(at))
    }

    /// The moment that a system clock shows; the epoch if that is beyond the year 9999.
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::EPOCH.checked_add(since).unwrap_or(Self::EPOCH)
    }

    /// Whole seconds since 1970, rounded towards the past.
    pub fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// Whole milliseconds since 1970, rounded towards the past.
    pub fn unix_millis(self) -> i64 {
        self.unix_seconds() * 1000 + i64::from(self.0.millisecond())
    }

    /// The nanoseconds within the second.
    pub fn nanos(self) -> u32 {
        self.0.nanosecond()
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0 - earlier.0).unwrap_or_default()
    }

    /// The moment `duration` later; `None` beyond the year 9999.
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let duration = time::Duration::try_from(duration).ok()?;
        self.0.checked_add(duration).filter(|at| at.year() <= 9999).map(Self)
    }

    /// The moment `duration` later, or the end of time that this type knows.
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self(OffsetDateTime::new_utc(
            time::macros::date!(9999 - 12 - 31),
            time::macros::time!(23:59:59),
        )))
    }

    /// The moment `duration` earlier, or the epoch if that is before it.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let duration = time::Duration::try_from(duration).unwrap_or(time::Duration::MAX);
        self.0.checked_sub(duration).map_or(Self::EPOCH, Self).max(Self::EPOCH)
    }

    /// The calendar day in UTC.
    pub fn day(self) -> Day {
        let date = self.0.date();
        Day { year: date.year(), month: u8::from(date.month()), day: date.day() }
    }
}

/// As in RFC 3339, with all that is known; `{:.0}` leaves out what is less than a second, for people.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match f.precision() {
            Some(0) => self.0.replace_nanosecond(0).map_err(|_| fmt::Error)?,
            _ => self.0,
        };
        f.write_str(&shown.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let expected = "a time such as 2026-01-31T04:00:00Z";
        match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(at) if (0..=9999).contains(&at.to_offset(UtcOffset::UTC).year()) => {
                Ok(Self(at.to_offset(UtcOffset::UTC)))
            }
            _ => Err(InvalidTime { text: text.chars().take(80).collect(), expected }),
        }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTime;

    fn try_from(text: String) -> Result<Self, InvalidTime> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

/// A calendar day in UTC; `yyyymmdd` as text.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(try_from = "String", into = "String")]
pub struct Day {
    year: i32,
    month: u8,
    day: u8,
}

impl Day {
    /// The moment at which the day begins.
    pub fn start(self) -> Timestamp {
        let month = time::Month::try_from(self.month);
        let date = month.and_then(|m| time::Date::from_calendar_date(self.year, m, self.day));
        date.map_or(Timestamp::EPOCH, |date| Timestamp(date.midnight().assume_utc()))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

impl TryFrom<String> for Day {
    type Error = InvalidTime;

    fn try_from(text: String) -> Result<Self, InvalidTime> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl FromStr for Day {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let error = || InvalidTime {
            text: text.chars().take(80).collect(),
            expected: "a day such as 20260131",
        };
        if text.len() != 8 || !text.bytes().all(|c| c.is_ascii_digit()) {
            return Err(error());
        }
        let year = text[..4].parse().map_err(|_| error())?;
        let month: u8 = text[4..6].parse().map_err(|_| error())?;
        let day = text[6..].parse().map_err(|_| error())?;
        let valid = time::Month::try_from(month)
            .is_ok_and(|m| time::Date::from_calendar_date(year, m, day).is_ok());
        if valid { Ok(Self { year, month, day }) } else { Err(error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        let at = Timestamp::from_unix(1_790_000_000, 123_456_789).unwrap();
        assert_eq!(at.to_string(), "2026-09-21T14:13:20.123456789Z");
        assert_eq!(at.to_string().parse(), Ok(at));
        assert_eq!(format!("{at:.0}"), "2026-09-21T14:13:20Z");
        let shifted: Timestamp = "2026-09-21T16:13:20.123456789+02:00".parse().unwrap();
        assert_eq!(shifted, at);
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_day_survives_its_text_and_refuses_what_is_no_day() {
        let at = Timestamp::from_unix(1_790_000_000, 0).unwrap();
        assert_eq!(at.day().to_string(), "20260921");
        assert_eq!("20260921".parse(), Ok(at.day()));
        assert_eq!(at.day().start().to_string(), "2026-09-21T00:00:00Z");
        for bad in ["2026092", "20261301", "20260230", "2026-9-1", "２０２６"] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    #[test]
    fn time_before_another_counts_as_none() {
        let early = Timestamp::EPOCH;
        let late = early.saturating_add(Duration::from_secs(5));
        assert_eq!(late.since(early), Duration::from_secs(5));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
