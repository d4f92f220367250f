//! An agent alone, whose vault is not there: all of a hand-over but what needs a vault, as quick as can be.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use outlast_drop::{Claims, Content, DropWriter, Share, WriterOptions};
use outlast_handover::Place;
use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::status::{DropStatus, Overview};
use outlast_handover::{Holds, JobFacts, Lease, Outcome, Statement};
use outlast_types::{Clock, Environment, SystemClock, SystemRandom, WorkloadName};
use tempfile::TempDir;

use crate::harness::{Role, Up, outlast, scratch, succeed, wait_until};

/// An identity and a configuration of an agent whose vault was there once.
pub(super) struct Past {
    directory: TempDir,
}

impl Past {
    pub(super) fn new() -> Self {
        let directory = scratch();
        let mut up = Up::start(&directory.path().join("up"));
        up.role.stop();
        Self { directory }
    }

    /// A site in a directory of its own.
    pub(super) fn site(&self, root: &Path, keys: &str) -> Site {
        let share = root.join("share");
        Site::of(self, root, &share, &root.join("nbu"), keys)
    }

    fn config(&self) -> String {
        fs::read_to_string(self.directory.path().join("up/agent.toml")).unwrap()
    }
}

/// A directory in memory, where there is room: for thousands of steps that each wait for a disk.
pub(super) fn quick() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("outlast-it-");
        builder
    };
    builder().tempdir_in("/dev/shm").unwrap_or_else(|_| builder().tempdir().unwrap())
}

/// An agent's places, and what a product does there.
pub(super) struct Site {
    root: PathBuf,
    pub(super) share: Share,
    pub(super) product: PathBuf,
    environment: Environment,
}

impl Site {
    /// Whose share and directory lie where one likes.
    pub(super) fn of(past: &Past, root: &Path, share: &Path, product: &Path, keys: &str) -> Self {
        let text = format!(
            "{}\n[[handover]]\nname = \"nbu\"\ndirectory = \"{}\"\n{keys}\n",
            past.config(),
            product.display()
        );
        for (name, text) in [("agent.toml", text), ("alone.toml", past.config())] {
            let mut file = fs::File::create(root.join(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        let share = match share.join("outlast-share.json").exists() {
            true => Share::open(share).unwrap(),
            false => Share::init(share, &SystemClock, &SystemRandom).unwrap(),
        };
        let (root, product) = (root.to_owned(), product.to_owned());
        Self { root, share, product, environment: Environment::system() }
    }

    /// The agent's command.
    pub(super) fn agent(&self) -> Command {
        self.agent_by("agent.toml")
    }

    fn agent_by(&self, config: &str) -> Command {
        let mut command = outlast();
        command.args(["agent", "--config"]).arg(self.root.join(config));
        command.env("OUTLAST_AGENT_SHARE", self.share.path());
        command.env("OUTLAST_AGENT_STATE", self.root.join("state"));
        command.env("OUTLAST_AGENT_POLL", "200ms");
        command
    }

    pub(super) fn start(&self) -> Role {
        Role::start(&mut self.agent(), &self.root.join("agent.log"))
    }

    /// Lets the agent serve the share once, without the hand-over. One that is killed while it tells the share of
    /// itself for the first time may have forgotten that: then it waits ten minutes for itself to be gone.
    pub(super) fn serve_once(&self) {
        let mut agent = Role::start(&mut self.agent_by("alone.toml"), &self.root.join("alone.log"));
        wait_until("a pass is over", || agent.words().contains("was not told of this pass"));
        agent.stop();
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("agent.log")
    }

    /// A sealed drop; its id.
    pub(super) fn drop(&self, workload: &str, content: &[u8]) -> String {
        let workload = WorkloadName::new(workload).unwrap();
        let options = WriterOptions {
            segment_bytes: 1 << 20,
            compression: None,
            beat_interval: Duration::from_secs(60),
            ..WriterOptions::default()
        };
        let kind = Content::stream("shop.bin").unwrap();
        let (clock, random) = (&SystemClock, &SystemRandom);
        let claims = Claims::default();
        let made = DropWriter::create(&self.share, &workload, kind, claims, options, clock, random);
        let mut writer = made.unwrap();
        writer.write_all(content).unwrap();
        let drop = writer.address().drop.to_string();
        writer.seal(&SystemClock).unwrap();
        // The ids of one millisecond are in no order, and which drop is newer must be known.
        let sealed = clock.now();
        while clock.now().since(sealed) < Duration::from_millis(2) {
            std::thread::yield_now();
        }
        drop
    }

    /// The same of a tree.
    pub(super) fn drop_tree(&self, workload: &str, files: &[(&str, &str)]) -> String {
        let tree = self.root.join("tree");
        for (name, content) in files {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
        }
        let mut drop = outlast();
        drop.args(["drop", "--workload", workload, "--share"]).arg(self.share.path()).arg(&tree);
        succeed(&mut drop).trim().to_owned()
    }

    pub(super) fn place(&self) -> Place {
        Place::of(&self.product)
    }

    pub(super) fn drops(&self) -> Vec<DropStatus> {
        let overview = Overview::read(&self.product);
        overview.map(|it| it.drops(SystemClock.now())).unwrap_or_default()
    }

    pub(super) fn find(&self, drop: &str) -> Option<DropStatus> {
        self.drops().into_iter().find(|it| it.drop == drop)
    }

    /// A receipt on the share.
    pub(super) fn receipt(&self, workload: &str, drop: &str, state: &str) -> serde_json::Value {
        let name = format!("w/{workload}/receipts/{drop}.{state}.json");
        let bytes = fs::read(self.share.path().join(name)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub(super) fn heartbeat(&self) -> serde_json::Value {
        let bytes = fs::read(self.product.join("outlast-heartbeat.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub(super) fn begin(&self, job: &JobFacts) -> Lease {
        let length = Duration::from_secs(3600);
        let beginning = Beginning { job: job.clone(), stream: 1, streams: None, length };
        lease::begin(&self.place(), &beginning, &self.environment).unwrap().0
    }

    pub(super) fn end(&self, lease: &Lease, status: i32) {
        let word = Word::Ended { lease: lease.clone(), status };
        inbox::put(&self.place(), &word, &self.environment).unwrap();
        lease::release(&self.place(), &lease.key(), lease.stream).unwrap();
    }

    pub(super) fn say(&self, job: &JobFacts, holds: Holds) {
        let statement = Statement {
            job: job.clone(),
            began: None,
            ended: Some(SystemClock.now()),
            outcome: Outcome::Well,
            holds,
            product: Some("NetBackup".to_owned()),
            by: "bplist on agenthost".to_owned(),
        };
        let word = Word::Evidence(Box::new(statement));
        inbox::put(&self.place(), &word, &self.environment).unwrap();
    }

    /// A whole job that has all that is there.
    pub(super) fn run_job(&self, id: usize) {
        let job = self.send_job(id);
        self.say(&job, Holds::Everything);
    }

    /// A job that has sent all that is there.
    pub(super) fn send_job(&self, id: usize) -> JobFacts {
        let job = JobFacts {
            schedule: Some("daily".to_owned()),
            ..JobFacts::of_id(&format!("host_{id}"))
        };
        let lease = self.begin(&job);
        self.end(&lease, 0);
        job
    }
}
