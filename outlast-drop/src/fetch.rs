//! Bringing a drop that is still on the share back to an instance.

mod choice;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use outlast_fs::place::{Deviation, PlaceError, PlacedFile, Target};
use outlast_fs::{Entry, EntryPath, EntrySource, FileTime, Kind, Metadata, SourceError};
use outlast_types::{DropId, Monitor, Timestamp, WorkloadName};

use crate::files::Directory;
use crate::layout::DropAddress;
use crate::open::Content;
use crate::reader::{DropReadError, ReadOptions, SealedDrop};
use crate::rejection::Rejection;
use crate::share::ShareError;
use crate::tar::{TarLimits, TarSource};

pub use choice::{Found, Wanted, find};

const BUFFER_BYTES: usize = 1 << 20;
/// The name of a stream's file until all of it is proven.
const PARTIAL_NAME: &[u8] = b".outlast-partial";
const STREAM_MODE: u32 = 0o644;

/// How a drop is read out.
#[derive(Debug, Clone, Copy, Default)]
pub struct FetchOptions {
    /// Write into a directory that is not empty; entries of the same name are replaced.
    pub overwrite: bool,
    /// Make also what would give rights on this host, such as setuid permissions and devices; see
    /// [`Target`].
    pub privileged: bool,
}

/// The content that was read out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchSummary {
    pub files: u64,
    pub bytes: u64,
    /// Entries that would give rights on this host, and were not made.
    pub withheld: Vec<Deviation>,
    /// Further names of files that are copies, because the file system takes no more links.
    pub copied: Vec<Deviation>,
    /// Attributes that could not be set without stopping the work, such as owners when not root.
    pub problems: Vec<String>,
}

/// Why a drop could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the share holds no sealed drop of {workload} that was asked for")]
    NotYet { workload: WorkloadName },
    #[error(
        "all drops of {workload} that the share holds and that were asked for are suspect, which the vault \
         keeps and does not take for recovery points; the newest of them is {drop}"
    )]
    OnlySuspect { workload: WorkloadName, drop: DropId },
    /// Something that may be the drop that was asked for, or hide it.
    #[error(transparent)]
    Unreadable(DropReadError),
    #[error("drop {drop} cannot be used: {source}")]
    Drop { drop: DropId, source: Rejection },
    /// One id, two drops: one of them is not what its writer wrote.
    #[error(
        "there are two drops with this id, {} and {}, and no receipt tells which one is meant; ask \
         whoever runs the share", of[0], of[1]
    )]
    Ambiguous { of: Box<[DropAddress; 2]> },
    #[error("cannot read the tree of drop {drop}: {source}")]
    Tree { drop: DropId, source: SourceError },
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("cannot write to {path}: {reason}", path = path.display())]
    Target { path: PathBuf, reason: String },
}

/// Reads a drop out into the directory `into`: a stream becomes one file with its name, a tree
/// becomes the tree. A drop that is not as it was sealed leaves nothing behind: a tree is proven
/// in a first reading and placed in a second one.
pub fn read_out(
    sealed: &SealedDrop,
    into: &Path,
    options: FetchOptions,
    monitor: &dyn Monitor,
) -> Result<FetchSummary, FetchError> {
    let total = sealed.seal().raw_bytes();
    match &sealed.seal().content {
        Content::Stream { name } => {
            monitor.begin("fetch", Some(total));
            read_stream(sealed, name, into, options, monitor)
        }
        Content::Tree => {
            monitor.begin("verify", Some(total));
            each_entry(sealed, |_, source| drain(sealed, source, monitor).map(|_| ()))?;
            monitor.begin("fetch", Some(total));
            read_tree(sealed, into, options, monitor)
        }
    }
}

