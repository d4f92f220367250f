//! What backup products have now, by all that was heard: what a drop that no vault holds is let go for.
//!
//! It is asked for like what is held: with a nonce, in the moment before something is freed. A record of a confirmation is of
//! its time; that nobody has taken it back since, and that policy counts it, only this says.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::WorkloadName;
use outlast_wire::Certified;
use outlast_wire::holdings::{HandedDrop, HandedNow};

use super::deliveries::Delivered;
use super::error::VaultError;
use super::vault::Vault;

impl Vault {
    /// Which of these are confirmed now; and of which workloads policy does not count that alone. What is not granted
    /// to `asker` is `refused`.
    pub(crate) fn handed_now(
        &self,
        asked: Vec<HandedDrop>,
        asker: &Certified,
        refused: &mut BTreeSet<WorkloadName>,
    ) -> Result<(Vec<HandedNow>, Vec<WorkloadName>), VaultError> {
        let mut by_workload: BTreeMap<WorkloadName, Vec<HandedDrop>> = BTreeMap::new();
        for asked in asked {
            if !self.is_granted(asker, &asked.drop.workload) {
                refused.insert(asked.drop.workload);
                continue;
            }
            by_workload.entry(asked.drop.workload.clone()).or_default().push(asked);
        }
        let (mut handed, mut unsafe_alone) = (Vec::new(), Vec::new());
        for (workload, asked) in by_workload {
            let present = self.present(&workload);
            if !self.promises.is_safe_confirmed(present) {
                unsafe_alone.push(workload);
                continue;
            }
            let known = self.deliveries.of(present)?;
            for asked in asked {
                let is_it =
                    |it: &&Delivered| it.handover == asked.handover && it.drop == asked.drop;
                let confirmed = known.iter().find(is_it).filter(|it| it.is_confirmed());
                let Some(confirmed) = confirmed else { continue };
                let (point, is_doubtful) = (confirmed.point, self.is_in_doubt(confirmed)?);
                handed.push(HandedNow { handed: asked, point, is_doubtful });
            }
        }
        Ok((handed, unsafe_alone))
    }
}
