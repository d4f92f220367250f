//! Indexes against packs: every pack that an index lists is there, with the size that its blobs
//! and its header need.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::bounded;
use outlast_format::PackId;
use outlast_format::pack::PackEntry;
use outlast_types::Monitor;

use super::data::{Findings, PackReader};
use super::listed::Listed;
use super::options::Options;
use super::report::{Builder, Defect};
use super::state::State;
use super::subset::Subset;
use crate::inventory::{Fit, Inventory};
use crate::read::pool;
use crate::{RepoError, Repository, index_file};

pub(super) fn check(
    repository: &Repository,
    options: &Options,
    mut inventory: Inventory<'_>,
    report: &mut Builder<'_>,
    monitor: &dyn Monitor,
) -> Result<(), RepoError> {
    if options.read_data {
        let wanted = inventory.packs().iter().filter(|(pack, _)| is_in(options.subset, *pack));
        monitor.begin("check data", Some(wanted.map(|(_, size)| size).sum()));
        with_readers(repository, options, &mut inventory, report, monitor)?;
    } else {
        monitor.begin("check packs", None);
        lists(repository, &mut inventory, report, |_, _| {});
    }
    inventory.unlisted().for_each(|(pack, _)| report.leftover(pack));
    Ok(())
}

fn is_in(subset: Option<Subset>, pack: PackId) -> bool {
    subset.is_none_or(|subset| subset.contains(pack))
}

/// Goes through the index files and hands every pack that is there and wanted on to be read.
fn with_readers(
    repository: &Repository,
    options: &Options,
    inventory: &mut Inventory<'_>,
    report: &mut Builder<'_>,
    monitor: &dyn Monitor,
) -> Result<(), RepoError> {
    let state = options.resume.as_ref();
    let state = state.map(|resume| State::open(resume, repository.config().id)).transpose()?;
    let findings = Mutex::new(Findings::default());
    thread::scope(|scope| -> Result<(), RepoError> {
        let (jobs, queue) = bounded::<Listed>(pool::workers());
        for _ in 0..pool::workers() {
            let mut reader = PackReader::new(repository, monitor)?;
            let (queue, findings, state) = (queue.clone(), &findings, state.as_ref());
            scope.spawn(move || {
                for listed in queue {
                    let found = reader.read(&listed);
                    if let (Some(state), true) = (state, found.is_clean()) {
                        state.note(&listed);
                    }
                    findings.lock().unwrap_or_else(PoisonError::into_inner).merge(found);
                }
            });
        }
        lists(repository, inventory, report, |listed, report| {
            if !is_in(options.subset, listed.pack) {
                return;
            }
            if state.as_ref().is_some_and(|state| state.knows(&listed)) {
                report.counts().packs_resumed += 1;
                report.counts().bytes_resumed += listed.size;
                monitor.advance(listed.size);
                return;
            }
            // The readers live until the queue is dropped.
            drop(jobs.send(listed));
        });
        Ok(())
    })?;
    findings.into_inner().unwrap_or_else(PoisonError::into_inner).tell(report);
    state.map_or(Ok(()), State::finish)
}

/// Checks what every index file says and gives each pack that is there to `each`, once.
fn lists<'m>(
    repository: &Repository,
    inventory: &mut Inventory<'_>,
    report: &mut Builder<'m>,
    mut each: impl FnMut(Listed, &mut Builder<'m>),
) {
    for index in inventory.files().to_vec() {
        let file = match index_file::read(repository.opened(), index) {
            Ok(file) => file,
            Err(error) => {
                report.add(Defect::Object(error));
                continue;
            }
        };
        report.counts().indexes += 1;
        for (pack, mut entries) in file.packs {
            // Two indexes may list one pack, for example after an interrupted backup.
            if !inventory.list(pack) {
                continue;
            }
            report.counts().packs += 1;
            report.counts().blobs += entries.len() as u64;
            entries.sort_by_key(|entry| entry.offset);
            let fit = inventory.fit(&pack, &entries);
            if let Some(listed) = existing(pack, fit, entries, report) {
                report.counts().bytes += listed.size;
                each(listed, report);
            }
        }
    }
}

fn existing(
    pack: PackId,
    fit: Fit,
    entries: Vec<PackEntry>,
    report: &mut Builder<'_>,
) -> Option<Listed> {
    let size = match fit {
        Fit::Missing => {
            report.lose_pack(pack, Defect::MissingPack { pack, blobs: entries.len() });
            return None;
        }
        Fit::Whole { size } => size,
        Fit::Gaps { size } => {
            report.add(Defect::PackLayout { pack });
            size
        }
        Fit::OtherSize { size, expected } => {
            // Blobs that end within the pack may well be whole.
            let lost = entries.iter().filter(|entry| entry.end() > size);
            let lost = lost.map(|entry| (entry.kind, entry.id)).collect();
            report.lose_blobs(pack, lost, Defect::PackSize { pack, size, expected });
            size
        }
    };
    Some(Listed { pack, size, entries })
}
