//! The first stage: reads content, once, into blocks, and tells the assembler what it read.
//!
//! Large files fill blocks one after the other; small files share blocks, and what is said about
//! them shares messages, so that a tree of many small files costs a few messages per block and not
//! per file.

use std::io;

use crossbeam_channel::Sender;
use outlast_format::chunker::{Gear, WINDOW};
use outlast_fs::{Entry, EntryPath, EntrySource, Kind, Metadata, SourceError};

use super::block::{Block, Event, FileNumber, ReadEvent, Segment};
use super::context::Context;
use super::engine::Buffer;
use super::feed::{Fed, Feed};
use super::options::StreamInput;
use super::stop::Halt;
use crate::RepoError;

/// The most pieces of files in one block.
const SEGMENTS_MAX: usize = 4096;

/// The most things that the assembler is told at once: an entry may take some hundred bytes.
const EVENTS_MAX: usize = 256;

pub(super) struct Reader<'a> {
    context: &'a Context<'a>,
    blocks: Sender<Block>,
    events: Sender<Event>,
    /// The length of chunks that a hole may be told in, see [`Feed`].
    unit: Option<u64>,
    /// Events that the assembler was not told yet.
    untold: Vec<ReadEvent>,
    files: FileNumber,
    number: u64,
    block: Option<Filling>,
    /// The end of the current file's content in blocks that are gone.
    tail: Vec<u8>,
}

/// A block being filled.
struct Filling {
    buffer: Buffer,
    filled: usize,
    before: Vec<u8>,
    segments: Vec<Segment>,
}

/// Why a file was not read to its end.
enum FileFailure {
    Read(io::Error),
    Halt(Halt),
}

