//! NetBackup, by its stand-in: which images have which drops, what its statuses do, and both ways to ask it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use outlast_fs::durable;
use outlast_handover::{Offer, State};
use outlast_testing::netbackup::{Fault, Job, Kind, Order, Server};

use super::desk::{World, contents};
use super::hooks::{confirm, write_hooks};
use super::jobs_api::JobsApi;
use crate::harness::{fail, outlast, succeed};

struct Scene {
    world: World,
    server: Arc<Mutex<Server>>,
    config: PathBuf,
}

impl Scene {
    /// With the scripts of a policy, and the client's own programs to be asked.
    fn new() -> Self {
        let world = World::new();
        let server = Server::new(&world.path().join("openv"), "agenthost").unwrap();
        let programs = server.programs();
        write_hooks("netbackup", &world.directory(), &programs, &["--policy", "apps"]);
        let lines =
            format!("with = \"netbackup\"\nprograms = {:?}", programs.display().to_string());
        let config = world.config(&lines);
        Self { world, server: Arc::new(Mutex::new(server)), config }
    }

    fn order(&self, schedule: &str, kind: Kind) -> Order {
        Order::new("apps", schedule, kind, &self.world.directory())
    }

    fn run(&self, order: &Order) -> Vec<Job> {
        let jobs = self.server.lock().unwrap().run(order).unwrap();
        self.world.pass();
        jobs
    }

    /// The product is asked, and what it says is taken up; what leaves then.
    fn confirm(&self) -> Vec<outlast_handover::DropKey> {
        succeed(&mut confirm(&self.config));
        self.world.pass()
    }

    fn state(&self, offer: &Offer) -> Option<State> {
        self.world.state(offer)
    }

    /// Whether what an image can restore has all files of a drop.
    fn can_restore(&self, job: &Job, offer: &Offer) -> bool {
        let directory = self.world.directory().join(&offer.path);
        let wanted = contents(&directory);
        let server = self.server.lock().unwrap();
        let files = server.restorable(&job.backup);
        wanted.iter().all(|(name, bytes)| {
            files.get(&directory.join(name)).is_some_and(|stored| stored.content == *bytes)
        })
    }
}

#[test]
fn a_drop_is_confirmed_by_the_images_that_can_restore_it_and_by_no_other() {
    let scene = Scene::new();
    let first = scene.world.drop("shop-db", b"one");
    let [full] = scene.run(&scene.order("weekly", Kind::Full)).try_into().unwrap();
    assert_eq!(full.status, 0, "{:?}", full.log);
    assert_eq!(scene.state(&first), Some(State::Read), "{}", scene.world.status());
    scene.confirm();
    assert_eq!(scene.state(&first), Some(State::Confirmed), "{}", scene.world.status());
    assert!(scene.can_restore(&full, &first));

    // An incremental has what appeared since, and goes on from the full for the rest.
    let second = scene.world.drop("shop-db", b"two");
    let crm = scene.world.drop("crm", b"crm");
    let [incremental] = scene.run(&scene.order("daily", Kind::Differential)).try_into().unwrap();
    assert_eq!(incremental.status, 0, "{:?}", incremental.log);
    assert!(scene.can_restore(&incremental, &second) && scene.can_restore(&incremental, &first));
    assert_eq!(scene.confirm(), [first.key()]);
    assert_eq!(scene.state(&second), Some(State::Confirmed));
    assert_eq!(scene.state(&crm), Some(State::Confirmed));

    // A synthetic full asks nobody, and keeps what the last backup saw: not what appeared after it.
    let third = scene.world.drop("shop-db", b"three");
    let synthetic = scene.server.lock().unwrap().synthesize("apps", "monthly").unwrap();
    assert!(scene.can_restore(&synthetic, &second) && !scene.can_restore(&synthetic, &third));
    scene.confirm();
    assert!(scene.state(&third) < Some(State::Confirmed), "no job of it has been here");

    // The image of the incremental is gone, and with it what only it had.
    assert!(scene.server.lock().unwrap().expire(&incremental.backup).unwrap());
    scene.confirm();
    assert!(scene.state(&crm) < Some(State::Confirmed), "{}", scene.world.status());
    assert!(scene.world.status().contains("does not list it any more"), "{}", scene.world.status());
    let [again] = scene.run(&scene.order("weekly", Kind::Full)).try_into().unwrap();
    scene.confirm();
    assert_eq!(scene.state(&crm), Some(State::Confirmed));
    assert!(scene.can_restore(&again, &crm) && scene.can_restore(&again, &third));
}

