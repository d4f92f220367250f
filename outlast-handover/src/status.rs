//! How a hand-over stands, for people and programs; read from its files, whether an agent runs or not.

use std::path::Path;

use outlast_fs::durable;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::HandoverError;
use crate::inbox;
use crate::journal;
use crate::lease::{self, Lease};
use crate::ledger::{Ledger, State};
use crate::names::{manifest_in, parse_name};
use crate::place::Place;
use crate::rules::Rules;
use crate::words;

const RULES_BYTES_MAX: u64 = 1 << 20;

/// A hand-over as it lies there.
pub struct Overview {
    pub rules: Rules,
    pub ledger: Ledger,
    pub leases: Vec<Lease>,
    /// Words that the agent has not taken up.
    pub waiting: usize,
    /// What the agent said last of itself.
    pub heartbeat: Option<Heartbeat>,
}

/// The part of the sign of life that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub at: Timestamp,
    pub state: String,
    #[serde(default)]
    pub trouble: Option<String>,
    /// How many drops there were.
    #[serde(default)]
    pub drops: u64,
}

/// The last sign of life, if there is one that can be read.
pub fn heartbeat(place: &Place) -> Option<Heartbeat> {
    let path = place.directory().join(crate::names::HEARTBEAT_FILE);
    serde_json::from_slice(&durable::read_bounded(&path, RULES_BYTES_MAX).ok()?).ok()
}

/// One drop in a status.
#[derive(Debug, Clone, Serialize)]
pub struct DropStatus {
    pub workload: String,
    pub drop: String,
    pub state: State,
    pub path: String,
    pub appeared: Timestamp,
    pub bytes: u64,
    pub files: u32,
    /// How many of its files lie in jobs that count.
    pub held: u64,
    /// The schedules and types of the jobs that have all of it.
    pub schedules: Vec<String>,
    /// Why it is still here.
    pub why: String,
}

/// The rules of the hand-over at a place, as its agent wrote them.
pub fn rules(place: &Place) -> Result<Rules, HandoverError> {
    #[derive(Deserialize)]
    struct File {
        version: u64,
        rules: Rules,
    }
    let path = place.rules();
    let bytes = match durable::read_bounded(&path, RULES_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(HandoverError::NotOne { path: place.directory().to_owned() });
        }
        Err(error) => return Err(HandoverError::io("read", &path)(error)),
    };
    let form = |error: serde_json::Error| HandoverError::Form {
        path: path.clone(),
        reason: error.to_string(),
    };
    let File { version, rules } = serde_json::from_slice(&bytes).map_err(form)?;
    if version > 1 {
        return Err(HandoverError::Newer { path, version });
    }
    Ok(rules)
}

/// Whether any drop lies in the directory, whatever its list says.
pub fn holds_a_drop(place: &Place) -> bool {
    let entries = |path: &Path| path.read_dir().into_iter().flatten().flatten();
    let is_drop =
        |name: std::ffi::OsString| name.to_str().is_some_and(|it| parse_name(it).is_some());
    let mut of_workloads =
        entries(place.directory()).flat_map(|workload| entries(&workload.path()));
    of_workloads.any(|drop| is_drop(drop.file_name()) && manifest_in(&drop.path()).is_file())
}

impl Overview {
    /// Reads all that is known.
    pub fn read(directory: &Path) -> Result<Self, HandoverError> {
        let place = Place::of(directory);
        let rules = rules(&place)?;
        let ledger = journal::read(&place.journal())?.unwrap_or_default();
        let leases = lease::list(&place)?.0.into_values().collect();
        let waiting = inbox::names(&place)?.len();
        let heartbeat = heartbeat(&place);
        Ok(Self { rules, ledger, leases, waiting, heartbeat })
    }

    /// All drops, the oldest of each workload first.
    pub fn drops(&self, now: Timestamp) -> Vec<DropStatus> {
        let states = self.ledger.states(&self.rules);
        let told = states.into_iter().map(|(tracked, state)| {
            let offer = &tracked.offer;
            let held = self.ledger.held_where(tracked, |_| true).count();
            DropStatus {
                workload: offer.workload.to_string(),
                drop: offer.drop.to_string(),
                state,
                path: offer.path.clone(),
                appeared: offer.appeared,
                bytes: offer.bytes,
                files: offer.files,
                held,
                schedules: words::schedules(&self.ledger, tracked),
                why: words::why(&self.ledger, &self.rules, tracked, state, &self.leases, now),
            }
        });
        told.collect()
    }

    /// How many drops are in each state.
    pub fn counts(&self) -> [(State, usize); 4] {
        let states = [State::Offered, State::Read, State::Confirmed, State::Releasable];
        let all = self.ledger.states(&self.rules);
        states.map(|state| (state, all.iter().filter(|(_, it)| *it == state).count()))
    }
}