impl From<Halt> for FileFailure {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        context: &'a Context<'a>,
        gear: &Gear,
        blocks: Sender<Block>,
        events: Sender<Event>,
    ) -> Self {
        let (block, tail) = (None, Vec::with_capacity(2 * WINDOW));
        let untold = Vec::new();
        let mut cuts = Vec::new();
        gear.scan(&[0; WINDOW], &[0; WINDOW], WINDOW as u64, &mut cuts);
        let unit = cuts.is_empty().then_some(context.chunking.max.into());
        Self { context, blocks, events, unit, untold, files: 0, number: 0, block, tail }
    }

    /// Reads one stream, which becomes the only file. Its failure is everybody's: half a dump is
    /// no backup.
    pub(super) fn stream(mut self, path: EntryPath, input: StreamInput<'_>) -> Result<(), Halt> {
        let shown = path.to_string();
        let metadata =
            Metadata { mode: input.mode, modified: input.modified, ..Metadata::default() };
        let entry = Entry { path, kind: Kind::File { size: 0 }, metadata };
        let file = self.announce(entry)?;
        let mut reader = input.reader;
        match self.file(file, |buffer| reader.read(buffer).map(Fed::Bytes)) {
            Ok(()) => self.finish(),
            Err(FileFailure::Halt(halt)) => Err(halt),
            Err(FileFailure::Read(source)) => Err(RepoError::Input { name: shown, source }.into()),
        }
    }

    /// Reads a tree. Entries that cannot be read become problems.
    pub(super) fn tree(mut self, mut source: Box<dyn EntrySource + '_>) -> Result<(), Halt> {
        loop {
            match source.next_entry() {
                Ok(None) => return self.finish(),
                Ok(Some(entry)) => match entry.kind {
                    Kind::File { size } => self.content(entry, size, &mut *source)?,
                    _ => self.tell(ReadEvent::Entry { entry: Box::new(entry), file: None })?,
                },
                Err(error @ SourceError::Entry { .. }) => {
                    self.tell(ReadEvent::Problem(error.to_string()))?;
                }
                Err(error @ SourceError::Ended { .. }) => {
                    return Err(RepoError::Source(error).into());
                }
            }
        }
    }

    fn content(
        &mut self,
        entry: Entry,
        size: u64,
        source: &mut dyn EntrySource,
    ) -> Result<(), Halt> {
        let shown = entry.path.to_string();
        self.context.monitor.item(&shown);
        let file = self.announce(entry)?;
        let mut feed = Feed::new(source, size, self.unit);
        match self.file(file, |buffer| feed.read(buffer)) {
            Ok(()) => Ok(()),
            Err(FileFailure::Halt(halt)) => Err(halt),
            Err(FileFailure::Read(error)) => {
                let reason = format!("cannot read {shown}: {error}");
                self.tell(ReadEvent::FileFailed { file, reason })
            }
        }
    }

    fn announce(&mut self, entry: Entry) -> Result<FileNumber, Halt> {
        let file = self.files;
        self.files += 1;
        self.tell(ReadEvent::Entry { entry: Box::new(entry), file: Some(file) })?;
        Ok(file)
    }

    fn tell(&mut self, event: ReadEvent) -> Result<(), Halt> {
        self.untold.push(event);
        if self.untold.len() >= EVENTS_MAX { self.tell_all() } else { Ok(()) }
    }

    fn tell_all(&mut self) -> Result<(), Halt> {
        if self.untold.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.untold);
        self.context.stop.send(&self.events, Event::Read(events))
    }

    fn file(
        &mut self,
        file: FileNumber,
        mut read: impl FnMut(&mut [u8]) -> io::Result<Fed>,
    ) -> Result<(), FileFailure> {
        self.tail.clear();
        let unit = self.unit.unwrap_or(0);
        // Bytes that went into blocks, and of all others.
        let (mut position, mut left_out) = (0, 0);
        loop {
            let block = self.block()?;
            let start = block.filled;
            let mut omitted = 0;
            let ended = loop {
                match read(&mut block.buffer.content[block.filled..]) {
                    Ok(Fed::Bytes(0)) => break true,
                    Ok(Fed::Bytes(n)) => block.filled += n,
                    Ok(Fed::Omitted(chunks)) => {
                        omitted = chunks;
                        break false;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        block.filled = start;
                        return Err(FileFailure::Read(error));
                    }
                }
                if block.filled == block.buffer.content.len() {
                    break false;
                }
            };
            let range = start..block.filled;
            let (length, zeroes) = (range.len() as u64, omitted as u64 * unit);
            self.context.monitor.advance(length + zeroes);
            // Without content there is nothing to cut. A file that ends where its block ended
            // still needs an empty last segment, because its last chunk is open.
            let block = self.block()?;
            if position + length > 0 {
                block.segments.push(Segment { file, range, position, last: ended, omitted });
            }
            (position, left_out) = (position + length, left_out + zeroes);
            if ended {
                let room = block.buffer.content.len() - block.filled;
                let worn = room * 16 < block.buffer.content.len();
                if worn || block.segments.len() >= SEGMENTS_MAX {
                    self.flush(false)?;
                }
                self.tell(ReadEvent::FileEnd { file, size: position + left_out })?;
                return Ok(());
            }
            self.flush(false)?;
        }
    }

    /// The block that is being filled, with room for at least one byte.
    fn block(&mut self) -> Result<&mut Filling, Halt> {
        let filling = match self.block.take() {
            Some(filling) => filling,
            None => Filling {
                buffer: self.context.seat.block(&self.context.stop)?,
                filled: 0,
                before: self.tail.clone(),
                segments: Vec::new(),
            },
        };
        Ok(self.block.insert(filling))
    }

    fn flush(&mut self, end: bool) -> Result<(), Halt> {
        self.block()?;
        let Some(filling) = self.block.take() else { return Ok(()) };
        let Filling { buffer, before, segments, .. } = filling;
        if let Some(segment) = segments.last() {
            if segment.position == 0 {
                self.tail.clear();
            }
            let bytes = &buffer.content[segment.range.clone()];
            self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(WINDOW)..]);
            self.tail.drain(..self.tail.len().saturating_sub(WINDOW));
        }
        let number = self.number;
        self.number += 1;
        let block = Block { number, buffer, before, segments, end };
        // Before anybody can have chunks of it: a file's entry comes first.
        self.tell_all()?;
        self.context.stop.send(&self.blocks, block)
    }

    fn finish(mut self) -> Result<(), Halt> {
        self.flush(true)
    }
}
