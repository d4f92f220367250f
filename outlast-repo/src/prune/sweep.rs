//! The second phase: removing what was condemned, after looking again whether nobody needs it.

use std::collections::{BTreeSet, HashSet};

use outlast_format::index::Condemned;
use outlast_format::{IndexId, PackId};
use outlast_store::Object;

use super::judge::{Judgement, judge};
use super::usage::Usage;
use super::work::{Marks, Work};
use crate::index_file::{self, IndexWriter};
use crate::{RepoError, Repository};

/// The outcome of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) packs: u64,
    pub(super) bytes: u64,
    /// Packs that were condemned and are needed after all.
    pub(super) spared: u64,
    /// Packs that stay because no other copy of what is needed in them could be read.
    pub(super) unproven: u64,
}

/// Marks under which packs are being removed, and those that they take the place of.
struct Announced {
    sweeping: Marks,
    /// Written by this run.
    new: Vec<IndexId>,
    obsolete: Vec<IndexId>,
}

/// Removes the packs in `marks` that nobody needs. The caller holds an exclusive lock, which
/// `keep_going` keeps. Whatever step it is killed after, the next sweep of the same marks goes on.
pub(super) fn sweep(
    work: &Work<'_>,
    marks: &[(IndexId, Condemned)],
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<Swept, RepoError> {
    let mut announced = announce(work, marks)?;
    // Looked at only now: whoever did not see the announcement is seen here.
    let fresh = work.repository.afresh();
    let usage = Usage::take(&fresh, keep_going, work.monitor);
    let judged = usage.and_then(|usage| {
        let condemned = condemned(&fresh, &usage, &announced)?;
        Ok((judge(work, &fresh, &usage, condemned, keep_going)?, usage))
    });
    let (Judgement { doomed, unproven }, usage) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            // Nothing is being removed after all; backups need not be afraid of it.
            for mark in &announced.new {
                let _gone = work.repository.store().remove(&Object::Index(*mark));
            }
            return Err(error);
        }
    };
    let spared = announced.narrow(work, &doomed)?.saturating_sub(unproven.len() as u64);
    work.monitor.begin("remove", None);
    rewrite_indexes(work, &usage, &doomed, keep_going)?;
    let unproven = unproven.len() as u64;
    let mut swept = Swept { spared, unproven, ..Swept::default() };
    // In the same order always, so that a run can be repeated in a test.
    let doomed: BTreeSet<PackId> = doomed.into_iter().collect();
    for pack in doomed {
        keep_going()?;
        let Some(size) = usage.size_of(&pack) else { continue };
        work.remove(&Object::Data(pack))?;
        work.monitor.advance(size);
        swept.packs += 1;
        swept.bytes += size;
    }
    for mark in &announced.obsolete {
        work.remove(&Object::Index(*mark))?;
    }
    Ok(swept)
}

/// Says in the repository that packs are being removed from now on.
fn announce(work: &Work<'_>, marks: &[(IndexId, Condemned)]) -> Result<Announced, RepoError> {
    let mut announced = Announced { sweeping: Vec::new(), new: Vec::new(), obsolete: Vec::new() };
    for (id, mark) in marks.iter().filter(|(_, mark)| mark.sweeping) {
        announced.sweeping.push((*id, mark.clone()));
    }
    for (id, mark) in marks.iter().filter(|(_, mark)| !mark.sweeping) {
        announced.obsolete.push(*id);
        let is_same = |(_, other): &&(IndexId, Condemned)| {
            (&other.packs, &other.indexes) == (&mark.packs, &mark.indexes)
        };
        if announced.sweeping.iter().find(is_same).is_none() {
            let mark = Condemned { since: work.clock.now(), sweeping: true, ..mark.clone() };
            let new = work.write_mark(mark.clone())?;
            announced.new.push(new);
            announced.sweeping.push((new, mark));
        }
    }
    Ok(announced)
}

impl Announced {
    /// Leaves only `doomed` packs in the marks; returns how many packs were spared.
    fn narrow(&mut self, work: &Work<'_>, doomed: &HashSet<PackId>) -> Result<u64, RepoError> {
        let mut spared = HashSet::new();
        for (id, mark) in &mut self.sweeping {
            let packs = mark.packs.iter().copied().filter(|pack| doomed.contains(pack));
            let packs: Vec<PackId> = packs.collect();
            if packs.len() < mark.packs.len() {
                spared.extend(mark.packs.iter().copied().filter(|pack| !doomed.contains(pack)));
                let is_ours = self.new.contains(id);
                if !is_ours && work.age_of(*id, mark)? < work.options.grace {
                    // Whoever announced it may have been taken for dead, and wake up, and remove one
                    // pack more. Until the grace time is over nobody shall rely on any of them.
                    continue;
                }
                self.obsolete.push(*id);
                if !packs.is_empty() {
                    work.write_mark(Condemned { packs, ..mark.clone() })?;
                }
            }
        }
        Ok(spared.len() as u64)
    }
}

/// The packs in the marks, but those that a younger index file lists.
fn condemned(
    repository: &Repository,
    usage: &Usage<'_>,
    announced: &Announced,
) -> Result<HashSet<PackId>, RepoError> {
    let mut condemned: HashSet<PackId> =
        announced.sweeping.iter().flat_map(|(_, mark)| mark.packs.iter().copied()).collect();
    for pack in listed_again(repository, usage, announced)? {
        // A pack that is gone cannot be listed back into being.
        if usage.size_of(&pack).is_some() {
            condemned.remove(&pack);
        }
    }
    Ok(condemned)
}

/// Condemned packs that an index file lists which is younger than the mark: a backup relies on them.
fn listed_again(
    repository: &Repository,
    usage: &Usage<'_>,
    announced: &Announced,
) -> Result<HashSet<PackId>, RepoError> {
    let mut listed = HashSet::new();
    for (_, mark) in &announced.sweeping {
        let known: HashSet<&IndexId> = mark.indexes.iter().collect();
        let condemned: HashSet<&PackId> = mark.packs.iter().collect();
        for index in usage.inventory().files().iter().filter(|index| !known.contains(index)) {
            let packs = index_file::read(repository.opened(), *index)?.packs.into_iter();
            listed.extend(packs.map(|(pack, _)| pack).filter(|pack| condemned.contains(pack)));
        }
    }
    Ok(listed)
}

/// Writes the index files that list `doomed` packs anew, without them, and removes the old ones
/// when the new ones are durable.
fn rewrite_indexes(
    work: &Work<'_>,
    usage: &Usage<'_>,
    doomed: &HashSet<PackId>,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<(), RepoError> {
    let chunk_average = usage.chunk_average();
    let mut writer = IndexWriter::new(work.repository.opened(), chunk_average, work.random);
    let mut old = Vec::new();
    let mut average_kept = None;
    usage.inventory().each_file(|index, file| {
        keep_going()?;
        if !file.packs.iter().any(|(pack, _)| doomed.contains(pack)) {
            average_kept = average_kept.max(file.notes.chunk_average);
            return Ok(());
        }
        old.push(index);
        let stay = file.packs.into_iter().filter(|(pack, _)| !doomed.contains(pack));
        stay.into_iter().try_for_each(|(pack, entries)| writer.add(pack, entries))
    })?;
    writer.finish_beside(average_kept)?;
    // Only now, when the new ones are durable.
    old.into_iter().try_for_each(|index| work.remove(&Object::Index(index)))
}
