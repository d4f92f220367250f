//! An open repository: its store, key, config and index.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use outlast_format::config::{Config, Version};
use outlast_format::crypto::Key;
use outlast_format::key_file::KdfParams;
use outlast_format::{FormatError, KeyId, Sha256Id, sha256, unpacked};
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::Random;

pub use outlast_format::key_file::{KeyFile, Maker};

use crate::cache::Cache;
use crate::{Index, RepoError};

/// How often the index is loaded when index files vanish meanwhile.
const LOADS_MAX: u32 = 5;

/// The longest lock that is read, in bytes of JSON: they have some 200.
const LOCK_DOCUMENT_MAX: u64 = 64 << 10;
/// The longest snapshot that is read, in bytes of JSON. Some name thousands of paths.
const SNAPSHOT_DOCUMENT_MAX: u64 = 64 << 20;

/// What opens a repository.
#[derive(Debug)]
pub enum Credential<'a> {
    /// The password of any of its key files: bytes, which need not be text.
    Password(&'a [u8]),
    /// The repository key itself, as the vault hands it to an agent.
    Key(Key),
}

/// A password that a new key file shall open with: bytes, which need not be text.
#[derive(Clone, Copy)]
pub enum NewPassword<'a> {
    /// Somebody thought of it: guessing is made slow.
    Chosen(&'a [u8]),
    /// At least 256 bits of it are random. Nobody guesses it, so there is nothing to make slow, and
    /// opening the repository costs nothing.
    Random(&'a [u8]),
}

impl NewPassword<'_> {
    /// What a key file for it shall cost whoever tries.
    pub fn cost(self) -> KdfParams {
        match self {
            Self::Chosen(_) => KdfParams::default(),
            Self::Random(_) => KdfParams::NONE,
        }
    }
}

impl<'a> From<&'a str> for NewPassword<'a> {
    fn from(password: &'a str) -> Self {
        Self::Chosen(password.as_bytes())
    }
}

