//! One hand-over: what its two threads and the passes know of it together.
//!
//! Passes never wait for its desk: whoever has that may wait for a disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::time::Duration;

use outlast_drop::{DropAddress, DropLimits, Share};
use outlast_handover::{Desk, DropKey, Frees, HandoverError, Rules, intake};
use outlast_types::{ContentHash, Environment, Interrupt, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::{
    HandoverProblem, HandoverReport, HandoverState, HandoverTrouble, HeardDelivery,
};
use outlast_wire::receipts::Authority;

use super::account::{self, Account};
use super::heard::Heard;
use super::telling::{self, Telling};
use super::waiting::{Candidate, Waiting};
use crate::config::{Confirming, Handover};
use crate::seal_keys::SealKeys;

/// So long a pass waits for a desk at most, and after that for none of its questions for a while.
const PATIENCE: Duration = Duration::from_millis(300);
const BUSY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
/// After that much time nothing was tried, whoever waits looks again.
const TICK: Duration = Duration::from_secs(1);
/// Drops that are named in one problem.
const NAMED_MAX: usize = 3;
/// A trouble that passes sooner is told nobody: disks have hiccups, and nobody must be woken for that.
const LASTING: Duration = Duration::from_secs(15);

/// One hand-over.
pub(super) struct Room {
    pub(super) rules: Rules,
    pub(super) confirm: Option<Confirming>,
    pub(super) environment: Environment,
    pub(super) authority: Authority,
    pub(super) keys: Arc<SealKeys>,
    /// Once its directory could be opened.
    desk: OnceLock<Mutex<Desk>>,
    others: OnceLock<Vec<Weak<Room>>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    share: Option<Share>,
    waiting: Waiting,
    /// Drops that the product has by receipts of another agent, and the time of their files there.
    elsewhere: BTreeMap<DropKey, Timestamp>,
    has_seen_all: bool,
    is_rebuilt: bool,
    /// Counts up with whatever passes may wait for.
    moves: u64,
    /// Counts up with each drop that has appeared.
    offered: u64,
    /// Until when no pass waits for the desk.
    busy_until: Duration,
    troubles: Troubles,
    /// What the vault has heard of drops.
    heard: Heard,
    /// How it stood when that could last be said.
    account: Option<Account>,
}

/// One thing that keeps it from its work, and since when, by the timer.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    since: Duration,
    reason: String,
}

/// What keeps it from its work.
#[derive(Debug, Clone, Default)]
struct Troubles {
    /// A thread of it has ended.
    thread: Option<Trouble>,
    /// The directory.
    directory: Option<Trouble>,
    /// The same, while a drop was being brought there.
    staging: Option<Trouble>,
    /// There is no room.
    full: Option<Trouble>,
    /// The product cannot be asked.
    confirmer: Option<Trouble>,
}

/// Which trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Thread,
    Directory,
    Staging,
    Full,
    Confirmer,
}

impl Troubles {
    fn of(&mut self, kind: Kind) -> &mut Option<Trouble> {
        match kind {
            Kind::Thread => &mut self.thread,
            Kind::Directory => &mut self.directory,
            Kind::Staging => &mut self.staging,
            Kind::Full => &mut self.full,
            Kind::Confirmer => &mut self.confirmer,
        }
    }
}

impl Room {
    pub(super) fn new(
        handover: Handover,
        environment: Environment,
        authority: Authority,
        keys: Arc<SealKeys>,
    ) -> Self {
        let (desk, others, state) = (OnceLock::new(), OnceLock::new(), Mutex::default());
        let (changed, Handover { rules, confirm }) = (Condvar::new(), handover);
        Self { rules, confirm, environment, authority, keys, desk, others, state, changed }
    }

    pub(super) fn name(&self) -> &str {
        &self.rules.name
    }

    pub(super) fn knows(&self, others: Vec<Weak<Self>>) {
        let _ = self.others.set(others);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.environment.timer.elapsed()
    }

    /// Says aloud what lies there for all who may read the directory.
    pub(super) fn say_what_is_clear(&self) {
        tracing::warn!(
            handover = self.name(),
            "dumps lie in clear in {}: whoever can read it can read them, and so can whoever reads the product's media",
            self.rules.directory.display()
        );
    }

