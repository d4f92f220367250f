//! Days of the week, as configurations name them.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Some days of the week: `mon-fri`, `sat,sun`, `daily`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays(
    /// From Monday on.
    [bool; 7],
);

/// A text that names no days of the week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} are no days: write some of mon, tue, wed, thu, fri, sat, sun, such as mon-fri or sat,sun"
)]
pub struct InvalidWeekdays {
    text: String,
}

impl Weekdays {
    pub const ALL: Self = Self([true; 7]);

    /// Whether a day is one of them.
    pub fn contain(self, day: Weekday) -> bool {
        let place = usize::try_from(day.to_monday_zero_offset()).ok();
        place.and_then(|place| self.0.get(place)).is_some_and(|is_one| *is_one)
    }
}

impl FromStr for Weekdays {
    type Err = InvalidWeekdays;

    fn from_str(text: &str) -> Result<Self, InvalidWeekdays> {
        let invalid = || InvalidWeekdays { text: text.chars().take(80).collect() };
        if text == "daily" {
            return Ok(Self::ALL);
        }
        let number =
            |name: &str| NAMES.iter().position(|known| *known == name.trim()).ok_or_else(invalid);
        let mut days = [false; 7];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            // `sat-mon` goes over the end of the week.
            let count = (last + 7 - first) % 7;
            (0..=count).for_each(|step| days[(first + step) % 7] = true);
        }
        Ok(Self(days))
    }
}

/// `daily`, or each day by its name.
impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("daily");
        }
        let named = NAMES.iter().zip(self.0).filter(|(_, is_one)| *is_one);
        f.write_str(&named.map(|(name, _)| *name).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_one_by_one_in_spans_over_the_end_of_the_week_too_and_all_at_once() {
        for (text, shown) in [
            ("mon-fri", "mon,tue,wed,thu,fri"),
            ("sat,sun", "sat,sun"),
            ("sat-mon", "mon,sat,sun"),
            ("wed", "wed"),
            ("sun, wed", "wed,sun"),
            ("daily", "daily"),
            ("mon-sun", "daily"),
        ] {
            assert_eq!(text.parse::<Weekdays>().unwrap().to_string(), shown);
        }
        for wrong in ["", "mo", "mon-", "monday", "mon fri", "mon,,tue", "Mon", "1"] {
            let said = wrong.parse::<Weekdays>().unwrap_err().to_string();
            assert!(said.contains("are no days") && said.contains("mon-fri"), "{said}");
        }
        let sunday: Weekdays = "sun".parse().unwrap();
        assert!(sunday.contain(Weekday::Sunday) && !sunday.contain(Weekday::Monday));
    }
}
