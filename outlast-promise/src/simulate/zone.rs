//! Civil time, as far as a schedule of drops needs it.
//!
//! Reckoned from the laws themselves and not by the library that the ledger's classes go by, so that the
//! one is checked by the other.

const DAY: i64 = 86400;
const HOUR: i64 = 3600;

/// A place with its own clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Utc,
    /// `Europe/Berlin`: an hour ahead, and one more from the last Sunday of March until that of October, at
    /// 01:00 UTC.
    Berlin,
    /// `America/New_York`: five hours behind, and one less from the second Sunday of March until the first
    /// of November, at 02:00 of its own clocks.
    NewYork,
    /// `Asia/Kolkata`: five and a half hours ahead at all times.
    Kolkata,
}

impl Zone {
    pub(crate) const ALL: [Self; 4] = [Self::Utc, Self::Berlin, Self::NewYork, Self::Kolkata];

    /// As everybody calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::Berlin => "Europe/Berlin",
            Self::NewYork => "America/New_York",
            Self::Kolkata => "Asia/Kolkata",
        }
    }

    /// By how many seconds its clocks are ahead of UTC.
    pub(crate) fn offset(self, unix: i64) -> i64 {
        let year = year_of(unix.div_euclid(DAY));
        match self {
            Self::Utc => 0,
            Self::Kolkata => 5 * HOUR + HOUR / 2,
            Self::Berlin => {
                let change = |month| last_sunday(year, month) * DAY + HOUR;
                if (change(3)..change(10)).contains(&unix) { 2 * HOUR } else { HOUR }
            }
            Self::NewYork => {
                let begin = sunday_from(year, 3, 8) * DAY + 7 * HOUR;
                let end = sunday_from(year, 11, 1) * DAY + 6 * HOUR;
                if (begin..end).contains(&unix) { -4 * HOUR } else { -5 * HOUR }
            }
        }
    }

    /// The day, counted from 1970, that its clocks show at a moment.
    pub(crate) fn day(self, unix: i64) -> i64 {
        (unix + self.offset(unix)).div_euclid(DAY)
    }

    /// When its clocks show so many seconds after midnight on a day, which is counted from 1970. What they
    /// show twice counts at first; what they skip comes later by what is skipped.
    pub(crate) fn instant(self, day: i64, second: i64) -> i64 {
        let shown = day * DAY + second;
        let early = shown - self.offset(shown - DAY);
        let late = shown - self.offset(shown + DAY);
        // Before a change the old offset holds; it is right if it still does then.
        if self.offset(early) == shown - early {
            early
        } else if self.offset(late) == shown - late {
            late
        } else {
            early
        }
    }
}

/// The day, counted from 1970, of a date of the Gregorian calendar.
pub(crate) fn day_of(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468
}

/// Year, month and day of one that is counted from 1970.
pub(crate) fn date(day: i64) -> (i64, i64, i64) {
    let year = year_of(day);
    let month = (2..=12).take_while(|month| day_of(year, *month, 1) <= day).last().unwrap_or(1);
    (year, month, day - day_of(year, month, 1) + 1)
}

/// The day of the week, from Monday: 1970 began with a Thursday.
pub(crate) fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

fn year_of(day: i64) -> i64 {
    let guess = 1970 + day.div_euclid(366);
    let mut year = guess;
    while day_of(year + 1, 1, 1) <= day {
        year += 1;
    }
    year
}

fn is_sunday(day: i64) -> bool {
    weekday(day) == 6
}

fn sunday_from(year: i64, month: i64, day: i64) -> i64 {
    let first = day_of(year, month, day);
    (first..first + 7).find(|day| is_sunday(*day)).unwrap_or(first)
}

/// Of months of 31 days.
fn last_sunday(year: i64, month: i64) -> i64 {
    sunday_from(year, month, 25)
}
