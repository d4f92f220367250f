//! What the receipts on the share prove.
//!
//! A receipt proves what it says of the one drop that it names: of this share and workload, under
//! this day and id, with this seal. It records; that a drop was vaulted once frees no data, only
//! the vault's answer of now does (`holdings.rs`).

use std::collections::BTreeSet;

use outlast_drop::{
    DropAddress, Receipt, ReceiptError, ReceiptState, Share, SignedReceipt, receipt,
};
use outlast_types::{ContentHash, Day, RejectionCode, Timestamp};
use outlast_wire::holdings::HeldDrop;
use outlast_wire::{Role, signature};

/// What became of the drop in one place, as far as receipts prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing final yet.
    New,
    /// The vault said that it holds a drop that lies, or lay, here.
    Vaulted(Vaulted),
    /// The same, and an agent has begun to release it.
    Released(Vaulted),
    /// The vault said that it holds a drop of this id that lies under another day.
    IdTaken {
        day: Day,
    },
    Rejected,
    Abandoned,
}

/// What a `vaulted` receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vaulted {
    /// By the vault's clock.
    pub(crate) at: Timestamp,
    /// The drop and its content: what the vault is asked for before anything is freed.
    pub(crate) held: HeldDrop,
}

impl Vaulted {
    /// What a verified `vaulted` receipt says; `None` if it does not name one drop and its content,
    /// as those of version 1.
    pub(crate) fn of(receipt: &Receipt) -> Option<Self> {
        let snapshot = receipt.snapshot.as_deref()?.parse().ok()?;
        let (drop, size, tree) = (receipt.identity()?, receipt.size?, receipt.tree?);
        Some(Self { at: receipt.at, held: HeldDrop { drop, size, tree, snapshot } })
    }

    /// The digest of the drop's seal.
    pub(crate) fn seal(&self) -> ContentHash {
        self.held.drop.seal
    }
}

/// Reads and verifies the receipts of a drop that are in `states`. Receipts that prove nothing
/// are told to `problem` and count as absent: the worst that follows is that work is done again.
///
/// # Errors
/// If a receipt cannot be read now, so that nothing is known.
pub(crate) fn standing(
    share: &Share,
    ca_pem: &str,
    address: &DropAddress,
    states: &BTreeSet<ReceiptState>,
    mut problem: impl FnMut(String),
) -> Result<Standing, ReceiptError> {
    let mut proven = |state, role| match proof(share, ca_pem, address, state, role) {
        _ if !states.contains(&state) => Ok(None),
        Err(Unproven::Unreadable(error)) => Err(error),
        Err(Unproven::Void(reason)) => {
            problem(format!("the {state} receipt of {address} is ignored: {reason}"));
            Ok(None)
        }
        Ok(receipt) => Ok(receipt),
    };
    if let Some(vaulted) =
        proven(ReceiptState::Vaulted, Role::Vault)?.as_ref().and_then(Vaulted::of)
    {
        let place = &vaulted.held.drop;
        if place.share == share.id() && place.day != address.day {
            return Ok(Standing::IdTaken { day: place.day });
        }
        if place.share == share.id() {
            // An agent's word that it released a drop is worth nothing without the vault's (I1).
            let released = proven(ReceiptState::Released, Role::Agent)?;
            let same = |released: &Receipt| released.identity().as_ref() == Some(place);
            return Ok(if released.as_ref().is_some_and(same) {
                Standing::Released(vaulted)
            } else {
                Standing::Vaulted(vaulted)
            });
        }
    }
    let is_here = |receipt: Option<Receipt>| {
        receipt.is_some_and(|receipt| receipt.is_about(share.id(), address))
    };
    if is_here(proven(ReceiptState::Rejected, Role::Agent)?) {
        return Ok(Standing::Rejected);
    }
    let abandoned = is_here(proven(ReceiptState::Abandoned, Role::Agent)?);
    Ok(if abandoned { Standing::Abandoned } else { Standing::New })
}

/// Checks that the vault's receipt for this very drop is on the share, so that whoever looks later
/// finds the proof.
pub(crate) fn check_vaulted(
    share: &Share,
    ca_pem: &str,
    address: &DropAddress,
    held: &HeldDrop,
) -> Result<(), String> {
    match proof(share, ca_pem, address, ReceiptState::Vaulted, Role::Vault) {
        Ok(Some(receipt)) => match Vaulted::of(&receipt) {
            Some(vaulted) if vaulted.held == *held => Ok(()),
            _ => Err("the vault's receipt on the share is of another drop".to_owned()),
        },
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

/// A drop's receipt of `state`, if it is there, whole, and signed by a `role`. It is about a drop
/// of this workload and id; about which one is for the caller to look at.
fn proof(
    share: &Share,
    ca_pem: &str,
    address: &DropAddress,
    state: ReceiptState,
    role: Role,
) -> Result<Option<Receipt>, Unproven> {
    match receipt::read(share, &address.workload, address.drop, state) {
        Ok(Some(signed)) => {
            verify(&signed, ca_pem, role).map_err(Unproven::Void)?;
            let receipt = signed.receipt();
            let fits = receipt.drop == address.drop
                && receipt.workload == address.workload
                && receipt.state == state;
            if !fits {
                let Receipt { state, workload, drop, .. } = receipt;
                return Err(Unproven::Void(format!("it says {state} of {workload}/{drop}")));
            }
            Ok(Some(receipt.clone()))
        }
        // Torn: whoever wrote it died, and writes it again.
        Ok(None) | Err(ReceiptError::Torn) => Ok(None),
        Err(error @ ReceiptError::Io { .. }) => Err(Unproven::Unreadable(error)),
        Err(error) => Err(Unproven::Void(error.to_string())),
    }
}

/// Why a drop was rejected, if that is an incident: a seal that its writer tore by dying is none.
pub(crate) fn incident(share: &Share, address: &DropAddress) -> Option<(RejectionCode, String)> {
    let state = ReceiptState::Rejected;
    let signed = receipt::read(share, &address.workload, address.drop, state).ok().flatten()?;
    let Receipt { code, reason, .. } = signed.receipt().clone();
    let code = code.unwrap_or_default();
    code.is_incident().then(|| (code, reason.unwrap_or_default()))
}

/// Checks that a holder of `role` signed the receipt.
pub(crate) fn verify(signed: &SignedReceipt, ca_pem: &str, role: Role) -> Result<(), String> {
    let signer = signed
        .verify(|certificate, message, proof| {
            signature::verify(certificate, ca_pem, message, proof)
        })
        .map_err(|error| error.to_string())?;
    if signer.role() != role {
        return Err(format!("{signer} signed it, which only a holder of the role {role} may do"));
    }
    Ok(())
}
