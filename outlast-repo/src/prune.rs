//! Prune: removing what no snapshot needs any more, while backups go on.
//!
//! A backup refers to blobs that lie in the repository already, and nobody can see that before its
//! snapshot is there. So packs go in two phases. Nothing here waits for a backup, and no backup
//! waits for us.
//!
//! **Mark.** All trees are walked. Packs that hold nothing needed, and packs that no index file
//! lists, are *condemned*; of those with much that is not needed, the needed blobs are first copied
//! into new packs, with an index file of their own, and then the old ones are condemned. The *mark*
//! is an index file without packs ([`Condemned`]): who writes to a repository reads those first, and
//! stock restic ignores what it does not know. Nothing else changes; every snapshot stays readable.
//!
//! **Grace.** A backup that begins now stores again what lies in condemned packs. One that began
//! earlier may refer to them; before it ends it looks at the index files again, and lists in a new
//! one the condemned packs that it relies on. That revives them.
//!
//! **Sweep**, when the grace time is over: a second mark announces it, then everything is looked at
//! anew, then index files are written without the packs, the old index files go, then the packs.
//! The announcement stays for a week, for backups that slept.
//!
//! Why nothing is lost that a snapshot needs, now or later:
//!
//! 1. *Snapshots that the sweep sees.* It walks all of them. A pack goes only if every needed blob in
//!    it, by any index file and by its own header, was read in another pack that stays, and was
//!    authentic there (`judge`). If anything needed is nowhere, the repository is damaged, and nothing
//!    is removed.
//! 2. *Backups under way.* Each sees the marks after its last index file, and lists condemned packs
//!    again, and looks once more. The sweep announces itself first, and lists the index files then. So
//!    of a backup that lists a pack again and a sweep of it, one sees the other at least: the sweep
//!    spares what an index file lists that is younger than the mark, and the backup fails with
//!    [`RepoError::Outdated`] if it sees the announcement, or if packs that it relies on are in no
//!    index file any more.
//! 3. *Backups that looked before the mark was made, and publish after the sweep looked.* Their
//!    snapshot would be later than their last look by the whole grace time. `backup::publish` looks
//!    again after publishing, and takes back a snapshot whose packs are being removed; so for it the
//!    grace time is no matter of safety, but of not working in vain. A vault publishes by itself: it
//!    must do so within the grace time. So must one that is killed between publishing and looking:
//!    a snapshot for which nobody vouched may stay, and the next prune names it.
//! 4. *Packs that a backup uploaded and that are in no index file yet* may be condemned as leftovers.
//!    The index file that it writes then is younger than the mark, and 2. holds. If it slept over the
//!    whole sweep, that file lists packs that are gone. While the announcement is there, nobody
//!    refers to them. At the end each backup asks whether all packs that it relies on are there; it
//!    asks between two looks, so that a pack it finds is under no announcement or one that it sees.
//!    If one is gone it takes its index files back and fails; and a prune takes out of the index
//!    what is gone and nobody needs.
//! 5. *Two prunes* may mark the same; each sweep decides anew what is needed, whatever was believed
//!    when it was marked, and holds an exclusive lock. One that slept may have been taken for dead,
//!    and remove one pack more than the other one would: so its announcement stays as it is for the
//!    grace time, and no backup relies on any pack in it.
//! 6. *Stock restic* knows no marks. A backup of it holds a lock as long as it works, and the sweep
//!    waits for a time without such locks, and keeps new ones away. If stock restic writes the
//!    indexes anew, marks are lost, and their packs are simply unused again. Packs in a mark that
//!    are gone already are no error.
//! 7. *Killed anywhere*: packs without an index file are leftovers; copies without a mark are further
//!    copies; a sweep that was announced is done again from its start.
//! 8. *Clocks* decide when a sweep is due, and nothing else; and it is the store's clock where it
//!    tells, not what a mark says of itself. A mark from the future is dated anew.
//! 9. *Readers* that opened the repository before a sweep look for a blob that is gone where current
//!    index files say (`read/copies.rs`).
//!
//! A full disk has no room for any of this. There `room` takes out what may go first, holds it in memory
//! meanwhile, and puts it back if it turns out to be needed.
//!
//! One mark waits at a time: what becomes unneeded meanwhile is marked after its sweep. Otherwise the
//! index files that one sweep writes would seem younger than the next mark, and spare its packs.
//!
//! Memory: one bit for each blob (three while sweeping), about 100 bytes for each pack, one index file,
//! a few packs in the making. Nothing else grows with the repository but the index itself.

