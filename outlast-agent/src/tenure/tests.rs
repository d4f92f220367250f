use outlast_testing::hostile::{Fault, Habits, Hostile, Mounted, Planned, Verb};
use outlast_types::{SystemClock, SystemRandom};
use rustix::io::Errno;

use super::*;

/// A share, and agents with a memory each.
struct World {
    directory: tempfile::TempDir,
    share: Share,
}

struct Host {
    state: StateDirectory,
    tenure: Tenure,
    name: &'static str,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("share");
        let share = Share::init(&path, &SystemClock, &SystemRandom).unwrap();
        Self { directory, share }
    }

    /// A share on a file server that fails as it is told; none where nothing can be mounted.
    fn on_a_server() -> Option<(Self, Mounted)> {
        let directory = tempfile::tempdir().unwrap();
        let server = Hostile::new(Habits::default(), 1);
        let mounted = server.mount(&directory.path().join("mounted")).unwrap()?;
        let path = mounted.path().join("share");
        let share = Share::init(&path, &SystemClock, &SystemRandom).unwrap();
        Some((Self { directory, share }, mounted))
    }

    fn host(&self, state: &str, name: &'static str) -> Host {
        let state = StateDirectory::open(&self.directory.path().join(state)).unwrap();
        let tenure = Tenure::remembered(&state);
        Host { state, tenure, name }
    }

    /// A copy of the share as it is now, in another place.
    fn copy(&self, name: &str) -> Share {
        let path = self.directory.path().join(name);
        let mut copy = std::process::Command::new("cp");
        assert!(copy.arg("-a").arg(self.share.path()).arg(&path).status().unwrap().success());
        Share::open(&path).unwrap()
    }
}

impl Host {
    fn claim(&mut self, share: &Share, seconds: u64) -> Result<bool, Met> {
        let now = Duration::from_secs(seconds);
        let claimed = self.tenure.claim(share, self.name, &self.state, &SystemRandom, now);
        claimed.map_err(|problem| problem.met)
    }

    /// The same host after a restart.
    fn restarted(self) -> Self {
        Self { tenure: Tenure::remembered(&self.state), ..self }
    }
}

#[test]
fn an_agent_goes_on_after_a_restart_and_leaves_one_mark() {
    let world = World::new();
    let mut host = world.host("a", "eu-1");
    for seconds in [0, 1, 30, 60] {
        assert_eq!(host.claim(&world.share, seconds), Ok(true));
    }
    let mut host = host.restarted();
    assert_eq!(host.claim(&world.share, 0), Ok(true));
    let marks = tenure::marks(&world.share).unwrap();
    assert_eq!(marks.values().copied().collect::<Vec<_>>(), [4]);
    assert_eq!(std::fs::read_dir(world.share.path().join("agent")).unwrap().count(), 1);
}

#[test]
fn a_copy_of_the_share_or_an_older_state_of_it_is_not_served_by_who_knows_the_real_one() {
    let world = World::new();
    let mut host = world.host("a", "eu-1");
    let before = world.copy("before");
    assert_eq!(host.claim(&world.share, 0), Ok(true));
    let yesterday = world.copy("yesterday");
    assert_eq!(host.claim(&world.share, 30), Ok(true));
    for copy in [&before, &yesterday] {
        assert_eq!(host.claim(copy, 60), Err(Met::ShareCopied));
        host = host.restarted();
        assert_eq!(host.claim(copy, 0), Err(Met::ShareCopied));
    }
    assert_eq!(host.claim(&world.share, 90), Ok(true), "the real one is served all the same");
    // Somebody says that the copy is meant.
    std::fs::remove_file(host.state.tenure_file()).unwrap();
    let mut host = host.restarted();
    assert_eq!(host.claim(&yesterday, 0), Ok(true));
    assert_eq!(host.claim(&world.share, 30), Err(Met::ShareTaken), "that one was left");
}

#[test]
fn another_agent_waits_until_the_first_is_gone_and_is_told_if_it_is_not() {
    let world = World::new();
    let (mut first, mut second) = (world.host("a", "eu-1"), world.host("b", "eu-2"));
    assert_eq!(first.claim(&world.share, 0), Ok(true));
    assert_eq!(second.claim(&world.share, 0), Ok(false), "nothing to complain of yet");
    assert_eq!(first.claim(&world.share, 30), Ok(true));
    assert_eq!(second.claim(&world.share, 30), Err(Met::ShareTaken));
    // The first one dies.
    assert_eq!(second.claim(&world.share, 60), Err(Met::ShareTaken));
    assert_eq!(second.claim(&world.share, 700), Ok(true));
    // And was not dead.
    assert_eq!(first.claim(&world.share, 700), Err(Met::ShareTaken));
    assert_eq!(second.claim(&world.share, 730), Ok(true));
}

