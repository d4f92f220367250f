//! The second phase: removing what was condemned, after looking again whether nobody needs it.

use std::collections::{BTreeSet, HashSet};

use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::{IndexId, PackId};
use outlast_store::{Object, StoreError};

use super::Work;
use super::judge::{Judgement, judge};
use super::survey::Survey;
use crate::index_file::{self, Writer};
use crate::{RepoError, Repository};

/// What a sweep did.
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
    sweeping: Vec<(Object, Condemned)>,
    /// Written by this run.
    new: Vec<Object>,
    obsolete: Vec<Object>,
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
    let survey = Survey::take(&fresh, keep_going, work.monitor);
    let judged = survey.and_then(|survey| {
        let condemned = condemned(&fresh, &survey, &announced)?;
        Ok((judge(work, &fresh, &survey, condemned, keep_going)?, survey))
    });
    let (Judgement { doomed, unproven }, survey) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            // Nothing is being removed after all; backups need not be afraid of it.
            for object in &announced.new {
                let _gone = work.repository.store().remove(object);
            }
            return Err(error);
        }
    };
    let spared = announced.narrow(work, &doomed)?.saturating_sub(unproven.len() as u64);
    work.monitor.begin("remove", None);
    rewrite_indexes(work, &survey, &doomed, keep_going)?;
    let unproven = unproven.len() as u64;
    let mut swept = Swept { spared, unproven, ..Swept::default() };
    // In the same order always, so that a run can be repeated in a test.
    let doomed: BTreeSet<PackId> = doomed.into_iter().collect();
    for pack in doomed {
        keep_going()?;
        let Some(size) = survey.size_of(&pack) else { continue };
        remove(work.repository, &Object::Data(pack))?;
        work.monitor.advance(size);
        swept.packs += 1;
        swept.bytes += size;
    }
    for object in &announced.obsolete {
        remove(work.repository, object)?;
    }
    Ok(swept)
}

/// Says in the repository that packs are being removed from now on.
fn announce(work: &Work<'_>, marks: &[(IndexId, Condemned)]) -> Result<Announced, RepoError> {
    let object = |id: &IndexId| Object::Index(*id);
    let mut announced = Announced { sweeping: Vec::new(), new: Vec::new(), obsolete: Vec::new() };
    for (id, mark) in marks.iter().filter(|(_, mark)| mark.sweeping) {
        announced.sweeping.push((object(id), mark.clone()));
    }
    for (id, mark) in marks.iter().filter(|(_, mark)| !mark.sweeping) {
        announced.obsolete.push(object(id));
        let is_same = |(_, other): &&(Object, Condemned)| {
            (&other.packs, &other.indexes) == (&mark.packs, &mark.indexes)
        };
        if announced.sweeping.iter().find(is_same).is_none() {
            let mark = Condemned { since: work.clock.now(), sweeping: true, ..mark.clone() };
            let new = write_mark(work, mark.clone())?;
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
        for (object, mark) in &mut self.sweeping {
            let packs = mark.packs.iter().copied().filter(|pack| doomed.contains(pack));
            let packs: Vec<PackId> = packs.collect();
            if packs.len() < mark.packs.len() {
                spared.extend(mark.packs.iter().copied().filter(|pack| !doomed.contains(pack)));
                let is_ours = self.new.contains(object);
                if !is_ours && work.age_of(object, mark)? < work.options.grace {
                    // Whoever announced it may have been taken for dead, and wake up, and remove one
                    // pack more. Until the grace time is over nobody shall rely on any of them.
                    continue;
                }
                self.obsolete.push(*object);
                if !packs.is_empty() {
                    write_mark(work, Condemned { packs, ..mark.clone() })?;
                }
            }
        }
        Ok(spared.len() as u64)
    }
}

/// The packs in the marks, but those that a younger index file lists.
fn condemned(
    repository: &Repository,
    survey: &Survey<'_>,
    announced: &Announced,
) -> Result<HashSet<PackId>, RepoError> {
    let mut condemned: HashSet<PackId> =
        announced.sweeping.iter().flat_map(|(_, mark)| mark.packs.iter().copied()).collect();
    for pack in listed_again(repository, survey, announced)? {
        // A pack that is gone cannot be listed back into being.
        if survey.size_of(&pack).is_some() {
            condemned.remove(&pack);
        }
    }
    Ok(condemned)
}

/// Condemned packs that an index file lists which is younger than the mark: a backup relies on them.
fn listed_again(
    repository: &Repository,
    survey: &Survey<'_>,
    announced: &Announced,
) -> Result<HashSet<PackId>, RepoError> {
    let mut listed = HashSet::new();
    for (_, mark) in &announced.sweeping {
        let known: HashSet<&IndexId> = mark.indexes.iter().collect();
        let condemned: HashSet<&PackId> = mark.packs.iter().collect();
        for object in &survey.files {
            if object.index().is_none_or(|id| known.contains(&id)) {
                continue;
            }
            let packs = index_file::read(repository, *object)?.packs.into_iter();
            listed.extend(packs.map(|(pack, _)| pack).filter(|pack| condemned.contains(pack)));
        }
    }
    Ok(listed)
}

/// Writes the index files that list `doomed` packs anew, without them, and removes the old ones
/// when the new ones are durable.
fn rewrite_indexes(
    work: &Work<'_>,
    survey: &Survey<'_>,
    doomed: &HashSet<PackId>,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<(), RepoError> {
    let chunk_average = survey.chunk_average();
    let notes = Notes { chunk_average, condemned: None };
    let mut writer = Writer::new(work.repository, notes.clone(), work.random);
    let mut old = Vec::new();
    let mut average_kept = None;
    survey.each_file(|object, file| {
        keep_going()?;
        if !file.packs.iter().any(|(pack, _)| doomed.contains(pack)) {
            average_kept = average_kept.max(file.notes.chunk_average);
            return Ok(());
        }
        old.push(object);
        let stay = file.packs.into_iter().filter(|(pack, _)| !doomed.contains(pack));
        stay.into_iter().try_for_each(|(pack, entries)| writer.add(pack, entries))
    })?;
    let new = writer.finish()?;
    if new.is_empty() && average_kept < chunk_average {
        // How content was cut is remembered, also when no pack is left.
        let file = IndexFile { notes, ..IndexFile::default() };
        index_file::write(work.repository, &file, work.random)?;
    }
    // Only now, when the new ones are durable.
    old.iter().try_for_each(|object| remove(work.repository, object))
}

/// Writes a mark; when it returns, the mark is durable.
pub(super) fn write_mark(work: &Work<'_>, mark: Condemned) -> Result<Object, RepoError> {
    let notes = Notes { chunk_average: None, condemned: Some(mark) };
    let file = IndexFile { notes, ..IndexFile::default() };
    Ok(index_file::write(work.repository, &file, work.random)?.0)
}

/// Removes an object; one that is gone is removed.
pub(super) fn remove(repository: &Repository, object: &Object) -> Result<(), RepoError> {
    match repository.store().remove(object) {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
