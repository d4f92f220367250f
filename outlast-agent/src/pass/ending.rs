//! How a drop's life on the share ends: held, released, refused or abandoned.

use std::collections::BTreeMap;

use outlast_drop::{
    DropAddress, ReceiptState, Rejection, ReleaseError, Share, SignedReceipt, abandon, quarantine,
    release,
};
use outlast_types::{ProblemKind, WorkloadName};

use crate::agent::{Agent, Place};
use crate::custody::{self, Standing, Vaulted};
use crate::decision::releasable;
use crate::report::PassReport;
use crate::ship;

impl Agent {
    /// Keeps a drop that the vault said it holds, until the keep rule lets it go.
    pub(super) fn hold(&mut self, address: &DropAddress, vaulted: Vaulted) {
        self.forget(address);
        let desk = self.desks.entry(address.workload.clone()).or_default();
        desk.held.insert(address.clone(), vaulted);
    }

    /// Releases what the keep rule allows, of that what the vault holds at this moment.
    pub(super) fn let_go(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        report: &mut PassReport,
    ) {
        let Some(desk) = self.desks.get(workload) else { return };
        let candidates: BTreeMap<_, _> = releasable(&desk.held, self.config.keep)
            .into_iter()
            .filter_map(|address| Some((address.clone(), desk.held.get(&address)?.clone())))
            .collect();
        if candidates.is_empty() || self.road.is_waiting(self.environment.timer.elapsed()) {
            return;
        }
        // A receipt is of the past. Nothing is freed but on the vault's signed word of now (I1).
        match self.confirm(candidates, report) {
            Ok(confirmed) => {
                for (address, vaulted) in confirmed {
                    self.release(share, &address, &vaulted, report);
                }
            }
            Err(problem) => report.note(ProblemKind::Work, None, problem),
        }
    }

    /// Releases a drop that the vault has just said it holds, or goes on with a release after the
    /// drop's seal has gone.
    pub(super) fn release(
        &mut self,
        share: &Share,
        address: &DropAddress,
        vaulted: &Vaulted,
        report: &mut PassReport,
    ) {
        // Whoever looks at the share later must find the proof, and not only the vault's word to
        // us (I1).
        let signed = custody::check_vaulted(share, self.identity.ca_pem(), address, &vaulted.held)
            .and_then(|()| {
                let seal = Some(vaulted.seal());
                self.sign(share, address, ship::Word { seal, ..ReceiptState::Released.into() })
            });
        let untouched = |reason| format!("{address} is not released yet: {reason}");
        let signed = match signed {
            Ok(signed) => signed,
            Err(reason) => return report.problems.push(untouched(reason)),
        };
        match release(share, address, &signed) {
            // Somebody still holds a file open: what is held or half released is tried again.
            Ok(freed) if !freed.is_gone => {
                tracing::debug!(drop = %address, bytes = freed.bytes, "released but for open files");
            }
            Ok(freed) => {
                tracing::info!(drop = %address, bytes = freed.bytes, "released");
                self.forget(address);
                report.released.push(address.clone());
            }
            Err(error) => {
                if matches!(error, ReleaseError::AnotherSeal { .. }) {
                    // It is not what was vaulted, and is judged anew.
                    self.look_again(address);
                }
                report.problems.push(untouched(error.to_string()));
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        share: &Share,
        address: &DropAddress,
        rejection: &Rejection,
        is_incident: bool,
        report: &mut PassReport,
    ) {
        let (code, reason) = (rejection.code(), rejection.to_string());
        let word = ship::Word {
            reason: Some(reason.clone()),
            code: Some(code.clone()),
            ..ReceiptState::Rejected.into()
        };
        let result = self.sign(share, address, word).and_then(|signed| {
            quarantine(share, address, &signed).map_err(|error| error.to_string())
        });
        if let Err(error) = result {
            let problem = format!("{address} cannot be put into quarantine: {error} ({reason})");
            return report.problems.push(problem);
        }
        tracing::warn!(drop = %address, reason, "rejected");
        if is_incident {
            let unreported = self.unreported.entry(address.workload.clone()).or_default();
            unreported.insert(address.drop, (code, reason.clone()));
        }
        self.forget(address);
        report.rejected.push((address.clone(), reason));
    }

    pub(super) fn abandon(
        &mut self,
        share: &Share,
        address: &DropAddress,
        reason: String,
        report: &mut PassReport,
    ) {
        let word = ship::Word { reason: Some(reason.clone()), ..ReceiptState::Abandoned.into() };
        let signed = match self.sign(share, address, word) {
            Ok(signed) => signed,
            Err(problem) => return report.problems.push(problem),
        };
        match abandon(share, address, &signed) {
            // Somebody still holds a file open: the next pass goes on where this one ends.
            Ok(freed) if !freed.is_gone => {
                let desk = self.desks.entry(address.workload.clone()).or_default();
                desk.standings.insert(place(address), Standing::Abandoned);
            }
            Ok(freed) => {
                tracing::info!(drop = %address, reason, bytes = freed.bytes, "abandoned");
                self.forget(address);
                report.abandoned.push(address.clone());
            }
            // Sealed at the last moment: the next pass ships it.
            Err(ReleaseError::Sealed { .. }) => {}
            Err(error) => {
                report.problems.push(format!("{address} cannot be abandoned yet: {error}"));
            }
        }
    }

    /// Stops looking at a drop.
    fn forget(&mut self, address: &DropAddress) {
        self.closed.settle(address);
        self.stillness.forget(address);
        if let Some(desk) = self.desks.get_mut(&address.workload) {
            desk.standings.remove(&place(address));
            desk.snags.remove(&place(address));
            desk.held.remove(address);
            desk.lost.remove(&place(address));
        }
    }

    /// Reads the receipts of a drop, and the drop, again in the next pass.
    pub(super) fn look_again(&mut self, address: &DropAddress) {
        self.closed.unsettle(address);
        if let Some(desk) = self.desks.get_mut(&address.workload) {
            desk.standings.remove(&place(address));
            desk.held.remove(address);
        }
    }

    fn sign(
        &self,
        share: &Share,
        address: &DropAddress,
        word: ship::Word,
    ) -> Result<SignedReceipt, String> {
        ship::sign(share, address, &self.identity, &self.environment, word)
    }
}

/// Where in its workload a drop lies.
pub(super) fn place(address: &DropAddress) -> Place {
    (address.day, address.drop)
}
