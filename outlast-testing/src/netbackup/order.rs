//! What is to be backed up, what goes wrong with it, and what became of it.

use std::path::{Path, PathBuf};

/// Which backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Full,
    /// Since the last backup of any kind.
    Differential,
    /// Since the last full.
    Cumulative,
    /// A user's own.
    User,
}

impl Kind {
    /// As scripts are told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Differential => "INCR",
            Self::Cumulative => "CINC",
            Self::User => "UBAK",
        }
    }

    /// As lists show it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Full => "Full Backup",
            Self::Differential => "Differential I",
            Self::Cumulative => "Cumulative Inc",
            Self::User => "User Backup",
        }
    }
}

/// What goes wrong with a job.
#[derive(Debug, Clone, Default)]
pub enum Fault {
    #[default]
    None,
    /// The client has sent all, and the server cannot store it: 84, 96, 129, 2106.
    Server(i32),
    /// It ends before the client is asked for anything: 54, 57, 58, 59, 196, 1000.
    Before(i32),
    /// It is ended after so many files, as an administrator does (150) or a line that breaks (24, 41); no script is called
    /// any more.
    Middle(usize, i32),
    /// Files whose path has these words in it cannot be read: 1.
    Unreadable(String),
}

/// A job to run.
#[derive(Debug, Clone)]
pub struct Order {
    pub policy: String,
    pub schedule: String,
    pub kind: Kind,
    /// What is backed up, divided among the streams.
    pub directory: PathBuf,
    pub streams: u32,
    pub fault: Fault,
}

impl Order {
    /// One stream of all of it, where nothing goes wrong.
    pub fn new(policy: &str, schedule: &str, kind: Kind, directory: &Path) -> Self {
        let (policy, schedule) = (policy.to_owned(), schedule.to_owned());
        let (directory, fault) = (directory.to_owned(), Fault::None);
        Self { policy, schedule, kind, directory, streams: 1, fault }
    }
}

/// What became of one stream of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: u64,
    pub backup: String,
    pub policy: String,
    pub schedule: String,
    pub kind: &'static str,
    pub status: i32,
    /// When it began, in seconds since 1970.
    pub began: i64,
    pub ended: i64,
    /// What its scripts said, and what it did.
    pub log: Vec<String>,
}
