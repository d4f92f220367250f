//! When somebody may be told: times of day in a zone, on some days of the week.

use std::str::FromStr;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use outlast_types::{Timestamp, Weekdays};

const MINUTES_OF_DAY: u16 = 24 * 60;

/// A span of each day that is meant: `Mon-Fri 08:00-18:00`, `22:00-06:00`, `Sat,Sun`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    days: Weekdays,
    from: u16,
    /// Not after `from` if the span goes over midnight: then it belongs to the day on which it begins.
    until: u16,
}

/// A time zone by its name, such as `Europe/Berlin`; `None` if this system knows none of that name.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// Why something is no span of hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a span such as \"Mon-Fri 08:00-18:00\", \"22:00-06:00\" or \"Sat,Sun\"")]
pub struct InvalidHours {
    text: String,
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let invalid = || InvalidHours { text: text.to_owned() };
        let (mut days, mut span) = (None, None);
        for word in text.split_whitespace() {
            if word.contains(':') && span.is_none() {
                span = Some(times(word).ok_or_else(invalid)?);
            } else if days.is_none() && span.is_none() {
                days = Some(word.to_ascii_lowercase().parse().map_err(|_| invalid())?);
            } else {
                return Err(invalid());
            }
        }
        if days.is_none() && span.is_none() {
            return Err(invalid());
        }
        let (from, until) = span.unwrap_or((0, MINUTES_OF_DAY));
        Ok(Self { days: days.unwrap_or(Weekdays::ALL), from, until })
    }
}

/// `08:00-18:00` in minutes of the day.
fn times(word: &str) -> Option<(u16, u16)> {
    let (from, until) = word.split_once('-')?;
    let minutes = |text: &str| -> Option<u16> {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        let minutes = hour * 60 + minute;
        (hour <= 24 && minute < 60 && minutes <= MINUTES_OF_DAY).then_some(minutes)
    };
    let (from, until) = (minutes(from)?, minutes(until)?);
    (from != until && from < MINUTES_OF_DAY).then_some((from, until))
}

impl Hours {
    /// Whether `now` lies in it, by the clocks of `zone`.
    pub fn contains(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let Ok(at) = jiff::Timestamp::new(now.unix_seconds(), 0) else { return true };
        let local = zone.to_datetime(at);
        let minute = |part: i8| u16::try_from(part).unwrap_or(0);
        let minute = minute(local.hour()) * 60 + minute(local.minute());
        let of = |day: Weekday| {
            usize::try_from(day.to_monday_zero_offset())
                .is_ok_and(|number| self.days.contain(number))
        };
        let (today, yesterday) = (of(local.weekday()), of(local.weekday().previous()));
        if self.from < self.until {
            return today && (self.from..self.until).contains(&minute);
        }
        (today && minute >= self.from) || (yesterday && minute < self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(hours: &str, at: &str, zone: &TimeZone) -> bool {
        let moment: jiff::Timestamp = at.parse().unwrap();
        let moment = Timestamp::from_unix(moment.as_second(), 0).unwrap();
        hours.parse::<Hours>().unwrap().contains(moment, zone)
    }

    #[test]
    fn spans_hold_on_their_days_and_over_midnight_in_the_zone_that_is_named() {
        let utc = TimeZone::UTC;
        // 2026-11-26 is a Thursday.
        for (hours, at, expected) in [
            ("Mon-Fri 08:00-18:00", "2026-11-26T08:00:00Z", true),
            ("Mon-Fri 08:00-18:00", "2026-11-26T07:59:59Z", false),
            ("Mon-Fri 08:00-18:00", "2026-11-26T18:00:00Z", false),
            ("mon-fri 08:00-18:00", "2026-11-28T12:00:00Z", false),
            ("Sat,Sun", "2026-11-29T23:59:59Z", true),
            ("Fri-Mon", "2026-11-26T12:00:00Z", false),
            ("Fri-Mon", "2026-11-30T12:00:00Z", true),
            ("22:00-06:00", "2026-11-26T05:59:00Z", true),
            ("22:00-06:00", "2026-11-26T06:00:00Z", false),
            ("Thu 22:00-06:00", "2026-11-27T05:00:00Z", true),
            ("Thu 22:00-06:00", "2026-11-26T05:00:00Z", false),
            ("00:00-24:00", "2026-11-26T23:59:00Z", true),
        ] {
            assert_eq!(is_in(hours, at, &utc), expected, "{hours} at {at}");
        }
        let east = TimeZone::fixed(jiff::tz::offset(9));
        assert!(is_in("Fri 08:00-09:00", "2026-11-26T23:30:00Z", &east));
        for bad in ["", "8-18", "Mon-Fry", "08:00-08:00", "25:00-26:00", "Mon Tue", "24:00-08:00"] {
            let said = bad.parse::<Hours>().unwrap_err().to_string();
            assert!(said.contains("Mon-Fri"), "{said}");
        }
    }
}
