//! What came of each shipment, what was forwarded since included: for the receipts that say so.
//!
//! A line of it is written for each object, and not synced: what is lost of it is in the spool still, or
//! makes a receipt say less than it could. No receipt of ours lets anything go.

use std::collections::{BTreeMap, HashSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_spool::{Spool, Usage};
use outlast_types::WorkloadName;

use crate::error::MediaError;
use crate::files::Documents;
use crate::words::Shipment;

/// Of a name, and of a size in bytes.
const LINE_BYTES: usize = 16 + 8;
/// A million and more objects.
const BYTES_MAX: u64 = 64 << 20;
/// Shipments of which the sum is in memory.
const LOADED_MAX: usize = 64;

/// The part of a name by which objects are told apart here.
type Short = [u8; 16];

/// The tallies of shipments.
pub(crate) struct Tallies {
    documents: Documents,
    loaded: Mutex<BTreeMap<Shipment, Tally>>,
}

#[derive(Default)]
struct Tally {
    names: HashSet<Short>,
    bytes: u64,
}

impl Tally {
    /// Counts an object once; whether it is new.
    fn add(&mut self, name: Short, size: u64) -> bool {
        let is_new = self.names.insert(name);
        if is_new {
            self.bytes = self.bytes.saturating_add(size);
        }
        is_new
    }
}

impl Tallies {
    pub(crate) fn open(directory: &Path) -> Result<Self, MediaError> {
        let documents = Documents::open(directory.join("taken"), BYTES_MAX)?;
        Ok(Self { documents, loaded: Mutex::default() })
    }

    /// An object of this name and size came for a shipment.
    pub(crate) fn took(&self, spool: &Spool, shipment: &Shipment, name: [u8; 32], size: u64) {
        let mut loaded = self.lock();
        let tally = self.load(&mut loaded, spool, shipment);
        let short = short(&name);
        if !tally.add(short, size) {
            return;
        }
        let path = self.documents.path(&file_of(shipment).each());
        let line = [&short[..], &size.to_be_bytes()].concat();
        let file = OpenOptions::new().append(true).create(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(&line)) {
            tracing::warn!(path = %path.display(), %error, "cannot note what came");
        }
    }

    /// What came of a shipment, each object once.
    pub(crate) fn of(&self, spool: &Spool, shipment: &Shipment) -> Usage {
        let mut loaded = self.lock();
        let tally = self.load(&mut loaded, spool, shipment);
        Usage { items: tally.names.len() as u64, bytes: tally.bytes }
    }

    /// The shipment is over.
    pub(crate) fn forget(&self, shipment: &Shipment) {
        self.lock().remove(shipment);
        if let Err(error) = self.documents.remove(&file_of(shipment).each()) {
            tracing::warn!(%error, "cannot remove what was noted of a shipment");
        }
    }

    /// Lets go of what is kept of shipments that are over.
    pub(crate) fn tidy(
        &self,
        is_over: impl Fn(&Shipment, &Path) -> bool,
    ) -> Result<(), MediaError> {
        for name in self.documents.names()? {
            let [workload, drop] = &name[..] else { continue };
            let shipment = WorkloadName::new(workload).ok().zip(drop.parse().ok());
            let Some(shipment) = shipment else { continue };
            if is_over(&shipment, &self.documents.path(&[workload, drop])) {
                self.forget(&shipment);
            }
        }
        Ok(())
    }

    /// The tally of a shipment, of what was noted and of what is in the spool.
    fn load<'a>(
        &self,
        loaded: &'a mut BTreeMap<Shipment, Tally>,
        spool: &Spool,
        shipment: &Shipment,
    ) -> &'a mut Tally {
        if !loaded.contains_key(shipment) {
            if loaded.len() >= LOADED_MAX {
                // Any: it is read again when it is asked for.
                loaded.pop_first();
            }
            let mut tally = Tally::default();
            let noted = self.documents.read(&file_of(shipment).each());
            let noted = noted.inspect_err(|error| tracing::warn!(%error, "cannot read a tally"));
            // The last line of a writer that was killed may be torn.
            for line in noted.ok().flatten().unwrap_or_default().chunks_exact(LINE_BYTES) {
                let (name, size) = line.split_at(16);
                if let (Ok(name), Ok(size)) = (name.try_into(), size.try_into()) {
                    tally.add(name, u64::from_be_bytes(size));
                }
            }
            for item in spool.of_shipment(&shipment.0, Some(shipment.1)) {
                tally.add(short(&item.key.what.hash()), item.size);
            }
            loaded.insert(shipment.clone(), tally);
        }
        loaded.entry(shipment.clone()).or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Shipment, Tally>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct FileName(String, String);

impl FileName {
    fn each(&self) -> [&str; 2] {
        [&self.0, &self.1]
    }
}

fn file_of((workload, drop): &Shipment) -> FileName {
    FileName(workload.to_string(), drop.to_string())
}

fn short(name: &[u8; 32]) -> Short {
    let mut short = [0; 16];
    short.copy_from_slice(&name[..16]);
    short
}

#[cfg(test)]
mod tests {
    use outlast_spool::{Key, Room, What};
    use outlast_types::{DropId, Environment, PackId};

    use super::*;

    #[test]
    fn each_object_counts_once_whether_it_waits_or_went_on_and_whatever_was_lost() {
        let directory = tempfile::tempdir().unwrap();
        let room = Room { total: 1 << 30, each: 1 << 30 };
        let spool = Spool::open(directory.path(), room, Environment::system()).unwrap();
        let drop: DropId = "019c1234-5678-7abc-8def-0123456789ab".parse().unwrap();
        let shipment: Shipment = ("shop-db".parse().unwrap(), drop);
        let content = b"a pack";
        let name = outlast_format::sha256(content);
        let key = Key { workload: shipment.0.clone(), what: What::Pack(PackId(name)) };
        let mut incoming = spool.begin(key, Some(drop)).unwrap().unwrap();
        incoming.take(content).unwrap();
        incoming.store(name).unwrap();
        let open = || Tallies::open(directory.path()).unwrap();
        // Its line was lost: it waits in the spool.
        assert_eq!(open().of(&spool, &shipment), Usage { items: 1, bytes: 6 });
        let tallies = open();
        tallies.took(&spool, &shipment, name, 6);
        tallies.took(&spool, &shipment, [9; 32], 10);
        tallies.took(&spool, &shipment, [9; 32], 10);
        spool.of_shipment(&shipment.0, Some(drop)).iter().for_each(|it| spool.remove(it).unwrap());
        let path = directory.path().join("taken").join(format!("shop-db~{drop}"));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"torn").unwrap();
        let all = Usage { items: 1, bytes: 10 };
        assert_eq!(open().of(&spool, &shipment), all, "the first was not noted, and has gone");
        open().forget(&shipment);
        assert_eq!(open().of(&spool, &shipment), Usage::default());
    }
}
