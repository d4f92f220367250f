//! What the tests share.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use outlast_drop::sealing::{ContentKey, Opener, SealedTo};
use outlast_drop::{Claims, Content, DropAddress, DropWriter, SealedDrop, Share, WriterOptions};
use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::{
    Desk, HandoverError, Holds, JobFacts, Layout, Lease, Offer, Outcome, Place, Rules, Statement,
    intake,
};
use outlast_types::{Environment, SystemClock, SystemRandom, WorkloadName};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// A share, and a hand-over beside it.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) share: Share,
    pub(crate) rules: Rules,
    pub(crate) environment: Environment,
}

/// Opens nothing.
pub(crate) struct NoKey;

impl Opener for NoKey {
    fn open(&self, _: &SealedTo, _: &str) -> Result<ContentKey, String> {
        Err("there is no key".to_owned())
    }
}

impl World {
    pub(crate) fn new(layout: Layout) -> Self {
        Self::within(layout, tempfile::tempdir().unwrap())
    }

    /// The same in memory, where there is room: for thousands of steps that each wait for a disk.
    pub(crate) fn quick(layout: Layout) -> Self {
        let memory = tempfile::tempdir_in("/dev/shm");
        Self::within(layout, memory.unwrap_or_else(|_| tempfile::tempdir().unwrap()))
    }

    fn within(layout: Layout, directory: TempDir) -> Self {
        let share = directory.path().join("share");
        let share = Share::init(&share, &SystemClock, &SystemRandom).unwrap();
        let rules = Rules { layout, ..Rules::new("nbu", directory.path().join("nbu")) };
        Self { directory, share, rules, environment: Environment::system() }
    }

    /// The desk. A child of another test has the lock of one that was dropped until it runs its program.
    pub(crate) fn desk(&self) -> Mutex<Desk> {
        let began = Instant::now();
        loop {
            match Desk::open(self.rules.clone(), self.environment.clone()) {
                Err(HandoverError::Running { .. }) if began.elapsed() < PATIENCE => {
                    std::thread::yield_now();
                }
                opened => return Mutex::new(opened.unwrap()),
            }
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::of(&self.rules.directory)
    }

    pub(crate) fn path(&self, offer: &Offer) -> PathBuf {
        self.rules.directory.join(&offer.path)
    }

    /// A sealed stream on the share.
    pub(crate) fn stream(&self, workload: &str, content: &[u8]) -> DropAddress {
        self.drop(workload, Content::stream("shop.sql").unwrap(), content, None)
    }

    pub(crate) fn drop(
        &self,
        workload: &str,
        kind: Content,
        content: &[u8],
        compression: Option<i32>,
    ) -> DropAddress {
        let workload = WorkloadName::new(workload).unwrap();
        let options = WriterOptions {
            segment_bytes: 100_000,
            compression,
            beat_interval: Duration::from_secs(60),
            ..WriterOptions::default()
        };
        let (clock, random) = (&SystemClock, &SystemRandom);
        let claims = Claims::default();
        let made = DropWriter::create(&self.share, &workload, kind, claims, options, clock, random);
        let mut writer = made.unwrap();
        writer.write_all(content).unwrap();
        let address = writer.address().clone();
        writer.seal(&SystemClock).unwrap();
        address
    }

    /// Hands a drop over.
    pub(crate) fn offer(
        &self,
        desk: &Mutex<Desk>,
        address: &DropAddress,
    ) -> Result<Offer, HandoverError> {
        let sealed = SealedDrop::open(&self.share, address).unwrap();
        let copied = intake::copy(desk, &sealed, &|| false)?;
        let offer = intake::offer(desk, &self.share, copied, &NoKey, false)?;
        intake::at(desk).unstage(&offer.key())?;
        Ok(offer)
    }

    pub(crate) fn begin(&self, job: &JobFacts, length: Duration) -> Lease {
        let beginning = Beginning { job: job.clone(), stream: 1, streams: None, length };
        lease::begin(&self.place(), &beginning, &self.environment).unwrap().0
    }

    pub(crate) fn end(&self, lease: Lease, status: i32) {
        let (job, stream) = (lease.key(), lease.stream);
        inbox::put(&self.place(), &Word::Ended { lease, status }, &self.environment).unwrap();
        assert!(lease::release(&self.place(), &job, stream).unwrap());
    }

    pub(crate) fn confirm(&self, job: &JobFacts, outcome: Outcome, holds: Holds) {
        let by = "operator alice".to_owned();
        let (job, product) = (job.clone(), Some("NetBackup".to_owned()));
        let statement = Statement { job, began: None, ended: None, outcome, holds, product, by };
        let word = Word::Evidence(Box::new(statement));
        inbox::put(&self.place(), &word, &self.environment).unwrap();
    }

    /// A whole job that ends well, and is confirmed.
    pub(crate) fn run_job(&self, desk: &Mutex<Desk>, id: &str) {
        let job = JobFacts { schedule: Some("daily".to_owned()), ..JobFacts::of_id(id) };
        let lease = self.begin(&job, Duration::from_secs(60));
        self.end(lease, 0);
        self.confirm(&job, Outcome::Well, Holds::Everything);
        intake::at(desk).take_up().unwrap();
    }
}

/// All files below a directory with what is in them.
pub(crate) fn contents(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}
