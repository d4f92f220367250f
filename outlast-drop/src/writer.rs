//! Writing a drop: `open.json`, signs of life, segments, and the seal last of all.
//!
//! A writer may be killed between any two lines. The seal is created only after every segment
//! has been written, fsynced, closed, and found on the share with its right size; so whatever a
//! dead writer leaves behind is no drop. Nothing here renames, locks or overwrites.

mod beat;
mod blocks;
mod error;
mod lanes;
mod pipeline;
mod segment;

use std::collections::BTreeSet;
use std::convert::identity;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use outlast_types::{Clock, DropId, Random, RejectionCode, WorkloadName};

use crate::bell;
use crate::files::{Access, Directory, NAMES_MAX};
use crate::layout::{DropAddress, OPEN_FILE, SEAL_FILE};
use crate::notice::{self, NoticeLevel};
use crate::open::{Claims, Content, Gaps, OpenRecord, Source};
use crate::receipt::{self, ReceiptState};
use crate::seal::{Compression, SEAL_BYTES_MAX, Seal, Segment};
use crate::sealing::{Chunks, SealedTo, Sealing};
use crate::share::{Share, ShareError};
pub use error::WriteError;

use beat::Heart;
use pipeline::{Form, Pipeline};

/// How a drop is written.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Bytes on the share after which a new segment begins; at least 1.
    pub segment_bytes: u64,
    /// The zstd level of segments; `None` leaves them plain, which deduplicates and reads best.
    pub compression: Option<i32>,
    /// The time between two signs of life.
    pub beat_interval: Duration,
    /// The drop's id where others know it already, by a [`lease`](crate::lease); a fresh one in any case.
    pub id: Option<DropId>,
    /// The key that encrypts the content, for the only reader who can open it.
    pub sealing: Option<Sealing>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        let (compression, id, sealing) = Default::default();
        let beat_interval = BEAT_INTERVAL;
        Self { segment_bytes: 256 << 20, compression, beat_interval, id, sealing }
    }
}

/// The time between two signs of life that the protocol asks for.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(20);

/// A drop that is being written: takes the content through [`Write`], or without a copy through
/// [`room`](DropWriter::room), then [`seal`](DropWriter::seal) or [`fail`](DropWriter::fail). One
/// that is merely dropped leaves what a killed process leaves: an open drop, which the agent
/// tidies up.
///
/// The content is compressed, written, hashed and synced on threads of their own. So an error may
/// be told by a later call than the one that gave the content; [`flush`](Write::flush) waits until
/// all of it is written.
#[derive(Debug)]
pub struct DropWriter {
    share: Share,
    address: DropAddress,
    directory: Arc<Directory>,
    access: Access,
    open: OpenRecord,
    compression: Option<Compression>,
    sealed_to: Option<SealedTo>,
    pipeline: Pipeline,
    heart: Heart,
    broken: bool,
}

