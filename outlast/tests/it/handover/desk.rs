//! A share, and a hand-over whose agent is this test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use outlast_drop::sealing::{ContentKey, Opener, SealedTo};
use outlast_drop::{DropAddress, SealedDrop, Share};
use outlast_handover::inbox::{self, Word};
use outlast_handover::{
    Desk, Holds, JobFacts, Layout, Lease, Offer, Outcome, Place, Rules, Statement, intake, lease,
};
use outlast_types::{DropId, Environment, SystemClock, SystemRandom, WorkloadName};
use tempfile::TempDir;

use crate::harness::{document, outlast, scratch, succeed};

/// Opens nothing.
struct NoKey;

impl Opener for NoKey {
    fn open(&self, _: &SealedTo, _: &str) -> Result<ContentKey, String> {
        Err("there is no key".to_owned())
    }
}

pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) share: Share,
    pub(super) rules: Rules,
    pub(super) desk: Mutex<Desk>,
    environment: Environment,
}

impl World {
    pub(super) fn new(layout: Layout) -> Self {
        let directory = scratch();
        let share = Share::init(&directory.path().join("share"), &SystemClock, &SystemRandom);
        let product = directory.path().join("it's nbu");
        let rules = Rules { layout, ..Rules::new("nbu", product) };
        let environment = Environment::system();
        let desk = Mutex::new(Desk::open(rules.clone(), environment.clone()).unwrap());
        let world = Self { directory, share: share.unwrap(), rules, desk, environment };
        intake::at(&world.desk).is_rebuilt();
        world.show();
        world
    }

    pub(super) fn product(&self) -> &Path {
        &self.rules.directory
    }

    pub(super) fn place(&self) -> Place {
        Place::of(self.product())
    }

    pub(super) fn show(&self) {
        intake::at(&self.desk).show(None).unwrap();
    }

    /// Drops what `tail` says by the real binary, and hands it over.
    pub(super) fn offer(&self, workload: &str, tail: &[&Path]) -> Offer {
        let mut command = outlast();
        command.args(["drop", "--workload", workload, "--share"]).arg(self.share.path());
        let drop: DropId = succeed(command.args(tail)).trim().parse().unwrap();
        let workload = WorkloadName::new(workload).unwrap();
        let address = DropAddress { workload, day: drop.claimed_time().day(), drop };
        let sealed = SealedDrop::open(&self.share, &address).unwrap();
        let copied = intake::copy(&self.desk, &sealed, &|| false).unwrap();
        let offer = intake::offer(&self.desk, &self.share, copied, &NoKey, false).unwrap();
        intake::at(&self.desk).unstage(&offer.key()).unwrap();
        self.show();
        offer
    }

    /// A file of random content.
    pub(super) fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, outlast_testing::pseudo_random(bytes as u64, bytes)).unwrap();
        path
    }

    /// `outlast handover WORD`, for this one.
    pub(super) fn handover(&self, word: &str) -> Command {
        let mut command = outlast();
        for name in ["BACKUPID", "UNIXBACKUPTIME", "STREAM_NUMBER", "STREAM_COUNT"] {
            command.env_remove(name);
        }
        command.args(["handover", word, "--directory"]).arg(self.product());
        command
    }

    pub(super) fn status(&self) -> serde_json::Value {
        document(self.handover("status").arg("--json"))["handovers"][0].clone()
    }

    pub(super) fn leases(&self) -> Vec<Lease> {
        lease::list(&self.place()).unwrap().0.into_values().collect()
    }

    /// What the hooks have said of ends since the last time, as job, stream and status.
    pub(super) fn ends(&self) -> Vec<(Option<String>, u32, i32)> {
        let names = inbox::names(&self.place()).unwrap();
        let words = names.into_iter().map(|path| inbox::read(path).unwrap().unwrap().word);
        let ends = words.filter_map(|word| match word {
            Word::Ended { lease, status } => Some((lease.job.job, lease.stream, status)),
            _ => None,
        });
        let ends = ends.collect();
        intake::at(&self.desk).take_up().unwrap();
        ends
    }

    /// The product's catalogue says that a job has all.
    pub(super) fn confirm(&self, job: &JobFacts) {
        self.say(job, Outcome::Well);
    }

    /// What the product's catalogue says of a job.
    pub(super) fn say(&self, job: &JobFacts, outcome: Outcome) {
        let statement = Statement {
            job: job.clone(),
            began: None,
            ended: None,
            outcome,
            holds: Holds::Everything,
            product: Some("NetBackup".to_owned()),
            by: "a test".to_owned(),
        };
        let word = Word::Evidence(Box::new(statement));
        inbox::put(&self.place(), &word, &self.environment).unwrap();
        intake::at(&self.desk).take_up().unwrap();
    }
}
