//! An agent with a hand-over, and a product that reads there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::status::{DropStatus, Overview};
use outlast_handover::{FileFact, Holds, JobFacts, Lease, Outcome, Place, State, Statement};
use outlast_types::{Clock, Environment, SystemClock};
use tempfile::TempDir;

use crate::harness::{Up, scratch, wait_until};

/// An `up` whose agent hands over to `nbu`.
pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) up: Up,
    product: PathBuf,
    environment: Environment,
    /// Where its agent writes its figures.
    textfile: String,
}

/// What its agent is told besides.
fn of_agent<'a>(textfile: &'a str, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("OUTLAST_AGENT_TEXTFILE", textfile), ("OUTLAST_AGENT_KEEP", "1")];
    all.extend(settings);
    all
}

impl World {
    /// With these keys of the hand-over.
    pub(super) fn new(keys: &str) -> Self {
        let directory = scratch();
        let product = directory.path().join("nbu");
        Self::of(directory, product, keys, &[])
    }

    /// The same, with settings from the environment.
    pub(super) fn with(keys: &str, settings: &[(&str, &str)]) -> Self {
        let directory = scratch();
        let product = directory.path().join("nbu");
        Self::of(directory, product, keys, settings)
    }

    /// Whose product reads elsewhere.
    pub(super) fn at(product: &Path, keys: &str, settings: &[(&str, &str)]) -> Self {
        Self::of(scratch(), product.to_owned(), keys, settings)
    }

    fn of(directory: TempDir, handover: PathBuf, keys: &str, settings: &[(&str, &str)]) -> Self {
        let home = directory.path().join("up");
        let mut first = Up::start(&home);
        first.role.stop();
        let text = format!(
            "\n[[handover]]\nname = \"nbu\"\ndirectory = \"{}\"\n{keys}\n",
            handover.display()
        );
        File::append(&home.join("agent.toml"), &text);
        let textfile = directory.path().join("agent.prom").display().to_string();
        let all = of_agent(&textfile, settings);
        let up = Up::start_with(&home, &all);
        let environment = Environment::system();
        Self { directory, up, product: handover, environment, textfile }
    }

