//! A vault's storage in a directory: `repos/<workload>/` in restic's layout, and a file for each
//! record.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_fs::{DirectoryLock, EntrySource, durable};
use outlast_repo::Repository;
use outlast_store::{DirectoryStore, Kind, Object, StagedObject, StoreError};
use outlast_types::{Timestamp, WorkloadName, hex};

use super::error::StartError;
use super::hold::{Hold, Taken};
use super::state_tree::{IsLeftOut, StateTree};
use crate::core::storage::{
    ASIDE_PREFIX, Durability, OWN_REPOSITORY, Records, RepositoryStore, Staged, VaultStorage,
};

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// A record is read through in pieces of so many bytes: a multiple of the length of a proof.
const PIECE_BYTES: usize = 48 << 10;
/// The folders that are there from the beginning.
const FOLDERS: [&str; 4] = ["repos", "keys", "proofs", "lock-holders"];

/// What is not saved of a vault's directory: repositories, caches, what is of this run or host only, and
/// the secret that opens what is saved.
const NOT_SAVED: [&str; 10] = [
    "repos",
    "cache",
    "proofs",
    "lock-holders",
    "jobs",
    "recovery",
    "vault.lock",
    "kit.lock",
    "scratch",
    "scrubs",
];
/// The newest hash of the audit log would be newer than the lines that were saved before it.
const NOT_SAVED_FILES: [&str; 2] = ["audit-head.json", "audit/head.json"];
const CATALOG: &str = "catalog.sqlite";

/// Who holds it works in the directory.
pub(super) const LOCK_FILE: &str = "vault.lock";

/// The names of the vault's directory, and of its identity, in what is saved and in kits.
pub(super) const SAVED_VAULT: &str = "vault";
pub(super) const IDENTITY: &str = "identity";

/// A vault's directory.
pub(crate) struct DirectoryStorage {
    root: PathBuf,
    repositories: PathBuf,
    /// What is saved with it: how it is called there, and where it lies.
    saved_too: Vec<(String, PathBuf)>,
    /// Where the engine keeps the indexes of repositories.
    cache: PathBuf,
    /// Keeps others from the repositories.
    hold: Hold,
}

impl DirectoryStorage {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        for folder in FOLDERS {
            durable::create_directories(&root.join(folder), DIRECTORY_MODE)?;
        }
        Ok(Self::existing(root))
    }

    /// A directory to look at, in which nothing is made before something is written.
    pub(crate) fn existing(root: &Path) -> Self {
        let (repositories, cache) = (root.join("repos"), root.join("cache"));
        let hold = Hold::of(&repositories);
        Self { root: root.to_owned(), repositories, saved_too: Vec::new(), cache, hold }
    }

    /// The same, with which the directory `place` is saved under `name`.
    #[must_use]
    pub(crate) fn saving(mut self, name: &str, place: &Path) -> Self {
        self.saved_too.push((name.to_owned(), place.to_owned()));
        self
    }

    /// Takes the repositories, if there are any.
    pub(super) fn hold(&self) -> Result<Hold, StartError> {
        match self.hold.take_if_any() {
            Ok(()) => Ok(self.hold.clone()),
            Err(Taken { repositories }) => Err(StartError::RepositoriesInUse { dir: repositories }),
        }
    }

    /// Makes durable what is there: a vault that was killed may have come to a name, and not to that,
    /// and from here on what is found is taken for stored.
    pub(super) fn make_durable(&self) -> Result<(), StartError> {
        for directory in [&self.root, &self.repositories] {
            let made = durable::sync_file_system(directory);
            made.map_err(StartError::io("make durable what is in", directory))?;
        }
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn repository(&self, workload: &WorkloadName) -> PathBuf {
        self.repositories.join(workload.as_str())
    }

    /// Makes a file, and the folder that it belongs into if that is missing.
    fn in_folder<T>(&self, key: &str, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let path = self.path(key);
        match make(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(&self.root);
                durable::create_directories(folder, DIRECTORY_MODE)?;
                make(&path)
            }
            result => result,
        }
    }
}

/// The storage of a directory in which a vault was before; nothing is made there.
pub(super) fn existing(dir: &Path) -> Result<DirectoryStorage, StartError> {
    match dir.join(LOCK_FILE).try_exists() {
        Ok(true) => Ok(DirectoryStorage::existing(dir)),
        Ok(false) => Err(StartError::NoVault { dir: dir.to_owned() }),
        Err(source) => Err(StartError::io("look at", dir)(source)),
    }
}

