//! Staging: a drop's files copied from the share to our own disk, every byte hashed on its way, beside the directory.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use outlast_drop::SealedDrop;
use outlast_drop::hash::{Algorithm, Hasher};
use outlast_drop::layout::SEAL_FILE;
use outlast_fs::{durable, fault};

use crate::error::HandoverError;
use crate::manifest::FileEntry;

pub(crate) const FILE_MODE: u32 = 0o600;
pub(crate) const DIRECTORY_MODE: u32 = 0o700;
/// What stays free on the disk of the directory, of a thousand parts.
const RESERVE: u64 = 50;

/// Copies the segments and the seal of a drop into a new directory. The drop there is as it was sealed.
pub fn stage(
    sealed: &SealedDrop,
    into: &Path,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Vec<FileEntry>, HandoverError> {
    durable::create_directories(into, DIRECTORY_MODE).map_err(HandoverError::io("create", into))?;
    let mut files = Vec::with_capacity(sealed.seal().segments.len() + 1);
    for segment in &sealed.seal().segments {
        let path = into.join(&segment.name);
        fault::point(|| path.clone());
        let failed = |error| HandoverError::io("write", &path)(error);
        let mut file = create(&path)?;
        // SHA-256 is what a restorer has at hand.
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let copied = sealed.copy_segment(segment, |bytes| {
            if is_stopped() {
                return Err(HandoverError::Stopped);
            }
            hasher.update(bytes);
            file.write_all(bytes).map_err(failed)
        })?;
        copied?;
        let sha256 = hasher.finish().digits().as_str().to_owned();
        files.push(FileEntry {
            path: segment.name.clone(),
            size: segment.size,
            sha256,
            original: None,
        });
    }
    let bytes = sealed.seal_bytes()?;
    files.push(entry_of(SEAL_FILE, &bytes));
    // Last, as on the share: what has a seal is whole. It is durable before it appears; until then, nobody believes
    // what was here before a start.
    let path = into.join(SEAL_FILE);
    fault::point(|| path.clone());
    create(&path)?.write_all(&bytes).map_err(HandoverError::io("write", &path))?;
    Ok(files)
}

/// A small file's entry in a manifest.
pub(crate) fn entry_of(name: &str, bytes: &[u8]) -> FileEntry {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    let sha256 = hasher.finish().digits().as_str().to_owned();
    FileEntry { path: name.to_owned(), size: bytes.len() as u64, sha256, original: None }
}

/// A new file to be filled.
pub(crate) fn create(path: &Path) -> Result<File, HandoverError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let opened = options.write(true).create_new(true).mode(FILE_MODE).open(path);
    opened.map_err(HandoverError::io("create", path))
}

/// Bytes that are free on the disk of `path`, and that it has.
fn room(path: &Path) -> Result<(u64, u64), HandoverError> {
    let facts = rustix::fs::statvfs(path)
        .map_err(|errno| HandoverError::io("ask the room of", path)(io::Error::from(errno)))?;
    let bytes = |blocks: u64| blocks.saturating_mul(facts.f_frsize);
    Ok((bytes(facts.f_bavail), bytes(facts.f_blocks)))
}

/// Bytes that are free on the disk of `path`.
pub fn free(path: &Path) -> Result<u64, HandoverError> {
    room(path).map(|(free, _)| free)
}

/// Refuses what the disk of `path` has no room for.
pub fn check_room(path: &Path, bytes: u64) -> Result<(), HandoverError> {
    let (free, all) = room(path)?;
    let reserve = all / 1000 * RESERVE;
    if free < bytes.saturating_add(reserve) {
        let human = outlast_types::human::bytes;
        let reason = format!(
            "it takes {}, and the disk of {} has {} free, of which {} stay free",
            human(bytes),
            path.display(),
            human(free),
            human(reserve)
        );
        return Err(HandoverError::Full { reason });
    }
    Ok(())
}

/// Removes a directory and all in it, if it is there.
pub fn remove_all(path: &Path) -> Result<(), HandoverError> {
    fault::point(|| path.to_owned());
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(HandoverError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
