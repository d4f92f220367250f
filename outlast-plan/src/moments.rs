//! Months, days and the times at which drops are made, by the clocks of a zone.

use jiff::civil::{Date, date};
use outlast_civil::Zone;
use outlast_types::Timestamp;

use crate::description::{Description, Workload};

const DAY_MINUTES: u32 = 1440;
/// Seconds of a mean month.
pub(crate) const MONTH_SECONDS: f64 = 365.25 * 86_400.0 / 12.0;

/// The time that a plan looks at.
#[derive(Debug, Clone)]
pub(crate) struct Horizon {
    zone: Zone,
    first: Date,
    last: Date,
    /// When each month begins, and the end of the last: seconds since 1970.
    pub(crate) borders: Vec<i64>,
    /// `2027-01`.
    pub(crate) labels: Vec<String>,
}

impl Horizon {
    pub(crate) fn of(description: &Description) -> Self {
        let zone = description.zone.clone();
        let (year, month) = description.start;
        let begin = |after: u32| {
            let months = i32::from(year) * 12 + i32::from(month) - 1;
            let months = months.saturating_add_unsigned(after);
            let year = i16::try_from(months.div_euclid(12)).unwrap_or(i16::MAX);
            date(year, i8::try_from(months.rem_euclid(12) + 1).unwrap_or(1), 1)
        };
        let days: Vec<Date> = (0..=description.months).map(begin).collect();
        let of = |date: &Date| instant(&zone, *date, 0);
        let labels = days.iter().map(|date| format!("{:04}-{:02}", date.year(), date.month()));
        Self {
            first: days.first().copied().unwrap_or_default(),
            last: days.last().copied().unwrap_or_default(),
            borders: days.iter().map(of).collect(),
            labels: labels.take(days.len().saturating_sub(1)).collect(),
            zone,
        }
    }

    pub(crate) fn start(&self) -> i64 {
        self.borders.first().copied().unwrap_or(0)
    }

    /// Seconds from beginning to end.
    pub(crate) fn seconds(&self) -> f64 {
        (self.borders.last().copied().unwrap_or(0) - self.start()) as f64
    }

    /// Whole hours, the last of which may be begun only.
    pub(crate) fn hours(&self) -> usize {
        usize::try_from((self.borders.last().copied().unwrap_or(0) - self.start() + 3599) / 3600)
            .unwrap_or(0)
    }

    /// The moment so many seconds after the beginning.
    pub(crate) fn moment(&self, seconds: f64) -> Timestamp {
        let since = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let start = Timestamp::from_unix(self.start(), 0).unwrap_or(Timestamp::EPOCH);
        start.saturating_add(std::time::Duration::from_secs(since.as_secs()))
    }

    /// The month that an hour is in.
    pub(crate) fn month_of(&self, hour: usize) -> usize {
        let at = self.start() + i64::try_from(hour).unwrap_or(0) * 3600;
        self.borders.partition_point(|border| *border <= at).clamp(1, self.labels.len().max(1)) - 1
    }

    /// The day of the week, from Monday, on which an hour is, and the day's number.
    pub(crate) fn day_of(&self, hour: usize) -> (usize, i32) {
        let at = self.start() + i64::try_from(hour).unwrap_or(0) * 3600;
        let moment = Timestamp::from_unix(at, 0).unwrap_or(Timestamp::EPOCH);
        let civil = self.zone.civil(moment).date();
        let weekday = usize::try_from(civil.weekday().to_monday_zero_offset()).unwrap_or(0);
        (
            weekday,
            (i32::from(civil.year()) * 16 + i32::from(civil.month())) * 32 + i32::from(civil.day()),
        )
    }

    /// Where each day ends: seconds since the beginning.
    pub(crate) fn day_ends(&self) -> Vec<f64> {
        let mut ends = Vec::new();
        let mut day = self.first;
        while day < self.last {
            day = day.tomorrow().unwrap_or(self.last);
            ends.push((instant(&self.zone, day, 0) - self.start()) as f64);
        }
        ends
    }

    /// When a workload makes its drops: seconds since the beginning, in order. A time that the clocks skip is
    /// as much later; of one that they show twice it is the first.
    pub(crate) fn drops(&self, workload: &Workload) -> Vec<f64> {
        let mut times = Vec::new();
        let (count, mut day) = (workload.drops_a_day.max(1), self.first);
        while day < self.last {
            let mut minutes: Vec<u32> =
                (0..count).map(|n| (workload.at + n * DAY_MINUTES / count) % DAY_MINUTES).collect();
            minutes.sort_unstable();
            let of = |minute: u32| (instant(&self.zone, day, minute) - self.start()) as f64;
            times.extend(minutes.into_iter().map(of));
            day = day.tomorrow().unwrap_or(self.last);
        }
        if workload.releases > 0.0 {
            let pause = MONTH_SECONDS / workload.releases;
            let mut at = pause / 2.0;
            while at < self.seconds() {
                times.push(at.floor());
                at += pause;
            }
        }
        times.sort_by(f64::total_cmp);
        times
    }

    /// A moment for people.
    pub(crate) fn show(&self, seconds: f64) -> String {
        self.zone.civil(self.moment(seconds)).strftime("%a %Y-%m-%d %H:%M").to_string()
    }
}

/// When the clocks show so many minutes after midnight, in seconds since 1970.
fn instant(zone: &Zone, day: Date, minute: u32) -> i64 {
    let hour = i8::try_from(minute / 60).unwrap_or(0);
    let civil = day.at(hour, i8::try_from(minute % 60).unwrap_or(0), 0, 0);
    zone.moment(civil).map_or(0, Timestamp::unix_seconds)
}
