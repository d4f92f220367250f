//! What an agent backs up itself: `[[source]]` in its configuration, with the real binary and a real vault.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use outlast_fs::durable;
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::harness::{
    Role, Up, document, fail, outlast, restored, run, scratch, succeed, wait_until,
};

/// A vault, and an agent's configuration beside it.
struct Site {
    dir: PathBuf,
    _vault: Role,
    url: String,
}

impl Site {
    fn start(directory: &Path) -> Self {
        let dir = directory.join("up");
        Up::start(&dir).role.stop();
        let ready = directory.join("vault.ready");
        let mut command = outlast();
        command.args(["vault", "--config"]).arg(dir.join("vault.toml"));
        command.arg("--ready-file").arg(&ready);
        let vault = Role::start(&mut command, &directory.join("vault.log"));
        wait_until("the vault serves", || ready.exists());
        let told: Value = serde_json::from_slice(&fs::read(&ready).unwrap()).unwrap();
        let url = told["url"].as_str().unwrap().to_owned();
        Self { dir, _vault: vault, url }
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Where the agent's own share is.
    fn share(&self) -> PathBuf {
        self.state().join("share")
    }

    fn config(&self) -> PathBuf {
        self.dir.join("own.toml")
    }

    /// Starts an agent with these sources.
    fn agent(&self, sources: &str) -> Role {
        self.configure(sources);
        let mut command = outlast();
        command.args(["agent", "--config"]).arg(self.config());
        command.env("SECRET_OF_THE_AGENT", "inherited");
        Role::start(&mut command, &self.dir.join("agent.log"))
    }

    fn configure(&self, sources: &str) {
        let text = format!(
            "[agent]\nstate = {:?}\nupstream = {:?}\nidentity = {:?}\npoll = \"200ms\"\nreport = \"1s\"\n{sources}",
            self.state(),
            self.url,
            self.dir.join("identity/agent")
        );
        durable::replace(&self.config(), text.as_bytes(), 0o644).unwrap();
    }

    /// `outlast WORDS…` for the commands that ask the vault.
    fn ask(&self, words: &[&str]) -> std::process::Command {
        let mut command = outlast();
        command.args(words).args(["--vault", &self.url, "--identity"]);
        command.arg(self.dir.join("identity/operator"));
        command
    }

    /// The workloads that the vault knows, by name.
    fn workloads(&self) -> BTreeMap<String, Value> {
        let listed = document(&mut self.ask(&["workload", "list", "--json"]));
        let all = listed["workloads"].as_array().unwrap().clone().into_iter();
        all.map(|it| (it["name"].as_str().unwrap().to_owned(), it)).collect()
    }

    #[track_caller]
    fn wait_for_snapshots(&self, agent: &mut Role, workload: &str, count: u64) {
        wait_until(&format!("{count} snapshots of {workload} are vaulted"), || {
            assert!(!agent.has_ended(), "the agent ended:\n{}", agent.words());
            self.workloads().get(workload).is_some_and(|it| it["snapshots"] == count)
        });
    }

    /// The process of a source, as it says itself.
    fn process(&self, workload: &str) -> Option<u32> {
        let status =
            fs::read(self.state().join("sources").join(workload).join("status.json")).ok()?;
        let status: Value = serde_json::from_slice(&status).ok()?;
        u32::try_from(status["process"].as_u64()?).ok()
    }
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains(')') && !stat.contains(") Z")
}

/// The lines that a command wrote into a file, each by one start of it.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// How many drops lie on a share.
fn drops(share: &Path, workload: &str) -> usize {
    let below = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    below(&share.join("w").join(workload).join("drops")).iter().flat_map(|day| below(day)).count()
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    durable::replace(path, content.as_bytes(), 0o600).unwrap();
}

/// What comes back is what was there, and no secret was on a command line.
#[track_caller]
fn comes_back(site: &Site, directory: &Path, tree: &Path, runs: &Path) {
    let into = directory.join("files");
    succeed(site.ask(&["restore", "files"]).arg("--into").arg(&into));
    assert_eq!(fs::read_to_string(restored(&into, &tree.join("a/kept"))).unwrap(), "content");
    assert!(!restored(&into, &tree.join("a/left.tmp")).exists());
    let into = directory.join("shop");
    succeed(site.ask(&["restore", "shop"]).arg("--into").arg(&into));
    let dumped = fs::read_to_string(into.join("shop.sql")).unwrap();
    assert_eq!(dumped, "correct horse inherited\n");
    let line = fs::read_to_string(runs.with_extension("line")).unwrap();
    assert!(line.contains("--workload=shop") && !line.contains("correct horse"), "{line:?}");
}

/// The one that fails is known although nothing of it ever came, and so is why.
#[track_caller]
fn says_why(site: &Site) {
    let told = || Some(site.workloads().get("broken")?["failing"].as_str()?.to_owned());
    wait_until("the vault hears why", || told().is_some());
    let why = told().unwrap();
    assert!(
        why.contains("exit status: 3") && why.contains("connecting; no such database"),
        "{why}"
    );
    let words = succeed(&mut site.ask(&["workload", "show", "broken"]));
    assert!(words.contains("its agent cannot make a drop now"), "{words}");
    assert!(words.contains("team-broken"), "{words}");
    let mut doctor = outlast();
    doctor.args(["doctor", "agent", "--json", "--config"]).arg(site.config());
    let found: Value = serde_json::from_slice(&run(&mut doctor).stdout).unwrap();
    let found = found["findings"].as_array().unwrap();
    let of = |word: &str| {
        let mut sources = found.iter().filter(|it| it["check"] == "source");
        let found = sources.find(|it| it["message"].as_str().unwrap().starts_with(word));
        found.unwrap()["verdict"].clone()
    };
    assert_eq!((of("files:"), of("broken:")), ("good".into(), "bad".into()), "{found:?}");
    let mut status = outlast();
    status.args(["share", "status"]).arg(site.share());
    let shown = succeed(&mut status);
    assert!(
        shown.contains("source broken: failing") && shown.contains("source files: waiting"),
        "{shown}"
    );
    let shown = document(status.arg("--json"));
    let sources = shown["sources"].as_array().unwrap();
    assert_eq!((sources.len(), &sources[0]["workload"]), (3, &"broken".into()));
    assert!(sources[0]["problem"].as_str().unwrap().contains("no such database"));
}

#[test]
fn a_server_that_stays_is_backed_up_without_a_share_and_what_fails_is_told_with_its_reason() {
    let directory = scratch();
    let (tree, runs) = (directory.path().join("srv"), directory.path().join("runs"));
    put(&tree.join("a/kept"), "content");
    put(&tree.join("a/left.tmp"), "not this");
    let variables = directory.path().join("variables");
    put(&variables, "SECRET=correct horse\n");
    let site = Site::start(directory.path());
    let script =
        "echo run >> $0; echo $SECRET $SECRET_OF_THE_AGENT; cat /proc/$PPID/cmdline >> $0.line";
    let sources = format!(
        "[[source]]\nworkload = \"files\"\npaths = [{tree:?}]\nexclude = [\"*.tmp\"]\nat = \"00:00\"\n\
         [[source]]\nworkload = \"shop\"\nname = \"shop.sql\"\nenvironment = {variables:?}\n\
         exec = [\"sh\", \"-c\", {script:?}, {runs:?}]\n\
         [[source]]\nworkload = \"broken\"\nowner = \"team-broken\"\nexec = [\"sh\", \"-c\", \
         \"echo half; echo connecting >&2; echo no such database >&2; exit 3\"]\n"
    );
    let mut agent = site.agent(&sources);
    for workload in ["files", "shop"] {
        site.wait_for_snapshots(&mut agent, workload, 1);
    }
    comes_back(&site, directory.path(), &tree, &runs);
    // Nothing stays on the agent's own share that is vaulted, and nobody else sees it.
    wait_until("the drops leave the share", || {
        ["files", "shop"].iter().all(|workload| drops(&site.share(), workload) == 0)
    });
    assert_eq!(site.share().metadata().unwrap().mode() & 0o077, 0);
    says_why(&site);

    // The end of the agent is theirs, in order.
    let all = ["files", "shop", "broken"];
    let processes: Vec<u32> = all.iter().filter_map(|it| site.process(it)).collect();
    assert_eq!(processes.len(), 3);
    agent.stop();
    assert!(!processes.iter().any(|pid| lives(*pid)));
    // A promise that breaks of it says why. The next agent knows that before it has tried again.
    let mut agent = site.agent(&format!("{sources}rpo = \"1s\"\n"));
    let incident = || {
        let shown = document(&mut site.ask(&["workload", "show", "broken", "--json"]));
        let all = shown["incidents"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["workload"] == "broken")
    };
    wait_until("the promise is told to be broken", || incident().is_some());
    let told = incident().unwrap();
    assert_eq!(told["code"], "nothing-dropped");
    assert_eq!(told["team"], "team-broken");
    let cause = told["cause"].as_str().unwrap();
    assert!(cause.contains("says why: ") && cause.contains("no such database"), "{cause}");
    // What was dropped today is not dropped again, although it is not on the share any more.
    let is_back = |workload: &str| {
        site.process(workload).is_some_and(|pid| lives(pid) && !processes.contains(&pid))
    };
    wait_until("all are attended to again", || all.iter().all(|workload| is_back(workload)));
    assert_eq!(lines(&runs), ["run"]);
    assert!(site.workloads()["shop"]["failing"].is_null());
    agent.stop();
}

#[test]
fn beside_a_share_sources_drop_there_as_instances_do() {
    let directory = scratch();
    let (dir, tree) = (directory.path().join("up"), directory.path().join("srv"));
    put(&tree.join("file"), "content");
    Up::start(&dir).role.stop();
    let config = fs::read_to_string(dir.join("agent.toml")).unwrap();
    let source = format!("{config}\n[[source]]\nworkload = \"files\"\npaths = [{tree:?}]\n");
    put(&dir.join("agent.toml"), &source);
    let mut up = Up::start(&dir);
    wait_until("it is dropped", || {
        assert!(!up.role.has_ended(), "{}", up.role.words());
        !up.drop_directories("files").is_empty()
    });
    let drop = up.drop_directories("files").remove(0);
    let drop = drop.file_name().unwrap().to_str().unwrap().to_owned();
    up.wait_for_receipt("files", &drop, "vaulted");
    assert!(up.drop_directory("files", &drop).is_some(), "two of each stay");
    assert!(!dir.join("agent/share").exists());
    up.role.stop();
}

#[test]
fn an_agent_that_is_killed_leaves_nothing_behind_that_would_drop_beside_the_next_one() {
    let directory = scratch();
    let notes = directory.path().join("notes");
    let site = Site::start(directory.path());
    // Notes each start with its process, and waits for a word.
    let script = "echo $$ >> $0; echo half; while [ ! -e $0.go ]; do sleep 0.05; done; echo rest";
    let slow = format!(
        "[[source]]\nworkload = \"slow\"\nname = \"slow\"\nexec = [\"sh\", \"-c\", {script:?}, {notes:?}]\n"
    );
    let mut agent = site.agent(&slow);
    wait_until("the command runs", || lines(&notes).len() == 1);
    let first: u32 = lines(&notes)[0].parse().unwrap();
    let keeper = site.process("slow").unwrap();
    // The agent alone; whom it started is in groups of its own, and sees it go.
    agent.signal(Signal::KILL);
    agent.wait();
    // The next one comes at once.
    let mut agent = site.agent(&slow);
    wait_until("the command runs again", || {
        assert!(!agent.has_ended(), "{}", agent.words());
        lines(&notes).len() == 2
    });
    assert!(!lives(keeper) && !lives(first), "two at once");
    // The process of a source alone: it is started again, and what it left ends.
    let (keeper, second) = (site.process("slow").unwrap(), lines(&notes)[1].parse().unwrap());
    rustix::process::kill_process(
        Pid::from_raw(i32::try_from(keeper).unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    wait_until("it is started again", || lines(&notes).len() == 3);
    assert!(!lives(second), "two at once");
    put(&notes.with_extension("go"), "");
    site.wait_for_snapshots(&mut agent, "slow", 1);
    let into = directory.path().join("back");
    succeed(site.ask(&["restore", "slow"]).arg("--into").arg(&into));
    assert_eq!(fs::read_to_string(into.join("slow")).unwrap(), "half\nrest\n");
    agent.stop();
    assert_eq!(lines(&notes).len(), 3);
}

#[test]
fn sources_that_cannot_be_are_refused_at_the_start_each_where_it_stands() {
    let directory = scratch();
    let config = directory.path().join("own.toml");
    let configure = |sources: &str| {
        let text = format!(
            "[agent]\nstate = \"/nowhere/state\"\nupstream = \"https://localhost:1/\"\nidentity = \"/nowhere\"\n{sources}"
        );
        durable::replace(&config, text.as_bytes(), 0o644).unwrap();
    };
    configure(
        "[[source]]\nworkload = \"a\"\nrecipe = \"postgres\"\noptions = [\"--frobnicate\"]\n\
         [[source]]\nworkload = \"b\"\nexec = [\"x\"]\noptions = [\"--share=/elsewhere\"]\n\
         [[source]]\nworkload = \"c\"\npaths = [\"/etc\"]\noptions = [\"--final\"]\n",
    );
    let said = fail(outlast().args(["agent", "--config"]).arg(&config), 1);
    for words in [
        "line 5, column 1: source[1]: unexpected argument '--frobnicate'",
        "line 9, column 1: source[2]: the argument '--share",
        "line 13, column 1: source[3]: ",
    ] {
        assert!(said.contains(words), "{words} is not in:\n{said}");
    }
    // The share that they would have is shown.
    configure("[[source]]\nworkload = \"a\"\npaths = [\"/etc\"]\n");
    let shown = succeed(outlast().args(["config", "show", "agent", "--config"]).arg(&config));
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("agent.share").contains("state/share"), "{shown}");
    assert!(line("agent.keep").contains(" 0 "), "{shown}");
    assert!(line("source[1].workload").contains("line 6 of the file"), "{shown}");
}
