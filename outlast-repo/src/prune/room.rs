//! Room on a full disk, made by removing before anything is written.
//!
//! A prune writes before it removes: a lock, marks, index files. On a full disk none of that is
//! possible, and yet what it is for is there. So a few packs that may go now are taken out first, as
//! many as it takes until the lock, the announcement of what was taken, and index files without it can
//! be written in their place. From then on there is room, and the prune goes on: first with what needs
//! no copying, then with the rest, as far as there is room for it.
//!
//! What is taken out was judged like everything that is removed, and stays in memory until all was
//! looked at once more under the lock and after the announcement, as in every sweep. If somebody turns
//! out to rely on it after all it is put back. So it takes two things at once to lose anything: a backup
//! that begins to rely on a pack which nobody has needed for the grace time, and a kill, both within the
//! moment between a removal and its announcement.
//!
//! The packs that no index file lists go first, then the smallest.

use std::collections::HashSet;

use bytes::Bytes;
use outlast_format::index::Condemned;
use outlast_format::{IndexId, PackId};
use outlast_store::{Object, StoreError, create_or_find};

use super::judge::judge;
use super::options::{Options, Outcome};
use super::sweep::{Swept, sweep};
use super::usage::Usage;
use super::work::{Marks, Work};
use crate::lock::{self, Held};
use crate::{RepoError, Repository};

/// No more is held in memory, in bytes, unless the first pack alone is larger.
const TAKEN_BYTES_MAX: u64 = 64 << 20;

/// Packs with their bytes.
type Sizes = Vec<(PackId, u64)>;

/// Whether the store had no room for something.
pub(super) fn is_full(error: &RepoError) -> bool {
    matches!(error, RepoError::Store(StoreError::Full { .. }))
}

