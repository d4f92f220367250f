//! What can go wrong with a spool.

use std::io;
use std::path::{Path, PathBuf};

use outlast_types::WorkloadName;

use crate::item::What;

/// Why a spool did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// Somebody else works in its directory.
    #[error("the spool {path} is in use by another process: stop that one, or give this one a directory of its own", path = path.display())]
    InUse { path: PathBuf },
    /// There is no room until something was forwarded.
    #[error("the spool is full: {used} of {room} bytes wait in it")]
    Full { used: u64, room: u64 },
    /// The workload has what policy allows it.
    #[error("{used} bytes of {workload} wait in the spool, of {room} that it may have")]
    OverQuota { workload: WorkloadName, used: u64, room: u64 },
    /// What came is not what its name says.
    #[error("what came as {what} has another SHA-256")]
    WrongHash { what: What },
    #[error("{what} of {workload} is not in the spool")]
    Absent { workload: WorkloadName, what: What },
}

impl SpoolError {
    /// Whether the same may succeed when something was forwarded.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Full { .. } | Self::OverQuota { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::InUse { .. } | Self::WrongHash { .. } | Self::Absent { .. } => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
