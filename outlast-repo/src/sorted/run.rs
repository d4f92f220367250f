//! One run: opening it, looking records up, and reading all of them in order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::page::{self, PAGE_BYTES, Page, SUM_BYTES, Sum, capacity, fence_of};
use crate::CacheError;

/// The beginning of a run's trailer: this format, in its first version.
const MAGIC: &[u8; 8] = b"outlrun1";
/// Bytes of the trailer: magic, bytes of a record, zero, pages, records, bytes of the meta data, the
/// digest of all pages, and the checksum of fences, meta data and trailer.
pub(super) const TRAILER_BYTES: usize = 8 + 4 + 4 + 3 * 8 + 32 + SUM_BYTES;
/// Pages that are read at once when all are read.
const PAGES_AT_ONCE: usize = 64;

/// A sorted table of records of `N` bytes.
#[derive(Debug)]
pub(crate) struct Run<const N: usize> {
    pub(super) pages: Pages,
    pub(super) fences: Vec<u64>,
    pub(super) records: u64,
    /// Its place in the order of runs: from the first to the last run of which it was made.
    pub(super) numbers: (u64, u64),
}

#[derive(Debug)]
pub(super) enum Pages {
    Memory(Vec<Box<Page>>),
    File {
        file: File,
        key: [u8; 32],
        /// Where the file is; the directory alone if the file has no name.
        path: PathBuf,
        named: bool,
        kept: KeptPages,
    },
}

/// Runs of so many pages at most, 2 MiB, stay in memory page by page when they were read: a chunk
/// that is recognised costs one lookup or two, and most repositories are small.
const KEPT_PAGES_MAX: usize = 512;

/// The pages of a small run that were read; no place for any if it is large.
#[derive(Debug)]
pub(super) struct KeptPages(Vec<OnceLock<Box<Page>>>);

impl KeptPages {
    pub(super) fn of(pages: usize) -> Self {
        let count = if pages > KEPT_PAGES_MAX { 0 } else { pages };
        Self((0..count).map(|_| OnceLock::new()).collect())
    }
}

/// A run that was found, and whose tail is what was written.
pub(super) struct Opened<const N: usize> {
    pub(super) run: Run<N>,
    pub(super) meta: Vec<u8>,
    /// The digest that [`Run::is_whole`] compares the pages with.
    pub(super) digest: [u8; 32],
}

/// The part after the pages.
pub(super) struct Tail<'a> {
    pub(super) fences: &'a [u64],
    pub(super) records: u64,
    pub(super) meta: &'a [u8],
    /// Over the checksums of all pages.
    pub(super) digest: [u8; 32],
}

impl Tail<'_> {
    pub(super) fn encode<const N: usize>(&self, key: &[u8; 32]) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.fences.iter().flat_map(|fence| fence.to_le_bytes()).collect();
        bytes.extend_from_slice(self.meta);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&u32::try_from(N).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for number in [self.fences.len() as u64, self.records, self.meta.len() as u64] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.digest);
        let mut hasher = blake3::Hasher::new_keyed(key);
        bytes.extend_from_slice(&page::truncated(hasher.update(&bytes)));
        bytes
    }
}

