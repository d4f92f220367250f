//! Several backups, a forget and two prunes at once: their calls in random order, any of them
//! stalled or killed anywhere, under a clock that jumps past all bounds.
//!
//! `OUTLAST_SCHEDULES=FIRST..LAST` plays these numbers instead of the few that a test run has time
//! for. A failure names its number and shows the calls that led to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use outlast_format::SnapshotId;
use outlast_format::config::Version;
use outlast_repo::{RepoError, Repository, backup, forget, prune, read};
use outlast_store::Kind;
use outlast_types::Random;

use super::turnstile::{Door, Turnstile};
use super::world::{DAY, OVER_A_DAY, World, assert_holds};

/// Numbers that repeat themselves: splitmix64.
#[derive(Debug)]
struct Dice(Mutex<u64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Once in so many times.
    fn hits(&self, times: usize) -> bool {
        self.below(times) == 0
    }
}

impl Random for Dice {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// How the processes ended, over all schedules: what never happens is not tested.
#[derive(Debug, Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }
}

/// What the processes of one schedule share.
struct Stage {
    world: World,
    turnstile: Arc<Turnstile>,
    /// What snapshots hold that anybody published or tried to.
    tried: Mutex<BTreeMap<SnapshotId, Vec<u64>>>,
    tally: Mutex<Tally>,
}

type Act = fn(&Stage, usize, &Arc<Door>, &World, &Dice);

/// Three snapshots with much in common.
fn template() -> World {
    let world = World::random(Version::V2, Arc::new(Dice::new(0)));
    world.back_up(&[1, 2, 3, 4, 5, 6, 7, 8]);
    world.back_up(&[2, 5, 9, 10]);
    world.back_up(&[1, 2, 3, 9, 11, 12]);
    world
}

fn some_seeds(dice: &Dice) -> Vec<u64> {
    let mut seeds: BTreeSet<u64> = (0..6).map(|_| dice.next() % 14).collect();
    seeds.insert(20 + dice.next() % 3);
    seeds.into_iter().collect()
}

impl Stage {
    fn note(&self, number: usize, what: &str) {
        self.turnstile.tell(format!("{number} ends: {what}"));
        self.tally.lock().unwrap().count(what);
    }

    fn is_killed(&self, number: usize) -> bool {
        self.turnstile.is_killed(number)
    }

    /// Backs up until it is done, by one repository that stays open.
    fn back_up(&self, number: usize, door: &Arc<Door>, world: &World, dice: &Dice) {
        let mut repository = None;
        for _ in 0..1 + dice.below(2) {
            let seeds = some_seeds(dice);
            for _ in 0..3 {
                match self.back_up_once(&mut repository, door, world, &seeds) {
                    Ok(()) => {
                        self.note(number, "backup: done");
                        break;
                    }
                    Err(_) if self.is_killed(number) => {
                        return self.note(number, "backup: killed");
                    }
                    Err(error) => {
                        assert!(matches!(error, RepoError::Outdated { .. }), "a backup: {error}");
                        self.note(number, "backup: outdated");
                        repository = None;
                    }
                }
            }
        }
    }

    fn back_up_once(
        &self,
        open: &mut Option<Repository>,
        door: &Arc<Door>,
        world: &World,
        seeds: &[u64],
    ) -> Result<(), RepoError> {
        let repository = match open.take() {
            Some(repository) => repository,
            None => world.try_open_on(door.clone())?,
        };
        let outcome = world.store_with(&repository, seeds)?;
        self.tried.lock().unwrap().insert(outcome.snapshot_id, seeds.to_vec());
        let id = backup::publish(&repository, &outcome)?;
        world.expected.lock().unwrap().insert(id, seeds.to_vec());
        *open = Some(repository);
        Ok(())
    }

