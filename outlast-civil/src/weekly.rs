//! Hours of some days of the week.

use std::str::FromStr;

use jiff::civil::DateTime;
use outlast_types::Timestamp;

use crate::hours::Hours;
use crate::weekdays::Weekdays;
use crate::zone::Zone;

/// Hours of each of some days: `Mon-Fri 08:00-18:00`; of every day, `22:00-06:00`; or whole days, `Sat,Sun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekly {
    pub days: Weekdays,
    /// Those that go over midnight belong to the day on which they begin.
    pub hours: Hours,
}

/// A text that names no such hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a span such as \"Mon-Fri 08:00-18:00\", \"22:00-06:00\" or \"Sat,Sun\"")]
pub struct InvalidWeekly {
    text: String,
}

impl FromStr for Weekly {
    type Err = InvalidWeekly;

    fn from_str(text: &str) -> Result<Self, InvalidWeekly> {
        let invalid = || InvalidWeekly { text: text.chars().take(80).collect() };
        let (mut days, mut hours) = (None, None);
        for word in text.split_whitespace() {
            if word.contains(':') && hours.is_none() {
                hours = Some(word.parse().map_err(|_| invalid())?);
            } else if days.is_none() && hours.is_none() {
                days = Some(word.to_ascii_lowercase().parse().map_err(|_| invalid())?);
            } else {
                return Err(invalid());
            }
        }
        if days.is_none() && hours.is_none() {
            return Err(invalid());
        }
        Ok(Self { days: days.unwrap_or(Weekdays::ALL), hours: hours.unwrap_or(Hours::ALWAYS) })
    }
}

impl Weekly {
    /// Whether a moment is in them, by the clocks of a zone.
    pub fn contain(self, at: Timestamp, zone: &Zone) -> bool {
        self.contain_civil(zone.civil(at))
    }

    pub(crate) fn contain_civil(self, at: DateTime) -> bool {
        let (today, yesterday) = self.hours.began(at.time());
        let day = at.weekday();
        (today && self.days.contain(day)) || (yesterday && self.days.contain(day.previous()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(hours: &str, at: &str, zone: &Zone) -> bool {
        hours.parse::<Weekly>().unwrap().contain(at.parse().unwrap(), zone)
    }

    #[test]
    fn spans_hold_on_their_days_and_over_midnight_in_the_zone_that_is_named() {
        let utc = Zone::utc();
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
        let east = Zone::named("Asia/Tokyo").unwrap();
        assert!(is_in("Fri 08:00-09:00", "2026-11-26T23:30:00Z", &east));
        for bad in ["", "8-18", "Mon-Fry", "08:00-08:00", "25:00-26:00", "Mon Tue", "24:00-08:00"] {
            let said = bad.parse::<Weekly>().unwrap_err().to_string();
            assert!(said.contains("Mon-Fri"), "{said}");
        }
    }
}
