//! A span of years, months, days and hours, as restic counts them back from a moment.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, date};
use outlast_civil::Zone;
use outlast_types::Timestamp;

/// Such as `1y5m7d2h`: a year, five months, seven days and two hours. Weeks are seven days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    years: u32,
    months: u32,
    days: u32,
    hours: u32,
}

/// Why a text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no span: write years, months, weeks, days and hours such as 30d, 1y6m or 36h")]
pub struct InvalidSpan {
    text: String,
}

impl Span {
    /// More of anything is a slip of the pen.
    const AMOUNT_MAX: u32 = 100_000;

    /// The moment that is the span before `at`, in civil time but for the hours. A day that a month does
    /// not have is as much later: a month before the 31st of March is the 3rd of March. `None` is before
    /// all that a calendar knows.
    pub(super) fn before(self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let Self { years, months, days, hours } = self;
        let civil = zone.civil(at);
        let shown = i64::from(civil.year()) * 12 + i64::from(civil.month()) - 1;
        let month = shown - i64::from(years) * 12 - i64::from(months);
        let back = i64::from(days) + 1 - i64::from(civil.day());
        let first = first_of_month(month)?;
        let moved = first.checked_sub(jiff::Span::new().try_days(back).ok()?).ok()?;
        let moved = zone.moment(moved.to_datetime(civil.time()))?;
        Timestamp::from_unix(moved.unix_seconds() - i64::from(hours) * 3600, moved.nanos())
    }

    pub(super) fn of(months: u32, days: u32, hours: u32) -> Self {
        Self { years: 0, months, days, hours }
    }

    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// The first day of the month that is so many after January of the year 0.
fn first_of_month(month: i64) -> Option<Date> {
    let year = i16::try_from(month.div_euclid(12)).ok()?;
    let month = i8::try_from(month.rem_euclid(12) + 1).ok()?;
    // A year below 1 is before anything that was ever backed up.
    (year >= 1).then(|| date(year, month, 1))
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let invalid = || InvalidSpan { text: text.chars().take(80).collect() };
        let mut span = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            let amount: u32 = rest[..digits].parse().map_err(|_| invalid())?;
            let mut units = rest[digits..].chars();
            let (part, amount) = match units.next() {
                Some('y') => (&mut span.years, Some(amount)),
                Some('m') => (&mut span.months, Some(amount)),
                Some('w') => (&mut span.days, amount.checked_mul(7)),
                Some('d') => (&mut span.days, Some(amount)),
                Some('h') => (&mut span.hours, Some(amount)),
                _ => return Err(invalid()),
            };
            let sum = amount.and_then(|amount| part.checked_add(amount));
            *part = sum.filter(|sum| *sum <= Self::AMOUNT_MAX).ok_or_else(invalid)?;
            rest = units.as_str();
        }
        if span.is_zero() { Err(invalid()) } else { Ok(span) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { years, months, days, hours } = *self;
        let parts = [(years, "y"), (months, "m"), (days, "d"), (hours, "h")];
        let mut said = parts.into_iter().filter(|(amount, _)| *amount > 0);
        said.try_for_each(|(amount, unit)| write!(f, "{amount}{unit}"))
    }
}
