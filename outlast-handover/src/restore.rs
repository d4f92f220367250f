//! Getting a dump or a tree out of a directory that a product brought back.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use outlast_drop::SealedDrop;
use outlast_drop::fetch::{FetchOptions, FetchSummary, read_out};
use outlast_drop::tar::{TarLimits, TarSource};
use outlast_fs::place::{PlacedFile, Target};
use outlast_fs::{Entry, EntryPath, EntrySource, FileTime, Kind, Metadata};
use outlast_types::{DropId, Monitor, Timestamp, WorkloadName};

use crate::age::{Decryptor, ENCRYPTION, Identities};
use crate::error::HandoverError;
use crate::manifest::{ContentKind, Manifest, Original, TREE};
use crate::rules::Layout;
use crate::verify::{self, Found};

const BUFFER_BYTES: usize = 1 << 20;
const STREAM_MODE: u32 = 0o644;

/// The drop of a workload that is meant: that one, or the newest. If it lies there more than once, since a product
/// brought back several images that hold it, a copy of which every file is as the manifest says, if there is one.
pub fn choose(
    directory: &Path,
    workload: &WorkloadName,
    drop: Option<DropId>,
    monitor: &dyn Monitor,
) -> Result<Found, HandoverError> {
    let mut copies = verify::search(directory)?.drops;
    copies.retain(|found| {
        found.manifest.workload == *workload && drop.is_none_or(|drop| found.manifest.drop == drop)
    });
    let newest = copies.last().map(|found| found.manifest.drop);
    copies.retain(|found| Some(found.manifest.drop) == newest);
    let last = copies.pop().ok_or_else(|| {
        let what = drop.map_or_else(|| "no drop".to_owned(), |drop| format!("no drop {drop}"));
        let reason = format!("{what} of {workload} lies in {}", directory.display());
        HandoverError::NotOffered { reason }
    })?;
    for found in copies {
        if verify::verify(&found, monitor)?.is_well() {
            return Ok(found);
        }
    }
    Ok(last)
}

/// Reads a drop out into a directory, after each of its files was compared with the manifest.
pub fn restore(
    found: &Found,
    into: &Path,
    options: FetchOptions,
    keys: Option<&Identities>,
    monitor: &dyn Monitor,
) -> Result<FetchSummary, HandoverError> {
    let Found { path, manifest } = found;
    // Better before all of it is read.
    drop(content(found, keys)?);
    monitor.begin("verify", Some(manifest.files.iter().map(|file| file.size).sum()));
    let findings = verify::verify(found, monitor)?;
    if !findings.is_well() {
        let all: Vec<&String> = findings.missing.iter().chain(&findings.changed).collect();
        let reason = format!(
            "{} files of drop {} are missing or changed, {} among them; outlast handover verify names all",
            all.len(),
            manifest.drop,
            all.first().map_or("none", |name| name.as_str())
        );
        return Err(HandoverError::NotOffered { reason });
    }
    match (manifest.layout, manifest.kind) {
        (Layout::Drop, _) => {
            let sealed = SealedDrop::open_copy(path, manifest.share, &manifest.address())?;
            Ok(read_out(&sealed, into, options, monitor)?)
        }
        (Layout::Unpacked, ContentKind::Tree) => files(found, into, options, monitor),
        (Layout::Plain, ContentKind::Tree) => {
            archive(found, content(found, keys)?, into, options, monitor)
        }
        (Layout::Plain | Layout::Unpacked, ContentKind::Stream) => {
            stream(found, content(found, keys)?, into, options, monitor)
        }
    }
}

fn target(into: &Path, options: FetchOptions) -> Result<Target, HandoverError> {
    let target =
        Target::open(into, options.overwrite).map_err(outlast_drop::fetch::FetchError::from)?;
    Ok(target.privileged(options.privileged))
}

fn stream(
    found: &Found,
    content: Box<dyn Read + Send>,
    into: &Path,
    options: FetchOptions,
    monitor: &dyn Monitor,
) -> Result<FetchSummary, HandoverError> {
    let manifest = &found.manifest;
    monitor.begin("fetch", Some(manifest.size));
    let target = target(into, options)?;
    let name = manifest.name.clone().unwrap_or_else(|| "content".to_owned());
    let sealed = manifest.sealed.unwrap_or(Timestamp::EPOCH);
    let metadata = Metadata {
        mode: STREAM_MODE,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        modified: FileTime { seconds: sealed.unix_seconds(), nanos: sealed.nanos() },
        ..Metadata::default()
    };
    let kind = Kind::File { size: manifest.size };
    let entry = Entry { path: entry_path(&name, into)?, kind, metadata };
    let mut summary = FetchSummary::default();
    if let Some(file) = target.place(&entry).map_err(placed)? {
        let mut content = content;
        summary.bytes = copy(&mut |buffer| content.read(buffer), &file, &found.path, monitor)?;
        file.finish().map_err(placed)?;
        summary.files = 1;
    }
    finish(target, summary)
}

fn archive(
    found: &Found,
    content: Box<dyn Read + Send>,
    into: &Path,
    options: FetchOptions,
    monitor: &dyn Monitor,
) -> Result<FetchSummary, HandoverError> {
    monitor.begin("fetch", Some(found.manifest.size));
    let target = target(into, options)?;
    let mut summary = FetchSummary::default();
    let mut source = TarSource::new(content, TarLimits::default());
    let broken = |error: &dyn ToString| HandoverError::Form {
        path: found.path.clone(),
        reason: error.to_string(),
    };
    while let Some(entry) = source.next_entry().map_err(|error| broken(&error))? {
        monitor.item(&entry.path.to_string());
        let Some(file) = target.place(&entry).map_err(placed)? else { continue };
        let bytes = copy(&mut |buffer| source.read(buffer), &file, &found.path, monitor)?;
        file.set_length(bytes).map_err(placed)?;
        file.finish().map_err(placed)?;
        summary.files += 1;
        summary.bytes += bytes;
    }
    finish(target, summary)
}

