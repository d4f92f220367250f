//! What goes wrong with jobs of a real Bacula: of none of it anything is confirmed, and nothing leaves.

use std::time::{Duration, Instant};

use outlast_fs::durable;
use outlast_handover::{Offer, State};

use super::bacula::{Bacula, Plan, is_here};
use super::desk::World;
use super::hooks::{confirm, hooks};
use crate::harness::{PATIENCE, fail, run, succeed};

/// A world with two drops of one workload, the older of which has been confirmed by a full, and a Bacula.
struct Scene {
    world: World,
    bacula: Bacula,
    config: std::path::PathBuf,
    old: Offer,
}

impl Scene {
    fn new(after_begin: &str, after_end: &str, volume: &'static str) -> Self {
        let world = World::new();
        let home = world.path().join("bacula");
        let here = |text: &str| text.replace("HERE", &world.path().display().to_string());
        let directory = world.directory();
        let hooks = hooks(world.path(), &directory, &here(after_begin), &here(after_end));
        let plan = Plan { directory: world.directory(), hooks, volume, pace: "300k/s" };
        let old = world.drop("shop-db", b"the older one");
        let bacula = Bacula::start(&home, &plan);
        let config = world.config(&format!(
            "with = \"bacula\"\nbconsole_config = {:?}\ndeadline = \"40s\"",
            bacula.console().display().to_string()
        ));
        let scene = Self { world, bacula, config, old };
        let (_, status) = scene.bacula.run("Handed", "Full");
        assert_eq!(status, 'T', "{}", scene.bacula.log());
        succeed(&mut confirm(&scene.config));
        scene.world.pass();
        assert_eq!(scene.world.state(&scene.old), Some(State::Confirmed));
        scene
    }

    /// A drop that takes a slow job some seconds.
    fn big(&self) -> Offer {
        self.world.drop("shop-db", &outlast_testing::pseudo_random(7, 2_000_000))
    }

    /// Asks of one job.
    fn ask(&self, job: u64) -> std::process::Command {
        let mut command = confirm(&self.config);
        command.args(["--job", &job.to_string()]);
        command
    }

    fn flag(&self, name: &str) {
        durable::replace(&self.world.path().join(name), b"", 0o644).unwrap();
    }

