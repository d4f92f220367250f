//! Writing a drop: `open.json`, signs of life, segments, and the seal last of all.
//!
//! A writer may be killed between any two lines. The seal is created only after every segment
//! has been written, fsynced, closed, and found on the share with its right size; so whatever a
//! dead writer leaves behind is no drop. Nothing here renames, locks or overwrites.

mod beat;
mod segment;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::{Clock, DropId, Random, WorkloadName};

use crate::layout::{DIRECTORY_MODE, DropAddress, FILE_MODE, OPEN_FILE, SEAL_FILE};
use crate::open::{Claims, Content, OpenRecord};
use crate::receipt::{self, ReceiptState};
use crate::seal::{Compression, SEAL_BYTES_MAX, SEGMENTS_MAX, Seal, Segment};
use crate::share::{Share, ShareError, hint};
use beat::Heart;
use segment::{SegmentWriter, Syncer};

/// How a drop is written.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Bytes on the share after which a new segment begins; at least 1.
    pub segment_bytes: u64,
    /// The zstd level of segments; `None` leaves them plain, which deduplicates and reads best.
    pub compression: Option<i32>,
    /// The time between two signs of life.
    pub beat_interval: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { segment_bytes: 256 << 20, compression: None, beat_interval: Duration::from_secs(20) }
    }
}

/// Why a drop could not be written. Nothing is sealed then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error("cannot {action} {path}: {source}{hint}; nothing was sealed", path = path.display(), hint = hint(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the drop has more than {SEGMENTS_MAX} segments; use larger segments; nothing was sealed"
    )]
    TooManySegments,
    #[error(
        "the seal would be longer than {SEAL_BYTES_MAX} bytes; use larger segments and shorter claims; nothing was sealed"
    )]
    SealTooLong,
    #[error("{path} is not what was written: it has {found} bytes instead of {written}; nothing was sealed; drop again", path = path.display())]
    Tampered { path: PathBuf, written: u64, found: u64 },
    #[error(
        "the agent gave drop {drop} up while it was being written, because it had seen no sign of life for too long; nothing was sealed; drop again"
    )]
    GivenUp { drop: DropId },
    #[error("writing to the drop failed before; nothing was sealed")]
    Broken,
}

impl WriteError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A drop that is being written: takes the content through [`Write`], then
/// [`seal`](DropWriter::seal) or [`fail`](DropWriter::fail). One that is merely dropped leaves
/// what a killed process leaves: an open drop, which the agent tidies up.
#[derive(Debug)]
pub struct DropWriter {
    share: Share,
    address: DropAddress,
    directory: PathBuf,
    open: OpenRecord,
    options: WriterOptions,
    current: Option<SegmentWriter>,
    syncer: Syncer,
    heart: Heart,
    raw_bytes: u64,
    stored_bytes: u64,
    begun: usize,
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
        let now = clock.now();
        let drop = DropId::new(clock, random);
        let address = DropAddress { workload: workload.clone(), day: now.day(), drop };
        let directory = share.drop_directory(&address);
        durable::create_directories(&directory, DIRECTORY_MODE)
            .map_err(WriteError::io("create", &directory))?;
        let claims = Claims { started: claims.started.or(Some(now)), ..claims };
        let workload = workload.clone();
        let open =
            OpenRecord { share: Some(share.id()), drop, workload, content, claims, failed: None };
        let path = directory.join(OPEN_FILE);
        let bytes = open.to_bytes().map_err(WriteError::io("write", &path))?;
        durable::create_new(&path, &bytes, FILE_MODE).map_err(WriteError::io("write", &path))?;
        let heart = Heart::start(directory.clone(), options.beat_interval)
            .map_err(WriteError::io("start the signs of life in", &directory))?;
        let syncer = Syncer::start().map_err(WriteError::io("start writing to", &directory))?;
        let options = WriterOptions { segment_bytes: options.segment_bytes.max(1), ..options };
        Ok(Self {
            share: share.clone(),
            address,
            directory,
            open,
            options,
            current: None,
            syncer,
            heart,
            raw_bytes: 0,
            stored_bytes: 0,
            begun: 0,
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
        self.raw_bytes
    }

    /// Bytes written to the share so far, as far as they are counted.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes + self.current.as_ref().map_or(0, SegmentWriter::stored_bytes)
    }

