//! Receipts on the share: reading them, and what they prove.
//!
//! A receipt records; that a drop was vaulted once frees no data, only the vault's answer of now
//! does.

use std::collections::BTreeSet;

use outlast_drop::{
    DropAddress, HandedOver, Receipt, ReceiptError, ReceiptState, Share, SignedReceipt, receipt,
};
use outlast_types::{ContentHash, DropId, RejectionCode, Timestamp, WorkloadName};
use outlast_wire::Role;
use outlast_wire::confirmation::Confirmation;
use outlast_wire::receipts::{Authority, Countersigned, Judged};

use crate::custody::{Ground, Proven, Refusal};
use crate::problem::{Met, Problem};
use crate::secured::Secured;

/// Reads receipts of one share, and believes what holders of the right role signed.
pub(crate) struct Reader<'a> {
    pub(crate) share: &'a Share,
    pub(crate) authority: &'a Authority,
}

/// A receipt that is whole, and signed by one who may say what it says. It is about a drop of the
/// right workload and id; about which one is to be looked at.
struct Evidence {
    receipt: Receipt,
    signer: Judged,
}

/// The word of an agent, which is believed now, that a backup product has read a drop, or has it.
pub(crate) struct Handed {
    /// The digest of the drop's seal.
    pub(crate) seal: ContentHash,
    pub(crate) handover: HandedOver,
}

/// Why a receipt that is there proves nothing.
enum Unproven {
    /// It cannot be read now.
    Unreadable(ReceiptError),
    /// It is no good.
    Void(String),
}

/// Whether all that follows from a missing receipt is that work is done again.
fn saves_work(state: ReceiptState) -> bool {
    matches!(state, ReceiptState::Accepted | ReceiptState::Shipped)
}

