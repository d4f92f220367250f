//! Actions applied: the one place where the share, and what is known of drops, change.

use outlast_drop::left;
use outlast_drop::{
    DropAddress, DropReadError, ReceiptState, Rejection, SealedDrop, Share, SignedReceipt, receipt,
};
use outlast_types::DropIdentity;
use outlast_wire::api::StoppedWriter;

use super::Agent;
use crate::action::Action;
use crate::custody::{Ground, Proven, Refusal};
use crate::lifecycle::{End, Lifecycle};
use crate::problem::Met;
use crate::receipts;
use crate::report::PassReport;

impl Agent {
    /// Does one thing about one drop. Nothing else changes the share, or what is known of drops.
    pub(super) fn apply(&mut self, share: &Share, action: Action, report: &mut PassReport) {
        let lifecycle = Lifecycle { share, scribe: &self.scribe, authority: &self.authority };
        let is_released = matches!(action, Action::Release { .. } | Action::Free { .. });
        let is_removed = is_released || matches!(action, Action::Abandon { .. });
        let (address, end) = match action {
            Action::Ship(parcel) => return self.queue.push(parcel),
            Action::Reconsider { address, untold } => {
                return self.reconsider(share, address, untold, report);
            }
            Action::TakeBack(address) => return self.take_back(share, address, report),
            Action::Record(signed) => return self.record(share, *signed, report),
            Action::Advance { address, proven } => return self.watcher.advance(&address, proven),
            Action::Hold { address, secured } => {
                self.queue.done(&address);
                if !secured.counts_now {
                    // Whoever has the signer's key may have made it: the vault must say so, too.
                    self.line.ask_again();
                }
                return self.watcher.hold(&address, secured);
            }
            Action::ShipAgain(address) => {
                tracing::warn!(drop = %address, "the vault does not hold this drop any more; shipping it again");
                report.more = true;
                return self.watcher.lose(&address);
            }
            Action::Settle { address, untold } => {
                untold.into_iter().for_each(|refusal| self.board.refused(&address, refusal));
                (address, End::Done)
            }
            Action::Release { address, secured } => {
                let end = lifecycle.release(&address, &secured);
                (address, end)
            }
            Action::Free { address, seal } => {
                let end = lifecycle.free(&address, seal);
                (address, end)
            }
            Action::Refuse { address, rejection } => {
                if lifecycle.is_given_up(&address, &rejection) {
                    let reason = "its writer sealed what had been given up".to_owned();
                    return self.apply(share, Action::Abandon { address, reason }, report);
                }
                let mut end = lifecycle.refuse(&address, &rejection);
                if let End::Done = end {
                    self.line.give_up(share.id(), &address, &rejection.to_string());
                    self.note_refused(&address, &rejection, report);
                    if rejection.is_torn_seal() {
                        let proven = Proven::Rejected { untold: None, ground: Ground::TornSeal };
                        self.watcher.advance(&address, proven);
                        end = End::Begun;
                    }
                }
                (address, end)
            }
            Action::Abandon { address, reason } => {
                let end = self.abandon(share, &address, &reason, report);
                (address, end)
            }
        };
        if let (End::Done, true) = (&end, is_released) {
            report.released.push(address.clone());
        }
        self.end(address, end, is_removed, report);
    }

    /// Gives up a drop whose writer is dead.
    fn abandon(
        &mut self,
        share: &Share,
        address: &DropAddress,
        reason: &str,
        report: &mut PassReport,
    ) -> End {
        let lifecycle = Lifecycle { share, scribe: &self.scribe, authority: &self.authority };
        let is_first = !lifecycle.is_abandoned(address);
        let stopped = is_first.then(|| self.stopped(share, address)).flatten();
        let end = lifecycle.abandon(address, reason);
        if let (End::Done | End::Begun, Some(stopped)) = (&end, stopped) {
            self.board.stopped(address, stopped);
        }
        match end {
            End::Done => report.abandoned.push(address.clone()),
            End::Begun => self.watcher.advance(address, Proven::Abandoned),
            End::Mistaken(_) | End::Failed(_) => {}
        }
        end
    }

    /// Who wrote a drop that was not sealed, and how far it came: it is told when a promise breaks of it.
    fn stopped(&self, share: &Share, address: &DropAddress) -> Option<StoppedWriter> {
        // What cannot be read is not told, and nobody waits for it.
        let left = left::left(share, address).ok().flatten()?;
        let at = self.watcher.last_life(address).unwrap_or_else(|| self.environment.clock.now());
        Some(StoppedWriter { drop: address.drop, instance: left.instance?, at, bytes: left.bytes })
    }

