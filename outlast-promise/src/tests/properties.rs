//! I2 and I3 on random schedules.

use proptest::prelude::*;

use super::*;

/// One step of a random schedule: what happens, and how many seconds after the one before.
#[derive(Debug, Clone)]
enum Step {
    /// An instance comes up, writes for a while and vanishes: nobody is told, time passes.
    Vanish,
    Drop(usize),
    Report,
    Restart,
    ClockBack(u64),
    Tick,
}

fn step() -> impl Strategy<Value = (Step, u64)> {
    let what = prop_oneof![
        Just(Step::Vanish),
        (0..3_usize).prop_map(Step::Drop),
        Just(Step::Report),
        Just(Step::Restart),
        (0..50_000_u64).prop_map(Step::ClockBack),
        Just(Step::Tick),
    ];
    (what, 0..DEADLINE / 2)
}

/// Pauses that end, retirements, and their end.
#[derive(Debug, Clone, Copy)]
enum Ordered {
    Pause(u64),
    Retire(u64),
    Resume,
}

fn order() -> impl Strategy<Value = (usize, Ordered)> {
    let order = prop_oneof![
        (1..400_u64).prop_map(Ordered::Pause),
        (1..200_u64).prop_map(Ordered::Retire),
        Just(Ordered::Resume),
    ];
    (0..3_usize, order)
}

/// Until when a workload is rightly silent, told independently of the ledger.
#[derive(Debug, Clone, Copy, Default)]
struct Silenced {
    paused_until: u64,
    retired_until: Option<u64>,
    /// A drop came after the retirement, and no later one since.
    revived_at: Option<u64>,
}

impl Silenced {
    fn ordered(&mut self, order: Ordered, now: u64) -> Order {
        *self = Self::default();
        match order {
            Ordered::Pause(long) => {
                self.paused_until = now + long;
                Order::Pause { until: at(now + long) }
            }
            Ordered::Retire(long) => {
                self.retired_until = Some(now + long);
                Order::Retire { at: at(now), until: at(now + long) }
            }
            Ordered::Resume => Order::Resume,
        }
    }

    fn dropped(&mut self, now: u64) {
        self.revived_at.take_if(|revived| now - *revived >= RPO / 2);
        if self.retired_until.take_if(|until| *until <= now).is_some() {
            self.revived_at = Some(now);
        }
    }

    fn is_silent(&self, now: u64) -> bool {
        now < self.paused_until || self.retired_until.is_some()
    }

    fn must_be_told(&self) -> bool {
        self.revived_at.is_some()
    }
}

/// What happened so far, and who was told: what the ledger is judged by.
#[derive(Default)]
struct Play {
    last: [u64; 3],
    silenced: [Silenced; 3],
    orders: u64,
    last_heard: u64,
    trouble_until: Option<u64>,
    told: BTreeMap<Key, u64>,
    ever: BTreeSet<u64>,
}

impl Play {
    fn heard(&mut self, now: u64) {
        if now - self.last_heard >= DEADLINE {
            self.trouble_until = Some(now + DEADLINE);
        }
        self.last_heard = now;
    }

    fn dropped(&mut self, workload: usize, now: u64) {
        self.last[workload] = now;
        self.silenced[workload].dropped(now);
    }

    fn ordered(&mut self, workload: usize, order: Ordered, now: u64) -> Event {
        self.orders += 1;
        let order = self.silenced[workload].ordered(order, now);
        Event::Ordered { number: self.orders, workload: name(workload), order }
    }

    fn told(&mut self, changes: &[Change]) -> Result<(), TestCaseError> {
        for change in changes {
            let incident = change.incident();
            match change {
                Change::Opened(_) => {
                    prop_assert!(self.ever.insert(incident.id), "told twice: {incident:?}");
                    prop_assert_eq!(self.told.insert(incident.key(), incident.id), None);
                }
                Change::Resolved(_) => {
                    prop_assert_eq!(self.told.remove(&incident.key()), Some(incident.id));
                }
            }
        }
        Ok(())
    }

    fn judge(&self, ledger: &Ledger, now: u64) -> Result<(), TestCaseError> {
        let agent_told = self.told.contains_key(&Key::of_agent("road-1"));
        // Nobody misses an agent all of whose workloads are retired.
        let is_missed = self.silenced.iter().any(|one| one.retired_until.is_none_or(|u| u > now));
        // A restart between two ticks counts its second as not listened to, hence the slack.
        if now - self.last_heard >= DEADLINE + 60 && is_missed {
            prop_assert!(agent_told, "silent since {} at {now}", self.last_heard);
        }
        let in_trouble = agent_told || self.trouble_until.is_some_and(|until| now < until);
        for (workload, silenced) in self.silenced.iter().enumerate() {
            let broken = now - self.last[workload] >= RPO && !silenced.is_silent(now);
            let key = Key::of_workload(Topic::RecoveryPoint, &name(workload));
            let own = self.told.contains_key(&key);
            let lives = self.told.contains_key(&Key::of_workload(Topic::Retired, &name(workload)));
            prop_assert!(!broken || own || lives || in_trouble, "w{workload} is silent at {now}");
            prop_assert!(broken || !own, "w{workload} pages at {now}");
            prop_assert!(
                lives || !silenced.must_be_told(),
                "w{workload} was retired, drops at {now}, and nobody is told"
            );
            prop_assert!(!own || ledger.incidents().any(|incident| incident.key() == key));
        }
        Ok(())
    }
}

