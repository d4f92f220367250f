//! The adopter: makes drops of the files that the rules find.
//!
//! It is the writer of those drops, as any other writer on the share; what becomes of them afterwards
//! is not its business. It remembers nothing over a restart: which files were taken is seen by what is on
//! the share ([`outlast_drop::adopt`]). All that may hang or take long is done by crews.

mod jobs;
mod watched;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::adopt::waiting::{self, TOLD_MAX, Waiting, WaitingFile};
use outlast_drop::adopt::{
    CopyError, Found, Judged, Removal, Round, Rule, Step, Trouble, TroubleKind,
};
use outlast_drop::{DropAddress, DropLimits, Share, WriteError};
use outlast_types::{Environment, Timestamp, WorkloadName, human};
use outlast_wire::receipts::Authority;

use crate::Shutdown;
use crate::crew::Crew;
use crate::problem::{Met, Problem};

use jobs::{Judge, JudgeDone, Look, Looked, Take, Took};
pub(crate) use watched::Kept;
use watched::{FILES_MAX, Files, Looking, Stand};

/// Looks and judgements at a time; and as many again that hang.
const PLACES: usize = 4;
/// Files that are copied at a time. As many again go on while others begin.
const COPIES: usize = 2;
/// A job that takes longer keeps nobody waiting.
const LONG: Duration = Duration::from_secs(10);
const LONG_COPY: Duration = Duration::from_secs(2);
/// After so much copying a pass goes on; the rest is for the next, at once.
const COPYING_MAX: Duration = Duration::from_secs(20);
/// Copies of one pass, however quick.
const COPIED_MAX: usize = 200;
/// Files that are judged in one pass.
const JUDGED_MAX: usize = 500;
/// Between two looks for all files of a rule, at least and at most.
const ROUND_MIN: Duration = Duration::from_secs(1);
const ROUND_MAX: Duration = Duration::from_secs(300);
/// A file that was taken is looked at again after that, or after its settle time.
const AGAIN_MIN: Duration = Duration::from_secs(60);
/// Files that may be removed of which the vault is asked in one pass.
const REMOVED_MAX: usize = 200;
/// Files of which problems are told.
const PROBLEMS_MAX: usize = 1000;
/// A file that could not be taken so often in a row is no hiccup of the share.
const FAILURES_TOLD: u32 = 3;
/// What is told on the share is told anew as often as that.
const TOLD_AGAIN: Duration = Duration::from_secs(300);

/// Adopts files by rules.
pub(crate) struct Adopter {
    rules: Vec<Work>,
    files: Files,
    looks: Crew<Look, Looked>,
    judges: Crew<Judge, JudgeDone>,
    copies: Crew<Take, Took>,
    environment: Environment,
    /// Ends what is being copied.
    stop: Shutdown,
    /// What was told on the share last, and when.
    told: Option<(Vec<WaitingFile>, Duration)>,
    is_unwritable: Option<String>,
}

/// A rule, and how far the look for its files is.
struct Work {
    rule: Arc<Rule>,
    /// The look that is under way; none while a crew has it, or until the next begins.
    round: Option<Round>,
    is_lent: bool,
    number: u64,
    next: Duration,
    /// Whether a look has come to its end, and whether one could look everywhere.
    has_ended: bool,
    is_known: bool,
    /// What the look under way could not look at, and what the last one could not.
    meeting: Vec<Trouble>,
    met: Vec<Trouble>,
    /// The workloads that it leads to.
    workloads: BTreeSet<WorkloadName>,
}

impl Adopter {
    pub(crate) fn new(rules: &[Rule], environment: &Environment, authority: Authority) -> Self {
        let work = |rule: &Rule| Work {
            rule: Arc::new(rule.clone()),
            round: None,
            is_lent: false,
            number: 0,
            next: Duration::ZERO,
            has_ended: false,
            is_known: false,
            meeting: Vec::new(),
            met: Vec::new(),
            workloads: BTreeSet::new(),
        };
        let crew = environment.clone();
        Self {
            rules: rules.iter().map(work).collect(),
            files: Files::default(),
            looks: Crew::new(crew.clone(), PLACES, LONG, Look::run),
            judges: Crew::new(crew.clone(), PLACES, LONG, move |judge: Judge| {
                judge.run(&authority)
            }),
            copies: Crew::new(crew.clone(), COPIES, LONG_COPY, move |take: Take| take.run(&crew)),
            environment: environment.clone(),
            stop: Shutdown::default(),
            told: None,
            is_unwritable: None,
        }
    }

