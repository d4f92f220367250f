//! Where the parts of a hand-over lie.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The end of the name of the desk, beside the directory.
const DESK_SUFFIX: &str = ".outlast";

/// The two directories of a hand-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
    desk: PathBuf,
}

impl Place {
    /// Of the hand-over whose product reads `directory`.
    pub fn of(directory: &Path) -> Self {
        let directory: PathBuf = directory.components().collect();
        let mut desk = OsString::from(directory.as_os_str());
        desk.push(DESK_SUFFIX);
        Self { directory, desk: desk.into() }
    }

    /// What the product reads.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What nobody but us reads.
    pub fn desk(&self) -> &Path {
        &self.desk
    }

    pub fn rules(&self) -> PathBuf {
        self.desk.join("handover.json")
    }

    pub fn journal(&self) -> PathBuf {
        self.desk.join("journal.jsonl")
    }

    pub fn moment(&self) -> PathBuf {
        self.desk.join("moment.json")
    }

    /// Who let drops go.
    pub fn audit(&self) -> PathBuf {
        self.desk.join("audit.jsonl")
    }

    pub fn leases(&self) -> PathBuf {
        self.desk.join("leases")
    }

    pub fn inbox(&self) -> PathBuf {
        self.desk.join("inbox")
    }

    pub fn staging(&self) -> PathBuf {
        self.desk.join("staging")
    }

    pub fn trash(&self) -> PathBuf {
        self.desk.join("trash")
    }
}
