//! An answer on a share, as the store of a small repository.
//!
//! It lies in one directory: `config`, `<id>.index` and `<id>.pack`. Nothing is renamed or written over. A pack
//! that a crash tore is under its name and is not what the name says: its writer, who is alone, puts it right;
//! and for readers no index lists it.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use outlast_drop::files::Directory;
use outlast_format::sha256;
use outlast_store::{Kind, Object, Store, StoreError, Verb};

/// More objects than any answer has.
const NAMES_MAX: usize = 1_000_000;
/// A larger object is none of ours.
const OBJECT_BYTES_MAX: u64 = 512 << 20;
const CONFIG: &str = "config";

/// The objects of an answer.
#[derive(Debug, Clone)]
pub struct AnswerStore(Arc<Directory>);

impl AnswerStore {
    /// What lies in the directory of an answer.
    pub fn new(directory: Directory) -> Self {
        Self(Arc::new(directory))
    }

    fn failed(&self, verb: Verb, object: &Object, source: io::Error) -> StoreError {
        let (object, location, verb) = (*object, self.location(), verb.as_str());
        match source.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound { object, location },
            io::ErrorKind::AlreadyExists => StoreError::AlreadyExists { object, location },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { verb, object, location }
            }
            _ => StoreError::Io { verb, object, location, source },
        }
    }

    /// Whether what lies under the name is this object.
    fn is_whole(&self, name: &str, object: &Object, content: &Bytes) -> io::Result<bool> {
        let found = self.0.read_bounded(name, OBJECT_BYTES_MAX)?;
        Ok(match object.name() {
            Some(id) => sha256(&found) == id,
            None => found == *content,
        })
    }
}

/// The file of an object; an answer has no other kinds.
fn file_of(object: &Object) -> io::Result<String> {
    let (id, _) = (object.name().map(|id| outlast_types::hex::encode(&id)), ());
    match (object.kind(), id) {
        (Kind::Config, _) => Ok(CONFIG.to_owned()),
        (Kind::Index, Some(id)) => Ok(format!("{id}.index")),
        (Kind::Data, Some(id)) => Ok(format!("{id}.pack")),
        (kind, _) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("an answer holds no {kind}")))
        }
    }
}

impl Store for AnswerStore {
    fn location(&self) -> String {
        self.0.path().display().to_string()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let created = file_of(object).and_then(|name| {
            let access = self.0.access()?;
            match self.0.create_own(&name, &content, access) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && !self.is_whole(&name, object, &content)? =>
                {
                    self.0.remove_file(name.as_bytes())?;
                    self.0.create_own(&name, &content, access)
                }
                created => created,
            }
        });
        created.map_err(|error| self.failed(Verb::Create, object, error))
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        let read = file_of(object).and_then(|name| self.0.read_bounded(&name, OBJECT_BYTES_MAX));
        read.map(Bytes::from).map_err(|error| self.failed(Verb::Read, object, error))
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let read = file_of(object).and_then(|name| {
            let (file, facts) = self.0.file(name.as_bytes())?;
            // Looked at first, so that a wild range costs no memory.
            if offset.checked_add(length as u64).is_none_or(|end| end > facts.size) {
                let text = format!("it has {} bytes, and not {length} at {offset}", facts.size);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(Bytes::from(buffer))
        });
        read.map_err(|error| self.failed(Verb::Read, object, error))
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        // Opened, since a network file system may remember the size that it had while it was written.
        let size = file_of(object).and_then(|name| Ok(self.0.file(name.as_bytes())?.1.size));
        size.map_err(|error| self.failed(Verb::Size, object, error))
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let failed = |source| StoreError::List { kind, location: self.location(), source };
        let suffix = match kind {
            Kind::Index => ".index",
            Kind::Data => ".pack",
            Kind::Config => "",
            _ => return Ok(Vec::new()),
        };
        let (names, _) = self.0.names_up_to(NAMES_MAX).map_err(failed)?;
        let mut objects = Vec::new();
        for name in names.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
            let object = match kind {
                Kind::Config => (name == CONFIG).then_some(Object::Config),
                _ => name.strip_suffix(suffix).and_then(|id| Object::parse(kind, id).ok()),
            };
            let Some(object) = object else { continue };
            match self.0.facts(name.as_bytes()) {
                Ok(facts) => objects.push((object, facts.size)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(objects)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.size(object)?;
        let removed = file_of(object).and_then(|name| self.0.remove_file(name.as_bytes()));
        removed.map_err(|error| self.failed(Verb::Remove, object, error))
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::PackId;

    use super::*;

    fn store() -> (tempfile::TempDir, AnswerStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = AnswerStore::new(Directory::open(directory.path()).unwrap());
        (directory, store)
    }

    #[test]
    fn objects_are_stored_once_read_in_parts_and_listed_by_their_kind() {
        let (_directory, store) = store();
        let content = Bytes::from_static(b"a pack");
        let pack = Object::Data(PackId(sha256(&content)));
        assert!(matches!(store.read(&pack), Err(StoreError::NotFound { .. })));
        assert!(matches!(store.size(&Object::Config), Err(StoreError::NotFound { .. })));
        store.create(&pack, content.clone()).unwrap();
        let again = store.create(&pack, content.clone());
        assert!(matches!(again, Err(StoreError::AlreadyExists { .. })));
        store.create(&Object::Config, Bytes::from_static(b"c")).unwrap();
        assert_eq!(store.read(&pack).unwrap(), content);
        assert_eq!(&store.read_range(&pack, 2, 4).unwrap()[..], b"pack");
        assert!(store.read_range(&pack, 3, 4).is_err());
        assert!(store.read_range(&pack, u64::MAX, 4).is_err());
        assert_eq!(store.list(Kind::Data).unwrap(), [(pack, 6)]);
        assert_eq!(store.list(Kind::Index).unwrap(), []);
        assert_eq!(store.list(Kind::Config).unwrap(), [(Object::Config, 1)]);
        assert_eq!(store.list(Kind::Key).unwrap(), []);
        store.remove(&pack).unwrap();
        assert!(matches!(store.remove(&pack), Err(StoreError::NotFound { .. })));
        let key = Object::new(Kind::Key, [7; 32]);
        assert!(store.create(&key, content).is_err(), "an answer has no keys");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test that tears a file")]
    fn an_object_that_a_crash_tore_is_written_anew() {
        let (directory, store) = store();
        let content = Bytes::from_static(b"a whole pack");
        let pack = Object::Data(PackId(sha256(&content)));
        let name = file_of(&pack).unwrap();
        std::fs::write(directory.path().join(name), b"a who").unwrap();
        store.create(&pack, content.clone()).unwrap();
        assert_eq!(store.read(&pack).unwrap(), content);
    }
}
