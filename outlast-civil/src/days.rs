//! Days on which nobody is paged: those of the week that are not worked, and holidays.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;

use crate::weekdays::Weekdays;

/// Holidays of one file; more are a mistake.
const HOLIDAYS_MAX: usize = 10_000;
/// Longest name of a holiday, in characters.
const NAME_LENGTH_MAX: usize = 80;

/// Days of the year on which nobody is paged, and what they are called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holidays(BTreeMap<Date, String>);

/// A file of holidays that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHolidays {
    #[error("line {line}: {text:?} is no day: write such as 2026-12-25 Christmas")]
    Line { line: usize, text: String },
    #[error("it has more than {HOLIDAYS_MAX} days")]
    TooMany,
}

/// A line for each day, such as `2026-12-25 Christmas`; empty lines and what follows a `#` say nothing.
impl FromStr for Holidays {
    type Err = InvalidHolidays;

    fn from_str(text: &str) -> Result<Self, InvalidHolidays> {
        let mut days = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            let (day, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let is_named = !name.chars().any(char::is_control);
            let (Some(day), true) = (date(day), is_named) else {
                let text = line.chars().take(80).collect();
                return Err(InvalidHolidays::Line { line: number, text });
            };
            let name = if name.trim().is_empty() { "a holiday" } else { name.trim() };
            days.insert(day, name.chars().take(NAME_LENGTH_MAX).collect());
            if days.len() > HOLIDAYS_MAX {
                return Err(InvalidHolidays::TooMany);
            }
        }
        Ok(Self(days))
    }
}

impl Holidays {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them; of more than `named_max`, how many, from when to when, and a number that is another one
    /// when any of them is.
    pub fn in_words(&self, named_max: usize) -> String {
        if self.0.len() <= named_max {
            let days = self.0.iter().map(|(day, name)| format!("{day} {name}"));
            return days.collect::<Vec<_>>().join("; ");
        }
        let (mut words, mut sum) = (String::new(), 0xcbf2_9ce4_8422_2325_u64);
        for (day, name) in &self.0 {
            words.clear();
            // Writing to a String cannot fail.
            let _ = writeln!(words, "{day} {name}");
            // FNV-1a: it tells lists apart, and guards nothing.
            sum = words
                .bytes()
                .fold(sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        }
        let [first, last] = [self.0.keys().next(), self.0.keys().next_back()]
            .map(|day| day.map_or_else(String::new, ToString::to_string));
        format!("{} days from {first} to {last} (list {sum:016x})", self.0.len())
    }
}

/// A day such as `2026-12-25`, and no other form.
pub fn date(text: &str) -> Option<Date> {
    let date: Date = text.parse().ok()?;
    (date.to_string() == text).then_some(date)
}

/// The days on which nobody is paged, and on which no schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaysOff {
    /// Those of the week that are worked.
    pub weekdays: Weekdays,
    pub holidays: Arc<Holidays>,
}

impl Default for DaysOff {
    fn default() -> Self {
        Self { weekdays: Weekdays::ALL, holidays: Arc::default() }
    }
}

impl DaysOff {
    /// Why a day is off, if it is.
    pub fn why(&self, day: Date) -> Option<&str> {
        if let Some(name) = self.holidays.0.get(&day) {
            return Some(name);
        }
        (!self.weekdays.contain(day.weekday())).then_some("a day off")
    }

    /// How many days in a row are off, at most.
    pub fn longest(&self) -> usize {
        let run = |first: Date| {
            let next = |day: &Date| day.tomorrow().ok();
            let days = std::iter::successors(Some(first), next);
            days.take_while(|day| self.why(*day).is_some()).take(HOLIDAYS_MAX).count()
        };
        // Each run of days begins with a holiday, or right after the last day of work.
        let mondays = (5..12).map(|day| Date::constant(2026, 1, day));
        let near =
            |day: &Date| (0..7).filter_map(|back| day.checked_sub(back.days()).ok()).collect();
        let near = self.holidays.0.keys().flat_map(|day| -> Vec<Date> { near(day) });
        let begins = |day: &Date| day.yesterday().is_ok_and(|before| self.why(before).is_none());
        mondays.chain(near).filter(begins).map(run).max().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.weekdays == Weekdays::ALL && self.holidays.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        date(text).unwrap()
    }

    #[test]
    fn holidays_are_lines_with_a_day_and_a_name() {
        let text = "# the bank's\n2026-12-25 Christmas\n\n2027-01-01   # new year\n";
        let off = DaysOff {
            weekdays: "mon-fri".parse().unwrap(),
            holidays: Arc::new(text.parse().unwrap()),
        };
        assert_eq!(off.why(day("2026-12-25")), Some("Christmas"));
        assert_eq!(off.why(day("2027-01-01")), Some("a holiday"));
        assert_eq!(off.why(day("2026-12-26")), Some("a day off"), "a Saturday");
        assert_eq!(off.why(day("2026-12-24")), None);
        for (text, line) in
            [("2026-12-25\n25.12.2026 x\n", 2), ("20261225\n", 1), ("2026-02-30", 1)]
        {
            let error = text.parse::<Holidays>().unwrap_err();
            assert!(
                matches!(error, InvalidHolidays::Line { line: at, .. } if at == line),
                "{error}"
            );
        }
    }

    #[test]
    fn two_lists_of_holidays_that_differ_never_read_the_same() {
        let words = |text: &str, max| text.parse::<Holidays>().unwrap().in_words(max);
        let list = "2026-12-25 Christmas\n2026-12-26\n2027-01-01\n";
        assert_eq!(
            words(list, 3),
            "2026-12-25 Christmas; 2026-12-26 a holiday; 2027-01-01 a holiday"
        );
        let long = words(list, 2);
        assert!(long.starts_with("3 days from 2026-12-25 to 2027-01-01 (list "), "{long}");
        for other in [list.replace("-26", "-27"), list.replace("Christmas", "Xmas")] {
            assert_ne!(words(&other, 2), long);
        }
    }
}
