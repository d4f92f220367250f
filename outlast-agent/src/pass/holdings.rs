//! Asking the vault what it holds now.
//!
//! At the start, when the vault was away or began anew, and before every release. What it does not
//! hold although it once signed for it is shipped again, as long as it is on the share; and the
//! vault is shown what it signed, so that it can tell people what it has forgotten.

use std::collections::BTreeMap;

use outlast_drop::{DropAddress, ReceiptState, Share, receipt};
use outlast_types::{ProblemKind, WorkloadName};
use outlast_wire::holdings::{Answer, Nonce, QUESTION_DROPS_MAX, Question};

use super::ending::place;
use crate::agent::Agent;
use crate::custody::Vaulted;
use crate::report::PassReport;

impl Agent {
    /// Asks for all that is held on the share for the vault, if this run of the vault was not asked
    /// yet.
    pub(super) fn ask_what_is_held(&mut self, share: &Share, report: &mut PassReport) {
        let is_asked = self.asked_run.is_some() && self.asked_run == self.vault_run;
        if is_asked || self.road.is_waiting(self.environment.timer.elapsed()) {
            return;
        }
        let held: BTreeMap<DropAddress, Vaulted> =
            self.desks.values().flat_map(|desk| desk.held.clone()).collect();
        if held.is_empty() {
            return;
        }
        let count = held.len();
        let asked = match self.confirm(held, report) {
            Ok(confirmed) => confirmed.len(),
            // The vault is away, which is told when the pass is.
            Err(problem) => return tracing::debug!("{problem}"),
        };
        if asked < count
            && let Err(problem) = self.show_receipts(share)
        {
            self.asked_run = None;
            report.note(ProblemKind::Work, None, problem);
        }
    }

    /// Those of `held` that the vault says it holds at this moment. The others are to be shipped
    /// again.
    pub(super) fn confirm(
        &mut self,
        mut held: BTreeMap<DropAddress, Vaulted>,
        report: &mut PassReport,
    ) -> Result<BTreeMap<DropAddress, Vaulted>, String> {
        let mut confirmed = BTreeMap::new();
        while !held.is_empty() {
            let rest = held.keys().nth(QUESTION_DROPS_MAX).cloned();
            let rest = rest.map(|first| held.split_off(&first)).unwrap_or_default();
            let batch = std::mem::replace(&mut held, rest);
            let drops = batch.values().map(|vaulted| vaulted.held.clone()).collect();
            let answer = self.ask(drops, Vec::new())?;
            for (address, vaulted) in batch {
                if answer.held.contains(&vaulted.held) {
                    confirmed.insert(address, vaulted);
                } else {
                    self.ship_again(&address);
                    report.more = true;
                }
            }
        }
        Ok(confirmed)
    }

    fn ask(
        &mut self,
        drops: Vec<outlast_wire::holdings::HeldDrop>,
        receipts: Vec<String>,
    ) -> Result<Answer, String> {
        let nonce = Nonce::new(&*self.environment.random);
        let question = Question { nonce, drops, receipts };
        let answer = self.upstream.holdings(&question).map_err(|error| {
            format!("the vault was not asked what it holds, so nothing is released: {error}")
        })?;
        let answer = answer
            .verify(self.identity.ca_pem(), &question.nonce)
            .map_err(|error| format!("nothing is released: {error}"))?;
        (self.vault_run, self.asked_run) = (Some(answer.run.clone()), Some(answer.run.clone()));
        Ok(answer)
    }

    fn ship_again(&mut self, address: &DropAddress) {
        tracing::warn!(drop = %address, "the vault does not hold this drop any more; shipping it again");
        // What is remembered of the repository is of a time that the vault has forgotten, too.
        self.repositories.forget(&address.workload);
        self.look_again(address);
        self.desks.entry(address.workload.clone()).or_default().lost.insert(place(address));
    }

    /// Shows the vault all that it signed, as far as it lies on the share.
    fn show_receipts(&mut self, share: &Share) -> Result<(), String> {
        let mut batch = Vec::new();
        let workloads: Vec<WorkloadName> = self.desks.keys().cloned().collect();
        for workload in workloads {
            let states = receipt::list(share, &workload).map_err(|error| error.to_string())?;
            let vaulted =
                states.iter().filter(|(_, states)| states.contains(&ReceiptState::Vaulted));
            for drop in vaulted.map(|(drop, _)| *drop) {
                let read = receipt::read(share, &workload, drop, ReceiptState::Vaulted);
                // One that cannot be read says nothing to the vault, either.
                let Ok(Some(signed)) = read else { continue };
                batch.extend(String::from_utf8(signed.bytes().to_vec()));
                if batch.len() == QUESTION_DROPS_MAX {
                    self.ask(Vec::new(), std::mem::take(&mut batch))?;
                }
            }
        }
        if !batch.is_empty() {
            self.ask(Vec::new(), batch)?;
        }
        Ok(())
    }
}
