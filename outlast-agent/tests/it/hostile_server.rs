//! The whole agent, with a real vault, on a file server that does all that network file systems are known
//! to do; killed and started again, with writers that come and go.

use std::io::Write;
use std::time::Duration;

use outlast_drop::{
    Claims, Content, DropAddress, DropWriter, ReceiptState, Share, WriterOptions, receipt,
};
use outlast_testing::hostile::{Fault, Habits, Hostile, Planned, Verb};
use outlast_testing::pseudo_random;
use outlast_types::{RejectionCode, SystemClock, SystemRandom};
use proptest::prelude::*;
use rustix::io::Errno;

use crate::support::{World, name, pass};

#[derive(Debug, Clone)]
enum Step {
    Begin,
    Write,
    Seal,
    /// So many seconds pass, and the agent makes a pass.
    Pass(u64),
    /// The agent dies, and its successor finds its directory, or not.
    Restart {
        keeps_state: bool,
    },
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
        3 => (1_u32..300).prop_map(Fault::Stale),
        1 => (1_u64..20).prop_map(|time| Fault::Slow(Duration::from_millis(time))),
        1 => Just(Fault::Crash),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let planned = (prop::sample::select(Verb::ALL.to_vec()), 1_u32..40, fault())
        .prop_map(|(verb, nth, fault)| Planned { verb, nth, fault });
    prop_oneof![
        3 => Just(Step::Begin),
        3 => Just(Step::Write),
        4 => Just(Step::Seal),
        5 => (1_u64..40).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(|keeps_state| Step::Restart { keeps_state }),
        5 => (any::<bool>(), planned)
            .prop_map(|(is_agents, planned)| Step::Fault { is_agents, planned }),
    ]
}

fn begun(share: &Share) -> Option<DropWriter> {
    let options = WriterOptions { segment_bytes: 10_000, ..WriterOptions::default() };
    let (workload, claims) = (name("shop-db"), Claims::default());
    let stream = Content::stream("dump.sql").unwrap();
    DropWriter::create(share, &workload, stream, claims, options, &SystemClock, &SystemRandom).ok()
}

/// The promises of a schedule that were not kept.
fn broken(world: &World, promised: &[DropAddress]) -> Vec<String> {
    let mut broken = Vec::new();
    for address in promised {
        if !world.has(address, ReceiptState::Vaulted) {
            broken.push(format!("{address} is sealed, and not in the vault"));
        }
    }
    // Where nothing was dropped, there is no repository.
    if !promised.is_empty() && world.snapshots("shop-db") < promised.len() {
        broken.push("a snapshot is missing".to_owned());
    }
    for (drop, states) in receipt::list(&world.share, &name("shop-db")).unwrap() {
        if states.contains(&ReceiptState::Rejected) {
            let read = receipt::read(&world.share, &name("shop-db"), drop, ReceiptState::Rejected);
            let code = read.unwrap().and_then(|signed| signed.receipt().code.clone());
            if code != Some(RejectionCode::TornSeal) {
                broken.push(format!("{drop} is condemned: {code:?}"));
            }
        }
    }
    let all = world.api().incidents().unwrap();
    let of_teams = all.iter().filter(|incident| incident.owner != "platform");
    broken.extend(of_teams.map(|incident| format!("a team is called: {}", incident.cause)));
    broken
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 60, failure_persistence: None, ..outlast_testing::cases(8) })]

    #[test]
    fn no_schedule_of_faults_keeps_a_sealed_drop_from_the_vault_or_blames_a_team(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 5..50),
        keeps_open_files in any::<bool>(),
    ) {
        let server = Hostile::new(Habits { keeps_open_files, ..Habits::default() }, seed);
        let Some(world) = World::on(&server) else { return Ok(()) };
        let written = Share::open(world.mounts[1].path()).unwrap();
        let mut agent = Some(world.agent());
        let mut at_work: Option<DropWriter> = None;
        let mut promised = Vec::new();
        for step in &steps {
            match step {
                Step::Begin => at_work = begun(&written),
                Step::Write => {
                    if let Some(writer) = &mut at_work {
                        // A failure is met again when it is sealed.
                        let _ = writer.write_all(&pseudo_random(seed, 15_000));
                    }
                }
                Step::Seal => {
                    if let Some(writer) = at_work.take() {
                        let address = writer.address().clone();
                        if writer.seal(&SystemClock).is_ok() {
                            promised.push(address);
                        }
                    }
                }
                Step::Pass(seconds) => {
                    world.clock.advance(Duration::from_secs(*seconds));
                    if let Some(agent) = &mut agent {
                        pass(agent);
                    }
                }
                Step::Restart { keeps_state } => {
                    drop(agent.take());
                    if !keeps_state {
                        std::fs::remove_dir_all(world.path("state")).unwrap();
                    }
                    agent = Some(world.agent());
                }
                Step::Fault { is_agents, planned } => {
                    world.mounts[usize::from(!is_agents)].plan(*planned);
                }
            }
        }
        world.mounts.iter().for_each(|mount| mount.heal());
        let mut agent = agent.unwrap();
        let mut last = pass(&mut agent);
        for _ in 0..8 {
            world.clock.advance(Duration::from_secs(600));
            last = pass(&mut agent);
        }
        prop_assert_eq!(&last.problems, &[], "all is well again");
        let broken = broken(&world, &promised);
        prop_assert!(broken.is_empty(), "{broken:#?}\nof {promised:?}");
    }
}
