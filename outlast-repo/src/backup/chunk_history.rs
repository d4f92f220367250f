//! The history of the last backup: its chunks in order, so that the next one can follow it.
//!
//! A dump is mostly what it was yesterday. Where it is, the chunks come one after the other as
//! they did then, and the hash of a chunk tells that it is the next one of the history, length and
//! all: neither a search for its end nor a look into the cache of known chunks is needed. Where a
//! dump differs, it is scanned, and the first place at which the last backup cut, too, is where the
//! history goes on ([`ChunkHistory::after`]).
//!
//! Following the history changes no cut: a chunk that was found by the rules is found by them again
//! wherever a chunk with its content begins ([`outlast_format::chunker::Selector::feed_known`]).
//! The last chunk of a file is not part of the history, because the file's end cut it.
//!
//! The history is a file of the local cache, written while the backup runs and put in the place of
//! the old one when it has succeeded. It is a hint that may be missing. Its pages are authenticated
//! under a key of the repository, so that a page of another repository, an older version or a
//! damaged disk ends the history there. Memory holds a window of it, which moves on with the backup.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use outlast_format::BlobId;
use outlast_fs::DirectoryLock;
use outlast_fs::durable::{self, Staged};

use crate::Repository;
use crate::cache::Table;
use crate::sorted::{self, Place};

const NAME: &str = "trail";
const MODE: u32 = 0o600;
/// Chunks of one page.
const PAGE_CHUNKS: usize = 512;
const CHUNK_BYTES: usize = 8 + 4 + 32 + 32;
/// Pages that memory holds: 65,536 chunks, about 5 GB of content, in 7 MB.
const WINDOW_PAGES: usize = 128;

/// One chunk of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownChunk {
    /// Of the cut at its end.
    pub(super) cut_hash: u64,
    /// Bytes of its plaintext.
    pub(super) length: u32,
    /// The BLAKE3 of its plaintext.
    pub(super) content: [u8; 32],
    pub(super) id: BlobId,
}

/// The history of the last backup, and that of this one.
#[derive(Debug)]
pub(super) struct ChunkHistory {
    window: RwLock<Window>,
    recording: Mutex<Option<Recording>>,
}

impl ChunkHistory {
    /// The history that the last backup with chunks of `average` bytes left on this host; an empty
    /// one, which is not kept, if the repository has no place for it.
    pub(super) fn open(repository: &Repository, average: u32) -> Self {
        let (place, key) = repository.table(Table::ChunkHistory);
        // Cuts of other averages lie elsewhere.
        let key = *blake3::keyed_hash(&key, &average.to_le_bytes()).as_bytes();
        let path = match place {
            Place::Kept(directory) => Some(directory.join(NAME)),
            Place::Memory | Place::Scratch(_) => None,
        };
        let pages = path.as_deref().and_then(|path| Pages::open(path, key));
        let recording = path.and_then(|path| Recording::create(&path, key));
        Self { window: RwLock::new(Window::new(pages)), recording: Mutex::new(recording) }
    }

    /// Whether there is anything to follow.
    pub(super) fn is_empty(&self) -> bool {
        self.window().chunks.is_empty()
    }

    /// The number of the chunk that came after a cut with this cut_hash.
    pub(super) fn after(&self, cut_hash: u64) -> Option<u64> {
        self.window().cut_hashes.get(&cut_hash).map(|number| number + 1)
    }

    pub(super) fn chunk(&self, number: u64) -> Option<KnownChunk> {
        self.window().chunk(number).copied()
    }

    /// Hears that the backup came as far as this chunk, and moves the window on.
    pub(super) fn reached(&self, number: u64) {
        let middle = self.window().first + (WINDOW_PAGES / 2 * PAGE_CHUNKS) as u64;
        if number > middle {
            self.window.write().unwrap_or_else(PoisonError::into_inner).advance();
        }
    }

    /// Records the chunks that ended in a block. Blocks are numbered from 0 without a gap, and may
    /// come in any order.
    pub(super) fn record(&self, block: u64, chunks: Vec<KnownChunk>) {
        let mut recording = self.recording();
        if let Some(open) = &mut *recording
            && let Err(error) = open.add(block, chunks)
        {
            tracing::debug!(%error, "the history of this backup cannot be kept");
            *recording = None;
        }
    }

    /// Keeps what was recorded in the place of the old history.
    pub(super) fn finish(&self) {
        let finished = self.recording().take().map(Recording::finish);
        if let Some(Err(error)) = finished {
            tracing::debug!(%error, "the history of this backup cannot be kept");
        }
    }

    fn window(&self) -> RwLockReadGuard<'_, Window> {
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the old history that is in memory.
#[derive(Debug)]
struct Window {
    /// The number of the first chunk in memory.
    first: u64,
    chunks: VecDeque<KnownChunk>,
    /// The chunks in memory by their cut_hashes; of several with one cut_hash, the last.
    cut_hashes: HashMap<u64, u64>,
    pages: Option<Pages>,
}

impl Window {
    fn new(pages: Option<Pages>) -> Self {
        let mut window =
            Self { first: 0, chunks: VecDeque::new(), cut_hashes: HashMap::new(), pages };
        for _ in 0..WINDOW_PAGES {
            window.load();
        }
        window
    }