impl Reader<'_> {
    /// The proof that the receipts of a drop in `states` give. One that proves nothing becomes a problem and
    /// counts as absent: the worst that follows is that work is done again.
    ///
    /// # Errors
    /// If a receipt cannot be read now, so that nothing is known.
    pub(crate) fn prove(
        &self,
        address: &DropAddress,
        states: &BTreeSet<ReceiptState>,
        problems: &mut Vec<Problem>,
    ) -> Result<Proven, ReceiptError> {
        let mut said = |state| {
            if !states.contains(&state) {
                return Ok(None);
            }
            match self.evidence(address, state) {
                // These only save work. What is no receipt and will never be one stops nobody.
                Err(Unproven::Unreadable(error)) if saves_work(state) && !error.is_later() => {
                    Ok(None)
                }
                Err(Unproven::Unreadable(error)) => Err(error),
                Err(Unproven::Void(reason)) => {
                    problems.push(Met::ReceiptIgnored(address.clone(), state).because(reason));
                    Ok(None)
                }
                Ok(evidence) => Ok(evidence),
            }
        };
        let vaulted = said(ReceiptState::Vaulted)?;
        let vaulted = vaulted.and_then(|said| Secured::of(&said.receipt, said.signer));
        if let Some(secured) = vaulted.filter(|it| it.held.drop.share == self.share.id()) {
            let drop = &secured.held.drop;
            if drop.day != address.day {
                return Ok(Proven::IdTaken { day: drop.day });
            }
            // An agent's word that it released a drop is worth nothing without the vault's (I1).
            let released = said(ReceiptState::Released)?;
            let is_same = released.is_some_and(|it| it.receipt.identity().as_ref() == Some(drop));
            return Ok(if is_same { Proven::Released(secured) } else { Proven::Vaulted(secured) });
        }
        let mut said_here = |state| {
            let is_here = |said: &Evidence| said.receipt.is_about(self.share.id(), address);
            Ok::<_, ReceiptError>(said(state)?.filter(is_here))
        };
        if let Some(released) = said_here(ReceiptState::Released)?
            && let Some(confirmed) = said_here(ReceiptState::Confirmed)?
            && let Some(seal) = released.receipt.seal
            && confirmed.receipt.seal == Some(seal)
            && Countersigned(self.authority.clone()).words(&confirmed.receipt).is_ok()
        {
            return Ok(Proven::Freed { seal });
        }
        if let Some(rejected) = said_here(ReceiptState::Rejected)? {
            let ground = match rejected.receipt.code.as_ref() {
                Some(RejectionCode::TornSeal) => Ground::TornSeal,
                Some(code) if code.is_of_policy() => Ground::Policy,
                _ => Ground::Drop,
            };
            return Ok(Proven::Rejected { untold: refusal(rejected.receipt), ground });
        }
        if said_here(ReceiptState::Abandoned)?.is_some() {
            return Ok(Proven::Abandoned);
        }
        if let Some(Evidence { receipt, signer }) = said_here(ReceiptState::Shipped)?
            && let Some(seal) = receipt.seal
        {
            let is_holder = signer.signer.role() == Role::Media;
            let holder = Secured::of(&receipt, signer).filter(|_| is_holder);
            return Ok(Proven::Shipped { seal, holder });
        }
        let accepted = said_here(ReceiptState::Accepted)?;
        let seal = accepted.and_then(|said| said.receipt.seal);
        Ok(seal.map_or(Proven::Nothing, |seal| Proven::Accepted { seal }))
    }

    /// Whether an operator accepted the content that has this seal, whatever it looks like. Only a
    /// vault can say so.
    pub(crate) fn is_cleared(
        &self,
        address: &DropAddress,
        seal: ContentHash,
    ) -> Result<bool, ReceiptError> {
        match self.evidence(address, ReceiptState::Cleared) {
            Ok(said) => Ok(said.is_some_and(|Evidence { receipt, signer }| {
                // By whom nothing is accepted now, nothing is.
                signer.counts_now
                    && receipt.seal == Some(seal)
                    && receipt.is_about(self.share.id(), address)
            })),
            Err(Unproven::Void(_)) => Ok(false),
            Err(Unproven::Unreadable(error)) => Err(error),
        }
    }

    /// The receipt of one state about this very drop that lies there and can be believed. It is kept rather
    /// than written anew: there would be none for a moment.
    pub(crate) fn standing(
        &self,
        address: &DropAddress,
        state: ReceiptState,
    ) -> Option<SignedReceipt> {
        let read = receipt::read(self.share, &address.workload, address.drop, state);
        let signed = read.ok().flatten()?;
        verify(&signed, self.authority, state).ok()?;
        signed.receipt().is_about(self.share.id(), address).then_some(signed)
    }

    /// Checks that the receipt by which this very drop is secured is on the share, so that whoever
    /// looks later finds the proof.
    pub(crate) fn check(&self, address: &DropAddress, secured: &Secured) -> Result<(), String> {
        let Secured { state, by, .. } = secured;
        let of = || format!("the {state} receipt of the {}", by.role());
        match self.evidence(address, *state) {
            Ok(Some(Evidence { receipt, signer })) => match Secured::of(&receipt, signer) {
                Some(found) if found.held == secured.held => Ok(()),
                _ => Err(format!("{} on the share is of another drop", of())),
            },
            Ok(None) => Err(format!("{} is not on the share", of())),
            Err(Unproven::Void(reason)) => Err(format!("{} cannot be believed: {reason}", of())),
            Err(Unproven::Unreadable(error)) => Err(error.to_string()),
        }
    }

    /// The vault's words on the share that backup products have this very drop: at least one.
    ///
    /// # Errors
    /// Why there is none that counts.
    pub(crate) fn confirmed(
        &self,
        address: &DropAddress,
        seal: ContentHash,
    ) -> Result<Vec<Confirmation>, String> {
        let of = |what: String| format!("its confirmed receipt {what}");
        match self.evidence(address, ReceiptState::Confirmed) {
            Ok(Some(Evidence { receipt, .. })) => {
                let is_it = receipt.is_about(self.share.id(), address);
                if !is_it || receipt.seal != Some(seal) {
                    return Err(of("is of another drop".to_owned()));
                }
                let words = Countersigned(self.authority.clone()).words(&receipt);
                words.map_err(|reason| of(format!("does not count: {reason}")))
            }
            Ok(None) => Err(of("is not on the share".to_owned())),
            Err(Unproven::Void(reason)) => Err(of(format!("cannot be believed: {reason}"))),
            Err(Unproven::Unreadable(error)) => Err(error.to_string()),
        }
    }

    /// The vault's word about a drop of this share, if there is one.
    ///
    /// # Errors
    /// If nothing is known of it now.
    pub(crate) fn vaulted(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<(DropAddress, Secured)>, String> {
        let Some(said) = self.said(workload, drop, ReceiptState::Vaulted)? else { return Ok(None) };
        let secured = Secured::of(&said.receipt, said.signer);
        let secured = secured.filter(|it| it.held.drop.share == self.share.id());
        Ok(secured.map(|secured| {
            let (workload, day) = (workload.clone(), secured.held.drop.day);
            (DropAddress { workload, day, drop }, secured)
        }))
    }

    /// Since when the vault knows that a product has a drop of this share, by its own clock, if it does.
    ///
    /// # Errors
    /// If nothing is known of it now.
    pub(crate) fn confirmed_since(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<(DropAddress, Timestamp)>, String> {
        let said = self.said(workload, drop, ReceiptState::Confirmed)?;
        let Some(Evidence { receipt, .. }) = said else { return Ok(None) };
        let Some(day) = receipt.day else { return Ok(None) };
        let address = DropAddress { workload: workload.clone(), day, drop };
        let words = Countersigned(self.authority.clone()).words(&receipt);
        let since = words.ok().and_then(|words| words.iter().map(|word| word.at).max());
        let is_ours = receipt.is_about(self.share.id(), &address);
        Ok(since.filter(|_| is_ours).map(|since| (address, since)))
    }

    /// When an agent said that it abandoned a drop of this share, if one did.
    ///
    /// # Errors
    /// If nothing is known of it now.
    pub(crate) fn abandoned(
        &self,
        workload: &WorkloadName,
        drop: DropId,
    ) -> Result<Option<(DropAddress, Timestamp)>, String> {
        let said = self.said(workload, drop, ReceiptState::Abandoned)?;
        let Some(Evidence { receipt, .. }) = said else { return Ok(None) };
        let Some(day) = receipt.day else { return Ok(None) };
        let address = DropAddress { workload: workload.clone(), day, drop };
        let is_ours = receipt.is_about(self.share.id(), &address);
        Ok(is_ours.then_some((address, receipt.at)))
    }

    /// What an agent says of a drop of this share that was handed over; nothing if that counts no more.
    ///
    /// # Errors
    /// If nothing is known of it now.
    pub(crate) fn handed(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        state: ReceiptState,
    ) -> Result<Option<Handed>, String> {
        let Some(Evidence { receipt, signer }) = self.said(workload, drop, state)? else {
            return Ok(None);
        };
        let is_ours = receipt.share == Some(self.share.id()) && signer.counts_now;
        let handed = receipt.seal.zip(receipt.handover).filter(|_| is_ours);
        Ok(handed.map(|(seal, handover)| Handed { seal, handover }))
    }

    /// What is said of a drop wherever it lies; nothing if that cannot be believed.
    fn said(
        &self,
        workload: &WorkloadName,
        drop: DropId,
        state: ReceiptState,
    ) -> Result<Option<Evidence>, String> {
        // The day is for those who look at the drop itself.
        let day = drop.claimed_time().day();
        let address = DropAddress { workload: workload.clone(), day, drop };
        match self.evidence(&address, state) {
            Err(Unproven::Unreadable(error)) => Err(error.to_string()),
            Err(Unproven::Void(_)) => Ok(None),
            Ok(evidence) => Ok(evidence),
        }
    }

    fn evidence(
        &self,
        address: &DropAddress,
        state: ReceiptState,
    ) -> Result<Option<Evidence>, Unproven> {
        match receipt::read(self.share, &address.workload, address.drop, state) {
            Ok(Some(signed)) => {
                let signer = verify(&signed, self.authority, state).map_err(Unproven::Void)?;
                let receipt = signed.receipt().clone();
                let fits = receipt.drop == address.drop && receipt.workload == address.workload;
                if !fits {
                    let Receipt { workload, drop, .. } = receipt;
                    return Err(Unproven::Void(format!("it is about {workload}/{drop}")));
                }
                Ok(Some(Evidence { receipt, signer }))
            }
            // Torn: whoever wrote it died, and writes it again.
            Ok(None) | Err(ReceiptError::Torn) => Ok(None),
            Err(error @ ReceiptError::Io { .. }) => Err(Unproven::Unreadable(error)),
            Err(error) => Err(Unproven::Void(error.to_string())),
        }
    }
}

/// Who signed a receipt, if it says `state` and its signer may say so.
pub(crate) fn verify(
    signed: &SignedReceipt,
    authority: &Authority,
    state: ReceiptState,
) -> Result<Judged, String> {
    match signed.receipt().state {
        said if said == state => authority.judge(signed).map_err(|error| error.to_string()),
        said => Err(format!("it says {said}")),
    }
}

/// Why a drop was rejected, if that is an incident: a seal that its writer tore by dying is none.
fn refusal(receipt: Receipt) -> Option<Refusal> {
    let code = receipt.code.unwrap_or_default();
    let place = receipt.day.zip(receipt.seal);
    code.is_incident().then(|| Refusal { code, reason: receipt.reason.unwrap_or_default(), place })
}

#[cfg(test)]
mod tests;