    /// What follows from the end of a drop; whether its data is removed by it.
    fn end(&mut self, address: DropAddress, end: End, is_removed: bool, report: &mut PassReport) {
        match end {
            End::Done => {
                if is_removed {
                    self.watcher.forget(&address);
                } else {
                    self.watcher.settle(&address);
                }
                self.shipper.forget(&address);
                self.queue.done(&address);
            }
            End::Begun => {}
            End::Mistaken(problem) => {
                self.watcher.look_again(&address);
                report.problems.extend(problem);
            }
            End::Failed(problem) => report.problems.push(problem),
        }
    }

    /// Notes a drop that was refused, and lets the vault hear of it if that is an incident.
    fn note_refused(&self, address: &DropAddress, rejection: &Rejection, report: &mut PassReport) {
        let (code, reason) = (rejection.code(), rejection.to_string());
        report.rejected.push((address.clone(), reason.clone()));
        if code.is_incident() {
            let place = rejection.seal().map(|seal| (address.day, seal));
            self.board.refused(address, Refusal { code, reason, place });
        }
    }

    /// Judges anew what a policy refused, which may be another one since: takes the refusal back, or
    /// lets it stand.
    fn reconsider(
        &mut self,
        share: &Share,
        address: DropAddress,
        untold: Option<Refusal>,
        report: &mut PassReport,
    ) {
        let limits = self.config.limits_of(&address.workload);
        let judged = SealedDrop::open(share, &address).and_then(|drop| drop.check(&limits));
        match judged {
            Err(DropReadError::Refused(_)) => {
                self.apply(share, Action::Settle { address, untold }, report);
            }
            Err(error @ DropReadError::Later { .. }) => {
                report.problems.push(Met::DropUnreadable(address).because(error.to_string()));
            }
            Ok(()) => self.take_back(share, address, report),
        }
    }

    /// Takes a refusal back that does not hold any more: the drop is judged anew.
    fn take_back(&mut self, share: &Share, address: DropAddress, report: &mut PassReport) {
        let DropAddress { workload, drop, .. } = &address;
        match receipt::withdraw(share, workload, *drop, ReceiptState::Rejected) {
            Ok(()) => {
                tracing::info!(drop = %address, "why it was refused holds no more; judging it anew");
                report.more = true;
                self.watcher.look_again(&address);
            }
            Err(error) => {
                let met = Met::ReceiptUnwritten(address, ReceiptState::Rejected);
                report.problems.push(met.because(error.to_string()));
            }
        }
    }

    /// Takes drops out of quarantine that operators accepted, by the vault's own word: nobody who writes
    /// on the share can say so, and it counts for the very content that was judged.
    pub(super) fn take_cleared(&mut self, share: &Share, report: &mut PassReport) {
        for text in self.board.take_cleared() {
            let Ok(signed) = SignedReceipt::parse(text.as_bytes()) else { continue };
            let state = ReceiptState::Cleared;
            match receipts::verify(&signed, &self.authority, state) {
                Ok(judged) if judged.counts_now => {}
                Ok(_) => {
                    tracing::warn!(
                        "ignored a word that clears a drop: its signer is believed no more"
                    );
                    continue;
                }
                Err(reason) => {
                    tracing::warn!("ignored a word that clears a drop: {reason}");
                    continue;
                }
            }
            let Some(identity) = signed.receipt().identity() else { continue };
            let DropIdentity { share: of, workload, day, drop, .. } = identity;
            // Told until it is vaulted, so mostly for nothing.
            let rejected = receipt::read(share, &workload, drop, ReceiptState::Rejected);
            let is_in_quarantine = rejected.is_ok_and(|receipt| receipt.is_some());
            if of != share.id() || !is_in_quarantine {
                continue;
            }
            let address = DropAddress { workload, day, drop };
            // First the word that clears it: a crash in between, and it is told again.
            let taken = receipt::write(share, &signed).and_then(|()| {
                receipt::withdraw(share, &address.workload, drop, ReceiptState::Rejected)
            });
            match taken {
                Ok(()) => {
                    tracing::info!(drop = %address, "an operator accepted it; taking it");
                    report.more = true;
                    self.watcher.look_again(&address);
                }
                Err(error) => {
                    report
                        .problems
                        .push(Met::ReceiptUnwritten(address, state).because(error.to_string()));
                }
            }
        }
    }

    /// Puts a receipt on the share; one that the share does not take is written later.
    pub(super) fn record(&mut self, share: &Share, signed: SignedReceipt, report: &mut PassReport) {
        if let Err(error) = receipt::write(share, &signed) {
            report.problems.push(unwritten(&signed).because(error.to_string()));
            self.unwritten.push(signed);
        }
    }
}

/// A receipt that the share does not take.
fn unwritten(signed: &SignedReceipt) -> Met {
    let receipt = signed.receipt();
    let (workload, drop) = (receipt.workload.clone(), receipt.drop);
    let day = receipt.day.unwrap_or_else(|| receipt.at.day());
    Met::ReceiptUnwritten(DropAddress { workload, day, drop }, receipt.state)
}
