//! Reading an archive as a source of entries.

mod header;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use outlast_fs::{Entry, EntryPath, EntrySource, Kind, SourceError};

use super::acl::KnownNames;
use super::pax::Records;
use super::sparse::{self, Form, Map};
use super::write::padding;
use super::{BLOCK, TarError, TarLimits};
use crate::rejection::Rejection;
use header::RawHeader;

/// Remembers why an archive was refused, for whoever sees only that some source broke.
#[derive(Debug, Clone, Default)]
pub struct TarWatch(Arc<Mutex<Option<Rejection>>>);

impl TarWatch {
    /// Why the archive is bad; `None` while it is not, or if only reading it failed.
    pub fn failure(&self) -> Option<Rejection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, error: &TarError) {
        if error.is_verdict() {
            let rejection = Rejection::BadTree { reason: error.to_string() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(rejection);
        }
    }
}

/// The entries of a tar archive.
///
/// When it says that there are no more, the reader has been read to its end, so that whatever
/// proves itself there (hashes of a drop) has done so.
pub struct TarSource<R> {
    reader: R,
    limits: TarLimits,
    global: Records,
    content: Content,
    entries: u64,
    hole_bytes: u64,
    /// Hashes of the paths of symbolic links, through which no later path may lead.
    links: HashSet<u64>,
    names: KnownNames,
    state: State,
    watch: TarWatch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

/// The rest of the current entry.
#[derive(Default)]
struct Content {
    /// Bytes of the current entry still in the archive, and the padding behind them.
    stored: u64,
    padding: usize,
    /// Where the data lies in the file, its size, and how far it was read.
    map: Map,
    piece: usize,
    size: u64,
    at: u64,
    is_sparse: bool,
}

impl<R: Read + Send> TarSource<R> {
    /// Reads the archive from `reader`.
    pub fn new(reader: R, limits: TarLimits) -> Self {
        Self {
            reader,
            limits,
            global: Records::default(),
            content: Content::default(),
            entries: 0,
            hole_bytes: 0,
            links: HashSet::new(),
            names: KnownNames::default(),
            state: State::Reading,
            watch: TarWatch::default(),
        }
    }

