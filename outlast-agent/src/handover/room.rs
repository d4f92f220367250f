//! One hand-over: what its two threads and the passes know of it together.
//!
//! Passes never wait for its desk: whoever has that may wait for a disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use outlast_drop::{Rejection, Share};
use outlast_handover::{DropKey, Ledger, Rules};
use outlast_types::{ContentHash, Environment, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::{
    Delivery, DeliveryState, HandoverProblem, HandoverReport, HandoverState, HandoverTrouble,
    HeardDelivery,
};
use outlast_wire::receipts::Authority;

use super::account::{self, Account};
use super::door::Door;
use super::heard::Heard;
use super::telling::{self, Telling};
use super::troubles::{Kind, Troubles};
use super::waiting::{Candidate, Sighted, Waiting, key_of};
use crate::config::{Confirming, Handover};
use crate::seal_keys::SealKeys;

/// Drops that have left, until the vault has heard of them.
const LEFT_MAX: usize = 10_000;
/// Drops that are remembered to be handed over to nobody; there are as many as somebody brings back.
const EXEMPT_MAX: usize = 50_000;
/// After that much time nothing was tried, whoever waits looks again.
const TICK: Duration = Duration::from_secs(1);
/// One hand-over.
pub(super) struct Room {
    pub(super) rules: Rules,
    pub(super) confirm: Option<Confirming>,
    pub(super) environment: Environment,
    pub(super) authority: Authority,
    pub(super) keys: Arc<SealKeys>,
    pub(super) door: Door,
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
    /// Drops that are not handed over, since a product has given them back.
    exempt: BTreeSet<DropKey>,
    has_seen_all: bool,
    is_rebuilt: bool,
    /// Counts up with whatever passes may wait for.
    moves: u64,
    /// Counts up with each drop that has appeared.
    offered: u64,
    /// What the share was told, until the desk has noted it.
    tolds: Vec<Telling>,
    troubles: Troubles,
    /// What the vault has heard of drops.
    heard: Heard,
    /// Drops that have left the directory, of which it may not have heard that the product has them.
    left: VecDeque<Delivery>,
    /// How it stood when that could last be said.
    account: Option<Account>,
}

impl Room {
    pub(super) fn new(
        handover: Handover,
        note: PathBuf,
        environment: Environment,
        authority: Authority,
        keys: Arc<SealKeys>,
    ) -> Self {
        let Handover { rules, confirm } = handover;
        let door = Door::new(rules.clone(), environment.clone(), note);
        let (others, state, changed) = (OnceLock::new(), Mutex::default(), Condvar::new());
        Self { rules, confirm, environment, authority, keys, door, others, state, changed }
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
        if self.rules.encrypt_to.is_empty() {
            tracing::warn!(
                handover = self.name(),
                "dumps lie in clear in {}: whoever can read it can read them, and so can whoever reads the \
                 product's media; `encrypt_to` encrypts them",
                self.rules.directory.display()
            );
        }
    }

    pub(super) fn serve(&self, share: Option<&Share>) {
        self.state().share = share.cloned();
        self.changed.notify_all();
    }

    pub(super) fn share(&self) -> Option<Share> {
        self.state().share.clone()
    }

    pub(super) fn see(&self, candidate: Sighted<'_>, is_wanted: bool) {
        let now = self.elapsed();
        self.state().waiting.see(&key_of(candidate.0), candidate, is_wanted, now);
        self.changed.notify_all();
    }

    pub(super) fn exempt(&self, key: &DropKey) {
        let mut state = self.state();
        if state.exempt.len() < EXEMPT_MAX {
            state.exempt.insert(key.clone());
        }
    }

    /// Whether a drop is where the product reads, or was.
    pub(super) fn has(&self, key: &DropKey) -> bool {
        self.state().waiting.is_known(key)
    }

    pub(super) fn rejection(&self, key: &DropKey, seal: ContentHash) -> Option<Rejection> {
        self.state().waiting.rejection(key, seal)
    }

    /// Whether the product has a drop, by jobs of each schedule that the rules name; or had, and it has left the directory
    /// since. If that cannot be said now, it has not.
    pub(super) fn confirms(&self, key: &DropKey) -> bool {
        {
            let state = self.state();
            if state.waiting.is_again(key) {
                return false;
            }
            if state.elsewhere.contains_key(key) {
                return true;
            }
        }
        let confirms = self.door.soon(|desk| {
            let (ledger, schedules) = (desk.ledger(), &self.rules.keep_until);
            ledger.get(key).map_or_else(
                || ledger.is_gone(key),
                |it| {
                    ledger.is_confirmed(it)
                        && schedules.iter().all(|word| ledger.is_confirmed_by(it, word))
                },
            )
        });
        confirms.unwrap_or(false)
    }

    /// The vault is to hear again that the product has a drop; `delivery` is how it heard it once. Where it never did, or took
    /// its word back, and the drop has left the directory, nobody can say that any more: then it is offered once more.
    pub(super) fn tell_again(&self, key: &DropKey, delivery: Option<Delivery>) {
        let is_gone = self.door.soon(|desk| desk.ledger().is_gone(key)).unwrap_or(false);
        let mut state = self.state();
        state.heard.forget(key);
        let is_it =
            |left: &Delivery| left.drop.workload == key.workload && left.drop.drop == key.drop;
        if state.left.iter().any(is_it) {
            return;
        }
        match delivery {
            Some(delivery) if state.left.len() < LEFT_MAX => state.left.push_back(delivery),
            None if is_gone || state.elsewhere.contains_key(key) => {
                state.elsewhere.remove(key);
                if state.waiting.again(key) {
                    tracing::warn!(drop = %key, handover = self.name(), "it lies on the share, has left the directory, and the vault does not know that the product has it: it is offered once more");
                }
            }
            _ => {}
        }
    }

    /// Whether a drop that has left is to be offered once more, whatever receipts say.
    pub(super) fn is_again(&self, key: &DropKey) -> bool {
        self.state().waiting.is_again(key)
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
        if self.door.desk().is_none() {
            // Its directory cannot be used, or the agent does not run.
            return Vec::new();
        }
        self.state().waiting.holding(now).into_iter().collect()
    }

    pub(super) fn moves(&self) -> u64 {
        self.state().moves
    }

    pub(super) fn copy_of(&self, key: &DropKey) -> Option<PathBuf> {
        self.door.soon(|desk| desk.copy_of(key)).flatten()
    }

    pub(super) fn loaded(&self, key: &DropKey) {
        self.state().waiting.loaded(key);
    }

    /// Whether nothing here is against a drop leaving the share that the vault holds.
    pub(super) fn lets_go(&self, key: &DropKey) -> bool {
        self.door.soon(|desk| self.frees(desk.ledger(), key)).unwrap_or(false)
    }

    fn frees(&self, ledger: &Ledger, key: &DropKey) -> bool {
        let state = self.state();
        if state.exempt.contains(key) {
            return true;
        }
        let elsewhere = state.elsewhere.get(key);
        if !self.rules.frees.wants_confirmation() {
            return ledger.knows(key) || elsewhere.is_some() || state.waiting.is_refused(key);
        }
        let is_newer = |stamp: &Timestamp| {
            let others = state.elsewhere.iter();
            let mut alike = others.filter(|(it, _)| it.workload == key.workload);
            let mut here = ledger.of_workload(&key.workload);
            alike.any(|(_, other)| other > stamp)
                || here.any(|it| it.offer.stamp > *stamp && ledger.is_confirmed(it))
        };
        ledger.is_outlived(key) || elsewhere.is_some_and(is_newer)
    }

    /// What the share is to be told now.
    pub(super) fn untold(&self, room: usize, share: ShareId, max: usize) -> Vec<Telling> {
        let (words, tolds) = {
            let state = self.state();
            (state.heard.words(), state.tolds.clone())
        };
        let word = |key: &DropKey| words.get(key).cloned();
        let untold = self.door.soon(|desk| telling::untold(desk, word, (room, share), max));
        let mut untold = untold.unwrap_or_default();
        untold.retain(|it| !tolds.iter().any(|told| told.is_as(it)));
        untold
    }

    /// It was told: the clerk notes it, who may wait for a disk.
    pub(super) fn told(&self, telling: &Telling) {
        self.state().tolds.push(telling.clone());
    }

    /// What the share was told since this was asked last.
    pub(super) fn take_tolds(&self) -> Vec<Telling> {
        std::mem::take(&mut self.state().tolds)
    }

    /// Whether the vault has heard that the product has a drop.
    pub(super) fn is_heard(&self, key: &DropKey) -> bool {
        let now = self.elapsed();
        self.state().heard.has(key, DeliveryState::Confirmed, now)
    }

    /// Drops have left the directory, and the vault is to hear that the product has them.
    pub(super) fn has_let_go(&self, leaving: Vec<Delivery>, gone: &[DropKey]) {
        let mut state = self.state();
        for delivery in leaving {
            let (workload, drop) = (delivery.drop.workload.clone(), delivery.drop.drop);
            let key = DropKey { workload, drop };
            if gone.contains(&key) && state.left.len() < LEFT_MAX {
                state.left.push_back(delivery);
            }
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

    /// Notes what troubles it now, or that it does no more.
    pub(super) fn trouble(&self, kind: Kind, reason: Option<String>) {
        let now = self.elapsed();
        self.state().troubles.note(self.name(), kind, reason, now);
    }

    /// The trouble that whoever restores from the directory should know.
    pub(super) fn trouble_shown(&self) -> Option<String> {
        let state = self.state();
        state.troubles.shown(&state.waiting)
    }

    /// How it stands, and what the vault is to hear of drops: so many at most.
    pub(super) fn account(&self, max: usize) -> Account {
        let (now, elapsed) = (self.environment.clock.now(), self.elapsed());
        let fresh = self.door.soon(|desk| {
            let (heard, is_rebuilt) = {
                let mut state = self.state();
                state.heard.retain(|key| desk.ledger().get(key).is_some());
                (state.heard.clone(), state.is_rebuilt)
            };
            let mut account = Account::of(desk, is_rebuilt).ok()?;
            let is_heard = |key: &DropKey, it| heard.has(key, it, elapsed);
            let left = self.state().left.iter().take(max).cloned().collect::<Vec<_>>();
            let share = self.share().map(|share| share.id());
            let rest = max.saturating_sub(left.len());
            let rest = account::untold(desk, is_heard, (share, rest), now);
            account.report.deliveries = left.into_iter().chain(rest).collect();
            Some(account)
        });
        let fresh = fresh.flatten();
        let mut state = self.state();
        let problems = state.troubles.told(&self.rules.directory, &state.waiting, elapsed);
        let mut account = match (fresh, &state.account) {
            (Some(fresh), _) => {
                let deliveries = Vec::new();
                let report = HandoverReport { deliveries, ..fresh.report.clone() };
                let unconfirmed = fresh.unconfirmed.clone();
                state.account = Some(Account { report, unconfirmed });
                fresh
            }
            (None, Some(last)) => last.clone(),
            (None, None) => Account::closed(&self.rules),
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
            let is_it =
                |left: &Delivery| left.drop.workload == it.workload && left.drop.drop == it.drop;
            state.left.retain(|left| !is_it(left));
            state.heard.note(it, now);
        }
    }
}