    /// Whether there is anything to adopt.
    pub(crate) fn is_idle(&self) -> bool {
        self.rules.is_empty()
    }

    fn elapsed(&self) -> Duration {
        self.environment.timer.elapsed()
    }

    /// Goes on with looking, judging and copying; whether there is more to do at once.
    pub(crate) fn work(
        &mut self,
        share: &Share,
        today: Timestamp,
        limits: &dyn Fn(&WorkloadName) -> DropLimits,
        shutdown: &Shutdown,
    ) -> bool {
        if self.is_idle() {
            return false;
        }
        self.look(share, today, shutdown);
        self.judge(share, limits, shutdown);
        let began = self.elapsed();
        let mut copied = 0;
        loop {
            let count = self.copy(share, shutdown);
            copied += count;
            let is_late = self.elapsed().saturating_sub(began) >= COPYING_MAX;
            if shutdown.is_requested() {
                self.stop.request();
                return false;
            }
            if count == 0 || is_late || copied >= COPIED_MAX {
                return count > 0 && self.files.has_ready();
            }
        }
    }

    /// Goes on with the looks for the files of all rules, a step each.
    fn look(&mut self, share: &Share, today: Timestamp, shutdown: &Shutdown) {
        let now = self.elapsed();
        let mut looks = Vec::new();
        for (index, work) in self.rules.iter_mut().enumerate().filter(|(_, work)| !work.is_lent) {
            if work.round.is_none() && now >= work.next {
                work.number += 1;
                work.meeting.clear();
                work.round = Some(Round::new(&work.rule));
            }
            let Some(round) = work.round.take() else { continue };
            work.is_lent = true;
            let again = work.rule.settle.max(AGAIN_MIN);
            let known = self.files.known(index, now, again);
            looks.push(Look { rule: index, share: share.clone(), round, known });
        }
        let run = self.looks.run(looks, shutdown);
        for Look { rule, round, .. } in run.left {
            let work = &mut self.rules[rule];
            (work.round, work.is_lent) = (Some(round), false);
        }
        for looked in run.done {
            self.looked(looked, today);
        }
    }

    fn looked(&mut self, Looked { rule: index, round, step }: Looked, today: Timestamp) {
        let now = self.elapsed();
        let work = &mut self.rules[index];
        work.is_lent = false;
        let Step { found, passed_over, troubles, is_over } = match step {
            Ok(step) => step,
            Err(reason) => {
                // The pass tells that the share is not there. What was seen stays.
                tracing::debug!("files to be adopted are looked for later: {reason}");
                work.round = Some(Round::new(&work.rule));
                return;
            }
        };
        let number = work.number;
        let rule = Arc::clone(&work.rule);
        work.meeting.extend(troubles);
        self.files.passed_over(&passed_over, number);
        let looking = Looking { rule: index, by: &rule, round: number, now, today };
        for found in found {
            // The first rule that is about a file has it.
            let earlier = self.rules[..index].iter();
            if earlier.clone().all(|work| work.rule.meant(&found.path).is_none()) {
                self.files.look(found, &looking);
            }
        }
        let work = &mut self.rules[index];
        if !is_over {
            work.round = Some(round);
            return;
        }
        work.met = std::mem::take(&mut work.meeting);
        let failed: Vec<_> = work.met.iter().map(|trouble| trouble.directory.clone()).collect();
        work.next = now + (rule.settle / 2).clamp(ROUND_MIN, ROUND_MAX);
        work.has_ended = true;
        work.is_known |= work.met.iter().all(|trouble| trouble.kind != TroubleKind::Later);
        self.files.end_round(index, number, &failed);
    }

