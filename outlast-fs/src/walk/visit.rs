//! One entry of a directory, with everything that has to be asked of the kernel.
//!
//! On a share each question takes a millisecond or more, so none is asked twice: what the listing
//! says saves a look before opening, and a short read at the size that the kernel gave is the end.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, RawDir, SeekFrom, Stat};
use rustix::io::Errno;

use super::content::Content;
use super::directory::{Above, Directory, Pool};
use super::open::{self, Patience, open_directory};
use super::patterns::{CACHE_TAG, Patterns};
use crate::entry::{Kind, Metadata};
use crate::metadata::{
    Names, XattrFailure, XattrOwner, XattrReader, file_type, identity, metadata_of,
};

/// Bytes of a directory that the kernel gives at once.
const LISTING_BUFFER_BYTES: usize = 32 << 10;

/// A name in a directory, and what the listing says it is.
pub(super) struct Name {
    pub(super) bytes: Box<[u8]>,
    pub(super) kind: FileType,
}

/// An entry as it was found.
pub(super) struct Visited {
    /// Whatever other names it has.
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
    /// Extended attributes that cannot be had.
    pub(super) attributes: Vec<XattrFailure>,
    /// Of files only.
    pub(super) content: Option<Content>,
    pub(super) inside: Inside,
}

/// Knowledge of a directory's members.
pub(super) enum Inside {
    /// It is no directory, or nothing in it is wanted.
    Nothing,
    Listed(Arc<Directory>, Vec<Name>),
    /// They wait in runs already.
    Queued(Arc<Directory>),
    /// It has too many to remember them before its turn.
    Unlisted(Arc<Directory>),
    Failed(Errno),
}

/// The tools of a visit; one set per thread.
pub(super) struct Tools {
    pub(super) xattrs: XattrReader,
    pub(super) listing: Vec<MaybeUninit<u8>>,
}

impl Tools {
    pub(super) fn new() -> Self {
        let listing = vec![MaybeUninit::uninit(); LISTING_BUFFER_BYTES];
        Self { xattrs: XattrReader::new(), listing }
    }
}

/// How much of an entry is taken in.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    /// Whether the content of a small file is read.
    pub(super) content: bool,
    /// The most names of a directory that are listed.
    pub(super) names_max: usize,
}

/// The part of a tree that is to be visited.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) names: Arc<Names>,
    /// Device and inode number, and what kind of thing it is: where one number stands for several
    /// things, those of another kind stay.
    pub(super) excluded: Vec<((u64, u64), FileType)>,
    pub(super) patterns: Arc<Patterns>,
    pub(super) one_file_system: bool,
    pub(super) pool: Arc<Pool>,
}

/// An entry that was opened, with the record that the kernel gave of exactly that.
struct Opened {
    stat: Stat,
    file: Option<OwnedFd>,
    /// Why the content cannot be had; for directories, which are entries all the same.
    unreadable: Option<Errno>,
}

impl Visitor {
    /// The entry `name` in the open directory `parent`, which is `above`; `None` if it is left out.
    pub(super) fn visit(
        &self,
        tools: &mut Tools,
        parent: &OwnedFd,
        above: Above<'_>,
        name: &Name,
        reach: Reach,
    ) -> Result<Option<Visited>, Errno> {
        if self.patterns.exclude(above, &name.bytes) {
            return Ok(None);
        }
        let Opened { stat, file, unreadable } = open_entry(parent, name, &self.pool.patience)?;
        if self.excluded.contains(&(identity(&stat), file_type(&stat))) {
            return Ok(None);
        }
        let mut metadata = metadata_of(&stat, &self.names);
        let owner = match &file {
            Some(file) => XattrOwner::Open(file.as_fd()),
            None => XattrOwner::Named(parent, &name.bytes),
        };
        let xattrs = tools.xattrs.read(owner);
        let (mut attributes, xattrs) = (xattrs.failed, xattrs.read);
        metadata.xattrs = xattrs;
        if file.is_none() {
            // Without /proc there is no way to those of links and devices, which rarely have any.
            attributes.retain(|failure| failure.errno != Errno::NOENT);
        }
        let kind = kind(parent, &name.bytes, &stat)?;
        let (mut content, mut inside) = (None, Inside::Nothing);
        match (&kind, file) {
            (Kind::File { size }, Some(file)) => {
                // Of a file with several names, most are links, and their content is not wanted.
                let ahead = reach.content && metadata.links < 2;
                content = Some(Content::of(file, *size, is_sparse(&stat), ahead));
            }
            (Kind::Directory, Some(file)) => {
                inside = self.inside(tools, file, above, name, &stat, reach);
            }
            (Kind::Directory, None) => inside = unreadable.map_or(Inside::Nothing, Inside::Failed),
            _ => {}
        }
        Ok(Some(Visited { kind, metadata, attributes, content, inside }))
    }

