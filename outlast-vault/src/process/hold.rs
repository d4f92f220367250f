//! Repositories have one vault: the machine of before may come back, with a directory of its own and the
//! same repositories.
//!
//! The lock is a file among them, so it is not made where nothing is: a volume that is not mounted gets
//! nothing in its place. A vault takes it at its start, or with the first repository that it makes.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use outlast_fs::DirectoryLock;
use outlast_store::StoreError;

const LOCK_FILE: &str = ".lock";

/// Others are kept from the repositories until it is released. A copy is the same one.
#[derive(Debug, Clone)]
pub(super) struct Hold(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    repositories: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Free,
    Held {
        _lock: DirectoryLock,
    },
    /// Their file system cannot tell who has them.
    Unknown,
    Released,
}

/// Another vault works on them.
#[derive(Debug, thiserror::Error)]
#[error("another vault works on the repositories in {}", repositories.display())]
pub(super) struct Taken {
    pub(super) repositories: PathBuf,
}

impl From<Taken> for StoreError {
    fn from(taken: Taken) -> Self {
        let location = taken.repositories.display().to_string();
        Self::Open { location, source: io::Error::new(ErrorKind::ResourceBusy, taken) }
    }
}

impl Hold {
    pub(super) fn of(repositories: &Path) -> Self {
        let (repositories, state) = (repositories.to_owned(), Mutex::new(State::Free));
        Self(Arc::new(Shared { repositories, state }))
    }

    /// Takes the repositories, if there are any.
    pub(super) fn take_if_any(&self) -> Result<(), Taken> {
        let has_any =
            fs::read_dir(&self.0.repositories).is_ok_and(|mut names| names.next().is_some());
        if has_any { self.take() } else { Ok(()) }
    }

    /// Takes them, unless that was done. Not once more after they were released: whoever still works by
    /// then is about to end.
    pub(super) fn take(&self) -> Result<(), Taken> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Free) {
            return Ok(());
        }
        *state = match DirectoryLock::take(&self.0.repositories, LOCK_FILE) {
            Ok(Some(lock)) => State::Held { _lock: lock },
            Ok(None) => {
                let repositories = &self.0.repositories;
                // As people know it: it may be a link.
                let shown = fs::canonicalize(repositories);
                let repositories = shown.unwrap_or_else(|_| repositories.clone());
                return Err(Taken { repositories });
            }
            Err(error) => {
                tracing::warn!(%error, "nothing keeps another vault from these repositories");
                State::Unknown
            }
        };
        Ok(())
    }

    /// Lets others have them.
    pub(super) fn release(&self) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Released;
    }
}
