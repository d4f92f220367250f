//! How a drop's life on the share ends: held, released, refused or abandoned.

use outlast_drop::{
    DropAddress, ReceiptState, ReleaseError, Share, SignedReceipt, abandon, quarantine, release,
};
use outlast_types::{Timestamp, WorkloadName};

use crate::agent::Agent;
use crate::custody::{self, Standing};
use crate::decision::releasable;
use crate::report::PassReport;
use crate::ship;

impl Agent {
    /// Keeps a drop that the vault has held since `at`, until the keep rule lets it go.
    pub(super) fn hold(&mut self, address: &DropAddress, at: Timestamp) {
        self.forget(address);
        let desk = self.desks.entry(address.workload.clone()).or_default();
        desk.held.insert(address.clone(), at);
    }

    /// Releases what the keep rule allows.
    pub(super) fn let_go(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        report: &mut PassReport,
    ) {
        let Some(desk) = self.desks.get(workload) else { return };
        for address in releasable(&desk.held, self.config.keep) {
            self.release(share, &address, report);
        }
    }

    pub(super) fn release(
        &mut self,
        share: &Share,
        address: &DropAddress,
        report: &mut PassReport,
    ) {
        // Whoever looks at the share later must find the proof, and not only the vault's word to
        // us (I1).
        let result = custody::check_vaulted(share, self.identity.ca_pem(), address)
            .and_then(|()| self.sign(share, address, ReceiptState::Released, None))
            .and_then(|signed| release(share, address, &signed).map_err(|error| error.to_string()));
        match result {
            // Somebody still holds a file open: what is held or half released is tried again.
            Ok(freed) if !freed.is_gone => {
                tracing::debug!(drop = %address, bytes = freed.bytes, "released but for open files");
            }
            Ok(freed) => {
                tracing::info!(drop = %address, bytes = freed.bytes, "released");
                self.forget(address);
                report.released.push(address.clone());
            }
            Err(error) => report.problems.push(format!("{address} is not released yet: {error}")),
        }
    }

    pub(super) fn refuse(
        &mut self,
        share: &Share,
        address: &DropAddress,
        reason: String,
        is_incident: bool,
        report: &mut PassReport,
    ) {
        let state = ReceiptState::Rejected;
        let result = self.sign(share, address, state, Some(reason.clone())).and_then(|signed| {
            quarantine(share, address, &signed).map_err(|error| error.to_string())
        });
        if let Err(error) = result {
            let problem = format!("{address} cannot be put into quarantine: {error} ({reason})");
            return report.problems.push(problem);
        }
        tracing::warn!(drop = %address, reason, "rejected");
        if is_incident {
            let unreported = self.unreported.entry(address.workload.clone()).or_default();
            unreported.insert(address.drop, reason.clone());
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
        let state = ReceiptState::Abandoned;
        let signed = match self.sign(share, address, state, Some(reason.clone())) {
            Ok(signed) => signed,
            Err(problem) => return report.problems.push(problem),
        };
        match abandon(share, address, &signed) {
            // Somebody still holds a file open: the next pass goes on where this one ends.
            Ok(freed) if !freed.is_gone => {
                let desk = self.desks.entry(address.workload.clone()).or_default();
                desk.standings.insert(address.drop, Standing::Abandoned);
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
        self.vigil.forget(address.drop);
        if let Some(desk) = self.desks.get_mut(&address.workload) {
            desk.standings.remove(&address.drop);
            desk.snags.remove(&address.drop);
            desk.held.remove(address);
        }
    }

    fn sign(
        &self,
        share: &Share,
        address: &DropAddress,
        state: ReceiptState,
        reason: Option<String>,
    ) -> Result<SignedReceipt, String> {
        ship::sign(
            share,
            address,
            &self.identity,
            &self.doors,
            ship::Word { state, reason, size: None },
        )
    }
}
