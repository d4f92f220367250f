//! Bills of lading that wait for the vault's receipt, in files of their own.
//!
//! Each may be lost: its drop is read again then. So nothing here fails; what cannot be written is
//! kept in memory until the next one.

use std::fs;
use std::path::{Path, PathBuf};

use outlast_drop::{DropAddress, Share};
use outlast_fs::durable;
use outlast_types::{ContentHash, Day, DropId, DropIdentity, ShareId, WorkloadName};
use outlast_wire::api::{BILL_VERSION, BODY_BYTES_MAX, Shipment};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The bills of drops that are loaded and not vaulted.
pub(super) struct Bills {
    directory: PathBuf,
    /// The bill that was kept last, since most are handed in at once.
    last: Option<Shipment>,
}

impl Bills {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, last: None }
    }

    /// Keeps a bill, durably if that can be, and tidies up those of its workload whose drops have
    /// left the share.
    pub(super) fn keep(&mut self, share: &Share, shipment: Shipment) {
        self.tidy(share, &shipment.workload);
        let address = DropAddress {
            workload: shipment.workload.clone(),
            day: shipment.day,
            drop: shipment.drop,
        };
        let path = self.path(&address);
        let written = serde_json::to_vec(&shipment).map_err(Into::into).and_then(|bytes| {
            durable::create_directories(&self.workload(&address.workload), DIRECTORY_MODE)?;
            durable::replace(&path, &bytes, FILE_MODE)
        });
        if let Err(error) = written {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
        self.last = Some(shipment);
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
        let is_meant = |bill: &Shipment| bill.version == BILL_VERSION && bill.identity() == meant;
        if let Some(last) = self.last.as_ref().filter(|bill| is_meant(bill)) {
            return Some(last.clone());
        }
        let bytes = durable::read_bounded(&self.path(address), BODY_BYTES_MAX as u64).ok()?;
        serde_json::from_slice(&bytes).ok().filter(is_meant)
    }

    pub(super) fn remove(&mut self, address: &DropAddress) {
        let is_it = |bill: &Shipment| {
            (&bill.workload, bill.day, bill.drop) == (&address.workload, address.day, address.drop)
        };
        self.last.take_if(|bill| is_it(bill));
        // One that stays does no harm: it is of a drop that is done with.
        let _ = durable::remove_file(&self.path(address));
    }

    /// Removes the bills of drops that have left the share.
    fn tidy(&self, share: &Share, workload: &WorkloadName) {
        let entries = fs::read_dir(self.workload(workload)).into_iter().flatten();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some((day, drop)) = name.to_str().and_then(parse) else { continue };
            let address = DropAddress { workload: workload.clone(), day, drop };
            if let Ok(false) = share.drop_directory(&address).try_exists() {
                let _ = durable::remove_file(&entry.path());
            }
        }
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