/// Prunes a store that had no room for a prune.
pub(super) fn prune(work: &Work<'_>) -> Result<Outcome, RepoError> {
    // Copying takes room before it gives any.
    let options = Options { max_repack: 0, ..*work.options };
    let thrifty = Work { options: &options, ..*work };
    let done = thrifty_prune(&thrifty)?;
    match work.run() {
        Ok(rest) => Ok(done.then(rest)),
        Err(error) if is_full(&error) => match thrifty_prune(&thrifty) {
            // What was copied in vain is gone again.
            Ok(rest) => Ok(done.then(rest)),
            Err(error) if is_full(&error) => Ok(done),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Prunes without copying, and makes room for it where there is none. Nothing large is written, so
/// each time that there is no room there is one pack less.
fn thrifty_prune(work: &Work<'_>) -> Result<Outcome, RepoError> {
    let mut done = Outcome::default();
    loop {
        match work.run() {
            Err(error) if is_full(&error) => {
                let Some(Swept { packs, bytes, spared, unproven }) = make(work)? else {
                    return Err(error);
                };
                done = done.then(Outcome {
                    freed_packs: packs,
                    freed_bytes: bytes,
                    room_packs: packs,
                    spared_packs: spared,
                    unproven_packs: unproven,
                    ..Outcome::default()
                });
            }
            result => return result.map(|rest| done.then(rest)),
        }
    }
}

/// Removes packs until what has to be written for it fits; `None` if no pack may go now.
/// [`RepoError::Locked`] if somebody works on the repository.
fn make(work: &Work<'_>) -> Result<Option<Swept>, RepoError> {
    // What was begun is gone on with when there is room.
    let marks = &work.marks()?;
    lock::look_for_others(work.repository, None, true, work.here, work.clock)?;
    let repository = work.repository.afresh();
    let (indexes, packs) = removable(work, &repository, marks)?;
    let mut waiting = packs.into_iter().peekable();
    let mut taken = Taken { repository: &repository, packs: Vec::new(), bytes: 0 };
    loop {
        let count = taken.packs.len();
        // One, then as many again as there are.
        for _ in 0..count.max(1) {
            let (is_first, bytes) = (taken.packs.is_empty(), taken.bytes);
            let fits = |(_, size): &(PackId, u64)| is_first || bytes + size <= TAKEN_BYTES_MAX;
            let Some((pack, _)) = waiting.next_if(fits) else { break };
            taken.take(pack)?;
        }
        if taken.packs.len() == count {
            taken.put_back()?;
            return Ok(None);
        }
        match announce(work, &taken, &indexes) {
            Ok(swept) => {
                let (packs, bytes) = (taken.packs.len() as u64, taken.bytes);
                let (packs, bytes) = (swept.packs + packs, swept.bytes + bytes);
                return Ok(Some(Swept { packs, bytes, ..swept }));
            }
            Err(error) if is_full(&error) => {}
            Err(error) => {
                taken.put_back()?;
                return Err(error);
            }
        }
    }
}

/// The index files that there are, and the packs that may go now, in the order in which they should.
fn removable(
    work: &Work<'_>,
    repository: &Repository,
    marks: &Marks,
) -> Result<(Vec<IndexId>, Sizes), RepoError> {
    let nothing = || Ok(());
    let usage = Usage::take(repository, &nothing, work.monitor)?;
    let tallies = usage.tally(|_| true)?;
    let stored = usage.inventory().packs().iter().map(|(pack, _)| pack);
    let candidates: HashSet<PackId> = if work.options.grace.is_zero()
        && work.options.awaited_since.is_none()
    {
        // Nobody else works on it: what nobody needs can go, marked or not.
        stored.filter(|pack| tallies.get(pack).is_none_or(|tally| tally.used_blobs == 0)).collect()
    } else if work.is_due(marks)? {
        let condemned: HashSet<PackId> =
            marks.iter().flat_map(|(_, mark)| mark.packs.iter().copied()).collect();
        stored.filter(|pack| condemned.contains(pack)).collect()
    } else {
        HashSet::new()
    };
    let judgement = judge(work, repository, &usage, candidates, &nothing)?;
    let size = |pack: &PackId| usage.size_of(pack);
    let mut packs: Vec<_> =
        judgement.doomed.into_iter().filter_map(|pack| Some((pack, size(&pack)?))).collect();
    packs.sort_unstable_by_key(|(pack, size)| (tallies.contains_key(pack), *size, *pack));
    Ok((usage.inventory().files().to_vec(), packs))
}

/// Locks, announces what was taken, looks at everything once more, and takes it out of the index.
fn announce(work: &Work<'_>, taken: &Taken<'_>, indexes: &[IndexId]) -> Result<Swept, RepoError> {
    let lock = Held::take(work.repository, true, work.here, work.clock, work.random)?;
    let mark = Condemned {
        since: work.clock.now(),
        sweeping: true,
        packs: taken.packs.iter().map(|(pack, _)| *pack).collect(),
        indexes: indexes.to_vec(),
    };
    let id = work.write_mark(mark.clone())?;
    sweep(work, &[(id, mark)], &|| lock.keep()).inspect_err(|_| {
        // Nothing was removed after all, or more will be, with a mark of its own.
        let _gone = work.remove(&Object::Index(id));
    })
}

/// Packs that are gone from the store and not from memory.
struct Taken<'r> {
    repository: &'r Repository,
    packs: Vec<(PackId, Bytes)>,
    bytes: u64,
}

impl Taken<'_> {
    fn take(&mut self, pack: PackId) -> Result<(), RepoError> {
        let object = Object::Data(pack);
        let taken = self.repository.store().read(&object).and_then(|content| {
            self.repository.store().remove(&object)?;
            Ok(content)
        });
        match taken {
            Ok(content) => {
                self.bytes += content.len() as u64;
                self.packs.push((pack, content));
                Ok(())
            }
            Err(error) => {
                self.put_back()?;
                Err(error.into())
            }
        }
    }

    /// Stores them again: their room is free, or somebody was very quick.
    fn put_back(&self) -> Result<(), RepoError> {
        for (pack, content) in &self.packs {
            let object = Object::Data(*pack);
            create_or_find(self.repository.store(), &object, content.clone())?;
        }
        Ok(())
    }
}
