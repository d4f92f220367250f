//! The word of a drop's receipts, for people and for tidying up.
//!
//! Names of files prove nothing: whoever can write to the share can write `<id>.released.json`. A
//! receipt counts if it says of this very drop what its name says, and, where somebody knows the
//! authority, if a holder of the right role signed it.

use std::collections::BTreeSet;

use outlast_types::{Safe, Timestamp};

use crate::receipt::{self, ReceiptState, SignedReceipt};
use crate::scan::{DropState, Sighting};
use crate::share::Share;

/// Knows an authority, and so who may have signed what. Implemented where certificates are.
pub trait Verifier: Sync {
    /// Checks that somebody signed the receipt who may say what it says; why it proves nothing, if
    /// not.
    fn check(&self, signed: &SignedReceipt) -> Result<(), String>;

    /// What the vault says in a receipt that was checked of what makes its drop a recovery point.
    fn policy(&self, signed: &SignedReceipt) -> Option<PolicyWord> {
        let receipt = signed.receipt();
        let counts = receipt.verdict.as_ref().is_none_or(outlast_types::Verdict::counts);
        // Of its own receipts, the vault signs that.
        let safe = receipt.safe.filter(|_| receipt.state == ReceiptState::Vaulted)?;
        Some(PolicyWord { at: receipt.at, safe, counts })
    }
}

/// The vault's word about one drop, of when it signed that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyWord {
    pub at: Timestamp,
    /// What makes it a recovery point.
    pub safe: Safe,
    /// Whether it can be one, by what it looks like.
    pub counts: bool,
}

/// The last state in the life of the drop in `sighting` that a receipt says, of those that are
/// there by name; `None` if none does. Without a verifier, that is what somebody claims. What
/// does not count is told to `problem`.
pub(crate) fn last_state(
    share: &Share,
    sighting: &Sighting,
    named: &BTreeSet<ReceiptState>,
    verifier: Option<&dyn Verifier>,
    mut problem: impl FnMut(String),
) -> Option<ReceiptState> {
    // The states are in the order of a drop's life as far as it went well.
    named.iter().rev().copied().find(|&state| match says(share, sighting, state, verifier) {
        Ok(says) => says,
        Err(reason) => {
            problem(format!("the {state} receipt of {} is ignored: {reason}", sighting.address));
            false
        }
    })
}

/// Whether the vault holds the drop in `sighting` and does not take it for a recovery point, by its receipt.
pub(crate) fn is_suspect(
    share: &Share,
    sighting: &Sighting,
    named: &BTreeSet<ReceiptState>,
    verifier: Option<&dyn Verifier>,
) -> bool {
    let vaulted = ReceiptState::Vaulted;
    if !named.contains(&vaulted) {
        return false;
    }
    let address = &sighting.address;
    let read = receipt::read(share, &address.workload, address.drop, vaulted).ok().flatten();
    read.is_some_and(|signed| {
        let doubts = signed.receipt().verdict.as_ref().is_some_and(|verdict| !verdict.counts());
        doubts && counts(&signed, share, sighting, vaulted, verifier).unwrap_or(false)
    })
}

/// Whether the receipt of `state` is of this drop; an error if it is no good.
fn says(
    share: &Share,
    sighting: &Sighting,
    state: ReceiptState,
    verifier: Option<&dyn Verifier>,
) -> Result<bool, String> {
    let address = &sighting.address;
    let read = receipt::read(share, &address.workload, address.drop, state);
    let Some(signed) = read.map_err(|error| error.to_string())? else { return Ok(false) };
    counts(&signed, share, sighting, state, verifier)
}

/// Whether a receipt that was read says `state` of this drop; an error if it is no good.
pub(crate) fn counts(
    signed: &SignedReceipt,
    share: &Share,
    sighting: &Sighting,
    state: ReceiptState,
    verifier: Option<&dyn Verifier>,
) -> Result<bool, String> {
    let receipt = signed.receipt();
    // One of another day or seal, or of version 1, may be good; it is not about this drop.
    if receipt.state != state || !receipt.is_about(share.id(), &sighting.address) {
        return Ok(false);
    }
    if let (DropState::Sealed(seal), Some(named)) = (&sighting.state, receipt.seal)
        && seal.digest != named
    {
        return Ok(false);
    }
    verifier.map_or(Ok(()), |verifier| verifier.check(signed)).map(|()| true)
}
