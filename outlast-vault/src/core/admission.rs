//! Nothing that a peer uploads is believed before it was looked at (I7), whatever the peer's role.
//!
//! - **Packs** (`packs`) get their name when every blob in them was decrypted, decompressed within
//!   limits and hashed. Neither the pack's name nor an authentication code proves anything against
//!   who holds the repository's key. What was proved is noted (`proofs`), and a pack that is in no
//!   note, because an older vault took it or somebody put it into the directory, is proved when an
//!   index or a snapshot first relies on it.
//! - **Indexes** (`indexes`) get their name when they list proved packs, each exactly as the pack's
//!   own header does, and nothing else. What commands removal comes over no wire: no mark that
//!   condemns packs, and no list of indexes that are superseded.
//! - **Snapshots** (`snapshots`) must open, and their tree must lie in a proved pack. Those of drops
//!   say of themselves what the vault expects, or stock restic would be misled by them.
//! - **Locks** (`locks`) must be locks, and belong to who made them.
//!
//! All of it happens in bounded memory: packs go through one of a few provers piece by piece, one
//! document for each of a few permits is held whole.

mod holders;
mod indexes;
mod locks;
mod packs;
mod pool;
mod proofs;
mod snapshots;

use std::time::Duration;

use outlast_format::crypto::Key;
use outlast_format::{FormatError, unpacked};
use outlast_repo::proving::{ProofError, Prover};
use outlast_types::WorkloadName;

use self::holders::Holders;
use self::pool::Pool;
use self::proofs::Proofs;
use super::error::VaultError;
use super::repositories::WorkloadRepository;
use super::storage::{RepositoryStore, Storage};

pub(crate) use self::snapshots::expected;

/// Provers: more would only share the processors.
const PROVERS_MAX: usize = 4;
/// Documents that are looked at at one time. The largest takes about 50 MiB.
const DOCUMENTS_MAX: usize = 2;
/// How long an upload waits for its turn before its sender is told to come back.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest index that is taken, in bytes of JSON: twice as much as stock restic writes.
pub(crate) const INDEX_DOCUMENT_MAX: u64 = 16 << 20;

/// What was admitted, and the means to judge what comes.
pub(crate) struct Admission {
    provers: Pool<Prover>,
    documents: Pool<()>,
    proofs: Proofs,
    holders: Holders,
}

impl Admission {
    /// Goes on with what a vault has noted.
    pub(crate) fn open(storage: &Storage) -> Result<Self, VaultError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let provers: Result<Vec<_>, FormatError> =
            (0..threads.min(PROVERS_MAX)).map(|_| Prover::new()).collect();
        Ok(Self {
            provers: Pool::new(provers.map_err(VaultError::Prover)?),
            documents: Pool::new(vec![(); DOCUMENTS_MAX]),
            proofs: Proofs::open(storage),
            holders: Holders::open(storage),
        })
    }

    /// Waits for permission to hold a document.
    pub(crate) fn document(&self) -> Result<pool::Lent<'_, ()>, VaultError> {
        self.documents.take(PATIENCE).ok_or_else(|| busy("documents"))
    }

    fn prover(&self) -> Result<pool::Lent<'_, Prover>, VaultError> {
        self.provers.take(PATIENCE).ok_or_else(|| busy("packs"))
    }
}

/// A repository, as those who judge see it.
pub(crate) struct Place<'a> {
    workload: &'a WorkloadName,
    store: &'a dyn RepositoryStore,
    key: &'a Key,
}

impl<'a> Place<'a> {
    pub(crate) fn of(
        repository: &'a WorkloadRepository,
        workload: &'a WorkloadName,
    ) -> Result<Self, VaultError> {
        Ok(Self { workload, store: &*repository.store, key: repository.opened()?.key() })
    }

    /// The JSON document in an index, snapshot or lock as it was sent.
    fn open(&self, sealed: &[u8], bytes_max: u64) -> Result<Vec<u8>, VaultError> {
        let opened = self.key.open(sealed);
        opened.and_then(|bytes| unpacked::decode_within(bytes, bytes_max)).map_err(damaged)
    }
}

fn busy(what: &str) -> VaultError {
    VaultError::Busy {
        reason: format!("the vault looks at too many {what} at once; try again later"),
    }
}

pub(crate) fn damaged(error: FormatError) -> VaultError {
    VaultError::Unacceptable {
        reason: error.to_string(),
        hint: "it was damaged before it was sent, or made with another key or by a faulty program",
    }
}

fn disproved(error: ProofError) -> VaultError {
    match error {
        ProofError::Store(error) => error.into(),
        error => VaultError::Unacceptable {
            reason: error.to_string(),
            hint: "its sender made it wrong: test that host's memory, and ask who has its identity",
        },
    }
}