impl<'a> From<&'a String> for NewPassword<'a> {
    fn from(password: &'a String) -> Self {
        Self::Chosen(password.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for NewPassword<'a> {
    fn from(password: &'a [u8]) -> Self {
        Self::Chosen(password)
    }
}

/// An open repository. Cheap to share by reference between threads.
pub struct Repository {
    store: Arc<dyn Store>,
    key: Key,
    /// The key file that the password opened.
    key_file: Option<KeyFile>,
    config: Config,
    /// Where this host keeps tables about repositories.
    cache: Cache,
    /// Whether the cache is believed only of index files that are as long as they were.
    distrusts_cache: bool,
    index: OnceLock<Index>,
    /// Held while the index is being loaded, so that it is loaded once.
    loading: Mutex<()>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("location", &self.store.location())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Makes a repository in `store`: a random key, sealed under `password` in a key file, and the
    /// config. The config comes last, because it is what makes a store a repository.
    pub fn init<'p>(
        store: Arc<dyn Store>,
        password: impl Into<NewPassword<'p>>,
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
        let repository = Self::assemble(store, key, config);
        repository.add_key(password, maker, random)?;
        let sealed = repository.key.seal(&document, random);
        match repository.store.create(&Object::Config, sealed.into()) {
            Ok(()) => Ok(repository),
            // Somebody was faster. Our key file stays behind and opens nothing of theirs.
            Err(StoreError::AlreadyExists { .. }) => {
                Err(RepoError::AlreadyInitialised { location })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the repository in `store`. The index is loaded when it is first asked for.
    pub fn open(store: Arc<dyn Store>, credential: Credential<'_>) -> Result<Self, RepoError> {
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
                Ok(config) => Ok(Self::assemble(store, key, config)),
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
                    Ok(config) => {
                        let opened = Self::assemble(store, key, config);
                        return Ok(Self { key_file: Some(file), ..opened });
                    }
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

    fn assemble(store: Arc<dyn Store>, key: Key, config: Config) -> Self {
        Self {
            store,
            key,
            key_file: None,
            config,
            cache: Cache::default(),
            distrusts_cache: false,
            index: OnceLock::new(),
            loading: Mutex::new(()),
        }
    }

    /// The same repository, opened anew: it knows nothing of the index yet.
    pub(crate) fn afresh(&self) -> Self {
        let (store, key, config) = (Arc::clone(&self.store), self.key.clone(), self.config.clone());
        Self { cache: self.cache.clone(), ..Self::assemble(store, key, config) }
    }

    /// The same repository, opened anew to rely on what its index says: what only the cache knows any
    /// more does not count.
    pub(crate) fn relying(&self) -> Self {
        Self { distrusts_cache: true, ..self.afresh() }
    }

    pub(crate) fn distrusts_cache(&self) -> bool {
        self.distrusts_cache
    }

    /// Keeps the index in sorted files below `directory`, in one named by the repository's id,
    /// instead of in memory. They are made when they are missing or do not fit, and may be removed
    /// whenever nobody uses them.
    #[must_use]
    pub fn cached_in(self, directory: &Path) -> Self {
        Self { cache: Cache::Kept(directory.to_owned()), ..self }
    }

    /// Keeps the index in files without names in `directory`, instead of in memory: nothing is left
    /// of them when the repository is closed.
    #[must_use]
    pub fn scratch_in(self, directory: &Path) -> Self {
        Self { cache: Cache::Scratch(directory.to_owned()), ..self }
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Adds a key file, so that `password` opens the repository, too.
    pub fn add_key<'p>(
        &self,
        password: impl Into<NewPassword<'p>>,
        maker: &Maker,
        random: &dyn Random,
    ) -> Result<KeyId, RepoError> {
        let password = password.into();
        let (NewPassword::Chosen(bytes) | NewPassword::Random(bytes)) = password;
        let bytes = KeyFile::create(bytes, &self.key, maker, password.cost(), random)
            .map_err(|source| RepoError::Encode { what: "key file", source })?;
        let id = KeyId::of(&bytes);
        self.store.create(&Object::Key(id), bytes.into())?;
        Ok(id)
    }

    /// The store that holds it.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Where it is, for messages.
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// The repository key. Whoever has it can read everything.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The key file that opened it; `None` if the key was handed in, or made just now.
    pub fn key_file(&self) -> Option<&KeyFile> {
        self.key_file.as_ref()
    }

    /// Version, id and polynomial.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where every blob lies; loaded at the first call. Index files that are damaged are skipped
    /// and named by [`Index::problems`]; a store that does not answer is an error.
    pub fn index(&self) -> Result<&Index, RepoError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let _one_loader = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = self.load_index()?;
        Ok(self.index.get_or_init(|| index))
    }

    /// Loads the index. A prune may take an index file away between the listing and the reading:
    /// what takes its place is listed then.
    fn load_index(&self) -> Result<Index, RepoError> {
        let mut result = Index::load(self);
        for _ in 1..LOADS_MAX {
            match result {
                Err(RepoError::Store(StoreError::NotFound {
                    object: Object::Index(_), ..
                })) => {
                    result = Index::load(self);
                }
                _ => break,
            }
        }
        result
    }

    /// The JSON document in an index, snapshot or lock: its hash is checked, then it is opened and
    /// decompressed.
    pub fn read_unpacked(&self, object: &Object) -> Result<Vec<u8>, RepoError> {
        let bytes_max = match object.kind() {
            Kind::Lock => LOCK_DOCUMENT_MAX,
            Kind::Snapshot => SNAPSHOT_DOCUMENT_MAX,
            _ => unpacked::DOCUMENT_MAX,
        };
        self.read_unpacked_within(object, bytes_max)
    }

    /// The same for a document of at most `bytes_max` bytes.
    pub fn read_unpacked_within(
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
    pub fn seal_unpacked<I: Sha256Id>(
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

#[cfg(test)]
pub(crate) mod tests;
