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

/// The states that end something, the most final one first, with the role that may say so.
const FINAL: [(ReceiptState, Role); 4] = [
    (ReceiptState::Released, Role::Agent),
    (ReceiptState::Vaulted, Role::Vault),
    (ReceiptState::Rejected, Role::Agent),
    (ReceiptState::Abandoned, Role::Agent),
];

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
    for (state, role) in FINAL.into_iter().filter(|(state, _)| states.contains(state)) {
        let signed = match receipt::read(share, workload, drop, state) {
            Ok(Some(signed)) => signed,
            // Torn: whoever wrote it died, and writes it again.
            Ok(None) | Err(ReceiptError::Torn) => continue,
            Err(error @ ReceiptError::Io { .. }) => return Err(error),
            Err(error) => {
                problem(format!("the {state} receipt of {workload}/{drop} is ignored: {error}"));
                continue;
            }
        };
        match verify(&signed, ca_pem, workload, drop, state, role) {
            Ok(at) => {
                return Ok(match state {
                    ReceiptState::Released => Standing::Released,
                    ReceiptState::Vaulted => Standing::Vaulted { at },
                    ReceiptState::Rejected => Standing::Rejected,
                    _ => Standing::Abandoned,
                });
            }
            Err(reason) => {
                problem(format!("the {state} receipt of {workload}/{drop} is ignored: {reason}"));
            }
        }
    }
    Ok(Standing::New)
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
