//! Shipping what is queued: workload by workload, each drop hop by hop.

use std::time::Duration;

use outlast_drop::{DropAddress, Share};

use super::Agent;
use crate::Shutdown;
use crate::action::{Action, Hop, Parcel};
use crate::report::{PassReport, ShippedDrop};
use crate::secured::Secured;
use crate::shipper::{Step, Turn};

/// After this much shipping, a pass ends and the next begins at once: so new drops are seen and
/// the vault hears of the agent however much there is to do.
const SHIPPING_MAX: Duration = Duration::from_secs(60);

impl Agent {
    /// Ships what is queued, workload by workload.
    pub(super) fn ship(&mut self, share: &Share, report: &mut PassReport, shutdown: &Shutdown) {
        let began = self.elapsed();
        while let Some(parcel) = self.queue.pop() {
            let workload = parcel.address.workload.clone();
            self.moved();
            let is_late = self.elapsed().saturating_sub(began) >= SHIPPING_MAX;
            if is_late || shutdown.is_requested() || self.line.is_waiting() {
                report.more |= is_late;
                return self.queue.push(parcel);
            }
            let turn = match self.shipper.held_up(&parcel.address) {
                Some((turn, problem)) => {
                    report.problems.extend(problem);
                    turn
                }
                None => self.carry(share, parcel, report, shutdown),
            };
            match turn {
                Turn::Next => {}
                Turn::Overtake => self.queue.leave(&workload),
                Turn::Stop => self.queue.leave_all(&workload),
            }
        }
    }

    /// Carries one drop as far as it comes, under one id at every tier.
    fn carry(
        &mut self,
        share: &Share,
        parcel: Parcel,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> Turn {
        let workload = parcel.address.workload.clone();
        if self.shipper.hauls().is_under_way(&workload) {
            return Turn::Stop;
        }
        let id = self.line.begin(&parcel.address);
        let shipment = tracing::info_span!("shipment", id);
        let turn = shipment.in_scope(|| self.carry_on(share, parcel, report, shutdown));
        // One that goes on beside the others does so under its id.
        if !self.shipper.hauls().is_under_way(&workload) {
            self.line.end(&workload);
        }
        turn
    }

    fn carry_on(
        &mut self,
        share: &Share,
        mut parcel: Parcel,
        report: &mut PassReport,
        shutdown: &Shutdown,
    ) -> Turn {
        let limits = self.config.limits_of(&parcel.address.workload);
        loop {
            let step = self.shipper.step(&self.line, share, &mut parcel, limits, shutdown);
            if parcel.hop == Hop::Shipped {
                // It was read, and is not waited for at the share.
                self.queue.weigh(&parcel.address, 0);
            }
            match self.take(share, step, report) {
                Some(Turn::Next) => {
                    self.release_excess(share, &parcel.address.workload, report);
                    return Turn::Next;
                }
                Some(turn) => return turn,
                None => {}
            }
        }
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
            if let Action::Hold { address, secured } = &action {
                report.vaulted.push(arrived(address, secured));
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