impl DropWriter {
    /// Begins a drop of `workload` on `share`.
    pub fn create(
        share: &Share,
        workload: &WorkloadName,
        content: Content,
        claims: Claims,
        options: WriterOptions,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, WriteError> {
        share.check()?;
        check_room(share, workload, random)?;
        let now = clock.now();
        let drop = options.id.unwrap_or_else(|| DropId::new(clock, random));
        let day = drop.claimed_time().day();
        let address = DropAddress { workload: workload.clone(), day, drop };
        let path = share.drop_directory(&address);
        let (directory, access) = share
            .make_workload(workload)
            .map_err(WriteError::creating(&path))
            .and_then(|workload| {
                make_directory(&workload, &address).map_err(WriteError::io("create", &path))
            })?;
        let claims = Claims { started: claims.started.or(Some(now)), ..claims };
        let workload = workload.clone();
        let open =
            OpenRecord { share: Some(share.id()), drop, workload, content, claims, failed: None };
        write_open(&directory, access, &open)?;
        bell::ring(share, &open.workload);
        let directory = Arc::new(directory);
        let heart = Heart::start(Arc::clone(&directory), access, options.beat_interval)
            .map_err(WriteError::io("start the signs of life in", &path))?;
        let chunks = options.sealing.as_ref().map(|sealing| Chunks::new(&sealing.key));
        let form = Form {
            segment_bytes: options.segment_bytes.max(1),
            compression: options.compression,
            chunks: chunks.transpose().map_err(WriteError::io("encrypt", &path))?.map(Arc::new),
        };
        let pipeline = Pipeline::start(&directory, access, form)
            .map_err(WriteError::io("start writing to", &path))?;
        Ok(Self {
            share: share.clone(),
            address,
            directory,
            access,
            open,
            compression: options.compression.map(|_| Compression::Zstd),
            sealed_to: options.sealing.map(|sealing| sealing.sealed_to),
            pipeline,
            heart,
            broken: false,
        })
    }

    /// Where the drop lives.
    pub fn address(&self) -> &DropAddress {
        &self.address
    }

    /// The id of the drop.
    pub fn drop_id(&self) -> DropId {
        self.address.drop
    }

    /// Bytes of content taken.
    pub fn raw_bytes(&self) -> u64 {
        self.pipeline.raw_bytes()
    }

    /// Bytes written to the share so far.
    pub fn stored_bytes(&self) -> u64 {
        self.pipeline.counts().stored_bytes()
    }

    /// Room for content, at least for one byte, with anything in it: whoever reads it from
    /// elsewhere reads it right here, and [`fill`](DropWriter::fill)s it.
    pub fn room(&mut self) -> &mut [u8] {
        self.pipeline.room()
    }

    /// Takes the first `length` bytes of the [`room`](DropWriter::room) as content.
    pub fn fill(&mut self, length: usize) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        self.pipeline.fill(length).inspect_err(|_| self.broken = true)
    }

    /// Records in the seal what the drop lacks.
    pub fn note_gaps(&mut self, gaps: Option<Gaps>) {
        self.open.claims.gaps = gaps;
    }

    /// Records in the seal what the content was taken from, where more is known than at the
    /// beginning.
    pub fn note_source(&mut self, source: Option<Source>) {
        self.open.claims.source = source;
    }

