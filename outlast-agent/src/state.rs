//! The agent's own directory: a lock, the id of the share, and what only saves work.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::{DirectoryLock, LockError, durable};
use outlast_types::{ShareId, TenureId, WorkloadName};

const LOCK_FILE: &str = "agent.lock";
/// The agent's note of which share it serves, in its state.
pub const SHARE_NOTE: &str = "share-id";
const TENURE_FILE: &str = "tenure";
const JOURNALS: &str = "journals";
const CACHE: &str = "cache";
const BILLS: &str = "bills";
const ANSWERS: &str = "answers";
const KEYS: &str = "keys";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const SHARE_ID_BYTES_MAX: u64 = 100;
/// Entries that are looked at to measure the directory.
const MEASURED_MAX: usize = 100_000;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("another agent is running with the state directory {}", path.display())]
    Running { path: PathBuf },
}

/// The directory, which is this agent's alone as long as it lives. Everything in it may be lost
/// between two runs.
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: DirectoryLock,
}

impl StateDirectory {
    /// Makes what is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let journals = path.join(JOURNALS);
        durable::create_directories(&journals, DIRECTORY_MODE)
            .map_err(failed("create", &journals))?;
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// The share that an earlier run served. What cannot be understood is not taken for none: any
    /// other share would be served in its place.
    pub(crate) fn share(&self) -> Result<Option<ShareId>, StateError> {
        let path = self.share_id_file();
        match durable::read_bounded(&path, SHARE_ID_BYTES_MAX) {
            Ok(content) => {
                let text = std::str::from_utf8(&content).ok();
                let unknown = || {
                    let text = "it holds no share's id; if the share that is mounted is the right \
                                one, remove this file";
                    let source = io::Error::new(io::ErrorKind::InvalidData, text);
                    StateError::Io { action: "understand", path, source }
                };
                text.and_then(|text| text.trim().parse().ok()).ok_or_else(unknown).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { action: "read", path, source }),
        }
    }

    /// Remembers which share this agent serves, so that another one in its place is noticed.
    pub(crate) fn remember(&self, share: ShareId) -> Result<(), StateError> {
        let path = self.share_id_file();
        durable::replace(&path, format!("{share}\n").as_bytes(), FILE_MODE)
            .map_err(failed("write", &path))
    }

    /// The tenure in which an earlier run served the share, and how far it had counted. What cannot be
    /// understood is none: the marks on the share tell the rest.
    pub(crate) fn tenure(&self) -> Option<(TenureId, u64)> {
        let content = durable::read_bounded(&self.tenure_file(), SHARE_ID_BYTES_MAX).ok()?;
        let (tenure, count) = std::str::from_utf8(&content).ok()?.trim().split_once(' ')?;
        Some((tenure.parse().ok()?, count.parse().ok()?))
    }

    /// Remembers how far a tenure has counted.
    pub(crate) fn remember_tenure(&self, tenure: TenureId, count: u64) -> Result<(), StateError> {
        let path = self.tenure_file();
        durable::replace(&path, format!("{tenure} {count}\n").as_bytes(), FILE_MODE)
            .map_err(failed("write", &path))
    }

    pub(crate) fn tenure_file(&self) -> PathBuf {
        self.path.join(TENURE_FILE)
    }

    /// Where it is noted that a hand-over was there.
    pub(crate) fn note_of_handover(&self, name: &str) -> PathBuf {
        self.path.join(format!("handover-{name}"))
    }

    pub(crate) fn share_id_file(&self) -> PathBuf {
        self.path.join(SHARE_NOTE)
    }

    /// The bytes of all files in it; `None` if they cannot be counted.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let (mut bytes, mut count) = (0, 0);
        let mut directories = vec![self.path.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).ok()? {
                count += 1;
                // One that has just gone counts for nothing.
                let Ok(entry) = entry else { continue };
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    directories.push(entry.path());
                } else {
                    bytes += metadata.len();
                }
            }
            if count > MEASURED_MAX {
                return None;
            }
        }
        Some(bytes)
    }

    /// Where the engine keeps the indexes of repositories.
    pub(crate) fn cache(&self) -> PathBuf {
        cache_in(&self.path)
    }

    /// Where bills of lading wait for their receipts.
    pub(crate) fn bills(&self) -> PathBuf {
        self.path.join(BILLS)
    }

    /// Where the engine remembers what it has uploaded of an unfinished backup.
    pub(crate) fn journal(&self, workload: &WorkloadName) -> PathBuf {
        self.path.join(JOURNALS).join(workload.as_str())
    }
}

/// Where an agent with this directory keeps the indexes of repositories.
pub(crate) fn cache_in(state: &Path) -> PathBuf {
    state.join(CACHE)
}

/// Where it keeps what it knows of answers to instances.
pub(crate) fn answers_in(state: &Path) -> PathBuf {
    state.join(ANSWERS)
}

/// Where it keeps the answers that gave it keys, sealed as they came.
pub(crate) fn keys_in(state: &Path) -> PathBuf {
    state.join(KEYS)
}

fn lock(directory: &Path) -> Result<DirectoryLock, StateError> {
    let taken = DirectoryLock::take(directory, LOCK_FILE)?;
    taken.ok_or_else(|| StateError::Running { path: directory.to_owned() })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}
