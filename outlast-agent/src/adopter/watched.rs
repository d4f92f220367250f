//! The files of the rules, each as far as it has come. Pure: what was seen and done is told to it.
//!
//! ```text
//! new ─► settled ─► judging ─► ready ─► copying ─► taken
//!   ▲       └──────── held, later ◄┴───────┘         │ changed
//!   └────────────────────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use outlast_drop::DropAddress;
use outlast_drop::adopt::{Candidate, Found, Judged, Rule, Settling, Stillness};
use outlast_fs::EntryPath;
use outlast_types::{Backoff, DropId, Random, Timestamp, WorkloadName, human};

/// Files of all rules that are watched.
pub(super) const FILES_MAX: usize = 100_000;
/// The pauses after failures.
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// How far a file has come.
#[derive(Debug, Clone)]
pub(super) enum Stand {
    /// It has not been the same for long enough.
    New,
    /// It has, and is to be judged.
    Settled,
    Judging,
    /// It is to be taken.
    Ready(Box<Candidate>),
    Copying(DropAddress),
    Taken(DropAddress),
    /// It is not taken as it is.
    Held(String),
    /// It could not be taken, and is tried again.
    Later(String),
    /// The same, and those whom it concerns hear of it elsewhere.
    NoRoom(String),
    /// It is older than what the rule takes.
    Old,
}

/// One file, with those that belong to it.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) rule: usize,
    pub(super) found: Found,
    pub(super) stand: Stand,
    /// When it was first seen as it is now, by the timer.
    pub(super) since: Duration,
    /// What it waits for, while it is new.
    left: Duration,
    settling: Settling,
    backoff: Backoff,
    looked: Duration,
    /// Why it lies there still, although it was to be removed.
    pub(super) stays: Option<String>,
    /// Whether it may have been taken by somebody who is forgotten.
    is_unknown: bool,
    /// The last round of its rule in which it was there.
    round: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<EntryPath, Watched>,
    /// Whether there were more than are watched.
    pub(super) is_crowded: bool,
}

/// What a look at a file is part of.
pub(super) struct Looking<'a> {
    pub(super) rule: usize,
    pub(super) by: &'a Rule,
    pub(super) round: u64,
    /// By the timer, and by the clock.
    pub(super) now: Duration,
    pub(super) today: Timestamp,
}

impl Watched {
    pub(super) fn workload(&self) -> Option<&WorkloadName> {
        self.found.workload.as_ref().ok()
    }

    fn is(&self, found: &Found) -> bool {
        self.found.members == found.members
    }

    /// Whether its content is another one than when it was looked at before.
    fn is_written(&self, found: &Found) -> bool {
        let content = |found: &Found| -> Vec<_> {
            found.members.iter().map(|it| (it.facts.size, it.facts.modified)).collect()
        };
        content(&self.found) != content(found)
    }

    /// Begins anew.
    fn reset(&mut self) {
        (self.stand, self.left, self.stays) = (Stand::New, Duration::ZERO, None);
        self.settling.reset();
    }

    /// Why it is not taken yet; `None` if it is, or never will be.
    pub(super) fn why(&self, now: Duration, settle: Duration) -> Option<String> {
        Some(match &self.stand {
            Stand::Taken(_) | Stand::Old => return None,
            Stand::New => match &self.found.missing {
                Some(name) => format!("{} is not there yet", outlast_fs::entry::show(name)),
                None => {
                    let left = self.left.saturating_sub(now.saturating_sub(self.looked));
                    let (settle, left) = (human::duration(settle), human::duration(left));
                    format!(
                        "it is believed when it has not changed for {settle}: in {left} at the earliest"
                    )
                }
            },
            Stand::Settled | Stand::Judging | Stand::Ready(_) => {
                "it is to be taken next".to_owned()
            }
            Stand::Copying(_) => "it is being taken".to_owned(),
            Stand::Held(reason) => reason.clone(),
            Stand::Later(reason) | Stand::NoRoom(reason) => {
                format!("it is tried again: {reason}")
            }
        })
    }

    /// How often it could not be taken, in a row.
    pub(super) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// Whether something is being done with it.
    fn is_lent(&self) -> bool {
        matches!(self.stand, Stand::Judging | Stand::Copying(_))
    }
}