fn read_stream(
    sealed: &SealedDrop,
    name: &str,
    into: &Path,
    options: FetchOptions,
    monitor: &dyn Monitor,
) -> Result<FetchSummary, FetchError> {
    let unusable = |reason: &dyn ToString| FetchError::Target {
        path: into.to_owned(),
        reason: reason.to_string(),
    };
    let path = |name: &[u8]| EntryPath::from_names(vec![name.to_vec()]).map_err(|e| unusable(&e));
    let (partial, whole) = (path(PARTIAL_NAME)?, path(name.as_bytes())?);
    let target = Target::open(into, options.overwrite)?;
    // The time is the writer's claim, as it is with every file in an archive.
    let sealed_at = sealed.seal().sealed.unwrap_or(Timestamp::EPOCH);
    let metadata = Metadata {
        mode: STREAM_MODE,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        modified: FileTime { seconds: sealed_at.unix_seconds(), nanos: sealed_at.nanos() },
        ..Metadata::default()
    };
    let entry = Entry {
        path: partial.clone(),
        kind: Kind::File { size: sealed.seal().raw_bytes() },
        metadata,
    };
    let file = target.place(&entry)?.ok_or_else(|| unusable(&"no file was made"))?;
    let mut content = sealed.content(ReadOptions::default());
    let copied = copy(&mut |buffer| content.read(buffer), &file, monitor);
    let bytes = match copied {
        Ok(bytes) => bytes,
        Err(CopyError::Place(error)) => return Err(error.into()),
        Err(CopyError::Read(error)) => {
            drop(file);
            // What is not proven does not stay under any name; if this fails, under none that
            // anybody takes for the stream.
            let _ = Directory::open(into).and_then(|into| into.remove_file(PARTIAL_NAME));
            return Err(read_error(sealed, &error));
        }
    };
    file.finish()?;
    target.rename(&partial, &whole)?;
    let problems = target.finish()?.problems.iter().map(ToString::to_string).collect();
    Ok(FetchSummary { files: 1, bytes, problems, ..FetchSummary::default() })
}

fn read_tree(
    sealed: &SealedDrop,
    into: &Path,
    options: FetchOptions,
    monitor: &dyn Monitor,
) -> Result<FetchSummary, FetchError> {
    let target = Target::open(into, options.overwrite)?.privileged(options.privileged);
    let mut summary = FetchSummary::default();
    each_entry(sealed, |entry, source| {
        monitor.item(&entry.path.to_string());
        let placed = match target.place(entry) {
            Ok(placed) => placed,
            Err(error) => {
                monitor.problem(&error.to_string());
                summary.problems.push(error.to_string());
                return drain(sealed, source, monitor).map(|_| ());
            }
        };
        let Some(file) = placed else { return Ok(()) };
        let bytes = match copy(&mut |buffer| source.read(buffer), &file, monitor) {
            Ok(bytes) => bytes,
            Err(CopyError::Place(error)) => return Err(error.into()),
            Err(CopyError::Read(error)) => return Err(read_error(sealed, &error)),
        };
        file.set_length(bytes)?;
        file.finish()?;
        summary.files += 1;
        summary.bytes += bytes;
        Ok(())
    })?;
    let report = target.finish()?;
    summary.problems.extend(report.problems.iter().map(ToString::to_string));
    (summary.withheld, summary.copied) = (report.withheld, report.copied);
    Ok(summary)
}

/// Hands every entry of a tree to `visit`, which may read its content.
fn each_entry(
    sealed: &SealedDrop,
    mut visit: impl FnMut(&Entry, &mut dyn EntrySource) -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    let content = sealed.content(ReadOptions::default());
    let mut source = TarSource::new(content, TarLimits::default());
    let tree_error = |source| match source {
        SourceError::Ended { source, .. } if DropReadError::of(&source).is_some() => {
            read_error(sealed, &source)
        }
        source => FetchError::Tree { drop: sealed.seal().drop, source },
    };
    while let Some(entry) = source.next_entry().map_err(tree_error)? {
        visit(&entry, &mut source)?;
    }
    Ok(())
}

/// Reads the rest of an entry's content for its proof alone.
fn drain(
    sealed: &SealedDrop,
    source: &mut dyn EntrySource,
    monitor: &dyn Monitor,
) -> Result<u64, FetchError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(length) => {
                bytes += length as u64;
                monitor.advance(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read_error(sealed, &error)),
        }
    }
}

enum CopyError {
    Read(io::Error),
    Place(PlaceError),
}

fn copy(
    read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    file: &PlacedFile,
    monitor: &dyn Monitor,
) -> Result<u64, CopyError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    loop {
        let length = match read(&mut buffer) {
            Ok(0) => return Ok(at),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        file.write_at(at, &buffer[..length]).map_err(CopyError::Place)?;
        at += length as u64;
        monitor.advance(length as u64);
    }
}

fn read_error(sealed: &SealedDrop, error: &io::Error) -> FetchError {
    let drop = sealed.seal().drop;
    let source = DropReadError::of(error).cloned().unwrap_or_else(|| DropReadError::Later {
        path: sealed.directory().path().to_owned(),
        reason: error.to_string(),
    });
    unusable(drop, source)
}

/// Tells a bad drop from a share that answers badly.
fn unusable(drop: DropId, error: DropReadError) -> FetchError {
    match error {
        DropReadError::Refused(source) => FetchError::Drop { drop, source },
        later @ DropReadError::Later { .. } => FetchError::Unreadable(later),
    }
}
