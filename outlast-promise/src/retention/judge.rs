//! Which points stay, and by which rules.

use std::cmp::Reverse;

use outlast_civil::Zone;
use outlast_types::Timestamp;

use super::keep::{Keep, Period, Reach, Rule};

/// A recovery point, as retention sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The moment that it brings back.
    pub time: Timestamp,
    /// When the vault had it, by its own clock.
    pub received: Timestamp,
    /// Whether it is no recovery point: it fills no rule.
    pub is_suspect: bool,
}

impl Point {
    /// One that arrived when it was made, and that counts.
    pub fn at(time: Timestamp) -> Self {
        Self { time, received: time, is_suspect: false }
    }
}

/// The rules that keep a point; none if it may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    pub rules: Vec<Rule>,
}

impl Kept {
    pub fn is_kept(&self) -> bool {
        !self.rules.is_empty()
    }
}

/// A point in the order of the rules.
struct Dated {
    /// Its place among the points that were given.
    place: usize,
    point: Point,
    /// By [`Period`], in the zone's civil time: equal for points of one period.
    hour: i64,
    day: i64,
    week: i64,
    month: i64,
    year: i64,
    /// The same of its arrival.
    arrived: Option<Box<Dated>>,
}

/// What `keep` says of each of `points`, in their order. The order in which they are given, or have
/// arrived, decides nothing but between points of the same time and arrival.
pub fn judge(points: &[Point], keep: &Keep, zone: &Zone) -> Vec<Kept> {
    judge_at(points, keep, zone, None)
}

/// The same; with an `ended`, of a workload of which no more comes: then time uses periods up that have no
/// point, spans are counted back from that moment, and only `last` and `unlimited` keep for ever.
pub(super) fn judge_at(
    points: &[Point],
    keep: &Keep,
    zone: &Zone,
    ended: Option<Timestamp>,
) -> Vec<Kept> {
    let mut kept = vec![Kept::default(); points.len()];
    let mut dated: Vec<Dated> =
        points.iter().enumerate().map(|(place, point)| Dated::new(place, *point, zone)).collect();
    // Newest first; of one time, the first that came, and one that counts before one that does not.
    dated.sort_by_key(|Dated { place, point, .. }| {
        (Reverse(point.time), point.received, point.is_suspect, *place)
    });
    // Suspects are judged as if all of them counted, in a second go: they take no one's place.
    let has_suspects = dated.iter().any(|it| it.point.is_suspect);
    let good: Vec<&Dated> = dated.iter().filter(|it| !it.point.is_suspect).collect();
    mark(&good, keep, (zone, ended), |place, rule| kept[place].rules.push(rule));
    if has_suspects {
        let all: Vec<&Dated> = dated.iter().collect();
        mark(&all, keep, (zone, ended), |place, rule| {
            if points[place].is_suspect {
                kept[place].rules.push(rule);
            }
        });
    }
    kept
}

/// Tells each point that a rule keeps; `dated` is newest first.
fn mark(
    dated: &[&Dated],
    keep: &Keep,
    (zone, ended): (&Zone, Option<Timestamp>),
    mut tell: impl FnMut(usize, Rule),
) {
    let Some(newest) = dated.first() else { return };
    let from = ended.unwrap_or(newest.point.time).max(newest.point.time);
    for (rule, reach) in keep.rules() {
        let period = rule.period();
        let since = match reach {
            Reach::Span(span) => span.before(from, zone),
            Reach::Count(count) if ended.is_some() => {
                period.times(*count).and_then(|span| span.before(from, zone))
            }
            Reach::Count(_) | Reach::All => None,
        };
        let is_within = |it: &Dated| since.is_none_or(|since| it.point.time > since);
        let mut left = match reach {
            Reach::Count(count) => Some(*count),
            Reach::All | Reach::Span(_) => None,
        };
        let mut rest = dated;
        while let Some(first) = rest.first().filter(|first| is_within(first)) {
            let same = rest.iter().take_while(|it| it.is_with(first, period)).count();
            let (bucket, older) = rest.split_at(same.max(1));
            rest = older;
            // The keeper of all of a bucket, though the span may begin within it: a longer span must not
            // choose another one.
            let keeper = keeper(bucket, period).unwrap_or(first);
            if is_within(keeper) {
                tell(keeper.place, *rule);
            }
            if let Some(left) = &mut left {
                *left -= 1;
                if *left == 0 {
                    break;
                }
            }
        }
    }
}

/// The one of a bucket, newest first, that is kept: the newest of those that arrived before the period
/// was over, or else the first that arrived.
fn keeper<'a>(bucket: &[&'a Dated], period: Period) -> Option<&'a Dated> {
    let in_time = bucket.iter().find(|it| !it.is_late_for(period));
    in_time.or_else(|| bucket.iter().min_by_key(|it| it.point.received)).copied()
}

impl Dated {
    fn new(place: usize, point: Point, zone: &Zone) -> Self {
        let dated = |at: Timestamp, arrived| {
            let civil = zone.civil(at);
            let date = civil.date();
            let year = i64::from(date.year());
            let day = (year * 16 + i64::from(date.month())) * 32 + i64::from(date.day());
            let week = date.iso_week_date();
            Self {
                place,
                point,
                hour: day * 32 + i64::from(civil.hour()),
                day,
                week: i64::from(week.year()) * 64 + i64::from(week.week()),
                month: year * 16 + i64::from(date.month()),
                year,
                arrived,
            }
        };
        let is_later = point.received > point.time;
        let arrived = is_later.then(|| Box::new(dated(point.received, None)));
        dated(point.time, arrived)
    }

    fn period(&self, period: Period) -> Option<i64> {
        match period {
            Period::Point => None,
            Period::Hour => Some(self.hour),
            Period::Day => Some(self.day),
            Period::Week => Some(self.week),
            Period::Month => Some(self.month),
            Period::Year => Some(self.year),
        }
    }

    fn is_with(&self, other: &Self, period: Period) -> bool {
        self.period(period).is_some_and(|mine| other.period(period) == Some(mine))
    }

    /// Whether it arrived when the period of its time was over.
    fn is_late_for(&self, period: Period) -> bool {
        self.arrived.as_ref().is_some_and(|arrived| !arrived.is_with(self, period))
    }
}
