//! Real servers, in the real sandbox. What this host does not have is told loudly and left out.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use outlast_format::BlobId;
use outlast_format::config::Version;
use outlast_fs::FileTime;
use outlast_promise::DrillRule;
use outlast_repo::backup::{self, Input, StreamInput};
use outlast_repo::{Credential, Maker, NewPassword, Repository};
use outlast_store::MemoryStore;
use outlast_types::{Clock as _, Interrupt, SystemClock, SystemRandom};

use super::*;

/// Whether load drills can be done here with this program.
fn can(program: &str) -> bool {
    let is_there = Command::new("sh")
        .args(["-c", &format!("ls {program} >/dev/null 2>&1")])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let why = match is_there {
        true => sandbox::unable(rustix::process::geteuid().is_root()),
        false => Some(format!("{program} is not there")),
    };
    if let Some(why) = &why {
        eprintln!("A DRILL IS NOT TESTED: {why}");
    }
    why.is_none()
}

/// A ground, and what is to be brought back.
struct Scene {
    directory: tempfile::TempDir,
    ground: HostGround,
    rule: DrillRule,
    time_max: Duration,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let time_max = Duration::from_secs(300);
        let environment = Environment::system();
        let ground = HostGround::open(&directory.path().join("scratch"), time_max, &environment);
        Self { directory, ground, rule: DrillRule::default(), time_max }
    }

    /// Brings a stream back that is this.
    fn drill(&self, content: &[u8]) -> Outcome {
        let (repository, tree) = repository_of(content);
        self.ground.load(&self.task(&repository, tree, content.len() as u64, &Interrupt::default()))
    }

    fn task<'a>(
        &'a self,
        repository: &'a Repository,
        tree: BlobId,
        size: u64,
        stop: &'a Interrupt,
    ) -> Task<'a> {
        let kind = ContentKind::default();
        Task { repository, tree, size, kind, factor_percent: 300, rule: &self.rule, stop }
    }

    /// What lies in the scratch space.
    fn left(&self) -> usize {
        fs::read_dir(self.directory.path().join("scratch")).unwrap().count()
    }
}

fn repository_of(content: &[u8]) -> (Repository, BlobId) {
    let (hostname, username) = ("here".to_owned(), "vault".to_owned());
    let maker = Maker { hostname, username, created: SystemClock.now() };
    let store = Arc::new(MemoryStore::default());
    let password = NewPassword::Random(b"secret");
    let made =
        Repository::init(Arc::clone(&store) as _, password, Version::V2, &maker, &SystemRandom);
    let input = Input::Stream(StreamInput {
        name: b"dump".to_vec(),
        mode: 0o600,
        modified: FileTime { seconds: 1_790_000_000, nanos: 0 },
        reader: Box::new(content),
    });
    let options = backup::Options::new(SystemClock.now());
    let outcome =
        backup::backup(&made.unwrap(), input, &options, &SystemClock, &SystemRandom, &Silent);
    let repository = Repository::open(store, Credential::Password(b"secret")).unwrap();
    (repository, outcome.unwrap().snapshot.tree)
}

const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n
CREATE TABLE orders (id int, placed timestamptz DEFAULT now());
ALTER TABLE public.orders OWNER TO shop_owner;
CREATE TABLE customers (name text);
COPY customers (name) FROM stdin;
ann
bob
\\.
INSERT INTO orders SELECT generate_series(1, 40);
";

fn phases(outcome: &Outcome) -> Vec<&str> {
    outcome.phases.iter().map(|phase| phase.name.as_str()).collect()
}

