//! The packs that an interrupted check has read already: a local file that lets the next one go on.
//!
//! The first line is `outlast-check 1 <repository id> <when it began, seconds since 1970>`; then
//! follow 16 bytes for each pack that was read and found right: a hash of the repository's id, the
//! pack's name, its size and what the index says is in it. So the file is believed of nothing but
//! exactly that: a pack whose size or index entry changed is read again, and so is one whose 16
//! bytes were torn or damaged. It is written without fsync; losing it costs reading, never truth.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outlast_format::RepositoryId;
use outlast_format::pack::BlobType;
use outlast_fs::durable;
use outlast_types::Timestamp;

use super::listed::Listed;
use crate::RepoError;

/// A pack that was read longer ago is read again: disks rot.
const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest first line in bytes.
const HEADER_BYTES_MAX: u64 = 200;
/// The most packs that are remembered; 64 TiB of them at 16 MiB each. The set takes about 100 MB.
const PACKS_MAX: u64 = 4 << 20;

/// How to go on where an interrupted check stopped, and to let this one be gone on with.
#[derive(Debug, Clone)]
pub struct Resume {
    /// The file that remembers; made if it is not there, and removed when a check ends.
    pub state: PathBuf,
    /// The present moment: a state that is older than 30 days is not used.
    pub now: Timestamp,
}

type Fingerprint = [u8; 16];

/// An open state file.
pub(super) struct State {
    path: PathBuf,
    repository: RepositoryId,
    known: HashSet<Fingerprint>,
    /// `None` once it could not be written: half a record would spoil those after it.
    file: Mutex<Option<File>>,
}

impl State {
    /// Opens the file, or makes it; that of another repository, and one that is too old or cannot
    /// be understood, is begun anew.
    pub(super) fn open(resume: &Resume, repository: RepositoryId) -> Result<Self, RepoError> {
        let path = resume.state.clone();
        let open = || {
            let mut file =
                File::options().read(true).append(true).create(true).mode(0o600).open(&path)?;
            let known = recover(&mut file, repository, resume.now)?;
            Ok((file, known))
        };
        match open() {
            Ok((file, known)) => Ok(Self { path, repository, known, file: Mutex::new(Some(file)) }),
            Err(source) => Err(RepoError::CheckState { path, source }),
        }
    }

    /// Whether the pack, as it is listed, was found right before.
    pub(super) fn knows(&self, listed: &Listed) -> bool {
        self.known.contains(&self.fingerprint(listed))
    }

    /// Remembers a pack that was read and is right.
    pub(super) fn note(&self, listed: &Listed) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut *file else { return };
        if let Err(error) = open.write_all(&self.fingerprint(listed)) {
            // The check itself does not need it, and says the truth without it.
            let path = self.path.display();
            tracing::warn!(%path, %error, "an interruption of this check will cost more reading");
            *file = None;
        }
    }

    /// Forgets everything: the check is over, and the next one is to read everything.
    pub(super) fn finish(self) -> Result<(), RepoError> {
        match durable::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RepoError::CheckState { path: self.path, source })
            }
            _ => Ok(()),
        }
    }

    fn fingerprint(&self, listed: &Listed) -> Fingerprint {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.repository.0);
        hash.update(&listed.pack.0);
        hash.update(&listed.size.to_le_bytes());
        for entry in &listed.entries {
            hash.update(&[u8::from(entry.kind == BlobType::Tree)]);
            hash.update(&entry.id.0);
            hash.update(&entry.offset.to_le_bytes());
            hash.update(&entry.length.to_le_bytes());
            hash.update(&entry.uncompressed_length.unwrap_or(0).to_le_bytes());
        }
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(&hash.finalize().as_bytes()[..size_of::<Fingerprint>()]);
        fingerprint
    }
}

/// Reads what is whole and cuts off the rest; a file that is not of use is emptied.
fn recover(
    file: &mut File,
    repository: RepositoryId,
    now: Timestamp,
) -> io::Result<HashSet<Fingerprint>> {
    if let Some((known, length)) = read(file, repository, now)? {
        file.set_len(length)?;
        return Ok(known);
    }
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("outlast-check 1 {repository} {}\n", now.unix_seconds()).as_bytes())?;
    Ok(HashSet::new())
}

