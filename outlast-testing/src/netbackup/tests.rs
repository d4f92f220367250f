use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use outlast_fs::durable;

use super::*;

struct World {
    directory: tempfile::TempDir,
    server: Server,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::new(&directory.path().join("openv"), "agenthost").unwrap();
        let world = Self { directory, server };
        world.file("a/one", 1000);
        world.file("b/two", 1000);
        world
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn file(&self, name: &str, modified: i64) {
        let path = self.data().join(name);
        durable::create_directories(path.parent().unwrap(), 0o755).unwrap();
        durable::replace(&path, name.as_bytes(), 0o644).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let times = std::fs::FileTimes::new().set_modified(catalogue::moment(modified));
        file.set_times(times).unwrap();
    }

    fn script(&self, name: &str, lines: &str) {
        let path = self.server.programs().join(name);
        let script = format!("#!/bin/sh\nhere='{}'\n{lines}\n", self.directory.path().display());
        durable::replace(&path, script.as_bytes(), 0o755).unwrap();
    }

    fn order(&self, kind: Kind) -> Order {
        Order::new("apps", "daily", kind, &self.data())
    }

    fn run(&mut self, order: &Order) -> Job {
        let [job] = self.server.run(order).unwrap().try_into().unwrap();
        job
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

#[test]
fn the_most_special_script_is_called_with_what_a_script_is_told() {
    let mut world = World::new();
    let note =
        "echo \"$0 $* $BACKUPID $UNIXBACKUPTIME $STREAM_NUMBER/$STREAM_COUNT\" >> \"$here/calls\"";
    for name in
        ["bpstart_notify", "bpstart_notify.apps", "bpstart_notify.apps.daily", "bpend_notify"]
    {
        world.script(name, note);
    }
    // One that may not be run is passed over.
    let path = world.server.programs().join("bpstart_notify.apps.daily");
    let job = world.run(&world.order(Kind::Full));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let weekly = Order { schedule: "weekly".to_owned(), streams: 2, ..world.order(Kind::Full) };
    let jobs = world.server.run(&weekly).unwrap();
    assert_eq!(jobs.len(), 2);
    let calls = world.read("calls");
    let calls: Vec<&str> = calls.lines().map(|line| line.rsplit_once("/bin/").unwrap().1).collect();
    let (backup, began) = (&job.backup, job.began);
    assert_eq!(
        calls[0],
        format!("bpstart_notify.apps.daily agenthost apps daily FULL {backup} {began} /")
    );
    assert_eq!(calls[1], format!("bpend_notify agenthost apps daily FULL 0 {backup} {began} /"));
    assert!(calls[2].starts_with("bpstart_notify.apps agenthost apps weekly FULL"), "{calls:?}");
    assert!(calls[2].ends_with("1/2") && calls[4].ends_with("2/2"), "{calls:?}");
    assert_ne!(jobs[0].backup, jobs[1].backup, "each stream has an id of its own");
    let both: usize =
        jobs.iter().map(|it| world.server.image(&it.backup).unwrap().files.len()).sum();
    assert_eq!(both, 2, "and each file goes to one of them");
}

#[test]
fn the_statuses_of_jobs_are_those_of_the_matrix_and_only_0_and_1_leave_an_image() {
    let mut world = World::new();
    world.server.script_timeout = Duration::from_millis(300);
    let expect = |world: &mut World, fault: Fault, status: i32, has_image: bool| {
        let job = world.run(&Order { fault: fault.clone(), ..world.order(Kind::Full) });
        assert_eq!(job.status, status, "{fault:?}");
        assert_eq!(world.server.image(&job.backup).is_some(), has_image, "{fault:?}");
    };
    expect(&mut world, Fault::None, 0, true);
    for status in [84, 96, 129, 2106] {
        expect(&mut world, Fault::Server(status), status, false);
    }
    for status in [58, 59, 196, 1000] {
        expect(&mut world, Fault::Before(status), status, false);
    }
    expect(&mut world, Fault::Middle(1, 150), 150, false);
    expect(&mut world, Fault::Unreadable("b/two".to_owned()), 1, true);
    world.script("bpstart_notify", "exit 1");
    expect(&mut world, Fault::None, 73, false);
    world.script("bpstart_notify", "sleep 5");
    expect(&mut world, Fault::None, 74, false);
    world.script("bpstart_notify", "exit 0");
    world.script("bpend_notify", "echo $5 >> \"$here/ends\"; exit 1");
    expect(&mut world, Fault::Server(96), 96, false);
    assert_eq!(world.read("ends"), "0\n", "its client has ended well all the same");
    expect(&mut world, Fault::Middle(1, 150), 150, false);
    assert_eq!(world.read("ends"), "0\n", "nobody was told");
    world.script("bpend_notify", "sleep 5");
    expect(&mut world, Fault::None, 75, true);
    let gone = Order { directory: world.data().join("gone"), ..world.order(Kind::Full) };
    assert_eq!(world.run(&gone).status, 71);
    world.script("bpend_notify", "exit 0");
    let fault = Order { fault: Fault::Server(96), ..world.order(Kind::Full) };
    let tries = world.server.run_with_retries(&fault, 3).unwrap();
    assert_eq!(tries.iter().map(|job| job.status).collect::<Vec<_>>(), [96, 0]);
}

#[test]
fn an_incremental_takes_only_what_changed_later_and_a_synthetic_full_what_the_last_one_saw() {
    let mut world = World::new();
    let full = world.run(&world.order(Kind::Full));
    world.file("c/new", full.began + 1);
    world.file("d/same-second", full.began);
    let first = world.run(&world.order(Kind::Differential));
    let names = |world: &World, backup: &str| -> Vec<String> {
        let data = world.data();
        let files = world.server.restorable(backup).into_keys();
        files.map(|path| path.strip_prefix(&data).unwrap().display().to_string()).collect()
    };
    let image = world.server.image(&first.backup).unwrap();
    assert_eq!(image.files.len(), 1, "what was changed in the second of the backup is passed over");
    assert_eq!(names(&world, &first.backup), ["a/one", "b/two", "c/new"]);
    std::fs::remove_file(world.data().join("a/one")).unwrap();
    world.file("e/later", first.began + 1);
    let second = world.run(&world.order(Kind::Differential));
    assert_eq!(names(&world, &second.backup), ["b/two", "c/new", "e/later"], "as it was that day");
    let synthetic = world.server.synthesize("apps", "monthly").unwrap();
    assert_eq!(names(&world, &synthetic.backup), ["b/two", "c/new", "e/later"]);
    world.file("f/last", synthetic.began + 1);
    let cumulative = world.run(&world.order(Kind::Cumulative));
    assert_eq!(
        world.server.image(&cumulative.backup).unwrap().files.len(),
        1,
        "since the synthetic"
    );
    let into = world.directory.path().join("restored");
    world.server.restore(&synthetic.backup, &world.data(), &into).unwrap();
    assert_eq!(std::fs::read(into.join("e/later")).unwrap(), b"e/later");
    // Without the full, an incremental has no more than itself.
    world.server.expire(&full.backup).unwrap();
    assert_eq!(names(&world, &first.backup), ["c/new"]);
}

#[test]
fn its_programs_list_images_and_files_until_they_expire() {
    let mut world = World::new();
    let say = |world: &World, name: &str, words: &[&str]| {
        let output = Command::new(world.server.programs().join(name)).args(words).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(say(&world, "bpclimagelist", &[]).0, 227);
    let job = world.run(&world.order(Kind::Full));
    let (code, list) = say(&world, "bpclimagelist", &["-client", "agenthost", "-Listseconds"]);
    assert!(code == 0 && list.lines().count() == 3 && list.contains("Full Backup"), "{list}");
    let (date, time) = {
        let line: Vec<&str> = list.lines().nth(2).unwrap().split_whitespace().collect();
        (line[0].to_owned(), line[1].to_owned())
    };
    let data = world.data().display().to_string();
    let ask = ["-l", "-s", &date, &time, "-e", &date, &time, &data];
    let (code, files) = say(&world, "bplist", &ask);
    assert!(code == 0 && files.lines().count() == 2 && files.contains("/a/one\n"), "{files}");
    assert_eq!(say(&world, "bplist", &["-s", &date, &time, "/elsewhere"]).0, 227);
    assert!(world.server.expire(&job.backup).unwrap());
    assert_eq!(say(&world, "bpclimagelist", &[]).0, 227);
}

#[test]
fn a_file_that_is_gone_when_it_is_opened_makes_the_job_partially_successful() {
    let mut world = World::new();
    let path = world.data().join("a/one");
    world.server.between = Some(Box::new(move || std::fs::remove_file(&path).unwrap_or_default()));
    let job = world.run(&world.order(Kind::Full));
    assert_eq!(job.status, 1);
    assert!(world.server.answer(None).unwrap().contains("\"status\":1"));
    assert!(world.server.answer(Some(job.id)).is_some() && world.server.answer(Some(99)).is_none());
}
