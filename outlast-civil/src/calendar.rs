//! How fast the line may be used, by weekday and hour of a time zone: pure.
//!
//! A calendar is an ordinary rate and rules such as `mon-fri 07:00-19:00 20Mbit/s`; of several rules that
//! hold, the last one counts. Rules are in civil time: an hour that the clocks skip in spring does not
//! happen, one that they show twice in autumn has its rule twice. A rule that goes over midnight belongs
//! to the day on which it begins.

use std::fmt;
use std::str::FromStr;

use outlast_types::Timestamp;

use crate::hours::InvalidHours;
use crate::weekdays::InvalidWeekdays;
use crate::weekly::Weekly;
use crate::zone::{UnknownZone, Zone};

/// Rules of one calendar.
const RULES_MAX: usize = 100;

/// How fast, in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    Unlimited,
    /// Zero closes the line for all but control calls.
    PerSecond(u64),
}

/// Why there is no such calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCalendar {
    #[error(
        "{text:?} is no rate: write a number with kbit/s, Mbit/s, Gbit/s, KiB/s, MiB/s or GiB/s, \
         closed, or unlimited"
    )]
    Rate { text: String },
    #[error(
        "{text:?} is no rule: write days, hours and a rate, such as mon-fri 07:00-19:00 20Mbit/s"
    )]
    Rule { text: String },
    #[error(transparent)]
    Days(#[from] InvalidWeekdays),
    #[error(transparent)]
    Hours(#[from] InvalidHours),
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    #[error("a calendar has at most {RULES_MAX} rules")]
    TooMany,
}

impl FromStr for Rate {
    type Err = InvalidCalendar;

    fn from_str(text: &str) -> Result<Self, InvalidCalendar> {
        // Lines are sold by powers of ten and bits, disks by powers of two and bytes.
        const UNITS: [(&str, u64, u64); 6] = [
            ("kbit/s", 1000, 8),
            ("Mbit/s", 1_000_000, 8),
            ("Gbit/s", 1_000_000_000, 8),
            ("KiB/s", 1 << 10, 1),
            ("MiB/s", 1 << 20, 1),
            ("GiB/s", 1 << 30, 1),
        ];
        let invalid = || InvalidCalendar::Rate { text: text.to_owned() };
        match text {
            "unlimited" => return Ok(Self::Unlimited),
            "closed" => return Ok(Self::PerSecond(0)),
            _ => {}
        }
        let unit = UNITS.iter().find_map(|(unit, of_one, parts)| {
            Some((text.strip_suffix(unit)?.trim_end(), of_one, parts))
        });
        let (number, of_one, parts) = unit.ok_or_else(invalid)?;
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let rate = number.checked_mul(*of_one).ok_or_else(invalid)? / parts;
        // Zero has a word of its own: who writes 0 may mean anything.
        if rate == 0 { Err(invalid()) } else { Ok(Self::PerSecond(rate)) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::PerSecond(0) => f.write_str("closed"),
            Self::PerSecond(rate) => {
                let bits = rate.saturating_mul(8);
                match bits {
                    1_000_000.. => {
                        write!(f, "{}.{:02} Mbit/s", bits / 1_000_000, bits / 10_000 % 100)
                    }
                    _ => write!(f, "{}.{:02} kbit/s", bits / 1000, bits / 10 % 100),
                }
            }
        }
    }
}

/// When the line may be used how fast.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: Zone,
    ordinary: Rate,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    when: Weekly,
    rate: Rate,
}

impl Calendar {
    /// The same rate at all times.
    pub fn always(ordinary: Rate) -> Self {
        Self { zone: Zone::utc(), ordinary, rules: Vec::new() }
    }

    /// `ordinary` unless one of `rules` says otherwise, in the time zone of that name.
    pub fn new<'a>(
        ordinary: Rate,
        rules: impl IntoIterator<Item = &'a str>,
        zone: &str,
    ) -> Result<Self, InvalidCalendar> {
        let zone = Zone::named(zone)?;
        let rules = rules.into_iter().map(str::parse).collect::<Result<Vec<Rule>, _>>()?;
        if rules.len() > RULES_MAX {
            return Err(InvalidCalendar::TooMany);
        }
        Ok(Self { zone, ordinary, rules })
    }

    /// How fast the line may be used at a moment.
    pub fn rate_at(&self, at: Timestamp) -> Rate {
        let civil = self.zone.civil(at);
        let holds = |rule: &&Rule| rule.when.contain_civil(civil);
        self.rules.iter().rev().find(holds).map_or(self.ordinary, |rule| rule.rate)
    }
}

impl FromStr for Rule {
    type Err = InvalidCalendar;