mod bits;
mod judge;
mod mark;
mod plan;
mod repack;
mod room;
mod survey;
mod sweep;

use std::collections::HashSet;
use std::time::Duration;

use outlast_format::index::Condemned;
use outlast_format::{IndexId, PackId, Sha256Id};
use outlast_store::{Object, StoreError};
use outlast_types::{Clock, Monitor, Random, Timestamp};

use self::mark::Marked;
use self::sweep::{Swept, remove, sweep, write_mark};
use crate::forget::no_removal;
use crate::lock::{FoundLock, Held, Here};
use crate::{RepoError, Repository};

/// How to prune.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long condemned packs stay. Longer than any backup takes from its end to its snapshot's
    /// being there; zero if nobody else works on the repository.
    pub grace: Duration,
    /// The part of what stays that may be unneeded, from 0 to 1: more is copied together.
    pub max_unused: f64,
    /// The most that is copied by one prune, in bytes.
    pub max_repack: u64,
    /// Look and tell, but change nothing.
    pub dry_run: bool,
}

impl Default for Options {
    /// A day; a twentieth; 10 GiB.
    fn default() -> Self {
        let grace = Duration::from_secs(24 * 60 * 60);
        Self { grace, max_unused: 0.05, max_repack: 10 << 30, dry_run: false }
    }
}

/// What a prune did, or would do.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Packs that were removed, and their bytes.
    pub freed_packs: u64,
    pub freed_bytes: u64,
    /// Packs that had to be removed before anything could be written, because the store was full.
    pub room_packs: u64,
    /// Packs that had been condemned and turned out to be needed.
    pub spared_packs: u64,
    /// Packs that stay, though an index says that what is needed of them lies elsewhere, too: it could
    /// not be read there.
    pub unproven_packs: u64,
    /// Packs whose needed blobs were copied into new ones.
    pub repacked_packs: u64,
    /// Bytes of the new packs.
    pub repacked_bytes: u64,
    /// What waits to be removed.
    pub waiting: Option<Waiting>,
    /// Bytes that nobody needs in packs that stay; `None` if nothing was marked this time.
    pub unused_bytes: Option<u64>,
    /// Why nothing was removed although it was time.
    pub postponed: Option<Box<FoundLock>>,
}

impl Outcome {
    /// This and what was done after it.
    fn then(self, later: Self) -> Self {
        Self {
            freed_packs: self.freed_packs + later.freed_packs,
            freed_bytes: self.freed_bytes + later.freed_bytes,
            room_packs: self.room_packs + later.room_packs,
            spared_packs: self.spared_packs + later.spared_packs,
            unproven_packs: self.unproven_packs.max(later.unproven_packs),
            repacked_packs: self.repacked_packs + later.repacked_packs,
            repacked_bytes: self.repacked_bytes + later.repacked_bytes,
            waiting: later.waiting,
            unused_bytes: later.unused_bytes.or(self.unused_bytes),
            postponed: later.postponed.or(self.postponed),
        }
    }
}

/// Condemned packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub packs: u64,
    pub bytes: u64,
    /// When a prune will remove them.
    pub due: Timestamp,
}

/// Who prunes what and how.
#[derive(Clone, Copy)]
struct Work<'a> {
    repository: &'a Repository,
    options: &'a Options,
    here: &'a Here<'a>,
    clock: &'a dyn Clock,
    random: &'a dyn Random,
    monitor: &'a dyn Monitor,
}

/// How long the announcement of a sweep stays after it, at least, unless nobody else works on the
/// repository. Until then whoever slept sees it, and the next prune takes out of the index what they
/// list that is gone.
const ANNOUNCED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

type Marks = Vec<(IndexId, Condemned)>;