    fn forget(&self, number: usize, door: &Arc<Door>, world: &World, dice: &Dice) {
        for _ in 0..1 + dice.below(3) {
            let there: Vec<SnapshotId> = world.expected.lock().unwrap().keys().copied().collect();
            let Some(&one) = there.get(dice.below(there.len().max(1))) else { break };
            world.expected.lock().unwrap().remove(&one);
            let done = world
                .try_open_on(door.clone())
                .and_then(|repository| forget::forget(&repository, &[one]));
            if self.is_killed(number) {
                return self.note(number, "forget: killed");
            }
            done.unwrap();
            self.note(number, "forget: done");
        }
    }

    fn prune(&self, number: usize, door: &Arc<Door>, world: &World, dice: &Dice) {
        for _ in 0..1 + dice.below(6) {
            let grace = if dice.hits(8) { Duration::ZERO } else { DAY };
            let max_unused = if dice.hits(3) { 0.5 } else { 0.0 };
            let options = prune::Options { grace, max_unused, ..prune::Options::default() };
            let pid = u32::try_from(number).unwrap();
            let lives = |pid: u32| !self.is_killed(usize::try_from(pid).unwrap());
            let done = world
                .try_open_on(door.clone())
                .and_then(|repository| world.prune_among(&repository, &options, pid, &lives));
            let what = match done {
                Ok(outcome) if outcome.postponed.is_some() => "prune: postponed",
                Ok(outcome) if outcome.spared_packs > 0 => "prune: spares",
                Ok(outcome) if outcome.freed_packs > 0 => "prune: frees",
                Ok(outcome) if outcome.waiting.is_some() => "prune: marks or waits",
                Ok(_) => "prune: nothing",
                Err(_) if self.is_killed(number) => return self.note(number, "prune: killed"),
                Err(RepoError::Locked { .. }) => "prune: locked",
                Err(RepoError::LockExpired { .. }) => "prune: lock expired",
                Err(error) => {
                    self.turnstile.tell(format!("{number}: {error}"));
                    // What another one takes away under its feet is a reason to run again.
                    match error {
                        RepoError::NotWhole { .. } => "prune: finds something missing",
                        error => {
                            assert!(matches!(error, RepoError::Store(_)), "a prune: {error}");
                            "prune: disturbed"
                        }
                    }
                }
            };
            self.note(number, what);
        }
    }

    /// Says whose call is next, until all have ended.
    fn direct(&self, dice: &Dice) {
        // Some schedules are calm and some are wild, and few are both long and wild.
        let stalls = [10, 25, 60][dice.below(3)];
        let jumps = [15, 40, 120][dice.below(3)];
        let kills = [60, 200, 10_000][dice.below(3)];
        let bursts = [[1, 1, 2, 5, 30], [1, 1, 1, 1, 2], [1, 5, 20, 50, 100]][dice.below(3)];
        let mut stalled: BTreeSet<usize> = BTreeSet::new();
        loop {
            let standing = self.turnstile.standing();
            let Some(&any) = standing.get(dice.below(standing.len().max(1))) else { return };
            if dice.hits(stalls) {
                stalled = standing.iter().copied().filter(|_| dice.hits(2)).collect();
            }
            if dice.hits(jumps) {
                let by = [OVER_A_DAY, OVER_A_DAY, DAY / 2, DAY / 36, DAY / 200][dice.below(5)];
                self.turnstile.tell(format!("the clock jumps by {by:?}"));
                self.world.clock.turn(by);
            }
            if dice.hits(kills) && self.turnstile.kill(any) {
                continue;
            }
            let awake: Vec<usize> =
                standing.iter().copied().filter(|number| !stalled.contains(number)).collect();
            match awake.get(dice.below(awake.len().max(1))) {
                None => stalled.clear(),
                Some(&next) => {
                    // Often several of one, or nobody would get far before the others.
                    for _ in 0..bursts[dice.below(5)] {
                        if !self.turnstile.standing().contains(&next) {
                            break;
                        }
                        self.turnstile.let_pass(next);
                    }
                }
            }
        }
    }

