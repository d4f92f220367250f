//! Small documents, each in a file of its own under a name that tells what it is about.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::Timestamp;

use crate::error::MediaError;

/// Between the parts of a name; in no name of a workload, an agent or an id.
const BETWEEN: &str = "~";

/// A directory of documents.
pub(crate) struct Documents {
    directory: PathBuf,
    bytes_max: u64,
}

impl Documents {
    /// Those in `directory`, which is made if it is missing; none is longer than `bytes_max`.
    pub(crate) fn open(directory: PathBuf, bytes_max: u64) -> Result<Self, MediaError> {
        durable::create_directories(&directory, 0o700)
            .map_err(MediaError::io("make", &directory))?;
        Ok(Self { directory, bytes_max })
    }

    /// The names of all that are there, taken apart. What no program of ours puts there is passed over.
    pub(crate) fn names(&self) -> Result<Vec<Vec<String>>, MediaError> {
        let failed = || MediaError::io("list", &self.directory);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            if durable::is_temporary(&name) {
                // Of a writer that was killed.
                let _ = std::fs::remove_file(self.directory.join(&name));
            } else if let Some(name) = name.to_str() {
                names.push(name.split(BETWEEN).map(str::to_owned).collect());
            }
        }
        Ok(names)
    }

    /// A document; none if it is not there.
    pub(crate) fn read(&self, name: &[&str]) -> Result<Option<Vec<u8>>, MediaError> {
        let path = self.path(name);
        match durable::read_bounded(&path, self.bytes_max) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(MediaError::io("read", &path)(error)),
        }
    }

    /// Puts a document there, durably, in the place of one of its name.
    pub(crate) fn write(&self, name: &[&str], content: &[u8]) -> Result<(), MediaError> {
        let path = self.path(name);
        durable::replace(&path, content, 0o600).map_err(MediaError::io("write", &path))
    }

    /// Removes a document, if it is there.
    pub(crate) fn remove(&self, name: &[&str]) -> Result<(), MediaError> {
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(MediaError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn path(&self, name: &[&str]) -> PathBuf {
        self.directory.join(name.join(BETWEEN))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// How long ago a file was written, by this host's clock; nothing for one that is gone.
pub(crate) fn age(path: &Path, now: Timestamp) -> Option<Duration> {
    let written = std::fs::metadata(path).ok()?.mtime();
    Some(now.since(Timestamp::from_unix(written, 0)?))
}
