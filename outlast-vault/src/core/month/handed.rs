//! What backup products have of a workload in a month, and what that makes of its recovery points: since the
//! third form. Months of before count what the vault took in, and come out as they did.

use std::collections::BTreeMap;

use outlast_promise::Safe;
use outlast_types::{DropId, Timestamp};
use serde::Serialize;

use super::begun::NAMED_MAX;
use crate::core::audit::EntryJson;

/// What the vault and backup products have of the drops of a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Handed {
    /// What makes a drop a recovery point, by policy, at the end.
    pub(super) safe: Safe,
    /// Drops that the vault took in, that a product confirmed, and of these the ones that it has no more. Without
    /// those that are none.
    pub(super) vaulted: u64,
    pub(super) confirmed: u64,
    pub(super) withdrawn: u64,
    /// Promises among the missed ones that an incident of somebody else explains: of the platform, or of a product.
    pub(super) explained: u64,
    /// By which jobs, on whose word.
    pub(super) confirmations: Vec<Confirmation>,
    #[serde(skip)]
    drops: BTreeMap<DropId, Came>,
    /// Snapshots that are no drops.
    #[serde(skip)]
    others: Vec<Timestamp>,
}

/// That a product has a drop, or has it no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Confirmation {
    pub(super) at: Timestamp,
    /// The entry that says so.
    pub(super) number: u64,
    pub(super) drop: String,
    pub(super) recovery_point: Option<Timestamp>,
    pub(super) agent: String,
    pub(super) handover: String,
    pub(super) product: Option<String>,
    pub(super) job: Option<String>,
    pub(super) by: Option<String>,
    /// The BLAKE3 of what the agent keeps of it.
    pub(super) evidence: Option<String>,
    /// Why it is no recovery point.
    pub(super) suspect: Option<String>,
    pub(super) withdrawn: Option<Timestamp>,
    pub(super) reason: Option<String>,
}

/// What is known of a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Came {
    at: Timestamp,
    vaulted: bool,
    confirmed: bool,
    /// By what policy said then.
    is_point: bool,
    is_suspect: bool,
}

impl Handed {
    /// The vault took a drop in. Whether nothing of it was told before.
    pub(super) fn arrived(&mut self, entry: &EntryJson, at: Timestamp) -> bool {
        let is_suspect = entry.details.contains_key("suspect");
        let Some(drop) = drop_of(entry) else {
            self.vaulted += 1;
            self.others.push(at);
            return true;
        };
        let safe = safe_of(entry);
        let (is_new, came) = self.came(drop, at);
        let was_vaulted = std::mem::replace(&mut came.vaulted, true);
        came.confirmed |= entry.details.contains_key("confirmed");
        came.judge(safe, is_suspect);
        self.vaulted += u64::from(!was_vaulted && !is_suspect);
        // What was confirmed in a month of before was told of then.
        is_new && !entry.details.contains_key("confirmed")
    }

    /// A product has a drop. Whether nothing of it was told before.
    pub(super) fn confirmed(&mut self, entry: &EntryJson) -> bool {
        let text = |name: &str| entry.details.get(name).cloned();
        let point = text("recovery_point").and_then(|text| text.parse().ok());
        let suspect = text("suspect");
        let Some(drop) = drop_of(entry) else { return false };
        // What it was already in a month of before is no point of this one.
        let is_of_before = entry.details.contains_key("again") && !self.drops.contains_key(&drop);
        if is_of_before {
            self.name(entry, drop, point, suspect);
            return false;
        }
        let safe = safe_of(entry);
        let (is_new, came) = self.came(drop, point.unwrap_or(entry.at));
        let was_confirmed = std::mem::replace(&mut came.confirmed, true);
        came.vaulted |= entry.details.contains_key("vaulted");
        came.judge(safe, suspect.is_some());
        self.confirmed += u64::from(!was_confirmed && suspect.is_none());
        self.name(entry, drop, point, suspect);
        is_new && !entry.details.contains_key("vaulted")
    }

    /// Names a confirmation, if there is room.
    fn name(
        &mut self,
        entry: &EntryJson,
        drop: DropId,
        recovery_point: Option<Timestamp>,
        suspect: Option<String>,
    ) {
        if self.confirmations.len() >= NAMED_MAX {
            return;
        }
        let text = |name: &str| entry.details.get(name).cloned();
        self.confirmations.push(Confirmation {
            at: entry.at,
            number: entry.number,
            drop: drop.to_string(),
            recovery_point,
            agent: entry.actor.clone(),
            handover: text("handover").unwrap_or_default(),
            product: text("product"),
            job: text("job"),
            by: text("by"),
            evidence: text("evidence"),
            suspect,
            withdrawn: None,
            reason: None,
        });
    }

    /// A product has a drop no more. If it is of a month of before: the point that it was, and the newest one that is left.
    pub(super) fn withdraw(&mut self, entry: &EntryJson) -> Option<(Timestamp, Timestamp)> {
        let drop = drop_of(entry)?;
        let safe = safe_of(entry);
        self.withdrawn += 1;
        let (text, handover) = (drop.to_string(), entry.details.get("handover"));
        let mut told = self.confirmations.iter_mut().rev();
        let of_drop = |told: &&mut Confirmation| {
            told.drop == text && Some(&told.handover) == handover && told.withdrawn.is_none()
        };
        if let Some(told) = told.find(of_drop) {
            (told.withdrawn, told.reason) = (Some(entry.at), entry.details.get("reason").cloned());
        }
        let is_elsewhere =
            self.confirmations.iter().any(|told| told.drop == text && told.withdrawn.is_none());
        if is_elsewhere {
            return None;
        }
        if let Some(came) = self.drops.get_mut(&drop) {
            came.confirmed = false;
            came.judge(safe, came.is_suspect);
            return None;
        }
        let time = |name: &str| entry.details.get(name)?.parse().ok();
        Some((time("recovery_point")?, time("left_point")?))
    }

    /// Whether there is more to say than of any workload.
    pub(super) fn is_worth_telling(&self) -> bool {
        let Self { safe, confirmed, withdrawn, explained, .. } = self;
        *safe != Safe::default() || confirmed + withdrawn + explained > 0
    }

    /// Drops that are none.
    pub(super) fn suspect(&self) -> u64 {
        self.drops.values().filter(|came| came.is_suspect).count() as u64
    }

    /// The recovery points in their order.
    pub(super) fn points(&self) -> Vec<Timestamp> {
        let drops = self.drops.values().filter(|came| came.is_point).map(|came| came.at);
        let mut points: Vec<Timestamp> = drops.chain(self.others.iter().copied()).collect();
        points.sort_unstable();
        points
    }

    fn came(&mut self, drop: DropId, at: Timestamp) -> (bool, &mut Came) {
        let is_new = !self.drops.contains_key(&drop);
        let came = self.drops.entry(drop).or_insert(Came {
            at,
            vaulted: false,
            confirmed: false,
            is_point: false,
            is_suspect: false,
        });
        (is_new, came)
    }
}

impl Came {
    fn judge(&mut self, safe: Safe, is_suspect: bool) {
        self.is_suspect = is_suspect;
        self.is_point = !is_suspect && safe.is_met(self.vaulted, self.confirmed);
    }
}

fn drop_of(entry: &EntryJson) -> Option<DropId> {
    entry.object.as_deref()?.parse().ok()
}

/// What policy counted, as an entry says; of one that does not say, what the vault has.
fn safe_of(entry: &EntryJson) -> Safe {
    entry.details.get("safe").and_then(|text| text.parse().ok()).unwrap_or_default()
}
