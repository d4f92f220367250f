//! Recovery kits: all that brings a vault back, together with its repositories.
//!
//! A kit is a small repository of its own, in restic's format, that a passphrase of people opens: stock
//! restic reads it when Outlast is gone. In it:
//!
//! - `kit.json`: of which vault, when, the newest entry of its audit log, and its repositories;
//! - `secret`: from which follow the passwords of all repositories, also of later ones;
//! - `passwords/<repository>`: those of the repositories of then, for stock restic;
//! - `identity/`, and whatever the vault saves with its state, such as its authority;
//! - `README.txt`: what it is and how it is used. The same page lies beside it, for the printer.
//!
//! Making one reads the files of a vault, whether it runs or not; the running vault's audit log tells of
//! it. The vault's newest state is not in it: that is saved beside the repositories (`core::own_state`).

mod error;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_format::SnapshotId;
use outlast_format::config::Version;
use outlast_fs::{DirectoryLock, Entry, EntryPath, EntrySource, Metadata, SourceError, durable};
use outlast_repo::backup::{self, Input, Options};
use outlast_repo::{Credential, Maker, NewPassword, RepoError, Repository, read, restore};
use outlast_store::{DirectoryStore, Store, StoreError};
use outlast_types::{Environment, Silent, Timestamp, hex};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::config::VaultConfig;
use super::directory::{DirectoryStorage, IDENTITY, existing};
use super::error::StartError;
use crate::core::audit::{self, AuditHead};
use crate::core::kit::{self, KitSecret};
use crate::core::kit_keys::MadeKit;
use crate::core::storage::{
    Durability, OWN_REPOSITORY, Records as _, StorageError, VaultStorage as _,
};

pub use self::error::KitError;

const VERSION: u32 = 1;
const LOCK_FILE: &str = "kit.lock";
const TAG: &str = "outlast-kit";
const SUMMARY: &str = "kit.json";
const SECRET: &str = "secret";
const PASSWORDS: &str = "passwords";
const PAGE: &str = "README.txt";
/// Certificates, keys and configurations are shorter, and few.
const FILE_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 8;
/// A summary that is longer is none.
const SUMMARY_BYTES_MAX: u64 = 64 << 20;
const ID_BYTES: usize = 8;

/// What a kit says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitSummary {
    version: u32,
    /// Tells it from other kits.
    pub id: String,
    pub made: Timestamp,
    /// Whose: `vault hq`.
    pub vault: String,
    /// The number of its secret: one with a higher number makes it worthless.
    pub generation: u64,
    /// The newest entry of the audit log; none if there was none yet.
    pub head: Option<AuditHead>,
    /// The names of the repositories of then.
    pub repositories: Vec<String>,
}

/// How a kit is to be made.
pub struct KitOrder<'a> {
    pub config: &'a VaultConfig,
    /// A directory that is missing or empty.
    pub place: &'a Path,
    pub passphrase: &'a [u8],
    /// Makes all kits of before worthless, as soon as the vault works on it.
    pub replace: bool,
    /// Whose hands made it.
    pub by: &'a str,
    /// The page that explains it.
    pub page: &'a dyn Fn(&KitSummary) -> String,
}

/// What came of making a kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeKitOutcome {
    pub summary: KitSummary,
    /// Repositories that no kit opens yet: the vault sees to it when it runs.
    pub not_yet: Vec<String>,
}