    /// Waits until so many jobs have run their first scripts.
    fn waits_for_leases(&self, count: usize) {
        let began = Instant::now();
        while self.world.leases() < count {
            assert!(began.elapsed() < PATIENCE, "{}", self.bacula.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn nothing_is_confirmed_or_gone(&self, new: &Offer) {
        assert!(self.world.pass().is_empty());
        assert!(self.world.state(new) < Some(State::Confirmed), "{}", self.world.status());
        assert_eq!(self.world.state(&self.old), Some(State::Confirmed));
    }

    /// The next job that ends well confirms what the failed one did not.
    fn next_confirms(&self, new: &Offer) {
        let (_, status) = self.bacula.run("Handed", "Incremental");
        assert_eq!(status, 'T', "{}", self.bacula.log());
        run(&mut confirm(&self.config));
        assert_eq!(self.world.pass(), [self.old.key()], "{}", self.world.status());
        assert_eq!(self.world.state(new), Some(State::Confirmed));
    }
}

#[test]
fn a_job_whose_first_script_fails_confirms_nothing_and_holds_nothing_back() {
    if !is_here() {
        return;
    }
    let scene = Scene::new("[ -e 'HERE/refuse' ] && exit 1", "", "500M");
    let new = scene.world.drop("shop-db", b"the newer one");
    scene.flag("refuse");
    let (job, status) = scene.bacula.run("Handed", "Incremental");
    assert_eq!(status, 'f', "{}", scene.bacula.log());
    // The script at the end runs all the same, since it runs on success and on failure.
    assert_eq!(scene.world.leases(), 0, "{}", scene.bacula.log());
    let said = succeed(&mut scene.ask(job));
    assert!(said.contains("JobStatus f") && said.contains("fatal"), "{said}");
    scene.nothing_is_confirmed_or_gone(&new);
    assert!(scene.world.status().contains("JobStatus f"), "{}", scene.world.status());
    std::fs::remove_file(scene.world.path().join("refuse")).unwrap();
    scene.next_confirms(&new);
}

#[test]
fn a_job_that_is_cancelled_in_the_middle_confirms_nothing() {
    if !is_here() {
        return;
    }
    let scene = Scene::new("", "", "500M");
    let new = scene.big();
    let job = scene.bacula.queue("Slow", "Incremental");
    scene.waits_for_leases(1);
    assert_eq!(run(&mut scene.ask(job)).status.code(), Some(3), "it runs");
    scene.bacula.cancel(job);
    assert_eq!(scene.bacula.ended(job), 'A', "{}", scene.bacula.log());
    let said = succeed(&mut scene.ask(job));
    assert!(said.contains("JobStatus A") && said.contains("cancelled"), "{said}");
    scene.nothing_is_confirmed_or_gone(&new);
}

#[test]
fn a_director_that_dies_between_end_of_data_and_end_of_job_leaves_a_job_that_confirms_nothing() {
    if !is_here() {
        return;
    }
    let kill = "[ -e 'HERE/kill' ] && kill -9 \"$(cat 'HERE/bacula/dir.pid')\"";
    let mut scene = Scene::new("", kill, "500M");
    let new = scene.world.drop("shop-db", b"the newer one");
    scene.flag("kill");
    let job = scene.bacula.queue("Handed", "Incremental");
    scene.bacula.wait_for_end("dir");
    scene.world.pass();
    assert_eq!(scene.world.state(&new), Some(State::Read), "its client has sent all");
    scene.nothing_is_confirmed_or_gone(&new);
    let said = fail(&mut confirm(&scene.config), 1);
    assert!(said.contains("could not be asked") && said.contains("bconsole"), "{said}");
    scene.nothing_is_confirmed_or_gone(&new);
    std::fs::remove_file(scene.world.path().join("kill")).unwrap();
    scene.bacula.start_daemon("dir");
    assert_eq!(scene.bacula.ended(job), 'f', "{}", scene.bacula.log());
    let said = succeed(&mut confirm(&scene.config));
    assert!(said.contains("JobStatus f"), "{said}");
    scene.nothing_is_confirmed_or_gone(&new);
    scene.next_confirms(&new);
}

#[test]
fn a_job_that_finds_its_volume_full_waits_and_confirms_nothing() {
    if !is_here() {
        return;
    }
    let scene = Scene::new("", "", "1200000");
    let new = scene.big();
    let job = scene.bacula.queue("Handed", "Incremental");
    scene.bacula.wait_for(job, "Cannot find any appendable volumes");
    assert_eq!(run(&mut scene.ask(job)).status.code(), Some(3), "it waits for a volume");
    scene.nothing_is_confirmed_or_gone(&new);
    scene.bacula.cancel(job);
    assert_eq!(scene.bacula.ended(job), 'A', "{}", scene.bacula.log());
    succeed(&mut scene.ask(job));
    scene.nothing_is_confirmed_or_gone(&new);
}

#[test]
fn of_two_jobs_that_overlap_each_has_only_what_was_there_when_it_began() {
    if !is_here() {
        return;
    }
    let scene = Scene::new("", "", "500M");
    let big = scene.big();
    let first = scene.bacula.queue("Slow", "Full");
    scene.waits_for_leases(1);
    let between = scene.world.drop("crm", b"while the first one reads");
    let second = scene.bacula.queue("Slow", "Full");
    scene.waits_for_leases(2);
    assert_eq!(scene.bacula.ended(first), 'T', "{}", scene.bacula.log());
    succeed(&mut scene.ask(first));
    scene.world.pass();
    assert_eq!(scene.world.state(&big), Some(State::Confirmed), "{}", scene.world.status());
    assert!(scene.world.state(&between) < Some(State::Confirmed), "it began before that");
    assert_eq!(scene.bacula.ended(second), 'T', "{}", scene.bacula.log());
    succeed(&mut confirm(&scene.config));
    scene.world.pass();
    assert_eq!(scene.world.state(&between), Some(State::Confirmed));
    assert_eq!(scene.world.state(&scene.old), None, "nobody reads any more");
}