    /// All settings of its `up`, for another start.
    pub(super) fn settings<'a>(
        &'a self,
        settings: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        of_agent(&self.textfile, settings)
    }

    /// What the product reads.
    pub(super) fn product(&self) -> PathBuf {
        self.product.clone()
    }

    /// What is said from now on is said of another hand-over's product, which reads there.
    pub(super) fn turn_to(&mut self, product: &Path) {
        product.clone_into(&mut self.product);
    }

    pub(super) fn place(&self) -> Place {
        Place::of(&self.product())
    }

    /// A drop of random content; its id.
    pub(super) fn drop(&self, workload: &str, bytes: usize, seed: u64) -> String {
        let path = self.directory.path().join(format!("{workload}-{seed}.bin"));
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(&outlast_testing::pseudo_random(seed, bytes)).unwrap();
        self.up.drop(workload, &[&path])
    }

    /// All that is known of drops in the directory.
    pub(super) fn drops(&self) -> Vec<DropStatus> {
        match Overview::read(&self.product()) {
            Ok(overview) => overview.drops(SystemClock.now()),
            Err(_) => Vec::new(),
        }
    }

    pub(super) fn find(&self, drop: &str) -> Option<DropStatus> {
        self.drops().into_iter().find(|it| it.drop == drop)
    }

    /// Waits until a drop has come so far.
    #[track_caller]
    pub(super) fn wait_for(&mut self, drop: &str, state: State) -> DropStatus {
        let mut found = None;
        wait_until(&format!("{drop} is {state:?}"), || {
            assert!(!self.up.role.has_ended(), "up ended early:\n{}", self.up.role.words());
            found = self.find(drop).filter(|it| it.state >= state);
            found.is_some()
        });
        found.unwrap()
    }

    /// The directory of a drop.
    pub(super) fn path(&self, drop: &DropStatus) -> PathBuf {
        self.product().join(&drop.path)
    }

    pub(super) fn begin(&self, job: &JobFacts) -> Lease {
        let length = Duration::from_secs(3600);
        let beginning = Beginning { job: job.clone(), stream: 1, streams: None, length };
        lease::begin(&self.place(), &beginning, &self.environment).unwrap().0
    }

    /// The client has sent its data.
    pub(super) fn end(&self, lease: &Lease, status: i32) {
        let word = Word::Ended { lease: lease.clone(), status };
        inbox::put(&self.place(), &word, &self.environment).unwrap();
        lease::release(&self.place(), &lease.key(), lease.stream).unwrap();
    }

    /// The product's catalogue has been asked.
    pub(super) fn say(&self, job: &JobFacts, outcome: Outcome, holds: Holds) {
        let statement = Statement {
            job: job.clone(),
            began: None,
            ended: Some(SystemClock.now()),
            outcome,
            holds,
            product: Some("NetBackup".to_owned()),
            by: "bplist on agenthost".to_owned(),
        };
        let word = Word::Evidence(Box::new(statement));
        inbox::put(&self.place(), &word, &self.environment).unwrap();
    }

    /// The image of a job is gone.
    pub(super) fn withdraw(&self, job: &JobFacts) {
        let word = Word::Withdrawn { job: job.key(), reason: "the image expired".to_owned() };
        inbox::put(&self.place(), &word, &self.environment).unwrap();
    }

    /// The same, until the share does not say of a drop of `shop` any more that the product has it.
    pub(super) fn withdraw_from_share(&self, job: &JobFacts, drop: &str) {
        self.withdraw(job);
        let receipt = self.up.receipt("shop", drop, "confirmed");
        wait_until("the share does not say so any more", || !receipt.exists());
    }

    /// Whether the share has the vault's signed word that it heard that a product has a drop of `shop`.
    pub(super) fn is_countersigned(&self, drop: &str) -> bool {
        let receipt = fs::read(self.up.receipt("shop", drop, "confirmed")).unwrap_or_default();
        let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap_or_default();
        receipt["handover"]["countersigned"].is_string()
    }

    pub(super) fn wait_until_freed(&self, drop: &str) {
        wait_until("it has left the share and the directory", || {
            self.up.drop_directory("shop", drop).is_none() && self.find(drop).is_none()
        });
        assert!(self.up.receipt("shop", drop, "released").exists());
        assert!(!self.up.receipt("shop", drop, "abandoned").exists());
    }

    /// Long enough for several passes and as many looks of the clerk.
    pub(super) fn several_passes(&self) {
        let before = self.passes();
        wait_until("some passes go by", || self.passes() >= before + 8);
    }

    /// A whole job that ends well and is confirmed.
    pub(super) fn run_job(&self, id: &str) -> JobFacts {
        let job = JobFacts { schedule: Some("daily".to_owned()), ..JobFacts::of_id(id) };
        let lease = self.begin(&job);
        self.end(&lease, 0);
        self.say(&job, Outcome::Well, Holds::Everything);
        job
    }

    /// A job that has the drop at `path` and nothing else.
    pub(super) fn run_job_of(&self, id: &str, path: &str) {
        let job = JobFacts::of_id(id);
        let lease = self.begin(&job);
        self.end(&lease, 0);
        self.say(&job, Outcome::Well, Holds::Listed(self.listed(path)));
    }

    /// How many passes the agent has made over the share since its start.
    pub(super) fn passes(&self) -> u64 {
        let text = fs::read_to_string(&self.textfile).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("outlast_agent_passes_total"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// The files of a drop, as a product lists them.
    pub(super) fn listed(&self, path: &str) -> Vec<FileFact> {
        super::moved::listed(&self.product, path)
    }

    /// The sign of life.
    pub(super) fn heartbeat(&self) -> serde_json::Value {
        let bytes = fs::read(self.product().join("outlast-heartbeat.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Whether a drop's data is on the share.
    pub(super) fn is_on_share(&self, workload: &str, drop: &str) -> bool {
        let directory = self.up.drop_directory(workload, drop);
        directory.is_some_and(|path| path.join("sealed.json").exists())
    }
}

/// Files as people write them.
pub(super) struct File;

impl File {
    pub(super) fn append(path: &Path, text: &str) {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}
