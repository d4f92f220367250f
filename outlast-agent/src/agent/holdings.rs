//! Holdings: asking the vault what it holds at this moment, and letting go of that alone.

use std::collections::{BTreeMap, BTreeSet};

use outlast_drop::{ReceiptState, Share, receipt};
use outlast_types::WorkloadName;
use outlast_wire::holdings::QUESTION_DROPS_MAX;

use super::Agent;
use crate::action::Action;
use crate::line::Confirmed;
use crate::problem::Met;
use crate::report::PassReport;
use crate::secured::KeepRule;

impl Agent {
    /// Asks for all that is held on the share, if this run of the vault was not asked yet: at the
    /// start, and when the vault was away or began anew.
    pub(super) fn ask_what_is_held(&mut self, share: &Share, report: &mut PassReport) {
        if !self.line.must_ask() || self.line.is_waiting() {
            return;
        }
        let held = self.watcher.held();
        if held.is_empty() {
            return;
        }
        let lost = match self.line.confirm_all(held) {
            Ok(confirmed) => confirmed.lost,
            // The vault is away, which is told when the pass is.
            Err(reason) => return tracing::debug!("{reason}"),
        };
        if lost.is_empty() {
            return;
        }
        for address in lost {
            self.apply(share, Action::ShipAgain(address), report);
        }
        if let Err(reason) = self.show_receipts(share) {
            self.line.ask_again();
            report.problems.push(Met::HoldingsUnknown.because(reason));
        }
    }

    /// Shows the vault all that it signed, as far as it lies on the share, so that it can tell
    /// people what it has forgotten.
    fn show_receipts(&mut self, share: &Share) -> Result<(), String> {
        let mut batch = Vec::new();
        for workload in self.watcher.workloads() {
            let states = receipt::list(share, &workload).map_err(|error| error.to_string())?;
            let vaulted = ReceiptState::Vaulted;
            let is_vaulted = |states: &BTreeSet<ReceiptState>| states.contains(&vaulted);
            for (drop, _) in states.into_iter().filter(|(_, states)| is_vaulted(states)) {
                // One that cannot be read says nothing to the vault, either.
                let Ok(Some(signed)) = receipt::read(share, &workload, drop, vaulted) else {
                    continue;
                };
                batch.extend(String::from_utf8(signed.bytes().to_vec()));
                if batch.len() == QUESTION_DROPS_MAX {
                    self.line.show(std::mem::take(&mut batch))?;
                }
            }
        }
        if batch.is_empty() { Ok(()) } else { self.line.show(batch) }
    }

    /// Releases what the keep rule lets go of these workloads, of that what its holder holds at this
    /// moment.
    pub(super) fn release_excess<'n>(
        &mut self,
        share: &Share,
        workloads: impl Iterator<Item = &'n WorkloadName>,
        report: &mut PassReport,
    ) {
        let rule = KeepRule::vaulted(self.config.keep);
        let mut releasable: BTreeMap<_, _> =
            workloads.flat_map(|workload| self.watcher.releasable(workload, rule)).collect();
        // What another backup product is to have stays until it has, as far as its rules want that (I1).
        releasable.retain(|address, _| self.handovers.let_go(address));
        if releasable.is_empty() || self.line.is_waiting() {
            return;
        }
        // A receipt is of the past. Nothing is freed but on the holder's signed word of now (I1).
        match self.line.confirm(releasable) {
            Ok(confirmed) => {
                let refused = confirmed.refused.iter().map(|address| &address.workload);
                for workload in refused.collect::<BTreeSet<_>>() {
                    let reason =
                        format!("workload {workload} is not granted to this agent any more");
                    report.problems.push(Met::HoldingsUnknown.because(reason));
                }
                for action in endings(confirmed) {
                    self.apply(share, action, report);
                }
            }
            Err(reason) => report.problems.push(Met::HoldingsUnknown.because(reason)),
        }
    }
}

/// The actions for releasable drops, now that their holder has answered. One that was just brought back lets
/// nothing go until it has heard all its agents; it has the incident, so it is no problem of ours.
fn endings(confirmed: Confirmed) -> Vec<Action> {
    let held = if confirmed.is_withheld { BTreeMap::new() } else { confirmed.held };
    let lost = confirmed.lost.into_iter().map(Action::ShipAgain);
    let held = held.into_iter().map(|(address, secured)| Action::Release { address, secured });
    lost.chain(held).collect()
}
