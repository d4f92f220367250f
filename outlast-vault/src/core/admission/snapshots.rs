//! Snapshots: of drops, and of stock restic.

use std::time::Duration;

use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_format::snapshot::Snapshot;
use outlast_repo::RepoError;
use outlast_types::{DropId, Timestamp, WorkloadName, human};

use super::{Admission, Place, damaged};
use crate::core::error::VaultError;
use crate::core::repositories::WorkloadRepository;

/// The longest snapshot that is taken, in bytes of JSON.
const SNAPSHOT_DOCUMENT_MAX: u64 = 16 << 20;
/// How far an agent's clock may be ahead of ours: beyond that, its snapshots would stay the latest
/// for stock restic after newer ones came.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// How old a snapshot may be when it comes. Its time is that at which its drop began to be read,
/// and the largest drops travel for days.
const AGE_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

impl Admission {
    /// Reads a snapshot as it was sent, and nothing of what it says is believed.
    pub(crate) fn open_snapshot(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
        sealed: &[u8],
    ) -> Result<Snapshot, VaultError> {
        let _permit = self.document()?;
        let document = Place::of(repository, workload)?.open(sealed, SNAPSHOT_DOCUMENT_MAX)?;
        Snapshot::parse(&document).map_err(damaged)
    }

    /// Whether a tree is indexed and lies in a pack that is proved.
    pub(crate) fn vouches_for(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
        tree: BlobId,
    ) -> Result<bool, VaultError> {
        let _permit = self.document()?;
        let place = Place::of(repository, workload)?;
        let opened = repository.opened_afresh()?;
        let index = opened.index()?;
        let places = index.locations(BlobType::Tree, &tree);
        let places = places.map_err(RepoError::from)?;
        let mut refused = None;
        for found in places {
            let entries = self
                .look_up(&place, [found.pack])
                .and_then(|mut proved| self.entries(&place, found.pack, &mut proved));
            match entries {
                Ok(entries) if entries.contains(&found.entry(tree)) => return Ok(true),
                Ok(_) => {}
                // Another copy may do.
                Err(
                    refusal @ (VaultError::Unacceptable { .. } | VaultError::PackMissing { .. }),
                ) => refused = Some(refusal),
                Err(other) => return Err(other),
            }
        }
        refused.map_or(Ok(false), Err)
    }

    /// Judges a snapshot that is no drop's: what it says of itself is its maker's affair, but all
    /// of it must be here.
    pub(crate) fn judge_snapshot(
        &self,
        repository: &WorkloadRepository,
        workload: &WorkloadName,
        sealed: &[u8],
    ) -> Result<(), VaultError> {
        let snapshot = self.open_snapshot(repository, workload, sealed)?;
        if self.vouches_for(repository, workload, snapshot.tree)? {
            return Ok(());
        }
        Err(VaultError::Unacceptable {
            reason: format!("no index knows its tree {:.8}", snapshot.tree),
            hint: "packs and indexes come before the snapshot",
        })
    }
}

/// Whether the snapshot of a drop says of itself what it must; else what is wrong. Stock restic
/// goes by what snapshots say, so they must not say just anything.
pub(crate) fn expected(
    snapshot: &Snapshot,
    workload: &WorkloadName,
    drop: DropId,
    agent: &str,
    now: Timestamp,
) -> Result<(), String> {
    let wanted = |what: &str, found: &str, wanted: &str| {
        let found: String = found.chars().take(80).collect();
        Err(format!("the {what} in its snapshot is {found:?} instead of {wanted:?}"))
    };
    if snapshot.hostname != workload.as_str() {
        return wanted("host", &snapshot.hostname, workload.as_str());
    }
    if snapshot.username != agent {
        return wanted("user", &snapshot.username, agent);
    }
    let tag = format!("drop:{drop}");
    if snapshot.tags != [tag.as_str()] {
        return wanted("tag", &snapshot.tags.join(","), &tag);
    }
    let (ahead, age) = (snapshot.time.since(now), now.since(snapshot.time));
    let (apart, direction) = if ahead > AHEAD_MAX {
        (ahead, "ahead of")
    } else if age > AGE_MAX {
        (age, "behind")
    } else {
        return Ok(());
    };
    Err(format!(
        "its snapshot is of {}, which is {} {direction} the vault's clock: set the clock of the \
         agent's host right, or that of the vault",
        snapshot.time,
        human::duration(apart)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drops_snapshot_says_what_the_vault_expects_or_is_refused() {
        let shop = WorkloadName::new("shop").unwrap();
        let drop: DropId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let honest = Snapshot {
            hostname: "shop".to_owned(),
            username: "road-1".to_owned(),
            tags: vec![format!("drop:{drop}")],
            ..Snapshot::new(now, BlobId([1; 32]))
        };
        let judge = |snapshot: &Snapshot| expected(snapshot, &shop, drop, "road-1", now);
        assert_eq!(judge(&honest), Ok(()));
        let refused = |change: &dyn Fn(&mut Snapshot), words: &str| {
            let mut snapshot = honest.clone();
            change(&mut snapshot);
            let reason = judge(&snapshot).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        };
        refused(&|s| s.hostname = "strange".to_owned(), "host");
        refused(&|s| s.username.clear(), "user");
        refused(&|s| s.tags.clear(), "tag");
        refused(&|s| s.tags.push("more".to_owned()), "tag");
        refused(&|s| s.tags[0] = s.tags[0].replace("57", "58"), "tag");
        refused(&|s| s.time = "2099-01-01T00:00:00Z".parse().unwrap(), "ahead of the vault's");
        refused(&|s| s.time = "2026-11-27T12:00:00Z".parse().unwrap(), "2 d ahead");
        refused(&|s| s.time = "2020-01-01T00:00:00Z".parse().unwrap(), "behind the vault's");
        let hours = |n: u64| Duration::from_secs(n * 3600);
        for time in [now.saturating_sub(hours(24 * 30)), now.saturating_add(hours(0) + AHEAD_MAX)] {
            assert_eq!(judge(&Snapshot { time, ..honest.clone() }), Ok(()));
        }
    }
}
