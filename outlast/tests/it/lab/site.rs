//! A lab with a host that runs vault and agent, and application hosts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outlast_testing::lab::{Guest, Job, Lab, Mount, Outcome, Server, obstacle};
use serde_json::Value;

use crate::harness::scratch;

/// How long a single thing may take: kernels boot on a busy machine, and servers have their grace.
const PATIENCE: Duration = Duration::from_secs(180);
/// A keeper's settings: everything soon.
const SETTINGS: &str = "OUTLAST_AGENT_POLL=500ms OUTLAST_AGENT_KEEP=0 OUTLAST_AGENT_GRACE=12s \
                        OUTLAST_AGENT_REPORT=2s OUTLAST_AGENT_PATIENCE=90s";

/// Which of the file servers, and with which caches.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Nfs,
    Squashed,
    Smb,
}

impl Kind {
    pub(crate) fn mount(&self, options: &str) -> Mount {
        match self {
            Self::Nfs => Mount::nfs(options),
            Self::Squashed => Mount::squashed(options),
            Self::Smb => Mount::smb(options),
        }
    }

    pub(crate) fn server(&self) -> Server {
        match self {
            Self::Nfs | Self::Squashed => Server::Nfs,
            Self::Smb => Server::Smb,
        }
    }

    pub(crate) fn point(&self) -> &'static str {
        match self {
            Self::Nfs | Self::Squashed => "/mnt/nfs",
            Self::Smb => "/mnt/smb",
        }
    }
}

/// A lab at work.
pub(crate) struct Site {
    // The hosts first: they go before their network.
    keeper: Keeper,
    pub(crate) lab: Lab,
    pub(crate) kind: Kind,
    _directory: tempfile::TempDir,
}

/// The host with vault and agent.
struct Keeper {
    guest: Guest,
    options: String,
    up: Job,
}

/// An application host.
pub(crate) struct App {
    pub(crate) guest: Guest,
    pub(crate) name: String,
    point: &'static str,
}

impl Site {
    /// Starts servers, and the keeper with more mount options; `None`, with a line that says so, where
    /// there can be no lab.
    pub(crate) fn up(kind: Kind, options: &str) -> Option<Self> {
        if let Some(obstacle) = obstacle() {
            println!("SKIPPED, REAL NFS AND SMB ARE NOT TESTED: {obstacle}");
            return None;
        }
        let directory = scratch();
        let lab = Lab::up(directory.path()).unwrap();
        let mut guest = lab.boot(1, &[kind.mount(options)]).unwrap();
        let outlast = env!("CARGO_BIN_EXE_outlast");
        succeed(&mut guest, &format!("{outlast} share init {}", kind.point()));
        let up = start_up(&mut guest, kind.point());
        let keeper = Keeper { guest, options: options.to_owned(), up };
        let mut site = Self { keeper, lab, kind, _directory: directory };
        site.wait_until_up();
        Some(site)
    }

    fn wait_until_up(&mut self) {
        let words = succeed(
            &mut self.keeper.guest,
            "for n in $(seq 900); do [ -e /run/ready ] && exit 0; sleep 0.1; done; echo not up",
        );
        assert!(words.is_empty(), "{words}: {}", self.words());
    }

    /// All that vault and agent have said since the keeper was booted.
    pub(crate) fn words(&self) -> String {
        self.keeper.guest.words(&self.keeper.up)
    }

    /// Takes the keeper's power away, and boots it again.
    pub(crate) fn power_cycle(&mut self) {
        self.keeper.guest.kill();
        let mount = self.kind.mount(&self.keeper.options);
        self.keeper.guest = self.lab.boot(1, &[mount]).unwrap();
        self.keeper.up = start_up(&mut self.keeper.guest, self.kind.point());
        self.wait_until_up();
    }

    /// Runs a script on the keeper, which must succeed.
    #[track_caller]
    pub(crate) fn keeper(&mut self, script: &str) -> String {
        succeed(&mut self.keeper.guest, script)
    }

