//! What the receipts on the share prove.

use std::collections::BTreeSet;

use outlast_drop::{
    DropAddress, Receipt, ReceiptError, ReceiptState, Rejection, Share, SignedReceipt, receipt,
};
use outlast_types::{DropId, Timestamp, WorkloadName};
use outlast_wire::{Role, signature};

/// What became of a drop, as far as receipts prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing final yet.
    New,
    /// The vault holds it since `at`, by the vault's clock.
    Vaulted {
        at: Timestamp,
    },
    Rejected,
    Abandoned,
    Released,
}

/// Reads and verifies the receipts of a drop that are in `states`. Receipts that prove nothing
/// are told to `problem` and count as absent: the worst that follows is that work is done again.
///
/// # Errors
/// If a receipt cannot be read now, so that nothing is known.
pub(crate) fn standing(
    share: &Share,
    ca_pem: &str,
    workload: &WorkloadName,
    drop: DropId,
    states: &BTreeSet<ReceiptState>,
    mut problem: impl FnMut(String),
) -> Result<Standing, ReceiptError> {
    let mut proven = |state, role| match proof(share, ca_pem, workload, drop, state, role) {
        _ if !states.contains(&state) => Ok(None),
        Err(Unproven::Unreadable(error)) => Err(error),
        Err(Unproven::Void(reason)) => {
            problem(format!("the {state} receipt of {workload}/{drop} is ignored: {reason}"));
            Ok(None)
        }
        Ok(at) => Ok(at),
    };
    // An agent's word that it released a drop is worth nothing without the vault's (I1).
    if let Some(at) = proven(ReceiptState::Vaulted, Role::Vault)? {
        let released = proven(ReceiptState::Released, Role::Agent)?;
        return Ok(if released.is_some() { Standing::Released } else { Standing::Vaulted { at } });
    }
    if proven(ReceiptState::Rejected, Role::Agent)?.is_some() {
        return Ok(Standing::Rejected);
    }
    let abandoned = proven(ReceiptState::Abandoned, Role::Agent)?;
    Ok(if abandoned.is_some() { Standing::Abandoned } else { Standing::New })
}

/// Checks that the vault's receipt for a drop is on the share, so that its data may go.
pub(crate) fn check_vaulted(
    share: &Share,
    ca_pem: &str,
    address: &DropAddress,
) -> Result<(), String> {
    let DropAddress { workload, drop, .. } = address;
    match proof(share, ca_pem, workload, *drop, ReceiptState::Vaulted, Role::Vault) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("the vault's receipt is not on the share".to_owned()),
        Err(Unproven::Void(reason)) => Err(format!("the vault's receipt is no good: {reason}")),
        Err(Unproven::Unreadable(error)) => Err(error.to_string()),
    }
}

/// Why a receipt that is there proves nothing.
enum Unproven {
    /// It cannot be read now.
    Unreadable(ReceiptError),
    /// It is no good.
    Void(String),
}

/// The time in a drop's receipt of `state`, if it is there, whole, and signed by a `role`.
fn proof(
    share: &Share,
    ca_pem: &str,
    workload: &WorkloadName,
    drop: DropId,
    state: ReceiptState,
    role: Role,
) -> Result<Option<Timestamp>, Unproven> {
    match receipt::read(share, workload, drop, state) {
        Ok(Some(signed)) => {
            verify(&signed, ca_pem, workload, drop, state, role).map(Some).map_err(Unproven::Void)
        }
        // Torn: whoever wrote it died, and writes it again.
        Ok(None) | Err(ReceiptError::Torn) => Ok(None),
        Err(error @ ReceiptError::Io { .. }) => Err(Unproven::Unreadable(error)),
        Err(error) => Err(Unproven::Void(error.to_string())),
    }
}

/// Why a drop was rejected, if that is an incident: a seal that its writer tore by dying is none.
pub(crate) fn incident(share: &Share, address: &DropAddress) -> Option<String> {
    let state = ReceiptState::Rejected;
    let signed = receipt::read(share, &address.workload, address.drop, state).ok().flatten()?;
    let reason = signed.receipt().reason.clone().unwrap_or_default();
    (reason != Rejection::TornSeal.to_string()).then_some(reason)
}

/// Checks that a receipt says `state` of this drop and that a holder of `role` signed it; returns
/// the time in it.
pub(crate) fn verify(
    signed: &SignedReceipt,
    ca_pem: &str,
    workload: &WorkloadName,
    drop: DropId,
    state: ReceiptState,
    role: Role,
) -> Result<Timestamp, String> {
    let receipt: &Receipt = signed.receipt();
    if receipt.drop != drop || receipt.workload != *workload || receipt.state != state {
        return Err(format!("it says {} of {}/{}", receipt.state, receipt.workload, receipt.drop));
    }
    let signer = signed
        .verify(|certificate, message, proof| {
            signature::verify(certificate, ca_pem, message, proof)
        })
        .map_err(|error| error.to_string())?;
    if signer.role() != role {
        return Err(format!("{signer} signed it, which only a holder of the role {role} may do"));
    }
    Ok(receipt.at)
}
