//! Making a drop of files: a copy of them on the share, which nobody changes any more.
//!
//! The file itself is its owner's, who may write to it, rotate it and remove it whenever he likes, also
//! while the line to the vault is down. So what is shipped is not the file but a drop: from the moment of its
//! seal it is kept until the vault holds it (I1), and it is read, verified, judged and told of like any
//! other. The price is that the share is written once more; what is not compressed is compressed for that.
//!
//! All that is in the drop comes from the files, so that one that is made twice is the same: its times are
//! theirs.

use std::fs::File;
use std::io::{self, Read};

use outlast_fs::{Entry, EntryPath, EntrySource, FileTime, Kind, Metadata, SourceError};
use outlast_types::{Environment, Interrupt, Silent};

use super::find::{Found, Member};
use super::identity::At;
use super::judge::{Candidate, Opened, home, open_member};
use crate::open::{Claims, Content, Source};
use crate::release::remove_data;
use crate::seal::Seal;
use crate::share::Share;
use crate::tar::write_tree;
use crate::writer::{DropWriter, WriteError, WriterOptions};

/// How hard files are compressed that are not compressed yet: as fast as a share takes them.
const LEVEL: i32 = 1;
/// What the seal says of where the content comes from.
const KIND: &str = "adopted";

/// Why files were not taken. There is no drop of them then.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("it was changed while it was read")]
    Changed,
    #[error("the agent ends")]
    Stopped,
    #[error("{0}")]
    Refused(String),
    #[error("it cannot be read now: {0}")]
    Later(String),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Makes a drop of files that were not taken yet, until `stop`.
pub fn copy(
    share: &Share,
    candidate: &Candidate,
    environment: &Environment,
    stop: &Interrupt,
) -> Result<Seal, CopyError> {
    let found = &candidate.found;
    let mut files = open_all(share, found)?;
    let changed = At(candidate.identity.changed);
    let options = WriterOptions {
        compression: (!candidate.is_packed).then_some(LEVEL),
        id: Some(candidate.address().drop),
        ..WriterOptions::default()
    };
    let source = Source {
        kind: KIND.to_owned(),
        position: Some(found.path.to_string()),
        ..Source::default()
    };
    let claims = Claims { source: Some(source), ..Claims::default() };
    let content = content_of(candidate);
    let is_tree = content == Content::Tree;
    let workload = &candidate.workload;
    let mut writer = DropWriter::create(
        share,
        workload,
        content,
        claims,
        options,
        &changed,
        &*environment.random,
    )?;
    let address = writer.address().clone();
    let written = match files.as_mut_slice() {
        [file] if !is_tree => stream(file, found.bytes(), &mut writer, stop),
        _ => tree(found, files, &mut writer, stop),
    };
    // What was looked at before is looked at once more, afresh from the root.
    let written = written.and_then(|()| open_all(share, found).map(drop));
    match written {
        Ok(()) => Ok(writer.seal(&changed)?),
        Err(error) => {
            // The id is ours alone, and nobody has seen a seal: so nothing is to be told, and it can be
            // used again. What cannot be removed is given up as that of any dead writer.
            let _ = writer.fail(None);
            let _ = remove_data(share, &address);
            Err(error)
        }
    }
}

/// What the drop is: one file is a stream of its name. Several are a tree, and so is one whose name can only
/// travel in a tar.
fn content_of(candidate: &Candidate) -> Content {
    let name = candidate.found.path.name();
    let name = std::str::from_utf8(name).ok().filter(|_| candidate.found.members.len() == 1);
    name.and_then(|name| Content::stream(name).ok()).unwrap_or(Content::Tree)
}

/// Opens all files, which must be what they were.
fn open_all(share: &Share, found: &Found) -> Result<Vec<File>, CopyError> {
    let directory = home(share, found).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CopyError::Changed,
        _ => CopyError::Later(error.to_string()),
    })?;
    let open = |index| match open_member(&directory, found, index) {
        Opened::Same(file) => Ok(file),
        Opened::Changed => Err(CopyError::Changed),
        Opened::Refused(reason) => Err(CopyError::Refused(reason)),
        Opened::Later(reason) => Err(CopyError::Later(reason)),
    };
    (0..found.members.len()).map(open).collect()
}

fn stream(
    file: &mut File,
    size: u64,
    writer: &mut DropWriter,
    stop: &Interrupt,
) -> Result<(), CopyError> {
    loop {
        if stop.is_requested() {
            return Err(CopyError::Stopped);
        }
        match file.read(writer.room()) {
            Ok(0) => break,
            Ok(count) => writer.fill(count)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Later(error.to_string())),
        }
        if writer.raw_bytes() > size {
            return Err(CopyError::Changed);
        }
    }
    if writer.raw_bytes() == size { Ok(()) } else { Err(CopyError::Changed) }
}

fn tree(
    found: &Found,
    files: Vec<File>,
    writer: &mut DropWriter,
    stop: &Interrupt,
) -> Result<(), CopyError> {
    let members = found.members.iter().cloned().zip(files).collect::<Vec<_>>();
    let mut files = Files { left: members.into_iter(), current: None, stop };
    let written = write_tree(&mut files, writer, &Silent);
    if stop.is_requested() {
        return Err(CopyError::Stopped);
    }
    match written {
        Ok(summary) if summary.problem_count == 0 => Ok(()),
        // A file that got shorter, or cannot be read: one is seen at the next look, the other told by it.
        Ok(summary) => Err(CopyError::Later(summary.problems.join("; "))),
        Err(error) => Err(CopyError::Later(error.to_string())),
    }
}

/// Open files as a tree in which they lie beside each other.
struct Files<'a> {
    left: std::vec::IntoIter<(Member, File)>,
    current: Option<File>,
    stop: &'a Interrupt,
}

impl EntrySource for Files<'_> {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let Some((member, file)) = self.left.next() else { return Ok(None) };
        self.current = Some(file);
        let (seconds, nanos) = member.facts.modified;
        let metadata = Metadata {
            mode: MODE,
            modified: FileTime { seconds, nanos },
            links: 1,
            ..Metadata::default()
        };
        let shown = outlast_fs::entry::show(&member.name);
        let path = EntryPath::from_names(vec![member.name]).map_err(|error| {
            SourceError::Ended { origin: shown, source: io::Error::other(error) }
        })?;
        Ok(Some(Entry { path, kind: Kind::File { size: member.facts.size }, metadata }))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_requested() {
            return Err(io::Error::other("the agent ends"));
        }
        self.current.as_mut().map_or(Ok(0), |file| file.read(buffer))
    }

    fn comes_back(&self) -> bool {
        false
    }
}

/// The permissions of files in a tree: those of their owner would mean nobody where they are restored.
const MODE: u32 = 0o600;