/// Removes what is condemned since the grace time, then condemns what nobody needs now. With a grace
/// time of zero that is removed, too.
pub fn prune(
    repository: &Repository,
    options: &Options,
    here: &Here<'_>,
    clock: &dyn Clock,
    random: &dyn Random,
    monitor: &dyn Monitor,
) -> Result<Outcome, RepoError> {
    let work = Work { repository, options, here, clock, random, monitor };
    match work.prune() {
        Err(error) if room::is_full(&error) && !options.dry_run => room::prune(&work),
        result => result,
    }
}

fn object_of(mark: &IndexId) -> Object {
    Object::Index(*mark)
}

impl Work<'_> {
    fn prune(&self) -> Result<Outcome, RepoError> {
        let options = self.options;
        let mut outcome = Outcome::default();
        if !options.dry_run {
            self.ask_for_removal()?;
        }
        let mut marks = self.marks()?;
        if !options.dry_run && marks.iter().any(|(_, mark)| mark.sweeping) {
            self.retire(&marks)?;
        }
        if self.is_due(&marks)? {
            self.sweep_into(&mut outcome, &marks)?;
            marks = self.marks()?;
        }
        let waits = marks.iter().any(|(_, mark)| !mark.sweeping);
        if outcome.postponed.is_none() && (!waits || (options.dry_run && self.is_due(&marks)?)) {
            self.mark_into(&mut outcome, &marks)?;
            if options.grace.is_zero() && !options.dry_run {
                marks = self.marks()?;
                self.sweep_into(&mut outcome, &marks)?;
            }
        } else {
            outcome.waiting = self.waiting(&marks)?;
        }
        Ok(outcome)
    }

    /// Whether the store removes anything for us: better to be refused before anything is written.
    fn ask_for_removal(&self) -> Result<(), RepoError> {
        let nothing = Object::Index(IndexId::of(b"outlast asks whether it may remove"));
        match self.repository.store().remove(&nothing) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(no_removal(error)),
        }
    }

    /// The marks in the repository, as they are now.
    fn marks(&self) -> Result<Marks, RepoError> {
        survey::marks(&self.repository.afresh())
    }

    /// How long ago a mark was made, by the store's time: whoever wrote it may have dated it as he
    /// liked. Where the store does not tell, what it says itself is all there is.
    fn age_of(&self, object: &Object, mark: &Condemned) -> Result<Duration, RepoError> {
        match self.repository.store().written(object) {
            Ok(Some(written)) => Ok(written.age()),
            Ok(None) => Ok(self.clock.now().since(mark.since)),
            // Somebody else swept it meanwhile.
            Err(StoreError::NotFound { .. }) => Ok(Duration::ZERO),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a mark is from the future, by the same time.
    fn is_future(&self, object: &Object, mark: &Condemned) -> Result<bool, RepoError> {
        match self.repository.store().written(object) {
            Ok(Some(written)) => Ok(written.at > written.now),
            Ok(None) => Ok(mark.since > self.clock.now()),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is something to sweep: all marks that wait have waited for the grace time, or
    /// a sweep was begun. A mark that is younger protects what the index files of a sweep list, so
    /// the older ones wait for it.
    fn is_due(&self, marks: &Marks) -> Result<bool, RepoError> {
        for (id, mark) in marks.iter().filter(|(_, mark)| !mark.sweeping) {
            if self.age_of(&object_of(id), mark)? < self.options.grace {
                return Ok(false);
            }
        }
        Ok(!marks.is_empty())
    }

    fn sweep_into(&self, outcome: &mut Outcome, marks: &Marks) -> Result<(), RepoError> {
        let open = self.unfinished(marks)?;
        if self.options.dry_run {
            let waiting = self.bytes_of(open.iter().map(|(_, mark)| mark))?;
            (outcome.freed_packs, outcome.freed_bytes) = waiting;
            return Ok(());
        }
        if !open.is_empty() {
            let lock = match Held::take(self.repository, true, self.here, self.clock, self.random) {
                Ok(lock) => lock,
                Err(RepoError::Locked { lock, .. }) => {
                    outcome.postponed = Some(lock);
                    outcome.waiting = self.waiting(marks)?;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let Swept { packs, bytes, spared, unproven } = sweep(self, &open, &|| lock.keep())?;
            outcome.freed_packs += packs;
            outcome.freed_bytes += bytes;
            outcome.spared_packs += spared;
            outcome.unproven_packs += unproven;
        }
        Ok(())
    }

    /// Removes the marks of sweeps that were finished long ago, which protected backups that slept
    /// over them.
    fn retire(&self, marks: &Marks) -> Result<(), RepoError> {
        let open = self.unfinished(marks)?;
        let grace = self.options.grace;
        let stays = if grace.is_zero() { grace } else { grace.max(ANNOUNCED_FOR) };
        for (id, mark) in marks.iter().filter(|(id, _)| open.iter().all(|(open, _)| open != id)) {
            let object = object_of(id);
            if self.age_of(&object, mark)? >= stays {
                remove(self.repository, &object)?;
            }
        }
        Ok(())
    }

    /// The marks of which packs are still there, or in an index file.
    fn unfinished(&self, marks: &Marks) -> Result<Marks, RepoError> {
        let fresh = self.repository.afresh();
        let (index, stored) = (survey::whole_index(&fresh)?, survey::stored_packs(&fresh)?);
        let is_there = |pack: &PackId| {
            index.has_pack(pack) || stored.binary_search_by_key(pack, |(pack, _)| *pack).is_ok()
        };
        let is_open = |mark: &Condemned| !mark.sweeping || mark.packs.iter().any(is_there);
        Ok(marks.iter().filter(|(_, mark)| is_open(mark)).cloned().collect())
    }

    fn mark_into(&self, outcome: &mut Outcome, marks: &Marks) -> Result<(), RepoError> {
        let lock = if self.options.dry_run {
            None
        } else {
            Some(Held::take(self.repository, false, self.here, self.clock, self.random)?)
        };
        let keep_going = || lock.as_ref().map_or(Ok(()), Held::keep);
        let condemned: HashSet<PackId> =
            marks.iter().flat_map(|(_, mark)| mark.packs.iter().copied()).collect();
        let Marked { packs, bytes, repacked_packs, repacked_bytes, unused_left } =
            mark::mark(self, &condemned, &keep_going)?;
        outcome.repacked_packs = repacked_packs;
        outcome.repacked_bytes = repacked_bytes;
        outcome.unused_bytes = Some(unused_left);
        if packs > 0 && (self.options.dry_run || !self.options.grace.is_zero()) {
            let due = self.clock.now().saturating_add(self.options.grace);
            outcome.waiting = Some(Waiting { packs, bytes, due });
        }
        Ok(())
    }

    /// What waits, after marks from the future were dated anew.
    fn waiting(&self, marks: &Marks) -> Result<Option<Waiting>, RepoError> {
        let now = self.clock.now();
        let waiting = || marks.iter().filter(|(_, mark)| !mark.sweeping);
        let mut youngest: Option<Duration> = None;
        for (id, mark) in waiting() {
            let object = object_of(id);
            let age = self.age_of(&object, mark)?;
            youngest = Some(youngest.map_or(age, |youngest| youngest.min(age)));
            if !self.options.dry_run && self.is_future(&object, mark)? {
                write_mark(self, Condemned { since: now, ..mark.clone() })?;
                remove(self.repository, &object)?;
            }
        }
        let Some(youngest) = youngest else { return Ok(None) };
        let since = now.saturating_sub(youngest);
        let (packs, bytes) = self.bytes_of(waiting().map(|(_, mark)| mark))?;
        Ok(Some(Waiting { packs, bytes, due: since.saturating_add(self.options.grace) }))
    }

    /// How many of the packs in these marks are there, and their bytes.
    fn bytes_of<'m>(
        &self,
        marks: impl Iterator<Item = &'m Condemned>,
    ) -> Result<(u64, u64), RepoError> {
        let condemned: HashSet<PackId> =
            marks.flat_map(|mark| mark.packs.iter().copied()).collect();
        let stored = survey::stored_packs(self.repository)?;
        let there = stored.iter().filter(|(pack, _)| condemned.contains(pack));
        Ok(there.fold((0, 0), |(packs, bytes), (_, size)| (packs + 1, bytes + size)))
    }
}