    /// Makes the drop complete. When this returns, the drop is durable and every reader that
    /// looks afresh sees it.
    pub fn seal(mut self, clock: &dyn Clock) -> Result<Seal, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let segments = self.pipeline.finish()?;
        let begun = self.pipeline.counts().begun();
        assert_eq!(segments.len(), begun, "every segment that was begun is in the seal");
        // Until here the share may have been slow, and nothing but the beats tells us from the
        // dead; from here on nothing but the seal may appear.
        self.heart.stop();
        let directory = self.look_again(&segments)?;
        let seal = Seal {
            drop: self.open.drop,
            workload: self.open.workload.clone(),
            content: self.open.content.clone(),
            claims: self.open.claims.clone(),
            sealed: Some(clock.now()),
            compression: self.compression,
            sealed_to: self.sealed_to.clone(),
            segments,
        };
        let path = directory.path_of(SEAL_FILE.as_bytes());
        let bytes =
            seal.to_bytes().map_err(|error| WriteError::io("write", &path)(error.into()))?;
        if bytes.len() as u64 > SEAL_BYTES_MAX {
            return Err(WriteError::SealTooLong);
        }
        directory
            .create_own(SEAL_FILE, &bytes, self.access)
            .map_err(|error| self.not_sealed(&directory, error))?;
        self.check_not_given_up()
            .and_then(|()| self.check_still_there(&directory))
            .map_err(|error| self.sealed_in_vain(&directory, error))?;
        bell::ring(&self.share, &self.address.workload);
        Ok(seal)
    }

    /// Opens the seal and the first segment once more. An agent that gives a drop up takes the name of the
    /// seal before it removes the first segment, and frees it after the last. So whoever got the name and
    /// has the first segment has all, and always will; and to open a file, a client has to ask its server.
    fn check_still_there(&self, directory: &Directory) -> Result<(), WriteError> {
        let drop = self.address.drop;
        for name in [SEAL_FILE.to_owned(), crate::layout::segment_name(0)] {
            let path = directory.path_of(name.as_bytes());
            let source = match directory.file(name.as_bytes()) {
                Ok(_) => continue,
                Err(error) => error,
            };
            let has_gone =
                matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput);
            let workload = &self.address.workload;
            return match receipt::read(&self.share, workload, drop, ReceiptState::Released) {
                // A quick agent: the vault has it already.
                Ok(Some(_)) if has_gone => Ok(()),
                // By a server that crashed, and not by an agent: that keeps away from a seal.
                _ if name == SEAL_FILE || !has_gone => Err(WriteError::Unsure { path, source }),
                _ => Err(WriteError::GivenUp { drop }),
            };
        }
        Ok(())
    }

    /// Why a drop that has its seal does not count as sealed.
    fn sealed_in_vain(&self, directory: &Directory, error: WriteError) -> WriteError {
        match error {
            WriteError::GivenUp { .. } => {
                // No seal may outlast the segments that the agent is removing; it may be quicker.
                let _ = directory.remove_file(SEAL_FILE.as_bytes());
                let _ = directory.sync();
                error
            }
            WriteError::Share(ShareError::Io { path, source, .. }) => {
                WriteError::Unsure { path, source }
            }
            error => error,
        }
    }

    /// Why there is no seal, as far as that can be known. A seal that may be whole, although that could
    /// not be made sure of, goes again.
    fn not_sealed(&self, directory: &Directory, source: io::Error) -> WriteError {
        let path = directory.path_of(SEAL_FILE.as_bytes());
        if source.kind() == io::ErrorKind::AlreadyExists {
            // Nobody makes a seal here but we, and nobody but the agent keeps us from it.
            return match self.check_not_given_up() {
                Ok(()) => WriteError::Io { action: "write", path, source },
                Err(error) => error,
            };
        }
        match directory.remove_file(SEAL_FILE.as_bytes()).and_then(|()| directory.sync()) {
            Ok(()) => WriteError::Io { action: "write", path, source },
            Err(_) => WriteError::Unsure { path, source },
        }
    }

    /// Asks whether the agent has given this drop up. Asked after the seal, too: the agent writes
    /// its receipt, then looks for a seal; we write the seal, then look for a receipt. So at least
    /// one of the two sees the other, however long each is held up in between.
    fn check_not_given_up(&self) -> Result<(), WriteError> {
        let (workload, drop) = (&self.address.workload, self.address.drop);
        let wanted = BTreeSet::from([drop]);
        let receipts = receipt::find(&self.share, workload, &wanted, NAMES_MAX)?;
        let states = receipts.states.get(&drop);
        let is = |state| states.is_some_and(|states| states.contains(&state));
        let is_given_up = if is(ReceiptState::Rejected) {
            // Held up in the middle of its seal, it was taken for dead.
            let rejected = receipt::read(&self.share, workload, drop, ReceiptState::Rejected);
            let code = rejected.ok().flatten().and_then(|it| it.receipt().code.clone());
            code == Some(RejectionCode::TornSeal)
        } else {
            is(ReceiptState::Abandoned)
        };
        if is_given_up { Err(WriteError::GivenUp { drop }) } else { Ok(()) }
    }

    /// Looks at what was written once more, from the root of the share: one that was mounted over,
    /// an agent that gave this drop up, or a file server that lost a file must not get a seal.
    fn look_again(&self, segments: &[Segment]) -> Result<Directory, WriteError> {
        let root = self.share.root_to_change()?;
        self.check_not_given_up()?;
        let directory = root
            .descend(&self.address.components())
            .map_err(WriteError::io("open", self.directory.path()))?;
        // Before the look: what a server that crashed in between has lost must not be seen.
        directory.sync().map_err(WriteError::io("sync", directory.path()))?;
        for segment in segments {
            let path = directory.path_of(segment.name.as_bytes());
            let facts = directory
                .facts(segment.name.as_bytes())
                .map_err(WriteError::io("look at", &path))?;
            if facts.size != segment.size {
                let (written, found) = (segment.size, facts.size);
                return Err(WriteError::Tampered { path, written, found });
            }
        }
        Ok(directory)
    }

    /// Gives the drop up: says so in `open.json`, with the exit status of the command that
    /// failed, and frees the space. A courtesy; a drop without a seal is none in any case.
    pub fn fail(mut self, exit_status: Option<i32>) -> Result<(), WriteError> {
        self.heart.stop();
        // What became of the content does not matter any more.
        self.pipeline.stop();
        self.open.failed = Some(exit_status);
        // Not written over, because a link could stand in its place. Nothing depends on it.
        let path = |name: &str| self.directory.path_of(name.as_bytes());
        let remove = |name: &str| {
            let removed = self.directory.remove_file(name.as_bytes());
            removed.map_err(WriteError::io("remove", &path(name)))
        };
        remove(OPEN_FILE)?;
        write_open(&self.directory, self.access, &self.open)?;
        for index in 0..self.pipeline.counts().begun() {
            remove(&crate::layout::segment_name(index))?;
        }
        self.directory.sync().map_err(WriteError::io("sync", self.directory.path()))
    }
}

