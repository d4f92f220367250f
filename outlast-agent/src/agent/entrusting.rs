//! Drops that backup products are to have alone: never shipped, and freed for a confirmation.
//!
//! Three must agree before anything is freed: what our own desk knows of the product's jobs, the vault's signed word of this
//! moment, and the receipt on the share that says so to whoever looks later (I1). The newest that are confirmed stay, as
//! those that the vault holds do.

use std::collections::{BTreeMap, BTreeSet};

use outlast_drop::{DropAddress, ReceiptState, Share};
use outlast_types::{ContentHash, DropIdentity, Timestamp, WorkloadName};
use outlast_wire::holdings::{HandedDrop, HandedNow};

use super::Agent;
use crate::action::{Action, Hop};
use crate::line::ConfirmedNow;
use crate::problem::Met;
use crate::receipts::Reader;
use crate::report::PassReport;
use crate::statement::Statement;
use crate::workload::Entrusted;

/// A drop that the products have by all that we know ourselves.
struct Candidate {
    address: DropAddress,
    seal: ContentHash,
    /// In each of these hand-overs.
    handed: Vec<HandedDrop>,
}

impl Agent {
    /// Leaves a drop to the products that are to have it alone, once it lies where they read; until then it waits.
    pub(super) fn entrust(
        &mut self,
        share: &Share,
        address: &DropAddress,
        (hop, entrusted): (Hop, Entrusted),
        report: &mut PassReport,
    ) {
        if let Some(rejection) = self.handovers.rejection(address, entrusted.seal) {
            self.handovers.forget(address);
            let address = address.clone();
            return self.apply(share, Action::Refuse { address, rejection }, report);
        }
        if !self.handovers.has(address) {
            return self.queue.leave(&address.workload);
        }
        if hop == Hop::Sealed {
            // Whoever brought it there has verified every hash.
            let (state, seal) = (ReceiptState::Accepted, entrusted.seal);
            let size = Some(entrusted.bytes);
            let statement = Statement { seal: Some(seal), size, ..state.into() };
            match self.scribe.sign(share, address, statement) {
                Ok(signed) => self.record(share, signed, report),
                Err(error) => {
                    let met = Met::ReceiptUnwritten(address.clone(), state);
                    return report.problems.push(met.because(error));
                }
            }
        }
        self.queue.done(address);
        self.watcher.entrust(address, entrusted);
    }

