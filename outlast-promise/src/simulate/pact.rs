//! What is promised of a workload beside an RPO: turns by the clock, days off, windows, time for releases.
//!
//! It is said in policy's words, as a vault reads them, and reckoned here by the laws of clocks themselves
//! (`zone`), so that the one is checked by the other.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use outlast_civil::Holidays;

use super::dice::Dice;
use super::spans::{Span, Spans};
use super::zone::{self, Zone};
use crate::class::Part;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// By the world's nature, every so many days one is a holiday.
const HOLIDAY_EVERY: i64 = 23;

/// What policy promises of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pact {
    zone: Zone,
    turn: Option<Turn>,
    /// Weekends and holidays are off.
    pub(crate) rests: bool,
    windows: Vec<Window>,
    /// How long a page waits at most for the first drop of a release.
    pub(crate) grace: u64,
}

/// A drop is made at a time of each day, and has so long to be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    /// Of the day.
    minute: i64,
    deadline: i64,
}

/// Hours in which pages wait; they may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// A day of each week, from Monday, or a day.
    day: Days,
    begin: i64,
    end: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    Each(i64),
    Once(i64),
}

impl Pact {
    /// One of several kinds, and none for half of all; `hour` is when its day's drop is begun, in seconds, and
    /// `every` how often one is.
    pub(crate) fn of(
        dice: &mut Dice,
        zone: Zone,
        hour: i64,
        every: i64,
        days: Span,
    ) -> Option<Self> {
        let kind = dice.within(0, 100);
        let (early, deadline) = (number(dice, 0, 5), number(dice, 6, 11));
        let minute = (hour / MINUTE - early * 60).rem_euclid(24 * 60);
        let rests = dice.permille(500);
        let windows = [Self::window(dice, days), Self::window(dice, days)];
        let grace = dice.within(1, 4) * 3600;
        let plain = Self { zone, turn: None, rests: false, windows: Vec::new(), grace: 0 };
        let turn = (every == DAY).then_some(Turn { minute, deadline: deadline * HOUR });
        match kind {
            0..15 if turn.is_some() => Some(Self { turn, rests, ..plain }),
            15..20 if turn.is_some() => Some(Self { turn, windows: windows.into(), ..plain }),
            20..28 => Some(Self { rests: true, ..plain }),
            28..36 => Some(Self { rests, windows: windows.into(), ..plain }),
            36..46 if every <= DAY => Some(Self { grace, ..plain }),
            46..50 if every <= DAY => Some(Self { grace, windows: windows.into(), ..plain }),
            _ => None,
        }
    }

    fn window(dice: &mut Dice, days: Span) -> Window {
        let (weekday, date) = (number(dice, 0, 7), dice.within(days.0, days.1));
        let day = match dice.permille(700) {
            true => Days::Each(weekday),
            false => Days::Once(i64::try_from(date).unwrap_or(0)),
        };
        let begin = number(dice, 0, 48) * 30;
        let end = (begin + number(dice, 1, 16) * 30) % (24 * 60);
        Window { day, begin, end }
    }

    pub(crate) fn has_turns(&self) -> bool {
        self.turn.is_some()
    }

    /// What a vault is told of it; an RPO counts where it has no turns.
    pub(crate) fn part(&self, rpo: u64, bend: i64, holidays: &Arc<Holidays>) -> Part {
        let turn = self.turn.as_ref();
        let schedule = turn.map(|turn| format!("{} {} * * *", turn.minute % 60, turn.minute / 60));
        let deadline = turn.map(|turn| u64::try_from(turn.deadline + bend).unwrap_or(0));
        let windows = self.windows.iter().map(|window| window.words().parse());
        Part {
            rpo: turn.is_none().then(|| Duration::from_secs(rpo.saturating_add_signed(bend))),
            schedule: schedule.and_then(|schedule| schedule.parse().ok()),
            deadline: deadline.map(Duration::from_secs),
            zone: outlast_civil::Zone::named(self.zone.as_str()).ok(),
            weekdays: self.rests.then(|| "mon-fri".parse().ok()).flatten(),
            holidays: self.rests.then(|| Arc::clone(holidays)),
            maintenance: windows.collect::<Result<Vec<_>, _>>().ok(),
            deploy_grace: Some(Duration::from_secs(self.grace)),
            ..Part::default()
        }
    }

