//! The line to the destination: whether it is up, and whether whoever is at its end has begun anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_drop::DropAddress;
use outlast_types::{Backoff, ContentHash, Environment, ShareId, WorkloadName, hex};
use outlast_wire::CallError;
use outlast_wire::api::{AgentReport, Reported};
use outlast_wire::holdings::{HandedDrop, HandedNow, QUESTION_DROPS_MAX};

use crate::Shutdown;
use crate::destination::{Cargo, Content, Delivered, Destination, Failure, Taken};
use crate::secured::Secured;

/// The longest pause after failures of the line.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The line to the destination. After a failure it is left alone for a while, and all wait: those
/// who ship, those who ask and those who report.
pub(crate) struct Line {
    destination: Box<dyn Destination>,
    environment: Environment,
    /// The first pause after failures.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    backoff: Backoff,
    /// The run of the vault that was last heard, and the one that was asked what it holds.
    heard: Option<String>,
    asked: Option<String>,
}

/// Which drops their holder says it holds at this moment, which not any more, and which it does not
/// speak of.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    pub(crate) held: BTreeMap<DropAddress, Secured>,
    pub(crate) lost: Vec<DropAddress>,
    /// Those of which nothing is said to this agent.
    pub(crate) refused: Vec<DropAddress>,
    /// Whether the holder lets nothing go for now, whatever it holds.
    pub(crate) is_withheld: bool,
}

/// What the vault says at this moment of drops that backup products are to have.
#[derive(Debug, Default)]
pub(crate) struct ConfirmedNow {
    pub(crate) handed: Vec<HandedNow>,
    /// The workloads of which policy does not count that alone, and those of which nothing is said to this agent.
    pub(crate) unsafe_alone: BTreeSet<WorkloadName>,
    pub(crate) refused: BTreeSet<WorkloadName>,
    /// Whether nothing may be let go for now.
    pub(crate) is_withheld: bool,
}

