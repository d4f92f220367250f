//! The trail of the last backup: its chunks in order, so that the next one can follow it.
//!
//! A dump is mostly what it was yesterday. Where it is, the chunks come one after the other as
//! they did then, and the hash of a chunk tells that it is the next one of the trail, length and
//! all: neither a search for its end nor a look into the cache of known chunks is needed. Where a
//! dump differs, it is scanned, and the first place at which the last backup cut, too, is where the
//! trail goes on ([`Trail::after`]).
//!
//! Following the trail changes no cut: a chunk that was found by the rules is found by them again
//! wherever a chunk with its content begins ([`outlast_format::chunker::Selector::feed_known`]).
//! The last chunk of a file is not part of the trail, because the file's end cut it.
//!
//! The trail is a file of the local cache, written while the backup runs and put in the place of
//! the old one when it has succeeded. It is a hint that may be missing. Its pages are authenticated
//! under a key of the repository, so that a page of another repository, an older version or a
//! damaged disk ends the trail there. Memory holds a window of it, which moves on with the backup.

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
/// Steps of one page.
const PAGE_STEPS: usize = 512;
const STEP_BYTES: usize = 8 + 4 + 32 + 32;
/// Pages that memory holds: 65,536 steps, about 5 GB of content, in 7 MB.
const WINDOW_PAGES: usize = 128;

/// One chunk of the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Of the cut at its end.
    pub(super) mark: u64,
    /// Bytes of its plaintext.
    pub(super) length: u32,
    /// The BLAKE3 of its plaintext.
    pub(super) content: [u8; 32],
    pub(super) id: BlobId,
}

/// The trail of the last backup, and that of this one.
#[derive(Debug)]
pub(super) struct Trail {
    window: RwLock<Window>,
    recording: Mutex<Option<Recording>>,
}

impl Trail {
    /// The trail that the last backup with chunks of `average` bytes left on this host; an empty
    /// one, which is not kept, if the repository has no place for it.
    pub(super) fn open(repository: &Repository, average: u32) -> Self {
        let (place, key) = repository.table(Table::Trail);
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
        self.window().steps.is_empty()
    }

    /// The number of the step that came after a cut with this mark.
    pub(super) fn after(&self, mark: u64) -> Option<u64> {
        self.window().marks.get(&mark).map(|number| number + 1)
    }

    pub(super) fn step(&self, number: u64) -> Option<Step> {
        self.window().step(number).copied()
    }

    /// Hears that the backup came as far as this step, and moves the window on.
    pub(super) fn reached(&self, number: u64) {
        let middle = self.window().first + (WINDOW_PAGES / 2 * PAGE_STEPS) as u64;
        if number > middle {
            self.window.write().unwrap_or_else(PoisonError::into_inner).advance();
        }
    }

    /// Records the chunks that ended in a block. Blocks are numbered from 0 without a gap, and may
    /// come in any order.
    pub(super) fn record(&self, block: u64, steps: Vec<Step>) {
        let mut recording = self.recording();
        if let Some(open) = &mut *recording
            && let Err(error) = open.add(block, steps)
        {
            tracing::debug!(%error, "the trail of this backup cannot be kept");
            *recording = None;
        }
    }

    /// Keeps what was recorded in the place of the old trail.
    pub(super) fn finish(&self) {
        let finished = self.recording().take().map(Recording::finish);
        if let Some(Err(error)) = finished {
            tracing::debug!(%error, "the trail of this backup cannot be kept");
        }
    }

    fn window(&self) -> RwLockReadGuard<'_, Window> {
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the old trail that is in memory.
#[derive(Debug)]
struct Window {
    /// The number of the first step in memory.
    first: u64,
    steps: VecDeque<Step>,
    /// The steps in memory by their marks; of several with one mark, the last.
    marks: HashMap<u64, u64>,
    pages: Option<Pages>,
}

impl Window {
    fn new(pages: Option<Pages>) -> Self {
        let mut window = Self { first: 0, steps: VecDeque::new(), marks: HashMap::new(), pages };
        for _ in 0..WINDOW_PAGES {
            window.load();
        }
        window
    }

