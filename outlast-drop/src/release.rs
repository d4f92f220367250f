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
use crate::layout::{DROPS, DropAddress, SEAL_FILE, WORKLOADS, is_foreign, segment_name};
use crate::reader::{DropReadError, read_seal};
use crate::receipt::{self, ReceiptState, SignedReceipt};
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
/// sealed is not touched, and neither is one whose seal is just being written, as a torn one may be.
/// Call it only when the drop has been still for the whole grace time, or to go on with what was begun.
///
/// A seal may come all the same, from a writer that wakes up after the last segment has gone and before
/// the drop's directory has: it takes it back, unless it dies first. Such a seal of nothing goes, too.
pub fn abandon(
    share: &Share,
    address: &DropAddress,
    signed: &SignedReceipt,
) -> Result<Freed, ReleaseError> {
    check_receipt(share, address, signed, ReceiptState::Abandoned)?;
    let sealed = || ReleaseError::Sealed { address: address.clone() };
    let (workload, drop, state) = (&address.workload, address.drop, ReceiptState::Abandoned);
    // By an agent that died, and that may have begun to remove.
    let was_begun = !matches!(receipt::read(share, workload, drop, state), Ok(None));
    if has_seal(share, address)? {
        if !was_begun || !is_hollow(share, address)? {
            return Err(sealed());
        }
        receipt::write(share, signed)?;
        return remove_data(share, address);
    }
    // The receipt comes before the last word: a writer that wakes up now finds it and does not
    // seal, and one that has just sealed has taken the name of the seal.
    receipt::write(share, signed)?;
    if !keep_from_sealing(share, address)? {
        if !was_begun {
            receipt::withdraw(share, workload, drop, state)?;
        }
        return Err(sealed());
    }
    remove_data(share, address)
}

/// Takes the name of the seal, so that the writer cannot seal any more; whether that was possible. A
/// listing may be old, whoever shows it. Which of two made a name first, the server alone says.
fn keep_from_sealing(share: &Share, address: &DropAddress) -> Result<bool, ReleaseError> {
    let Some(directory) = open_drop_to_change(share, address)? else { return Ok(true) };
    take_name(&directory, SEAL_FILE)
}

/// Whether a whole seal has no first segment: nobody was told that it is one, and nobody will be, since a
/// writer looks for that segment when it has sealed. By taking its name, since only the server knows.
fn is_hollow(share: &Share, address: &DropAddress) -> Result<bool, ReleaseError> {
    let Some(directory) = open_drop_to_change(share, address)? else { return Ok(false) };
    match read_seal(&directory) {
        Ok(Some((seal, _))) if !seal.segments.is_empty() => take_name(&directory, &segment_name(0)),
        Ok(_) | Err(DropReadError::Refused(_)) => Ok(false),
        Err(error @ DropReadError::Later { .. }) => Err(ReleaseError::Io {
            action: "read the seal of",
            path: directory.path().to_owned(),
            source: io::Error::other(error),
        }),
    }
}

fn take_name(directory: &Directory, name: &str) -> Result<bool, ReleaseError> {
    directory.take_name(name).map_err(|source| {
        let path = directory.path().to_owned();
        ReleaseError::Io { action: "close", path, source }
    })
}