    /// A handle that tells why the archive was refused, after this source has been given away.
    pub fn watch(&self) -> TarWatch {
        self.watch.clone()
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        self.reader.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::CutOff,
            _ => TarError::Read(error),
        })
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        let skipped = io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == bytes => Ok(()),
            Ok(_) => Err(TarError::CutOff),
            Err(error) => Err(TarError::Read(error)),
        }
    }

    /// Reads the content of a header-like member.
    fn header_content(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let max = self.limits.header_bytes_max;
        if size > max {
            return Err(TarError::HeaderTooLong { size, max });
        }
        let mut content = Vec::new();
        let read = self.reader.by_ref().take(size).read_to_end(&mut content);
        read.map_err(TarError::Read)?;
        if content.len() as u64 != size {
            return Err(TarError::CutOff);
        }
        self.skip(padding(size) as u64)?;
        Ok(content)
    }

    /// The next header with everything that was said about it before; `None` at the end.
    fn next_header(&mut self) -> Result<Option<(RawHeader, Records)>, TarError> {
        let mut local = Records::default();
        let mut before = 0_u64;
        loop {
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            if block.iter().all(|&byte| byte == 0) {
                return Ok(None);
            }
            let header = RawHeader::parse(&block)?;
            let is_entry = !matches!(header.flag, b'x' | b'X' | b'g' | b'L' | b'K' | b'V');
            if is_entry {
                return Ok(Some((header, self.global.overridden_by(local))));
            }
            // Headers without an entry could follow each other for ever.
            before += header.size.saturating_add(BLOCK as u64);
            let max = self.limits.header_bytes_max.saturating_mul(4);
            if before > max {
                return Err(TarError::HeaderTooLong { size: before, max });
            }
            let mut content = self.header_content(header.size)?;
            match header.flag {
                b'x' | b'X' => local = local.overridden_by(Records::parse(&content)?),
                b'g' => {
                    self.global = self.global.overridden_by(Records::parse(&content)?);
                    let size = self.global.to_bytes().len() as u64;
                    if size > self.limits.header_bytes_max {
                        let max = self.limits.header_bytes_max;
                        return Err(TarError::HeaderTooLong { size, max });
                    }
                }
                b'L' | b'K' => {
                    let end = content.iter().position(|&byte| byte == 0);
                    content.truncate(end.unwrap_or(content.len()));
                    local.push(if header.flag == b'L' { "path" } else { "linkpath" }, content);
                }
                // A volume's label.
                _ => {}
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Entry>, TarError> {
        loop {
            let rest = std::mem::take(&mut self.content);
            self.skip(rest.stored.saturating_add(rest.padding as u64))?;
            let Some((header, records)) = self.next_header()? else {
                // Everything behind the end mark, so that the reader can prove itself.
                io::copy(&mut self.reader, &mut io::sink()).map_err(TarError::Read)?;
                return Ok(None);
            };
            self.entries += 1;
            if self.entries > self.limits.entries_max {
                return Err(TarError::TooManyEntries { max: self.limits.entries_max });
            }
            let stored = header.stored_size(&records)?;
            self.content = Content { stored, padding: padding(stored), ..Content::default() };
            // The root of the archive itself, "./", has no name in it.
            let Some(path) = header.path(&records, self.limits.depth_max)? else { continue };
            self.check_way(&path)?;
            let mut entry = header.entry(path, &records, &mut self.names)?;
            if let Kind::File { size } = &mut entry.kind {
                *size = self.begin_file(&header, &records)?;
            }
            if matches!(entry.kind, Kind::Symlink { .. }) {
                self.links.insert(hash_of(entry.path.names()));
            } else {
                self.links.remove(&hash_of(entry.path.names()));
            }
            return Ok(Some(entry));
        }
    }

    /// Refuses a path that leads through a symbolic link of the same archive.
    fn check_way(&self, path: &EntryPath) -> Result<(), TarError> {
        if self.links.is_empty() {
            return Ok(());
        }
        let names = path.names();
        let through = (1..names.len()).any(|depth| self.links.contains(&hash_of(&names[..depth])));
        if through {
            let reason = "its path leads through a symbolic link".to_owned();
            return Err(TarError::Entry { path: path.to_string(), reason });
        }
        Ok(())
    }

    /// Finds out where the data of a file lies; returns the file's size.
    fn begin_file(&mut self, header: &RawHeader, records: &Records) -> Result<u64, TarError> {
        let pieces_max = self.limits.sparse_pieces_max;
        let (map, size) = if header.flag == b'S' {
            self.old_map(header)?
        } else {
            match sparse::form(records, pieces_max)? {
                Form::None => {
                    let stored = self.content.stored;
                    (self.content.map, self.content.size) = (vec![(0, stored)], stored);
                    return Ok(stored);
                }
                Form::Map(map, size) => (map, size),
                Form::BeforeData(size) => (self.map_before_data()?, size),
            }
        };
        sparse::check(&map, size, self.content.stored)?;
        self.hole_bytes = self.hole_bytes.saturating_add(size - self.content.stored);
        if self.hole_bytes > self.limits.hole_bytes_max {
            return Err(TarError::TooManyHoles { max: self.limits.hole_bytes_max });
        }
        (self.content.map, self.content.size, self.content.is_sparse) = (map, size, true);
        Ok(size)
    }

    /// The map of the old GNU form: four pieces in the header, more in blocks behind it.
    fn old_map(&mut self, header: &RawHeader) -> Result<(Map, u64), TarError> {
        let mut map = Map::new();
        sparse::old_pieces(header.old_sparse_fields(), &mut map)?;
        let mut more = header.old_sparse_continues();
        while more {
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            sparse::old_pieces(&block[..504], &mut map)?;
            more = block[504] != 0;
            if map.len() > self.limits.sparse_pieces_max {
                let reason = "the map of a sparse file is too long";
                return Err(TarError::ExtendedHeader { reason });
            }
        }
        Ok((map, header.old_sparse_size()?))
    }

    /// The map of the form 1.0: decimal lines in whole blocks before the data.
    fn map_before_data(&mut self) -> Result<Map, TarError> {
        let bad = |reason| TarError::ExtendedHeader { reason };
        let mut numbers: Vec<u64> = Vec::new();
        let mut wanted = 1;
        let mut current: Option<u64> = None;
        while numbers.len() < wanted {
            let mut block = [0; BLOCK];
            self.content.stored = self
                .content
                .stored
                .checked_sub(BLOCK as u64)
                .ok_or(bad("the map of a sparse file is longer than the file"))?;
            self.fill(&mut block)?;
            for byte in block {
                if numbers.len() == wanted {
                    break;
                }
                if byte == b'\n' {
                    let number = current.take().ok_or(bad("a sparse map has an empty line"))?;
                    if numbers.is_empty() {
                        let pieces = usize::try_from(number).unwrap_or(usize::MAX);
                        if pieces > self.limits.sparse_pieces_max {
                            return Err(bad("the map of a sparse file is too long"));
                        }
                        wanted = 1 + 2 * pieces;
                    }
                    numbers.push(number);
                } else {
                    let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10);
                    let digit =
                        digit.ok_or(bad("a sparse map has something that is not a number"))?;
                    let value = current.unwrap_or(0).checked_mul(10);
                    let value = value.and_then(|value| value.checked_add(u64::from(digit)));
                    current = Some(value.ok_or(bad("a number of a sparse map is too large"))?);
                }
            }
        }
        let (pairs, _) = numbers[1..].as_chunks::<2>();
        Ok(pairs.iter().map(|&[offset, length]| (offset, length)).collect())
    }

    fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let content = &mut self.content;
        let (limit, in_hole) = content.ahead();
        let room = usize::try_from(limit - content.at).unwrap_or(usize::MAX);
        let buffer_length = buffer.len().min(room);
        if buffer_length == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..buffer_length];
        let length = if in_hole {
            buffer.fill(0);
            buffer.len()
        } else {
            let length = self.reader.read(buffer).map_err(TarError::Read)?;
            if length == 0 {
                return Err(TarError::CutOff);
            }
            content.stored -= length as u64;
            length
        };
        content.at += length as u64;
        Ok(length)
    }

    /// Notes a failure; from now on the source says nothing but that.
    fn fail(&mut self, error: TarError) -> io::Error {
        self.watch.note(&error);
        match error {
            // Nothing has been lost when a read is interrupted.
            TarError::Read(error) if error.kind() == io::ErrorKind::Interrupted => error,
            // As it is, so that the cause can be found in it.
            TarError::Read(error) => {
                self.state = State::Failed;
                error
            }
            error => {
                self.state = State::Failed;
                io::Error::other(error)
            }
        }
    }
}