    /// The desk, for its own threads.
    pub(super) fn desk(&self) -> Option<&Mutex<Desk>> {
        self.desk.get()
    }

    /// Opens the desk.
    pub(super) fn open(&self) -> Result<&Mutex<Desk>, HandoverError> {
        if let Some(desk) = self.desk.get() {
            return Ok(desk);
        }
        let desk = Desk::open(self.rules.clone(), self.environment.clone())?;
        Ok(self.desk.get_or_init(|| Mutex::new(desk)))
    }

    /// The desk, for passes: at once, or not now.
    fn soon(&self) -> Option<MutexGuard<'_, Desk>> {
        let desk = self.desk.get()?;
        let began = self.elapsed();
        if began < self.state().busy_until {
            return match desk.try_lock() {
                Ok(desk) => Some(desk),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
        }
        loop {
            match desk.try_lock() {
                Ok(desk) => return Some(desk),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            let now = self.elapsed();
            if now.saturating_sub(began) >= PATIENCE {
                self.state().busy_until = now.saturating_add(BUSY);
                return None;
            }
            self.environment.timer.pause(PAUSE, &Interrupt::default());
        }
    }

    pub(super) fn serve(&self, share: Option<&Share>) {
        self.state().share = share.cloned();
        self.changed.notify_all();
    }

    pub(super) fn share(&self) -> Option<Share> {
        self.state().share.clone()
    }

    pub(super) fn see(
        &self,
        address: &DropAddress,
        seal: ContentHash,
        limits: DropLimits,
        is_wanted: bool,
    ) {
        let now = self.elapsed();
        let candidate = (address, seal, limits);
        self.state().waiting.see(&super::key(address), candidate, is_wanted, now);
        self.changed.notify_all();
    }

    pub(super) fn is_none(&self, key: &DropKey) {
        self.state().waiting.is_none(key);
    }

    pub(super) fn wants_all(&self) -> bool {
        self.state().waiting.take_cut()
    }

    pub(super) fn has_seen_all(&self) {
        let mut state = self.state();
        state.has_seen_all = true;
        drop(state);
        self.changed.notify_all();
    }

    /// Whether a pass has seen all that lies on the share, since the start.
    pub(super) fn is_all_seen(&self) -> bool {
        self.state().has_seen_all
    }

    pub(super) fn holding(&self) -> Vec<WorkloadName> {
        let now = self.elapsed();
        if self.desk.get().is_none() {
            // Its directory cannot be used, or the agent does not run.
            return Vec::new();
        }
        self.state().waiting.holding(now).into_iter().collect()
    }

    pub(super) fn moves(&self) -> u64 {
        self.state().moves
    }

    pub(super) fn copy_of(&self, key: &DropKey) -> Option<PathBuf> {
        self.soon()?.copy_of(key)
    }

    pub(super) fn loaded(&self, key: &DropKey) {
        self.state().waiting.loaded(key);
    }

    /// Whether nothing here is against a drop leaving the share that the vault holds.
    pub(super) fn lets_go(&self, key: &DropKey) -> bool {
        let Some(desk) = self.soon() else { return false };
        let (ledger, state) = (desk.ledger(), self.state());
        let elsewhere = state.elsewhere.get(key);
        match self.rules.frees {
            Frees::Vaulted | Frees::Either => {
                ledger.knows(key) || elsewhere.is_some() || state.waiting.is_refused(key)
            }
            Frees::Both | Frees::Confirmed => {
                let is_newer = |stamp: &Timestamp| {
                    let others = state.elsewhere.iter();
                    let mut alike = others.filter(|(it, _)| it.workload == key.workload);
                    let mut here = ledger.of_workload(&key.workload);
                    alike.any(|(_, other)| other > stamp)
                        || here.any(|it| it.offer.stamp > *stamp && ledger.is_confirmed(it))
                };
                ledger.is_outlived(key) || elsewhere.is_some_and(is_newer)
            }
        }
    }

    /// What the share is to be told now.
    pub(super) fn untold(&self, room: usize, share: ShareId, max: usize) -> Vec<Telling> {
        let Some(desk) = self.soon() else { return Vec::new() };
        let words = self.state().heard.words();
        telling::untold(&desk, |key| words.get(key).cloned(), (room, share), max)
    }

    /// It was told.
    pub(super) fn told(&self, telling: &Telling) {
        let Some(mut desk) = self.soon() else { return };
        let noted = match telling.is_taken_back {
            true => desk.taken_back(&telling.key),
            false => telling.tolds.iter().try_for_each(|told| desk.told(&telling.key, *told)),
        };
        if let Err(error) = noted {
            // It is told again, which changes nothing.
            tracing::debug!(handover = self.name(), "what was told is not noted: {error}");
        }
    }

    /// The next drop to be copied; waits a moment for one.
    pub(super) fn next(&self) -> Option<(Share, DropKey, Candidate)> {
        let now = self.elapsed();
        let mut state = self.state();
        let next = match state.share.clone() {
            Some(share) => state.waiting.next(now).map(|(key, it)| (share, key, it)),
            None => None,
        };
        if next.is_none() {
            drop(self.changed.wait_timeout(state, TICK));
        }
        next
    }

    /// The copy under way has come further.
    pub(super) fn moved(&self) {
        let now = self.elapsed();
        self.state().waiting.moved(now);
    }

    /// Something came of a drop.
    pub(super) fn came(&self, what: impl FnOnce(&mut Waiting, Duration)) {
        let now = self.elapsed();
        let mut state = self.state();
        what(&mut state.waiting, now);
        state.moves += 1;
    }

    /// A drop has appeared.
    pub(super) fn has_offered(&self) {
        self.state().offered += 1;
        self.trouble(Kind::Full, None);
        self.trouble(Kind::Staging, None);
    }

    pub(super) fn offered(&self) -> u64 {
        self.state().offered
    }

    /// The product has a drop, as a receipt says that another agent wrote.
    pub(super) fn is_elsewhere(&self, key: &DropKey, stamp: Timestamp) {
        self.state().elsewhere.insert(key.clone(), stamp);
    }

    /// Whether a copy of a drop is of no use to shipping.
    pub(super) fn is_idle(&self, key: &DropKey) -> bool {
        let state = self.state();
        !state.waiting.is_wanted(key) && !state.waiting.is_under_way(key)
    }

    pub(super) fn is_under_way(&self, key: &DropKey) -> bool {
        self.state().waiting.is_under_way(key)
    }

    /// The workloads of all drops that wait.
    pub(super) fn workloads(&self) -> Vec<WorkloadName> {
        self.state().waiting.workloads().into_iter().collect()
    }

    /// Whether all that lay on the share at the start has been tried, of which nobody has heard yet.
    pub(super) fn has_become_whole(&self) -> bool {
        let mut state = self.state();
        let is_whole = state.has_seen_all && state.waiting.is_through();
        is_whole && !std::mem::replace(&mut state.is_rebuilt, true)
    }

    /// Copies of others, from where a drop need not be read from the share once more.
    pub(super) fn copies_elsewhere(&self, key: &DropKey) -> Vec<PathBuf> {
        let others = self.others.get().into_iter().flatten().filter_map(Weak::upgrade);
        others.filter_map(|room| room.copy_of(key)).collect()
    }

    /// Notes what troubles it now, or that it does no more; in the log when that is new.
    pub(super) fn trouble(&self, kind: Kind, reason: Option<String>) {
        let since = self.elapsed();
        let mut state = self.state();
        let known = state.troubles.of(kind);
        match (&mut *known, reason) {
            (Some(known), Some(reason)) => known.reason = reason,
            (None, Some(reason)) => {
                tracing::warn!(handover = self.name(), "{reason}");
                *known = Some(Trouble { since, reason });
            }
            (Some(_), None) => {
                tracing::info!(handover = self.name(), "it goes on");
                *known = None;
            }
            (None, None) => {}
        }
    }

    /// The trouble that whoever restores from the directory should know.
    pub(super) fn trouble_shown(&self) -> Option<String> {
        let state = self.state();
        let Troubles { thread, directory, staging, full, .. } = &state.troubles;
        let waiting = [staging, full].into_iter().filter(|_| state.waiting.count() > 0);
        let all = [thread, directory].into_iter().chain(waiting);
        all.flatten().next().map(|it| it.reason.clone())
    }

    /// What people should know, of all that has lasted.
    pub(super) fn problems(&self) -> Vec<HandoverProblem> {
        let now = self.elapsed();
        let state = self.state();
        let Troubles { thread, directory, staging, full, confirmer } = &state.troubles;
        let waiting = state.waiting.count();
        let has_lasted = |it: &&Trouble| now.saturating_sub(it.since) >= LASTING;
        let told = |code, text: &str| HandoverProblem { code, text: text.to_owned() };
        let mut problems = Vec::new();
        let unusable = directory.iter().chain(staging.iter().filter(|_| waiting > 0));
        let unusable = thread.iter().chain(unusable.filter(has_lasted));
        problems.extend(unusable.take(1).map(|it| told(HandoverTrouble::Directory, &it.reason)));
        for it in full.iter().filter(|_| waiting > 0).filter(has_lasted) {
            let place = self.rules.directory.display();
            let are_waiting = match waiting {
                1 => "a drop waits".to_owned(),
                more => format!("{more} drops wait"),
            };
            let text = format!(
                "{place} takes nothing new, and {are_waiting} for it on the share: {}",
                it.reason
            );
            problems.push(told(HandoverTrouble::Full, &text));
        }
        problems.extend(confirmer.iter().map(|it| told(HandoverTrouble::Confirmer, &it.reason)));
        let refused: Vec<_> = state.waiting.refused().collect();
        if let Some((_, first)) = refused.first() {
            let names = refused.iter().take(NAMED_MAX).map(|(key, _)| key.to_string());
            let names: Vec<_> = names.collect();
            let more = match refused.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let text =
                format!("{}{more} cannot be handed over: {}", names.join(", "), first.reason);
            problems.push(told(HandoverTrouble::Other, &text));
        }
        problems
    }

    /// How it stands, and what the vault is to hear of drops: so many at most.
    pub(super) fn account(&self, max: usize) -> Account {
        let now = self.environment.clock.now();
        let fresh = self.soon().and_then(|desk| {
            let mut state = self.state();
            state.heard.retain(|key| desk.ledger().get(key).is_some());
            let (heard, is_rebuilt) = (state.heard.clone(), state.is_rebuilt);
            drop(state);
            let mut account = Account::of(&desk, is_rebuilt).ok()?;
            let elapsed = self.elapsed();
            let is_heard = |key: &DropKey, it| heard.has(key, it, elapsed);
            account.report.deliveries = account::untold(&desk, is_heard, max, now);
            Some(account)
        });
        let problems = self.problems();
        let mut state = self.state();
        let mut account = match (fresh, &state.account) {
            (Some(fresh), _) => {
                let deliveries = Vec::new();
                let report = HandoverReport { deliveries, ..fresh.report.clone() };
                let unconfirmed = fresh.unconfirmed.clone();
                state.account = Some(Account { report, unconfirmed });
                fresh
            }
            (None, Some(last)) => last.clone(),
            (None, None) => Account::closed(&self.rules.name, account::patterns(&self.rules)),
        };
        let is_troubled = |it: &HandoverProblem| it.code == HandoverTrouble::Directory;
        if problems.iter().any(is_troubled) {
            account.report.state = HandoverState::Troubled;
        }
        account.report.problems = problems;
        account
    }

    /// The vault has heard what became of drops; `run` is which of its runs that was.
    pub(super) fn hear(&self, run: &str, heard: &[HeardDelivery]) {
        let now = self.elapsed();
        let mut state = self.state();
        state.heard.begin(run);
        for it in heard.iter().filter(|it| it.handover == self.rules.name) {
            if let Some(reason) = &it.refused {
                let drop = format!("{}/{}", it.workload, it.drop);
                tracing::warn!(
                    handover = self.name(),
                    drop,
                    "the vault does not believe that it is handed over: {reason}"
                );
            }
            state.heard.note(it, now);
        }
    }

    /// The desk, for a moment, for its own threads.
    pub(super) fn at<'a>(&self, desk: &'a Mutex<Desk>) -> MutexGuard<'a, Desk> {
        intake::at(desk)
    }
}
