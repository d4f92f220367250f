//! The inputs to begin with: `corpus/<target>/`, and what was found to fail, in `crashes/` there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::durable;

use crate::Target;
use crate::mutate::INPUT_BYTES_MAX;

/// The corpus of this checkout.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// All inputs for `target`, in the order of their names, those that once failed included.
pub fn load(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let own = directory().join(target.name);
    let mut files = Vec::new();
    for directory in [own.join("crashes"), own] {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files.iter().map(|file| durable::read_bounded(file, INPUT_BYTES_MAX as u64)).collect()
}

/// Keeps an input under the hash of its content; returns the file.
pub fn save(directory: &Path, prefix: &str, input: &[u8]) -> io::Result<PathBuf> {
    durable::create_directories(directory, 0o755)?;
    let file = directory.join(format!("{prefix}{}", &blake3::hash(input).to_hex()[..12]));
    match durable::create_new(&file, input, 0o644) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(file),
    }
}