    fn from_str(text: &str) -> Result<Self, InvalidCalendar> {
        let invalid = || InvalidCalendar::Rule { text: text.to_owned() };
        let mut words = text.split_whitespace();
        let mut word = || words.next().ok_or_else(invalid);
        let (days, hours) = (word()?.parse()?, word()?);
        // A rate may be written in two words.
        let rate: String = words.collect::<Vec<_>>().concat();
        if rate.is_empty() {
            return Err(invalid());
        }
        let when = Weekly { days, hours: hours.parse()? };
        Ok(Self { when, rate: rate.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn mbit(number: u64) -> Rate {
        Rate::PerSecond(number * 125_000)
    }

    fn office() -> Calendar {
        let rules = [
            "mon-fri 07:00-19:00 20Mbit/s",
            "sat,sun 00:00-24:00 unlimited",
            "fri 22:00-06:00 closed",
        ];
        Calendar::new(mbit(100), rules, "Europe/Berlin").unwrap()
    }

    #[test]
    fn the_last_rule_that_holds_counts_in_the_time_of_its_zone() {
        let office = office();
        // A Wednesday, in winter: an hour before UTC.
        assert_eq!(office.rate_at(at("2026-11-25T05:59:59Z")), mbit(100));
        assert_eq!(office.rate_at(at("2026-11-25T06:00:00Z")), mbit(20));
        assert_eq!(office.rate_at(at("2026-11-25T17:59:59Z")), mbit(20));
        assert_eq!(office.rate_at(at("2026-11-25T18:00:00Z")), mbit(100));
        // Friday night goes into Saturday, against the weekend's rule.
        assert_eq!(office.rate_at(at("2026-11-27T21:00:00Z")), Rate::PerSecond(0));
        assert_eq!(office.rate_at(at("2026-11-28T04:59:59Z")), Rate::PerSecond(0));
        assert_eq!(office.rate_at(at("2026-11-28T05:00:00Z")), Rate::Unlimited);
        assert_eq!(office.rate_at(at("2026-11-29T22:59:59Z")), Rate::Unlimited);
        assert_eq!(office.rate_at(at("2026-11-29T23:00:00Z")), mbit(100));
    }

    #[test]
    fn an_hour_that_is_skipped_does_not_happen_and_one_that_is_shown_twice_has_its_rule_twice() {
        let night =
            Calendar::new(Rate::Unlimited, ["sun 02:00-03:00 1Mbit/s"], "Europe/Berlin").unwrap();
        // 2026-03-29: 01:59:59+01 is followed by 03:00:00+02.
        assert_eq!(night.rate_at(at("2026-03-29T00:59:59Z")), Rate::Unlimited);
        assert_eq!(night.rate_at(at("2026-03-29T01:00:00Z")), Rate::Unlimited);
        // 2026-10-25: 02:59:59+02 is followed by 02:00:00+01.
        for (moment, rate) in [
            ("2026-10-24T23:59:59Z", Rate::Unlimited),
            ("2026-10-25T00:00:00Z", mbit(1)),
            ("2026-10-25T01:30:00Z", mbit(1)),
            ("2026-10-25T02:00:00Z", Rate::Unlimited),
        ] {
            assert_eq!(night.rate_at(at(moment)), rate, "{moment}");
        }
    }

    #[test]
    fn rates_are_said_in_bits_and_bytes() {
        let rate = |text: &str| text.parse::<Rate>();
        assert_eq!(rate("2Mbit/s").unwrap(), Rate::PerSecond(250_000));
        assert_eq!(rate("64 kbit/s").unwrap(), Rate::PerSecond(8000));
        assert_eq!(rate("1GiB/s").unwrap(), Rate::PerSecond(1 << 30));
        assert_eq!(rate("closed").unwrap(), Rate::PerSecond(0));
        assert_eq!(rate("unlimited").unwrap(), Rate::Unlimited);
        assert_eq!(mbit(20).to_string(), "20.00 Mbit/s");
        for text in
            ["", "2", "2Mb/s", "0Mbit/s", "-1Mbit/s", "1.5Mbit/s", "99999999999999999Gbit/s"]
        {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_named_with_what_one_looks_like() {
        let error =
            |rule: &str| Calendar::new(Rate::Unlimited, [rule], "UTC").unwrap_err().to_string();
        assert!(error("mon-fri").contains("mon-fri 07:00-19:00 20Mbit/s"));
        assert!(error("mo 07:00-19:00 closed").contains("\"mo\" are no days"));
        assert!(error("mon 07:00-25:00 closed").contains("no hours"));
        assert!(error("mon 07:00-07:00 closed").contains("no hours"));
        assert!(error("mon 07:00-19:00 fast").contains("no rate"));
        assert!(Calendar::new(Rate::Unlimited, [], "Mars/Base").is_err());
    }

    proptest! {
        #[test]
        fn every_moment_has_a_rate(seconds in -30_000_000_000i64..250_000_000_000) {
            if let Some(moment) = Timestamp::from_unix(seconds, 0) {
                office().rate_at(moment);
            }
        }

        #[test]
        fn no_text_is_too_much_for_a_rule(text in "\\PC{0,60}") {
            let _ = text.parse::<Rule>();
        }
    }
}
