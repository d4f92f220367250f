//! Where a vault keeps what it knows: repositories, and small named records beside them.
//!
//! Nothing above this knows a path. The process hands a [`VaultStorage`] in: a directory
//! (`crate::process`), memory in tests, an object store when there is one.
//!
//! | record | who writes it | what it needs |
//! |---|---|---|
//! | `keys/<workload>.password`, `.making` | `repositories`, one maker per workload | replace, durable |
//! | `arrivals/<workload>/<drop or snapshot>.json` | `publish`, one publisher per workload | replace, durable |
//! | `challenge.json` | `challenges`, when a vault opens | replace, durable |
//! | `orders.jsonl` | `orders`, under its lock | append, durable |
//! | `certificates.jsonl` | `certificates`, under its lock | append, durable |
//! | `certificates-met.jsonl` | `certificates`, under its lock | append, fast |
//! | `audit/<first number>.jsonl` | `audit`, under its lock | append, durable |
//! | `audit-head.json` | `audit`, after the log | replace; durable for the first entry of a segment |
//! | `tokens/<id>.json` | `tokens`, under its lock | replace, durable |
//! | `jobs/<job>.json` | the one runner of the job | replace, durable |
//! | `repos/.shipments/<workload>/<drop>.json` | `shipments`, under its lock | replace, durable |
//! | `shipments-ended/<workload>.<drop>.<second>.json` | `ended`, under its lock | replace, durable |
//! | `repos/.keeping/<workload>/keeping.json` | `keepings`, under its lock | replace, durable |
//! | `keeping/<workload>` | `keepings`, after that | replace, durable |
//! | `forgetting.json` | `slow_time`, by a job | replace, durable |
//! | `destroyed/<workload>-<order>.json` | `destroying`, once | replace, durable |
//! | `media-servers.json` | `spools`, under its lock | replace, durable |
//! | `agreements.json` | `agreements`, under its lock | replace, durable |
//! | `alerts.json` | `alerts`, under its lock | replace, durable |
//! | `scrubs/<workload>.json` | `scrub`, its one job | replace, durable |
//! | `drills/<workload>.json` | `drill`, its one job, and who asks for one | replace, durable |
//! | `deliveries/<workload>.json` | `handing`, under its lock | replace, durable |
//! | `reports/<month>.json`, `.csv`, `.html` | `months`, its one job | replace, durable |
//! | `usage.json` | `limits`, by a job | replace, durable |
//! | `recovery/secrets/<generation>.json` | `kit`, and whoever makes a kit | replace, durable |
//! | `recovery/kits/<kit>.json` | whoever makes a kit; `kit_keys` takes it away | replace, durable |
//! | `recovery/withheld.json` | `withheld`, under its lock | replace, durable |
//! | `proofs/<workload>` | `admission`, under a lock | append, fast |
//! | `lock-holders/<workload>/<lock>` | `admission` | replace, fast |

#[cfg(test)]
pub(crate) mod memory;

use std::io;
use std::sync::Arc;

use outlast_fs::EntrySource;
use outlast_repo::Repository;
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::{Timestamp, WorkloadName};

/// Everything of a vault but its catalog.
pub(crate) trait VaultStorage: Records {
    /// Where the repositories are, for messages.
    fn repositories_location(&self) -> String;

    /// The workloads that have a place for a repository, in order. What is not named like a
    /// workload was not put there by a vault.
    fn repositories(&self) -> io::Result<Vec<WorkloadName>>;

    /// Whether there is any object of this kind. A place that is missing holds none; one that cannot
    /// be looked at is an error.
    fn holds(&self, workload: &WorkloadName, kind: Kind) -> io::Result<bool>;

    /// Makes the place for a repository, as far as it is missing. Whether there *is* one is decided by
    /// its config.
    fn make_repository(
        &self,
        workload: &WorkloadName,
    ) -> Result<Arc<dyn RepositoryStore>, StoreError>;

    fn open_repository(
        &self,
        workload: &WorkloadName,
    ) -> Result<Arc<dyn RepositoryStore>, StoreError>;

    /// Gives a repository's place another name, unless that is taken; whether anything was there.
    fn rename_repository(&self, from: &WorkloadName, to: &WorkloadName) -> io::Result<bool>;

    /// Moves a repository out of the way, under a name that ends in `stamp` and is no workload's.
    /// Nothing of it is lost. Whether anything was there.
    fn set_repository_aside(&self, workload: &WorkloadName, stamp: &str) -> io::Result<bool>;

    /// The repository of the vault itself, beside those of workloads, under
    /// [`OWN_REPOSITORY`]; `None` if there is no place for it.
    fn own_repository(&self) -> Result<Option<Arc<dyn RepositoryStore>>, StoreError>;

