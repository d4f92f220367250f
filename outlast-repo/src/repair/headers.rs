//! Headers of packs that no index file lists.

use std::thread;

use crossbeam_channel::bounded;
use outlast_format::PackId;
use outlast_format::pack::PackEntry;
use outlast_types::Monitor;

use super::outcome::{Outcome, PackTrouble};
use super::review::Review;
use crate::index_file::IndexWriter;
use crate::pack_header::{self, HeaderError, Stored};
use crate::read::pool;
use crate::{RepoError, Repository};

/// Reads the headers of all packs that are not listed, and lists them.
pub(super) fn list(
    repository: &Repository,
    review: &mut Review<'_>,
    writer: &mut IndexWriter<'_>,
    outcome: &mut Outcome,
    monitor: &dyn Monitor,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<(), RepoError> {
    let unlisted: Vec<(PackId, u64)> = review.inventory.unlisted().collect();
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
                    review.inventory.list(pack);
                    writer.add(pack, entries)?;
                }
                Err(trouble) => outcome.unlisted.push(trouble),
            }
        }
        outcome.unlisted.sort_by_key(PackTrouble::pack);
        Ok(())
    })
}

fn read(repository: &Repository, pack: PackId, size: u64) -> Result<Vec<PackEntry>, PackTrouble> {
    let stored = Stored::of_size(repository.store(), pack, size);
    pack_header::read(&stored, repository.key()).map_err(|error| match error {
        HeaderError::Damaged(source) => PackTrouble::Header { pack, source },
        HeaderError::Unreadable(source) => {
            PackTrouble::Unreadable { pack, source: Box::new(source) }
        }
    })
}
