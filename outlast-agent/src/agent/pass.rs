//! A pass over the share: what lies there, and what each drop needs.

use std::collections::BTreeMap;

use outlast_drop::Share;
use outlast_types::WorkloadName;

use super::Agent;
use crate::Shutdown;
use crate::action::{Action, Hop, Parcel};
use crate::board::Seen;
use crate::decision::decide;
use crate::report::PassReport;
use crate::watcher::{Observation, ObservedDrop};
use crate::workload::{Entrusted, place};

impl Agent {
    /// Does what the share asks for; what was seen of each workload, for the report.
    pub(super) fn look_over(
        &mut self,
        share: &Share,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> BTreeMap<WorkloadName, Seen> {
        for signed in std::mem::take(&mut self.unwritten) {
            self.record(share, signed, report);
        }
        // Before the look, so that it finds each drop as far as it has come.
        self.take_cleared(share, report);
        self.hear_of_hauls(share, report, shutdown);
        // Before the look, too, which then finds the new drops.
        self.adopt(share, report, shutdown);
        let Observation { is_usable, workloads, remembered, problems, names_waiting, is_all } =
            self.watcher.look(share, report.started, shutdown);
        report.is_share_usable = is_usable;
        report.problems.extend(problems);
        self.board.count(|figures| figures.names_waiting = names_waiting);
        let remembered = remembered.into_iter();
        let mut seen: BTreeMap<_, _> = remembered
            .map(|(name, declared)| (name, Seen { declared, ..Seen::default() }))
            .collect();
        let mut closable = Vec::new();
        self.queue.begin(report.started, &workloads.iter().map(|it| &it.name).collect());
        for workload in workloads {
            if shutdown.is_requested() {
                return seen;
            }
            self.moved();
            let sighted = workload.drops.iter().map(|drop| place(&drop.address)).collect();
            if workload.is_whole {
                self.shipper.retain(&workload.name, &sighted);
            }
            if !workload.closable.is_empty() {
                closable.push((workload.name.clone(), workload.closable));
            }
            self.show_to_handovers(&workload.drops);
            workload.drops.into_iter().for_each(|drop| self.tend(share, drop, report));
            // Where so many are empty that they come by turns, they are told as one problem.
            if !(workload.is_empty && names_waiting > 0) {
                let declared = workload.declared;
                seen.insert(workload.name, Seen { declared, ..Seen::default() });
            }
        }
        if is_all {
            self.handovers.has_seen_all();
        }
        self.watcher.close(share, closable, shutdown);
        self.ask_what_is_held(share, report);
        if shutdown.is_requested() {
            return seen;
        }
        self.tell_of_handovers(share, report);
        self.release_excess(share, seen.keys(), report);
        self.free_confirmed(share, seen.keys(), report);
        // Before the work that may take long.
        self.tell_of_room(share, report);
        self.ship(share, report, shutdown);
        self.sweep_receipts(share, report.started, shutdown);
        for (workload, seen) in &mut seen {
            seen.waiting = self.queue.waiting(workload);
            let bytes = self.queue.bytes(workload);
            seen.waiting_bytes = bytes.saturating_sub(self.pace.read_of(workload));
            seen.share_bytes = bytes.saturating_add(self.watcher.held_bytes(workload));
            report.waiting += seen.waiting;
        }
        seen
    }

    /// Does with a drop what it needs.
    fn tend(&mut self, share: &Share, drop: ObservedDrop, report: &mut PassReport) {
        let ObservedDrop { address, custody, still, bytes, is_brought_back } = drop;
        let Some(action) = decide(&address, custody, still, self.config.grace) else { return };
        if let Action::Ship(Parcel { hop: hop @ (Hop::Sealed | Hop::Accepted), seal, .. }) = action
        {
            self.queue.weigh(&address, bytes);
            if self.handovers.is_instead(&address.workload) && !is_brought_back {
                return self.entrust(share, &address, (hop, Entrusted { seal, bytes }), report);
            }
        }
        self.apply(share, action, report);
    }
}