impl<R: Read + Send> EntrySource for TarSource<R> {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let ended = |source| SourceError::Ended { origin: "the tar archive".to_owned(), source };
        match self.state {
            State::Ended => return Ok(None),
            State::Failed => return Err(ended(io::Error::other("it failed before"))),
            State::Reading => {}
        }
        match self.advance() {
            Ok(None) => {
                self.state = State::Ended;
                Ok(None)
            }
            Ok(entry) => Ok(entry),
            Err(error) => {
                let error = self.fail(error);
                self.state = State::Failed;
                Err(ended(error))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.state {
            State::Ended => Ok(0),
            State::Failed => Err(io::Error::other("the tar archive failed before")),
            State::Reading => self.read_content(buffer).map_err(|error| self.fail(error)),
        }
    }

    fn extents(&mut self) -> io::Result<Option<Vec<(u64, u64)>>> {
        Ok(self.content.is_sparse.then(|| self.content.map.clone()))
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        let mut buffer = [0; 8 << 10];
        while left > 0 {
            if let (limit, true) = self.content.ahead() {
                let passed = left.min(limit - self.content.at);
                self.content.at += passed;
                left -= passed;
                if passed > 0 {
                    continue;
                }
            }
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.read(&mut buffer[..wanted]) {
                Ok(0) => break,
                Ok(read) => left -= read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Content {
    /// Where the part ends in which the reader is, and whether that is a hole.
    fn ahead(&mut self) -> (u64, bool) {
        // Pieces that are done.
        while self.map.get(self.piece).is_some_and(|(o, l)| o + l <= self.at) {
            self.piece += 1;
        }
        match self.map.get(self.piece) {
            Some(&(offset, _)) if self.at < offset => (offset, true),
            Some(&(offset, length)) => (offset + length, false),
            None => (self.size, true),
        }
    }
}

fn hash_of(names: &[Vec<u8>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    hasher.finish()
}