#[test]
fn a_dump_of_postgresql_is_loaded_counted_and_asked_and_one_that_lacks_a_table_is_found() {
    if !can("/usr/lib/postgresql/*/bin/postgres") {
        return;
    }
    let mut scene = Scene::new();
    scene.rule.check = Some("SELECT count(*) FROM orders".to_owned());
    let outcome = scene.drill(DUMP.as_bytes());
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.recipe, "postgresql");
    assert_eq!((outcome.counts["tables"], outcome.counts["rows"]), (2, 42));
    assert_eq!(phases(&outcome), ["restore", "start", "load", "check"]);
    assert!(outcome.scratch_bytes > 1 << 20, "{}", outcome.scratch_bytes);
    assert_eq!(scene.left(), 0);

    // It loads, and lacks what is asked about: an older dump, or half of one.
    let old = DUMP.replace("INSERT INTO orders SELECT generate_series(1, 40);\n", "");
    let failure = scene.drill(old.as_bytes()).failure.unwrap();
    assert_eq!((failure.phase.as_str(), failure.owner), ("check", Owner::App));
    assert!(failure.why.contains("answers '0'"), "{failure:?}");
    let without = DUMP.replace("orders", "order_lines");
    let failure = scene.drill(without.as_bytes()).failure.unwrap();
    assert!(failure.why.contains("\"orders\" does not exist"), "{failure:?}");
    // It does not load.
    let broken = DUMP.replace("CREATE TABLE customers", "CREATE TUBLE customers");
    let failure = scene.drill(broken.as_bytes()).failure.unwrap();
    assert_eq!((failure.phase.as_str(), failure.owner), ("load", Owner::App));
    assert!(failure.why.contains("syntax error"), "{failure:?}");
}

#[test]
fn a_dump_that_tries_to_get_out_sees_nothing_and_reaches_nobody() {
    if !can("/usr/lib/postgresql/*/bin/postgres") {
        return;
    }
    let mut scene = Scene::new();
    let secret = scene.directory.path().join("secret.password");
    durable::replace(&secret, b"the key of everything", 0o644).unwrap();
    // Each way writes what it finds into a table, which the check query then looks into.
    let probe = format!(
        "( cat {} ; ls /root /home /var /srv ; ls {} ; id -u ; \
         cat /proc/net/dev ; touch /usr/x /drill/data/x /drill/etc/x /etc/x && echo WROTE ; \
         kill -9 -1 && echo KILLED ) 2>/dev/null",
        secret.display(),
        scene.directory.path().display()
    );
    let hostile = format!(
        "-- PostgreSQL database dump\nCREATE TABLE found (line text);\n\
         COPY found FROM PROGRAM '{probe}';\n\\! {probe} > /tmp/found\n\
         COPY found FROM '/drill/space/found';\n"
    );
    let hostile = hostile.replace("kill -9 -1 && echo KILLED", "true");
    scene.rule.check = Some(
        "SELECT count(*) = 0 FROM found WHERE line LIKE '%key of everything%' OR line LIKE '%secret%' \
         OR line ~ 'WROTE|eth0|ens|PASSWORD' OR line = '0'"
            .to_owned(),
    );
    let outcome = scene.drill(hostile.as_bytes());
    assert_eq!(outcome.failure, None, "{:?}", outcome.counts);
    assert!(outcome.counts["rows"] > 2, "it did run: {:?}", outcome.counts);
    // Who kills all that it sees kills its own drill.
    let killer = "-- PostgreSQL database dump\nCREATE TABLE t (a int);\n\\! kill -9 -1\n";
    assert!(scene.drill(killer.as_bytes()).failure.is_some());
    assert_eq!(scene.left(), 0);
}

