//! What packs say of themselves.

use std::thread;

use crossbeam_channel::bounded;
use outlast_format::pack::{self, PackEntry, TRAILER_LENGTH};
use outlast_format::{FormatError, PackId};
use outlast_types::Monitor;

use super::survey::Survey;
use super::writer::Writer;
use super::{Outcome, PackTrouble};
use crate::read::blob::pack_object;
use crate::read::pool;
use crate::{RepoError, Repository};

/// The end of a pack that is read first: the header of 1500 blobs, which most packs do not have.
const TAIL_BYTES: u64 = 64 << 10;

/// Reads the headers of all packs that are not listed, and lists them.
pub(super) fn list(
    repository: &Repository,
    survey: &mut Survey,
    writer: &mut Writer<'_>,
    outcome: &mut Outcome,
    monitor: &dyn Monitor,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<(), RepoError> {
    let unlisted = survey.packs.iter().filter(|stored| !stored.listed);
    let unlisted: Vec<_> = unlisted.map(|stored| (stored.pack, stored.size)).collect();
    let workers = pool::workers().min(unlisted.len());
    let (jobs, queue) = bounded(workers);
    let (results, headers) = bounded(workers);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (queue, results) = (queue.clone(), results.clone());
            scope.spawn(move || {
                for (pack, size) in queue {
                    // Nobody listens any more if an index file could not be written.
                    if results.send((pack, read(repository, pack, size))).is_err() {
                        return;
                    }
                }
            });
        }
        // Or the loops below would wait for ever.
        drop((queue, results));
        scope.spawn(move || {
            for pack in unlisted {
                if jobs.send(pack).is_err() {
                    return;
                }
            }
        });
        for (pack, header) in headers {
            keep_going()?;
            monitor.item(&pack.to_string());
            outcome.headers_read += 1;
            match header {
                Ok(entries) => {
                    survey.set_listed(pack);
                    writer.add(pack, entries)?;
                }
                Err(trouble) => outcome.unlisted.push(trouble),
            }
        }
        outcome.unlisted.sort_by_key(PackTrouble::pack);
        Ok(())
    })
}

/// The header of one pack, verified by its authentication code and its size.
fn read(repository: &Repository, pack: PackId, size: u64) -> Result<Vec<PackEntry>, PackTrouble> {
    let damaged = |source| PackTrouble::Header { pack, source };
    let tail = |length: u64| {
        // Headers are limited to 16 MiB.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        repository
            .store()
            .read_range(&pack_object(pack), size - length as u64, length)
            .map_err(|source| PackTrouble::Unreadable { pack, source: Box::new(source) })
    };
    let mut bytes = tail(size.min(TAIL_BYTES))?;
    let trailer = bytes.last_chunk::<TRAILER_LENGTH>().ok_or_else(|| {
        let (length, minimum) = (bytes.len(), TRAILER_LENGTH);
        damaged(FormatError::TooShort { object: "pack", length, minimum })
    })?;
    let length = u64::from(pack::header_length(*trailer, size).map_err(damaged)?);
    let end = length + TRAILER_LENGTH as u64;
    if end > bytes.len() as u64 {
        bytes = tail(end)?;
    }
    let begin = bytes.len() - usize::try_from(end).unwrap_or(bytes.len());
    let sealed = &bytes[begin..bytes.len() - TRAILER_LENGTH];
    let plaintext = repository.key().open(sealed).map_err(damaged)?;
    pack::decode_header(&plaintext, size - end).map_err(damaged)
}