/// Makes a kit of the vault that `order` names. Its own directory is written to last: a kit that is not
/// finished has no snapshot, and changes nothing.
pub fn make_kit(
    order: &KitOrder<'_>,
    environment: &Environment,
) -> Result<MadeKitOutcome, KitError> {
    let dir = &order.config.dir;
    let storage = existing(dir)?;
    let lock = DirectoryLock::take(dir, LOCK_FILE)?;
    let _alone = lock.ok_or_else(|| KitError::Busy { dir: dir.clone() })?;
    let now = environment.clock.now();
    let (known, _) = kit::current_or_make(&storage, now, &*environment.random)?;
    let secret = match order.replace {
        true => KitSecret::generate(known.generation + 1, now, &*environment.random),
        false => known,
    };
    let identity = outlast_wire::Identity::load_by(&order.config.identity, &order.config.names)
        .map_err(StartError::from)?;
    let mut id = [0; ID_BYTES];
    environment.random.fill(&mut id);
    let repositories = repositories(&storage, dir)?;
    let not_yet = not_opened(&storage, &repositories, &secret)?;
    let summary = KitSummary {
        version: VERSION,
        id: hex::encode(&id),
        made: now,
        vault: identity.peer().to_string(),
        generation: secret.generation,
        head: audit::remembered_head(&storage)?,
        repositories,
    };
    let files = gather(order, &summary, &secret)?;
    store(order, files, environment)?;
    // Read back, before anybody relies on it.
    let kit = Kit::open(order.place, order.passphrase)?;
    if kit.summary != summary || *kit.secret.text() != *secret.text() {
        return Err(kit.damaged("it does not read as it was written"));
    }
    let page = (order.page)(&summary);
    let beside = order.place.join(PAGE);
    durable::replace(&beside, page.as_bytes(), 0o644).map_err(KitError::io("write", &beside))?;
    if order.replace {
        secret.write(&storage)?;
    }
    let newest = kit::secrets(&storage)?.pop();
    if newest.is_none_or(|newest| *newest.text() != *secret.text()) {
        return Err(KitError::Changed);
    }
    announce(&storage, order, &summary)?;
    Ok(MadeKitOutcome { summary, not_yet })
}

/// The names of all repositories, the vault's own among them.
fn repositories(storage: &DirectoryStorage, dir: &Path) -> Result<Vec<String>, KitError> {
    let workloads =
        storage.repositories().map_err(KitError::io("list the repositories of", dir))?;
    let names = workloads.iter().map(ToString::to_string);
    Ok([OWN_REPOSITORY.to_owned()].into_iter().chain(names).collect())
}

/// Those that the passwords of this secret do not open.
fn not_opened(
    storage: &DirectoryStorage,
    names: &[String],
    secret: &KitSecret,
) -> Result<Vec<String>, KitError> {
    let mut not_opened = Vec::new();
    for name in names {
        let password = secret.password(name);
        let store = match name.parse() {
            Ok(workload) => Some(storage.open_repository(&workload)?),
            Err(_) => storage.own_repository()?,
        };
        let Some(store) = store else {
            not_opened.push(name.clone());
            continue;
        };
        let opened = Repository::open(store, Credential::Password(password.as_bytes()));
        match opened {
            Ok(_) => {}
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(_) => not_opened.push(name.clone()),
        }
    }
    Ok(not_opened)
}

type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// All files of the kit, by their paths in it.
fn gather(
    order: &KitOrder<'_>,
    summary: &KitSummary,
    secret: &KitSecret,
) -> Result<Files, KitError> {
    let mut files = Files::new();
    let content = serde_json::to_vec_pretty(summary).map_err(io::Error::from);
    let content = content.map_err(KitError::io("describe the kit in", order.place))?;
    files.insert(SUMMARY.to_owned(), Zeroizing::new(content));
    files.insert(SECRET.to_owned(), Zeroizing::new(secret.text().as_bytes().to_vec()));
    files.insert(PAGE.to_owned(), Zeroizing::new((order.page)(summary).into_bytes()));
    for name in &summary.repositories {
        let line = Zeroizing::new(format!("{}\n", *secret.password(name)));
        files.insert(format!("{PASSWORDS}/{name}"), Zeroizing::new(line.as_bytes().to_vec()));
    }
    let VaultConfig { identity, save_too, .. } = order.config;
    let identity = [(IDENTITY.to_owned(), identity.clone())];
    let passwords = files.len();
    for (name, place) in identity.iter().chain(save_too) {
        take(name, place, 0, &mut files)?;
        if files.len() - passwords > FILES_MAX {
            return Err(KitError::TooLarge { path: place.clone() });
        }
    }
    Ok(files)
}

