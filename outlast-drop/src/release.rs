//! Letting drops go: released, abandoned, quarantined.
//!
//! The receipt is durable before the first file goes (I5), and the seal is the first file that
//! goes, so that nobody takes what is left for a drop. Each function may be called again after a
//! crash and goes on where it was.

use std::io;
use std::path::PathBuf;

use crate::files::{Directory, is_not_a_directory};
use crate::layout::{DropAddress, SEAL_FILE};
use crate::reader::{DropReadError, read_seal};
use crate::receipt::{self, ReceiptState, SignedReceipt};
use crate::rejection::Rejection;
use crate::share::{Share, ShareError, hint};

/// Why a drop could not be let go.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error("drop {address} was sealed meanwhile, so it is not abandoned")]
    Sealed { address: DropAddress },
    #[error("the receipt is not one that says {expected} of drop {address}")]
    WrongReceipt { address: DropAddress, expected: ReceiptState },
    #[error("cannot {action} {path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// Writes the `released` receipt and removes the data of a drop. Returns the bytes freed.
pub fn release(
    share: &Share,
    address: &DropAddress,
    signed: &SignedReceipt,
) -> Result<u64, ReleaseError> {
    check_receipt(address, signed, ReceiptState::Released)?;
    receipt::write(share, signed)?;
    remove_data(share, address)
}

/// Writes the `abandoned` receipt and removes what a dead writer left. A drop that has become
/// sealed is not touched; a torn seal is no seal. Call it only when the drop has been still for
/// the whole grace time.
pub fn abandon(
    share: &Share,
    address: &DropAddress,
    signed: &SignedReceipt,
) -> Result<u64, ReleaseError> {
    check_receipt(address, signed, ReceiptState::Abandoned)?;
    if is_sealed(share, address)? {
        return Err(ReleaseError::Sealed { address: address.clone() });
    }
    // The receipt comes before the last look: a writer that wakes up now finds it and does not
    // seal, and one that has just sealed is seen.
    receipt::write(share, signed)?;
    if is_sealed(share, address)? {
        receipt::withdraw(share, signed)?;
        return Err(ReleaseError::Sealed { address: address.clone() });
    }
    remove_data(share, address)
}

/// Whether there is a seal; a torn one is none.
fn is_sealed(share: &Share, address: &DropAddress) -> Result<bool, ReleaseError> {
    let Some(directory) = open_drop(share, address)? else { return Ok(false) };
    let seal = read_seal(&directory);
    Ok(!matches!(seal, Ok(None) | Err(DropReadError::Refused(Rejection::TornSeal))))
}

/// Writes the `rejected` receipt. The data stays where it is, for people to look at, until
/// [`clean`](crate::clean) removes it.
pub fn quarantine(
    share: &Share,
    address: &DropAddress,
    signed: &SignedReceipt,
) -> Result<(), ReleaseError> {
    check_receipt(address, signed, ReceiptState::Rejected)?;
    Ok(receipt::write(share, signed)?)
}

fn check_receipt(
    address: &DropAddress,
    signed: &SignedReceipt,
    expected: ReceiptState,
) -> Result<(), ReleaseError> {
    let receipt = signed.receipt();
    let fits = receipt.state == expected
        && receipt.drop == address.drop
        && receipt.workload == address.workload;
    if fits {
        Ok(())
    } else {
        Err(ReleaseError::WrongReceipt { address: address.clone(), expected })
    }
}

fn open_drop(share: &Share, address: &DropAddress) -> Result<Option<Directory>, ReleaseError> {
    match share.directory().and_then(|root| root.descend(&address.components())) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => {
            let path = share.drop_directory(address);
            Err(ReleaseError::Io { action: "open", path, source })
        }
    }
}

/// Removes a drop's directory with everything in it, the seal first; fine if it is gone.
pub(crate) fn remove_data(share: &Share, address: &DropAddress) -> Result<u64, ReleaseError> {
    let Some(directory) = open_drop(share, address)? else { return Ok(0) };
    let failed = |action| {
        let path = share.drop_directory(address);
        move |source| ReleaseError::Io { action, path, source }
    };
    directory.remove_file(SEAL_FILE.as_bytes()).map_err(failed("remove the seal in"))?;
    directory.sync().map_err(failed("sync"))?;
    let mut freed = 0;
    for name in directory.names().map_err(failed("list"))? {
        let facts = match directory.facts(&name) {
            Ok(facts) if !facts.is_directory => facts,
            // Gone already, or a directory, which is not ours to remove.
            _ => continue,
        };
        directory.remove_file(&name).map_err(failed("empty"))?;
        freed += facts.size;
    }
    let components = address.components();
    let day = share
        .directory()
        .and_then(|root| root.descend(&components[..4]))
        .map_err(failed("open the day of"))?;
    match day.remove_directory(&components[4]) {
        // Another file appeared, or NFS keeps a deleted one for a reader: `clean` comes back.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
        Err(error) if is_not_a_directory(&error) => {}
        result => result.map_err(failed("remove"))?,
    }
    day.sync().map_err(failed("sync the day of"))?;
    Ok(freed)
}
