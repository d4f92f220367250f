//! Adopting files, and removing those that the vault holds where a rule says so.

use std::collections::BTreeMap;

use outlast_drop::adopt::{self, Found};
use outlast_drop::{DropAddress, Share};

use super::Agent;
use crate::Shutdown;
use crate::problem::Met;
use crate::receipts::Reader;
use crate::report::PassReport;
use crate::secured::{KeepRule, Secured};

impl Agent {
    /// Makes drops of the files that the rules find, as far as that does not take long.
    pub(super) fn adopt(&mut self, share: &Share, report: &mut PassReport, shutdown: &Shutdown) {
        let Self { adopter, config, .. } = self;
        let limits = |workload: &_| config.limits_of(workload);
        report.more |= adopter.work(share, report.started, &limits, shutdown);
        if shutdown.is_requested() {
            return;
        }
        self.remove_adopted(share, report);
        self.adopter.tell(share, report.started);
        report.problems.extend(self.adopter.problems(share));
    }

    /// Removes files of rules that say so, of whose drops the vault says that it holds them now.
    fn remove_adopted(&mut self, share: &Share, report: &mut PassReport) {
        if self.line.is_waiting() {
            return;
        }
        let removable = self.adopter.removable();
        if removable.is_empty() {
            return;
        }
        let held = self.watcher.held();
        let mut asked: BTreeMap<DropAddress, Secured> = BTreeMap::new();
        let mut files: Vec<(Found, DropAddress)> = Vec::new();
        for (found, address) in removable {
            let secured = match held.get(&address) {
                Some(secured) => Some(secured.clone()),
                None => self.secured_before(share, &address),
            };
            match secured.filter(is_safe) {
                Some(secured) => {
                    asked.insert(address.clone(), secured);
                    files.push((found, address));
                }
                None => self.adopter.stays(&found, None),
            }
        }
        if asked.is_empty() {
            return;
        }
        // A receipt is of the past. Nothing is removed but on the holder's signed word of now (I1).
        let confirmed = match self.line.confirm(asked) {
            Ok(confirmed) => confirmed,
            Err(reason) => return report.problems.push(Met::HoldingsUnknown.because(reason)),
        };
        for (found, address) in files {
            if confirmed.is_withheld || !confirmed.held.contains_key(&address) {
                self.adopter.stays(&found, None);
                continue;
            }
            match adopt::remove(share, &found, &address) {
                Ok(is_gone) => self.adopter.removed(&found, &address, is_gone),
                Err(error) => self.adopter.stays(&found, Some(error.to_string())),
            }
        }
    }

    /// The proof that a drop was vaulted whose data has left the share.
    fn secured_before(&self, share: &Share, address: &DropAddress) -> Option<Secured> {
        if self.watcher.holds(address) {
            // It lies there, and is on its way.
            return None;
        }
        let reader = Reader { share, authority: &self.authority };
        let found = reader.vaulted(&address.workload, address.drop).ok().flatten();
        found.filter(|(of, _)| of == address).map(|(_, secured)| secured)
    }
}

/// Whether a drop is a recovery point in the vault, as far as its receipt tells: of a suspect one, the file may be
/// all that there is.
fn is_safe(secured: &Secured) -> bool {
    KeepRule::vaulted(0).counts(secured) && !secured.is_doubtful
}
