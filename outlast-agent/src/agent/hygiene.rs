//! Hygiene: a word to writers where there is no room, and receipts that nobody needs any more.
//!
//! A receipt goes when the vault has had the custody record of its drop for long enough, and says so now: both
//! times are by the vault's clock, and the answer is signed, and not older than the question. That the drop's data has gone before
//! is for the rules of release.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use outlast_drop::{DropAddress, NoticeCode, NoticeLevel, ReceiptState, Share, notice, receipt};
use outlast_types::{DropId, Timestamp, WorkloadName};
use outlast_wire::holdings::QUESTION_DROPS_MAX;

use super::Agent;
use crate::Shutdown;
use crate::adopter::Kept;
use crate::notices::Word;
use crate::problem::Met;
use crate::receipts::Reader;
use crate::report::PassReport;
use crate::secured::Secured;

/// Drops of one workload whose receipts are looked at in one round, the oldest first.
const DROPS_MAX: usize = 200;
/// How far ahead of ours the clock of a writer may be before the time in a drop's id is no word about its age.
const AHEAD_MAX: Duration = Duration::from_secs(2 * 86_400);

impl Agent {
    /// Tells writers where there is no room, and where there is again.
    pub(super) fn tell_of_room(&mut self, share: &Share, report: &mut PassReport) {
        let budgets = &self.config.budgets;
        let pressures = match budgets.is_limited() {
            true => budgets.pressures(&self.watcher.usage()),
            false => BTreeMap::new(),
        };
        let mut is_share_full = None;
        for (workload, pressure) in &pressures {
            match (pressure.level, pressure.code) {
                (NoticeLevel::Warn, _) => {}
                (NoticeLevel::Refuse, NoticeCode::WorkloadBudget) => {
                    let met = Met::OverBudget(workload.clone());
                    report.problems.push(met.because(pressure.reason.clone()));
                }
                (NoticeLevel::Refuse, NoticeCode::ShareBudget) => {
                    is_share_full.get_or_insert_with(|| pressure.reason.clone());
                }
            }
        }
        self.hatch.is_full(is_share_full.is_some());
        if let Some(reason) = is_share_full {
            let reason = format!("those who have most of the share drop nothing now: {reason}");
            report.problems.push(Met::ShareOverBudget.because(reason));
        }
        for word in self.notices.due(&pressures, self.elapsed()) {
            let said = match &word {
                Word::Say(notice) => notice::write(share, notice),
                Word::TakeBack(workload) => notice::withdraw(share, workload),
            };
            match said {
                Ok(()) => {
                    let (pressure, elapsed) = (pressures.get(word.workload()), self.elapsed());
                    self.notices.said(&word, pressure, elapsed);
                }
                Err(error) => {
                    let met = Met::NoticeUnwritten(word.workload().clone());
                    report.problems.push(met.because(error.to_string()));
                }
            }
        }
    }

    /// Removes old receipts, of a few workloads in each pass.
    pub(super) fn sweep_receipts(&mut self, share: &Share, now: Timestamp, shutdown: &Shutdown) {
        if self.line.is_waiting() {
            return;
        }
        let watcher = &self.watcher;
        let taken = self.sweep.take(self.environment.timer.elapsed(), || watcher.workloads());
        let kept = self.adopter.kept();
        let mut asked = BTreeMap::new();
        for workload in taken {
            if shutdown.is_requested() {
                return;
            }
            match self.old_receipts(share, &workload, &kept, now) {
                Ok(found) => asked.extend(found),
                Err(error) => tracing::debug!(%workload, "its receipts stay for now: {error}"),
            }
            if asked.len() >= QUESTION_DROPS_MAX {
                self.remove_recorded(share, std::mem::take(&mut asked));
            }
        }
        self.remove_recorded(share, asked);
    }

