//! The repositories and their passwords: one of each per workload.
//!
//! `repos/<workload>/` is a restic repository, `keys/<workload>.password` what opens it. While one
//! is made, `keys/<workload>.making` says so. That mark is durable before the password, the password
//! before anything of the repository exists, and the config, which makes a directory a repository,
//! comes last: killed anywhere in between, the next attempt goes on with the same password. Else a
//! password without a repository means that the repository is *missing*, and nothing is made in
//! its place (`presence`).

mod called;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use outlast_format::config::Version;
use outlast_format::crypto::Key;
use outlast_repo::{Credential, KeyFile, Maker, NewPassword, RepoError, Repository};
use outlast_store::{Kind, Store};
use outlast_types::{Environment, WorkloadName, hex};
use zeroize::Zeroizing;

use super::error::VaultError;
use super::kit::{self, KitSecret};
use super::presence::{self, Found, Memory, Missing};
use super::storage::{Durability, RepositoryStore, Storage, StorageError, VaultStorage};

const FOLDER: &str = "keys";
const PASSWORD_RANDOM_BYTES: usize = 32;
const PASSWORD_BYTES_MAX: u64 = 4096;
const PASSWORD_SUFFIX: &str = ".password";
const MAKING_SUFFIX: &str = ".making";

/// Who made a key file, as `restic key list` shows it.
const HOSTNAME: &str = "outlast-vault";
const USERNAME: &str = "vault";

/// So many workloads are made or looked at, at one time.
const TURNS: usize = 32;

/// One workload's repository.
pub(crate) struct WorkloadRepository {
    pub(crate) store: Arc<dyn RepositoryStore>,
    workload: WorkloadName,
    storage: Storage,
    environment: Environment,
    /// Opened when it is first needed: moving ciphertext needs no key.
    repository: OnceLock<Repository>,
    opening: Mutex<()>,
    /// Held while something is published, so that one drop becomes one snapshot.
    publishing: Mutex<()>,
}

impl WorkloadRepository {
    /// The repository, open.
    pub(crate) fn opened(&self) -> Result<&Repository, VaultError> {
        if let Some(repository) = self.repository.get() {
            return Ok(repository);
        }
        let _one_opener = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = self.repository.get() {
            return Ok(repository);
        }
        let password = read_password(&*self.storage, &self.workload)?;
        let password = password.ok_or_else(|| VaultError::NoPassword {
            workload: self.workload.clone(),
            location: self.storage.location(&password_of(&self.workload)),
        })?;
        let credential = Credential::Password(password.as_bytes());
        let repository = Repository::open(self.objects(), credential)?;
        self.ease(&repository, &password);
        Ok(self.repository.get_or_init(|| self.storage.with_cache(repository)))
    }

    /// The repository opened anew, to see what came since: one that is open keeps the index that it
    /// loaded first.
    pub(crate) fn opened_afresh(&self) -> Result<Repository, VaultError> {
        self.opened_through(|store| store)
    }