    /// Frees drops of these workloads that products have alone, of those the ones that the rules let go.
    pub(super) fn free_confirmed<'n>(
        &mut self,
        share: &Share,
        workloads: impl Iterator<Item = &'n WorkloadName>,
        report: &mut PassReport,
    ) {
        if self.handovers.is_empty() || self.line.is_waiting() {
            return;
        }
        let keep = self.config.keep.max(1);
        let mut all: BTreeMap<WorkloadName, Vec<Candidate>> = BTreeMap::new();
        for workload in workloads {
            if !self.handovers.frees_alone(workload) {
                continue;
            }
            let mut lying = self.watcher.entrusted(workload);
            // Those that still wait for their way to the vault, where rules want no vault.
            let waiting = self.queue.unread(workload);
            lying.extend(waiting.map(|(address, seal)| (address, Entrusted { seal, bytes: 0 })));
            if lying.len() <= keep {
                continue;
            }
            let confirmed: Vec<_> =
                lying.into_iter().filter_map(|it| self.candidate(share, it)).collect();
            let addresses = confirmed.iter().map(|it| &it.address);
            if confirmed.len() > keep && !self.handovers.stays(workload, addresses, self.elapsed())
            {
                all.insert(workload.clone(), confirmed);
            }
        }
        if all.is_empty() {
            return;
        }
        let handed = all.values().flatten().flat_map(|it| it.handed.clone()).collect();
        match self.line.confirm_handed(handed) {
            Ok(now) if now.is_withheld => {}
            Ok(now) => {
                self.tell_what_is_unsafe(&now.unsafe_alone, report);
                for (workload, candidates) in all {
                    let is_silent =
                        now.unsafe_alone.contains(&workload) || now.refused.contains(&workload);
                    if !is_silent {
                        self.free_excess(share, (&workload, candidates), (&now, keep), report);
                    }
                }
            }
            Err(reason) => report.problems.push(Met::HoldingsUnknown.because(reason)),
        }
    }

    fn candidate(
        &self,
        share: &Share,
        (address, entrusted): (DropAddress, Entrusted),
    ) -> Option<Candidate> {
        let seal = entrusted.seal;
        let DropAddress { workload, day, drop } = address.clone();
        let drop = DropIdentity { share: share.id(), workload, day, drop, seal };
        let names = self.handovers.confirmed_by(&address)?.into_iter();
        let handed = names.map(|handover| HandedDrop { handover, drop: drop.clone() }).collect();
        Some(Candidate { address, seal, handed })
    }

    /// Frees what is beyond the newest of one workload that the vault knows as confirmed. Doubtful ones are counted by
    /// themselves: however many come, no good one goes for them.
    fn free_excess(
        &mut self,
        share: &Share,
        (workload, candidates): (&WorkloadName, Vec<Candidate>),
        (now, keep): (&ConfirmedNow, usize),
        report: &mut PassReport,
    ) {
        let (mut good, mut doubtful, mut unknown) = (Vec::new(), Vec::new(), 0);
        for candidate in candidates {
            match believed(&candidate, &now.handed) {
                Some((point, false)) => good.push((point, candidate)),
                Some((point, true)) => doubtful.push((point, candidate)),
                None => {
                    unknown += 1;
                    self.tell_again(share, &candidate, now);
                }
            }
        }
        if unknown == 0 && good.len().max(doubtful.len()) <= keep {
            let all = good.into_iter().chain(doubtful).map(|(_, it)| it.address);
            return self.handovers.stay(workload, all.collect(), self.elapsed());
        }
        for mut known in [good, doubtful] {
            known.sort_by(|(left, one), (right, other)| {
                (right, &other.address).cmp(&(left, &one.address))
            });
            for (_, Candidate { address, seal, .. }) in known.into_iter().skip(keep) {
                self.apply(share, Action::Free { address, seal }, report);
            }
        }
    }

    /// The vault has forgotten what it once heard, or never did: it hears it now, as it signed it where it did.
    fn tell_again(&self, share: &Share, candidate: &Candidate, now: &ConfirmedNow) {
        let reader = Reader { share, authority: &self.authority };
        let signed = reader.confirmed(&candidate.address, candidate.seal).unwrap_or_default();
        let is_unknown = |it: &&HandedDrop| !now.handed.iter().any(|handed| handed.handed == **it);
        let unknown = candidate.handed.iter().filter(is_unknown);
        let unknown_to = unknown.map(|it| it.handover.as_str());
        tracing::debug!(drop = %candidate.address, "the vault does not know that it is confirmed; telling it again");
        self.handovers.tell_again(&candidate.address, unknown_to, &signed);
    }

    fn tell_what_is_unsafe(&self, workloads: &BTreeSet<WorkloadName>, report: &mut PassReport) {
        let Some(first) = workloads.first() else { return };
        let others = match workloads.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more workloads)"),
        };
        let reason = format!(
            "{first}{others} is handed over instead of to the vault, and the vault's policy does not count that \
             as safe: say `safe = \"confirmed\"` in vault.toml, or take `instead` out of agent.toml"
        );
        report.problems.push(Met::HoldingsUnknown.because(reason));
    }
}

/// When a drop is of and whether it is doubtful, if the vault knows it as confirmed in each of its hand-overs.
fn believed(candidate: &Candidate, now: &[HandedNow]) -> Option<(Timestamp, bool)> {
    let of = |handed: &HandedDrop| now.iter().find(|it| it.handed == *handed);
    let known: Option<Vec<&HandedNow>> = candidate.handed.iter().map(of).collect();
    let known = known.filter(|it| !it.is_empty())?;
    let point = known.iter().map(|it| it.point).max()?;
    Some((point, known.iter().any(|it| it.is_doubtful)))
}
