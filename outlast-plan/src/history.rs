//! Which drops the vault holds, day by day: by the rules that it runs itself.

use std::time::Duration;

use outlast_civil::Zone;
use outlast_promise::{Candidate, Conditions, Keep, Point, plan};

use crate::churn::Churn;
use crate::moments::Horizon;

/// What no rule keeps is not forgotten before: the vault's own default.
const MIN_AGE: Duration = Duration::from_secs(7 * 86_400);
/// A forgotten snapshot is hidden for a week, and its packs are removed a day after that.
pub(crate) const LINGERS: f64 = 8.0 * 86_400.0;
/// The part of what stays that may be unneeded before a vault copies packs together.
pub(crate) const UNUSED: f64 = 0.05;
/// Beyond so many drops, the rules are asked every few days only.
const ASKED_DAILY: usize = 4_000;

/// When each drop leaves the vault's disk: seconds since the beginning, or never.
pub(crate) fn departures(
    times: &[f64],
    keep: Option<&Keep>,
    zone: &Zone,
    horizon: &Horizon,
) -> Vec<Option<f64>> {
    let mut gone = vec![None; times.len()];
    let Some(keep) = keep else { return gone };
    let (mut here, mut next): (Vec<usize>, usize) = (Vec::new(), 0);
    let pause = 1 + times.len() / ASKED_DAILY;
    for end in horizon.day_ends().into_iter().step_by(pause) {
        while times.get(next).is_some_and(|at| *at < end) {
            here.push(next);
            next += 1;
        }
        let candidates: Vec<Candidate<'_>> = here
            .iter()
            .map(|place| Candidate {
                point: Point::at(horizon.moment(times[*place])),
                recorded: Some(keep),
                immutable_until: None,
                is_drilled: false,
                is_held: false,
            })
            .collect();
        let now = horizon.moment(end);
        let conditions =
            Conditions { keep: Some(keep), zone, min_age: MIN_AGE, is_retired: false, now };
        let reasons = plan(&candidates, &conditions);
        let mut stays = reasons.iter().map(|reasons| !reasons.is_empty());
        here.retain(|place| {
            let stays = stays.next().unwrap_or(true);
            if !stays {
                gone[*place] = Some(end + LINGERS);
            }
            stays
        });
    }
    gone
}

/// What the vault holds of one workload at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) snapshots: f64,
    pub(crate) bytes: f64,
}

/// What it holds at each of `moments`.
pub(crate) fn held(
    times: &[f64],
    gone: &[Option<f64>],
    churn: &Churn,
    moments: &[f64],
) -> Vec<Held> {
    // What was ever stored, drop by drop: the most that can lie there unneeded.
    let mut ever = Vec::with_capacity(times.len() + 1);
    let mut sum = 0.0;
    ever.push(sum);
    for (place, at) in times.iter().enumerate() {
        sum += stored_after(churn, place.checked_sub(1).map(|before| times[before]), *at);
        ever.push(sum);
    }
    let of = |moment: &f64| {
        let (mut held, mut before, mut came) = (Held::default(), None, 0);
        for (at, gone) in times.iter().zip(gone).take_while(|(at, _)| *at < moment) {
            came += 1;
            if gone.is_none_or(|gone| gone > *moment) {
                held.snapshots += 1.0;
                held.bytes += stored_after(churn, before, *at);
                before = Some(*at);
            }
        }
        let unneeded = (ever[came] - held.bytes).max(0.0);
        held.bytes += unneeded.min(held.bytes * UNUSED);
        held
    };
    moments.iter().map(of).collect()
}

/// What one drop adds to what an earlier one has.
pub(crate) fn stored_after(churn: &Churn, before: Option<f64>, at: f64) -> f64 {
    let new = before.map_or_else(|| churn.size_at(at), |before| churn.new_since(before, at));
    churn.stored(new, at)
}