#[test]
fn no_status_but_a_stored_image_confirms_and_of_a_partial_one_only_what_it_lists() {
    let scene = Scene::new();
    let old = scene.world.drop("shop-db", b"one");
    scene.run(&scene.order("daily", Kind::Full));
    scene.confirm();
    let new = scene.world.drop("shop-db", b"two");
    let other = scene.world.drop("crm", b"crm");
    let daily = scene.order("daily", Kind::Differential);
    let faults = [
        (Fault::Server(96), 96),
        (Fault::Server(84), 84),
        (Fault::Server(129), 129),
        (Fault::Before(59), 59),
        (Fault::Before(196), 196),
    ];
    for (fault, status) in faults {
        let [job] = scene.run(&Order { fault, ..daily.clone() }).try_into().unwrap();
        assert_eq!(job.status, status);
        assert!(scene.confirm().is_empty());
        assert!(scene.state(&new) < Some(State::Confirmed), "{status}");
        assert!(scene.state(&old).is_some(), "{status}");
    }
    // Its client ended with 0, which is no proof.
    assert_eq!(scene.state(&new), Some(State::Read));
    // One of two is in the image of a job that was partially successful.
    let fault = Fault::Unreadable("/crm/".to_owned());
    let [job] = scene.run(&Order { fault, ..daily.clone() }).try_into().unwrap();
    assert_eq!(job.status, 1);
    assert_eq!(scene.confirm(), [old.key()]);
    assert_eq!(scene.state(&new), Some(State::Confirmed));
    assert!(scene.state(&other) < Some(State::Confirmed), "{}", scene.world.status());
    // A job that an administrator ends never says that it has: its lease holds all until it lapses.
    let last = scene.world.drop("shop-db", b"three");
    let ended = Order { fault: Fault::Middle(1, 150), ..scene.order("daily", Kind::Full) };
    scene.run(&ended);
    assert!(scene.confirm().is_empty());
    assert_eq!(scene.world.leases(), 1);
    assert!(scene.state(&last) < Some(State::Confirmed));
    let tries = Order { fault: Fault::Server(84), ..scene.order("daily", Kind::Full) };
    let tries = scene.server.lock().unwrap().run_with_retries(&tries, 3).unwrap();
    assert_eq!(tries.iter().map(|job| job.status).collect::<Vec<_>>(), [84, 0]);
    scene.world.pass();
    scene.confirm();
    assert_eq!(scene.state(&last), Some(State::Confirmed), "by the second try");
}

#[test]
fn several_streams_each_have_a_part_and_together_all() {
    let scene = Scene::new();
    let offers = ["crm", "erp", "mail", "shop-db"].map(|it| scene.world.drop(it, it.as_bytes()));
    let order = Order { streams: 3, ..scene.order("weekly", Kind::Full) };
    let jobs = scene.run(&order);
    assert!(jobs.iter().all(|job| job.status == 0), "{jobs:?}");
    // One of the three images is gone before anybody asks.
    let second = jobs[1].backup.clone();
    let missing: Vec<bool> = offers.iter().map(|it| scene.can_restore(&jobs[1], it)).collect();
    assert!(missing.contains(&true));
    scene.server.lock().unwrap().expire(&second).unwrap();
    scene.confirm();
    for (offer, is_missing) in offers.iter().zip(missing) {
        let is_confirmed = scene.state(offer) == Some(State::Confirmed);
        assert_eq!(is_confirmed, !is_missing, "{}\n{}", offer.path, scene.world.status());
    }
    assert_eq!(scene.world.leases(), 0);
}