/// Whether there is something of a seal, whole or not.
///
/// It is looked for in a listing, since a network file system may remember for a while that there
/// was no file of its name, but asks the server when a directory is opened and listed.
fn has_seal(share: &Share, address: &DropAddress) -> Result<bool, ReleaseError> {
    let Some(directory) = open_drop(share, address)? else { return Ok(false) };
    let mut is_listed = false;
    let listed = directory.each_name(NAMES_MAX, |name| is_listed |= name == SEAL_FILE.as_bytes());
    let failed = |action| {
        let path = share.drop_directory(address);
        move |source| ReleaseError::Io { action, path, source }
    };
    let is_whole = listed.map_err(failed("list"))?;
    if is_whole && !is_listed {
        return Ok(false);
    }
    match directory.facts(SEAL_FILE.as_bytes()) {
        // The name was taken, by us, before something broke off.
        Ok(facts) => Ok(!facts.is_directory),
        // By the one it is there, and by the other not: one of the two is old.
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_listed => {
            Err(failed("read the seal of")(Errno::STALE.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("read the seal of")(error)),
    }
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
    opened(share, address, share.directory().and_then(|root| root.descend(&address.components())))
}

fn opened(
    share: &Share,
    address: &DropAddress,
    directory: io::Result<Directory>,
) -> Result<Option<Directory>, ReleaseError> {
    match directory {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => {
            let path = share.drop_directory(address);
            Err(ReleaseError::Io { action: "open", path, source })
        }
    }
}

/// The same to change something: only where the share is certainly there.
fn open_drop_to_change(
    share: &Share,
    address: &DropAddress,
) -> Result<Option<Directory>, ReleaseError> {
    opened(share, address, share.root_to_change()?.descend(&address.components()))
}

/// Removes a drop's directory with everything in it, the seal first; fine if it is gone.
pub(crate) fn remove_data(share: &Share, address: &DropAddress) -> Result<Freed, ReleaseError> {
    let gone = |bytes| Freed { bytes, is_gone: true };
    let Some(directory) = open_drop_to_change(share, address)? else { return Ok(gone(0)) };
    let failed = |action| {
        let path = share.drop_directory(address);
        move |source| ReleaseError::Io { action, path, source }
    };
    // Where a directory has the seal's name, no seal can come while there is something to remove.
    let taken = taken_names(&directory);
    match directory.remove_file(SEAL_FILE.as_bytes()) {
        Err(error) if is_held(&error) => return Ok(Freed::default()),
        Err(_) if taken.iter().any(|name| name == SEAL_FILE) => {}
        result => result.map_err(failed("remove the seal in"))?,
    }
    directory.sync().map_err(failed("sync"))?;
    let mut bytes = 0;
    let (names, mut is_whole) = directory.names_up_to(REMOVED_MAX).map_err(failed("list"))?;
    for name in names {
        let facts = match directory.facts(&name) {
            // Not ours to remove.
            Ok(facts) if facts.is_directory => continue,
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // What cannot be looked at is there, and may be what a seal could be of.
            Err(error) => return Err(failed("look into")(error)),
        };
        match directory.remove_file(&name) {
            Ok(()) => bytes += facts.size,
            Err(error) if is_held(&error) => is_whole = false,
            Err(error) => return Err(failed("empty")(error)),
        }
    }
    if !is_whole {
        return Ok(Freed { bytes, is_gone: false });
    }
    // Only now, when there is no segment that a seal could be of.
    for name in taken {
        match directory.remove_directory(&name) {
            // A file server keeps its notes even there.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            result => result.map_err(failed("empty"))?,
        }
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

/// The names in a drop's directory that an agent has taken: see [`Directory::take_name`].
fn taken_names(directory: &Directory) -> Vec<String> {
    let mut names = vec![SEAL_FILE.to_owned(), segment_name(0)];
    names.retain(|name| directory.facts(name.as_bytes()).is_ok_and(|facts| facts.is_directory));
    names
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
/// ours to remove, and nothing is to be waited for. If nothing is left, the last of it went this moment,
/// and the directory can go, too: next time.
fn holds_nothing_of_ours(directory: &Directory) -> bool {
    let taken = taken_names(directory);
    let is_theirs = |name: &Vec<u8>| {
        taken.iter().any(|taken| taken.as_bytes() == name)
            || is_foreign(name) && directory.facts(name).is_ok_and(|facts| facts.is_directory)
    };
    let names = directory.names_up_to(REMOVED_MAX);
    names
        .is_ok_and(|(names, is_whole)| is_whole && !names.is_empty() && names.iter().all(is_theirs))
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

    /// A silly file of NFS goes by itself when it is closed, maybe right after it was in the way.
    #[test]
    fn a_directory_that_has_become_empty_is_still_to_be_removed() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path()).unwrap();
        assert!(!holds_nothing_of_ours(&directory));
        std::fs::create_dir(place.path().join("@eaDir")).unwrap();
        assert!(holds_nothing_of_ours(&directory));
        std::fs::create_dir(place.path().join("ours")).unwrap();
        assert!(!holds_nothing_of_ours(&directory));
    }

    #[test]
    fn only_a_file_that_somebody_has_open_is_waited_for() {
        let held = |errno: Errno| is_held(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(held(Errno::BUSY) && held(Errno::TXTBSY));
        assert!(!held(Errno::NOENT) && !held(Errno::ACCESS) && !held(Errno::STALE));
        assert!(!is_held(&io::Error::other("busy")));
    }
}
