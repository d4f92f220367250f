//! When each drop that waits was seen first, over restarts.
//!
//! The vault takes it for the moment that the drop brings back, as far as it believes it. What is lost here is
//! no loss: the drop was first seen after the restart then, and is younger than it could be.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use outlast_drop::DropAddress;
use outlast_fs::durable;
use outlast_types::{Day, DropId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

const FILE: &str = "first-seen.json";
const FILE_MODE: u32 = 0o600;
const VERSION: u32 = 1;
const BYTES_MAX: u64 = 16 << 20;
/// The drops that are remembered: more than wait in a month of many workloads.
const REMEMBERED_MAX: usize = 50_000;

/// The file, and what it says.
#[derive(Debug)]
pub(crate) struct Sights {
    path: PathBuf,
    written: BTreeMap<DropAddress, Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct FileJson {
    version: u32,
    drops: Vec<SeenJson>,
}

#[derive(Serialize, Deserialize)]
struct SeenJson {
    workload: WorkloadName,
    day: Day,
    drop: DropId,
    since: Timestamp,
}

impl Sights {
    /// What an earlier run remembered. What cannot be read is nothing.
    pub(crate) fn open(state: &Path) -> Self {
        let path = state.join(FILE);
        let content = durable::read_bounded(&path, BYTES_MAX).ok();
        let form = content.and_then(|content| serde_json::from_slice::<FileJson>(&content).ok());
        let drops = form.filter(|form| form.version == VERSION).map(|form| form.drops);
        let seen =
            |SeenJson { workload, day, drop, since }| (DropAddress { workload, day, drop }, since);
        let written = drops.unwrap_or_default().into_iter().map(seen).collect();
        Self { path, written }
    }

    /// What is remembered.
    pub(crate) fn known(&self) -> BTreeMap<DropAddress, Timestamp> {
        self.written.clone()
    }

    /// Remembers what waits now, if that has changed.
    pub(crate) fn keep(&mut self, waiting: &BTreeMap<DropAddress, Timestamp>) {
        if self.written == *waiting {
            return;
        }
        if let Err(error) = self.write(waiting) {
            tracing::debug!(%error, "when drops were first seen is not remembered");
            return;
        }
        self.written.clone_from(waiting);
    }

    fn write(&self, waiting: &BTreeMap<DropAddress, Timestamp>) -> io::Result<()> {
        let seen = |(address, since): (&DropAddress, &Timestamp)| {
            let DropAddress { workload, day, drop } = address.clone();
            SeenJson { workload, day, drop, since: *since }
        };
        let drops = waiting.iter().take(REMEMBERED_MAX).map(seen).collect();
        let content = serde_json::to_vec(&FileJson { version: VERSION, drops })?;
        durable::replace(&self.path, &content, FILE_MODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_remembered_over_a_restart_and_rubbish_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut sights = Sights::open(directory.path());
        assert!(sights.known().is_empty());
        let address = DropAddress {
            workload: WorkloadName::new("shop-db").unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952501".parse().unwrap(),
        };
        let waiting = BTreeMap::from([(address, Timestamp::EPOCH)]);
        sights.keep(&waiting);
        assert_eq!(Sights::open(directory.path()).known(), waiting);
        let file = directory.path().join(FILE);
        durable::replace(&file, b"{", FILE_MODE).unwrap();
        sights.keep(&waiting);
        assert!(Sights::open(directory.path()).known().is_empty(), "nothing has changed");
    }
}
