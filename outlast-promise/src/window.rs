//! Maintenance windows: hours, once or each week, in which pages wait.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use outlast_civil::{Hours, InvalidHours, InvalidWeekdays, Weekdays, Zone, date};
use outlast_types::Timestamp;

/// The longest time for which windows may let pages wait without a break, if nobody agreed to more.
const LENGTH_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest time in any case.
const AGREED_LENGTH_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Days that such a time touches, and one before, whose window may go over midnight.
const AGREED_DAYS: usize = 34;
/// Longest reason, in characters.
const REASON_LENGTH_MAX: usize = 200;

/// Some hours of a day, or of each of some days of the week; one that goes over midnight belongs to the
/// day on which it begins. It has a reason, which is shown with what waits for it to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    days: Days,
    hours: Hours,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    Each(Weekdays),
    Once(Date),
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    #[error(
        "{text:?} is no maintenance window: write days or a date, hours and a reason, such as \
         \"sun 02:00-06:00 patch day\" or \"2026-12-01 22:00-04:00 new storage\""
    )]
    Form { text: String },
    #[error("{0}, or a date such as 2026-12-01")]
    Days(#[from] InvalidWeekdays),
    #[error(transparent)]
    Hours(#[from] InvalidHours),
    #[error("a maintenance window wants a reason after its hours, such as \"patch day\"")]
    NoReason,
    #[error(
        "pages would wait for more than 31 d without a break, from {begin} on: shorten it, or pause the \
         workloads"
    )]
    TooLong { begin: String },
}

/// Windows that let pages wait for more than 24 h without a break, which takes two operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongRun {
    /// When it begins: `Sat 2026-01-10 00:00`, in the zone of the windows.
    pub begin: String,
    pub length: Duration,
    /// Those that take part in it.
    pub windows: Vec<Window>,
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let form = || InvalidWindow::Form { text: text.chars().take(80).collect() };
        let (days, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(form)?;
        let (hours, reason) =
            rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        let days = match date(days) {
            Some(date) => Days::Once(date),
            None => Days::Each(days.parse()?),
        };
        let hours = hours.parse()?;
        let reason = reason.trim();
        let length = reason.chars().count();
        if length == 0 {
            return Err(InvalidWindow::NoReason);
        }
        if length > REASON_LENGTH_MAX || reason.chars().any(char::is_control) {
            return Err(form());
        }
        Ok(Self { days, hours, reason: reason.to_owned() })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.days {
            Days::Each(weekdays) => write!(f, "{weekdays}")?,
            Days::Once(date) => write!(f, "{date}")?,
        }
        write!(f, " {} {}", self.hours, self.reason)
    }
}

impl Window {
    /// Why pages wait in it.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// When it ends that is open at a moment; `None` if it is not.
    pub(crate) fn end_of(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let today = zone.civil(at).date();
        let days = [Some(today), today.yesterday().ok()].into_iter().flatten();
        let ends = days.filter_map(|day| {
            let (begin, end) = self.on(day, zone)?;
            (begin <= at && at < end).then_some(end)
        });
        ends.max()
    }

    /// From when to when it is open that begins on a day, if one does.
    fn on(&self, day: Date, zone: &Zone) -> Option<(Timestamp, Timestamp)> {
        let is_of = match self.days {
            Days::Each(weekdays) => weekdays.contain(day.weekday()),
            Days::Once(date) => date == day,
        };
        if is_of { self.hours.on(day, zone) } else { None }
    }

    /// Whether it is open at any moment from `begin` to `end`.
    fn is_open_between(&self, begin: Timestamp, end: Timestamp, zone: &Zone) -> bool {
        let first = zone.civil(begin).date().yesterday().ok();
        let days = std::iter::successors(first, |day| day.tomorrow().ok());
        days.take(AGREED_DAYS).any(|day| {
            self.on(day, zone).is_some_and(|(opens, closes)| opens < end && closes > begin)
        })
    }

    /// The moments at which it begins that tell all about how long it may be, in a zone where no clock is
    /// ever changed.
    fn beginnings(&self) -> Vec<Timestamp> {
        let week = Date::constant(2026, 1, 5);
        let zone = Zone::utc();
        let days: Vec<Date> = match self.days {
            Days::Once(date) => vec![date],
            Days::Each(_) => {
                let next = |day: &Date| day.tomorrow().ok();
                std::iter::successors(Some(week), next).take(7).collect()
            }
        };
        days.into_iter().filter_map(|day| self.on(day, &zone)).map(|(begin, _)| begin).collect()
    }
}

/// When the window ends that is open at a moment, or one that follows without a break; and the reason of
/// the first.
pub(crate) fn open_at<'a>(
    windows: &'a [Window],
    at: Timestamp,
    zone: &Zone,
) -> Option<(Timestamp, &'a str)> {
    let open = windows.iter().filter_map(|window| Some((window.end_of(at, zone)?, window)));
    let (end, window) = open.max_by_key(|(end, _)| *end)?;
    (end > at).then_some((end, window.reason()))
}

/// Refuses windows that let pages wait for too long, whoever agreed to it.
pub(crate) fn judge(windows: &[Window]) -> Result<(), InvalidWindow> {
    match longest_run(windows) {
        Some(LongRun { begin, length, .. }) if length > AGREED_LENGTH_MAX => {
            Err(InvalidWindow::TooLong { begin })
        }
        _ => Ok(()),
    }
}

/// The longest run of windows that takes two operators, if any does.
pub fn longest_run(windows: &[Window]) -> Option<LongRun> {
    let zone = Zone::utc();
    let begins = windows.iter().flat_map(Window::beginnings);
    let runs = begins.filter_map(|begin| {
        let mut at = begin;
        while let Some((end, _)) = open_at(windows, at, &zone) {
            at = end;
            // What never ends is too long as well.
            if at.since(begin) > AGREED_LENGTH_MAX {
                break;
            }
        }
        (at.since(begin) > LENGTH_MAX).then_some((begin, at))
    });
    let (begin, end) = runs.max_by_key(|(begin, end)| end.since(*begin))?;
    let takes_part = |window: &&Window| window.is_open_between(begin, end, &zone);
    Some(LongRun {
        begin: zone.civil(begin).strftime("%a %Y-%m-%d %H:%M").to_string(),
        length: end.since(begin),
        windows: windows.iter().filter(takes_part).cloned().collect(),
    })
}