impl Files {
    /// Notes what a look saw.
    pub(super) fn look(&mut self, found: Found, looking: &Looking<'_>) {
        let Looking { rule, by, round, now, today } = *looking;
        if !self.files.contains_key(&found.path) {
            if self.files.len() >= FILES_MAX {
                self.is_crowded = true;
                return;
            }
            let fresh = Watched {
                rule,
                found: found.clone(),
                stand: Stand::New,
                since: now,
                left: by.settle,
                settling: Settling::default(),
                backoff: Backoff::default(),
                looked: now,
                stays: None,
                is_unknown: true,
                round,
            };
            self.files.insert(found.path.clone(), fresh);
        }
        let Some(file) = self.files.get_mut(&found.path) else { return };
        if !file.is(&found) && !file.is_lent() {
            file.reset();
            // What was written since the first look was taken by nobody.
            file.is_unknown = !file.is_written(&found);
            (file.since, file.backoff) = (now, Backoff::default());
        }
        (file.rule, file.round, file.looked) = (rule, round, now);
        file.found = found;
        if let Err(reason) = &file.found.workload {
            file.stand = Stand::Held(reason.clone());
            return;
        }
        match file.stand {
            Stand::New => {}
            Stand::Later(_) | Stand::NoRoom(_) | Stand::Held(_)
                if !file.backoff.is_waiting(now) =>
            {
                file.stand = Stand::New;
            }
            _ => return,
        }
        let facts = file.found.facts();
        let changed = facts.iter().filter_map(|facts| facts.modified_at()).max();
        let is_old = by.max_age.zip(changed).is_some_and(|(age, at)| today.since(at) > age);
        if is_old {
            file.stand = Stand::Old;
            return;
        }
        if file.found.missing.is_some() {
            return;
        }
        match file.settling.look(&facts, now, by.settle) {
            Stillness::Settled => file.stand = Stand::Settled,
            Stillness::Waits(left) => file.left = left,
        }
    }

    /// Notes that files are there, at which nobody looked.
    pub(super) fn passed_over(&mut self, paths: &[EntryPath], round: u64) {
        for path in paths {
            if let Some(file) = self.files.get_mut(path) {
                file.round = round;
            }
        }
    }

    /// Files of a rule that need no look now: nothing is to be learnt so soon.
    pub(super) fn known(&self, rule: usize, now: Duration, again: Duration) -> HashSet<EntryPath> {
        let is_known = |file: &Watched| match file.stand {
            Stand::New | Stand::Settled => false,
            Stand::Judging | Stand::Ready(_) | Stand::Copying(_) => true,
            _ => now.saturating_sub(file.looked) < again,
        };
        let known = self.files.iter().filter(|(_, file)| file.rule == rule && is_known(file));
        known.map(|(path, _)| path.clone()).collect()
    }

    /// Forgets the files of a rule that were not there in its round, but for those below a directory that
    /// could not be looked at.
    pub(super) fn end_round(&mut self, rule: usize, round: u64, failed: &[Vec<String>]) {
        let is_hidden = |path: &EntryPath| {
            failed.iter().any(|directory| {
                let names = path.names();
                directory.len() < names.len()
                    && directory.iter().zip(names).all(|(one, other)| one.as_bytes() == other)
            })
        };
        self.files.retain(|path, file| {
            file.rule != rule || file.round == round || file.is_lent() || is_hidden(path)
        });
        self.is_crowded &= self.files.len() >= FILES_MAX;
    }

    /// Files that are to be judged, by workload: as many as `max` of one, and of all. They are noted as being judged.
    pub(super) fn take_settled(
        &mut self,
        max: usize,
    ) -> BTreeMap<(usize, WorkloadName), Vec<Found>> {
        let mut batches: BTreeMap<_, Vec<Found>> = BTreeMap::new();
        let mut count = 0;
        for file in self.files.values_mut().filter(|file| matches!(file.stand, Stand::Settled)) {
            let Ok(workload) = file.found.workload.clone() else { continue };
            if count == max {
                break;
            }
            count += 1;
            file.stand = Stand::Judging;
            batches.entry((file.rule, workload)).or_default().push(file.found.clone());
        }
        batches
    }

    /// Takes back that files are being judged, or copied: nobody began.
    pub(super) fn put_off(&mut self, path: &EntryPath) {
        if let Some(file) = self.files.get_mut(path) {
            file.stand = Stand::Settled;
        }
    }

    /// Notes a verdict.
    pub(super) fn judged(
        &mut self,
        found: &Found,
        judged: Judged,
        now: Duration,
        random: &dyn Random,
    ) {
        let Some(file) = self.files.get_mut(&found.path) else { return };
        if !file.is(found) {
            return file.reset();
        }
        file.is_unknown &= !matches!(judged, Judged::Taken(_) | Judged::Free(_));
        match judged {
            Judged::Taken(address) => file.stand = Stand::Taken(address),
            Judged::Free(candidate) => file.stand = Stand::Ready(candidate),
            Judged::Changed => file.reset(),
            Judged::Refused(reason) => self.wait(&found.path, Stand::Held(reason), now, random),
            Judged::Later(reason) => self.wait(&found.path, Stand::Later(reason), now, random),
        }
    }

