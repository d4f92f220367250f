//! Writing a run, from its first record to its last.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use outlast_fs::durable::{self, Staged};

use super::page::{Draft, PAGE_BYTES, Page, capacity};
use super::run::{Digest, KeptPages, Pages, Run, Tail, failed};
use crate::CacheError;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 64 * PAGE_BYTES;
const MODE: u32 = 0o600;

/// A run that is being written.
pub(super) struct RunWriter<const N: usize> {
    sink: Sink,
    key: [u8; 32],
    numbers: (u64, u64),
    draft: Draft,
    fences: Vec<u64>,
    records: u64,
    digest: Digest,
}

/// Where pages go.
enum Sink {
    Memory(Vec<Box<Page>>),
    File { output: Output, buffer: Vec<u8>, path: PathBuf },
}

enum Output {
    Named(Staged),
    Unnamed(File),
}

impl<const N: usize> RunWriter<N> {
    /// A run in memory.
    pub(super) fn in_memory(numbers: (u64, u64)) -> Self {
        Self::to(Sink::Memory(Vec::new()), [0; 32], numbers)
    }

    /// A run that shall be called `path`.
    pub(super) fn named(
        path: &Path,
        key: [u8; 32],
        numbers: (u64, u64),
    ) -> Result<Self, CacheError> {
        let staged = Staged::create(path, MODE).map_err(|source| failed(path, source))?;
        Ok(Self::file(Output::Named(staged), path, key, numbers))
    }

    /// A run in a file without a name, which is gone when nobody has it open.
    pub(super) fn unnamed(
        directory: &Path,
        key: [u8; 32],
        numbers: (u64, u64),
    ) -> Result<Self, CacheError> {
        let made =
            durable::create_unnamed(directory).map_err(|source| failed(directory, source))?;
        Ok(Self::file(Output::Unnamed(made), directory, key, numbers))
    }

    fn file(output: Output, path: &Path, key: [u8; 32], numbers: (u64, u64)) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self::to(Sink::File { output, buffer, path: path.to_owned() }, key, numbers)
    }

    fn to(sink: Sink, key: [u8; 32], numbers: (u64, u64)) -> Self {
        let (draft, digest) = (Draft::new(), Digest::new(&key));
        Self { sink, key, numbers, draft, fences: Vec::new(), records: 0, digest }
    }

    /// Adds a record, which comes after all others.
    pub(super) fn add(&mut self, record: &[u8; N]) -> Result<(), CacheError> {
        self.draft.push(record);
        self.records += 1;
        if self.draft.count() == capacity::<N>() { self.end_page() } else { Ok(()) }
    }

    fn end_page(&mut self) -> Result<(), CacheError> {
        let number = self.fences.len() as u64;
        self.fences.push(self.draft.fence());
        let (page, sum) = self.draft.seal(&self.key, number);
        self.digest.add(&sum);
        match &mut self.sink {
            Sink::Memory(pages) => pages.push(page),
            Sink::File { output, buffer, path } => {
                buffer.extend_from_slice(&page[..]);
                if buffer.len() >= BUFFER_BYTES {
                    output.write(buffer).map_err(|source| failed(path, source))?;
                    buffer.clear();
                }
            }
        }
        Ok(())
    }

    /// Ends the run; when this returns, one with a name is durable.
    pub(super) fn finish(mut self, meta: &[u8]) -> Result<Run<N>, CacheError> {
        if self.draft.count() > 0 {
            self.end_page()?;
        }
        self.fences.shrink_to_fit();
        let digest = self.digest.finish();
        let tail = Tail { fences: &self.fences, records: self.records, meta, digest };
        let tail = tail.encode::<N>(&self.key);
        let pages = match self.sink {
            Sink::Memory(pages) => Pages::Memory(pages),
            Sink::File { mut output, mut buffer, path } => {
                buffer.extend_from_slice(&tail);
                let ended = output.write(&buffer).and_then(|()| output.end());
                let (file, named) = ended.map_err(|source| failed(&path, source))?;
                let kept = KeptPages::of(self.fences.len());
                Pages::File { file, key: self.key, path, named, kept }
            }
        };
        Ok(Run { pages, fences: self.fences, records: self.records, numbers: self.numbers })
    }
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Named(staged) => staged.file().write_all(bytes),
            Self::Unnamed(file) => file.write_all(bytes),
        }
    }

    fn end(self) -> io::Result<(File, bool)> {
        match self {
            Self::Named(staged) => Ok((staged.publish()?, true)),
            Self::Unnamed(file) => Ok((file, false)),
        }
    }
}
