//! Which packs were proved: one file for each workload, to which lines of fixed length are added.
//!
//! It is a cache. A note that is lost, torn or damaged means that its pack is proved once more when
//! somebody next relies on it; so nothing here is made durable. It is not held in memory: whoever
//! asks has some packs in mind, and reads through it, 48 bytes for each pack.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use outlast_format::{PackId, sha256};
use outlast_fs::durable;
use outlast_types::WorkloadName;

use crate::VaultError;

/// A pack's id, its size, and the beginning of a hash of both.
const NOTE_BYTES: usize = 32 + 8 + 8;

pub(super) struct Proofs {
    directory: PathBuf,
    /// Held while a note is added, so that none is torn by another.
    writing: Mutex<()>,
}

impl Proofs {
    pub(super) fn open(directory: &Path) -> Result<Self, VaultError> {
        durable::create_directories(directory, 0o700)
            .map_err(VaultError::io("create", directory))?;
        Ok(Self { directory: directory.to_owned(), writing: Mutex::new(()) })
    }

    /// Notes that a pack was proved when it had this size.
    pub(super) fn note(
        &self,
        workload: &WorkloadName,
        pack: PackId,
        size: u64,
    ) -> Result<(), VaultError> {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(workload);
        let append = || -> io::Result<()> {
            let mut file =
                File::options().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            // After a crash the last one may be torn: the next takes its place.
            let whole = file.metadata()?.len() / NOTE_BYTES as u64 * NOTE_BYTES as u64;
            file.seek(SeekFrom::Start(whole))?;
            file.write_all(&encode(pack, size))
        };
        append().map_err(VaultError::io("write", &path))
    }

    /// Those of `packs`, each given with its size, that were proved.
    pub(super) fn find(
        &self,
        workload: &WorkloadName,
        packs: &BTreeMap<PackId, u64>,
    ) -> Result<BTreeSet<PackId>, VaultError> {
        let path = self.path(workload);
        let find = || -> io::Result<BTreeSet<PackId>> {
            let mut found = BTreeSet::new();
            let mut notes = match File::open(&path) {
                Ok(file) => BufReader::with_capacity(1024 * NOTE_BYTES, file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
                Err(error) => return Err(error),
            };
            let mut note = [0; NOTE_BYTES];
            loop {
                match notes.read_exact(&mut note) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
                    Err(error) => return Err(error),
                }
                let mut id = [0; 32];
                id.copy_from_slice(&note[..32]);
                let pack = PackId(id);
                if let Some(&size) = packs.get(&pack)
                    && note == encode(pack, size)
                {
                    found.insert(pack);
                }
            }
        };
        find().map_err(VaultError::io("read", &path))
    }

    fn path(&self, workload: &WorkloadName) -> PathBuf {
        self.directory.join(workload.as_str())
    }
}

fn encode(pack: PackId, size: u64) -> [u8; NOTE_BYTES] {
    let mut note = [0; NOTE_BYTES];
    note[..32].copy_from_slice(&pack.0);
    note[32..40].copy_from_slice(&size.to_le_bytes());
    let hash = sha256(&note[..40]);
    note[40..].copy_from_slice(&hash[..8]);
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_found_again_with_its_size_only_and_a_torn_note_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let proofs = Proofs::open(directory.path()).unwrap();
        let shop = WorkloadName::new("shop").unwrap();
        let pack = |n: u8| PackId([n; 32]);
        let wanted: BTreeMap<_, _> = (0..4).map(|n| (pack(n), 100)).collect();
        let found = || proofs.find(&shop, &wanted).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(found(), []);
        proofs.note(&shop, pack(1), 100).unwrap();
        proofs.note(&shop, pack(2), 99).unwrap();
        proofs.note(&shop, pack(3), 100).unwrap();
        assert_eq!(found(), [pack(1), pack(3)]);
        let path = directory.path().join("shop");
        for cut in 1..NOTE_BYTES as u64 {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(3 * NOTE_BYTES as u64 - cut).unwrap();
            assert_eq!(found(), [pack(1)], "{cut} bytes are missing");
            proofs.note(&shop, pack(3), 100).unwrap();
            assert_eq!(found(), [pack(1), pack(3)], "{cut} bytes were missing");
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[33] ^= 1;
        durable::replace(&path, &bytes, 0o600).unwrap();
        assert_eq!(found(), [pack(3)]);
    }
}