impl Line {
    pub(crate) fn new(
        destination: Box<dyn Destination>,
        environment: Environment,
        pause: Duration,
    ) -> Self {
        Self { destination, environment, pause, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heed(&mut self, shutdown: &Shutdown) {
        self.destination.heed(shutdown);
    }

    pub(crate) fn speak_of(&self, share: ShareId) {
        self.destination.speak_of(share);
    }

    /// Begins to carry a drop: all that follows of it, here and at every tier, goes under this id.
    pub(crate) fn begin(&self, address: &DropAddress) -> String {
        let mut bytes = [0; 4];
        self.environment.random.fill(&mut bytes);
        // Who looks for the drop finds all attempts, and can tell them apart.
        let id = format!("{}.{}", address.drop, hex::encode(&bytes));
        self.destination.carry(&address.workload, Some(&id));
        id
    }

    /// What follows of this workload belongs to no drop.
    pub(crate) fn end(&self, workload: &WorkloadName) {
        self.destination.carry(workload, None);
    }

    /// Whether it is left alone for now.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state().backoff.is_waiting(self.environment.timer.elapsed())
    }

    /// Whether whoever is at its end was not asked yet what it holds, or has begun anew since.
    pub(crate) fn must_ask(&self) -> bool {
        let state = self.state();
        state.asked.is_none() || state.asked != state.heard
    }

    /// Takes back that it was asked.
    pub(crate) fn ask_again(&self) {
        self.state().asked = None;
    }

    pub(crate) fn load(
        &self,
        cargo: &Cargo<'_>,
        accepted: &mut dyn FnMut(Content),
    ) -> Result<Taken, Failure> {
        let loaded = self.destination.load(cargo, accepted);
        loaded.inspect_err(|failure| self.heed_failure(failure))
    }

    pub(crate) fn deliver(
        &self,
        cargo: &Cargo<'_>,
        seal: ContentHash,
    ) -> Result<Delivered, Failure> {
        match self.destination.deliver(cargo, seal) {
            Ok(delivered) => {
                self.state().backoff.succeeded();
                Ok(delivered)
            }
            Err(failure) => {
                if matches!(failure, Failure::Waiting(_) | Failure::Lacking(_)) {
                    self.state().backoff.succeeded();
                }
                self.heed_failure(&failure);
                Err(failure)
            }
        }
    }

    /// A drop that may be under way will not be shipped after all.
    pub(crate) fn give_up(&self, share: ShareId, address: &DropAddress, reason: &str) {
        self.destination.give_up(share, address, reason);
    }

    /// Asks whether these drops are held at this moment. They may be a few of those that are held here:
    /// of the others nothing is known then.
    ///
    /// # Errors
    /// Why nothing is known of some of them. The answers that came before that are lost, too.
    pub(crate) fn confirm(
        &self,
        drops: BTreeMap<DropAddress, Secured>,
    ) -> Result<Confirmed, String> {
        self.ask(drops, &mut BTreeSet::new())
    }

    /// The same for all drops that are held here: whoever answers was asked, until it begins anew.
    pub(crate) fn confirm_all(
        &self,
        drops: BTreeMap<DropAddress, Secured>,
    ) -> Result<Confirmed, String> {
        let mut runs = BTreeSet::new();
        let confirmed = self.ask(drops, &mut runs)?;
        // One that began anew between two questions was not asked for all.
        let asked = if runs.len() == 1 { runs.pop_first() } else { None };
        self.state().asked = asked;
        Ok(confirmed)
    }

    /// Asks for `drops`, a question at a time, and notes in `runs` who answered.
    fn ask(
        &self,
        mut drops: BTreeMap<DropAddress, Secured>,
        runs: &mut BTreeSet<String>,
    ) -> Result<Confirmed, String> {
        let mut confirmed = Confirmed::default();
        while !drops.is_empty() {
            let rest = drops.keys().nth(QUESTION_DROPS_MAX).cloned();
            let rest = rest.map(|first| drops.split_off(&first)).unwrap_or_default();
            let batch = std::mem::replace(&mut drops, rest);
            let question = batch.values().map(|secured| secured.held.clone()).collect();
            let answer = match self.destination.confirm(question, Vec::new()) {
                Ok(answer) => answer,
                Err(reason) => {
                    // Not all was asked, whatever was answered before.
                    self.ask_again();
                    return Err(reason);
                }
            };
            self.hear(answer.run.clone());
            runs.insert(answer.run);
            confirmed.is_withheld |= answer.withheld;
            for (address, secured) in batch {
                if answer.held.contains(&secured.held) {
                    confirmed.held.insert(address, secured);
                } else if answer.refused.contains(&address.workload) {
                    confirmed.refused.push(address);
                } else {
                    confirmed.lost.push(address);
                }
            }
        }
        Ok(confirmed)
    }

    /// Asks which of these drops backup products have now.
    pub(crate) fn confirm_handed(
        &self,
        mut drops: Vec<HandedDrop>,
    ) -> Result<ConfirmedNow, String> {
        let mut now = ConfirmedNow::default();
        while !drops.is_empty() {
            let rest = drops.split_off(QUESTION_DROPS_MAX.min(drops.len()));
            let answer = self.destination.confirm_handed(std::mem::replace(&mut drops, rest))?;
            self.hear(answer.run);
            now.handed.extend(answer.handed);
            now.unsafe_alone.extend(answer.unsafe_alone);
            now.refused.extend(answer.refused);
            now.is_withheld |= answer.withheld;
        }
        Ok(now)
    }

    /// Of these drops those of which the vault says now that it has their record, and how long it has had it, by
    /// its own clock.
    pub(crate) fn recorded(
        &self,
        drops: BTreeMap<DropAddress, Secured>,
    ) -> Result<Vec<(DropAddress, Duration)>, String> {
        let question = drops.values().map(|secured| secured.held.clone()).collect();
        let answer = self.destination.confirm(question, Vec::new())?;
        self.hear(answer.run.clone());
        let is_recorded = |secured: &Secured| {
            answer.held.contains(&secured.held) || answer.recorded.contains(&secured.held)
        };
        // While releases are withheld, nothing goes.
        let drops = drops.into_iter().filter(|(_, it)| !answer.withheld && is_recorded(it));
        Ok(drops.map(|(address, secured)| (address, answer.at.since(secured.at))).collect())
    }

    /// Shows a vault receipts that a vault signed.
    pub(crate) fn show(&self, receipts: Vec<String>) -> Result<(), String> {
        let answer = self.destination.confirm(Vec::new(), receipts)?;
        self.hear(answer.run);
        Ok(())
    }

    pub(crate) fn report(&self, report: &AgentReport) -> Result<Reported, CallError> {
        match self.destination.report(report) {
            Ok(reported) => {
                let mut state = self.state();
                state.backoff.succeeded();
                state.heard = Some(reported.run.clone());
                Ok(reported)
            }
            Err(error) => {
                self.failed();
                Err(error)
            }
        }
    }

    fn hear(&self, run: String) {
        self.state().heard = Some(run);
    }

    fn heed_failure(&self, failure: &Failure) {
        if let Failure::Unreachable(_) = failure {
            self.failed();
        }
    }

    fn failed(&self) {
        let mut state = self.state();
        // The one who answers next may be another, or the same with an older disk.
        state.asked = None;
        let now = self.environment.timer.elapsed();
        // Several may have been at work when it broke: that is one failure.
        if state.backoff.is_waiting(now) {
            return;
        }
        state.backoff.failed(now, self.pause, PAUSE_MAX, &*self.environment.random);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use outlast_drop::ReceiptState;
    use outlast_types::{DropIdentity, Timestamp};
    use outlast_wire::holdings::{Answer, HeldDrop, Nonce};
    use outlast_wire::{Peer, Role};

    use super::*;

    /// A vault that holds some drops, and has a run.
    #[derive(Default)]
    struct Holder {
        run: u32,
        /// Drops that it does not hold.
        lost: BTreeSet<u64>,
        /// Whether it lets nothing go.
        withheld: bool,
        /// How many questions it still answers.
        answers: usize,
        asked: Vec<usize>,
        shown: Vec<usize>,
    }

    struct Shared(Arc<Mutex<Holder>>);

    impl Destination for Shared {
        fn heed(&mut self, _: &Shutdown) {}

        fn speak_of(&self, _: ShareId) {}

        fn load(&self, _: &Cargo<'_>, _: &mut dyn FnMut(Content)) -> Result<Taken, Failure> {
            Err(Failure::Stopped)
        }

        fn deliver(&self, _: &Cargo<'_>, _: ContentHash) -> Result<Delivered, Failure> {
            Err(Failure::Unreachable("it is away".to_owned()))
        }

        fn confirm(&self, drops: Vec<HeldDrop>, shown: Vec<String>) -> Result<Answer, String> {
            let mut holder = self.0.lock().unwrap();
            let left = holder.answers.checked_sub(1).ok_or("it does not answer")?;
            holder.answers = left;
            holder.asked.push(drops.len());
            holder.shown.push(shown.len());
            let is_held = |drop: &HeldDrop| !holder.lost.contains(&drop.size);
            let held = drops.into_iter().filter(is_held).collect();
            let nonce = Nonce::new(&outlast_types::SystemRandom);
            let (at, run) = (Timestamp::EPOCH, holder.run.to_string());
            let refused = Vec::new();
            let withheld = holder.withheld;
            let (recorded, handed, unsafe_alone) = Default::default();
            let sequence = 0;
            Ok(Answer {
                nonce,
                at,
                run,
                sequence,
                held,
                recorded,
                handed,
                unsafe_alone,
                refused,
                withheld,
            })
        }

        fn report(&self, _: &AgentReport) -> Result<Reported, CallError> {
            Ok(Reported { run: self.0.lock().unwrap().run.to_string(), ..Reported::default() })
        }
    }

    fn line(holder: Holder) -> (Line, Arc<Mutex<Holder>>) {
        let holder = Arc::new(Mutex::new(holder));
        let destination = Box::new(Shared(Arc::clone(&holder)));
        let time = outlast_testing::ManualTime::new(Timestamp::EPOCH);
        (Line::new(destination, time.environment(), Duration::from_secs(1)), holder)
    }

    /// Drops that are told apart by their sizes.
    fn drops(count: u64) -> BTreeMap<DropAddress, Secured> {
        let workload = WorkloadName::new("shop").unwrap();
        let day = Timestamp::EPOCH.day();
        let secured = |size: u64| {
            let drop = format!("01a2066b-8649-78cb-a8bc-a5af{size:08x}").parse().unwrap();
            let address = DropAddress { workload: workload.clone(), day, drop };
            let share = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap();
            let seal = ContentHash([7; 32]);
            let drop = DropIdentity { share, workload: workload.clone(), day, drop, seal };
            let tree = "01".repeat(32).parse().unwrap();
            let snapshot = "02".repeat(32).parse().unwrap();
            let held = HeldDrop { drop, size, tree, snapshot };
            let by = Peer::new(Role::Vault, "hq").unwrap();
            let (at, state, counts_now) = (Timestamp::EPOCH, ReceiptState::Vaulted, true);
            let secured = Secured { by, at, state, counts_now, held, is_doubtful: false };
            (address, secured)
        };
        (0..count).map(secured).collect()
    }

    #[test]
    fn all_is_asked_in_questions_that_a_vault_takes_and_what_is_lost_is_told() {
        let max = QUESTION_DROPS_MAX as u64;
        for (count, questions) in [(0, vec![]), (max, vec![max]), (2 * max + 3, vec![max, max, 3])]
        {
            let lost = BTreeSet::from([max - 1, max, 2 * max + 2]);
            let (line, holder) = line(Holder { answers: 9, lost, ..Holder::default() });
            let all = drops(count);
            let confirmed = line.confirm(all.clone()).unwrap();
            let asked: Vec<u64> =
                holder.lock().unwrap().asked.iter().map(|&asked| asked as u64).collect();
            assert_eq!(asked, questions);
            let lost: Vec<u64> =
                confirmed.lost.iter().map(|address| all[address].held.size).collect();
            let expected: Vec<_> =
                [max - 1, max, 2 * max + 2].into_iter().filter(|it| *it < count).collect();
            assert_eq!(lost, expected);
            assert_eq!(confirmed.held.len() as u64 + lost.len() as u64, count);
            assert!(confirmed.held.values().all(|it| !lost.contains(&it.held.size)));
        }
    }

    #[test]
    fn a_vault_is_asked_again_when_it_began_anew_was_away_or_was_not_asked_for_all() {
        let (line, holder) = line(Holder { answers: 2, ..Holder::default() });
        assert!(line.must_ask());
        line.confirm_all(drops(1)).unwrap();
        assert!(!line.must_ask());
        line.show(vec!["a receipt".to_owned()]).unwrap();
        assert_eq!(holder.lock().unwrap().shown, [0, 1]);
        assert!(!line.must_ask());
        let report = || AgentReport {
            share: "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap(),
            pass: outlast_wire::api::Pass { started: Timestamp::EPOCH, finished: Timestamp::EPOCH },
            part: 1,
            parts: 1,
            workloads: Vec::new(),
            problems: Vec::new(),
            details: Vec::new(),
            share_usable: Some(true),
            tenure: None,
            figures: None,
            handovers: Vec::new(),
            other: Default::default(),
        };
        line.report(&report()).unwrap();
        assert!(!line.must_ask(), "it is the same run");
        holder.lock().unwrap().run = 1;
        line.report(&report()).unwrap();
        assert!(line.must_ask(), "it began anew");
        holder.lock().unwrap().answers = 1;
        assert!(line.confirm_all(drops(QUESTION_DROPS_MAX as u64 + 1)).is_err());
        assert!(line.must_ask(), "not all was asked");
        holder.lock().unwrap().answers = 1;
        line.confirm_all(drops(1)).unwrap();
        assert!(!line.must_ask() && !line.is_waiting());
        line.ask_again();
        assert!(line.must_ask());
    }

    #[test]
    fn a_vault_that_began_anew_and_was_asked_for_a_few_is_asked_for_all_the_same() {
        let (line, holder) = line(Holder { answers: 9, ..Holder::default() });
        line.confirm_all(drops(3)).unwrap();
        for ask in [
            |line: &Line| drop(line.confirm(drops(1)).unwrap()),
            |line: &Line| drop(line.recorded(drops(1)).unwrap()),
            |line: &Line| line.show(vec!["a receipt".to_owned()]).unwrap(),
        ] {
            holder.lock().unwrap().run += 1;
            ask(&line);
            assert!(line.must_ask(), "of the other two nothing is known");
            line.confirm_all(drops(3)).unwrap();
            assert!(!line.must_ask());
        }
    }
}
