//! Random schedules of writers, an agent and faults.

use std::collections::BTreeMap;

use outlast_drop::{DropState, Rejection, ScanLimits, ScanMemory, scan};
use outlast_types::Clock;
use proptest::prelude::*;

use super::*;

/// A step of a schedule.
#[derive(Debug, Clone)]
enum Step {
    Begin,
    Write,
    Seal,
    /// The agent looks over the share, and does what is to be done; what is still open or torn counts
    /// as dead if the flag says so.
    Look(bool),
    /// The agent is another one, which remembers nothing.
    Restart,
    Fault {
        is_agents: bool,
        planned: Planned,
    },
}

fn fault() -> impl Strategy<Value = Fault> {
    let errno = || prop::sample::select(vec![Errno::IO, Errno::STALE, Errno::NOSPC, Errno::BUSY]);
    prop_oneof![
        3 => errno().prop_map(Fault::Fails),
        3 => errno().prop_map(Fault::DoneButFails),
        3 => Just(Fault::ReplyLost),
        2 => (1_u32..200).prop_map(Fault::Stale),
        1 => Just(Fault::Crash),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let planned = (prop::sample::select(Verb::ALL.to_vec()), 1_u32..20, fault())
        .prop_map(|(verb, nth, fault)| Planned { verb, nth, fault });
    prop_oneof![
        3 => Just(Step::Begin),
        3 => Just(Step::Write),
        3 => Just(Step::Seal),
        4 => prop::bool::weighted(0.2).prop_map(Step::Look),
        1 => Just(Step::Restart),
        3 => (any::<bool>(), planned)
            .prop_map(|(is_agents, planned)| Step::Fault { is_agents, planned }),
    ]
}

/// The agent's side, as far as it is the share's: what is read to its end and right is vaulted.
#[derive(Default)]
struct Watch {
    vaulted: BTreeMap<DropAddress, usize>,
    condemned: Vec<(DropAddress, Rejection)>,
}

fn given_up(share: &Share, address: &DropAddress) -> bool {
    let state = ReceiptState::Abandoned;
    matches!(receipts::read(share, &address.workload, address.drop, state), Ok(Some(_)))
}

impl Watch {
    fn look(&mut self, share: &Share, memory: &mut ScanMemory, is_over: bool) {
        let Ok(found) = scan(share, memory, SystemClock.now()) else { return };
        for sighting in found.workloads.into_iter().flat_map(|workload| workload.sightings) {
            let address = sighting.address;
            let signed = |state| receipt(share, &address, state);
            match sighting.state {
                DropState::Sealed(_) if self.vaulted.contains_key(&address) => {
                    let _ = release(share, &address, &signed(ReceiptState::Released));
                }
                DropState::Sealed(_) => match read_all(share, &address) {
                    Ok(read) => {
                        assert!(content().starts_with(&read) && read.len() % 1250 == 0);
                        if receipts::write(share, &signed(ReceiptState::Vaulted)).is_ok() {
                            self.vaulted.insert(address, read.len());
                        }
                    }
                    // Sealed by a writer that woke up when the agent had removed what it sealed.
                    Err(DropReadError::Refused(
                        Rejection::MissingSegment { .. } | Rejection::NotAPlainFile { .. },
                    )) if given_up(share, &address) => {
                        let _ = abandon(share, &address, &signed(ReceiptState::Abandoned));
                    }
                    Err(DropReadError::Refused(rejection)) => {
                        self.condemned.push((address, rejection));
                    }
                    Err(DropReadError::Later { .. }) => {}
                },
                DropState::Refused(rejection) if !rejection.is_torn_seal() => {
                    self.condemned.push((address, rejection));
                }
                _ if is_over => {
                    let _ = abandon(share, &address, &signed(ReceiptState::Abandoned));
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..outlast_testing::cases(150) })]

    #[test]
    fn no_schedule_of_faults_loses_a_sealed_drop_or_condemns_an_honest_writer(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..40),
        keeps_open_files in any::<bool>(),
    ) {
        let Some(world) = World::new(Habits { keeps_open_files, ..Habits::default() }, seed) else {
            return Ok(());
        };
        let mut watch = Watch::default();
        let mut memory = ScanMemory::new(ScanLimits::PASS);
        let mut promised = BTreeMap::new();
        let mut at_work: Option<(DropWriter, usize)> = None;
        for step in &steps {
            match step {
                // A writer that is left is one that was killed.
                Step::Begin => at_work = begun(&world.written).ok().map(|writer| (writer, 0)),
                Step::Write => {
                    if let Some((writer, written)) = &mut at_work {
                        let piece = &content()[*written..(*written + 1250).min(2500)];
                        if writer.write_all(piece).is_ok() {
                            *written += piece.len();
                        }
                    }
                }
                Step::Seal => {
                    if let Some((writer, written)) = at_work.take() {
                        let address = writer.address().clone();
                        if writer.seal(&SystemClock).is_ok() {
                            promised.insert(address, written);
                        }
                    }
                }
                Step::Look(is_over) => watch.look(&world.watched, &mut memory, *is_over),
                Step::Restart => memory = ScanMemory::new(ScanLimits::PASS),
                Step::Fault { is_agents: true, planned } => world.agents.plan(*planned),
                Step::Fault { is_agents: false, planned } => world.writers.plan(*planned),
            }
        }
        world.heal();
        for _ in 0..3 {
            watch.look(&world.watched, &mut memory, true);
        }
        for (address, size) in &promised {
            prop_assert_eq!(watch.vaulted.get(address), Some(size), "{} is lost", address);
        }
        prop_assert!(watch.condemned.is_empty(), "{:?}", watch.condemned);
    }
}
