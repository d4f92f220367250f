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

proptest! {
    /// I2: while drops arrive in time, nothing ever pages, whatever instances, clocks and
    /// restarts do.
    #[test]
    fn i2_no_false_page_while_drops_arrive_in_time(steps in prop::collection::vec(step(), 1..200)) {
        let mut real = 100_000_u64;
        let mut offset = 0;
        let mut ledger = Ledger::new(settings(), at(real));
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
                        agent: "road-1".into(),
                        problem: None,
                        usable: true,
                    };
                    prop_assert_eq!(ledger.apply(event, wall(offset)), vec![]);
                }
                Step::Restart => {
                    ledger = Ledger::resume(settings(), &ledger.encode(), wall(offset)).unwrap();
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
    ) {
        let mut ledger = ledger();
        for workload in 0..3 {
            ledger.apply(declared(name(workload)), at(0));
            ledger.apply(waiting(name(workload)), at(0));
            ledger.apply(vaulted(name(workload), 0), at(0));
        }
        let mut last = [0_u64; 3];
        let mut last_heard = 0;
        let mut trouble_until = None;
        let mut told: BTreeMap<Key, u64> = BTreeMap::new();
        let mut ever = BTreeSet::new();
        for second in 1..=700 {
            let mut changes = Vec::new();
            if restarts.contains(&second) {
                ledger = Ledger::resume(settings(), &ledger.encode(), at(second)).unwrap();
            }
            // A silent agent carries nothing.
            if !silences.iter().any(|(from, long)| (*from..from + long).contains(&second)) {
                changes.extend(ledger.apply(heard(), at(second)));
                if second - last_heard >= DEADLINE {
                    trouble_until = Some(second + DEADLINE);
                }
                last_heard = second;
                for (workload, _) in drops.iter().filter(|(_, when)| *when == second) {
                    last[*workload] = second;
                    changes.extend(ledger.apply(vaulted(name(*workload), second), at(second)));
                }
            }
            changes.extend(ledger.tick(at(second)));
            // Looking at everything finds nothing that looking at what was touched missed.
            if second % 7 == 0 {
                prop_assert_eq!(ledger.clone().reconcile(), vec![]);
            }
            for change in changes {
                let incident = change.incident();
                match change {
                    Change::Opened(_) => {
                        prop_assert!(ever.insert(incident.id), "told twice: {incident:?}");
                        prop_assert_eq!(told.insert(incident.key(), incident.id), None);
                    }
                    Change::Resolved(_) => {
                        prop_assert_eq!(told.remove(&incident.key()), Some(incident.id));
                    }
                }
            }
            // A restart between two ticks counts its second as not listened to, hence the slack.
            let agent_told = told.contains_key(&Key::Agent("road-1".into()));
            if second - last_heard >= DEADLINE + 60 {
                prop_assert!(agent_told, "silent since {last_heard} at {second}");
            }
            for (workload, last) in last.iter().enumerate() {
                let broken = second - last >= RPO;
                let own = told.contains_key(&Key::RecoveryPoint(name(workload)));
                let explained = agent_told || trouble_until.is_some_and(|until| second < until);
                prop_assert!(!broken || own || explained, "w{workload} is silent at {second}");
                prop_assert!(broken || !own, "w{workload} pages at {second}");
                let key = Key::RecoveryPoint(name(workload));
                prop_assert!(!own || ledger.incidents().any(|incident| incident.key() == key));
            }
        }
        // Everything heals, everything resolves.
        ledger.apply(heard(), at(701));
        for workload in 0..3 {
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