#[test]
fn the_jobs_api_tells_how_a_job_ended_and_whoever_has_no_key_learns_nothing() {
    let scene = Scene::new();
    let api = JobsApi::start(Arc::clone(&scene.server), scene.world.path());
    let config = scene.world.config(&api.settings());
    let offer = scene.world.drop("shop-db", b"one");
    let daily = scene.order("daily", Kind::Full);
    scene.run(&Order { fault: Fault::Server(96), ..daily.clone() });
    let said = succeed(&mut confirm(&config));
    assert!(said.contains("status 96") && said.contains("no media"), "{said}");
    scene.world.pass();
    assert!(scene.state(&offer) < Some(State::Confirmed));
    assert!(scene.world.status().contains("no media"), "{}", scene.world.status());
    let [job] = scene.run(&daily).try_into().unwrap();
    let said = succeed(confirm(&config).args(["--job", &job.backup]));
    assert!(said.contains("ended well"), "{said}");
    scene.world.pass();
    assert_eq!(scene.state(&offer), Some(State::Confirmed));
    // Jobs are forgotten after days: that says nothing of images.
    succeed(&mut confirm(&config));
    scene.world.pass();
    assert_eq!(scene.state(&offer), Some(State::Confirmed));
    // Another key, a key that others may read, and a server that nobody certified.
    scene.run(&daily);
    let key = scene.world.path().join("primary.key");
    durable::replace(&key, b"another", 0o600).unwrap();
    let said = fail(&mut confirm(&config), 1);
    assert!(said.contains("401") && !said.contains("another"), "{said}");
    durable::replace(&key, super::jobs_api::KEY.as_bytes(), 0o644).unwrap();
    assert!(fail(&mut confirm(&config), 1).contains("can be read by others"));
    durable::replace(&key, super::jobs_api::KEY.as_bytes(), 0o600).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ca = scene.world.path().join("primary.pem");
    durable::replace(&ca, other.cert.pem().as_bytes(), 0o600).unwrap();
    fail(&mut confirm(&config), 1);
}

#[test]
fn a_report_that_an_administrator_supplies_confirms_the_job_that_it_names() {
    let scene = Scene::new();
    let offer = scene.world.drop("shop-db", b"one");
    let [job] = scene.run(&scene.order("daily", Kind::Full)).try_into().unwrap();
    let file = scene.world.path().join("bpdbjobs.csv");
    let tell = |state: u32, status: &str| {
        let (backup, began) = (&job.backup, job.began);
        let line = format!(
            "1,0,{state},{status},apps,daily,agenthost,media1,{began},9,{},disk1,1,,1,1,,100,7,root,{backup}\n",
            began + 9
        );
        durable::replace(&file, line.as_bytes(), 0o600).unwrap();
        let mut command = outlast();
        command.args(["handover", "confirm", "--directory"]).arg(scene.world.directory());
        let said = succeed(command.arg("--report").arg(&file));
        scene.world.pass();
        said
    };
    assert!(tell(1, "").contains("it has not ended"));
    assert_eq!(scene.state(&offer), Some(State::Read));
    assert!(tell(3, "0").contains("ended well"));
    assert_eq!(scene.state(&offer), Some(State::Confirmed), "{}", scene.world.status());
}

#[test]
fn a_command_of_the_users_confirms_by_0_and_by_nothing_else() {
    let scene = Scene::new();
    let offer = scene.world.drop("shop-db", b"one");
    let program = scene.world.path().join("judge");
    let judge = |lines: &str| {
        let text = format!("#!/bin/sh\n{lines}\n");
        durable::replace(&program, text.as_bytes(), 0o755).unwrap();
    };
    let words = format!("[{:?}, \"word\"]", program.display().to_string());
    let lines = format!("with = \"command\"\ndeadline = \"5s\"\ncommand = {words}");
    let config = scene.world.config(&lines);
    let [job] = scene.run(&scene.order("daily", Kind::Full)).try_into().unwrap();
    for lines in ["exit 1", "exit 255", "kill -9 $$", "echo yes; exit 2"] {
        judge(lines);
        succeed(&mut confirm(&config));
        scene.world.pass();
        assert_eq!(scene.state(&offer), Some(State::Read), "{lines}");
    }
    judge("sleep 60");
    assert!(fail(&mut confirm(&config), 1).contains("did not end in time"));
    let (backup, directory) = (&job.backup, scene.world.directory());
    judge(&format!(
        "[ \"$1 $OUTLAST_JOB $OUTLAST_POLICY $OUTLAST_HANDOVER $OUTLAST_DIRECTORY\" = 'word {backup} apps product {}' ]",
        directory.display()
    ));
    succeed(&mut confirm(&config));
    scene.world.pass();
    assert_eq!(scene.state(&offer), Some(State::Confirmed), "{}", scene.world.status());
}