    fn inside(
        &self,
        tools: &mut Tools,
        descriptor: OwnedFd,
        above: Above<'_>,
        name: &Name,
        stat: &Stat,
        reach: Reach,
    ) -> Inside {
        let leaves = |above: &Directory| above.device != identity(stat).0;
        if let Above::Directory(above) = above
            && self.one_file_system
            && leaves(above)
        {
            return Inside::Nothing;
        }
        let names = if self.patterns.is_cache(&descriptor) {
            Ok(Some(names_of_cache()))
        } else {
            sorted_names(tools, &descriptor, reach.names_max)
        };
        let directory = Directory::new(above, &name.bytes, descriptor, stat, &self.pool);
        match names {
            Ok(Some(names)) => Inside::Listed(directory, names),
            Ok(None) => Inside::Unlisted(directory),
            Err(errno) => Inside::Failed(errno),
        }
    }
}

/// Opens an entry so that its record and its content are of the same file. Links, devices and
/// pipes are not opened: that could wait for ever, or make a device do something.
fn open_entry(parent: &OwnedFd, name: &Name, patience: &Patience) -> Result<Opened, Errno> {
    let (kind, looked) = match name.kind {
        kind @ (FileType::RegularFile | FileType::Directory) => (kind, None),
        _ => {
            let stat = rustix::fs::statat(parent, &*name.bytes, AtFlags::SYMLINK_NOFOLLOW)?;
            (file_type(&stat), Some(stat))
        }
    };
    let opened = match (kind, looked) {
        (FileType::RegularFile, _) => {
            // NONBLOCK in case a pipe has taken the place of the file since.
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
            open::open(parent, &*name.bytes, flags, patience)
        }
        (FileType::Directory, _) => {
            open_directory(parent, &*name.bytes, OFlags::NOFOLLOW, patience)
        }
        (_, Some(stat)) => return Ok(Opened { stat, file: None, unreadable: None }),
        (_, None) => return Err(Errno::NOTSUP),
    };
    let look_first = || Name { bytes: name.bytes.clone(), kind: FileType::Unknown };
    let file = match (opened, looked) {
        (Ok(file), _) => file,
        // It was waited for long enough.
        (Err(errno @ (Errno::AGAIN | Errno::MFILE | Errno::NFILE)), None) => return Err(errno),
        // The listing may be older than what is there now.
        (Err(_), None) => return open_entry(parent, &look_first(), patience),
        (Err(errno), Some(stat)) if kind == FileType::Directory => {
            return Ok(Opened { stat, file: None, unreadable: Some(errno) });
        }
        (Err(errno), Some(_)) => return Err(errno),
    };
    let stat = rustix::fs::fstat(&file)?;
    match (file_type(&stat) == kind, looked) {
        (true, _) => Ok(Opened { stat, file: Some(file), unreadable: None }),
        (false, None) => open_entry(parent, &look_first(), patience),
        // Replaced between two calls: later is as good as now, but not in this walk.
        (false, Some(_)) => Err(Errno::STALE),
    }
}

/// All that is wanted of a directory that is marked as a cache: the mark.
pub(super) fn names_of_cache() -> Vec<Name> {
    vec![Name { bytes: CACHE_TAG.into(), kind: FileType::Unknown }]
}

/// The names in a directory in the order of their bytes; `None` if they are more than `max`.
pub(super) fn sorted_names(
    tools: &mut Tools,
    directory: &OwnedFd,
    max: usize,
) -> Result<Option<Vec<Name>>, Errno> {
    let mut names = Vec::new();
    let mut listing = RawDir::new(directory, &mut tools.listing);
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        if names.len() == max {
            // So that whoever lists it in its turn begins at its beginning.
            rustix::fs::seek(directory, SeekFrom::Start(0))?;
            return Ok(None);
        }
        names.push(Name { bytes: bytes.into(), kind: entry.file_type() });
    }
    names.sort_unstable_by(|a, b| a.bytes.cmp(&b.bytes));
    Ok(Some(names))
}

/// Whether a file may have holes: it takes less room than its size.
fn is_sparse(stat: &Stat) -> bool {
    stat.st_blocks.saturating_mul(512) < stat.st_size
}

fn kind(parent: &OwnedFd, name: &[u8], stat: &Stat) -> Result<Kind, Errno> {
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(match file_type(stat) {
        FileType::RegularFile => Kind::File { size: u64::try_from(stat.st_size).unwrap_or(0) },
        FileType::Directory => Kind::Directory,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
            Kind::Symlink { target: target.into_bytes() }
        }
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return Err(Errno::NOTSUP),
    })
}
