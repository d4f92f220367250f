//! What drops that were made tell of a workload: the other way round.

use outlast_promise::Keep;

use crate::churn::{CHUNK, CHUNK_NAMED, CHUNK_OVERHEAD, Churn, DROP_OVERHEAD};
use crate::description::{DROPS_A_DAY_MAX, Description, Workload};
use crate::history::{departures, held, stored_after};
use crate::moments::Horizon;

const DAY: f64 = 86_400.0;
/// Drops that are looked at: the newest ones.
const LOOKED_AT: usize = 60;
/// Without a first drop, nobody knows what compression leaves.
const COMPRESSES_TO: f64 = 0.5;
/// Growth is told from so much time at least.
const GROWTH_DAYS: f64 = 28.0;

/// A drop that the vault holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Made {
    /// Seconds since 1970.
    pub at: i64,
    pub content: f64,
    /// What of it was new, and is stored.
    pub stored: f64,
}

/// What the vault says of a workload beside its drops.
#[derive(Debug, Clone)]
pub struct Said {
    pub name: String,
    pub keep: Option<Keep>,
    /// Hours in which a recovery point is promised.
    pub within: Option<f64>,
    /// Whether the oldest of the drops is the first that there ever was.
    pub begins: bool,
}

/// A workload as its drops show it, oldest first; nothing if there are fewer than three.
pub fn measured(said: Said, made: &[Made], site: &str) -> Option<Workload> {
    let [first, .., newest] = made else { return None };
    let recent = &made[made.len().saturating_sub(LOOKED_AT)..];
    // The first one is all new.
    let later = if recent.len() == made.len() { &recent[1..] } else { recent };
    if later.len() < 2 {
        return None;
    }
    let days = (newest.at - later[0].at) as f64 / DAY;
    // All of less than a day are of one day.
    let a_day = if days >= 1.0 { (later.len() - 1) as f64 / days } else { later.len() as f64 };
    let drops_a_day = a_day.round().clamp(1.0, f64::from(DROPS_A_DAY_MAX));
    let compresses_to = match said.begins && first.content > 0.0 {
        true => {
            let own = first.content / CHUNK * (CHUNK_OVERHEAD + CHUNK_NAMED) + DROP_OVERHEAD;
            ((first.stored - own) / first.content).clamp(0.001, 1.0)
        }
        false => COMPRESSES_TO,
    };
    let new = |it: &Made| {
        let own = it.content / CHUNK * CHUNK_NAMED + DROP_OVERHEAD;
        ((it.stored - own) / (compresses_to + CHUNK_OVERHEAD / CHUNK) / it.content.max(1.0))
            .clamp(0.0, 1.0)
    };
    let change = later.iter().map(new).sum::<f64>() / later.len() as f64;
    let past = (newest.at - first.at) as f64 / DAY;
    let growth = if past >= GROWTH_DAYS && first.content > 0.0 {
        ((newest.content / first.content).powf(365.25 / past) - 1.0).clamp(0.0, 10.0)
    } else {
        0.0
    };
    // Growth is new, too, and counted by itself.
    let grown = (1.0 + growth).powf(1.0 / (365.25 * drops_a_day)) - 1.0;
    Some(Workload {
        name: said.name,
        site: site.to_owned(),
        count: 1,
        size: newest.content,
        growth,
        change: (change - grown).max(0.0),
        edit: None,
        compresses_to,
        is_compressed_on_share: true,
        drops_a_day: count(drops_a_day),
        at: count((newest.at.rem_euclid(86_400) / 60) as f64),
        keep: said.keep,
        within: said.within.unwrap_or(24.0),
        servers: 1,
        releases: 0.0,
    })
}

fn count(value: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "callers give small numbers")]
    #[expect(clippy::cast_sign_loss, reason = "callers give positive numbers")]
    let count = value as u32;
    count
}

/// What a plan expects of one workload of a kind at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    pub drops_a_day: f64,
    pub size: f64,
    /// What an ordinary drop adds.
    pub stored: f64,
    pub snapshots: f64,
    /// What the vault holds of it.
    pub vault: f64,
}

/// What is expected so many days after the plan's beginning.
pub fn expected(description: &Description, workload: &Workload, days: f64) -> Expected {
    let horizon = Horizon::of(description);
    let churn = Churn::of(workload);
    let times = horizon.drops(workload);
    let gone = departures(&times, workload.keep.as_ref(), &description.zone, &horizon);
    let at = (days * DAY).clamp(0.0, horizon.seconds());
    let held = held(&times, &gone, &churn, &[at]).pop().unwrap_or_default();
    let interval = DAY / f64::from(workload.drops_a_day.max(1));
    Expected {
        drops_a_day: workload.drops_in(1.0),
        size: churn.size_at(at),
        stored: stored_after(&churn, Some((at - interval).max(0.0)), at.max(interval)),
        snapshots: held.snapshots,
        vault: held.bytes,
    }
}
