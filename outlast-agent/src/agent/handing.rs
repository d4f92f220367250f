//! What passes and hand-overs have to tell each other.

use outlast_drop::{Share, receipt};

use super::Agent;
use crate::custody::CustodyState;
use crate::handover::{Asking, Telling};
use crate::problem::Met;
use crate::receipts::Reader;
use crate::report::PassReport;
use crate::statement::Statement;
use crate::watcher::ObservedDrop;
use crate::workload::Entrusted;

impl Agent {
    /// Lets backup products be asked what they have, where their hand-over wants that. Before the agent runs.
    pub fn ask_products_by(&self, asking: Asking) {
        self.handovers.ask_by(asking);
    }

    /// Lets hand-overs see what lies on the share.
    pub(super) fn show_to_handovers(&mut self, drops: &[ObservedDrop]) {
        if self.handovers.is_empty() {
            return;
        }
        for ObservedDrop { address, custody, is_brought_back, .. } in drops {
            if *is_brought_back {
                // The product has it already; the vault is to have it, too.
                self.handovers.exempt(address);
                continue;
            }
            let waits = matches!(custody, CustodyState::Sealed(_) | CustodyState::Accepted(_));
            let first_seen = waits.then(|| self.queue.sight(address));
            let limits = self.config.limits_of(&address.workload);
            self.handovers.see(address, custody, (limits, first_seen));
        }
    }

    /// Tells the share who has read drops that are handed over, and who has them. A drop that has no
    /// receipt yet stays in the directory.
    pub(super) fn tell_of_handovers(&mut self, share: &Share, report: &mut PassReport) {
        if self.handovers.wants_all() {
            for (address, secured) in self.watcher.held() {
                let limits = self.config.limits_of(&address.workload);
                self.handovers.see(&address, &CustodyState::Vaulted(secured), (limits, None));
            }
            for (address, Entrusted { seal, .. }) in self.watcher.all_entrusted() {
                let limits = self.config.limits_of(&address.workload);
                self.handovers.see(&address, &CustodyState::Accepted(seal), (limits, None));
            }
        }
        for telling in self.handovers.untold(share.id()) {
            let (address, state) = (&telling.address, telling.state);
            match self.tell(share, &telling) {
                Ok(()) => {
                    tracing::info!(drop = %address, back = telling.is_taken_back, "{state}");
                    self.handovers.told(&telling);
                }
                Err(error) => {
                    let met = Met::ReceiptUnwritten(address.clone(), state);
                    return report.problems.push(met.because(error));
                }
            }
        }
    }

    /// Writes one receipt, in which what it says of other hand-overs stays as it was; or takes it back.
    fn tell(&self, share: &Share, telling: &Telling) -> Result<(), String> {
        let Telling { address, state, seal, handover, .. } = telling;
        let reader = Reader { share, authority: &self.authority };
        let said = reader.handed(&address.workload, address.drop, *state)?;
        let said = said.filter(|it| it.seal == *seal).map(|it| it.handover);
        let handover = match telling.is_taken_back {
            true => said.and_then(|said| said.without(&handover.handover)),
            false => Some(handover.clone().beside(said)),
        };
        if handover.is_none() {
            let taken = receipt::withdraw(share, &address.workload, address.drop, *state);
            return taken.map_err(|error| error.to_string());
        }
        let statement = Statement { seal: Some(*seal), handover, ..(*state).into() };
        let signed = self.scribe.sign(share, address, statement)?;
        receipt::write(share, &signed).map_err(|error| error.to_string())
    }
}
