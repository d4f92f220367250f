//! A store in a directory, in restic's layout.
//!
//! `config`, `keys/`, `locks/`, `snapshots/`, `index/` and `data/xx/`, where `xx` are the first two
//! digits of a pack's name. Stock restic reads and writes the same directory. New objects appear
//! under their name only when whole and durable; the work in progress has a name that is no object
//! name, so that neither we nor restic ever list it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use outlast_fs::durable::{self, Staged};
use outlast_types::{Timestamp, hex};

use crate::memory::beyond_end;
use crate::{Kind, Object, Store, StoreError, Verb, Written};

/// The modes that restic gives, too: a repository is nobody else's business.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// The largest object that is read as a whole. Packs are far smaller; only a file that somebody
/// else put there could be larger, and must not fill our memory.
const OBJECT_BYTES_MAX: u64 = 2 << 30;

/// Unfinished files are of use to nobody after this time: the longest upload that may still be
/// going on is far shorter.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3600);

/// A repository's objects as files below one directory.
#[derive(Debug)]
pub struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    /// Makes the directories of a repository in `path`, as far as they are missing, and opens it.
    /// What is there stays; whether there *is* a repository is decided by its config object.
    pub fn create_layout(path: &Path) -> Result<Self, StoreError> {
        let create = |path: &Path| {
            durable::create_directories(path, DIRECTORY_MODE)
                .map_err(|source| cannot_open(path, source))
        };
        create(path)?;
        for kind in Kind::LISTED {
            create(&path.join(kind.directory()))?;
        }
        Self::open(path)
    }

    /// Opens what is in `path`, which must be a directory, and removes what interrupted writers
    /// left there more than a day ago.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let source = io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory");
                return Err(cannot_open(path, source));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = "it does not exist; is its disk mounted, and is the path right?";
                return Err(cannot_open(path, io::Error::new(io::ErrorKind::NotFound, text)));
            }
            Err(source) => return Err(cannot_open(path, source)),
        }
        let store = Self { root: path.to_owned() };
        // Where nothing can be written, nothing can be removed.
        if let Some(now) = store.now() {
            store.sweep(now);
            // What is built on an index must not outlive it.
            store.sync_names(Kind::Index).map_err(|source| cannot_open(path, source))?;
        }
        Ok(store)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The file that holds, or would hold, `object`.
    pub fn file_of(&self, object: &Object) -> PathBuf {
        let directory = self.root.join(object.kind().directory());
        match object.name().map(|name| hex::encode(&name)) {
            None => directory,
            Some(name) if object.kind() == Kind::Data => directory.join(&name[..2]).join(name),
            Some(name) => directory.join(name),
        }
    }

    /// Whether there is a repository, and not the mount point of one whose disk is gone.
    fn is_repository(&self) -> bool {
        self.root.join(Kind::Config.directory()).is_file()
    }

    /// What is in one of the directories. One that is missing in a repository is empty: copies by way
    /// of object storage lose empty directories. Where there is no repository it is an error, so that
    /// an unmounted disk does not look like an empty one.
    fn entries_of(&self, directory: &Path) -> io::Result<Option<fs::ReadDir>> {
        match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_repository() => {
                Ok(None)
            }
            entries => entries.map(Some),
        }
    }

    /// The directories that hold objects of `kind`.
    fn directories_of(&self, kind: Kind) -> io::Result<Vec<PathBuf>> {
        let directory = self.root.join(kind.directory());
        if kind != Kind::Data {
            return Ok(vec![directory]);
        }
        let mut directories = Vec::new();
        for entry in self.entries_of(&directory)?.into_iter().flatten() {
            let entry = entry?;
            let name = entry.file_name();
            let shard =
                name.len() == 2 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
            if shard && entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
        }
        Ok(directories)
    }

    fn list_files(&self, kind: Kind) -> io::Result<Vec<(Object, u64)>> {
        let mut objects = Vec::new();
        for directory in self.directories_of(kind)? {
            for entry in self.entries_of(&directory)?.into_iter().flatten() {
                let entry = entry?;
                let name = entry.file_name();
                let object = name.to_str().and_then(|name| Object::parse(kind, name).ok());
                let Some(object) = object else { continue };
                match entry.metadata() {
                    Ok(metadata) if metadata.is_file() => {
                        objects.push((object, metadata.len()));
                    }
                    Ok(_) => {}
                    // Removed since the directory was read, as locks often are.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(objects)
    }

    /// The file of an object that has this range. Looked at first, so that a wild range costs no
    /// memory.
    fn open_range(&self, object: &Object, offset: u64, length: usize) -> io::Result<File> {
        let file = File::open(self.file_of(object))?;
        let size = file.metadata()?.len();
        match offset.checked_add(length as u64) {
            Some(end) if end <= size => Ok(file),
            _ => Err(beyond_end(offset, length, size)),
        }
    }

    /// Begins a new object that comes piece by piece.
    pub fn stage(&self, object: &Object) -> Result<StagedObject, StoreError> {
        let staged = self
            .in_directory(object, |file| Staged::create(file, FILE_MODE))
            .map_err(|error| self.cannot_create(object, error))?;
        let store = Self { root: self.root.clone() };
        Ok(StagedObject { store, staged, object: *object, size: 0 })
    }

    fn publish(&self, object: &Object, content: &[u8]) -> io::Result<()> {
        self.before_publishing(object)?;
        let published =
            self.in_directory(object, |file| durable::publish_new(file, content, FILE_MODE));
        self.published(object, published)
    }

    /// An index says of packs that they are here. Each has made its name durable, but the directory
    /// that it is in may be of a process that died before it came to that.
    fn before_publishing(&self, object: &Object) -> io::Result<()> {
        match object.kind() {
            Kind::Index => self.sync_names(Kind::Data),
            _ => Ok(()),
        }
    }

    /// An object that is there already serves as well as a new one, so it has to be as durable: whoever
    /// gave it its name may have died in the same moment.
    fn published<T>(&self, object: &Object, published: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &published
            && error.kind() == io::ErrorKind::AlreadyExists
        {
            self.sync_name(object)?;
        }
        published
    }

    fn sync_name(&self, object: &Object) -> io::Result<()> {
        durable::sync_directory(self.file_of(object).parent().unwrap_or(&self.root))
    }

    /// Makes an object durable that is here, for one who tells others so: it may have got its name a moment
    /// ago, from somebody who has not come to that, or whom the disk failed.
    pub fn keep(&self, object: &Object) -> Result<(), StoreError> {
        self.sync_name(object).map_err(|error| self.failed(Verb::Create, object, error))
    }

    /// Makes the names durable that the directory of a kind holds, if there is one.
    fn sync_names(&self, kind: Kind) -> io::Result<()> {
        match durable::sync_directory(&self.root.join(kind.directory())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Makes the file of `object`, and the directory that it belongs into if that is missing.
    fn in_directory<T>(
        &self,
        object: &Object,
        make: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let file = self.file_of(object);
        match make(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directory_of(object)?;
                make(&file)
            }
            result => result,
        }
    }

    /// Makes the directory that an object of this kind lies in. In a repository all that is missing
    /// is made, elsewhere exactly the shard of a pack: more would quietly found a second repository
    /// on a mount point whose disk is gone.
    fn make_directory_of(&self, object: &Object) -> io::Result<()> {
        let file = self.file_of(object);
        let Some(directory) = file.parent() else { return Ok(()) };
        if self.is_repository() {
            return durable::create_directories(directory, DIRECTORY_MODE);
        }
        if object.kind() != Kind::Data {
            return Err(io::ErrorKind::NotFound.into());
        }
        match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        durable::sync_directory(&self.root.join(Kind::Data.directory()))
    }

    /// What time it is where the files are: on a share that is the server's, which dates them.
    /// `None` where nothing can be written.
    fn now(&self) -> Option<Timestamp> {
        let probe = durable::create_unnamed(&self.root).and_then(|file| file.metadata());
        probe.ok().map(|metadata| earliest(&metadata))
    }

    /// Removes unfinished files that are old by the time `now`. What cannot be read or removed
    /// stays: leftovers cost room, nothing else, and the next open tries again.
    fn sweep(&self, now: Timestamp) {
        let directories =
            Kind::LISTED.into_iter().filter_map(|kind| self.directories_of(kind).ok());
        for directory in directories.flatten().chain([self.root.clone()]) {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                if is_leftover(&entry, now) {
                    let path = entry.path();
                    let removed = fs::remove_file(&path);
                    tracing::info!(path = %path.display(), ?removed, "leftover of a killed writer");
                }
            }
        }
    }

    fn cannot_create(&self, object: &Object, error: io::Error) -> StoreError {
        match error.kind() {
            // Nothing was to be found, so a missing directory is no missing object.
            io::ErrorKind::NotFound => StoreError::Io {
                verb: Verb::Create.as_str(),
                object: *object,
                location: self.location(),
                source: error,
            },
            _ => self.failed(Verb::Create, object, error),
        }
    }

    fn failed(&self, verb: Verb, object: &Object, source: io::Error) -> StoreError {
        let (verb, object) = (verb.as_str(), *object);
        match source.kind() {
            io::ErrorKind::NotFound if self.root.is_dir() => {
                StoreError::NotFound { object, location: self.location() }
            }
            io::ErrorKind::AlreadyExists => {
                StoreError::AlreadyExists { object, location: self.location() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { verb, object, location: self.location() }
            }
            _ => StoreError::Io { verb, object, location: self.location(), source },
        }
    }
}

/// When a file was written. Whoever owns it can date it as he likes, but not the last change of its
/// inode into the past: so one that is dated into the future is as old as that change.
fn earliest(metadata: &fs::Metadata) -> Timestamp {
    let modified = time_of(metadata.mtime(), metadata.mtime_nsec());
    modified.min(time_of(metadata.ctime(), metadata.ctime_nsec()))
}

fn time_of(seconds: i64, nanos: i64) -> Timestamp {
    let time = Timestamp::from_unix(seconds, u32::try_from(nanos).unwrap_or(0));
    time.unwrap_or(Timestamp::EPOCH)
}

/// An object that is being written: nobody sees it before it is published. If it never is, nothing
/// is left of it.
#[derive(Debug)]
pub struct StagedObject {
    store: DirectoryStore,
    staged: Staged,
    object: Object,
    size: u64,
}

impl StagedObject {
    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes the next piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        let failed = |error| self.store.cannot_create(&self.object, error);
        self.staged.file().write_all_at(piece, self.size).map_err(failed)?;
        self.size += piece.len() as u64;
        Ok(())
    }

    /// Reads back what was written, as many bytes from `offset` as `buffer` has room for.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let failed = |error| self.store.failed(Verb::Read, &self.object, error);
        self.staged.file().read_exact_at(buffer, offset).map_err(failed)
    }

    /// Makes it durable under its name; [`StoreError::AlreadyExists`] if that is taken.
    pub fn publish(self) -> Result<(), StoreError> {
        self.publish_by(Staged::publish_new)
    }

    /// The same in place of what has the name: for content that was proved to be what the name
    /// says, where what is there is not.
    pub fn publish_over(self) -> Result<(), StoreError> {
        self.publish_by(Staged::publish)
    }

    fn publish_by(self, publish: fn(Staged) -> io::Result<File>) -> Result<(), StoreError> {
        let Self { store, staged, object, .. } = self;
        let published = store.before_publishing(&object).and_then(|()| publish(staged));
        let published = store.published(&object, published);
        published.map(drop).map_err(|error| store.cannot_create(&object, error))
    }
}

fn cannot_open(path: &Path, source: io::Error) -> StoreError {
    StoreError::Open { location: path.display().to_string(), source }
}

/// Whether `entry` is an unfinished file of a writer that is surely gone: ours, or stock restic's
/// (`<name>-tmp-<digits>`).
fn is_leftover(entry: &fs::DirEntry, now: Timestamp) -> bool {
    let name = entry.file_name();
    let restic = name.to_str().is_some_and(|name| {
        name.split_once("-tmp-").is_some_and(|(stem, _)| hex::decode_32(stem).is_some())
    });
    if !restic && !durable::is_temporary(&name) {
        return false;
    }
    let Ok(metadata) = entry.metadata() else { return false };
    let modified = Timestamp::from_unix(metadata.mtime(), 0);
    metadata.is_file() && modified.is_some_and(|modified| now.since(modified) > LEFTOVER_AGE)
}

impl Store for DirectoryStore {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.publish(object, &content).map_err(|error| self.cannot_create(object, error))
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        durable::read_bounded(&self.file_of(object), OBJECT_BYTES_MAX)
            .map(Bytes::from)
            .map_err(|error| self.failed(Verb::Read, object, error))
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let read = || {
            let file = self.open_range(object, offset, length)?;
            let mut content = vec![0; length];
            file.read_exact_at(&mut content, offset)?;
            Ok(Bytes::from(content))
        };
        read().map_err(|error| self.failed(Verb::Read, object, error))
    }

    fn read_range_into(
        &self,
        object: &Object,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        self.open_range(object, offset, buffer.len())
            .and_then(|file| file.read_exact_at(buffer, offset))
            .map_err(|error| self.failed(Verb::Read, object, error))
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        fs::metadata(self.file_of(object))
            .map(|metadata| metadata.len())
            .map_err(|error| self.failed(Verb::Size, object, error))
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        let metadata = fs::metadata(self.file_of(object))
            .map_err(|error| self.failed(Verb::Size, object, error))?;
        // Dated first: no object is from the future because time went on meanwhile.
        let at = earliest(&metadata);
        // Where nothing can be written, nobody can do anything about an old object: it counts as new.
        Ok(Some(Written { at, now: self.now().unwrap_or(at) }))
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        if kind == Kind::Config {
            return match self.size(&Object::Config) {
                Ok(size) => Ok(vec![(Object::Config, size)]),
                Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        self.list_files(kind).map_err(|source| StoreError::List {
            kind,
            location: self.location(),
            source,
        })
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        durable::remove_file(&self.file_of(object))
            .map_err(|error| self.failed(Verb::Remove, object, error))
    }
}

#[cfg(test)]
mod tests;