    /// Finds out which of the files that have settled were taken before.
    fn judge(
        &mut self,
        share: &Share,
        limits: &dyn Fn(&WorkloadName) -> DropLimits,
        shutdown: &Shutdown,
    ) {
        let batches = self.files.take_settled(JUDGED_MAX).into_iter();
        let jobs = batches.map(|((rule, workload), found)| {
            let limits = limits(&workload);
            Judge { rule, share: share.clone(), workload, found, limits }
        });
        let run = self.judges.run(jobs.collect(), shutdown);
        for job in run.left {
            job.found.iter().for_each(|found| self.files.put_off(&found.path));
        }
        let (now, random) = (self.elapsed(), Arc::clone(&self.environment.random));
        // Workloads that are there already come first.
        for done in run.done.iter().filter(|it| it.judgement.as_ref().is_ok_and(|it| it.is_there)) {
            self.rules[done.rule].workloads.insert(done.workload.clone());
        }
        for JudgeDone { rule, workload, found, judgement } in run.done {
            let judgement = match judgement {
                Ok(judgement) => judgement,
                Err(reason) => {
                    for found in found {
                        let stand = Stand::Later(reason.clone());
                        self.files.wait(&found.path, stand, now, &*random);
                    }
                    continue;
                }
            };
            let admission = self.rules[rule].admit(&workload);
            for (found, judged) in found.iter().zip(judgement.judged) {
                let is_free = matches!(judged, Judged::Free(_));
                self.files.judged(found, judged, now, &*random);
                match &admission {
                    Admission::NotYet if is_free => self.files.put_off(&found.path),
                    Admission::Refused(reason) if is_free => {
                        let stand = Stand::Held(reason.clone());
                        self.files.wait(&found.path, stand, now, &*random);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Copies the next files, a few at a time; how many.
    fn copy(&mut self, share: &Share, shutdown: &Shutdown) -> usize {
        let room = (2 * COPIES).saturating_sub(self.files.copying()).min(COPIES);
        let copies = self.files.take_ready(room).into_iter();
        let jobs = copies.map(|(found, candidate)| {
            let (share, stop) = (share.clone(), self.stop.clone());
            Take { share, found, candidate, stop }
        });
        let run = self.copies.run(jobs.collect(), shutdown);
        for job in run.left {
            self.files.put_off(&job.found.path);
        }
        let count = run.done.len();
        let (now, random) = (self.elapsed(), Arc::clone(&self.environment.random));
        for Took { found, candidate, result } in run.done {
            let path = &found.path;
            match result {
                Ok(_) => {
                    let (drop, bytes) = (candidate.address(), found.bytes());
                    tracing::info!(file = %path, %drop, bytes, "adopted");
                    self.files.taken(&found, &candidate);
                }
                Err(CopyError::Changed) => self.files.changed(path),
                Err(CopyError::Stopped) => self.files.put_off(path),
                Err(CopyError::Refused(reason)) => {
                    self.files.wait(path, Stand::Held(reason), now, &*random);
                }
                // Whoever has no room is told of that where room is measured.
                Err(CopyError::Write(WriteError::NoRoom { notice })) => {
                    let left = human::bytes(notice.left());
                    let reason = format!("there is no room: {}, {left} left", notice.reason);
                    self.files.wait(path, Stand::NoRoom(reason), now, &*random);
                }
                Err(error) => {
                    self.files.wait(path, Stand::Later(error.to_string()), now, &*random);
                }
            }
        }
        count
    }

    /// Files that may be removed, as far as the rules are concerned, each with its drop.
    pub(crate) fn removable(&self) -> Vec<(Found, DropAddress)> {
        let is_meant = |rule: usize| self.rules[rule].rule.removal == Removal::Vaulted;
        if !self.rules.iter().any(|work| work.rule.removal == Removal::Vaulted) {
            return Vec::new();
        }
        self.files.taken_of(is_meant, self.elapsed(), REMOVED_MAX)
    }

    /// A file that was taken was removed, or is another one.
    pub(crate) fn removed(&mut self, found: &Found, address: &DropAddress, is_gone: bool) {
        if is_gone {
            tracing::info!(file = %found.path, drop = %address, "the vault holds it; removed");
            self.files.forget(&found.path);
        } else {
            self.files.changed(&found.path);
        }
    }

    /// A file that was taken is not removed now; why that is nobody's wish, if so.
    pub(crate) fn stays(&mut self, found: &Found, reason: Option<String>) {
        let (now, random) = (self.elapsed(), &self.environment.random);
        self.files.stays(&found.path, reason, now, &**random);
    }

    /// Whose receipts stay, so that what was taken is not taken again.
    pub(crate) fn kept(&self) -> Kept {
        let is_known = self.rules.iter().all(|work| work.is_known);
        Kept { all: !is_known || self.files.is_crowded, ..self.files.kept() }
    }

    /// What keeps files from being taken.
    pub(crate) fn problems(&self, share: &Share) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, work) in self.rules.iter().enumerate() {
            let glob = work.rule.glob().text();
            if work.is_lent {
                let reason = format!(
                    "a look for files to be adopted ({glob}) does not come to its end: the share hangs there; \
                     check its mount and its file server"
                );
                problems.push(Met::Unreadable(share.path().to_owned()).because(reason));
            }
            problems.extend(work.met.iter().map(|trouble| self.trouble(share, index, trouble)));
        }
        if self.files.is_crowded {
            let reason =
                format!("more than {FILES_MAX} files are to be adopted; the rest is not looked at");
            problems.push(Met::TooManyFiles(share.path().to_owned()).because(reason));
        }
        problems.extend(
            self.is_unwritable.iter().map(|reason| Met::AdoptionUnwritten.because(reason.clone())),
        );
        for file in self.files.iter() {
            if problems.len() >= PROBLEMS_MAX {
                break;
            }
            let path = PathBuf::from(file.found.path.to_string());
            problems.push(match (&file.stand, file.workload()) {
                (Stand::Held(reason), Some(workload)) => {
                    Met::NotAdopted(workload.clone(), path).because(reason.clone())
                }
                (Stand::Held(reason), None) => Met::Stray(path).because(reason.clone()),
                (Stand::Later(reason), _) if file.failures() >= FAILURES_TOLD => {
                    Met::AdoptionFailed(path).because(reason.clone())
                }
                (Stand::Taken(_), _) => match &file.stays {
                    Some(reason) => Met::NotRemoved(path).because(reason.clone()),
                    None => continue,
                },
                _ => continue,
            });
        }
        problems
    }

    fn trouble(&self, share: &Share, rule: usize, trouble: &Trouble) -> Problem {
        let Trouble { directory, kind, reason } = trouble;
        let path = share.path().join(directory.join("/"));
        let owner = self.rules[rule].rule.owner(directory);
        let met = match (kind, owner) {
            (TroubleKind::Later, _) => Met::Unreadable(path),
            (TroubleKind::Denied, Some(owner)) => {
                Met::NotAdopted(owner, directory.join("/").into())
            }
            (TroubleKind::Denied, None) => Met::Stray(path),
            (TroubleKind::Crowded, Some(owner)) => Met::TooManyNames(owner, path),
            (TroubleKind::Crowded, None) => Met::TooManyFiles(path),
        };
        met.because(reason.clone())
    }

    /// Tells on the share what waits, for people who look there.
    pub(crate) fn tell(&mut self, share: &Share, at: Timestamp) {
        if self.is_idle() && self.told.is_some() {
            return;
        }
        let now = self.elapsed();
        let mut files: Vec<(Duration, WaitingFile)> = Vec::new();
        for file in self.files.iter() {
            let settle = self.rules[file.rule].rule.settle;
            let Some(why) = file.why(now, settle) else { continue };
            let changed = file.found.members.iter().filter_map(|it| it.facts.modified_at()).max();
            let (path, workload) = (file.found.path.to_string(), file.workload().cloned());
            let bytes = file.found.bytes();
            files.push((file.since, WaitingFile { path, workload, bytes, changed, why }));
        }
        files.sort_by_key(|(since, file)| (*since, file.path.clone()));
        let more = files.len().saturating_sub(TOLD_MAX) as u64;
        let files: Vec<_> = files.into_iter().map(|(_, file)| file).take(TOLD_MAX).collect();
        let is_told = self.told.as_ref().is_some_and(|(told, when)| {
            let names = |files: &[WaitingFile]| -> Vec<_> {
                files.iter().map(|file| (file.path.clone(), file.bytes)).collect()
            };
            let is_recent = now.saturating_sub(*when) < TOLD_AGAIN;
            (is_recent || files.is_empty()) && names(told) == names(&files)
        });
        if is_told {
            return;
        }
        let waiting = Waiting { at, files, more };
        match waiting::write(share, &waiting) {
            Ok(()) => {
                self.is_unwritable = None;
                self.told = Some((waiting.files, now));
            }
            Err(error) => self.is_unwritable = Some(error.to_string()),
        }
    }
}

impl Drop for Adopter {
    fn drop(&mut self) {
        self.stop.request();
    }
}

/// Whether a rule may lead to a workload.
enum Admission {
    Welcome,
    /// It is new, and those that are not are looked at first.
    NotYet,
    Refused(String),
}

impl Work {
    /// Whether the rule may lead to one more workload. Those that are on the share already come first:
    /// whoever makes many names keeps nobody else's files from being adopted.
    fn admit(&mut self, workload: &WorkloadName) -> Admission {
        let max = self.rule.workloads;
        if self.workloads.contains(workload) {
            Admission::Welcome
        } else if !self.has_ended {
            Admission::NotYet
        } else if self.workloads.len() >= max {
            let glob = self.rule.glob().text();
            Admission::Refused(format!(
                "the rule {glob} leads to {max} workloads already, and to no more (its key \"workloads\")"
            ))
        } else {
            self.workloads.insert(workload.clone());
            Admission::Welcome
        }
    }
}
