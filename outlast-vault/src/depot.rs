//! The repositories and their passwords: one of each per workload.
//!
//! `repos/<workload>/` is a restic repository, `keys/<workload>.password` what opens it. The
//! password is durable before anything of the repository exists, and the config, which makes a
//! directory a repository, comes last: killed anywhere in between, the next attempt goes on with
//! the same password.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use outlast_format::config::Version;
use outlast_fs::durable;
use outlast_repo::{Credential, Maker, Repository};
use outlast_store::{DirectoryStore, Object, Store, StoreError};
use outlast_types::{Timestamp, WorkloadName};
use zeroize::Zeroizing;

use crate::{Doors, VaultError};

const PASSWORD_RANDOM_BYTES: usize = 32;
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;

/// A temporary file that is older was left by a writer that was killed. Writers finish one within
/// minutes; other programs may write to the repository's directory beside us.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// One workload's repository.
pub(crate) struct Kept {
    pub(crate) store: Arc<DirectoryStore>,
    workload: WorkloadName,
    password: PathBuf,
    /// Where the engine keeps the indexes of repositories.
    pub(crate) cache: PathBuf,
    /// Opened when it is first needed: deriving a key takes a tenth of a second, a vault may keep
    /// hundreds of workloads, and moving ciphertext needs no key.
    repository: OnceLock<Repository>,
    opening: Mutex<()>,
    /// Held while something is published, so that one drop becomes one snapshot.
    publishing: Mutex<()>,
}

impl Kept {
    /// The repository, open.
    pub(crate) fn repository(&self) -> Result<&Repository, VaultError> {
        if let Some(repository) = self.repository.get() {
            return Ok(repository);
        }
        let _one_opener = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = self.repository.get() {
            return Ok(repository);
        }
        let password = read_password(&self.password)?.ok_or_else(|| VaultError::NoPassword {
            workload: self.workload.clone(),
            path: self.password.clone(),
        })?;
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let repository = Repository::open(store, Credential::Password(&password))?;
        Ok(self.repository.get_or_init(|| repository.cached_in(&self.cache)))
    }

    pub(crate) fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All repositories of a vault.
pub(crate) struct Depot {
    repositories: PathBuf,
    keys: PathBuf,
    cache: PathBuf,
    doors: Doors,
    open: Mutex<BTreeMap<WorkloadName, Arc<Kept>>>,
}

impl Depot {
    pub(crate) fn open(dir: &Path, doors: &Doors) -> Result<Self, VaultError> {
        let depot = Self {
            repositories: dir.join("repos"),
            keys: dir.join("keys"),
            cache: dir.join("cache"),
            doors: doors.clone(),
            open: Mutex::default(),
        };
        for directory in [&depot.repositories, &depot.keys] {
            durable::create_directories(directory, 0o700)
                .map_err(VaultError::io("create", directory))?;
        }
        Ok(depot)
    }

    /// The names of all workloads that have a repository directory, in order.
    pub(crate) fn workloads(&self) -> Result<Vec<WorkloadName>, VaultError> {
        let list = || -> std::io::Result<Vec<WorkloadName>> {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&self.repositories)? {
                // What is not named like a workload was not put there by us.
                names.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
            }
            names.sort();
            Ok(names)
        };
        list().map_err(VaultError::io("list", &self.repositories))
    }

    /// The workload's repository; an error if there is none.
    pub(crate) fn get(&self, workload: &WorkloadName) -> Result<Arc<Kept>, VaultError> {
        let mut open = self.lock();
        if let Some(kept) = open.get(workload) {
            return Ok(Arc::clone(kept));
        }
        let unknown = || VaultError::UnknownWorkload { workload: workload.clone() };
        let path = self.repositories.join(workload.as_str());
        if !path.is_dir() {
            return Err(unknown());
        }
        let store = Arc::new(DirectoryStore::open(&path)?);
        match store.size(&Object::Config) {
            Ok(_) => {}
            Err(StoreError::NotFound { .. }) => return Err(unknown()),
            Err(error) => return Err(error.into()),
        }
        self.sweep(&path);
        let kept = Arc::new(Kept {
            store,
            workload: workload.clone(),
            password: self.password_path(workload),
            cache: self.cache.clone(),
            repository: OnceLock::new(),
            opening: Mutex::default(),
            publishing: Mutex::default(),
        });
        open.insert(workload.clone(), Arc::clone(&kept));
        Ok(kept)
    }

