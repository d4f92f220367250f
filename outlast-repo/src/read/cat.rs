//! One file's content as a stream: fetched and decoded ahead by several threads, given in order.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_format::tree::NodeKind;
use outlast_fs::EntryPath;
use outlast_types::Monitor;

use super::blob;
use super::copies::Copies;
use super::fetch::{Batch, Fetcher, Wanted, plan};
use super::pool;
use super::tree::find;
use crate::read_error::{BlobError, ReadError};
use crate::{Index, RepoError, Repository};

/// Plaintext of one window: what is fetched together. Up to three are in memory.
const WINDOW_BYTES: u64 = 16 << 20;
/// Windows that are fetched while an earlier one is written out.
const WINDOWS_AHEAD: usize = 2;

/// Writes the content of the file at `path` below `tree` to `out`; returns its length in bytes.
///
/// What was written before an error is right: every blob is verified before it is given out.
pub fn cat(
    repository: &Repository,
    tree: BlobId,
    path: &EntryPath,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<u64, RepoError> {
    let node = find(repository, tree, path)?;
    if node.kind != NodeKind::File {
        let kind = node.kind.as_str().to_owned();
        return Err(ReadError::NotAFile { path: path.clone(), kind }.into());
    }
    monitor.begin("cat", Some(node.size));
    let content = node.content.unwrap_or_default();
    let index = repository.index()?;
    let copies = Copies::new(repository)?;
    let alone = Fetcher::new(&copies)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (jobs, queue) = unbounded::<Batch<Purpose>>();
        for _ in 0..pool::workers() {
            let mut fetcher = Fetcher::new(&copies)?;
            let queue = queue.clone();
            let stop = &stop;
            scope.spawn(move || work(&mut fetcher, &queue, stop));
        }
        let written = Stream { index, path, out, monitor, jobs, alone }.run(&content);
        stop.store(true, Ordering::Relaxed);
        Ok(written?)
    })
}

/// Where a blob belongs in its window, and where it is waited for.
struct Purpose {
    slots: Vec<usize>,
    done: Sender<(Vec<usize>, Result<Bytes, BlobError>)>,
}

fn work(fetcher: &mut Fetcher<'_>, queue: &Receiver<Batch<Purpose>>, stop: &AtomicBool) {
    for batch in queue {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        fetcher.fetch(batch, |Wanted { purpose, .. }, result| {
            // Nobody waits any more after an earlier error.
            drop(purpose.done.send((purpose.slots, result.map(Bytes::copy_from_slice))));
        });
    }
}

/// Consecutive blobs of the file that are fetched together.
struct Window {
    blobs: Vec<BlobId>,
    done: Receiver<(Vec<usize>, Result<Bytes, BlobError>)>,
}

struct Stream<'a> {
    index: &'a Index,
    path: &'a EntryPath,
    out: &'a mut dyn Write,
    monitor: &'a dyn Monitor,
    jobs: Sender<Batch<Purpose>>,
    /// For a blob that no worker delivers.
    alone: Fetcher<'a>,
}

impl Stream<'_> {
    fn run(mut self, content: &[BlobId]) -> Result<u64, ReadError> {
        let mut ahead = VecDeque::new();
        let mut written = 0;
        let mut rest = content;
        loop {
            while ahead.len() <= WINDOWS_AHEAD && !rest.is_empty() {
                // A blob that is not known ends the file only where it is needed.
                match self.begin(rest) {
                    Ok(window) => {
                        rest = &rest[window.blobs.len()..];
                        ahead.push_back(window);
                    }
                    Err(error) if ahead.is_empty() => return Err(self.lost(written, error)),
                    Err(_) => break,
                }
            }
            match ahead.pop_front() {
                Some(window) => written = self.write(window, written)?,
                None => return Ok(written),
            }
        }
    }

    /// Sends off the first blobs of `rest`.
    fn begin(&self, rest: &[BlobId]) -> Result<Window, BlobError> {
        let (done, waiting) = unbounded();
        let mut positions: HashMap<BlobId, Wanted<Purpose>> = HashMap::new();
        let mut bytes = 0;
        let mut length = 0;
        for &blob in rest {
            if let Some(wanted) = positions.get_mut(&blob) {
                wanted.purpose.slots.push(length);
            } else {
                let located = match blob::locate(self.index, blob, BlobType::Data) {
                    Ok(located) => located,
                    Err(error) if length == 0 => return Err(error),
                    Err(_) => break,
                };
                bytes += u64::from(located.entry.plaintext_length());
                if bytes > WINDOW_BYTES && length > 0 {
                    break;
                }
                let purpose = Purpose { slots: vec![length], done: done.clone() };
                positions.insert(blob, Wanted { located, purpose });
            }
            length += 1;
        }
        for batch in plan(positions.into_values().collect()) {
            // The workers live as long as this stream.
            drop(self.jobs.send(batch));
        }
        Ok(Window { blobs: rest[..length].to_vec(), done: waiting })
    }

    /// Writes a window as its blobs arrive.
    fn write(&mut self, window: Window, mut written: u64) -> Result<u64, ReadError> {
        let mut slots: Vec<Option<Result<Bytes, BlobError>>> = Vec::new();
        slots.resize_with(window.blobs.len(), || None);
        for (position, &blob) in window.blobs.iter().enumerate() {
            while slots[position].is_none() {
                match window.done.recv() {
                    Ok((positions, result)) => {
                        for position in positions {
                            slots[position] = Some(result.clone());
                        }
                    }
                    Err(_) => slots[position] = Some(self.read_alone(blob)),
                }
            }
            match slots[position].take() {
                Some(Ok(bytes)) => {
                    self.out
                        .write_all(&bytes)
                        .map_err(|source| ReadError::Write { path: self.path.clone(), source })?;
                    written += bytes.len() as u64;
                    self.monitor.advance(bytes.len() as u64);
                }
                Some(Err(error)) => return Err(self.lost(written, error)),
                None => {}
            }
        }
        Ok(written)
    }

    fn read_alone(&mut self, blob: BlobId) -> Result<Bytes, BlobError> {
        let located = blob::locate(self.index, blob, BlobType::Data)?;
        self.alone.single(&located).map(Bytes::from)
    }

    fn lost(&self, offset: u64, source: BlobError) -> ReadError {
        ReadError::Content { path: self.path.clone(), offset, source: Box::new(source) }
    }
}