#[test]
fn a_host_that_lost_its_memory_or_is_replaced_goes_on_at_once_under_its_name() {
    let world = World::new();
    let mut lost = world.host("a", "eu-1");
    assert_eq!(lost.claim(&world.share, 0), Ok(true));
    let mut new = world.host("b", "eu-1");
    assert_eq!(new.claim(&world.share, 0), Ok(true));
    assert_eq!(lost.claim(&world.share, 30), Err(Met::ShareTaken), "one of the two serves it");
    assert_eq!(new.claim(&world.share, 30), Ok(true));
}

#[test]
fn of_two_with_one_memory_or_that_begin_in_one_moment_one_goes_on() {
    let world = World::new();
    let mut host = world.host("a", "eu-1");
    assert_eq!(host.claim(&world.share, 0), Ok(true));
    let clone = world.host("b", "eu-1");
    let (id, count) = host.state.tenure().unwrap();
    clone.state.remember_tenure(id, count).unwrap();
    let mut clone = clone.restarted();
    for seconds in [30, 60, 90] {
        assert_eq!(host.claim(&world.share, seconds), Ok(true));
    }
    assert_eq!(clone.claim(&world.share, 0), Err(Met::ShareTaken));

    let ids: Vec<TenureId> = (0..2).map(|_| TenureId::new(&SystemRandom)).collect();
    let other = |count| Other { count, since: Duration::ZERO, is_alive: true };
    let serves = |me: usize| {
        let marks = ids.iter().map(|id| (*id, 2)).collect();
        let others = BTreeMap::from([(ids[1 - me], other(2))]);
        judge(Some((ids[me], 2)), &marks, &others, Duration::ZERO, |_| false) == Verdict::GoOn
    };
    assert!(serves(0) != serves(1), "{ids:?}");
}

#[test]
fn a_first_mark_that_could_not_be_left_is_left_later_although_another_is_there() {
    let Some((world, mounted)) = World::on_a_server() else { return };
    assert_eq!(world.host("a", "eu-1").claim(&world.share, 0), Ok(true));
    let mut new = world.host("b", "eu-1");
    mounted.plan(Planned { verb: Verb::Create, nth: 1, fault: Fault::Fails(Errno::IO) });
    assert_eq!(new.claim(&world.share, 0), Err(Met::ShareUnusable), "this once");
    assert_eq!(new.claim(&world.share, 1), Ok(true));
}

#[test]
fn a_share_that_was_full_for_long_is_served_after_a_restart() {
    let Some((world, mounted)) = World::on_a_server() else { return };
    let mut host = world.host("a", "eu-1");
    assert_eq!(host.claim(&world.share, 0), Ok(true));
    for seconds in [30, 60, 90] {
        mounted.plan(Planned { verb: Verb::Write, nth: 1, fault: Fault::Fails(Errno::NOSPC) });
        assert_eq!(host.claim(&world.share, seconds), Err(Met::ShareUnusable));
    }
    let mut host = host.restarted();
    assert_eq!(host.claim(&world.share, 0), Ok(true));
}

#[test]
fn nobody_waits_for_its_own_mark_that_a_full_share_took_in_part() {
    let Some((world, mounted)) = World::on_a_server() else { return };
    let mut host = world.host("a", "eu-1");
    mounted.plan(Planned { verb: Verb::Write, nth: 1, fault: Fault::Fails(Errno::NOSPC) });
    assert_eq!(host.claim(&world.share, 0), Ok(true), "it is served, without a mark");
    assert_eq!(host.claim(&world.share, 30), Ok(true));
}

#[test]
fn an_older_mark_that_a_crash_of_the_file_server_brought_back_is_nobody_at_work() {
    // Of two tenures either may have the greater id.
    for _ in 0..8 {
        let world = World::new();
        let mut old = world.host("a", "eu-1");
        for seconds in [0, 30, 60] {
            assert_eq!(old.claim(&world.share, seconds), Ok(true));
        }
        let (id, count) = old.tenure.own.unwrap();
        let mut new = world.host("b", "eu-1");
        assert_eq!(new.claim(&world.share, 0), Ok(true));
        tenure::put(&world.share, id, count - 1, "eu-1").unwrap();
        for seconds in [30, 60] {
            assert_eq!(new.claim(&world.share, seconds), Ok(true));
        }
    }
}