impl<const N: usize> Run<N> {
    /// Opens the run in `path`, which was written with this `key` and these `numbers`; `None` if it
    /// is not a whole run.
    pub(super) fn open(
        path: &Path,
        key: [u8; 32],
        numbers: (u64, u64),
    ) -> io::Result<Option<Opened<N>>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let Some(trailer_at) = length.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, trailer_at)?;
        let Some((pages, records, meta_length)) = lengths::<N>(&trailer, length) else {
            return Ok(None);
        };
        let tail_at = pages * PAGE_BYTES as u64;
        let tail_length = usize::try_from(length - tail_at).map_err(io::Error::other)?;
        let mut tail = vec![0; tail_length];
        file.read_exact_at(&mut tail, tail_at)?;
        let (covered, sum) = tail.split_at(tail_length - SUM_BYTES);
        if page::truncated(blake3::Hasher::new_keyed(&key).update(covered)) != *sum {
            return Ok(None);
        }
        let (fence_bytes, rest) =
            covered.split_at(covered.len() - meta_length - (TRAILER_BYTES - SUM_BYTES));
        let fences = fence_bytes.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes));
        let fences: Vec<u64> = fences.collect();
        let meta = rest[..meta_length].to_vec();
        let digest = *trailer[TRAILER_BYTES - SUM_BYTES - 32..].first_chunk().unwrap_or(&[0; 32]);
        let kept = KeptPages::of(fences.len());
        let pages = Pages::File { file, key, path: path.to_owned(), named: true, kept };
        Ok(Some(Opened { run: Self { pages, fences, records, numbers }, meta, digest }))
    }

    /// Whether every page is what was written. Reads the whole file once, from its beginning.
    pub(super) fn is_whole(&self, digest: [u8; 32]) -> io::Result<bool> {
        let Pages::File { file, key, .. } = &self.pages else { return Ok(true) };
        let mut hasher = blake3::Hasher::new_keyed(key);
        let mut buffer = vec![[0; PAGE_BYTES]; PAGES_AT_ONCE];
        let mut number = 0;
        while number < self.fences.len() {
            let count = PAGES_AT_ONCE.min(self.fences.len() - number);
            let pages = &mut buffer[..count];
            file.read_exact_at(pages.as_flattened_mut(), (number * PAGE_BYTES) as u64)?;
            for page in pages {
                let Some(sum) = page::verify(key, number as u64, page) else { return Ok(false) };
                hasher.update(&sum);
                number += 1;
            }
        }
        Ok(*hasher.finalize().as_bytes() == digest)
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Shows the records that begin with `id` to `pick`, each with its position in the run, until
    /// it takes one.
    pub(crate) fn find<T>(
        &self,
        id: &[u8; 32],
        mut pick: impl FnMut(u64, &[u8; N]) -> Option<T>,
    ) -> Result<Option<T>, CacheError> {
        let fence = fence_of(id);
        // Records with one id may have begun in the page before the one that begins with them.
        let first = self.fences.partition_point(|&other| other < fence).saturating_sub(1);
        for number in first..self.fences.len() {
            if self.fences[number] > fence {
                break;
            }
            let found = self.with_page(number, |records| {
                let start = page::first_from(records, id);
                for (offset, record) in records[start..].iter().enumerate() {
                    if record[..32] != id[..] {
                        // What comes after this record is beyond, in this page and in all others.
                        return Search::Over;
                    }
                    let position = number * capacity::<N>() + start + offset;
                    if let Some(taken) = pick(position as u64, record) {
                        return Search::Found(taken);
                    }
                }
                Search::Further
            })?;
            match found {
                Search::Found(taken) => return Ok(Some(taken)),
                Search::Over => break,
                Search::Further => {}
            }
        }
        Ok(None)
    }

    fn with_page<T>(
        &self,
        number: usize,
        work: impl FnOnce(&[[u8; N]]) -> T,
    ) -> Result<T, CacheError> {
        match &self.pages {
            Pages::Memory(pages) => Ok(work(page::records(&pages[number]))),
            Pages::File { kept, .. } => {
                let Some(slot) = kept.0.get(number) else {
                    let mut page = [0; PAGE_BYTES];
                    self.read_page(number, &mut page)?;
                    return Ok(work(page::records(&page)));
                };
                if slot.get().is_none() {
                    let mut page = Box::new([0; PAGE_BYTES]);
                    self.read_page(number, &mut page)?;
                    // Somebody else may have been faster, with the same page.
                    let _ = slot.set(page);
                }
                Ok(work(slot.get().map_or(&[], |page| page::records(page))))
            }
        }
    }

    fn read_page(&self, number: usize, page: &mut Page) -> Result<(), CacheError> {
        match &self.pages {
            Pages::Memory(pages) => page.copy_from_slice(&pages[number][..]),
            Pages::File { file, key, path, named, .. } => {
                file.read_exact_at(page, (number * PAGE_BYTES) as u64)
                    .map_err(|source| failed(path, source))?;
                if page::verify(key, number as u64, page).is_none() {
                    if *named {
                        // Then the next run finds it missing, and makes it anew.
                        drop(std::fs::remove_file(path));
                    }
                    return Err(CacheError::Damaged { path: path.clone() });
                }
            }
        }
        Ok(())
    }

    /// Its file, if it has one that others can see.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.pages {
            Pages::File { path, named: true, .. } => Some(path),
            _ => None,
        }
    }
}

enum Search<T> {
    Found(T),
    Over,
    Further,
}

/// Pages, records and bytes of meta data, if they fit together and to a file of `length` bytes.
fn lengths<const N: usize>(
    trailer: &[u8; TRAILER_BYTES],
    length: u64,
) -> Option<(u64, u64, usize)> {
    let number = |at: usize| trailer[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let record = u32::from_le_bytes(*trailer[8..].first_chunk()?);
    let (pages, records, meta) = (number(16)?, number(24)?, number(32)?);
    let expected = pages
        .checked_mul(PAGE_BYTES as u64 + 8)?
        .checked_add(meta)?
        .checked_add(TRAILER_BYTES as u64)?;
    let fits = trailer.starts_with(MAGIC)
        && record as usize == N
        && expected == length
        && records.div_ceil(capacity::<N>() as u64) == pages;
    Some((pages, records, usize::try_from(meta).ok()?)).filter(|_| fits)
}

pub(super) fn failed(path: &Path, source: io::Error) -> CacheError {
    CacheError::Io { path: path.to_owned(), source: Arc::new(source) }
}

/// The checksum over the checksums of pages, as a run is written.
pub(super) struct Digest(blake3::Hasher);

impl Digest {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(key))
    }

    pub(super) fn add(&mut self, sum: &Sum) {
        self.0.update(sum);
    }

    pub(super) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// All records of a run, in order.
#[derive(Debug)]
pub(super) struct Cursor<const N: usize> {
    run: Arc<Run<N>>,
    page: Box<Page>,
    /// The page that comes next.
    number: usize,
    /// The record that comes next in this one.
    record: usize,
}

impl<const N: usize> Cursor<N> {
    pub(super) fn new(run: Arc<Run<N>>) -> Self {
        Self { run, page: Box::new([0; PAGE_BYTES]), number: 0, record: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<[u8; N]>, CacheError> {
        loop {
            if self.number > 0
                && let Some(record) = page::records(&self.page).get(self.record)
            {
                self.record += 1;
                return Ok(Some(*record));
            }
            if self.number == self.run.fences.len() {
                return Ok(None);
            }
            self.run.read_page(self.number, &mut self.page)?;
            (self.number, self.record) = (self.number + 1, 0);
        }
    }
}