/// Takes the directory, which is made if it is missing, until the lock is dropped: two vaults in one would
/// publish one drop twice.
pub(super) fn lock_directory(dir: &Path) -> Result<DirectoryLock, StartError> {
    durable::create_directories(dir, 0o700).map_err(StartError::io("create", dir))?;
    DirectoryLock::take(dir, LOCK_FILE)?.ok_or_else(|| StartError::InUse { dir: dir.to_owned() })
}

impl Records for DirectoryStorage {
    fn location(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }

    fn read(&self, key: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        found(durable::read_bounded(&self.path(key), bytes_max))
    }

    fn read_through(&self, key: &str, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let Some(mut file) = found(File::open(self.path(key)))? else { return Ok(()) };
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) if take(&piece[..length]) => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn length(&self, key: &str) -> io::Result<Option<u64>> {
        found(fs::metadata(self.path(key)).map(|metadata| metadata.len()))
    }

    fn replace(&self, key: &str, content: &[u8], durability: Durability) -> io::Result<()> {
        match durability {
            Durability::Durable => {
                self.in_folder(key, |path| durable::replace(path, content, FILE_MODE))
            }
            Durability::Fast => self.append(key, 0, content, durability),
        }
    }

    fn append(&self, key: &str, at: u64, content: &[u8], durability: Durability) -> io::Result<()> {
        let is_durable = durability == Durability::Durable;
        let open = |path: &Path| {
            let mut options = File::options();
            options.create(true).truncate(false).write(true).mode(FILE_MODE);
            options.open(path)
        };
        let file = self.in_folder(key, open)?;
        let length = file.metadata()?.len();
        // The new content first, so that a kill in between leaves no hole and no empty record.
        file.write_all_at(content, at)?;
        let end = at.saturating_add(content.len() as u64);
        if length > end {
            file.set_len(end)?;
        }
        if is_durable {
            file.sync_data()?;
        }
        if is_durable && length == 0 {
            durable::sync_directory(self.path(key).parent().unwrap_or(&self.root))?;
        }
        Ok(())
    }

    fn remove(&self, key: &str) -> io::Result<bool> {
        Ok(found(durable::remove_file(&self.path(key)))?.is_some())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let Some(entries) = found(fs::read_dir(self.path(folder)))? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            // What is no text was not put there by us.
            if !durable::is_temporary(&name)
                && let Ok(name) = name.into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn has_any(&self, folder: &str) -> io::Result<bool> {
        let Some(mut entries) = found(fs::read_dir(self.path(folder)))? else { return Ok(false) };
        Ok(entries.any(|entry| entry.is_ok_and(|it| !durable::is_temporary(&it.file_name()))))
    }

    fn rename(&self, key: &str, name: &str) -> io::Result<bool> {
        Ok(found(durable::rename_beside(&self.path(key), OsStr::new(name)))?.is_some())
    }

    fn set_aside(&self, key: &str, stamp: &str) -> io::Result<bool> {
        set_aside(&self.path(key), stamp)
    }
}

impl VaultStorage for DirectoryStorage {
    fn repositories_location(&self) -> String {
        self.repositories.display().to_string()
    }

