//! Leaving out what patterns and marks say.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::directory::Above;
use crate::exclude::Excludes;

/// The file that marks a directory as a cache, and how it begins (https://bford.info/cachedir/).
pub(super) const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Patterns, and what they need to know of the walk.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    pub(super) excludes: Excludes,
    /// The current directory: patterns are compared with full paths.
    pub(super) current: PathBuf,
}

impl Patterns {
    /// Whether the entry `name` in the directory `above` is left out.
    pub(super) fn exclude(&self, above: Above<'_>, name: &[u8]) -> bool {
        if !self.excludes.has_patterns() {
            return false;
        }
        let mut backwards: Vec<&[u8]> = Vec::new();
        match above {
            // Asked for itself: the path has the name already.
            Above::Nothing(path) => backwards.push(path.as_os_str().as_bytes()),
            Above::Directory(directory) => {
                backwards.push(name);
                directory.name_backwards(&mut backwards);
            }
        }
        let top = backwards.pop().unwrap_or_default();
        let mut path = Vec::new();
        if !top.starts_with(b"/") {
            let names = self.current.components().filter_map(|component| match component {
                Component::Normal(name) => Some(name.as_bytes()),
                _ => None,
            });
            path.extend(names);
        }
        let is_name = |name: &&[u8]| !name.is_empty() && *name != b".";
        path.extend(top.split(|byte| *byte == b'/').filter(is_name));
        path.extend(backwards.into_iter().rev());
        self.excludes.excludes(&path)
    }

    /// Whether only its mark is wanted of a directory, because that says that it is a cache.
    pub(super) fn is_cache(&self, directory: &OwnedFd) -> bool {
        self.excludes.leaves_out_caches() && is_marked(directory)
    }
}

/// Whether a directory has the mark of a cache. One that cannot be read marks nothing.
fn is_marked(directory: &OwnedFd) -> bool {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(directory, CACHE_TAG, flags, Mode::empty()) else {
        return false;
    };
    let is_file = rustix::fs::fstat(&file)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let mut begins = [0; CACHE_SIGNATURE.len()];
    is_file
        && std::fs::File::from(file).read_exact(&mut begins).is_ok()
        && begins == CACHE_SIGNATURE
}