    /// Vaulted drops of a workload that have left the share, and whose receipts are old as far as we can say. Those
    /// of files that were adopted and lie there still stay, too: they say that these were taken. Those
    /// of abandoned drops, of which nobody but this share ever knew, are removed at once when they are old.
    fn old_receipts(
        &self,
        share: &Share,
        workload: &WorkloadName,
        kept: &Kept,
        now: Timestamp,
    ) -> Result<Vec<(DropAddress, Secured)>, String> {
        let keep = self.config.receipts_keep;
        let old = now.saturating_sub(keep);
        // Only what its writer claims, and it only spares us to look at each receipt in every round.
        let may_be_old = |drop: DropId| {
            let claimed = drop.claimed_time();
            claimed <= old || claimed > now.saturating_add(AHEAD_MAX)
        };
        let found = receipt::oldest(share, workload, may_be_old, DROPS_MAX);
        let found = found.map_err(|error| error.to_string())?;
        let reader = Reader { share, authority: &self.authority };
        let mut recorded = Vec::new();
        for (drop, states) in found {
            if states.contains(&ReceiptState::Vaulted) {
                let Some((address, secured)) = reader.vaulted(workload, drop)? else { continue };
                let is_old = now.since(secured.at) >= keep;
                let is_done = is_old && kept.lets_go(&address) && !self.watcher.holds(&address);
                if is_done && is_gone(share, &address) {
                    recorded.push((address, secured));
                }
            } else if states.contains(&ReceiptState::Confirmed) {
                // What a product alone has: its record is in the vault's log since the vault signed that.
                let Some((address, at)) = reader.confirmed_since(workload, drop)? else { continue };
                let is_done = kept.lets_go(&address) && !self.watcher.holds(&address);
                if is_done && now.since(at) >= keep && is_gone(share, &address) {
                    remove(share, &address, &states);
                }
            } else if states == BTreeSet::from([ReceiptState::Abandoned]) {
                let Some((address, at)) = reader.abandoned(workload, drop)? else { continue };
                if now.since(at) >= keep && is_gone(share, &address) {
                    remove(share, &address, &states);
                }
            }
        }
        Ok(recorded)
    }

    /// Removes the receipts of those drops of which the vault says that it has had their record for long enough.
    fn remove_recorded(&self, share: &Share, asked: BTreeMap<DropAddress, Secured>) {
        if asked.is_empty() {
            return;
        }
        let recorded = match self.line.recorded(asked) {
            Ok(recorded) => recorded,
            // The vault is away, which is told when the pass is.
            Err(reason) => return tracing::debug!("receipts stay for now: {reason}"),
        };
        for (address, since) in recorded {
            if since < self.config.receipts_keep {
                continue;
            }
            let wanted = BTreeSet::from([address.drop]);
            let all = outlast_drop::files::NAMES_MAX;
            match receipt::find(share, &address.workload, &wanted, all) {
                Ok(found) => {
                    found
                        .states
                        .get(&address.drop)
                        .iter()
                        .for_each(|it| remove(share, &address, it));
                }
                Err(error) => tracing::debug!(drop = %address, "its receipts stay: {error}"),
            }
        }
    }
}

/// Whether nothing of a drop lies on the share.
fn is_gone(share: &Share, address: &DropAddress) -> bool {
    let found = share.directory().and_then(|root| root.descend(&address.components()));
    found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Removes the receipts of a drop; that which proves most goes last, so that whoever is broken off leaves it for the next.
fn remove(share: &Share, address: &DropAddress, states: &BTreeSet<ReceiptState>) {
    let most = [ReceiptState::Vaulted, ReceiptState::Confirmed];
    let most = most.into_iter().find(|state| states.contains(state));
    let (last, first): (Vec<ReceiptState>, Vec<ReceiptState>) =
        states.iter().partition(|state| Some(**state) == most);
    for state in first.into_iter().chain(last) {
        if let Err(error) = receipt::withdraw(share, &address.workload, address.drop, state) {
            return tracing::debug!(drop = %address, "its {state} receipt stays: {error}");
        }
    }
    tracing::debug!(drop = %address, "its receipts are old, and were removed");
}