    fn chunk(&self, number: u64) -> Option<&KnownChunk> {
        let ahead = number.checked_sub(self.first)?;
        self.chunks.get(usize::try_from(ahead).ok()?)
    }

    /// Takes in the next page, if there is one.
    fn load(&mut self) -> bool {
        let Some(chunks) = self.pages.as_mut().and_then(Pages::next) else {
            self.pages = None;
            return false;
        };
        for chunk in chunks {
            let number = self.first + self.chunks.len() as u64;
            // No cut but that of the longest chunk has this cut_hash, and many places have it.
            if chunk.cut_hash != 0 {
                self.cut_hashes.insert(chunk.cut_hash, number);
            }
            self.chunks.push_back(chunk);
        }
        true
    }

    /// Gives up the first page for the next one.
    fn advance(&mut self) {
        if !self.load() {
            return;
        }
        for _ in 0..PAGE_CHUNKS {
            let Some(chunk) = self.chunks.pop_front() else { return };
            if self.cut_hashes.get(&chunk.cut_hash) == Some(&self.first) {
                self.cut_hashes.remove(&chunk.cut_hash);
            }
            self.first += 1;
        }
    }
}

/// Reads a history page by page, until one is missing or not genuine.
#[derive(Debug)]
struct Pages {
    file: BufReader<File>,
    key: [u8; 32],
    number: u64,
}

impl Pages {
    fn open(path: &Path, key: [u8; 32]) -> Option<Self> {
        Some(Self { file: BufReader::new(File::open(path).ok()?), key, number: 0 })
    }

    fn next(&mut self) -> Option<Vec<KnownChunk>> {
        let mut count = [0; 4];
        self.file.read_exact(&mut count).ok()?;
        let count = u32::from_le_bytes(count) as usize;
        if count == 0 || count > PAGE_CHUNKS {
            return None;
        }
        let mut page = vec![0; count * CHUNK_BYTES];
        let mut sum = [0; 32];
        self.file.read_exact(&mut page).ok()?;
        self.file.read_exact(&mut sum).ok()?;
        if page_sum(&self.key, self.number, &page) != sum {
            return None;
        }
        self.number += 1;
        Some(page.chunks_exact(CHUNK_BYTES).filter_map(decode).collect())
    }
}

/// The history of a backup that is under way.
#[derive(Debug)]
struct Recording {
    /// Of two backups on one host, the second one leaves no history.
    _lock: DirectoryLock,
    staged: Staged,
    key: [u8; 32],
    pages: u64,
    chunks: Vec<KnownChunk>,
    /// The block whose chunks come next, and those of blocks that came too early.
    next: u64,
    early: BTreeMap<u64, Vec<KnownChunk>>,
}

impl Recording {
    fn create(path: &Path, key: [u8; 32]) -> Option<Self> {
        let directory = path.parent()?;
        let lock = sorted::take_lock(directory).ok()??;
        remove_leftovers(directory);
        let staged = Staged::create(path, MODE).ok()?;
        let (chunks, early) = (Vec::with_capacity(PAGE_CHUNKS), BTreeMap::new());
        Some(Self { _lock: lock, staged, key, pages: 0, chunks, next: 0, early })
    }

    fn add(&mut self, block: u64, chunks: Vec<KnownChunk>) -> std::io::Result<()> {
        self.early.insert(block, chunks);
        while let Some(chunks) = self.early.remove(&self.next) {
            self.next += 1;
            for chunk in chunks {
                self.chunks.push(chunk);
                if self.chunks.len() == PAGE_CHUNKS {
                    self.end_page()?;
                }
            }
        }
        Ok(())
    }

    fn end_page(&mut self) -> std::io::Result<()> {
        let page: Vec<u8> = self.chunks.iter().flat_map(encode).collect();
        let count = u32::try_from(self.chunks.len()).unwrap_or(0);
        let sum = page_sum(&self.key, self.pages, &page);
        self.staged.file().write_all(&[&count.to_le_bytes()[..], &page, &sum].concat())?;
        self.pages += 1;
        self.chunks.clear();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<()> {
        if !self.chunks.is_empty() {
            self.end_page()?;
        }
        self.staged.publish()?;
        Ok(())
    }
}

/// Removes what killed backups left.
fn remove_leftovers(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| durable::is_temporary(&entry.file_name())) {
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::debug!(%error, "cannot remove {}", entry.path().display());
        }
    }
}

fn page_sum(key: &[u8; 32], number: u64, page: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&number.to_le_bytes()).update(page);
    *hasher.finalize().as_bytes()
}

fn encode(chunk: &KnownChunk) -> [u8; CHUNK_BYTES] {
    let mut bytes = [0; CHUNK_BYTES];
    bytes[..8].copy_from_slice(&chunk.cut_hash.to_le_bytes());
    bytes[8..12].copy_from_slice(&chunk.length.to_le_bytes());
    bytes[12..44].copy_from_slice(&chunk.content);
    bytes[44..].copy_from_slice(&chunk.id.0);
    bytes
}

fn decode(bytes: &[u8]) -> Option<KnownChunk> {
    let (cut_hash, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (content, rest) = rest.split_first_chunk()?;
    Some(KnownChunk {
        cut_hash: u64::from_le_bytes(*cut_hash),
        length: u32::from_le_bytes(*length),
        content: *content,
        id: BlobId(*rest.first_chunk()?),
    })
}

#[cfg(test)]
mod tests;
