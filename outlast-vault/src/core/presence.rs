//! What is there of a workload's repository, and what must not be made in its place.
//!
//! A repository that is not there is not a repository that never was: its volume may not be mounted, or
//! only a part of it came back from a copy. So nothing is made where anything remembers the workload
//! (I6), and what is missing is said for as long as it is missing.

use outlast_types::hex;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use outlast_fs::durable;
use outlast_store::Kind;

/// What remembers a workload beside its repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Snapshots that the catalog knows.
    pub(crate) snapshots: u64,
    /// Whether a drop was ever vaulted, by the promise ledger.
    pub(crate) vaulted: bool,
    /// Whether there are arrival records.
    pub(crate) arrivals: bool,
    /// Whether there is a password.
    pub(crate) password: bool,
}

/// What was found of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// All that can be seen without reading content.
    Whole,
    /// Nothing, and nothing remembers one.
    Nothing,
    /// A repository that was being made when its maker was killed.
    Begun,
    /// Less than what is remembered.
    Missing(Missing),
}

/// What is missing of a repository, worst first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    #[error("nothing of it is in the vault's repositories (is their volume mounted?)")]
    Repository,
    #[error("its config is gone, while other objects of it are there (was it only partly copied?)")]
    Config,
    #[error("its password is gone, without which it cannot be opened")]
    Password,
    #[error("all its key files are gone, without which it cannot be opened")]
    Keys,
    #[error("all its snapshots are gone, and {known} are known (was it only partly copied?)")]
    Snapshots { known: u64 },
    #[error("it has snapshots, and not one pack with their data (was it only partly copied?)")]
    Data,
    #[error("it cannot be looked at: {reason}")]
    Unreadable { reason: String },
}

/// Looks at the repository in `directory`. `password` and `is_begun` say what lies beside it.
pub(crate) fn look(directory: &Path, memory: Memory, is_begun: bool) -> Found {
    match try_look(directory, memory, is_begun) {
        Ok(found) => found,
        Err(error) => Found::Missing(Missing::Unreadable { reason: error.to_string() }),
    }
}

fn try_look(directory: &Path, memory: Memory, is_begun: bool) -> io::Result<Found> {
    let has = |kind| has_object(directory, kind);
    let missing = |what| Ok(Found::Missing(what));
    if directory.join(Kind::Config.directory()).try_exists()? {
        if !memory.password {
            return missing(Missing::Password);
        }
        if !has(Kind::Key)? {
            return missing(Missing::Keys);
        }
        return match has(Kind::Snapshot)? {
            // A snapshot refers to a tree at least, so there is a pack.
            true if !has(Kind::Data)? => missing(Missing::Data),
            false if memory.snapshots > 0 => {
                missing(Missing::Snapshots { known: memory.snapshots })
            }
            _ => Ok(Found::Whole),
        };
    }
    if has(Kind::Snapshot)? || has(Kind::Index)? || has(Kind::Data)? {
        return missing(Missing::Config);
    }
    // The key file is written before the config, so a maker that was killed leaves one. It opens
    // nothing while nothing else is there, or ever was.
    let has_key = has(Kind::Key)?;
    let was_used = memory.snapshots > 0 || memory.vaulted || memory.arrivals;
    Ok(match (has_key, was_used, memory.password) {
        (_, false, _) if has_key || is_begun => Found::Begun,
        (true, _, _) => Found::Missing(Missing::Config),
        (false, false, false) => Found::Nothing,
        (false, _, _) => Found::Missing(Missing::Repository),
    })
}

/// Whether there is any object of this kind. What is missing on the way to it holds none.
fn has_object(directory: &Path, kind: Kind) -> io::Result<bool> {
    let path = directory.join(kind.directory());
    for entry in entries(&path)? {
        let entry = entry?;
        if kind == Kind::Data {
            if entry.file_type()?.is_dir() && has_named_file(&entry.path())? {
                return Ok(true);
            }
        } else if is_object(&entry) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_named_file(path: &Path) -> io::Result<bool> {
    for entry in entries(path)? {
        if is_object(&entry?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_object(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| hex::decode_32(name).is_some())
}

fn entries(path: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None.into_iter().flatten())
        }
        Err(error) => Err(error),
    }
}

/// Moves what is at `path` to a name beside it that nobody uses, so that nothing of it is lost.
/// Whether anything was there.
pub(crate) fn set_aside(path: &Path, stamp: &str) -> io::Result<bool> {
    let Some(name) = path.file_name() else { return Ok(false) };
    let mut aside = std::ffi::OsString::from(ASIDE_PREFIX);
    aside.push(name);
    aside.push(format!("-{stamp}"));
    match durable::rename_beside(path, &aside) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What no workload's name begins with.
const ASIDE_PREFIX: &str = ".aside-";

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "4fe0bd8c12b0a1d0e9a3c0f9d60c6ae5b5f6f4d7b8a9c0d1e2f30415263748f9";

    fn repository(objects: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for object in objects {
            let path = directory.path().join(object.replace('*', NAME));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            durable::create_new(&path, b"x", 0o600).unwrap();
        }
        directory
    }

    #[test]
    fn whatever_is_gone_of_a_remembered_repository_is_told_apart_from_newness() {
        let none = Memory::default();
        let some = Memory { password: true, snapshots: 3, ..none };
        let check = |objects: &[&str], memory: Memory, begun: bool, expected: &Found| {
            let directory = repository(objects);
            assert_eq!(look(directory.path(), memory, begun), *expected, "{objects:?} {memory:?}");
        };
        let gone = Found::Missing;
        check(&[], none, false, &Found::Nothing);
        check(&["lost+found/x", "data/00/README"], none, false, &Found::Nothing);
        check(&[], Memory { password: true, ..none }, true, &Found::Begun);
        check(&["keys/*"], Memory { password: true, ..none }, false, &Found::Begun);
        check(&["keys/*"], Memory { arrivals: true, ..none }, false, &gone(Missing::Config));
        check(&["keys/*"], some, true, &gone(Missing::Config));
        check(&["data/4f/*"], Memory { password: true, ..none }, true, &gone(Missing::Config));
        for memory in [
            Memory { password: true, ..none },
            Memory { snapshots: 1, ..none },
            Memory { vaulted: true, ..none },
            Memory { arrivals: true, ..none },
        ] {
            check(&[], memory, false, &gone(Missing::Repository));
        }
        for object in ["snapshots/*", "index/*", "data/4f/*"] {
            check(&[object], none, false, &gone(Missing::Config));
        }
        let whole = ["config", "keys/*", "snapshots/*", "data/4f/*"];
        check(&whole, some, false, &Found::Whole);
        check(&whole, Memory { snapshots: 3, ..none }, false, &gone(Missing::Password));
        check(&whole[..1], some, false, &gone(Missing::Keys));
        check(&whole[..2], some, false, &gone(Missing::Snapshots { known: 3 }));
        check(&whole[..3], some, false, &gone(Missing::Data));
        check(&whole[..2], Memory { password: true, ..none }, false, &Found::Whole);
    }

    #[test]
    fn what_is_set_aside_is_kept_under_a_name_that_is_no_workload() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::create_dir(&path).unwrap();
        durable::create_new(&path.join("config"), b"old", 0o600).unwrap();
        assert!(set_aside(&path, "1").unwrap());
        assert!(!set_aside(&path, "1").unwrap());
        let kept = directory.path().join(".aside-a-1");
        assert_eq!(fs::read_to_string(kept.join("config")).unwrap(), "old");
        assert!(outlast_types::WorkloadName::new(".aside-a-1").is_err());
    }
}