impl Write for DropWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.broken {
            return Err(io::Error::other(WriteError::Broken));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let room = self.pipeline.room();
        let length = buffer.len().min(room.len());
        room[..length].copy_from_slice(&buffer[..length]);
        self.fill(length).map_err(as_io)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other(WriteError::Broken));
        }
        self.pipeline.flush().inspect_err(|_| self.broken = true).map_err(as_io)
    }
}

fn as_io(error: WriteError) -> io::Error {
    let kind = match &error {
        WriteError::Io { source, .. } => source.kind(),
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Whether the agent says that there is room for another drop.
fn check_room(
    share: &Share,
    workload: &WorkloadName,
    random: &dyn Random,
) -> Result<(), WriteError> {
    match notice::in_force(share, workload, random) {
        Some(notice) if notice.level == NoticeLevel::Refuse => {
            Err(WriteError::NoRoom { notice: Box::new(notice) })
        }
        _ => Ok(()),
    }
}

/// How often a day that is closed while a drop is made in it is made anew.
const CLOSED_MAX: usize = 3;

/// Makes the directory of a drop, and those between it and its workload that are missing. With
/// what is to be made in it. The agent may close an old day at this moment, which is this one if our
/// clock is off.
fn make_directory(workload: &Directory, address: &DropAddress) -> io::Result<(Directory, Access)> {
    let mut attempts = 0;
    loop {
        match make_directories(workload, address) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < CLOSED_MAX => {
                attempts += 1;
            }
            made => return made,
        }
    }
}

fn make_directories(
    workload: &Directory,
    address: &DropAddress,
) -> io::Result<(Directory, Access)> {
    let [_, _, drops, day, drop] = address.components();
    let directory = workload.make_directories(&[&drops, &day, &drop], identity)?;
    let access = directory.access()?;
    Ok((directory, access))
}

fn write_open(
    directory: &Directory,
    access: Access,
    record: &OpenRecord,
) -> Result<(), WriteError> {
    let path = directory.path_of(OPEN_FILE.as_bytes());
    let bytes = record.to_bytes().map_err(WriteError::io("write", &path))?;
    directory.create_own(OPEN_FILE, &bytes, access).map_err(WriteError::io("write", &path))
}