    fn repositories(&self) -> io::Result<Vec<WorkloadName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.repositories)? {
            let name = entry?.file_name();
            names.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    fn holds(&self, workload: &WorkloadName, kind: Kind) -> io::Result<bool> {
        has_object(&self.repository(workload), kind)
    }

    fn make_repository(
        &self,
        workload: &WorkloadName,
    ) -> Result<Arc<dyn RepositoryStore>, StoreError> {
        self.hold.take()?;
        Ok(Arc::new(DirectoryStore::create_layout(&self.repository(workload))?))
    }

    fn open_repository(
        &self,
        workload: &WorkloadName,
    ) -> Result<Arc<dyn RepositoryStore>, StoreError> {
        Ok(Arc::new(DirectoryStore::open(&self.repository(workload))?))
    }

    fn rename_repository(&self, from: &WorkloadName, to: &WorkloadName) -> io::Result<bool> {
        let name = OsStr::new(to.as_str());
        Ok(found(durable::rename_beside(&self.repository(from), name))?.is_some())
    }

    fn set_repository_aside(&self, workload: &WorkloadName, stamp: &str) -> io::Result<bool> {
        set_aside(&self.repository(workload), stamp)
    }

    fn own_repository(&self) -> Result<Option<Arc<dyn RepositoryStore>>, StoreError> {
        match DirectoryStore::open(&self.repositories.join(OWN_REPOSITORY)) {
            Ok(store) => Ok(Some(Arc::new(store))),
            Err(StoreError::Open { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn make_own_repository(&self) -> Result<Arc<dyn RepositoryStore>, StoreError> {
        self.hold.take()?;
        Ok(Arc::new(DirectoryStore::create_layout(&self.repositories.join(OWN_REPOSITORY))?))
    }

    fn set_own_repository_aside(&self, stamp: &str) -> io::Result<bool> {
        set_aside(&self.repositories.join(OWN_REPOSITORY), stamp)
    }

    fn state(&self) -> io::Result<Box<dyn EntrySource>> {
        let mut roots =
            vec![(SAVED_VAULT.to_owned(), self.root.clone(), is_not_saved as IsLeftOut)];
        roots.extend(self.saved_too.iter().cloned().map(|(name, place)| {
            let all: IsLeftOut = |_| false;
            (name, place, all)
        }));
        Ok(Box::new(StateTree::new(&roots)?))
    }

    fn with_cache(&self, repository: Repository) -> Repository {
        repository.cached_in(&self.cache)
    }
}

fn is_not_saved(below: &Path) -> bool {
    let Some(path) = below.to_str() else { return false };
    let is_aside = path.rsplit('/').next().is_some_and(|name| name.starts_with(ASIDE_PREFIX));
    let is_catalog = path.starts_with(CATALOG);
    NOT_SAVED.contains(&path) || NOT_SAVED_FILES.contains(&path) || is_catalog || is_aside
}

/// What is missing is `None`, and no error.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there is any object of this kind. What is missing on the way to it holds none.
fn has_object(repository: &Path, kind: Kind) -> io::Result<bool> {
    let path = repository.join(kind.directory());
    if kind == Kind::Config {
        return path.try_exists();
    }
    for entry in entries(&path)? {
        let entry = entry?;
        if kind == Kind::Data {
            if entry.file_type()?.is_dir() && has_named_file(&entry.path())? {
                return Ok(true);
            }
        } else if is_object(&entry) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_named_file(path: &Path) -> io::Result<bool> {
    for entry in entries(path)? {
        if is_object(&entry?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_object(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| hex::decode_32(name).is_some())
}

fn entries(path: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None.into_iter().flatten())
        }
        Err(error) => Err(error),
    }
}

/// Moves what is at `path` to a name beside it that nobody uses, so that nothing of it is lost.
/// Whether anything was there.
fn set_aside(path: &Path, stamp: &str) -> io::Result<bool> {
    let Some(name) = path.file_name() else { return Ok(false) };
    let mut aside = OsString::from(ASIDE_PREFIX);
    aside.push(name);
    aside.push(format!("-{stamp}"));
    Ok(found(durable::rename_beside(path, &aside))?.is_some())
}

impl RepositoryStore for DirectoryStore {
    fn stage(self: Arc<Self>, object: &Object) -> Result<Box<dyn Staged>, StoreError> {
        Ok(Box::new(Self::stage(&self, object)?))
    }

    fn keep(&self, object: &Object) -> Result<(), StoreError> {
        Self::keep(self, object)
    }

    fn sweep(&self, moment: Timestamp) -> u64 {
        let mut removed = 0;
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    directories.push(entry.path());
                } else if durable::is_temporary(&entry.file_name())
                    && written_before(&entry, moment)
                {
                    tracing::info!(path = %entry.path().display(), "removing a leftover");
                    match durable::remove_file(&entry.path()) {
                        Ok(()) => removed += 1,
                        Err(error) => tracing::warn!(%error, "cannot remove a leftover"),
                    }
                }
            }
        }
        removed
    }
}

fn written_before(entry: &fs::DirEntry, moment: Timestamp) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| Timestamp::from_system_time(modified) < moment)
}

/// An object in the file in which it stays.
impl Staged for StagedObject {
    fn size(&self) -> u64 {
        Self::size(self)
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        Self::write(self, piece)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        Self::read_at(self, offset, buffer)
    }

    fn publish(self: Box<Self>) -> Result<(), StoreError> {
        Self::publish(*self)
    }

    fn publish_over(self: Box<Self>) -> Result<(), StoreError> {
        Self::publish_over(*self)
    }
}

#[cfg(test)]
mod tests;
