//! A repository's store, opened: with the key that reads it and the config that describes it.
//!
//! Documents are opened and sealed here, one object at a time. The index, the cache and the
//! [`Repository`](crate::Repository) are built on it.

use std::sync::Arc;

use bytes::Bytes;
use outlast_format::config::{Config, Version};
use outlast_format::crypto::Key;
use outlast_format::key_file::{KeyFile, Maker};
use outlast_format::{FormatError, KeyId, Sha256Id, sha256, unpacked};
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::Random;

use crate::RepoError;
use crate::credential::{Credential, NewPassword};

/// The longest lock that is read, in bytes of JSON: they have some 200.
const LOCK_DOCUMENT_MAX: u64 = 64 << 10;
/// The longest snapshot that is read, in bytes of JSON. Some name thousands of paths.
const SNAPSHOT_DOCUMENT_MAX: u64 = 64 << 20;

/// A store with the key and the config of the repository in it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OpenStore {
    store: Arc<dyn Store>,
    key: Key,
    /// The key file that the password opened.
    key_file: Option<KeyFile>,
    config: Config,
}

impl OpenStore {
    /// Makes a repository in `store`: a random key, sealed under `password` in a key file, and the
    /// config. The config comes last, because it is what makes a store a repository.
    pub(crate) fn init(
        store: Arc<dyn Store>,
        password: NewPassword<'_>,
        version: Version,
        maker: &Maker,
        random: &dyn Random,
    ) -> Result<Self, RepoError> {
        let location = store.location();
        match store.size(&Object::Config) {
            Ok(_) => return Err(RepoError::AlreadyInitialised { location }),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // A new key over old data would make it unreadable for whoever puts the config back.
        for kind in [Kind::Key, Kind::Snapshot, Kind::Index, Kind::Data] {
            if let Some((found, _)) = store.list(kind)?.into_iter().next() {
                return Err(RepoError::NotEmpty { location, found });
            }
        }
        let key = Key::generate(random);
        let config = Config::generate(version, random);
        let document =
            config.serialize().map_err(|source| RepoError::Encode { what: "config", source })?;
        let opened = Self { store, key, key_file: None, config };
        opened.add_key(password, maker, random)?;
        let sealed = opened.key.seal(&document, random);
        match opened.store.create(&Object::Config, sealed.into()) {
            Ok(()) => Ok(opened),
            // Somebody was faster. Our key file stays behind and opens nothing of theirs.
            Err(StoreError::AlreadyExists { .. }) => {
                Err(RepoError::AlreadyInitialised { location })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the repository in `store` with its key. If there is none, makes one without a key file.
    pub(crate) fn keyed(
        store: Arc<dyn Store>,
        key: Key,
        version: Version,
        random: &dyn Random,
    ) -> Result<Self, RepoError> {
        match store.size(&Object::Config) {
            Ok(_) => return Self::open(store, Credential::Key(key)),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let config = Config::generate(version, random);
        let document =
            config.serialize().map_err(|source| RepoError::Encode { what: "config", source })?;
        store.create(&Object::Config, key.seal(&document, random).into())?;
        Ok(Self { store, key, key_file: None, config })
    }

    /// Opens the repository in `store`.
    pub(crate) fn open(
        store: Arc<dyn Store>,
        credential: Credential<'_>,
    ) -> Result<Self, RepoError> {
        let location = store.location();
        let sealed = match store.read(&Object::Config) {
            Ok(sealed) => sealed,
            Err(StoreError::NotFound { .. }) => {
                return Err(RepoError::NotARepository { location });
            }
            Err(error) => return Err(error.into()),
        };
        match credential {
            Credential::Key(key) => match open_config(&key, &sealed) {
                Ok(config) => Ok(Self { store, key, key_file: None, config }),
                Err(FormatError::Unauthentic) => Err(RepoError::WrongKey { location }),
                Err(source) => Err(RepoError::Damaged { object: Object::Config, location, source }),
            },
            Credential::Password(password) => Self::open_with_password(store, password, &sealed),
        }
    }

    fn open_with_password(
        store: Arc<dyn Store>,
        password: &[u8],
        sealed: &[u8],
    ) -> Result<Self, RepoError> {
        let location = store.location();
        let keys = store.list(Kind::Key)?;
        let mut files = Vec::with_capacity(keys.len());
        let (mut read_failure, mut file_failure) = (None, None);
        for (object, _) in &keys {
            match store.read(object) {
                Ok(bytes) => match KeyFile::parse(&bytes) {
                    Ok(file) => files.push((file, *object, bytes)),
                    Err(source) => file_failure = Some((*object, source)),
                },
                Err(error) => read_failure = Some(error),
            }
        }
        // The cheapest first: one password may have several, and a stranger's may cost a minute.
        files.sort_by_key(|(file, ..)| file.work());
        let (mut config_failure, mut changed) = (None, None);
        for (file, object, bytes) in files {
            match KeyFile::open(&bytes, password) {
                Ok(key) => match open_config(&key, sealed) {
                    Ok(config) => return Ok(Self { store, key, key_file: Some(file), config }),
                    // A key file of a lost race of two `init`s opens, but fits no config.
                    Err(source) => config_failure = Some(source),
                },
                // A file that is not what its name says may have lost the password's own key.
                Err(FormatError::WrongPassword)
                    if object.name().is_some_and(|name| name != sha256(&bytes)) =>
                {
                    changed = Some(object);
                }
                Err(FormatError::WrongPassword) => {}
                Err(source) => file_failure = Some((object, source)),
            }
        }
        if let (None, Some(error)) = (&config_failure, read_failure) {
            return Err(error.into());
        }
        Err(match (config_failure, file_failure, changed) {
            (Some(source), ..) => RepoError::Damaged { object: Object::Config, location, source },
            (None, Some((object, source)), _) => RepoError::Damaged { object, location, source },
            (None, None, Some(object)) => RepoError::HashMismatch { object, location },
            (None, None, None) => RepoError::WrongPassword { location, keys: keys.len() },
        })
    }

    /// Adds a key file, so that `password` opens the repository, too.
    pub(crate) fn add_key(
        &self,
        password: NewPassword<'_>,
        maker: &Maker,
        random: &dyn Random,
    ) -> Result<KeyId, RepoError> {
        let (NewPassword::Chosen(bytes) | NewPassword::Random(bytes)) = password;
        let bytes = KeyFile::create(bytes, &self.key, maker, password.cost(), random)
            .map_err(|source| RepoError::Encode { what: "key file", source })?;
        let id = KeyId::of(&bytes);
        self.store.create(&Object::Key(id), bytes.into())?;
        Ok(id)
    }

    /// The store that holds it.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Where it is, for messages.
    pub(crate) fn location(&self) -> String {
        self.store.location()
    }

    /// The repository key. Whoever has it can read everything.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The key file that opened it; `None` if the key was handed in, or made just now.
    pub(crate) fn key_file(&self) -> Option<&KeyFile> {
        self.key_file.as_ref()
    }

    /// Version, id and polynomial.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The JSON document in an index, snapshot or lock: its hash is checked, then it is opened and
    /// decompressed.
    pub(crate) fn read_unpacked(&self, object: &Object) -> Result<Vec<u8>, RepoError> {
        let bytes_max = match object.kind() {
            Kind::Lock => LOCK_DOCUMENT_MAX,
            Kind::Snapshot => SNAPSHOT_DOCUMENT_MAX,
            _ => unpacked::DOCUMENT_MAX,
        };
        self.read_unpacked_within(object, bytes_max)
    }

    /// The same for a document of at most `bytes_max` bytes.
    pub(crate) fn read_unpacked_within(
        &self,
        object: &Object,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RepoError> {
        let mut sealed = self.store.read(object)?.to_vec();
        if object.name().is_some_and(|name| name != sha256(&sealed)) {
            return Err(RepoError::HashMismatch { object: *object, location: self.location() });
        }
        let opened = self.key.open_in_place(&mut sealed).map(|plaintext| plaintext.to_vec());
        let decode = |bytes| unpacked::decode_within(bytes, bytes_max);
        opened.and_then(decode).map_err(|source| RepoError::Damaged {
            object: *object,
            location: self.location(),
            source,
        })
    }

    /// The stored form of a JSON `document` for an index, snapshot or lock, and its name.
    pub(crate) fn seal_unpacked<I: Sha256Id>(
        &self,
        what: &'static str,
        document: &[u8],
        random: &dyn Random,
    ) -> Result<(I, Bytes), RepoError> {
        let encoded = unpacked::encode(document, self.config.version)
            .map_err(|source| RepoError::Encode { what, source })?;
        let sealed = self.key.seal(&encoded, random);
        Ok((I::of(&sealed), sealed.into()))
    }
}

fn open_config(key: &Key, sealed: &[u8]) -> Result<Config, FormatError> {
    Config::parse(&key.open(sealed)?)
}