    fn step(&self, number: u64) -> Option<&Step> {
        let ahead = number.checked_sub(self.first)?;
        self.steps.get(usize::try_from(ahead).ok()?)
    }

    /// Takes in the next page, if there is one.
    fn load(&mut self) -> bool {
        let Some(steps) = self.pages.as_mut().and_then(Pages::next) else {
            self.pages = None;
            return false;
        };
        for step in steps {
            let number = self.first + self.steps.len() as u64;
            // No cut but that of the longest chunk has this mark, and many places have it.
            if step.mark != 0 {
                self.marks.insert(step.mark, number);
            }
            self.steps.push_back(step);
        }
        true
    }

    /// Gives up the first page for the next one.
    fn advance(&mut self) {
        if !self.load() {
            return;
        }
        for _ in 0..PAGE_STEPS {
            let Some(step) = self.steps.pop_front() else { return };
            if self.marks.get(&step.mark) == Some(&self.first) {
                self.marks.remove(&step.mark);
            }
            self.first += 1;
        }
    }
}

/// Reads a trail page by page, until one is missing or not genuine.
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

    fn next(&mut self) -> Option<Vec<Step>> {
        let mut count = [0; 4];
        self.file.read_exact(&mut count).ok()?;
        let count = u32::from_le_bytes(count) as usize;
        if count == 0 || count > PAGE_STEPS {
            return None;
        }
        let mut page = vec![0; count * STEP_BYTES];
        let mut sum = [0; 32];
        self.file.read_exact(&mut page).ok()?;
        self.file.read_exact(&mut sum).ok()?;
        if page_sum(&self.key, self.number, &page) != sum {
            return None;
        }
        self.number += 1;
        Some(page.chunks_exact(STEP_BYTES).filter_map(decode).collect())
    }
}

/// The trail of a backup that is under way.
#[derive(Debug)]
struct Recording {
    /// Of two backups on one host, the second one leaves no trail.
    _lock: DirectoryLock,
    staged: Staged,
    key: [u8; 32],
    pages: u64,
    steps: Vec<Step>,
    /// The block whose steps come next, and those of blocks that came too early.
    next: u64,
    early: BTreeMap<u64, Vec<Step>>,
}

impl Recording {
    fn create(path: &Path, key: [u8; 32]) -> Option<Self> {
        let directory = path.parent()?;
        let lock = sorted::take_lock(directory).ok()??;
        remove_leftovers(directory);
        let staged = Staged::create(path, MODE).ok()?;
        let (steps, early) = (Vec::with_capacity(PAGE_STEPS), BTreeMap::new());
        Some(Self { _lock: lock, staged, key, pages: 0, steps, next: 0, early })
    }

    fn add(&mut self, block: u64, steps: Vec<Step>) -> std::io::Result<()> {
        self.early.insert(block, steps);
        while let Some(steps) = self.early.remove(&self.next) {
            self.next += 1;
            for step in steps {
                self.steps.push(step);
                if self.steps.len() == PAGE_STEPS {
                    self.end_page()?;
                }
            }
        }
        Ok(())
    }

    fn end_page(&mut self) -> std::io::Result<()> {
        let page: Vec<u8> = self.steps.iter().flat_map(encode).collect();
        let count = u32::try_from(self.steps.len()).unwrap_or(0);
        let sum = page_sum(&self.key, self.pages, &page);
        self.staged.file().write_all(&[&count.to_le_bytes()[..], &page, &sum].concat())?;
        self.pages += 1;
        self.steps.clear();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<()> {
        if !self.steps.is_empty() {
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

fn encode(step: &Step) -> [u8; STEP_BYTES] {
    let mut bytes = [0; STEP_BYTES];
    bytes[..8].copy_from_slice(&step.mark.to_le_bytes());
    bytes[8..12].copy_from_slice(&step.length.to_le_bytes());
    bytes[12..44].copy_from_slice(&step.content);
    bytes[44..].copy_from_slice(&step.id.0);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Step> {
    let (mark, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (content, rest) = rest.split_first_chunk()?;
    Some(Step {
        mark: u64::from_le_bytes(*mark),
        length: u32::from_le_bytes(*length),
        content: *content,
        id: BlobId(*rest.first_chunk()?),
    })
}

#[cfg(test)]
mod tests;
