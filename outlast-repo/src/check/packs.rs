//! Indexes against packs: every pack that an index lists is there, with the size that its blobs
//! and its header need.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::bounded;
use outlast_format::PackId;
use outlast_format::crypto;
use outlast_format::pack::{PackEntry, TRAILER_LENGTH};
use outlast_store::{Kind, Object};
use outlast_types::Monitor;

use super::data::{Findings, PackReader};
use super::report::{Builder, Defect};
use super::state::State;
use super::{Options, Subset};
use crate::read::pool;
use crate::{RepoError, Repository, index_file};

/// One pack as an index lists it, blobs by offset.
pub(super) struct Listed {
    pub(super) pack: PackId,
    pub(super) size: u64,
    pub(super) entries: Vec<PackEntry>,
}

pub(super) fn check(
    repository: &Repository,
    options: &Options,
    indexes: Vec<(Object, u64)>,
    report: &mut Builder<'_>,
    monitor: &dyn Monitor,
) -> Result<(), RepoError> {
    let mut stored = Stored::list(repository)?;
    if options.read_data {
        monitor.begin("check data", Some(stored.bytes(options.subset)));
        with_readers(repository, options, indexes, &mut stored, report, monitor)?;
    } else {
        monitor.begin("check packs", None);
        lists(repository, indexes, &mut stored, report, |_, _| {});
    }
    stored.leftovers().for_each(|pack| report.leftover(pack));
    Ok(())
}

/// The packs that the store has, 48 bytes for each.
struct Stored {
    /// By id; and whether an index lists it.
    packs: Vec<(PackId, u64, bool)>,
    /// Those that an index lists and the store does not have.
    missing: HashSet<PackId>,
}

impl Stored {
    fn list(repository: &Repository) -> Result<Self, RepoError> {
        let objects = repository.store().list(Kind::Data)?.into_iter();
        let mut packs: Vec<_> =
            objects.filter_map(|(object, size)| Some((object.pack()?, size, false))).collect();
        packs.sort_unstable();
        Ok(Self { packs, missing: HashSet::new() })
    }

    /// How much there is to read.
    fn bytes(&self, subset: Option<Subset>) -> u64 {
        let wanted = self.packs.iter().filter(|(pack, ..)| is_in(subset, *pack));
        wanted.map(|(_, size, _)| size).sum()
    }

    /// Notes that an index lists a pack; `None` if one did before, else the size if it is there.
    fn note(&mut self, pack: PackId) -> Option<Option<u64>> {
        match self.packs.binary_search_by_key(&pack, |(id, ..)| *id) {
            Ok(place) => {
                let (_, size, listed) = &mut self.packs[place];
                (!std::mem::replace(listed, true)).then_some(Some(*size))
            }
            Err(_) => self.missing.insert(pack).then_some(None),
        }
    }

    /// The packs that no index lists.
    fn leftovers(&self) -> impl Iterator<Item = PackId> {
        self.packs.iter().filter(|(.., listed)| !listed).map(|(pack, ..)| *pack)
    }
}

fn is_in(subset: Option<Subset>, pack: PackId) -> bool {
    subset.is_none_or(|subset| subset.contains(pack))
}

/// Goes through the index files and hands every pack that is there and wanted on to be read.
fn with_readers(
    repository: &Repository,
    options: &Options,
    indexes: Vec<(Object, u64)>,
    stored: &mut Stored,
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
        lists(repository, indexes, stored, report, |listed, report| {
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
    indexes: Vec<(Object, u64)>,
    stored: &mut Stored,
    report: &mut Builder<'m>,
    mut each: impl FnMut(Listed, &mut Builder<'m>),
) {
    for (object, _) in indexes {
        let file = match index_file::read(repository, object) {
            Ok(file) => file,
            Err(error) => {
                report.add(Defect::Object(error));
                continue;
            }
        };
        report.counts().indexes += 1;
        for (pack, mut entries) in file.packs {
            // Two indexes may list one pack, for example after an interrupted backup.
            let Some(size) = stored.note(pack) else { continue };
            report.counts().packs += 1;
            report.counts().blobs += entries.len() as u64;
            entries.sort_by_key(|entry| entry.offset);
            if let Some(listed) = existing(pack, size, entries, report) {
                report.counts().bytes += listed.size;
                each(listed, report);
            }
        }
    }
}

fn existing(
    pack: PackId,
    size: Option<u64>,
    entries: Vec<PackEntry>,
    report: &mut Builder<'_>,
) -> Option<Listed> {
    let Some(size) = size else {
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