#[test]
fn a_dump_of_mariadb_is_loaded_and_asked_and_its_shell_finds_nothing() {
    if !can("/usr/sbin/mariadbd") {
        return;
    }
    let mut scene = Scene::new();
    let dump = "-- MariaDB dump 10.19\nCREATE TABLE orders (id int);\n\
                INSERT INTO orders VALUES (1), (2), (3);\n\
                \\! ls /root /var /home /etc/shadow > /drill/space/found 2>/dev/null || true\n\
                CREATE TABLE found (line text);\n\
                LOAD DATA LOCAL INFILE '/drill/space/found' INTO TABLE found;\n\
                CREATE TABLE `odd ``name` (a int);\n";
    scene.rule.check = Some("SELECT count(*) = 0 FROM found".to_owned());
    let outcome = scene.drill(dump.as_bytes());
    assert_eq!(outcome.failure, None);
    assert_eq!((outcome.recipe.as_str(), outcome.counts["tables"]), ("mariadb", 3));
    assert_eq!(outcome.counts["rows"], 3);
    let broken = dump.replace("INSERT INTO orders", "INSERT INTO nowhere");
    let failure = scene.drill(broken.as_bytes()).failure.unwrap();
    assert!(failure.why.contains("nowhere"), "{failure:?}");
}

#[test]
fn a_sqlite_database_is_checked_and_counted_and_a_damaged_one_found() {
    if !can("/usr/bin/sqlite3") {
        return;
    }
    let scene = Scene::new();
    let file = scene.directory.path().join("db");
    let mut make = Command::new("sqlite3");
    make.arg(&file).stdin(Stdio::null()).arg(
        "CREATE TABLE orders (id int, note text); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 \
         FROM n WHERE i < 5000) INSERT INTO orders SELECT i, hex(randomblob(20)) FROM n;",
    );
    assert!(make.status().unwrap().success());
    let mut content = fs::read(&file).unwrap();
    let outcome = scene.drill(&content);
    assert_eq!(outcome.failure, None);
    assert_eq!((outcome.recipe.as_str(), outcome.counts["rows"]), ("sqlite", 5000));
    let middle = content.len() / 2;
    content[middle..middle + 4096].fill(0xff);
    let failure = scene.drill(&content).failure.unwrap();
    assert_eq!((failure.phase.as_str(), failure.owner), ("load", Owner::App));
}

#[test]
fn a_command_of_policy_sees_the_files_and_its_failure_is_the_drills() {
    if !can("/usr/bin/grep") {
        return;
    }
    let mut scene = Scene::new();
    let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    scene.rule.command = command(&["/usr/bin/grep", "-q", "needle", "dump"]);
    assert_eq!(scene.drill(b"hay needle hay").failure, None);
    assert!(scene.drill(b"hay").failure.unwrap().why.contains("ended with 1"));
    // One that hangs is ended, with all that it started.
    scene.ground.time_max = Duration::from_millis(500);
    scene.rule.command = command(&["/bin/sh", "-c", "sleep 1000 & sleep 1000"]);
    let failure = scene.drill(b"hay").failure.unwrap();
    assert!(failure.why.contains("took longer") && failure.owner == Owner::Platform, "{failure:?}");
    scene.ground.time_max = scene.time_max;
    // The vault ends meanwhile.
    let (repository, tree) = repository_of(b"hay");
    let stop = Interrupt::default();
    stop.request();
    let outcome = scene.ground.load(&scene.task(&repository, tree, 3, &stop));
    assert!(outcome.failure.unwrap().why.contains("the vault ended"));
    assert_eq!(scene.left(), 0);
}

/// As one whose vault was killed before the two were bound to each other.
#[test]
fn a_drill_that_nobody_waits_for_any_more_ends_by_itself_with_all_that_it_started() {
    if !can("/usr/bin/timeout") {
        return;
    }
    let scene = Scene::new();
    let place = scene.ground.place().unwrap();
    durable::create_directories(&place.data(), 0o755).unwrap();
    for file in ["passwd", "group"] {
        durable::create_new(&place.etc().join(file), b"", 0o644).unwrap();
    }
    let script = b"sleep 1000 & echo begun; exec sleep 1000";
    durable::create_new(&place.etc().join("run.sh"), script, 0o755).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let mut child = sandbox::start(&place, &[], is_root, Duration::ZERO).unwrap();
    // Both streams end with the last process that has them.
    let (mut said, mut complaints) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!((said.as_str(), complaints.as_str()), ("begun\n", ""));
}

