//! A look at one workload: which days and drops there are, and what of that is new.
//!
//! While nothing is new, a look reads one directory: that of the days, or one of the days, by turns. Which
//! others it reads beside that, it learns from the times of directories. So what is new is seen at once where a file
//! server keeps those times well, and a few looks later where it does not.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use outlast_types::{Day, DropId, Timestamp, WorkloadName};

use super::limits::{Allowance, ScanLimits};
use super::look::{self, DropState, Sighting};
use super::memory::{Quiet, Reading, WorkloadMemory};
use super::problem::ScanProblem;
use crate::files::{Directory, FileFacts, is_not_a_directory};
use crate::layout::{DECLARATION, DROPS, DropAddress, RECEIPTS, is_foreign};
use crate::rejection::Rejection;

/// A day is old only when it ended this long ago. Writers' clocks may be off, and a drop may
/// begin before midnight.
const AGE_MIN: Duration = Duration::from_secs(2 * 24 * 3600);
/// The most days of one workload that are remembered, the nearest to now.
const DAYS_MAX: usize = 10_000;
/// Days with settled drops of which each look asks whether they have changed; of others it asks by turns.
const WATCHED_MAX: usize = 8;
/// Names of no drop or day that are looked at in one directory.
const ODD_MAX: usize = 20;

/// One workload, as a scan saw it.
#[derive(Debug)]
pub struct WorkloadScan {
    pub workload: WorkloadName,
    /// Whether something was ever dropped there, as far as can be seen: days lie there, or receipts.
    pub has_dropped: bool,
    /// Drops that are not settled, in the order of their days and ids.
    pub sightings: Vec<Sighting>,
    pub problems: Vec<ScanProblem>,
    /// How many names among its days and drops are not ours, as far as they were listed.
    pub foreign: u64,
    /// Whether all that is not settled was looked at. If not, the problems say why, or it is looked at
    /// again in the next scan.
    pub is_whole: bool,
    /// Size and time of what its team declares. All zero if it cannot be looked at.
    pub declaration: Option<(u64, (i64, u32))>,
    /// Old days in which nothing is, as far as is known: to be closed, which fails if something is.
    pub closable: Vec<Day>,
    /// How many sealed drops were seen for the first time that are of a kind for later versions. They
    /// are left alone.
    pub reserved: u64,
}

/// Whether what has a name that none of ours can have is nothing to tell anybody of: it is known
/// to be foreign, or a file where only directories count. A directory or a link may be meant: who
/// drops there must hear that nobody sees it.
pub(super) fn is_stray(directory: &Directory, name: &[u8]) -> bool {
    is_foreign(name) || directory.facts(name).is_ok_and(|facts| facts.is_file)
}

/// Whether a day is so long ago that no writer of today takes it for its own.
fn is_old(day: Day, now: Timestamp) -> bool {
    let end = day.start().saturating_add(Duration::from_secs(24 * 3600));
    end.saturating_add(AGE_MIN) <= now
}

