//! Letting drops go: released, abandoned, quarantined.
//!
//! The receipt is durable before the first file goes (I5), and the seal is the first file that
//! goes, so that nobody takes what is left for a drop. Each function may be called again after a
//! crash and goes on where it was.

use std::io;
use std::path::PathBuf;

use outlast_types::{Day, WorkloadName};
use rustix::io::Errno;

use crate::files::{Directory, NAMES_MAX, is_not_a_directory};
use crate::layout::{DROPS, DropAddress, SEAL_FILE, WORKLOADS, is_foreign};
use crate::reader::{DropReadError, read_seal};
use crate::receipt::{self, ReceiptState, SignedReceipt};
use crate::rejection::Rejection;
use crate::share::{Share, ShareError, hint};

/// Files that one call removes of a drop; the next one goes on.
const REMOVED_MAX: usize = 10_000;

/// Why a drop could not be let go.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error("drop {address} was sealed meanwhile, so it is not abandoned")]
    Sealed { address: DropAddress },
    #[error(
        "the seal of drop {address} is not the one that its receipt names, so nothing is removed"
    )]
    AnotherSeal { address: DropAddress },
    #[error("the receipt is not one that says {expected} of drop {address}")]
    WrongReceipt { address: DropAddress, expected: ReceiptState },
    #[error("cannot {action} {path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// The outcome of removing a drop's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Bytes of the files that were removed.
    pub bytes: u64,
    /// Whether the drop's directory has gone, or holds nothing but what is not ours. If not, somebody still holds a file of it open, on
    /// SMB as a file whose deletion is pending, on NFS as a `.nfs*` file, or there are more files
    /// than one call removes: call again later.
    pub is_gone: bool,
}

/// Writes the `released` receipt, which names the drop's seal, and removes the data of the drop,
/// whose seal must be that one or have gone already.
pub fn release(
    share: &Share,
    address: &DropAddress,
    signed: &SignedReceipt,
) -> Result<Freed, ReleaseError> {
    check_receipt(share, address, signed, ReceiptState::Released)?;
    if let Some(directory) = open_drop(share, address)? {
        let found = match read_seal(&directory) {
            Ok(found) => found.map(|(_, digest)| digest),
            Err(DropReadError::Refused(_)) => {
                return Err(ReleaseError::AnotherSeal { address: address.clone() });
            }
            Err(error @ DropReadError::Later { .. }) => {
                let path = share.drop_directory(address);
                let source = io::Error::other(error);
                return Err(ReleaseError::Io { action: "read the seal of", path, source });
            }
        };
        if found.is_some() && found != signed.receipt().seal {
            return Err(ReleaseError::AnotherSeal { address: address.clone() });
        }
    }
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
) -> Result<Freed, ReleaseError> {
    check_receipt(share, address, signed, ReceiptState::Abandoned)?;
    if is_sealed(share, address)? {
        return Err(ReleaseError::Sealed { address: address.clone() });
    }
    // The receipt comes before the last look: a writer that wakes up now finds it and does not
    // seal, and one that has just sealed is seen.
    receipt::write(share, signed)?;
    if is_sealed(share, address)? {
        receipt::withdraw(share, &address.workload, address.drop, ReceiptState::Abandoned)?;
        return Err(ReleaseError::Sealed { address: address.clone() });
    }
    remove_data(share, address)
}

/// Whether there is a seal; a torn one is none.
///
/// It is looked for in a listing, since a network file system may remember for a while that there
/// was no file of its name, but asks the server when a directory is opened and listed.
fn is_sealed(share: &Share, address: &DropAddress) -> Result<bool, ReleaseError> {
    let Some(directory) = open_drop(share, address)? else { return Ok(false) };
    let mut has_seal = false;
    let listed = directory.each_name(NAMES_MAX, |name| has_seal |= name == SEAL_FILE.as_bytes());
    let is_whole = listed.map_err(|source| {
        let path = share.drop_directory(address);
        ReleaseError::Io { action: "list", path, source }
    })?;
    if is_whole && !has_seal {
        return Ok(false);
    }
    let seal = read_seal(&directory);
    Ok(!matches!(seal, Ok(None) | Err(DropReadError::Refused(Rejection::TornSeal))))
}

/// Writes the `rejected` receipt. The data stays where it is, for people to look at, until
/// [`clean`](crate::clean()) removes it.
pub fn quarantine(
    share: &Share,
    address: &DropAddress,
    signed: &SignedReceipt,
) -> Result<(), ReleaseError> {
    check_receipt(share, address, signed, ReceiptState::Rejected)?;
    Ok(receipt::write(share, signed)?)
}

