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
    pub(super) fn of(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let mut top = Self { real: PathBuf::new(), whole: false, below: BTreeMap::new() };
        for path in paths {
            top.add(path).map_err(|source| SourceError::Ended {
                origin: path.display().to_string(),
                source,
            })?;
        }
        if let Some(whole) = top.whole()
            && let Some(other) =
                top.below.values().find(|other| other.real.is_absolute() != whole.is_absolute())
        {
            let (origin, source) = (other.real.display().to_string(), same_name());
            return Err(SourceError::Ended { origin, source });
        }
        Ok(top)
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        path.symlink_metadata()?;
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
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "a path with '..' has no certain name in a backup: give it without",
                    ));
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

fn same_name() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "another path would get the same name in the backup: give all paths as absolute ones",
    )
}