    /// The workload's repository, made if there is none.
    pub(crate) fn get_or_make(&self, workload: &WorkloadName) -> Result<Arc<Kept>, VaultError> {
        match self.get(workload) {
            Err(VaultError::UnknownWorkload { .. }) => {}
            result => return result,
        }
        self.make(workload)?;
        self.get(workload)
    }

    fn make(&self, workload: &WorkloadName) -> Result<(), VaultError> {
        // One maker at a time; nobody opens while one makes.
        let _makers = self.lock();
        let password = match read_password(&self.password_path(workload))? {
            Some(password) => password,
            None => self.new_password(workload)?,
        };
        let path = self.repositories.join(workload.as_str());
        let store: Arc<dyn Store> = Arc::new(DirectoryStore::create_layout(&path)?);
        let maker = Maker {
            hostname: "outlast-vault".to_owned(),
            username: "vault".to_owned(),
            created: self.doors.clock.now(),
        };
        match Repository::init(store, &password, Version::V2, &maker, &*self.doors.random) {
            Ok(_) => {
                tracing::info!(%workload, "made the repository of a new workload");
                Ok(())
            }
            Err(outlast_repo::RepoError::AlreadyInitialised { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what killed writers left half-done in a repository. What cannot be removed now is
    /// removed at another start: nobody reads it.
    fn sweep(&self, repository: &Path) {
        let old = self.doors.clock.now().saturating_sub(LEFTOVER_AGE);
        let mut directories = vec![repository.to_owned()];
        while let Some(directory) = directories.pop() {
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    directories.push(entry.path());
                } else if durable::is_temporary(&entry.file_name()) && written_before(&entry, old) {
                    tracing::info!(path = %entry.path().display(), "removing a leftover");
                    if let Err(error) = durable::remove_file(&entry.path()) {
                        tracing::warn!(%error, "cannot remove a leftover");
                    }
                }
            }
        }
    }

    fn new_password(&self, workload: &WorkloadName) -> Result<Zeroizing<String>, VaultError> {
        let mut bytes = Zeroizing::new([0; PASSWORD_RANDOM_BYTES]);
        self.doors.random.fill(&mut *bytes);
        let password = Zeroizing::new(outlast_types::ContentHash(*bytes).to_string());
        let path = self.password_path(workload);
        let line = Zeroizing::new(format!("{}\n", *password));
        // Replaces at most an empty file: none was found in it.
        durable::replace(&path, line.as_bytes(), 0o600).map_err(VaultError::io("write", path))?;
        Ok(password)
    }

    fn password_path(&self, workload: &WorkloadName) -> PathBuf {
        self.keys.join(format!("{workload}.password"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkloadName, Arc<Kept>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn written_before(entry: &std::fs::DirEntry, moment: Timestamp) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| Timestamp::from_system_time(modified) < moment)
}

/// The stored password; `None` if there is none, or only an empty file.
fn read_password(path: &Path) -> Result<Option<Zeroizing<String>>, VaultError> {
    let content = match durable::read_bounded(path, PASSWORD_FILE_BYTES_MAX) {
        Ok(content) => Zeroizing::new(content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(VaultError::io("read", path)(error)),
    };
    let invalid = |error| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        VaultError::io("read", path)(source)
    };
    let text = std::str::from_utf8(&content).map_err(invalid)?.trim_end();
    Ok((!text.is_empty()).then(|| Zeroizing::new(text.to_owned())))
}
