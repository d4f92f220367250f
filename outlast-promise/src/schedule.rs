//! When recovery points are due that are made by the clock: a line as of cron, in civil time.
//!
//! A schedule is safe where the clocks are changed: what would be in the hour that is skipped in spring
//! fires once, as much later as the clocks were put forward; what is in the hour that is shown twice in
//! autumn fires once, the first time, unless the schedule fires in every hour, which then are 25.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, ToSpan};
use outlast_civil::{DaysOff, Zone};
use outlast_types::Timestamp;

/// How many days are looked at for a day on which a schedule fires: 29 February is missing for eight
/// years around 2100.
const DAYS_MAX: i32 = 8 * 366 + 7;
/// Longest text of one.
const LENGTH_MAX: usize = 200;

/// Minute, hour, day of the month, month and day of the week, as `crontab` has them: `0 2 * * mon-fri`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    /// A bit for each that is meant.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both the day of the month and that of the week are named: then either will do, as in cron.
    either_day: bool,
    /// Whether every hour is meant, or every so many.
    is_hourly: bool,
}

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    #[error(
        "{text:?} is no schedule: write minute, hour, day of month, month and day of week as in a \
         crontab, such as \"0 2 * * mon-fri\", or @hourly, @daily, @weekly or @monthly"
    )]
    Form { text: String },
    #[error(
        "{part:?} is no {field} of a schedule: use {first} to {last}, *, lists, ranges and steps"
    )]
    Field { part: String, field: &'static str, first: u32, last: u32 },
}

/// One of the five.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// From 1 as months are, and from 0 as cron's days, whose week begins with Sunday.
const WEEK: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of the month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    Field { name: "day of the week", first: 0, last: 7, names: &WEEK },
];

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let form = || InvalidSchedule::Form { text: text.chars().take(80).collect() };
        if text.len() > LENGTH_MAX {
            return Err(form());
        }
        let line = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            line => line,
        };
        let parts: Vec<&str> = line.split_whitespace().collect();
        let parts: [&str; 5] = parts.try_into().map_err(|_| form())?;
        let mut bits = [0; 5];
        for ((part, field), bits) in parts.iter().zip(&FIELDS).zip(&mut bits) {
            *bits = field.read(part)?;
        }
        let [minutes, hours, days, months, weekdays] = bits;
        let is_named = |part: &str| !part.starts_with('*');
        Ok(Self {
            text: text.trim().to_owned(),
            minutes,
            hours,
            days,
            months,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: is_named(parts[2]) && is_named(parts[4]),
            is_hourly: !is_named(parts[1]),
        })
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, InvalidSchedule> {
        let wrong = || InvalidSchedule::Field {
            part: text.chars().take(80).collect(),
            field: self.name,
            first: self.first,
            last: self.last,
        };
        let number = |word: &str| -> Option<u32> {
            if let Some(place) = self.names.iter().position(|name| *name == word) {
                return u32::try_from(place).ok().map(|place| place + self.first);
            }
            let is_plain = !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit());
            let number = word.parse().ok().filter(|_| is_plain)?;
            (self.first..=self.last).contains(&number).then_some(number)
        };
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = part.split_once('/').map_or((part, None), |(r, s)| (r, Some(s)));
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.first, self.last),
                Some((first, last)) => {
                    (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?)
                }
                None => {
                    let only = number(range).ok_or_else(wrong)?;
                    // `5/10` begins there and goes on to the end.
                    (only, if step.is_some() { self.last } else { only })
                }
            };
            let step = step.map_or(Some(1), |step| step.parse::<u32>().ok()).filter(|it| *it > 0);
            let step = step.ok_or_else(wrong)?;
            // `fri-sun` ends with a Sunday that is 0.
            let last = if last == 0 && first > 0 && self.last == 7 { 7 } else { last };
            if first > last {
                return Err(wrong());
            }
            let mut at = first;
            while at <= last {
                bits |= 1u64 << at;
                at += step;
            }
        }
        Ok(bits)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// The first moment after `at` at which it fires, but on days off; `None` if it never does.
    pub(crate) fn next(&self, at: Timestamp, zone: &Zone, off: &DaysOff) -> Option<Timestamp> {
        // The clocks may show an earlier day again, or skip one.
        let mut day = zone.civil(at).date().yesterday().ok()?;
        for _ in 0..DAYS_MAX {
            if self.is_of(day)
                && off.why(day).is_none()
                && let Some(found) = self.next_on(day, at, zone)
            {
                return Some(found);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// Whether a day is one of those on which it fires.
    fn is_of(&self, day: Date) -> bool {
        let has = |bits: u64, number: i8| u32::try_from(number).is_ok_and(|n| bits >> n & 1 == 1);
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, day.weekday().to_sunday_zero_offset());
        let is_day = if self.either_day { of_month || of_week } else { of_month && of_week };
        is_day && has(self.months, day.month())
    }

    /// The first moment of a day after `at` at which it fires.
    fn next_on(&self, day: Date, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let midnight = |day: Date| zone.moment(day.to_datetime(Time::midnight()));
        let (begin, end) = (midnight(day)?, midnight(day.tomorrow().ok()?)?);
        if end <= at {
            return None;
        }
        let is_plain = end.unix_seconds() - begin.unix_seconds() == 86_400;
        if is_plain {
            // No clock is changed on this day: civil times are so many seconds after its beginning.
            let passed = at.unix_seconds() - begin.unix_seconds();
            let first = self.times().find(|minute| minute * 60 > passed)?;
            return Timestamp::from_unix(begin.unix_seconds() + first * 60, 0);
        }
        let civil = self.times().filter_map(|minute| {
            let minutes: Span = minute.minutes();
            day.to_datetime(Time::midnight()).checked_add(minutes).ok()
        });
        let moments = civil.flat_map(|civil| self.moments(civil, zone));
        moments.filter(|moment| *moment > at).min()
    }

    /// The moments that a civil time means: two, if the clocks show it twice and every hour is meant.
    fn moments(&self, civil: DateTime, zone: &Zone) -> impl Iterator<Item = Timestamp> + use<> {
        let again = if self.is_hourly { zone.again(civil) } else { None };
        [zone.moment(civil), again].into_iter().flatten()
    }

    /// The minutes of a day at which it fires.
    fn times(&self) -> impl Iterator<Item = i64> {
        let hours = (0..24i64).filter(|hour| self.hours >> hour & 1 == 1);
        hours.flat_map(|hour| {
            let minutes = (0..60i64).filter(|minute| self.minutes >> minute & 1 == 1);
            minutes.map(move |minute| hour * 60 + minute)
        })
    }
}