/// The fingerprints in the file, and where the last one ends; `None` if they are not to be used.
fn read(
    file: &File,
    repository: RepositoryId,
    now: Timestamp,
) -> io::Result<Option<(HashSet<Fingerprint>, u64)>> {
    let mut reader = BufReader::new(file);
    let mut header = Vec::new();
    let mut byte = [0];
    while (header.len() as u64) < HEADER_BYTES_MAX && reader.read(&mut byte)? == 1 {
        header.push(byte[0]);
        if byte == *b"\n" {
            break;
        }
    }
    if !is_current(&header, repository, now) {
        return Ok(None);
    }
    let mut known = HashSet::new();
    let mut fingerprint = Fingerprint::default();
    while (known.len() as u64) < PACKS_MAX {
        match reader.read_exact(&mut fingerprint) {
            Ok(()) => known.insert(fingerprint),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        };
    }
    let length = file.metadata()?.len() - header.len() as u64;
    let torn = length % size_of::<Fingerprint>() as u64;
    Ok(Some((known, header.len() as u64 + length - torn)))
}

fn is_current(header: &[u8], repository: RepositoryId, now: Timestamp) -> bool {
    let begun = std::str::from_utf8(header)
        .ok()
        .and_then(|header| header.strip_suffix('\n'))
        .and_then(|header| header.strip_prefix(&format!("outlast-check 1 {repository} ")))
        .and_then(|seconds| seconds.parse().ok())
        .and_then(|seconds| Timestamp::from_unix(seconds, 0));
    // From the future is from a clock that was wrong: there is no telling how old it is.
    begun.is_some_and(|begun| begun <= now && now.since(begun) <= AGE_MAX)
}

#[cfg(test)]
mod tests {
    use outlast_format::pack::PackEntry;
    use outlast_format::{BlobId, PackId};

    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId([7; 32]);

    fn listed(n: u8) -> Listed {
        let entry = PackEntry {
            kind: BlobType::Data,
            id: BlobId([n; 32]),
            offset: 0,
            length: 99,
            uncompressed_length: None,
        };
        Listed { pack: PackId([n; 32]), size: 1000, entries: vec![entry] }
    }

    fn at(day: u64) -> Timestamp {
        Timestamp::EPOCH.saturating_add(Duration::from_secs(day * 24 * 3600))
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("state")
        }

        fn open(&self, repository: RepositoryId, now: Timestamp) -> State {
            State::open(&Resume { state: self.file(), now }, repository).unwrap()
        }
    }

    #[test]
    fn a_pack_is_known_only_as_it_was() {
        let place = Place::new();
        let state = place.open(REPOSITORY, at(100));
        assert!(!state.knows(&listed(1)));
        state.note(&listed(1));
        drop(state);
        let state = place.open(REPOSITORY, at(101));
        assert!(state.knows(&listed(1)) && !state.knows(&listed(2)));
        assert!(!state.knows(&Listed { size: 1001, ..listed(1) }));
        assert!(!state.knows(&Listed { entries: listed(2).entries, ..listed(1) }));
        state.finish().unwrap();
        assert!(!place.file().exists());
        assert!(!place.open(REPOSITORY, at(101)).knows(&listed(1)));
    }

    #[test]
    fn a_torn_or_damaged_record_costs_only_itself() {
        let place = Place::new();
        let state = place.open(REPOSITORY, at(100));
        state.note(&listed(1));
        state.note(&listed(2));
        drop(state);
        let whole = place.file().metadata().unwrap().len();
        for length in (whole - 15..whole).rev() {
            File::options().write(true).open(place.file()).unwrap().set_len(length).unwrap();
            let state = place.open(REPOSITORY, at(100));
            assert!(state.knows(&listed(1)) && !state.knows(&listed(2)), "cut at {length}");
            state.note(&listed(2));
            drop(state);
            assert!(place.open(REPOSITORY, at(100)).knows(&listed(2)), "cut at {length}");
        }
        let mut file = File::options().write(true).open(place.file()).unwrap();
        file.seek(SeekFrom::Start(whole - 20)).unwrap();
        file.write_all(&[0; 3]).unwrap();
        let state = place.open(REPOSITORY, at(100));
        assert!(!state.knows(&listed(1)) && state.knows(&listed(2)));
    }

    #[test]
    fn what_is_of_another_repository_or_too_old_is_not_believed() {
        let place = Place::new();
        for (repository, day, known) in [
            (REPOSITORY, 100, false),
            (REPOSITORY, 129, true),
            (REPOSITORY, 131, false),
            (REPOSITORY, 130, false),
            (REPOSITORY, 130, true),
            (RepositoryId([8; 32]), 130, false),
            (REPOSITORY, 130, false),
        ] {
            let state = place.open(repository, at(day));
            assert_eq!(state.knows(&listed(1)), known, "{repository} on day {day}");
            state.note(&listed(1));
        }
    }
}