proptest! {
    /// I2: while drops arrive in time, nothing ever pages, whatever instances, clocks and
    /// restarts do.
    #[test]
    fn i2_no_false_page_while_drops_arrive_in_time(steps in prop::collection::vec(step(), 1..200)) {
        let mut real = 100_000_u64;
        let mut offset = 0;
        let mut ledger = Ledger::new(settings(), 0, at(real));
        let mut last = [real; 3];
        for workload in 0..3 {
            prop_assert!(ledger.apply(vaulted(name(workload), real), at(real)).is_empty());
        }
        for (step, pause) in steps {
            real += pause;
            let wall = |offset: u64| at(real.saturating_sub(offset));
            // What must happen in time happens: the agent speaks, every workload drops.
            prop_assert_eq!(ledger.apply(heard(), wall(offset)), vec![]);
            for (workload, last) in last.iter_mut().enumerate() {
                if real - *last + DEADLINE / 2 >= RPO {
                    *last = real;
                    let event = Event::Vaulted { workload: name(workload), at: wall(offset) };
                    prop_assert_eq!(ledger.apply(event, wall(offset)), vec![]);
                }
            }
            match step {
                Step::Vanish => {}
                Step::Drop(workload) => {
                    last[workload] = real;
                    let event = Event::Vaulted { workload: name(workload), at: wall(offset) };
                    prop_assert_eq!(ledger.apply(event, wall(offset)), vec![]);
                }
                Step::Report => {
                    let event = Event::ShareSeen {
                        source: source(),
                        problem: None,
                        usable: true,
                    };
                    prop_assert_eq!(ledger.apply(event, wall(offset)), vec![]);
                }
                Step::Restart => {
                    ledger = Ledger::resume(settings(), ledger.rows(), wall(offset)).unwrap();
                }
                Step::ClockBack(by) => offset += by.min(real - offset - 1),
                Step::Tick => prop_assert_eq!(ledger.tick(wall(offset)), vec![]),
            }
        }
    }

    /// I3: at every tick, every broken promise is covered by exactly one open incident that was
    /// told, its own or the one that explains it; an explanation covers for its own life and one
    /// deadline; whatever opened resolves when its cause is gone, and never twice.
    #[test]
    fn i3_no_silence_whatever_breaks(
        drops in prop::collection::vec((0..3_usize, 1..700_u64), 0..30),
        silences in prop::collection::vec((1..700_u64, 1..150_u64), 0..3),
        restarts in prop::collection::btree_set(1..700_u64, 0..5),
        orders in prop::collection::btree_map(1..700_u64, order(), 0..6),
    ) {
        let mut ledger = ledger();
        for workload in 0..3 {
            ledger.apply(declared(name(workload)), at(0));
            ledger.apply(waiting(name(workload)), at(0));
            ledger.apply(vaulted(name(workload), 0), at(0));
        }
        let mut play = Play::default();
        for second in 1..=700 {
            let mut changes = Vec::new();
            if restarts.contains(&second) {
                ledger = Ledger::resume(settings(), ledger.rows(), at(second)).unwrap();
            }
            // A silent agent carries nothing.
            if !silences.iter().any(|(from, long)| (*from..from + long).contains(&second)) {
                changes.extend(ledger.apply(heard(), at(second)));
                play.heard(second);
                for (workload, _) in drops.iter().filter(|(_, when)| *when == second) {
                    play.dropped(*workload, second);
                    changes.extend(ledger.apply(vaulted(name(*workload), second), at(second)));
                }
            }
            if let Some((workload, order)) = orders.get(&second) {
                let event = play.ordered(*workload, *order, second);
                changes.extend(ledger.apply(event, at(second)));
            }
            changes.extend(ledger.tick(at(second)));
            // Looking at everything finds nothing that looking at what was touched missed.
            if second % 7 == 0 {
                prop_assert_eq!(ledger.clone().reconcile(), vec![]);
            }
            play.told(&changes)?;
            play.judge(&ledger, second)?;
        }
        // Everything heals, everything resolves.
        ledger.apply(heard(), at(701));
        for workload in 0..3 {
            ledger.apply(play.ordered(workload, Ordered::Resume, 701), at(701));
            ledger.apply(vaulted(name(workload), 702), at(702));
        }
        prop_assert_eq!(ledger.incidents().count(), 0);
    }

    /// Sleeping until the next deadline misses nothing that ticking every second would say.
    #[test]
    fn sleeping_until_the_next_deadline_misses_nothing(
        drops in prop::collection::btree_map(1..700_u64, 0..3_usize, 0..30),
    ) {
        let run = |sleepy: bool| {
            let mut ledger = ledger();
            ledger.apply(heard(), at(0));
            let mut told = Vec::new();
            for second in 1..700 {
                if let Some(workload) = drops.get(&second) {
                    told.extend(ledger.apply(vaulted(name(*workload), second), at(second)));
                } else if !sleepy || ledger.next_deadline().is_some_and(|next| next <= at(second)) {
                    told.extend(ledger.tick(at(second)));
                }
            }
            told
        };
        prop_assert_eq!(run(true), run(false));
    }
}
