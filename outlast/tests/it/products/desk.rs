//! A hand-over with the agent's part done by the test, step by step: what is offered, taken up, cleared out.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use outlast_drop::sealing::{ContentKey, Opener, SealedTo};
use outlast_drop::{Claims, Content, DropWriter, SealedDrop, Share, WriterOptions};
use outlast_handover::status::Overview;
use outlast_handover::{Desk, Layout, Offer, Place, Rules, State, intake};
use outlast_types::{Environment, SystemClock, SystemRandom, WorkloadName};
use tempfile::TempDir;

use crate::harness::outlast;

/// A share, a hand-over and its desk.
pub(crate) struct World {
    pub(crate) temporary: TempDir,
    pub(crate) desk: Mutex<Desk>,
    share: Share,
    rules: Rules,
}

struct NoKey;

impl Opener for NoKey {
    fn open(&self, _: &SealedTo, _: &str) -> Result<ContentKey, String> {
        Err("there is no key".to_owned())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let share = temporary.path().join("share");
        let share = Share::init(&share, &SystemClock, &SystemRandom).unwrap();
        let rules = Rules {
            layout: Layout::Plain,
            lease: Duration::from_secs(600),
            ..Rules::new("product", temporary.path().join("handed"))
        };
        let desk = Mutex::new(Desk::open(rules.clone(), Environment::system()).unwrap());
        let world = Self { temporary, desk, share, rules };
        intake::at(&world.desk).is_rebuilt();
        world.show();
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.rules.directory.clone()
    }

    /// The list and the sign of life, as the agent writes them.
    pub(crate) fn show(&self) {
        intake::at(&self.desk).show(None).unwrap();
    }

    /// What an instance drops, handed over.
    pub(crate) fn drop(&self, workload: &str, content: &[u8]) -> Offer {
        let name = WorkloadName::new(workload).unwrap();
        let (clock, random) = (&SystemClock, &SystemRandom);
        let options = WriterOptions::default();
        let kind = Content::stream("dump.sql").unwrap();
        let made =
            DropWriter::create(&self.share, &name, kind, Claims::default(), options, clock, random);
        let mut writer = made.unwrap();
        writer.write_all(content).unwrap();
        let address = writer.address().clone();
        writer.seal(clock).unwrap();
        let sealed = SealedDrop::open(&self.share, &address).unwrap();
        let copied = intake::copy(&self.desk, &sealed, &|| false).unwrap();
        let offer = intake::offer(&self.desk, &self.share, copied, &NoKey, false).unwrap();
        intake::at(&self.desk).unstage(&offer.key()).unwrap();
        self.show();
        offer
    }

    /// What hooks and confirmers have said, taken up; what may leave, cleared out.
    pub(crate) fn pass(&self) -> Vec<outlast_handover::DropKey> {
        let mut desk = intake::at(&self.desk);
        desk.take_up().unwrap();
        let gone = desk.clear_out().unwrap();
        desk.show(None).unwrap();
        gone
    }

    /// Where a drop is; `None` if it has left.
    pub(crate) fn state(&self, offer: &Offer) -> Option<State> {
        intake::at(&self.desk).ledger().state(&offer.key(), &self.rules)
    }

    /// How many jobs read.
    pub(crate) fn leases(&self) -> usize {
        Overview::read(&self.rules.directory).unwrap().leases.len()
    }

    pub(crate) fn place(&self) -> Place {
        Place::of(&self.rules.directory)
    }

    /// The words of the status, for people.
    pub(crate) fn status(&self) -> String {
        let mut command = outlast();
        command.args(["handover", "status", "--directory"]).arg(self.directory());
        crate::harness::succeed(&mut command)
    }

    /// An agent.toml that names this hand-over, with these lines in `[handover.confirm]`.
    pub(crate) fn config(&self, confirm: &str) -> PathBuf {
        let path = self.path().join("agent.toml");
        let shown = |name: &str| self.path().join(name).display().to_string();
        let text = format!(
            "[agent]\nshare = {:?}\nstate = {:?}\nidentity = {:?}\nupstream = \"https://localhost/\"\n\
             [[handover]]\nname = \"product\"\ndirectory = {:?}\nlayout = \"plain\"\n[handover.confirm]\n{confirm}\n",
            shown("share"),
            shown("state"),
            shown("identity"),
            shown("handed"),
        );
        outlast_fs::durable::replace(&path, text.as_bytes(), 0o600).unwrap();
        path
    }
}

/// All plain files below a directory by their paths in it.
pub(crate) fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let within = path.strip_prefix(directory).unwrap().to_owned();
                found.push((within, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
