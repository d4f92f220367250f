//! A named time zone: in which days, weeks, months and years begin.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

/// A time zone of the system's, such as `Europe/Berlin`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// Why there is no such time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the time zone {name:?} is not known: {reason}")]
pub struct UnknownZone {
    name: String,
    reason: String,
}

impl Zone {
    /// Coordinated universal time, which every system knows.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// The zone of that name, by the system's data.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        if name == "UTC" {
            return Ok(Self::utc());
        }
        let unknown =
            |reason: String| UnknownZone { name: name.chars().take(80).collect(), reason };
        let zone = TimeZone::get(name).map_err(|error| unknown(error.to_string()))?;
        Ok(Self { name: name.to_owned(), zone })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The month that a moment is in: `2026-11`.
    pub fn month_of(&self, at: Timestamp) -> String {
        let civil = self.civil(at);
        format!("{:04}-{:02}", civil.year(), civil.month())
    }

    /// The moment at which a month ends, and the next one begins; none if that is no month.
    pub fn month_end(&self, month: &str) -> Option<Timestamp> {
        let (year, month) = month.split_once('-')?;
        let (year, month): (i16, i8) = (year.parse().ok()?, month.parse().ok()?);
        let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = jiff::civil::Date::new(year, month, 1).ok()?;
        self.moment(first.at(0, 0, 0, 0))
    }

    /// What the clocks of the zone show at a moment.
    pub fn civil(&self, at: Timestamp) -> DateTime {
        let nanos = i32::try_from(at.nanos()).unwrap_or(0);
        let moment = jiff::Timestamp::new(at.unix_seconds(), nanos);
        // jiff ends two days before the year 9999 does.
        self.zone.to_datetime(moment.unwrap_or(jiff::Timestamp::MAX))
    }

    /// The moment at which the clocks of the zone show it. One that they skip is as much later as they
    /// were put forward; of one that they show twice it is the first.
    pub fn moment(&self, civil: DateTime) -> Option<Timestamp> {
        of_jiff(self.zone.to_ambiguous_timestamp(civil).compatible().ok()?)
    }

    /// The second moment at which they show it, if they do so twice.
    pub fn again(&self, civil: DateTime) -> Option<Timestamp> {
        let at = self.zone.to_ambiguous_timestamp(civil);
        let is_twice = matches!(at.offset(), AmbiguousOffset::Fold { .. });
        if is_twice { of_jiff(at.later().ok()?) } else { None }
    }

    /// A moment for people: `2026-11-26 06:00 Europe/Berlin`.
    pub fn show(&self, at: Timestamp) -> String {
        format!("{} {}", self.civil(at).strftime("%Y-%m-%d %H:%M"), self.name)
    }
}

fn of_jiff(at: jiff::Timestamp) -> Option<Timestamp> {
    let nanos = at.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    Timestamp::from_unix(seconds, u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?)
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        Self::named(text)
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(text: String) -> Result<Self, UnknownZone> {
        Self::named(&text)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}