/// Takes in a file, or all files below a directory. What is missing is not in the kit, and what leads
/// elsewhere is not followed.
fn take(name: &str, place: &Path, depth: usize, files: &mut Files) -> Result<(), KitError> {
    let metadata = match fs::metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(KitError::io("look at", place))?,
    };
    if metadata.is_file() {
        if metadata.len() > FILE_BYTES_MAX || files.len() > FILES_MAX * 2 {
            return Err(KitError::TooLarge { path: place.to_owned() });
        }
        let content = durable::read_bounded(place, FILE_BYTES_MAX);
        let content = content.map_err(KitError::io("read", place))?;
        files.insert(name.to_owned(), Zeroizing::new(content));
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err(KitError::TooLarge { path: place.to_owned() });
    }
    let entries = fs::read_dir(place).map_err(KitError::io("list", place))?;
    for entry in entries {
        let entry = entry.map_err(KitError::io("list", place))?;
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if let (Some(own), false) = (entry.file_name().to_str(), is_link)
            && !durable::is_temporary(&entry.file_name())
        {
            take(&format!("{name}/{own}"), &entry.path(), depth + 1, files)?;
        }
    }
    Ok(())
}

/// Writes the kit's repository, whose snapshot comes last.
fn store(order: &KitOrder<'_>, files: Files, environment: &Environment) -> Result<(), KitError> {
    let place = order.place;
    durable::create_directories(place, 0o700).map_err(KitError::io("make", place))?;
    let mut entries = fs::read_dir(place).map_err(KitError::io("list", place))?;
    if entries.next().is_some() {
        return Err(KitError::NotEmpty { place: place.to_owned() });
    }
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::create_layout(place)?);
    let Environment { clock, random, .. } = environment;
    let maker = Maker {
        hostname: "outlast-vault".to_owned(),
        username: TAG.to_owned(),
        created: clock.now(),
    };
    let passphrase = NewPassword::Chosen(order.passphrase);
    let repository = Repository::init(store, passphrase, Version::V2, &maker, &**random)?;
    let options = Options {
        hostname: maker.hostname,
        username: maker.username,
        paths: vec!["/".to_owned()],
        tags: vec![TAG.to_owned()],
        program_version: concat!("outlast ", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Options::new(clock.now())
    };
    let tree = FileTree { ahead: files.into_iter(), current: Zeroizing::default(), read: 0 };
    let input = Input::Tree(Box::new(tree));
    let outcome = backup::backup(&repository, input, &options, &**clock, &**random, &Silent)?;
    backup::publish(&repository, &outcome)?;
    Ok(())
}

/// Lets the vault's audit log know.
fn announce(
    storage: &DirectoryStorage,
    order: &KitOrder<'_>,
    summary: &KitSummary,
) -> Result<(), KitError> {
    let made = MadeKit {
        kit: summary.id.clone(),
        at: summary.made,
        generation: summary.generation,
        replaces: order.replace,
        by: order.by.to_owned(),
    };
    let key = made.key();
    let content = serde_json::to_vec(&made).map_err(io::Error::from);
    let written = content.and_then(|content| storage.replace(&key, &content, Durability::Durable));
    Ok(written.map_err(StorageError::of(storage, "write", &key))?)
}

/// Files in memory as a tree.
struct FileTree {
    ahead: std::collections::btree_map::IntoIter<String, Zeroizing<Vec<u8>>>,
    current: Zeroizing<Vec<u8>>,
    read: usize,
}

impl EntrySource for FileTree {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let Some((name, content)) = self.ahead.next() else { return Ok(None) };
        let kind = outlast_fs::Kind::File { size: content.len() as u64 };
        (self.current, self.read) = (content, 0);
        let path = EntryPath::parse(name.as_bytes()).map_err(|error| SourceError::Ended {
            origin: name,
            source: io::Error::new(io::ErrorKind::InvalidInput, error),
        })?;
        let metadata = Metadata { mode: 0o600, links: 1, ..Metadata::default() };
        Ok(Some(Entry { path, kind, metadata }))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.current[self.read..];
        let length = buffer.len().min(rest.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }
}

/// A kit that is open.
pub struct Kit {
    pub(super) place: PathBuf,
    pub summary: KitSummary,
    pub(super) secret: KitSecret,
    repository: Repository,
    snapshot: SnapshotId,
    tree: outlast_format::BlobId,
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kit").field("place", &self.place).field("summary", &self.summary).finish()
    }
}

