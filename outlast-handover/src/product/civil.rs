//! Dates and times as programs print them for people, in UTC: they are run with `TZ=UTC`.

use outlast_types::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// A listing that leaves the year out may be of a clock that is a day ahead.
const AHEAD_SECONDS: i64 = 86_400;

/// A time of a day, and whether its second is said.
pub(super) fn time_of_day(text: &str) -> Option<(u32, u32, Option<u32>)> {
    let mut parts = text.split(':');
    let two = |part: &str| (part.len() <= 2).then(|| part.parse::<u32>().ok()).flatten();
    let (hour, minute) = (two(parts.next()?)?, two(parts.next()?)?);
    let second = parts.next().map(two);
    if parts.next().is_some() || second == Some(None) || hour > 23 || minute > 59 {
        return None;
    }
    Some((hour, minute, second.flatten()))
}

/// A moment.
pub(super) fn moment(
    (year, month, day): (i64, u32, u32),
    (hour, minute, second): (u32, u32, u32),
) -> Option<Timestamp> {
    if !(1970..=9998).contains(&year) {
        return None;
    }
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z").parse().ok()
}

/// `11/26/2026`.
pub(super) fn slashed(text: &str) -> Option<(i64, u32, u32)> {
    let mut parts = text.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))
}

/// `2026-11-26`.
pub(super) fn dashed(text: &str) -> Option<(i64, u32, u32)> {
    let mut parts = text.splitn(3, '-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The number of a month by its name.
pub(super) fn month(name: &str) -> Option<u32> {
    let number = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    u32::try_from(number + 1).ok()
}

/// The last year in which a moment is not in the future, for listings that leave it out.
pub(super) fn year_before(
    (month, day): (u32, u32),
    time: (u32, u32, u32),
    now: Timestamp,
) -> Option<i64> {
    let this: i64 = now.to_string().get(..4)?.parse().ok()?;
    // A leap day is up to eight years away.
    (this - 8..=this + 1).rev().find(|year| {
        moment((*year, month, day), time)
            .is_some_and(|it| it.unix_seconds() <= now.unix_seconds() + AHEAD_SECONDS)
    })
}

/// A moment as the commands of NetBackup take it.
pub(super) fn shown(at: Timestamp) -> Option<(String, String)> {
    let text = at.to_string();
    let (date, time) = text.split_once('T')?;
    let (year, month, day) = dashed(date)?;
    Some((format!("{month:02}/{day:02}/{year:04}"), time.get(..8)?.to_owned()))
}