    /// The same over a store that is made of its own, as one that is read at a pace.
    pub(crate) fn opened_through(
        &self,
        made: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Result<Repository, VaultError> {
        let key = Key::from_bytes(&self.opened()?.key().to_bytes());
        let repository = Repository::open(made(self.objects()), Credential::Key(key))?;
        Ok(self.storage.with_cache(repository))
    }

    fn objects(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// Adds a key file that costs nothing to one that an older release made, with scrypt at its
    /// full price, for a password that is random: opening thousands of repositories after a start
    /// would take minutes. Where nothing can be written it stays as it is, and works.
    fn ease(&self, repository: &Repository, password: &str) {
        let is_ours = |file: &KeyFile| (&*file.hostname, &*file.username) == (HOSTNAME, USERNAME);
        let dear = repository.key_file().is_some_and(|file| {
            is_ours(file) && file.is_dearer_than(NewPassword::Random(password.as_bytes()).cost())
        });
        // As long as ours are, and as random: it is the text of 32 bytes.
        if !dear || hex::decode_32(password).is_none() {
            return;
        }
        let added = repository.add_key(
            NewPassword::Random(password.as_bytes()),
            &maker(&self.environment),
            &*self.environment.random,
        );
        match added {
            Ok(key) => tracing::info!(workload = %self.workload, %key, "opening is cheap now"),
            Err(error) => tracing::warn!(workload = %self.workload, %error, "opening stays dear"),
        }
    }

    pub(crate) fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All repositories of a vault.
pub(crate) struct Repositories {
    storage: Storage,
    environment: Environment,
    state: Mutex<State>,
    /// Held by who makes a repository or sets one aside, and by who looks whether one is whole: one
    /// for each workload, which it shares with few others. Nobody takes one who has the state.
    turns: [Mutex<()>; TURNS],
    /// Held by who looks at all repositories, and by who begins one anew.
    care: Mutex<()>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<WorkloadName, Arc<WorkloadRepository>>,
    /// What is not whole, as it was last looked at: nothing is done with it meanwhile.
    missing: BTreeMap<WorkloadName, Missing>,
    /// Whether nothing is here of all that is remembered: then this is not the place for more.
    is_away: bool,
}

impl Repositories {
    pub(crate) fn open(storage: &Storage, environment: &Environment) -> Self {
        Self {
            storage: Storage::clone(storage),
            environment: environment.clone(),
            state: Mutex::default(),
            care: Mutex::default(),
            turns: Default::default(),
        }
    }

    /// The names of all workloads that have a place for a repository, in order.
    pub(crate) fn workloads(&self) -> Result<Vec<WorkloadName>, VaultError> {
        Ok(self.storage.repositories().map_err(|source| self.cannot("list", source))?)
    }

    /// The names of all workloads that have a password, in order.
    pub(crate) fn with_password(&self) -> Result<Vec<WorkloadName>, VaultError> {
        let cannot = StorageError::of(&*self.storage, "list", FOLDER);
        let names = self.storage.list(FOLDER).map_err(cannot)?;
        let names = names.iter().filter_map(|name| name.strip_suffix(PASSWORD_SUFFIX));
        // What is not named like that was not put there by us.
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Whether the workload's repository is at hand, without a look at the disk.
    pub(crate) fn is_open(&self, workload: &WorkloadName) -> bool {
        self.lock().open.contains_key(workload)
    }

    /// The workload's repository; an error if there is none, or not all of it.
    pub(crate) fn get(
        &self,
        workload: &WorkloadName,
    ) -> Result<Arc<WorkloadRepository>, VaultError> {
        if let Some(known) = self.known(workload)? {
            return Ok(known);
        }
        let _turn = self.turn(workload);
        if let Some(known) = self.known(workload)? {
            return Ok(known);
        }
        match self.look(workload, Memory::default()) {
            Found::Whole => {}
            Found::Nothing | Found::Begun => {
                return Err(VaultError::UnknownWorkload { workload: workload.clone() });
            }
            Found::Missing(missing) => return Err(VaultError::missing(workload, &missing)),
        }
        let store = self.storage.open_repository(workload)?;
        self.made(workload)?;
        let repository = Arc::new(WorkloadRepository {
            store,
            workload: workload.clone(),
            storage: Storage::clone(&self.storage),
            environment: self.environment.clone(),
            repository: OnceLock::new(),
            opening: Mutex::default(),
            publishing: Mutex::default(),
        });
        self.lock().open.insert(workload.clone(), Arc::clone(&repository));
        Ok(repository)
    }

    /// The workload's repository; `None` if there is none, or not all of it. That something is missing
    /// is told by those who look after it.
    pub(crate) fn present(
        &self,
        workload: &WorkloadName,
    ) -> Result<Option<Arc<WorkloadRepository>>, VaultError> {
        match self.get(workload) {
            Ok(repository) => Ok(Some(repository)),
            Err(VaultError::UnknownWorkload { .. } | VaultError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The workload's repository if it is open; an error if something of it is missing.
    fn known(
        &self,
        workload: &WorkloadName,
    ) -> Result<Option<Arc<WorkloadRepository>>, VaultError> {
        let state = self.lock();
        match state.missing.get(workload) {
            Some(missing) => Err(VaultError::missing(workload, missing)),
            None => Ok(state.open.get(workload).cloned()),
        }
    }

    /// The workload's repository, made if there is none and, by `memory`, never was one; and whether
    /// it was made.
    pub(crate) fn get_or_make(
        &self,
        workload: &WorkloadName,
        memory: Memory,
    ) -> Result<(Arc<WorkloadRepository>, bool), VaultError> {
        match self.get(workload) {
            Err(VaultError::UnknownWorkload { .. }) => {}
            result => return Ok((result?, false)),
        }
        let one_maker = self.turn(workload);
        let is_made = match self.look(workload, memory) {
            // Another maker was faster.
            Found::Whole => false,
            Found::Nothing if self.lock().is_away => {
                let location = self.storage.repositories_location();
                return Err(VaultError::RepositoriesAway { location });
            }
            Found::Nothing | Found::Begun => {
                self.make(workload)?;
                true
            }
            Found::Missing(missing) => return Err(VaultError::missing(workload, &missing)),
        };
        drop(one_maker);
        Ok((self.get(workload)?, is_made))
    }

    /// Looks whether the workload's repository is all there, and goes by that until the next look.
    /// What was found, and whether it is news that something is missing, or no longer.
    pub(crate) fn inspect(&self, workload: &WorkloadName, memory: Memory) -> (Found, bool) {
        let found = {
            let _nobody_makes = self.turn(workload);
            self.look(workload, memory)
        };
        let mut state = self.lock();
        let (before, now) = match &found {
            Found::Missing(missing) => {
                (state.missing.insert(workload.clone(), missing.clone()), Some(missing))
            }
            Found::Whole | Found::Nothing | Found::Begun => (state.missing.remove(workload), None),
        };
        let is_news = before.as_ref() != now;
        (found, is_news)
    }

    /// Whether nothing at all is here of what is remembered, as it was last looked at.
    pub(crate) fn is_away(&self) -> bool {
        self.lock().is_away
    }

    /// Notes whether nothing at all is here of what is remembered.
    pub(crate) fn note_away(&self, is_away: bool) {
        self.lock().is_away = is_away;
    }

    /// An error unless something is missing of the workload's repository.
    pub(crate) fn require_missing(
        &self,
        workload: &WorkloadName,
        memory: Memory,
    ) -> Result<(), VaultError> {
        let workload = workload.clone();
        match self.look(&workload, memory) {
            Found::Missing(_) => Ok(()),
            Found::Whole => Err(VaultError::NothingMissing { workload }),
            Found::Nothing | Found::Begun => Err(VaultError::UnknownWorkload { workload }),
        }
    }

    /// Takes what is left of a repository that is not whole out of the way, so that a new one can
    /// be made. It is kept beside, under names that end in `stamp`.
    pub(crate) fn set_aside(
        &self,
        workload: &WorkloadName,
        memory: Memory,
        stamp: &str,
    ) -> Result<(), VaultError> {
        let _one_maker = self.turn(workload);
        self.require_missing(workload, memory)?;
        let mut state = self.lock();
        let moved = self.storage.set_repository_aside(workload, stamp);
        moved.map_err(|source| self.cannot("set aside a repository in", source))?;
        let password = password_of(workload);
        let moved = self.storage.set_aside(&password, stamp);
        moved.map_err(StorageError::of(&*self.storage, "set aside", &password))?;
        state.open.remove(workload);
        state.missing.remove(workload);
        Ok(())
    }

    /// The objects of a retired workload's repository were removed: takes what is left of its place out of
    /// the way, and its password away. What nobody can open any more is gone.
    pub(crate) fn end(&self, workload: &WorkloadName, stamp: &str) -> Result<(), VaultError> {
        let _one_maker = self.turn(workload);
        let mut state = self.lock();
        let moved = self.storage.set_repository_aside(workload, stamp);
        moved.map_err(|source| self.cannot("set aside a repository in", source))?;
        let password = password_of(workload);
        let removed = self.storage.remove(&password);
        removed.map_err(StorageError::of(&*self.storage, "remove", &password))?;
        state.open.remove(workload);
        state.missing.remove(workload);
        Ok(())
    }

    /// What is there of a repository; `memory` without what is known here. What cannot be looked at
    /// is missing, and keeps nobody from looking at others.
    fn look(&self, workload: &WorkloadName, memory: Memory) -> Found {
        let is_begun = self.storage.length(&making_of(workload)).is_ok_and(|mark| mark.is_some());
        match read_password(&*self.storage, workload) {
            Ok(password) => {
                let memory = Memory { password: password.is_some(), ..memory };
                presence::look(&|kind| self.storage.holds(workload, kind), memory, is_begun)
            }
            Err(error) => {
                tracing::error!(%workload, %error, "a password cannot be read");
                let reason = "its password cannot be read".to_owned();
                Found::Missing(Missing::Unreadable { reason })
            }
        }
    }

    fn make(&self, workload: &WorkloadName) -> Result<(), VaultError> {
        let mark = making_of(workload);
        let marked = self.storage.replace(&mark, b"", Durability::Durable);
        marked.map_err(StorageError::of(&*self.storage, "write", &mark))?;
        let password = match read_password(&*self.storage, workload)? {
            Some(password) => password,
            None => self.new_password(workload)?,
        };
        let store: Arc<dyn Store> = self.storage.make_repository(workload)?;
        // The key file of a maker that was killed before the config: it opens nothing.
        for (key, _) in store.list(Kind::Key)? {
            store.remove(&key)?;
        }
        let password = match hex::decode_32(&password) {
            Some(_) => NewPassword::Random(password.as_bytes()),
            // Somebody wrote it there.
            None => NewPassword::Chosen(password.as_bytes()),
        };
        let (maker, random) = (maker(&self.environment), &*self.environment.random);
        let repository = Repository::init(store, password, Version::V2, &maker, random)?;
        // A kill in between leaves it to `kit_keys`.
        let secrets = kit::secrets(&*self.storage)?;
        kit::keep_key(&repository, workload.as_str(), &secrets, &self.environment)?;
        self.made(workload)?;
        tracing::info!(%workload, "made the repository of a new workload");
        Ok(())
    }

    /// The repository has its config: from here on it can only be missing.
    fn made(&self, workload: &WorkloadName) -> Result<(), VaultError> {
        let mark = making_of(workload);
        self.storage.remove(&mark).map_err(StorageError::of(&*self.storage, "remove", &mark))?;
        Ok(())
    }

    /// Takes in a repository that is here, by its password or by that of kits; whether it got a password
    /// because none was known that opens it.
    pub(crate) fn adopt(
        &self,
        workload: &WorkloadName,
        secret: &KitSecret,
    ) -> Result<bool, VaultError> {
        let _turn = self.turn(workload);
        let store: Arc<dyn Store> = self.storage.open_repository(workload)?;
        let open = |password: &str| {
            Repository::open(Arc::clone(&store), Credential::Password(password.as_bytes()))
        };
        let known = read_password(&*self.storage, workload)?;
        if let Some(password) = &known {
            match open(password) {
                Ok(_) => return Ok(false),
                Err(RepoError::WrongPassword { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let repository = open(&secret.password(workload.as_str()))?;
        // First the password, as where a repository is made.
        let password = match known {
            Some(password) => password,
            None => self.new_password(workload)?,
        };
        let (maker, random) = (maker(&self.environment), &*self.environment.random);
        repository.add_key(NewPassword::Random(password.as_bytes()), &maker, random)?;
        Ok(true)
    }

    fn new_password(&self, workload: &WorkloadName) -> Result<Zeroizing<String>, VaultError> {
        let mut bytes = Zeroizing::new([0; PASSWORD_RANDOM_BYTES]);
        self.environment.random.fill(&mut *bytes);
        let password = Zeroizing::new(hex::encode(&*bytes));
        let key = password_of(workload);
        let line = Zeroizing::new(format!("{}\n", *password));
        // Replaces at most an empty record: none was found in it.
        let written = self.storage.replace(&key, line.as_bytes(), Durability::Durable);
        written.map_err(StorageError::of(&*self.storage, "write", &key))?;
        Ok(password)
    }

    fn cannot(&self, action: &'static str, source: io::Error) -> StorageError {
        StorageError { action, location: self.storage.repositories_location(), source }
    }

    /// Keeps looking at all repositories and beginning one anew apart: what was remembered before
    /// must not judge what came after.
    pub(crate) fn caring(&self) -> MutexGuard<'_, ()> {
        self.care.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workload's turn to be made, looked at or set aside. Others go on with their workloads.
    fn turn(&self, workload: &WorkloadName) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        workload.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0);
        self.turns[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As whom the vault makes key files.
fn maker(environment: &Environment) -> Maker {
    let (hostname, username) = (HOSTNAME.to_owned(), USERNAME.to_owned());
    Maker { hostname, username, created: environment.clock.now() }
}

fn password_of(workload: &WorkloadName) -> String {
    format!("{FOLDER}/{workload}{PASSWORD_SUFFIX}")
}

fn making_of(workload: &WorkloadName) -> String {
    format!("{FOLDER}/{workload}{MAKING_SUFFIX}")
}

/// The stored password; `None` if there is none, or only an empty record.
fn read_password(
    storage: &dyn VaultStorage,
    workload: &WorkloadName,
) -> Result<Option<Zeroizing<String>>, StorageError> {
    let key = password_of(workload);
    let cannot = || StorageError::of(storage, "read", &key);
    let content = storage.read(&key, PASSWORD_BYTES_MAX).map_err(cannot())?;
    let Some(content) = content.map(Zeroizing::new) else { return Ok(None) };
    let text = std::str::from_utf8(&content)
        .map_err(|error| cannot()(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let text = text.trim_end();
    Ok((!text.is_empty()).then(|| Zeroizing::new(text.to_owned())))
}

/// The path of a workload's repository below the vault's address.
pub(crate) fn repository_path(workload: &WorkloadName) -> String {
    format!("/repo/{workload}/")
}

#[cfg(test)]
mod tests;