    /// `outlast WORDS… --dir …` on the keeper, with what it prints read as JSON.
    #[track_caller]
    pub(crate) fn ask(&mut self, words: &str) -> Value {
        let outlast = env!("CARGO_BIN_EXE_outlast");
        let said = self.keeper(&format!("{outlast} {words} --dir /mnt/disk/up --json"));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Boots an application host with more mount options.
    pub(crate) fn app(&self, number: u8, name: &str, options: &str) -> App {
        let guest = self.lab.boot(number, &[self.kind.mount(options)]).unwrap();
        App { guest, name: name.to_owned(), point: self.kind.point() }
    }

    /// The share as the server has it.
    pub(crate) fn side(&self) -> PathBuf {
        match self.kind {
            Kind::Nfs => self.lab.nfs_side(),
            Kind::Squashed => self.lab.squashed_side(),
            Kind::Smb => self.lab.smb_side(),
        }
    }

    /// Waits until the server has a receipt of this state.
    #[track_caller]
    pub(crate) fn wait_for(&self, workload: &str, drop: &str, state: &str) {
        let receipts = self.side().join("w").join(workload).join("receipts");
        let path = receipts.join(format!("{drop}.{state}.json"));
        self.wait_until(&format!("{drop} of {workload} is {state}"), || {
            fs::metadata(&path).is_ok_and(|facts| facts.len() > 0)
        });
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            if began.elapsed() > PATIENCE {
                panic!("never: {what}\n{}", self.words());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The directories of all drops of a workload that the server has.
    pub(crate) fn drops(&self, workload: &str) -> Vec<PathBuf> {
        let days = entries(&self.side().join("w").join(workload).join("drops"));
        days.iter().flat_map(|day| entries(day)).collect()
    }

    /// No drop was condemned, and no team was called.
    #[track_caller]
    pub(crate) fn nobody_is_blamed(&mut self) {
        for workload in entries(&self.side().join("w")) {
            for receipt in entries(&workload.join("receipts")) {
                let name = receipt.to_string_lossy().into_owned();
                assert!(!name.contains(".rejected."), "{name}: {}", self.words());
            }
        }
        let listed = self.ask("workload list");
        assert_eq!(listed["incidents"], serde_json::json!([]), "{}", self.words());
    }

    /// What a manifest of `path` in the newest snapshot of a workload is.
    #[track_caller]
    pub(crate) fn restored(&mut self, workload: &str, path: &str) -> String {
        let outlast = env!("CARGO_BIN_EXE_outlast");
        self.keeper(&format!(
            "set -e
            into=$(mktemp -d /mnt/disk/restored.XXXXXX)
            {outlast} restore {workload} --privileged --dir /mnt/disk/up --into $into > /dev/null
            cd $into/{path}; {MANIFEST}"
        ))
    }
}

/// Prints all that a restore must bring back of what is in the directory.
pub(crate) const MANIFEST: &str = "find . -printf '%y %m %U %G %l %P\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum";

fn start_up(guest: &mut Guest, point: &str) -> Job {
    let outlast = env!("CARGO_BIN_EXE_outlast");
    let script = format!(
        "{SETTINGS} exec {outlast} up --dir /mnt/disk/up --share {point} --listen 127.0.0.1:8443 \
         --ready-file /run/ready"
    );
    guest.start(&script).unwrap()
}

impl App {
    /// The beginning of a drop's command line.
    pub(crate) fn drop_command(&self, workload: &str) -> String {
        let (outlast, point, name) = (env!("CARGO_BIN_EXE_outlast"), self.point, &self.name);
        format!("{outlast} drop -q --share {point} --workload {workload} --instance {name}")
    }

    /// Begins a script.
    pub(crate) fn start(&mut self, script: &str) -> Job {
        self.guest.start(script).unwrap()
    }

    /// How a script ended.
    #[track_caller]
    pub(crate) fn end(&mut self, job: &Job) -> Outcome {
        self.guest.wait(job, PATIENCE).unwrap()
    }

    /// What a script that must succeed printed.
    #[track_caller]
    pub(crate) fn success(&mut self, job: &Job) -> String {
        let outcome = self.end(job);
        assert_eq!(outcome.code, 0, "{}: {}", self.name, outcome.words);
        outcome.words
    }

    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) -> String {
        succeed(&mut self.guest, script)
    }
}

#[track_caller]
fn succeed(guest: &mut Guest, script: &str) -> String {
    let outcome = guest.run(script, PATIENCE).unwrap();
    assert_eq!(outcome.code, 0, "{script}\n{}", outcome.words);
    outcome.words
}

pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory).into_iter().flatten();
    listed.flatten().map(|entry| entry.path()).collect()
}