/// The files of a tree, with the times, owners and permissions that they had.
fn files(
    found: &Found,
    into: &Path,
    options: FetchOptions,
    monitor: &dyn Monitor,
) -> Result<FetchSummary, HandoverError> {
    let manifest = &found.manifest;
    monitor.begin("fetch", Some(manifest.size));
    let target = target(into, options)?;
    let mut summary = FetchSummary::default();
    for other in &manifest.others {
        let Some(path) = below_tree(&other.path) else { continue };
        let kind = match &other.target {
            Some(to) => Kind::Symlink { target: to.clone().into_bytes() },
            None => Kind::Directory,
        };
        let metadata = metadata(&other.original);
        let entry = Entry { path: entry_path(&path, into)?, kind, metadata };
        target.place(&entry).map_err(placed)?;
    }
    for file in &manifest.files {
        let Some(path) = below_tree(&file.path) else { continue };
        monitor.item(&path);
        let metadata = file.original.as_ref().map(metadata).unwrap_or_default();
        let entry = Entry {
            path: entry_path(&path, into)?,
            kind: Kind::File { size: file.size },
            metadata,
        };
        let Some(placed_file) = target.place(&entry).map_err(placed)? else { continue };
        let from = found.path.join(&file.path);
        let mut content = File::open(&from).map_err(HandoverError::io("open", &from))?;
        summary.bytes += copy(&mut |buffer| content.read(buffer), &placed_file, &from, monitor)?;
        placed_file.finish().map_err(placed)?;
        summary.files += 1;
    }
    finish(target, summary)
}

/// The path of an entry in its tree.
pub(crate) fn below_tree(path: &str) -> Option<String> {
    path.strip_prefix(TREE).and_then(|path| path.strip_prefix('/')).map(str::to_owned)
}

pub(crate) fn metadata(original: &Original) -> Metadata {
    let Original { mode, uid, gid, modified } = *original;
    let modified = FileTime { seconds: modified.0, nanos: modified.1 };
    Metadata { mode, uid, gid, modified, ..Metadata::default() }
}

pub(crate) fn entry_path(name: &str, into: &Path) -> Result<EntryPath, HandoverError> {
    EntryPath::parse(name.as_bytes())
        .map_err(|error| HandoverError::Form { path: into.join(name), reason: error.to_string() })
}

fn finish(target: Target, mut summary: FetchSummary) -> Result<FetchSummary, HandoverError> {
    let report = target.finish().map_err(placed)?;
    summary.problems.extend(report.problems.iter().map(ToString::to_string));
    (summary.withheld, summary.copied) = (report.withheld, report.copied);
    Ok(summary)
}

fn placed(error: outlast_fs::place::PlaceError) -> HandoverError {
    outlast_drop::fetch::FetchError::from(error).into()
}

fn copy(
    read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    file: &PlacedFile,
    from: &Path,
    monitor: &dyn Monitor,
) -> Result<u64, HandoverError> {
    let (mut buffer, mut at) = (vec![0; BUFFER_BYTES], 0);
    loop {
        let length = match read(&mut buffer) {
            Ok(0) => return Ok(at),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HandoverError::io("read", from)(error)),
        };
        file.write_at(at, &buffer[..length]).map_err(placed)?;
        at += length as u64;
        monitor.advance(length as u64);
    }
}

/// The content of a drop that lies as one file, or in parts.
pub(crate) fn content(
    found: &Found,
    keys: Option<&Identities>,
) -> Result<Box<dyn Read + Send>, HandoverError> {
    let Manifest { files, encryption, .. } = &found.manifest;
    let paths = files.iter().map(|file| found.path.join(&file.path)).rev().collect();
    let parts = Parts { left: paths, open: None };
    let Some(encryption) = encryption else { return unpacked(Box::new(parts), found) };
    let Some(keys) = keys.filter(|_| encryption == ENCRYPTION) else {
        let drop = found.manifest.drop;
        let reason = format!(
            "drop {drop} is encrypted with {encryption}: say with --age-identity FILE where the key is \
             that reads it"
        );
        return Err(HandoverError::NotOffered { reason });
    };
    let opened = Decryptor::new(parts, keys).map_err(HandoverError::io("decrypt", &found.path))?;
    unpacked(Box::new(opened), found)
}

/// The content behind its compression, if it stayed compressed.
fn unpacked(
    content: Box<dyn Read + Send>,
    found: &Found,
) -> Result<Box<dyn Read + Send>, HandoverError> {
    let Manifest { layout, compression, drop, .. } = &found.manifest;
    match compression.as_deref().filter(|_| *layout == Layout::Plain) {
        None => Ok(content),
        Some("zstd") => {
            let decoder = zstd::stream::read::Decoder::new(content);
            Ok(Box::new(decoder.map_err(HandoverError::io("read", &found.path))?))
        }
        Some(other) => {
            let reason =
                format!("drop {drop} is compressed by {other:?}, which nobody here can read");
            Err(HandoverError::NotOffered { reason })
        }
    }
}

/// Files as one.
struct Parts {
    left: Vec<PathBuf>,
    open: Option<File>,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.open {
                match file.read(buffer)? {
                    0 => self.open = None,
                    length => return Ok(length),
                }
            }
            match self.left.pop() {
                Some(path) => self.open = Some(File::open(path)?),
                None => return Ok(0),
            }
        }
    }
}