    /// The next file of each workload that is to be taken, the oldest first: so the newest is the last
    /// that the vault gets. At most `max`, and of each workload one at a time. They are noted as being copied.
    pub(super) fn take_ready(&mut self, max: usize) -> Vec<(Found, Candidate)> {
        let busy: BTreeSet<WorkloadName> = self
            .files
            .values()
            .filter_map(|file| match &file.stand {
                Stand::Copying(address) => Some(address.workload.clone()),
                _ => None,
            })
            .collect();
        let mut next: BTreeMap<WorkloadName, (Option<Timestamp>, EntryPath)> = BTreeMap::new();
        for (path, file) in &self.files {
            let (Stand::Ready(_), Ok(workload)) = (&file.stand, &file.found.workload) else {
                continue;
            };
            if busy.contains(workload) {
                continue;
            }
            let facts = file.found.members.iter().map(|member| &member.facts);
            let key = (facts.filter_map(|facts| facts.modified_at()).max(), path.clone());
            match next.get_mut(workload) {
                Some(first) if *first <= key => {}
                Some(first) => *first = key,
                None => drop(next.insert(workload.clone(), key)),
            }
        }
        let mut chosen: Vec<_> = next.into_values().collect();
        // Of many workloads, those come first that have waited longest.
        chosen.sort();
        chosen.truncate(max);
        let mut copies = Vec::new();
        for (_, path) in chosen {
            let Some(file) = self.files.get_mut(&path) else { continue };
            if let Stand::Ready(candidate) = &file.stand {
                let candidate = (**candidate).clone();
                file.stand = Stand::Copying(candidate.address());
                copies.push((file.found.clone(), candidate));
            }
        }
        copies
    }

    /// How many are being copied.
    pub(super) fn copying(&self) -> usize {
        self.files.values().filter(|file| matches!(file.stand, Stand::Copying(_))).count()
    }

    /// Whether some are to be taken, of workloads of which none is being taken.
    pub(super) fn has_ready(&self) -> bool {
        self.files.values().any(|file| matches!(file.stand, Stand::Ready(_)))
    }

    /// Notes that a file was taken.
    pub(super) fn taken(&mut self, found: &Found, candidate: &Candidate) {
        let address = candidate.address();
        // The same under another name was judged while this one was being taken.
        let is_same = |it: &&mut Watched| matches!(&it.stand, Stand::Ready(other) if other.is_same(candidate));
        for other in self.files.values_mut().filter(is_same) {
            other.stand = Stand::Taken(address.clone());
        }
        let Some(file) = self.files.get_mut(&found.path) else { return };
        if !file.is(found) {
            return file.reset();
        }
        file.stand = Stand::Taken(address);
        file.backoff.succeeded();
    }

    /// A file turned out not to be what was looked at.
    pub(super) fn changed(&mut self, path: &EntryPath) {
        if let Some(file) = self.files.get_mut(path) {
            file.reset();
        }
    }

    /// A file is not taken now, as `stand` says, and is tried again after a pause that grows.
    pub(super) fn wait(
        &mut self,
        path: &EntryPath,
        stand: Stand,
        now: Duration,
        random: &dyn Random,
    ) {
        if let Some(file) = self.files.get_mut(path) {
            file.backoff.failed(now, PAUSE, PAUSE_MAX, random);
            file.stand = stand;
        }
    }

    /// A file has gone.
    pub(super) fn forget(&mut self, path: &EntryPath) {
        self.files.remove(path);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Watched> {
        self.files.values()
    }

    /// Leaves a taken file alone for a while: it is not removed now.
    pub(super) fn stays(
        &mut self,
        path: &EntryPath,
        reason: Option<String>,
        now: Duration,
        random: &dyn Random,
    ) {
        if let Some(file) = self.files.get_mut(path) {
            file.backoff.failed(now, PAUSE, PAUSE_MAX, random);
            file.stays = reason;
        }
    }

    /// Files that were taken, of rules of which `is_meant` holds, and that nobody was to leave alone: as many as `max`.
    pub(super) fn taken_of(
        &self,
        is_meant: impl Fn(usize) -> bool,
        now: Duration,
        max: usize,
    ) -> Vec<(Found, DropAddress)> {
        let taken = self.files.values().filter_map(|file| match &file.stand {
            Stand::Taken(address) if is_meant(file.rule) && !file.backoff.is_waiting(now) => {
                Some((file.found.clone(), address.clone()))
            }
            _ => None,
        });
        taken.take(max).collect()
    }

    /// What receipts are to stay for: the drops of files that lie there, and all of workloads of which a file is
    /// not known yet.
    pub(super) fn kept(&self) -> Kept {
        let mut kept = Kept::default();
        for file in self.files.values() {
            match (&file.stand, file.workload()) {
                (Stand::Taken(address) | Stand::Copying(address), _) => {
                    kept.drops.insert(address.drop);
                }
                (Stand::Ready(candidate), _) => {
                    kept.drops.insert(candidate.address().drop);
                }
                // It is not taken in any case.
                (Stand::Old, _) | (_, None) => {}
                (_, Some(workload)) if file.is_unknown => {
                    kept.workloads.insert(workload.clone());
                }
                _ => {}
            }
        }
        kept
    }
}

/// Whose receipts stay.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Nothing is known yet.
    pub(super) all: bool,
    pub(super) workloads: HashSet<WorkloadName>,
    pub(super) drops: HashSet<DropId>,
}

impl Kept {
    /// Whether the receipts of a drop may go, as far as files are concerned.
    pub(crate) fn lets_go(&self, address: &DropAddress) -> bool {
        !self.all
            && !self.workloads.contains(&address.workload)
            && !self.drops.contains(&address.drop)
    }
}

#[cfg(test)]
mod tests;
