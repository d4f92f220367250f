//! Further names of what was placed.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::is_content;
use super::parents::Above;
use super::{PlaceError, Target, lock};
use crate::entry::{Entry, EntryPath, Kind, show};
use crate::metadata::{
    Names, XattrFailure, XattrOwner, XattrReader, file_type, identity, metadata_of,
};

/// How much of a file is copied at once.
const COPY_BYTES: usize = 256 << 10;

impl Target {
    /// Makes `path` a further name of `target`. Where the file system takes no more of them, or
    /// none at all, it becomes a copy, and further names are made of the copy.
    pub(super) fn link(
        &self,
        parent: &Above,
        path: &EntryPath,
        target: &EntryPath,
    ) -> Result<(), PlaceError> {
        let copy = lock(&self.copies).get(target).cloned();
        let first = copy.as_ref().unwrap_or(target);
        let failed = |errno: Errno| PlaceError::Link {
            path: path.clone(),
            target: first.clone(),
            source: errno.into(),
        };
        let first_parent = self.parent(first, false)?;
        let stat = rustix::fs::statat(&first_parent, first.name(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed)?;
        match rustix::fs::statat(parent, path.name(), AtFlags::SYMLINK_NOFOLLOW) {
            // Removing it first could remove the last name of the file.
            Ok(there) if identity(&there) == identity(&stat) => return Ok(()),
            _ => self.clear(parent, path)?,
        }
        let errno = if links(&stat) < self.links_max {
            let (from, to) = (first.name(), path.name());
            match rustix::fs::linkat(&*first_parent, from, parent, to, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(errno) => errno,
            }
        } else {
            Errno::MLINK
        };
        let why = match errno {
            Errno::MLINK => "the file system takes no more links to one file",
            // What is said where there are no links, and where this user may not make them.
            Errno::PERM | Errno::NOTSUP | Errno::NOSYS => "no link can be made there",
            Errno::XDEV => "it is on another file system than the first name",
            errno => return Err(failed(errno)),
        };
        if file_type(&stat) != FileType::RegularFile {
            return Err(failed(errno));
        }
        self.copy(&first_parent, first, parent, path)?;
        if errno == Errno::MLINK {
            lock(&self.copies).insert(target.clone(), path.clone());
        }
        self.remarks.copied(why, path);
        Ok(())
    }

    /// Makes a file at `path` with content and attributes of the one at `first`, which is complete.
    fn copy(
        &self,
        first_parent: &OwnedFd,
        first: &EntryPath,
        parent: &Above,
        path: &EntryPath,
    ) -> Result<(), PlaceError> {
        let failed = |errno| PlaceError::io("copy", first, errno);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source =
            rustix::fs::openat(first_parent, first.name(), flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&source).map_err(failed)?;
        let source = File::from(source);
        let mut metadata = metadata_of(&stat, &Names::default());
        let xattrs = XattrReader::new().read(XattrOwner::Open(source.as_fd()));
        for XattrFailure { name, errno } in xattrs.failed {
            self.remarks.problem(PlaceError::Attribute {
                attribute: name.map_or_else(|| "attributes".to_owned(), |name| show(&name)),
                path: path.clone(),
                source: errno.into(),
            });
        }
        metadata.xattrs = xattrs.read;
        metadata.xattrs.retain(|(name, _)| is_content(name));
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let entry = Entry { path: path.clone(), kind: Kind::File { size }, metadata };
        // What is withheld was withheld from the first name.
        let attributes = self.attributes.privileged(true);
        let placed = self.create(parent, &entry, attributes)?;
        if rustix::fs::ioctl_ficlone(placed.content(), &source).is_ok() {
            return placed.finish();
        }
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        loop {
            match source.read_at(&mut buffer, at) {
                Ok(0) => break,
                Ok(length) => {
                    placed.write_at(at, &buffer[..length])?;
                    at += length as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(PlaceError::Io { action: "copy", path: first.clone(), source });
                }
            }
        }
        placed.finish()
    }
}

#[expect(clippy::unnecessary_cast, reason = "the kernel's types differ between processors")]
fn links(stat: &Stat) -> u64 {
    stat.st_nlink as u64
}
