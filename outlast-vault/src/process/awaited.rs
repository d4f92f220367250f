//! What is on its way to a repository, for whoever prunes it beside a vault or without one.

use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::durable;
use outlast_types::Timestamp;

use crate::core::shipments::{BESIDE_REPOSITORIES, RECORD_BYTES_MAX, since_of};

/// Shipments that may rest on what lies in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    pub shipments: usize,
    /// Since when the first of them is on its way, by the clock of the vault's host.
    pub since: Timestamp,
}

/// The shipments that may rest on what lies in a repository's directory, if a vault keeps it and there are
/// any.
pub fn awaited_since(repository: &Path) -> io::Result<Option<Awaited>> {
    let mut places: Vec<PathBuf> =
        vec![std::path::absolute(repository)?, repository.canonicalize()?];
    places.dedup();
    let mut awaited: Option<Awaited> = None;
    for place in places {
        let (Some(beside), Some(workload)) = (place.parent(), place.file_name()) else { continue };
        let entries = match std::fs::read_dir(beside.join(BESIDE_REPOSITORIES).join(workload)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            if !is_record || path.file_name().is_some_and(durable::is_temporary) {
                continue;
            }
            let since = match durable::read_bounded(&path, RECORD_BYTES_MAX) {
                Ok(record) => since_of(&record),
                // It ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => Timestamp::EPOCH,
            };
            let known = awaited.unwrap_or(Awaited { shipments: 0, since });
            let since = known.since.min(since);
            awaited = Some(Awaited { shipments: known.shipments + 1, since });
        }
    }
    Ok(awaited)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use outlast_types::{ContentHash, DropId, ShareId, SystemClock, SystemRandom, WorkloadName};
    use outlast_wire::api::BeginShipment;

    use super::*;
    use crate::core::shipments::Shipments;
    use crate::process::directory::DirectoryStorage;

    #[test]
    fn whoever_prunes_a_directory_finds_what_is_on_its_way() {
        let directory = tempfile::tempdir().unwrap();
        let repository = directory.path().join("repos/shop");
        durable::create_directories(&repository, 0o700).unwrap();
        assert_eq!(awaited_since(&repository).unwrap(), None);
        let beside = directory.path().join("repos/.shipments/shop");
        durable::create_directories(&beside, 0o700).unwrap();
        assert_eq!(awaited_since(&repository).unwrap(), None);
        let at = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        let storage = DirectoryStorage::open(directory.path()).unwrap();
        let shipments = Shipments::open(&(Arc::new(storage) as _), at(0)).unwrap();
        for seconds in [7, 5] {
            let drop = DropId::new(&SystemClock, &SystemRandom);
            let begin = BeginShipment {
                share: ShareId::new(&SystemRandom),
                workload: WorkloadName::new("shop").unwrap(),
                day: drop.claimed_time().day(),
                drop,
                seal: ContentHash([7; 32]),
                size: 9,
                at: at(seconds),
            };
            shipments.begin(&begin, "eu-1", at(8)).unwrap();
        }
        assert_eq!(
            awaited_since(&repository).unwrap(),
            Some(Awaited { shipments: 2, since: at(5) })
        );
        let link = directory.path().join("elsewhere");
        std::os::unix::fs::symlink(&repository, &link).unwrap();
        assert_eq!(awaited_since(&link).unwrap().map(|it| it.shipments), Some(2));
        durable::create_new(&beside.join("torn.json"), b"{", 0o600).unwrap();
        let awaited = awaited_since(&repository).unwrap().unwrap();
        assert_eq!((awaited.shipments, awaited.since), (3, Timestamp::EPOCH));
    }
}