impl Kit {
    /// Opens the kit in `place`.
    pub fn open(place: &Path, passphrase: &[u8]) -> Result<Self, KitError> {
        let damaged = |reason: String| KitError::Damaged { place: place.to_owned(), reason };
        let store: Arc<dyn Store> = match DirectoryStore::open(place) {
            Ok(store) => Arc::new(store),
            Err(StoreError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(KitError::NotAKit { place: place.to_owned() });
            }
            Err(error) => return Err(error.into()),
        };
        let repository = match Repository::open(store, Credential::Password(passphrase)) {
            Ok(repository) => repository,
            Err(RepoError::NotARepository { .. }) => {
                return Err(KitError::NotAKit { place: place.to_owned() });
            }
            Err(RepoError::WrongPassword { keys: 0, .. }) => {
                return Err(damaged("its key file is gone".to_owned()));
            }
            Err(RepoError::WrongPassword { .. }) => {
                return Err(KitError::WrongPassphrase { place: place.to_owned() });
            }
            Err(error) => return Err(damaged(error.to_string())),
        };
        let found =
            read::resolve(&repository, "latest").map_err(|error| damaged(error.to_string()))?;
        let tree = found.snapshot.tree;
        let content = |name: &str| {
            let mut content = Bounded(Zeroizing::default());
            let path =
                EntryPath::parse(name.as_bytes()).map_err(|error| damaged(error.to_string()))?;
            let read = read::cat(&repository, tree, &path, &mut content, &Silent);
            read.map_err(|error| damaged(error.to_string()))?;
            Ok::<_, KitError>(content.0)
        };
        let summary: KitSummary = serde_json::from_slice(&content(SUMMARY)?)
            .map_err(|error| damaged(format!("{SUMMARY} cannot be understood: {error}")))?;
        if summary.version > VERSION {
            return Err(KitError::Newer { place: place.to_owned() });
        }
        let text = content(SECRET)?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let secret = KitSecret::from_text(summary.generation, summary.made, text);
        let secret = secret.ok_or_else(|| damaged("it holds no secret".to_owned()))?;
        let snapshot = found.id;
        Ok(Self { place: place.to_owned(), summary, secret, repository, snapshot, tree })
    }

    /// A file in it; `None` if there is none, or it cannot be had.
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        let path = EntryPath::parse(name.as_bytes()).ok()?;
        let mut content = Bounded(Zeroizing::default());
        read::cat(&self.repository, self.tree, &path, &mut content, &Silent).ok()?;
        Some(content.0.to_vec())
    }

    /// Puts what is called `name` in the kit to `target`, in place of what is there; whether there is
    /// such a thing.
    pub(super) fn put(&self, name: &str, target: &Path) -> Result<bool, KitError> {
        put(&self.repository, self.tree, name, target).map_err(|reason| self.damaged(&reason))
    }

    fn damaged(&self, reason: &str) -> KitError {
        let reason = format!("snapshot {:.8}: {reason}", self.snapshot);
        KitError::Damaged { place: self.place.clone(), reason }
    }
}

/// Puts a directory or file of a snapshot to `target`; whether it is there. Why not, if so.
pub(super) fn put(
    repository: &Repository,
    tree: outlast_format::BlobId,
    name: &str,
    target: &Path,
) -> Result<bool, String> {
    let path = EntryPath::parse(name.as_bytes()).map_err(|error| error.to_string())?;
    let found = read::load_tree(repository, tree).map_err(|error| error.to_string())?;
    let Some(node) = found.nodes.iter().find(|node| node.name == name.as_bytes()) else {
        return Ok(false);
    };
    // A directory is put as one, a file into the one that it belongs to.
    let is_directory = node.subtree.is_some();
    let into = if is_directory { Some(target) } else { target.parent() };
    let into = into.ok_or_else(|| format!("{} is no place for a file", target.display()))?;
    let options = restore::Options {
        overwrite: true,
        verify: true,
        subpath: Some(path),
        ..restore::Options::default()
    };
    let summary = restore::restore(repository, tree, into, &options, &Silent);
    let summary = summary.map_err(|error| error.to_string())?;
    summary.problems.first().map_or(Ok(true), |problem| Err(problem.to_string()))
}

/// What is read, up to a bound.
struct Bounded(Zeroizing<Vec<u8>>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > SUMMARY_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