    /// Whether nobody works on a day.
    pub(crate) fn is_off(&self, day: i64) -> bool {
        self.rests && (zone::weekday(day) >= 5 || is_holiday(day))
    }

    /// When the promise breaks if the newest recovery point is of `last`, in seconds since 1970; none if it
    /// has no turns.
    pub(crate) fn due_after(&self, last: i64) -> Option<i64> {
        let turn = self.turn?;
        let first = self.zone.day(last) - 1;
        let worked = (first..first + 60).filter(|day| !self.is_off(*day));
        let turns = worked.map(|day| self.zone.instant(day, turn.minute * MINUTE));
        turns.into_iter().find(|at| *at > last).map(|at| at + turn.deadline)
    }

    /// When its pages wait, in seconds since 1970, on days from `first` to `last`.
    pub(crate) fn quiet(&self, first: i64, last: i64) -> Vec<(i64, i64)> {
        let mut quiet = Vec::new();
        for day in first..=last {
            if self.is_off(day) {
                quiet.push((self.zone.instant(day, 0), self.zone.instant(day + 1, 0)));
            }
            for window in self.windows.iter().filter(|window| window.is_on(day)) {
                let end = if window.end > window.begin { day } else { day + 1 };
                let begin = self.zone.instant(day, window.begin * MINUTE);
                quiet.push((begin, self.zone.instant(end, window.end * MINUTE)));
            }
        }
        quiet
    }
}

impl Window {
    fn is_on(self, day: i64) -> bool {
        match self.day {
            Days::Each(weekday) => zone::weekday(day) == weekday,
            Days::Once(date) => date == day,
        }
    }

    fn words(self) -> String {
        let day = match self.day {
            Days::Each(weekday) => {
                let index = usize::try_from(weekday).unwrap_or(0);
                ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][index].to_owned()
            }
            Days::Once(day) => words(day),
        };
        let (begin, end) = (self.begin, self.end);
        format!(
            "{day} {:02}:{:02}-{:02}:{:02} a rehearsal",
            begin / 60,
            begin % 60,
            end / 60,
            end % 60
        )
    }
}

fn number(dice: &mut Dice, from: u64, until: u64) -> i64 {
    i64::try_from(dice.within(from, until)).unwrap_or(0)
}

fn is_holiday(day: i64) -> bool {
    day % HOLIDAY_EVERY == 0
}

/// A day such as `2028-02-29`.
fn words(day: i64) -> String {
    let (year, month, day) = zone::date(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The world's holidays on some days, as a vault reads them.
pub(crate) fn holidays(first: i64, last: i64) -> Arc<Holidays> {
    let mut text = String::new();
    for day in (first..=last).filter(|day| is_holiday(*day)) {
        let _ = writeln!(text, "{} a feast", words(day));
    }
    Arc::new(text.parse().unwrap_or_default())
}

/// Spans of seconds since 1970, as the receiver counts them whose clock is set back now and then: by `(at,
/// by)`, in order.
pub(crate) fn received(
    wall: &[(i64, i64)],
    start: i64,
    set_back: &[(u64, u64)],
    end: u64,
) -> Spans {
    let (mut from, mut shift, mut spans) = (0, 0, Vec::new());
    for (at, by) in set_back.iter().copied().chain([(end, 0)]) {
        let moved = |unix: i64| u64::try_from(unix - start + shift).unwrap_or(0).clamp(from, at);
        spans.extend(wall.iter().map(|(begin, end)| (moved(*begin), moved(*end))));
        (from, shift) = (at, shift + i64::try_from(by).unwrap_or(0));
    }
    spans.into_iter().collect()
}
