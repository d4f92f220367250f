//! Leases: files that say that a job reads now, so that nothing leaves the directory.
//!
//! Begin and end are quick whatever lies in the directory, and want no agent. Both can be said again. Begin takes the
//! place of the next appearance for a moment: what it counts as its beginning is later than all that has appeared,
//! whatever the clock says, and earlier than all that will.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::{DirectoryLock, durable};
use outlast_types::{Environment, Interrupt, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::HandoverError;
use crate::job::{JobFacts, JobKey};
use crate::place::Place;

const FILE_MODE: u32 = 0o640;
const LEASE_BYTES_MAX: u64 = 64 << 10;
/// Leases that are looked at; beyond, nothing leaves.
pub const LEASES_MAX: usize = 10_000;
/// The lock of whatever must not happen while something appears.
const MOMENT_LOCK: &str = "moment.lock";
/// How long somebody else may have it: an appearance takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(1);

/// One stream of a job that reads the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub version: u64,
    pub job: JobFacts,
    /// From 1.
    pub stream: u32,
    /// How many there are, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
    /// In the order of appearances.
    pub began: Timestamp,
    pub deadline: Timestamp,
}

impl Lease {
    pub fn key(&self) -> JobKey {
        self.job.key()
    }

    /// The longest that it may have lasted at `now`, whatever was done to the clock: one that was set back far makes
    /// no lease last for years.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let length = self.deadline.since(self.began);
        now >= self.deadline || self.began > now.saturating_add(length)
    }
}

/// The last appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub version: u64,
    /// When something appeared last.
    pub appeared: Timestamp,
    /// The time of change that it got.
    pub stamp: Timestamp,
}

impl Moment {
    /// Before anything has appeared.
    pub const NONE: Self = Self { version: 1, appeared: Timestamp::EPOCH, stamp: Timestamp::EPOCH };

    /// The last one.
    pub fn read(place: &Place) -> Result<Self, HandoverError> {
        let path = place.moment();
        match durable::read_bounded(&path, LEASE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| HandoverError::Form { path, reason: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::NONE),
            Err(error) => Err(HandoverError::io("read", &path)(error)),
        }
    }

    /// Makes it the last one, for good.
    pub fn write(&self, place: &Place) -> Result<(), HandoverError> {
        let path = place.moment();
        let bytes = serde_json::to_vec(self)
            .map_err(|error| HandoverError::io("write", &path)(error.into()))?;
        durable::replace(&path, &bytes, FILE_MODE).map_err(HandoverError::io("write", &path))
    }
}

/// Takes the lock without which nothing appears and no job begins.
pub fn hold_still(
    place: &Place,
    environment: &Environment,
) -> Result<DirectoryLock, HandoverError> {
    let began = environment.timer.elapsed();
    loop {
        match DirectoryLock::take(place.desk(), MOMENT_LOCK) {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) => {}
            Err(outlast_fs::LockError::Open { path, source })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                let path = path.parent().unwrap_or(Path::new("")).to_owned();
                return Err(HandoverError::NotOne { path });
            }
            Err(
                outlast_fs::LockError::Open { path, source }
                | outlast_fs::LockError::Lock { path, source },
            ) => {
                return Err(HandoverError::io("lock", &path)(source));
            }
        }
        let waited = environment.timer.elapsed().saturating_sub(began);
        if waited > PATIENCE {
            let (path, seconds) = (place.desk().join(MOMENT_LOCK), waited.as_secs());
            return Err(HandoverError::Busy { path, seconds });
        }
        environment.timer.pause(PAUSE, &Interrupt::default());
    }
}

/// What a job says when it begins.
#[derive(Debug, Clone)]
pub struct Beginning {
    pub job: JobFacts,
    pub stream: u32,
    pub streams: Option<u32>,
    /// How long it may last.
    pub length: Duration,
}

/// Takes the lease of one stream of a job; whether it is new. One that is there already goes on, unless it is over.
pub fn begin(
    place: &Place,
    beginning: &Beginning,
    environment: &Environment,
) -> Result<(Lease, bool), HandoverError> {
    let _still = hold_still(place, environment)?;
    let (now, moment) = (environment.clock.now(), Moment::read(place)?);
    let Beginning { job, stream, streams, length } = beginning.clone();
    let path = file(place, &job.key(), stream);
    let before = read(&path)?.filter(|before| !before.is_over(now));
    let is_new = before.is_none();
    // After all that has appeared, by the order of things and not by a clock.
    let began = match &before {
        Some(before) => before.began,
        None => now.max(moment.appeared.saturating_add(Duration::from_nanos(1))),
    };
    let deadline = now.max(began).saturating_add(length);
    let lease = Lease { version: 1, job: job.bounded(), stream, streams, began, deadline };
    let bytes = serde_json::to_vec(&lease)
        .map_err(|error| HandoverError::io("write", &path)(error.into()))?;
    durable::replace(&path, &bytes, FILE_MODE).map_err(HandoverError::io("write", &path))?;
    Ok((lease, is_new))
}

/// The lease of one stream of a job, if there is one.
pub fn find(place: &Place, job: &JobKey, stream: u32) -> Result<Option<Lease>, HandoverError> {
    read(&file(place, job, stream))
}

/// Lets go of the lease of one stream; whether there was one.
pub fn release(place: &Place, job: &JobKey, stream: u32) -> Result<bool, HandoverError> {
    let path = file(place, job, stream);
    match durable::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(HandoverError::io("remove", &path)(error)),
    }
}

/// All leases by the names of their files, and whether these are all.
pub fn list(place: &Place) -> Result<(BTreeMap<String, Lease>, bool), HandoverError> {
    let path = place.leases();
    let mut leases = BTreeMap::new();
    let entries = std::fs::read_dir(&path).map_err(HandoverError::io("list", &path))?;
    for entry in entries {
        let entry = entry.map_err(HandoverError::io("list", &path))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if durable::is_temporary(entry.file_name().as_os_str()) {
            continue;
        }
        if leases.len() >= LEASES_MAX {
            return Ok((leases, false));
        }
        if let Some(lease) = read(&entry.path())? {
            leases.insert(name, lease);
        }
    }
    Ok((leases, true))
}

fn read(path: &Path) -> Result<Option<Lease>, HandoverError> {
    match durable::read_bounded(path, LEASE_BYTES_MAX) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            HandoverError::Form { path: path.to_owned(), reason: error.to_string() }
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HandoverError::io("read", path)(error)),
    }
}

fn file(place: &Place, job: &JobKey, stream: u32) -> PathBuf {
    place.leases().join(format!("{job}.{stream}.json"))
}