    /// Makes that place, as far as it is missing.
    fn make_own_repository(&self) -> Result<Arc<dyn RepositoryStore>, StoreError>;

    /// Moves the vault's own repository out of the way, as `set_repository_aside` does.
    fn set_own_repository_aside(&self, stamp: &str) -> io::Result<bool>;

    /// All records that nothing else could give back, as a tree. What is being written meanwhile is in
    /// it as it was before or after, or, where records are appended to, up to somewhere.
    fn state(&self) -> io::Result<Box<dyn EntrySource>>;

    /// The same repository with the engine's cache of indexes, where this host has room for one.
    fn with_cache(&self, repository: Repository) -> Repository;
}

/// A repository's objects, and how new ones arrive.
pub(crate) trait RepositoryStore: Store {
    /// Begins an object that comes piece by piece. Nobody sees it before it is published.
    fn stage(self: Arc<Self>, object: &Object) -> Result<Box<dyn Staged>, StoreError>;

    /// Makes an object durable that is here: it may have got its name a moment ago, from somebody who has not
    /// come to that yet.
    fn keep(&self, object: &Object) -> Result<(), StoreError>;

    /// Removes what killed writers left unfinished before `moment`; how much. What cannot be removed
    /// now is found by a later sweep: nobody reads it.
    fn sweep(&self, moment: Timestamp) -> u64;
}

/// An object that is being written, and can be read back before it has its name. If it never gets
/// one, nothing is left of it.
pub(crate) trait Staged: Send {
    /// How many bytes were written.
    fn size(&self) -> u64;

    fn write(&mut self, piece: &[u8]) -> Result<(), StoreError>;

    /// As many bytes from `offset` as `buffer` has room for, all of them within the size.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError>;

    /// Makes it durable under its name; [`StoreError::AlreadyExists`] if that is taken.
    fn publish(self: Box<Self>) -> Result<(), StoreError>;

    /// The same in place of what has the name: for content that was proved to be what the name
    /// says, where what is there is not.
    fn publish_over(self: Box<Self>) -> Result<(), StoreError>;
}

/// Whether a record must outlive a crash of the machine, or may be lost with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It is on disk when the call returns.
    Durable,
    /// It costs no wait for a disk. A crash may lose or cut off what was written last.
    Fast,
}

/// Small named records. Keys are relative: words of `[a-z0-9._-]`, joined by `/`.
pub(crate) trait Records: Send + Sync {
    /// Where a record is, for messages.
    fn location(&self, key: &str) -> String;

    /// The whole record; `None` if there is none, an error if it is longer than `bytes_max`.
    fn read(&self, key: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>>;

    /// Hands the record over piece by piece, however long it is, until `take` says `false`. A record
    /// that is missing is empty.
    fn read_through(&self, key: &str, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()>;

    /// The length in bytes; `None` if there is none.
    fn length(&self, key: &str) -> io::Result<Option<u64>>;

    /// Writes the whole record. A durable one appears all at once; of a fast one a kill may leave a
    /// part.
    fn replace(&self, key: &str, content: &[u8], durability: Durability) -> io::Result<()>;

    /// Makes `content` what follows after the first `at` bytes of a record, which is made if it is
    /// missing. Cut off by a kill, a part of the content is there.
    fn append(&self, key: &str, at: u64, content: &[u8], durability: Durability) -> io::Result<()>;

    /// Removes a record for good; whether it was there.
    fn remove(&self, key: &str) -> io::Result<bool>;

    /// The names right below a folder, in order; of records and of folders. None if it is missing.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Whether there is anything below a folder.
    fn has_any(&self, folder: &str) -> io::Result<bool>;

    /// Gives a record or folder another name beside its own, unless that is taken; whether it was there.
    fn rename(&self, key: &str, name: &str) -> io::Result<bool>;

    /// Moves a record or folder out of the way, as [`VaultStorage::set_repository_aside`] does.
    fn set_aside(&self, key: &str, stamp: &str) -> io::Result<bool>;
}

/// A vault's storage, as its parts share it.
pub(crate) type Storage = Arc<dyn VaultStorage>;

/// A record that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {location}: {source}")]
pub struct StorageError {
    pub action: &'static str,
    pub location: String,
    pub source: io::Error,
}

impl StorageError {
    /// Says that `action` failed on the record of this key.
    pub(crate) fn of(
        records: &(impl Records + ?Sized),
        action: &'static str,
        key: &str,
    ) -> impl FnOnce(io::Error) -> Self {
        let location = records.location(key);
        move |source| Self { action, location, source }
    }
}

/// The name of the vault's own repository, which is no workload's: those begin with a letter or digit.
pub(crate) const OWN_REPOSITORY: &str = ".vault";

/// What no workload's name begins with.
pub(crate) const ASIDE_PREFIX: &str = ".aside-";