    /// Makes the drop complete. When this returns, the drop is durable and every reader that
    /// looks afresh sees it.
    pub fn seal(mut self, clock: &dyn Clock) -> Result<Seal, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        if self.begun == 0 {
            self.begin_segment()?;
        }
        self.finish_segment()?;
        self.heart.stop();
        let segments = self.syncer.finish()?;
        assert_eq!(segments.len(), self.begun, "every segment that was begun is in the seal");
        self.check_segments(&segments)?;
        durable::sync_directory(&self.directory)
            .map_err(WriteError::io("sync", &self.directory))?;
        let seal = Seal {
            drop: self.open.drop,
            workload: self.open.workload.clone(),
            content: self.open.content.clone(),
            claims: self.open.claims.clone(),
            sealed: Some(clock.now()),
            compression: self.options.compression.map(|_| Compression::Zstd),
            segments,
        };
        let path = self.directory.join(SEAL_FILE);
        let bytes =
            seal.to_bytes().map_err(|error| WriteError::io("write", &path)(error.into()))?;
        if bytes.len() as u64 > SEAL_BYTES_MAX {
            return Err(WriteError::SealTooLong);
        }
        durable::create_new(&path, &bytes, FILE_MODE).map_err(WriteError::io("write", &path))?;
        self.check_not_given_up().inspect_err(|error| {
            if matches!(error, WriteError::GivenUp { .. }) {
                // No seal may outlast the segments that the agent is removing; it may be quicker.
                let _ = durable::remove_file(&path);
            }
        })?;
        Ok(seal)
    }

    /// Asks whether the agent has given this drop up. Asked after the seal, too: the agent writes
    /// its receipt, then looks for a seal; we write the seal, then look for a receipt. So at least
    /// one of the two sees the other, however long each is held up in between.
    fn check_not_given_up(&self) -> Result<(), WriteError> {
        let (workload, drop) = (&self.address.workload, self.address.drop);
        let receipts = receipt::list(&self.share, workload)?;
        match receipts.get(&drop) {
            Some(states) if states.contains(&ReceiptState::Abandoned) => {
                Err(WriteError::GivenUp { drop })
            }
            _ => Ok(()),
        }
    }

    /// Looks at what was written once more, by name: a share that was mounted over, an agent that
    /// gave this drop up, or a file server that lost a file must not get a seal.
    fn check_segments(&self, segments: &[Segment]) -> Result<(), WriteError> {
        self.share.check()?;
        self.check_not_given_up()?;
        for segment in segments {
            let path = self.directory.join(&segment.name);
            let found = path.symlink_metadata().map_err(WriteError::io("look at", &path))?.len();
            if found != segment.size {
                return Err(WriteError::Tampered { path, written: segment.size, found });
            }
        }
        Ok(())
    }

    /// Gives the drop up: says so in `open.json`, with the exit status of the command that
    /// failed, and frees the space. A courtesy; a drop without a seal is none in any case.
    pub fn fail(mut self, exit_status: Option<i32>) -> Result<(), WriteError> {
        self.heart.stop();
        self.current = None;
        // Its errors do not matter any more.
        let _ = self.syncer.finish();
        self.open.failed = Some(exit_status);
        let path = self.directory.join(OPEN_FILE);
        let bytes = self.open.to_bytes().map_err(WriteError::io("write", &path))?;
        overwrite(&path, &bytes).map_err(WriteError::io("write", &path))?;
        for index in 0..self.begun {
            let path = self.directory.join(crate::layout::segment_name(index));
            durable::remove_file(&path).map_err(WriteError::io("remove", &path))?;
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<&mut SegmentWriter, WriteError> {
        if self.begun >= SEGMENTS_MAX {
            return Err(WriteError::TooManySegments);
        }
        let segment = SegmentWriter::create(&self.directory, self.begun, self.options.compression)?;
        self.begun += 1;
        Ok(self.current.insert(segment))
    }

    fn finish_segment(&mut self) -> Result<(), WriteError> {
        if let Some(segment) = self.current.take() {
            let written = segment.finish()?;
            self.stored_bytes += written.stored_bytes();
            self.syncer.take(written)?;
        }
        Ok(())
    }

    fn write_some(&mut self, buffer: &[u8]) -> Result<usize, WriteError> {
        let limit = self.options.segment_bytes;
        if self.current.as_ref().is_some_and(|segment| segment.is_full(limit)) {
            self.finish_segment()?;
        }
        let segment = match self.current.as_mut() {
            Some(segment) => segment,
            None => self.begin_segment()?,
        };
        let length = segment.write(buffer, limit)?;
        self.raw_bytes += length as u64;
        Ok(length)
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
        self.write_some(buffer).map_err(|error| {
            self.broken = true;
            let kind = match &error {
                WriteError::Io { source, .. } => source.kind(),
                _ => io::ErrorKind::Other,
            };
            io::Error::new(kind, error)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes over an existing file of ours; may leave it torn.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
