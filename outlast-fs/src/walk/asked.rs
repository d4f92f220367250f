//! The paths that a walk was asked for, as a tree of names.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::vec;

use crate::entry::SourceError;

/// A name on the way to paths that were asked for, or one of them.
pub(super) struct Asked {
    /// Where it lies on this host.
    real: PathBuf,
    /// Asked for itself, with everything in it.
    whole: bool,
    below: BTreeMap<Vec<u8>, Asked>,
}

impl Asked {
    /// The paths that are there, and a problem for each that cannot be had.
    ///
    /// # Errors
    /// If there is none, or a path cannot be in a tree by its text.
    pub(super) fn of(paths: &[PathBuf]) -> Result<(Self, Vec<SourceError>), SourceError> {
        let mut top = Self { real: PathBuf::new(), whole: false, below: BTreeMap::new() };
        let mut missing = Vec::new();
        for path in paths {
            let origin = || path.display().to_string();
            let refused = |source| SourceError::Ended { origin: origin(), source };
            match path.symlink_metadata() {
                // What can never be is said first, whether or not it is there.
                _ if path.components().any(|part| part == Component::ParentDir) => {
                    return Err(refused(uncertain_name()));
                }
                Ok(_) => top.add(path).map_err(refused)?,
                Err(source) if missing.len() + 1 == paths.len() => return Err(refused(source)),
                Err(source) => missing.push(SourceError::Entry { path: origin(), source }),
            }
        }
        if let Some(whole) = top.whole()
            && let Some(other) =
                top.below.values().find(|other| other.real.is_absolute() != whole.is_absolute())
        {
            let (origin, source) = (other.real.display().to_string(), same_name());
            return Err(SourceError::Ended { origin, source });
        }
        Ok((top, missing))
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let mut at = self;
        let mut real = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir => real.push("/"),
                Component::CurDir => {}
                Component::Normal(name) => {
                    real.push(name);
                    let fresh = Self { real: real.clone(), whole: false, below: BTreeMap::new() };
                    at = at.below.entry(name.as_bytes().to_vec()).or_insert(fresh);
                    if at.real != real {
                        return Err(same_name());
                    }
                }
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(uncertain_name());
                }
            }
        }
        if real.as_os_str().is_empty() || real == Path::new("/") {
            let real = if path.is_absolute() { PathBuf::from("/") } else { PathBuf::from(".") };
            if at.whole && at.real != real {
                return Err(same_name());
            }
            at.real = real;
        }
        at.whole = true;
        Ok(())
    }

    /// The directory whose entries are at the top, if one was asked for as a whole.
    pub(super) fn whole(&self) -> Option<&Path> {
        self.whole.then_some(self.real.as_path())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    pub(super) fn into_below(self) -> vec::IntoIter<(Vec<u8>, Self)> {
        self.below.into_iter().collect::<Vec<_>>().into_iter()
    }
}

fn uncertain_name() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a path with '..' has no certain name in a backup: give it without",
    )
}

fn same_name() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "another path would get the same name in the backup: give all paths as absolute ones",
    )
}
