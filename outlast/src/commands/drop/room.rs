//! Room on a file system.

use std::path::Path;

use anyhow::{Context, Result, bail};
use outlast_types::human;
use rustix::fs::statvfs;

/// What a drop takes of which nothing is known yet.
const LEAST: u64 = 64 << 20;

/// What can be written to the file system of `directory` by this user.
pub(super) fn free_bytes(directory: &Path) -> Result<u64> {
    let free = statvfs(directory)
        .with_context(|| format!("cannot look at the room in {}", directory.display()))?;
    // Some that grow tell of no end.
    if free.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    Ok(free.f_bavail.saturating_mul(free.f_frsize))
}

/// Refuses to begin a drop that would not fit on `share`, as far as the `last` one tells: a disk that
/// is full of half a drop helps nobody.
pub(super) fn for_drop(share: &Path, last: Option<u64>) -> Result<()> {
    let needed = last.map_or(LEAST, |last| last.saturating_add(last / 8)).max(LEAST);
    let free = free_bytes(share)?;
    if free < needed {
        bail!(
            "{} of room are free in {}, and the drop may need {}; what lies there leaves when the vault has \
             it, so look whether the vault is reached, or make room",
            human::bytes(free),
            share.display(),
            human::bytes(needed)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_that_would_not_fit_is_not_begun() {
        let directory = tempfile::tempdir().unwrap();
        let free = free_bytes(directory.path()).unwrap();
        let error = for_drop(directory.path(), Some(u64::MAX / 2)).unwrap_err().to_string();
        assert!(error.contains("are free in") && error.contains("make room"), "{error}");
        if free > 1 << 30 {
            for_drop(directory.path(), Some(1 << 20)).unwrap();
            for_drop(directory.path(), None).unwrap();
        }
        assert!(free_bytes(&directory.path().join("missing")).is_err());
    }
}
