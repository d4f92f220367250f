//! Trees as files, and whom files belong to.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use outlast_drop::SealedDrop;
use outlast_drop::fetch::{FetchOptions, read_out};
use outlast_drop::hash::{Algorithm, Hasher};
use outlast_types::Silent;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};

use crate::error::HandoverError;
use crate::manifest::{FileEntry, Manifest, Original, OtherEntry, TREE, is_portable};
use crate::rules::Rules;

const BUFFER_BYTES: usize = 1 << 20;

/// Places the files of a tree; `false` if they cannot all lie there: too many, too large, or with names that do
/// not go to tape.
pub(super) fn unpack(
    sealed: &SealedDrop,
    path: &Path,
    manifest: &mut Manifest,
    rules: &Rules,
) -> Result<bool, HandoverError> {
    let tree = path.join(TREE);
    let summary = read_out(sealed, &tree, FetchOptions::default(), &Silent)?;
    if summary.files > rules.files_max
        || !summary.withheld.is_empty()
        || !summary.problems.is_empty()
    {
        // What cannot be a file here, such as a device or an owner, is whole in a tar.
        return Ok(false);
    }
    let max = rules.file_max.unwrap_or(u64::MAX);
    for found in entries(&tree)? {
        if found == tree {
            continue;
        }
        let Some(name) = found.strip_prefix(path).ok().and_then(Path::to_str) else {
            return Ok(false);
        };
        if !name.split('/').all(is_portable) {
            return Ok(false);
        }
        let failed = |error| HandoverError::io("read", &found)(error);
        let facts = fs::symlink_metadata(&found).map_err(failed)?;
        let (name, original) = (name.to_owned(), original(&facts));
        if facts.is_file() {
            if facts.len() > max {
                return Ok(false);
            }
            let (size, sha256) = hash(&found).map_err(failed)?;
            manifest.files.push(FileEntry { path: name, size, sha256, original: Some(original) });
        } else if facts.is_dir() {
            manifest.others.push(OtherEntry { path: name, target: None, original });
        } else if facts.is_symlink() {
            let target = fs::read_link(&found).map_err(failed)?;
            let Some(target) = target.to_str().map(str::to_owned) else { return Ok(false) };
            manifest.others.push(OtherEntry { path: name, target: Some(target), original });
        } else {
            return Ok(false);
        }
    }
    manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    manifest.others.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(true)
}

fn original(facts: &Metadata) -> Original {
    let nanos = u32::try_from(facts.mtime_nsec()).unwrap_or(0);
    let (mode, uid, gid) = (facts.mode() & 0o7777, facts.uid(), facts.gid());
    Original { mode, uid, gid, modified: (facts.mtime(), nanos) }
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut size) = (Hasher::new(Algorithm::Sha256), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hasher.finish().digits().as_str().to_owned())),
            length => {
                hasher.update(&buffer[..length]);
                size += length as u64;
            }
        }
    }
}

/// All below a directory, what is in a directory before it, and `path` itself last.
pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>, HandoverError> {
    let (mut found, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(directory) = open.pop() {
        let failed = |error| HandoverError::io("list", &directory)(error);
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_type().map_err(failed)?.is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
        found.push(directory);
    }
    // Deeper ones are longer than what they are in.
    found.sort_by_key(|path| std::cmp::Reverse(path.as_os_str().len()));
    Ok(found)
}

/// Gives files and directories the owner, group and permissions of the rules.
pub(crate) fn give(entries: &[PathBuf], rules: &Rules) -> Result<(), HandoverError> {
    let (owner, group) = (rules.owner.map(Uid::from_raw), rules.group.map(Gid::from_raw));
    for path in entries {
        let failed =
            |errno: rustix::io::Errno| HandoverError::io("give permissions to", path)(errno.into());
        let facts = fs::symlink_metadata(path).map_err(HandoverError::io("read", path))?;
        if owner.is_some() || group.is_some() {
            rustix::fs::chownat(CWD, path, owner, group, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed)?;
        }
        if facts.is_symlink() {
            continue;
        }
        let mode = if facts.is_dir() { rules.directory_mode() } else { rules.mode };
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())
            .map_err(failed)?;
    }
    Ok(())
}