fn check_receipt(
    share: &Share,
    address: &DropAddress,
    signed: &SignedReceipt,
    expected: ReceiptState,
) -> Result<(), ReleaseError> {
    let receipt = signed.receipt();
    if receipt.state == expected && receipt.is_about(share.id(), address) {
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
pub(crate) fn remove_data(share: &Share, address: &DropAddress) -> Result<Freed, ReleaseError> {
    let gone = |bytes| Freed { bytes, is_gone: true };
    let Some(directory) = open_drop(share, address)? else { return Ok(gone(0)) };
    let failed = |action| {
        let path = share.drop_directory(address);
        move |source| ReleaseError::Io { action, path, source }
    };
    match directory.remove_file(SEAL_FILE.as_bytes()) {
        Err(error) if is_held(&error) => return Ok(Freed::default()),
        result => result.map_err(failed("remove the seal in"))?,
    }
    directory.sync().map_err(failed("sync"))?;
    let mut bytes = 0;
    let (names, is_whole) = directory.names_up_to(REMOVED_MAX).map_err(failed("list"))?;
    for name in names {
        let facts = match directory.facts(&name) {
            Ok(facts) if !facts.is_directory => facts,
            // Gone already, or a directory, which is not ours to remove.
            _ => continue,
        };
        match directory.remove_file(&name) {
            Ok(()) => bytes += facts.size,
            Err(error) if is_held(&error) => {}
            Err(error) => return Err(failed("empty")(error)),
        }
    }
    if !is_whole {
        return Ok(Freed { bytes, is_gone: false });
    }
    let components = address.components();
    let day = share
        .directory()
        .and_then(|root| root.descend(&components[..4]))
        .map_err(failed("open the day of"))?;
    match day.remove_directory(&components[4]) {
        // A file that is still open somewhere, or one that has just appeared.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty || is_held(&error) => {
            return Ok(Freed { bytes, is_gone: holds_nothing_of_ours(&directory) });
        }
        Err(error) if is_not_a_directory(&error) => {}
        result => result.map_err(failed("remove"))?,
    }
    day.sync().map_err(failed("sync the day of"))?;
    Ok(gone(bytes))
}

/// What came of closing a day.
#[derive(Debug)]
pub enum Closing {
    /// Its directory has gone.
    Closed,
    /// Something lies in it.
    NotEmpty,
    /// Nothing is known of it: it may go better another time.
    Failed(io::Error),
}

/// Closes days of a workload: removes each directory of them in which nothing is. Only days that no writer takes
/// for today: one that makes its drop there at this moment finds the day gone, and makes it anew.
pub fn close_days(
    share: &Share,
    workload: &WorkloadName,
    days: &[Day],
) -> io::Result<Vec<(Day, Closing)>> {
    let names = [WORKLOADS, workload.as_str(), DROPS].map(str::to_owned);
    let drops = share.directory()?.descend(&names)?;
    let close = |day: &Day| {
        let closing = match drops.remove_directory(&day.to_string()) {
            Ok(()) => Closing::Closed,
            // Some servers have another word for it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Closing::NotEmpty
            }
            Err(error) => Closing::Failed(error),
        };
        (*day, closing)
    };
    Ok(days.iter().map(close).collect())
}

/// Whether all that is left are directories in which a file server keeps its notes. They are not
/// ours to remove, and nothing is to be waited for.
fn holds_nothing_of_ours(directory: &Directory) -> bool {
    let is_theirs = |name: &Vec<u8>| {
        is_foreign(name) && directory.facts(name).is_ok_and(|facts| facts.is_directory)
    };
    let names = directory.names_up_to(REMOVED_MAX);
    names.is_ok_and(|(names, is_whole)| is_whole && names.iter().all(is_theirs))
}

/// Whether a file cannot be removed only because somebody has it open: a silly file of our own
/// host on NFS, or one that is open without leave to delete it on SMB.
fn is_held(error: &io::Error) -> bool {
    let held = [Errno::BUSY, Errno::TXTBSY].map(|held| Some(held.raw_os_error()));
    held.contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_somebody_has_open_is_waited_for() {
        let held = |errno: Errno| is_held(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(held(Errno::BUSY) && held(Errno::TXTBSY));
        assert!(!held(Errno::NOENT) && !held(Errno::ACCESS) && !held(Errno::STALE));
        assert!(!is_held(&io::Error::other("busy")));
    }
}
