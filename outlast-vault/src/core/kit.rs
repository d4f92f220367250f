//! The secret of recovery kits, and the passwords that follow from it.
//!
//! A kit that named the passwords of all repositories would be stale with the next workload. So a vault
//! has one random secret, `recovery/secrets/<generation>.json`, and every repository, also one that is
//! made later, has a second key file whose password follows from that secret and the repository's name.
//! One password opens one repository. Whoever has the secret finds each of them without us (HKDF with
//! SHA-256, RFC 5869):
//!
//! ```sh
//! openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:SECRET \
//!     -kdfopt info:outlast-kit-1/WORKLOAD -binary HKDF | od -An -v -tx1 | tr -d ' \n'
//! ```
//!
//! A new generation makes kits of earlier ones worthless: `kit_keys` takes their key files away, and then
//! their secrets.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use outlast_format::KeyId;
use outlast_format::key_file::KdfParams;
use outlast_repo::{KeyFile, Maker, NewPassword, RepoError, Repository};
use outlast_store::{Kind, Object};
use outlast_types::{Environment, Random, Timestamp, WorkloadName, hex};
use outlast_wire::derived::hkdf_sha256;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::VaultError;
use super::storage::{Durability, Records, StorageError};

const FOLDER: &str = "recovery/secrets";
const VERSION: u32 = 1;
const SUFFIX: &str = ".json";
const RECORD_BYTES_MAX: u64 = 4096;
const SECRET_BYTES: usize = 32;

/// Begins what passwords are derived for.
const INFO_PREFIX: &str = "outlast-kit-1/";

/// Who made a key file for kits, as `restic key list` shows it.
const HOSTNAME: &str = "outlast-vault";
const USERNAME: &str = "recovery-kit";

#[derive(Serialize, Deserialize)]
struct SecretJson {
    version: u32,
    secret: String,
    made: Timestamp,
}

/// A secret that kits hold.
pub(crate) struct KitSecret {
    pub(crate) generation: u64,
    pub(crate) made: Timestamp,
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
}

impl KitSecret {
    /// A new one that nobody knows.
    pub(crate) fn generate(generation: u64, made: Timestamp, random: &dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        random.fill(&mut *bytes);
        Self { generation, made, bytes }
    }

    /// The one that [`text`](Self::text) says.
    pub(crate) fn from_text(generation: u64, made: Timestamp, text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(hex::decode_32(text.trim())?);
        Some(Self { generation, made, bytes })
    }

    /// As it is written down.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(&*self.bytes))
    }

    /// The password of the key file for kits in the repository of this name.
    pub(crate) fn password(&self, repository: &str) -> Zeroizing<String> {
        let info = [INFO_PREFIX.as_bytes(), repository.as_bytes()];
        let derived = hkdf_sha256(&*self.bytes, &info);
        Zeroizing::new(hex::encode(&*derived))
    }

    /// Writes it down, for good when this returns.
    pub(crate) fn write(&self, records: &(impl Records + ?Sized)) -> Result<(), StorageError> {
        let key = key_of(self.generation);
        let form =
            SecretJson { version: VERSION, secret: self.text().to_string(), made: self.made };
        let content = serde_json::to_vec(&form).map(Zeroizing::new).map_err(io::Error::from);
        let written =
            content.and_then(|content| records.replace(&key, &content, Durability::Durable));
        written.map_err(StorageError::of(records, "write", &key))
    }
}

/// All secrets that are written down, the newest last. More than one means that kits of the others are
/// being made worthless.
pub(crate) fn secrets(records: &(impl Records + ?Sized)) -> Result<Vec<KitSecret>, StorageError> {
    let names = records.list(FOLDER).map_err(StorageError::of(records, "list", FOLDER))?;
    let generations = names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok());
    let mut generations: Vec<u64> = generations.collect();
    generations.sort_unstable();
    let mut secrets = Vec::new();
    for generation in generations {
        let key = key_of(generation);
        let cannot = || StorageError::of(records, "understand", &key);
        let content = records.read(&key, RECORD_BYTES_MAX);
        let content = content.map_err(StorageError::of(records, "read", &key))?;
        // Taken away in this moment.
        let Some(content) = content.map(Zeroizing::new) else { continue };
        let form: SecretJson =
            serde_json::from_slice(&content).map_err(|error| cannot()(error.into()))?;
        let text = Zeroizing::new(form.secret);
        let invalid = |reason: &str| cannot()(io::Error::new(io::ErrorKind::InvalidData, reason));
        if form.version > VERSION {
            return Err(invalid("it is of a version newer than this program"));
        }
        let secret = KitSecret::from_text(generation, form.made, &text);
        secrets.push(secret.ok_or_else(|| invalid("it holds no secret of 32 bytes"))?);
    }
    Ok(secrets)
}

/// The secret that kits are made of now. A vault that has none gets one; whether it did.
pub(crate) fn current_or_make(
    records: &(impl Records + ?Sized),
    now: Timestamp,
    random: &dyn Random,
) -> Result<(KitSecret, bool), VaultError> {
    if let Some(newest) = secrets(records)?.pop() {
        return Ok((newest, false));
    }
    let first = KitSecret::generate(1, now, random);
    first.write(records)?;
    Ok((first, true))
}