#[test]
fn without_room_it_is_read_and_what_is_read_is_verified_and_parsed() {
    let scene = Scene::new();
    let (repository, tree) = repository_of(DUMP.as_bytes());
    let stop = Interrupt::default();
    let task = scene.task(&repository, tree, u64::MAX / 1000, &stop);
    let lowered = scene.ground.lowered(&task).unwrap();
    assert!(lowered.contains("has room for") && lowered.contains("scratch"), "{lowered}");
    // It has not its end.
    let failure = scene.ground.stream(&task).failure.unwrap();
    assert_eq!((failure.phase.as_str(), failure.owner), ("read", Owner::App), "{failure:?}");
    let whole = format!("{DUMP}--\n-- PostgreSQL database dump complete\n--\n\n");
    let (repository, tree) = repository_of(whole.as_bytes());
    let outcome = scene.ground.stream(&scene.task(&repository, tree, 1, &stop));
    assert_eq!((outcome.failure, outcome.level), (None, DrillLevel::Stream));
    assert_eq!(outcome.counts["bytes"], whole.len() as u64);
}

#[test]
fn what_a_killed_vault_left_is_swept_at_the_next_start_and_nothing_else() {
    let scene = Scene::new();
    let scratch = scene.directory.path().join("scratch");
    durable::create_directories(&scratch.join("drill-0102/work"), 0o755).unwrap();
    durable::create_directories(&scratch.join("mine"), 0o755).unwrap();
    let _again = HostGround::open(&scratch, scene.time_max, &Environment::system());
    assert_eq!(scene.left(), 1);
}

/// A small file system of its own, as long as it lives.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        durable::create_directories(at, 0o755).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "outlast-test"]).arg(at);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("not tested: this process may not mount a tmpfs");
        }
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_scratch_disk_that_is_full_while_a_dump_is_loaded_lets_it_be_read_and_says_so() {
    if !can("/usr/lib/postgresql/*/bin/postgres") {
        return;
    }
    let mut scene = Scene::new();
    let scratch = scene.directory.path().join("small");
    let Some(_small) = Small::mount(&scratch, "160m") else { return };
    scene.ground = HostGround::open(&scratch, scene.time_max, &Environment::system());
    let grows = "CREATE TABLE big AS SELECT generate_series(1, 20000000) AS n, 'x' AS t;";
    let dump = format!(
        "--\n-- PostgreSQL database dump\n--\n\n{grows}\n--\n-- PostgreSQL database dump complete\n--\n\n"
    );
    let outcome = scene.drill(dump.as_bytes());
    assert_eq!((outcome.failure, outcome.level), (None, DrillLevel::Stream));
    let lowered = outcome.lowered.unwrap();
    assert!(lowered.contains("small was full when"), "{lowered}");
    assert_eq!(outcome.counts["bytes"], dump.len() as u64);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

/// Says to the test that it is the one with few files.
const FEW_FILES: &str = "OUTLAST_TEST_FEW_FILES";

#[test]
fn a_server_that_does_not_start_is_the_platforms_and_its_last_words_are_told() {
    if !can("/usr/lib/postgresql/*/bin/postgres") {
        return;
    }
    if std::env::var_os(FEW_FILES).is_none() {
        // In a process of its own, in which a server finds too few files to be opened.
        let name = "a_server_that_does_not_start_is_the_platforms_and_its_last_words_are_told";
        let mut again = Command::new("prlimit");
        again.args(["--nofile=50:50", "--"]).arg(std::env::current_exe().unwrap());
        again.arg(name).env(FEW_FILES, "1").stdin(Stdio::null());
        let output = again.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let scene = Scene::new();
    let outcome = scene.drill(DUMP.as_bytes());
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.phase.as_str(), failure.owner), ("start", Owner::Platform), "{failure:?}");
    let words = "insufficient file descriptors";
    assert!(failure.why.contains("does not start") && failure.why.contains(words), "{failure:?}");
    assert_eq!((outcome.lowered, scene.left()), (None, 0));
}
