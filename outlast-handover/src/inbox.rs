//! The inbox: what commands have to say, in files of their own, until the agent takes it up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_fs::durable;
use outlast_types::{Environment, Timestamp, hex};
use serde::{Deserialize, Serialize};

use crate::error::HandoverError;
use crate::evidence::Statement;
use crate::job::JobKey;
use crate::lease::Lease;
use crate::offer::Release;
use crate::place::Place;

const FILE_MODE: u32 = 0o640;
/// The longest word: a list of about a million files.
const WORD_BYTES_MAX: u64 = 256 << 20;
/// Words that are taken up at a time.
pub const WORDS_MAX: usize = 1000;
/// How the words begin of who says something by hand.
pub const BY_HAND: &str = "operator ";
const VERSION: u64 = 1;
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What somebody says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// A stream has ended; its client says so.
    Ended {
        lease: Lease,
        status: i32,
    },
    Evidence(Box<Statement>),
    /// The image of a job is gone.
    Withdrawn {
        job: JobKey,
        reason: String,
    },
    /// A drop may leave.
    Released(Release),
}

#[derive(Serialize, Deserialize)]
struct WordFile {
    version: u64,
    at: Timestamp,
    word: Word,
}

/// A word that waits.
#[derive(Debug)]
pub struct Waiting {
    path: PathBuf,
    /// By the clock of whoever said it, which is this host's.
    pub at: Timestamp,
    pub word: Word,
}

/// Puts a word in, for good.
pub fn put(place: &Place, word: &Word, environment: &Environment) -> Result<(), HandoverError> {
    let at = environment.clock.now();
    let mut random = [0; 8];
    environment.random.fill(&mut random);
    // Of what one process says in one moment, the order stays.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (seconds, nanos) = (at.unix_seconds().max(0), at.nanos());
    let name = format!("{seconds:012}{nanos:09}-{count:06}-{}.json", hex::encode(&random));
    let path = place.inbox().join(name);
    let file = WordFile { version: VERSION, at, word: word.clone() };
    let bytes = serde_json::to_vec(&file)
        .map_err(|error| HandoverError::io("write", &path)(error.into()))?;
    match durable::publish_new(&path, &bytes, FILE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(HandoverError::NotOne { path: place.desk().to_owned() })
        }
        put => put.map_err(HandoverError::io("write", &path)),
    }
}

/// The names of what waits, the oldest first.
pub fn names(place: &Place) -> Result<Vec<PathBuf>, HandoverError> {
    let path = place.inbox();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(HandoverError::io("list", &path))? {
        let entry = entry.map_err(HandoverError::io("list", &path))?;
        if !durable::is_temporary(&entry.file_name()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Reads what waits under a name; `None` if it is gone.
pub fn read(path: PathBuf) -> Result<Option<Waiting>, HandoverError> {
    let bytes = match durable::read_bounded(&path, WORD_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HandoverError::io("read", &path)(error)),
    };
    let form = |reason: String| HandoverError::Form { path: path.clone(), reason };
    let file: WordFile = serde_json::from_slice(&bytes).map_err(|error| form(error.to_string()))?;
    if file.version > VERSION {
        return Err(HandoverError::Newer { path, version: file.version });
    }
    let WordFile { at, word, .. } = file;
    Ok(Some(Waiting { path, at, word }))
}

impl Waiting {
    /// It was taken up.
    pub fn done(self) -> Result<(), HandoverError> {
        durable::remove_file(&self.path).map_err(HandoverError::io("remove", &self.path))
    }
}

/// Puts aside what nobody can read, so that it is in nobody's way.
pub fn put_aside(place: &Place, path: &Path) -> Result<(), HandoverError> {
    let name = path.file_name().unwrap_or_default();
    let aside = place.desk().join("unreadable");
    durable::create_directories(&aside, 0o750).map_err(HandoverError::io("create", &aside))?;
    durable::move_new(path, &aside.join(name)).map_err(HandoverError::io("put aside", path))
}
