//! Which snapshots of a workload may go, and what keeps each of the others.
//!
//! Rules alone do not decide. A snapshot stays by the policy of today or by the one that was in force when it
//! came, whichever keeps it longer: a typo in a policy destroys nothing. What came lately stays, and what is
//! not of now by the vault's clock; of a workload that lives, so do the newest good ones and the last that
//! was proved to be restorable, whatever the rules.

use std::fmt;
use std::time::Duration;

use outlast_civil::Zone;
use outlast_types::Timestamp;

use super::judge::{Point, judge_at};
use super::keep::{Keep, Rule};

/// So many good snapshots stay of a workload that is not retired.
const NEWEST_GOOD: usize = 3;
/// What is so much later than the vault's own time fills no rule: a clock was wrong.
const FUTURE: Duration = Duration::from_secs(86_400);

/// A snapshot of which is decided.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub point: Point,
    /// The rules that were in force when it came.
    pub recorded: Option<&'a Keep>,
    /// By the vault's receipt, whoever says what.
    pub immutable_until: Option<Timestamp>,
    /// Whether it is the last one that passed a drill.
    pub is_drilled: bool,
    /// Whether somebody holds it.
    pub is_held: bool,
}

/// What holds for all snapshots of a workload.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// The rules of today. Without any, nothing goes.
    pub keep: Option<&'a Keep>,
    pub zone: &'a Zone,
    /// How long each stays after it came.
    pub min_age: Duration,
    pub is_retired: bool,
    pub now: Timestamp,
}

/// What keeps a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A rule of today.
    Rule(Rule),
    /// A rule that was in force when it came.
    Recorded(Rule),
    /// There are no rules.
    NoRules,
    /// It is one of the newest good ones.
    NewestGood,
    LastDrilled,
    /// It has not been here for long enough.
    Young {
        until: Timestamp,
    },
    Immutable {
        until: Timestamp,
    },
    Held,
}

impl Reason {
    /// Whether nobody can overrule it, not even two.
    pub fn is_final(self) -> bool {
        self.is_a_bar() || matches!(self, Self::NewestGood | Self::LastDrilled)
    }

    /// Whether somebody or a date forbids it, whatever rules say.
    pub fn is_a_bar(self) -> bool {
        matches!(self, Self::Immutable { .. } | Self::Held)
    }
}

/// As a list shows it: `daily`, `recorded:yearly`, `newest-good`, `immutable`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Recorded(rule) => write!(f, "recorded:{rule}"),
            Self::NoRules => f.write_str("no-rules"),
            Self::NewestGood => f.write_str("newest-good"),
            Self::LastDrilled => f.write_str("last-drilled"),
            Self::Young { .. } => f.write_str("young"),
            Self::Immutable { .. } => f.write_str("immutable"),
            Self::Held => f.write_str("held"),
        }
    }
}

/// What keeps each of `candidates`, in their order; those of which nothing is said may go.
pub fn plan(candidates: &[Candidate<'_>], conditions: &Conditions<'_>) -> Vec<Vec<Reason>> {
    let now = conditions.now;
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); candidates.len()];
    let horizon = now.saturating_add(FUTURE);
    let points: Vec<(usize, Point)> = candidates
        .iter()
        .map(|candidate| candidate.point)
        .enumerate()
        .filter(|(_, point)| point.time <= horizon)
        .collect();
    let ended = conditions.is_retired.then_some(now);
    let kept_by = |keep: &Keep| {
        let bare: Vec<Point> = points.iter().map(|(_, point)| *point).collect();
        let judged = judge_at(&bare, keep, conditions.zone, ended);
        points.iter().map(|(place, _)| *place).zip(judged)
    };
    match conditions.keep {
        None => reasons.iter_mut().for_each(|reasons| reasons.push(Reason::NoRules)),
        Some(keep) => {
            for (place, kept) in kept_by(keep) {
                reasons[place].extend(kept.rules.into_iter().map(Reason::Rule));
            }
        }
    }
    let mut known: Vec<&Keep> = Vec::new();
    for keep in candidates.iter().filter_map(|candidate| candidate.recorded) {
        if conditions.keep == Some(keep) || known.contains(&keep) {
            continue;
        }
        known.push(keep);
        for (place, kept) in kept_by(keep) {
            if candidates[place].recorded == Some(keep) {
                reasons[place].extend(kept.rules.into_iter().map(Reason::Recorded));
            }
        }
    }
    if !conditions.is_retired {
        for place in newest_good(&points) {
            reasons[place].push(Reason::NewestGood);
        }
    }
    for (reasons, candidate) in reasons.iter_mut().zip(candidates) {
        reasons.extend(by_itself(candidate, conditions));
    }
    reasons
}

/// The places of the newest good ones: of one time, those that came first.
fn newest_good(points: &[(usize, Point)]) -> Vec<usize> {
    let mut good: Vec<(usize, Point)> =
        points.iter().filter(|(_, point)| !point.is_suspect).copied().collect();
    good.sort_by(|(_, a), (_, b)| b.time.cmp(&a.time).then(a.received.cmp(&b.received)));
    good.into_iter().take(NEWEST_GOOD).map(|(place, _)| place).collect()
}

/// What keeps it whatever else there is.
fn by_itself(candidate: &Candidate<'_>, conditions: &Conditions<'_>) -> Vec<Reason> {
    let Conditions { min_age, now, is_retired, .. } = *conditions;
    let mut reasons = Vec::new();
    if candidate.is_drilled && !is_retired {
        reasons.push(Reason::LastDrilled);
    }
    let Point { time, received, .. } = candidate.point;
    let until = received.max(time).saturating_add(min_age);
    if until > now {
        reasons.push(Reason::Young { until });
    }
    if let Some(until) = candidate.immutable_until.filter(|until| *until > now) {
        reasons.push(Reason::Immutable { until });
    }
    if candidate.is_held {
        reasons.push(Reason::Held);
    }
    reasons
}
