//! What is there of a workload's repository, and what must not be made in its place.
//!
//! A repository that is not there is not a repository that never was: its volume may not be mounted, or
//! only a part of it came back from a copy. So nothing is made where anything remembers the workload
//! (I6), and what is missing is said for as long as it is missing.

use std::io;

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

/// Looks at a repository, of which `has` says whether there is any object of a kind. `is_begun` says
/// whether a maker of it was killed.
pub(crate) fn look(
    has: &dyn Fn(Kind) -> io::Result<bool>,
    memory: Memory,
    is_begun: bool,
) -> Found {
    match try_look(has, memory, is_begun) {
        Ok(found) => found,
        Err(error) => Found::Missing(Missing::Unreadable { reason: error.to_string() }),
    }
}

fn try_look(
    has: &dyn Fn(Kind) -> io::Result<bool>,
    memory: Memory,
    is_begun: bool,
) -> io::Result<Found> {
    let missing = |what| Ok(Found::Missing(what));
    if has(Kind::Config)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_gone_of_a_remembered_repository_is_told_apart_from_newness() {
        let none = Memory::default();
        let some = Memory { password: true, snapshots: 3, ..none };
        let check = |objects: &[&str], memory: Memory, begun: bool, expected: &Found| {
            let has = |kind: Kind| Ok(objects.contains(&kind.directory()));
            assert_eq!(look(&has, memory, begun), *expected, "{objects:?} {memory:?}");
        };
        let gone = Found::Missing;
        check(&[], none, false, &Found::Nothing);
        check(&[], Memory { password: true, ..none }, true, &Found::Begun);
        check(&["keys"], Memory { password: true, ..none }, false, &Found::Begun);
        check(&["keys"], Memory { arrivals: true, ..none }, false, &gone(Missing::Config));
        check(&["keys"], some, true, &gone(Missing::Config));
        check(&["data"], Memory { password: true, ..none }, true, &gone(Missing::Config));
        for memory in [
            Memory { password: true, ..none },
            Memory { snapshots: 1, ..none },
            Memory { vaulted: true, ..none },
            Memory { arrivals: true, ..none },
        ] {
            check(&[], memory, false, &gone(Missing::Repository));
        }
        for object in ["snapshots", "index", "data"] {
            check(&[object], none, false, &gone(Missing::Config));
        }
        let whole = ["config", "keys", "snapshots", "data"];
        check(&whole, some, false, &Found::Whole);
        check(&whole, Memory { snapshots: 3, ..none }, false, &gone(Missing::Password));
        check(&whole[..1], some, false, &gone(Missing::Keys));
        check(&whole[..2], some, false, &gone(Missing::Snapshots { known: 3 }));
        check(&whole[..3], some, false, &gone(Missing::Data));
        check(&whole[..2], Memory { password: true, ..none }, false, &Found::Whole);
    }

    #[test]
    fn what_cannot_be_looked_at_is_missing() {
        let broken = |_: Kind| Err(io::Error::other("the disk is broken"));
        let found = look(&broken, Memory::default(), false);
        let Found::Missing(Missing::Unreadable { reason }) = found else { panic!("{found:?}") };
        assert!(reason.contains("the disk is broken"));
    }
}