/// Takes a secret away for good.
pub(crate) fn remove(
    records: &(impl Records + ?Sized),
    generation: u64,
) -> Result<(), StorageError> {
    let key = key_of(generation);
    records.remove(&key).map(drop).map_err(StorageError::of(records, "remove", &key))
}

/// The repositories that kits of one generation are known to open: they need not be looked at again.
#[derive(Default)]
pub(crate) struct OpenedByKits(Mutex<(u64, BTreeSet<WorkloadName>)>);

impl OpenedByKits {
    /// Those of `workloads` of which it is not known.
    pub(crate) fn lacking(
        &self,
        generation: u64,
        mut workloads: Vec<WorkloadName>,
    ) -> Vec<WorkloadName> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != generation {
            *known = (generation, BTreeSet::new());
        }
        workloads.retain(|workload| !known.1.contains(workload));
        workloads
    }

    /// Notes that kits of a generation open a repository.
    pub(crate) fn note(&self, generation: u64, workload: &WorkloadName) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 == generation {
            known.1.insert(workload.clone());
        }
    }
}

/// What became of the key files for kits in one repository.
#[derive(Debug, Default)]
pub(crate) struct KeptKeys {
    pub(crate) added: Option<KeyId>,
    /// Those that belonged to secrets before the newest.
    pub(crate) removed: Vec<Object>,
}

/// Sees to it that kits of the newest of `secrets`, and no earlier ones, open the repository of this name.
pub(crate) fn keep_key(
    repository: &Repository,
    name: &str,
    secrets: &[KitSecret],
    environment: &Environment,
) -> Result<KeptKeys, RepoError> {
    let mut kept = KeptKeys::default();
    let Some((newest, earlier)) = secrets.split_last() else { return Ok(kept) };
    let password = newest.password(name);
    let (mut is_there, mut outdated) = (false, Vec::new());
    for (object, bytes) in key_files(repository)? {
        let opens =
            |secret: &KitSecret| KeyFile::open(&bytes, secret.password(name).as_bytes()).is_ok();
        if KeyFile::open(&bytes, password.as_bytes()).is_ok() {
            is_there = true;
        } else if earlier.iter().any(opens) {
            outdated.push(object);
        }
    }
    if !is_there {
        let maker = maker(environment);
        let password = NewPassword::Random(password.as_bytes());
        kept.added = Some(repository.add_key(password, &maker, &*environment.random)?);
    }
    // The new one is durable: from here on the others open nothing that it does not.
    for object in outdated {
        repository.store().remove(&object)?;
        kept.removed.push(object);
    }
    Ok(kept)
}

/// As whom key files for kits are made.
pub(crate) fn maker(environment: &Environment) -> Maker {
    let (hostname, username) = (HOSTNAME.to_owned(), USERNAME.to_owned());
    Maker { hostname, username, created: environment.clock.now() }
}

/// The key files that can be for kits. What a stranger says of itself is believed so far: whether a
/// password opens it is another question, and one that is dear to ask is none of ours.
fn key_files(repository: &Repository) -> Result<Vec<(Object, Vec<u8>)>, RepoError> {
    let mut found = Vec::new();
    for (object, _) in repository.store().list(Kind::Key)? {
        let bytes = repository.store().read(&object)?.to_vec();
        let is_ours = KeyFile::parse(&bytes).is_ok_and(|file| {
            (&*file.hostname, &*file.username) == (HOSTNAME, USERNAME)
                && !file.is_dearer_than(KdfParams::NONE)
        });
        if is_ours {
            found.push((object, bytes));
        }
    }
    Ok(found)
}

fn key_of(generation: u64) -> String {
    format!("{FOLDER}/{generation}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;
    use crate::core::storage::OWN_REPOSITORY;
    use crate::core::storage::memory::MemoryStorage;

    #[test]
    fn a_password_follows_from_secret_and_name_as_rfc_5869_says() {
        let secret = KitSecret::from_text(1, Timestamp::EPOCH, &"0b".repeat(32)).unwrap();
        // By `openssl kdf`, as the module's comment has it.
        let expected = "bd31bea45b0b0525bc67e151cc7239a781614fa5455f7b666769f28b5aecb8f2";
        assert_eq!(*secret.password("shop-db"), expected);
        assert_ne!(*secret.password("shop-files"), expected);
        assert_ne!(*secret.password(OWN_REPOSITORY), expected);
    }

    #[test]
    fn a_secret_is_made_once_and_the_newest_one_counts() {
        let storage = MemoryStorage::default();
        let make = || current_or_make(&storage, Timestamp::EPOCH, &SystemRandom).unwrap();
        let (first, made) = make();
        assert!(made && first.generation == 1);
        let (again, made) = make();
        assert!(!made && again.text() == first.text());
        for generation in [10, 9] {
            KitSecret::generate(generation, Timestamp::EPOCH, &SystemRandom)
                .write(&storage)
                .unwrap();
        }
        assert_eq!(make().0.generation, 10, "numbers, and not names, are in order");
        remove(&storage, 10).unwrap();
        assert_eq!(make().0.generation, 9);
        storage.replace("recovery/secrets/11.json", b"{}", Durability::Fast).unwrap();
        let error = secrets(&storage).err().unwrap().to_string();
        assert!(error.contains("recovery/secrets/11.json"), "{error}");
    }
}
