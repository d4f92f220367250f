//! The two phases in their order, each when it is due.

use std::collections::HashSet;
use std::time::Duration;

use outlast_format::index::Condemned;
use outlast_format::{IndexId, PackId, Sha256Id};
use outlast_store::{Object, StoreError};

use super::mark::{self, Marked};
use super::options::{Outcome, Waiting};
use super::sweep::{Swept, sweep};
use super::work::{Marks, Work, whole_index};
use crate::RepoError;
use crate::forget::no_removal;
use crate::inventory::StoredPacks;
use crate::lock::Held;

/// How long the announcement of a sweep stays after it, at least, unless nobody else works on the
/// repository. Until then whoever slept sees it, and the next prune takes out of the index what they
/// list that is gone.
const ANNOUNCED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Work<'_> {
    /// Does what is due: sweeps, then marks.
    pub(super) fn run(&self) -> Result<Outcome, RepoError> {
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
                if self.is_awaited(&marks)? {
                    outcome.waiting = self.waiting(&marks)?;
                } else {
                    self.sweep_into(&mut outcome, &marks)?;
                }
            }
        } else {
            outcome.waiting = self.waiting(&marks)?;
        }
        outcome.awaited = outcome.waiting.is_some() && self.is_awaited(&self.marks()?)?;
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
            if self.age_of(*id, mark)? >= stays {
                self.remove(&Object::Index(*id))?;
            }
        }
        Ok(())
    }

    /// The marks of which packs are still there, or in an index file.
    fn unfinished(&self, marks: &Marks) -> Result<Marks, RepoError> {
        let fresh = self.repository.afresh();
        let (index, stored) = (whole_index(&fresh)?, StoredPacks::list(fresh.opened())?);
        let is_there = |pack: &PackId| index.has_pack(pack) || stored.size_of(pack).is_some();
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

    /// The packs that wait, after marks from the future were dated anew.
    fn waiting(&self, marks: &Marks) -> Result<Option<Waiting>, RepoError> {
        let now = self.clock.now();
        let waiting = || marks.iter().filter(|(_, mark)| !mark.sweeping);
        let mut youngest: Option<Duration> = None;
        for (id, mark) in waiting() {
            let age = self.age_of(*id, mark)?;
            youngest = Some(youngest.map_or(age, |youngest| youngest.min(age)));
            if !self.options.dry_run && self.is_future(*id, mark)? {
                self.write_mark(Condemned { since: now, ..mark.clone() })?;
                self.remove(&Object::Index(*id))?;
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
        let stored = StoredPacks::list(self.repository.opened())?;
        let there = stored.iter().filter(|(pack, _)| condemned.contains(pack));
        Ok(there.fold((0, 0), |(packs, bytes), (_, size)| (packs + 1, bytes + size)))
    }
}