/// A look at one workload.
pub(super) struct Look<'a> {
    pub(super) limits: &'a ScanLimits,
    pub(super) allowance: &'a Allowance,
    pub(super) now: Timestamp,
    pub(super) memory: &'a mut WorkloadMemory,
    /// What is left of what may be looked at here.
    names: usize,
    drops: usize,
    found: WorkloadScan,
    sighted: HashMap<(Day, DropId), u64>,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        workload: &WorkloadName,
        memory: &'a mut WorkloadMemory,
        limits: &'a ScanLimits,
        allowance: &'a Allowance,
        now: Timestamp,
    ) -> Self {
        let found = WorkloadScan {
            workload: workload.clone(),
            has_dropped: false,
            sightings: Vec::new(),
            problems: Vec::new(),
            foreign: 0,
            is_whole: true,
            declaration: None,
            closable: Vec::new(),
            reserved: 0,
        };
        let (names, drops) = (limits.names, limits.drops);
        Self { limits, allowance, now, memory, names, drops, found, sighted: HashMap::new() }
    }

    /// The drops of the workload; `None` if its name is that of a file, and so no workload's.
    pub(super) fn take(mut self, workloads: &Directory) -> Option<WorkloadScan> {
        let name = self.found.workload.as_str().to_owned();
        let path = workloads.path().join(&name).join(DROPS);
        (self.memory.is_declared, self.memory.has_dropped) = (false, false);
        self.memory.is_urgent = false;
        let looked = workloads.directory(&name).and_then(|home| {
            self.found.declaration = declaration(&home);
            self.memory.is_declared = self.found.declaration.is_some();
            let looked = home.directory(DROPS).and_then(|drops| self.look(&drops));
            // All its days may have been closed.
            self.memory.has_dropped = !self.memory.days.is_empty()
                || home.facts(RECEIPTS.as_bytes()).is_ok_and(|facts| facts.is_directory);
            looked
        });
        match looked {
            Ok(()) => {}
            // A workload that has only been declared.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.found.has_dropped = self.memory.has_dropped;
                self.memory.forget_days();
                return Some(self.found);
            }
            Err(error) if is_not_a_directory(&error) && is_stray(workloads, name.as_bytes()) => {
                *self.memory = WorkloadMemory::default();
                return None;
            }
            Err(error) => {
                self.memory.forget_problems(None);
                self.memory.note_problem(None, ScanProblem::of(path, &error));
                self.found.is_whole = false;
                self.memory.listed = None;
                return Some(self.end());
            }
        }
        self.crowded(&path);
        Some(self.end())
    }

    /// Looks at the days, and into those in which something may be new.
    fn look(&mut self, drops: &Directory) -> io::Result<()> {
        let stamp = drops.own_facts()?.modified;
        let turn = self.turn();
        let is_rung = std::mem::take(&mut self.memory.is_rung);
        if turn.is_none() || is_rung || !self.memory.listed.is_some_and(|read| read.is_of(stamp)) {
            self.list_days(drops, stamp)?;
        }
        for day in self.days_to_read(drops, turn, is_rung) {
            match self.read_day(drops, day) {
                Ok(()) => {}
                // A day that went away in the meantime had only released drops.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.memory.quiet.remove(&day);
                }
                Err(error) => {
                    self.found.is_whole = false;
                    self.memory.quiet.remove(&day);
                    self.memory.forget_problems(Some(day));
                    let path = drops.path().join(day.to_string());
                    self.memory.note_problem(Some(day), ScanProblem::of(path, &error));
                }
            }
        }
        Ok(())
    }

    /// Which directory is read in this look, whatever its time says: a day, or all the days.
    fn turn(&mut self) -> Option<Day> {
        let turn = self.memory.turn;
        self.memory.turn = turn.wrapping_add(1);
        let is_read = |(day, quiet): &(&Day, &Quiet)| !self.is_closable(**day, quiet);
        let count = self.memory.quiet.iter().filter(is_read).count();
        let chosen = (turn % (count + 1)).checked_sub(1)?;
        self.memory.quiet.iter().filter(is_read).nth(chosen).map(|(day, _)| *day)
    }

    fn is_closable(&self, day: Day, quiet: &Quiet) -> bool {
        quiet.is_empty && is_old(day, self.now) && !self.memory.is_kept_open
    }

    fn list_days(&mut self, drops: &Directory, stamp: (i64, u32)) -> io::Result<()> {
        let (mut days, mut odd, mut count) = (BTreeSet::new(), BTreeSet::new(), 0);
        let today = self.now.day();
        let max = self.names.min(self.allowance.names());
        let is_whole = drops.each_name(max, |name| {
            count += 1;
            match std::str::from_utf8(name).ok().and_then(|name| name.parse::<Day>().ok()) {
                Some(day) => {
                    days.insert(day);
                    if days.len() > DAYS_MAX {
                        let is_ahead = days.last().is_some_and(|day| *day > today);
                        let _ = if is_ahead { days.pop_last() } else { days.pop_first() };
                    }
                }
                None => note_odd(&mut odd, name, &mut self.found.foreign),
            }
        })?;
        self.spend(count, 0);
        self.found.is_whole &= is_whole;
        self.memory.retain_days(&days);
        self.memory.listed = Some(Reading::after(self.memory.listed, stamp)).filter(|_| is_whole);
        self.memory.forget_problems(None);
        for name in odd {
            let rejection = Rejection::DayName { name: outlast_fs::entry::show(&name) };
            self.judge_odd(drops, &name, None, rejection);
        }
        Ok(())
    }

    /// The days in which something may be new, in order; of those that are to be closed without being read it is
    /// told.
    fn days_to_read(&mut self, drops: &Directory, turn: Option<Day>, is_rung: bool) -> Vec<Day> {
        let today = self.now.day().start();
        let (mut read, mut unknown, mut watched) = (Vec::new(), Vec::new(), 0);
        for &day in self.memory.days.iter().rev() {
            let Some(quiet) = self.memory.quiet.get(&day) else {
                unknown.push(day);
                continue;
            };
            if self.is_closable(day, quiet) {
                self.found.closable.push(day);
            } else if turn == Some(day) || !quiet.read.is_sure {
                read.push(day);
            } else if watched < WATCHED_MAX {
                watched += 1;
                let facts = drops.facts(day.to_string().as_bytes());
                // What cannot be looked at is told by whoever reads it.
                if is_rung || !facts.is_ok_and(|facts| quiet.read.is_of(facts.modified)) {
                    read.push(day);
                }
            }
        }
        // What drops now and here comes first.
        let distance = |day: &Day| today.since(day.start()).max(day.start().since(today));
        let known_of = |day: &Day| self.memory.not_closed.contains(day);
        unknown.sort_by_key(|day| (distance(day) > AGE_MIN && !known_of(day), distance(day)));
        let rest = unknown.split_off(unknown.len().min(self.limits.days));
        let mut is_left = false;
        for day in rest {
            // To close it is to see at the least cost whether it is empty.
            if is_old(day, self.now) && !self.memory.is_kept_open && !known_of(&day) {
                self.found.closable.push(day);
            }
            is_left = true;
        }
        self.found.is_whole &= !is_left;
        read.append(&mut unknown);
        read.sort();
        read
    }

    fn read_day(&mut self, drops: &Directory, day: Day) -> io::Result<()> {
        let name = day.to_string();
        // The time from before the listing: a drop that comes during it is seen in the next look.
        let stamp = drops.facts(name.as_bytes())?.modified;
        let directory = drops.directory(&name)?;
        let max = self.names.min(self.allowance.names());
        let room = self.drops.min(self.allowance.drops());
        let (mut new, mut odd) = (BTreeSet::new(), BTreeSet::new());
        let (mut settled, mut count, mut is_cut) = (HashSet::new(), 0, false);
        let is_whole = directory.each_name(max, |name| {
            count += 1;
            match std::str::from_utf8(name).ok().and_then(|name| name.parse::<DropId>().ok()) {
                Some(drop) if self.memory.is_settled(&(day, drop)) => {
                    settled.insert(drop);
                }
                Some(drop) => {
                    new.insert(drop);
                    if new.len() > room {
                        new.pop_last();
                        is_cut = true;
                    }
                }
                None => note_odd(&mut odd, name, &mut self.found.foreign),
            }
        })?;
        self.spend(count, 0);
        if is_whole {
            self.memory.settled.retain(|(of, drop), _| *of != day || settled.contains(drop));
        }
        self.memory.forget_problems(Some(day));
        let mut is_quiet = is_whole && !is_cut && new.is_empty();
        self.found.is_whole &= is_whole && !is_cut;
        for name in odd {
            let rejection = Rejection::DropName { name: outlast_fs::entry::show(&name) };
            is_quiet &= !self.judge_odd(&directory, &name, Some(day), rejection);
        }
        for drop in new {
            if self.drops == 0 || self.names == 0 {
                self.found.is_whole = false;
                break;
            }
            self.look_at(&directory, day, drop);
        }
        let before = self.memory.quiet.remove(&day);
        if is_quiet {
            let read = Reading::after(before.map(|before| before.read), stamp);
            self.memory.quiet.insert(day, Quiet { read, is_empty: count == 0 });
        }
        Ok(())
    }

    /// Looks at one drop, unless it went away.
    fn look_at(&mut self, directory: &Directory, day: Day, drop: DropId) {
        let address = DropAddress { workload: self.found.workload.clone(), day, drop };
        let name = drop.to_string();
        let files = self.limits.files;
        let seen = directory
            .directory(&name)
            .and_then(|directory| look::sighting(&directory, address, self.memory, files));
        match seen {
            Ok((sighting, names)) => {
                self.spend(names, 1);
                self.found.foreign += sighting.foreign;
                if matches!(&sighting.state, DropState::Refused(it) if it.is_reserved_kind()) {
                    self.memory.settled.insert((day, drop), sighting.bytes);
                    self.found.reserved += 1;
                    return;
                }
                self.sighted.insert((day, drop), sighting.bytes);
                self.found.sightings.push(sighting);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.spend(0, 1);
                let problem = ScanProblem::of(directory.path().join(name), &error);
                self.memory.note_problem(Some(day), problem);
            }
        }
    }

    /// Tells of a name that none of ours can have, if somebody may have meant it; whether that is so.
    fn judge_odd(
        &mut self,
        directory: &Directory,
        name: &[u8],
        place: Option<Day>,
        rejection: Rejection,
    ) -> bool {
        if is_stray(directory, name) {
            self.found.foreign += 1;
            return false;
        }
        let path = directory.path_of(name);
        self.memory.note_problem(place, ScanProblem::Refused { path, rejection });
        true
    }

    fn spend(&mut self, names: usize, drops: usize) {
        self.names = self.names.saturating_sub(names);
        self.drops = self.drops.saturating_sub(drops);
        self.allowance.spend(names, drops);
    }

    /// Tells if there was more than one workload may have in one scan.
    fn crowded(&mut self, path: &Path) {
        self.memory.is_crowded = !self.found.is_whole && (self.names == 0 || self.drops == 0);
        if self.memory.is_crowded {
            let reason = format!(
                "more lies below it than is looked at in one pass ({} drops that are not done with, \
                 {} names): what is beyond waits until that has become less",
                self.limits.drops, self.limits.names
            );
            self.found.problems.push(ScanProblem::Crowded { path: path.to_owned(), reason });
        }
    }

    fn end(mut self) -> WorkloadScan {
        let memory = self.memory;
        if self.found.is_whole {
            memory.sighted = self.sighted;
            memory.retain_seals(&memory.sighted.keys().copied().collect());
        } else {
            memory.sighted.extend(self.sighted);
        }
        self.found.has_dropped = memory.has_dropped;
        self.found.problems.extend(memory.problems().cloned());
        memory.is_urgent = !self.found.is_whole
            || !self.found.sightings.is_empty()
            || self.found.problems.iter().any(ScanProblem::is_later);
        self.found
    }
}

/// A name of no day or drop, to be judged; of many, the first. Of those that are certainly foreign
/// nobody is told.
fn note_odd(odd: &mut BTreeSet<Vec<u8>>, name: &[u8], foreign: &mut u64) {
    if is_foreign(name) {
        *foreign += 1;
        return;
    }
    odd.insert(name.to_vec());
    if odd.len() > ODD_MAX {
        odd.pop_last();
    }
}

fn declaration(home: &Directory) -> Option<(u64, (i64, u32))> {
    match home.facts(DECLARATION.as_bytes()) {
        Ok(FileFacts { size, modified, .. }) => Some((size, modified)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some((0, (0, 0))),
    }
}
