//! Shipping what is queued: some workloads side by side, of each one drop after the other, hop by hop.

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_drop::{DropAddress, Share};
use outlast_types::WorkloadName;

use super::Agent;
use crate::Shutdown;
use crate::action::{Action, Hop, Parcel};
use crate::custody::Proven;
use crate::report::{PassReport, ShippedDrop};
use crate::secured::Secured;
use crate::shipper::{Hopped, Step, Turn};

/// After this much shipping, a pass ends and the next begins at once: so new drops are seen and
/// the vault hears of the agent however much there is to do.
const SHIPPING_MAX: Duration = Duration::from_secs(60);

impl Agent {
    /// Ships what is queued, the workloads by turns. What takes long goes on beside the passes.
    pub(super) fn ship(&mut self, share: &Share, report: &mut PassReport, shutdown: &Shutdown) {
        let began = self.elapsed();
        loop {
            self.moved();
            self.hear_of_hauls(share, report, shutdown);
            if shutdown.is_requested() {
                break;
            }
            let is_late = self.elapsed().saturating_sub(began) >= SHIPPING_MAX;
            if !is_late && !self.line.is_waiting() {
                self.begin_hauls(share, report, shutdown);
            }
            if is_late {
                let takes = |workload: &WorkloadName| self.shipper.hauls().takes(workload);
                report.more |= self.queue.has(takes);
                break;
            }
            if !self.shipper.hauls_mut().wait() {
                break;
            }
        }
        self.release_excess_of_vaulted(share, report);
    }

    /// Begins to carry drops as long as there are places for them.
    fn begin_hauls(&mut self, share: &Share, report: &mut PassReport, shutdown: &Shutdown) {
        // Those of which a drop is just being copied for another backup product: it is read once, and shipped from there.
        let copied = self.handovers.holding();
        loop {
            let hauls = self.shipper.hauls();
            let is_free = |name: &WorkloadName| hauls.takes(name) && !copied.contains(name);
            let Some(parcel) = self.queue.pop(is_free) else { break };
            match self.shipper.held_up(&parcel.address) {
                Some((turn, problem)) => {
                    report.problems.extend(problem);
                    self.leave(&parcel.address.workload, turn);
                }
                None => self.carry(share, parcel, report, shutdown),
            }
        }
        let hauls = self.shipper.hauls();
        let waits = |is_long: bool| {
            self.queue.has(|name| {
                !hauls.is_under_way(name)
                    && hauls.is_long(name) == is_long
                    && !copied.contains(name)
            })
        };
        let (long_waits, other_waits) = (waits(true), waits(false));
        if long_waits || other_waits {
            self.shipper.hauls_mut().make_room(long_waits, other_waits);
        }
    }

    /// Begins to carry one drop as far as it comes, under one id at every tier.
    fn carry(
        &mut self,
        share: &Share,
        parcel: Parcel,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) {
        let first_seen = self.queue.since(&parcel.address);
        let copy = match parcel.hop {
            Hop::Sealed | Hop::Accepted => self.handovers.copy_of(&parcel.address),
            Hop::Shipped => None,
        };
        let parcel = Parcel { first_seen, copy, ..parcel };
        let address = parcel.address.clone();
        let limits = self.config.limits_of(&address.workload);
        self.queue.carry(&address);
        let id = self.line.begin(&address);
        let shipment = tracing::info_span!("shipment", id);
        let failed =
            shipment.in_scope(|| self.shipper.begin(&self.line, share, parcel, limits, shutdown));
        if let Some(step) = failed {
            self.line.end(&address.workload);
            self.queue.put_down(&address);
            if let Some(turn) = self.take(share, step, report) {
                self.leave(&address.workload, turn);
            }
        }
    }

    /// Hears what came of drops that are, or were, under way.
    pub(super) fn hear_of_hauls(
        &mut self,
        share: &Share,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) {
        while let Some(hopped) = self.shipper.hopped() {
            let Hopped { share: of, parcel, step, has_stopped, span } = hopped;
            let address = parcel.address.clone();
            if has_stopped {
                self.line.end(&address.workload);
                self.queue.put_down(&address);
            }
            if of.id() != share.id() {
                continue;
            }
            if parcel.hop == Hop::Shipped {
                // It was read, and is not waited for at the share.
                self.queue.weigh(&address, 0);
            }
            match span.in_scope(|| self.take(share, step, report)) {
                Some(turn) => self.leave(&address.workload, turn),
                // It goes on from another hop than it seemed.
                None if has_stopped => self.carry(share, parcel, report, shutdown),
                None => {}
            }
        }
    }

    /// Leaves to a later pass what cannot go on now.
    fn leave(&mut self, workload: &WorkloadName, turn: Turn) {
        match turn {
            Turn::Next => {}
            Turn::Overtake => self.queue.leave(workload),
            Turn::Stop => self.queue.leave_all(workload),
        }
    }

    /// Releases what goes for the drops that were vaulted in this pass.
    fn release_excess_of_vaulted(&mut self, share: &Share, report: &mut PassReport) {
        let vaulted = report.vaulted.iter().map(|drop| drop.address.workload.clone());
        let vaulted: BTreeSet<WorkloadName> = vaulted.collect();
        self.release_excess(share, vaulted.iter(), report);
    }

    /// Does what follows from a hop.
    pub(super) fn take(
        &mut self,
        share: &Share,
        step: Step,
        report: &mut PassReport,
    ) -> Option<Turn> {
        let Step { actions, problems, taken, turn } = step;
        report.problems.extend(problems);
        self.board.count(|figures| {
            figures.bytes_read += taken.read;
            figures.bytes_known += taken.read.saturating_sub(taken.new);
            figures.bytes_sent += taken.sent;
        });
        for action in actions {
            match &action {
                Action::Hold { address, secured } => {
                    report.vaulted.push(arrived(address, secured));
                    self.handovers.loaded(address);
                }
                Action::Advance { address, proven: Proven::Shipped { .. } } => {
                    self.handovers.loaded(address);
                }
                _ => {}
            }
            self.apply(share, action, report);
        }
        turn
    }
}

fn arrived(address: &DropAddress, secured: &Secured) -> ShippedDrop {
    let (snapshot, bytes) = (secured.held.snapshot.to_string(), secured.held.size);
    tracing::info!(drop = %address, %snapshot, bytes, "vaulted");
    ShippedDrop { address: address.clone(), snapshot, bytes }
}
