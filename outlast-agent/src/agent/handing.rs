//! What passes and hand-overs have to tell each other.

use outlast_drop::{Share, receipt};

use super::Agent;
use crate::custody::CustodyState;
use crate::handover::Asking;
use crate::problem::Met;
use crate::report::PassReport;
use crate::statement::Statement;
use crate::watcher::ObservedDrop;

impl Agent {
    /// Lets backup products be asked what they have, where their hand-over wants that. Before the agent runs.
    pub fn ask_products_by(&self, asking: Asking) {
        self.handovers.ask_by(asking);
    }

    /// Lets hand-overs see what lies on the share.
    pub(super) fn show_to_handovers(&self, drops: &[ObservedDrop]) {
        if self.handovers.is_empty() {
            return;
        }
        for ObservedDrop { address, custody, .. } in drops {
            self.handovers.see(address, custody, self.config.limits_of(&address.workload));
        }
    }

    /// Tells the share who has read drops that are handed over, and who has them. A drop that has no
    /// receipt yet stays in the directory.
    pub(super) fn tell_of_handovers(&mut self, share: &Share, report: &mut PassReport) {
        if self.handovers.wants_all() {
            for (address, secured) in self.watcher.held() {
                let limits = self.config.limits_of(&address.workload);
                self.handovers.see(&address, &CustodyState::Vaulted(secured), limits);
            }
        }
        for telling in self.handovers.untold(share.id()) {
            let (address, state) = (&telling.address, telling.state);
            let written = if telling.is_taken_back {
                let taken = receipt::withdraw(share, &address.workload, address.drop, state);
                taken.map_err(|error| error.to_string())
            } else {
                let (seal, handover) = (Some(telling.seal), Some(telling.handover.clone()));
                let statement = Statement { seal, handover, ..state.into() };
                self.scribe.sign(share, address, statement).and_then(|signed| {
                    receipt::write(share, &signed).map_err(|error| error.to_string())
                })
            };
            match written {
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
}
