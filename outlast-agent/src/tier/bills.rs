//! Bills of lading that wait for the vault's receipt, in files of their own.
//!
//! Each may be lost: its drop is read again then. So nothing here fails; what cannot be written is
//! kept in memory until the next one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_drop::{DropAddress, Share};
use outlast_fs::durable;
use outlast_types::{ContentHash, Day, DropId, DropIdentity, ShareId, WorkloadName};
use outlast_wire::api::{BILL_VERSION, BILL_VERSION_COUNTED, BODY_BYTES_MAX, Shipment};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Workloads of which the bill that was kept last is in memory: as many as are under way at once, and more.
const LAST_MAX: usize = 32;

/// The bills of drops that are loaded and not vaulted.
pub(super) struct Bills {
    directory: PathBuf,
    /// The bill of each workload that was kept last, since most are handed in at once, and since the disk
    /// may not take it.
    last: Mutex<BTreeMap<WorkloadName, Shipment>>,
}

impl Bills {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, BTreeMap<WorkloadName, Shipment>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a bill, durably if that can be.
    pub(super) fn keep(&self, shipment: Shipment) {
        let address = DropAddress {
            workload: shipment.workload.clone(),
            day: shipment.day,
            drop: shipment.drop,
        };
        let path = self.path(&address);
        let written = serde_json::to_vec(&shipment).map_err(Into::into).and_then(|bytes| {
            let workload = self.workload(&address.workload);
            // What is lost with it is read again.
            if !workload.is_dir() {
                durable::create_directories(&workload, DIRECTORY_MODE)?;
            }
            durable::replace(&path, &bytes, FILE_MODE)
        });
        if let Err(error) = written {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
        let mut last = self.last();
        if last.len() >= LAST_MAX && !last.contains_key(&shipment.workload) {
            last.pop_first();
        }
        last.insert(shipment.workload.clone(), shipment);
    }

    /// The bill of the drop with this seal.
    pub(super) fn get(
        &self,
        share: ShareId,
        address: &DropAddress,
        seal: ContentHash,
    ) -> Option<Shipment> {
        let DropAddress { workload, day, drop } = address.clone();
        let meant = DropIdentity { share, workload, day, drop, seal };
        let is_known = |version: u32| matches!(version, BILL_VERSION | BILL_VERSION_COUNTED);
        let is_meant = |bill: &Shipment| is_known(bill.version) && bill.identity() == meant;
        let last = self.last().get(&address.workload).filter(|bill| is_meant(bill)).cloned();
        if last.is_some() {
            return last;
        }
        let bytes = durable::read_bounded(&self.path(address), BODY_BYTES_MAX as u64).ok()?;
        serde_json::from_slice(&bytes).ok().filter(is_meant)
    }

    pub(super) fn remove(&self, address: &DropAddress) {
        let is_it = |bill: &Shipment| {
            (&bill.workload, bill.day, bill.drop) == (&address.workload, address.day, address.drop)
        };
        let mut last = self.last();
        if last.get(&address.workload).is_some_and(is_it) {
            last.remove(&address.workload);
        }
        drop(last);
        // One that stays does no harm: it is of a drop that is done with.
        let _ = durable::remove_file(&self.path(address));
    }

    /// Whether there is a bill of this drop, of whatever seal.
    pub(super) fn has(&self, address: &DropAddress) -> bool {
        self.path(address).exists()
    }

    /// The drops of a workload that have left the share and have bills.
    pub(super) fn gone(&self, share: &Share, workload: &WorkloadName) -> Vec<DropAddress> {
        let entries = fs::read_dir(self.workload(workload)).into_iter().flatten();
        let address = |entry: fs::DirEntry| {
            let (day, drop) = parse(entry.file_name().to_str()?)?;
            Some(DropAddress { workload: workload.clone(), day, drop })
        };
        let has_gone =
            |address: &DropAddress| matches!(share.drop_directory(address).try_exists(), Ok(false));
        entries.flatten().filter_map(address).filter(has_gone).collect()
    }

    fn workload(&self, workload: &WorkloadName) -> PathBuf {
        self.directory.join(workload.as_str())
    }

    fn path(&self, address: &DropAddress) -> PathBuf {
        let name = format!("{}.{}.json", address.day, address.drop);
        self.workload(&address.workload).join(Path::new(&name))
    }
}

/// The day and id in the name of a bill's file.
fn parse(name: &str) -> Option<(Day, DropId)> {
    let (day, drop) = name.strip_suffix(".json")?.split_once('.')?;
    Some((day.parse().ok()?, drop.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use outlast_types::{SystemClock, SystemRandom, Timestamp};
    use outlast_wire::api::Base64;

    use super::*;

    fn address(number: u8) -> DropAddress {
        DropAddress {
            workload: WorkloadName::new("shop").unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
        }
    }

    fn bill(share: ShareId, number: u8) -> Shipment {
        let DropAddress { workload, day, drop } = address(number);
        Shipment {
            version: BILL_VERSION,
            share,
            workload,
            day,
            drop,
            seal: ContentHash([number; 32]),
            size: 9,
            tree: "01".repeat(32).parse().unwrap(),
            snapshot_id: "02".repeat(32).parse().unwrap(),
            snapshot: Base64(vec![1, 2, 3]),
            objects: Vec::new(),
            claims: serde_json::Value::Null,
            packs: None,
            sanity: None,
            sanity_rule: None,
            first_seen: None,
            other: BTreeMap::new(),
            called: None,
        }
    }

    /// A share, and where bills are kept.
    fn world() -> (tempfile::TempDir, Share, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let share = directory.path().join("share");
        let share = Share::init(&share, &SystemClock, &SystemRandom).unwrap();
        for number in [1, 2] {
            fs::create_dir_all(share.drop_directory(&address(number))).unwrap();
        }
        let bills = directory.path().join("bills");
        (directory, share, bills)
    }

    #[test]
    fn a_bill_is_found_after_a_restart_for_the_seal_that_it_was_made_for() {
        let (_directory, share, path) = world();
        let bills = Bills::new(path.clone());
        for number in [1, 2] {
            bills.keep(bill(share.id(), number));
        }
        for bills in [bills, Bills::new(path.clone())] {
            for number in [1, 2] {
                let get = |share, seal| bills.get(share, &address(number), ContentHash([seal; 32]));
                let found = get(share.id(), number).unwrap();
                assert_eq!(found.identity(), bill(share.id(), number).identity());
                assert!(get(share.id(), 9).is_none(), "another seal");
                assert!(get(ShareId::new(&SystemRandom), number).is_none(), "another share");
            }
        }
        let bills = Bills::new(path);
        bills.remove(&address(1));
        assert!(bills.get(share.id(), &address(1), ContentHash([1; 32])).is_none());
        assert!(bills.get(share.id(), &address(2), ContentHash([2; 32])).is_some());
    }

    #[test]
    fn a_bill_that_is_damaged_or_of_another_version_counts_as_lost() {
        let (_directory, share, path) = world();
        let bills = Bills::new(path.clone());
        let seal = ContentHash([1; 32]);
        bills.keep(Shipment { version: BILL_VERSION_COUNTED + 1, ..bill(share.id(), 1) });
        assert!(bills.get(share.id(), &address(1), seal).is_none());
        assert!(Bills::new(path.clone()).get(share.id(), &address(1), seal).is_none());
        bills.keep(bill(share.id(), 1));
        durable::replace(&bills.path(&address(1)), b"{}", FILE_MODE).unwrap();
        assert!(Bills::new(path).get(share.id(), &address(1), seal).is_none());
        assert!(bills.get(share.id(), &address(1), seal).is_some(), "it is in memory, too");
        bills.remove(&address(2));
        assert!(bills.get(share.id(), &address(1), seal).is_some());
        bills.remove(&address(1));
        assert!(bills.get(share.id(), &address(1), seal).is_none());
    }

    #[test]
    fn drops_with_bills_that_have_left_the_share_are_found_and_what_is_no_bill_is_none() {
        let (_directory, share, path) = world();
        let bills = Bills::new(path);
        bills.keep(bill(share.id(), 1));
        bills.keep(bill(share.id(), 2));
        let foreign = bills.path(&address(3)).with_file_name("notes.json");
        durable::replace(&foreign, b"{}", FILE_MODE).unwrap();
        let workload = address(1).workload;
        assert!(bills.gone(&share, &workload).is_empty());
        bills.keep(bill(share.id(), 3));
        assert_eq!(bills.gone(&share, &workload), [address(3)]);
        assert!(bills.has(&address(3)) && !bills.has(&address(4)));
        bills.remove(&address(3));
        assert!(bills.gone(&share, &workload).is_empty() && foreign.exists());
    }
}
