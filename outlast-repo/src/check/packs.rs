//! Indexes against packs: every pack that an index lists is there, with the size that its blobs
//! and its header need.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::bounded;
use outlast_format::PackId;
use outlast_format::crypto;
use outlast_format::index::IndexFile;
use outlast_format::pack::{PackEntry, TRAILER_LENGTH};
use outlast_store::{Kind, Object};
use outlast_types::Monitor;

use super::Options;
use super::data::{Findings, PackReader};
use super::report::{Builder, Defect};
use crate::read::pool;
use crate::{RepoError, Repository};

/// One pack as an index lists it, blobs by offset.
pub(super) struct Listed {
    pub(super) pack: PackId,
    pub(super) size: u64,
    pub(super) entries: Vec<PackEntry>,
}

pub(super) fn check(
    repository: &Repository,
    options: Options,
    indexes: Vec<(Object, u64)>,
    report: &mut Builder<'_>,
    monitor: &dyn Monitor,
) -> Result<(), RepoError> {
    let sizes: HashMap<PackId, u64> = repository
        .store()
        .list(Kind::Data)?
        .into_iter()
        .filter_map(|(object, size)| Some((PackId(object.name()?.0), size)))
        .collect();
    let total = options.read_data.then(|| sizes.values().sum());
    monitor.begin(if options.read_data { "check data" } else { "check packs" }, total);
    let seen = if options.read_data {
        with_readers(repository, indexes, &sizes, report, monitor)?
    } else {
        lists(repository, indexes, &sizes, report, |_| {})?
    };
    let mut leftovers: Vec<_> = sizes.into_keys().filter(|pack| !seen.contains(pack)).collect();
    leftovers.sort();
    leftovers.into_iter().for_each(|pack| report.leftover(pack));
    Ok(())
}

/// Goes through the index files and hands every pack that is there on to be read.
fn with_readers(
    repository: &Repository,
    indexes: Vec<(Object, u64)>,
    sizes: &HashMap<PackId, u64>,
    report: &mut Builder<'_>,
    monitor: &dyn Monitor,
) -> Result<HashSet<PackId>, RepoError> {
    let findings = Mutex::new(Findings::default());
    let seen = thread::scope(|scope| {
        let (jobs, queue) = bounded::<Listed>(pool::workers());
        for _ in 0..pool::workers() {
            let mut reader = PackReader::new(repository, monitor)?;
            let (queue, findings) = (queue.clone(), &findings);
            scope.spawn(move || {
                for listed in queue {
                    let found = reader.read(&listed);
                    findings.lock().unwrap_or_else(PoisonError::into_inner).merge(found);
                }
            });
        }
        // The readers live until the queue is dropped.
        lists(repository, indexes, sizes, report, |listed| drop(jobs.send(listed)))
    })?;
    findings.into_inner().unwrap_or_else(PoisonError::into_inner).tell(report);
    Ok(seen)
}

/// Checks what every index file says and gives each pack that is there to `each`, once.
fn lists(
    repository: &Repository,
    indexes: Vec<(Object, u64)>,
    sizes: &HashMap<PackId, u64>,
    report: &mut Builder<'_>,
    mut each: impl FnMut(Listed),
) -> Result<HashSet<PackId>, RepoError> {
    let mut seen = HashSet::new();
    for (object, _) in indexes {
        let file = match index_file(repository, object) {
            Ok(file) => file,
            Err(error) => {
                report.add(Defect::Object(error));
                continue;
            }
        };
        report.counts().indexes += 1;
        for (pack, mut entries) in file.packs {
            // Two indexes may list one pack, for example after an interrupted backup.
            if !seen.insert(pack) {
                continue;
            }
            report.counts().packs += 1;
            report.counts().blobs += entries.len() as u64;
            entries.sort_by_key(|entry| entry.offset);
            if let Some(listed) = existing(pack, entries, sizes, report) {
                each(listed);
            }
        }
    }
    Ok(seen)
}

fn index_file(repository: &Repository, object: Object) -> Result<IndexFile, RepoError> {
    let document = repository.read_unpacked(&object)?;
    IndexFile::parse(&document).map_err(|source| RepoError::Damaged {
        object,
        location: repository.location(),
        source,
    })
}

fn existing(
    pack: PackId,
    entries: Vec<PackEntry>,
    sizes: &HashMap<PackId, u64>,
    report: &mut Builder<'_>,
) -> Option<Listed> {
    let Some(&size) = sizes.get(&pack) else {
        report.lose_pack(pack, Defect::MissingPack { pack, blobs: entries.len() });
        return None;
    };
    let mut end = 0;
    let contiguous = entries.iter().all(|entry| {
        let follows = u64::from(entry.offset) == end;
        end = u64::from(entry.offset) + u64::from(entry.length);
        follows
    });
    let header: usize = entries.iter().map(PackEntry::header_length).sum();
    let expected = end + (crypto::OVERHEAD + header + TRAILER_LENGTH) as u64;
    if !contiguous {
        report.add(Defect::PackLayout { pack });
    } else if size != expected {
        // Blobs that end within the pack may well be whole.
        let lost =
            entries.iter().filter(|entry| u64::from(entry.offset) + u64::from(entry.length) > size);
        let lost = lost.map(|entry| (entry.kind, entry.id)).collect();
        report.lose_blobs(pack, lost, Defect::PackSize { pack, size, expected });
    }
    Some(Listed { pack, size, entries })
}