    /// Whatever happened: what was published is whole now, whatever is done next is done well, and
    /// in the end nothing is left over.
    fn judge(&self) {
        let world = &self.world;
        world.assert_readable();
        let repository = world.open();
        let tried = self.tried.lock().unwrap();
        for (id, snapshot) in read::snapshots(&repository).unwrap().list {
            assert_holds(&repository, &snapshot, tried.get(&id).unwrap());
        }
        let back_up = || world.back_up_with(&world.open(), &[1, 2, 3, 5, 8, 13, 21]);
        match back_up() {
            // Somebody was killed who had listed packs that were gone; a prune takes them out.
            Err(RepoError::Outdated { .. }) => self.note(99, "next backup: outdated"),
            other => drop(other.unwrap()),
        }
        world.assert_readable();
        // Who was killed has left its lock.
        let prune = |grace| {
            let options = prune::Options { grace, max_unused: 0.0, ..prune::Options::default() };
            world.prune_among(&world.open(), &options, 99, &|_| false).unwrap()
        };
        for _ in 0..4 {
            world.clock.turn(OVER_A_DAY);
            prune(DAY);
        }
        back_up().unwrap();
        world.assert_clean();
        let again = prune(Duration::ZERO);
        assert_eq!(again.freed_packs + again.repacked_packs, 0, "nothing is left: {again:?}");
        assert_eq!(world.count(Kind::Lock), 0);
    }
}

/// Plays one schedule.
fn play(template: &World, number: u64, tally: &mut Tally) -> Result<(), String> {
    let dice = Dice::new(number.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 1);
    let world = template.copy();
    let tried = Mutex::new(world.expected.lock().unwrap().clone());
    let (turnstile, own) = (Arc::new(Turnstile::default()), Mutex::default());
    let stage = Stage { world, turnstile, tried, tally: own };
    let result = catch_unwind(AssertUnwindSafe(|| {
        thread::scope(|scope| {
            let stage = &stage;
            let acts: [Act; 6] = [
                Stage::back_up,
                Stage::back_up,
                Stage::back_up,
                Stage::forget,
                Stage::prune,
                Stage::prune,
            ];
            for (number, act) in acts.into_iter().enumerate() {
                let own = Arc::new(Dice::new(dice.next()));
                let door = stage.turnstile.door(number.to_string(), &stage.world.store);
                let world = stage.world.with_random(own.clone());
                scope.spawn(move || {
                    let _ended = door.end();
                    act(stage, number, &door, &world, &own);
                });
            }
            stage.direct(&dice);
        });
        stage.judge();
    }));
    for (what, times) in stage.tally.into_inner().unwrap_or_else(PoisonError::into_inner).0 {
        *tally.0.entry(what).or_default() += times;
    }
    result.map_err(|_| stage.turnstile.story())
}

fn schedules() -> Range<u64> {
    let numbers = std::env::var("OUTLAST_SCHEDULES").ok();
    numbers.map_or(0..40, |numbers| {
        let (first, last) = numbers.split_once("..").expect("FIRST..LAST");
        first.parse().expect("a number")..last.parse().expect("a number")
    })
}

#[test]
fn backups_forgets_and_prunes_at_once_lose_nothing_in_any_order() {
    let template = template();
    let mut tally = Tally::default();
    let schedules = schedules();
    for number in schedules.clone() {
        if let Err(story) = play(&template, number, &mut tally) {
            panic!("{story}replay it: OUTLAST_SCHEDULES={number}..{}", number + 1);
        }
    }
    writeln!(io::stderr(), "{schedules:?}: {:#?}", tally.0).unwrap();
    for what in ["backup: done", "backup: killed", "prune: frees", "prune: killed"] {
        assert!(schedules.end - schedules.start < 40 || tally.0.contains_key(what), "{what}");
    }
}
