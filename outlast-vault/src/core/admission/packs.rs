//! Packs: proved before they have a name, or, if they have one already, before anything is said
//! about them.

use std::collections::{BTreeMap, BTreeSet};

use outlast_format::PackId;
use outlast_format::pack::PackEntry;
use outlast_repo::proving::{self, PackBytes, Stored};
use outlast_store::{Object, StoreError};

use super::{Admission, Place, disproved};
use crate::core::error::VaultError;
use crate::core::storage::Staged;

/// How many bytes of packs that no note speaks of are proved for one request. What was proved is
/// noted, so that the next one goes on.
const UNPROVED_BYTES_MAX: u64 = 2 << 30;

/// Packs that were looked up together.
pub(super) struct Proved {
    noted: BTreeSet<PackId>,
    left: u64,
}

impl Admission {
    /// Proves a pack that came, if it is not here. The wire has compared its hash with its name.
    pub(crate) fn prove_arrived(
        &self,
        place: &Place<'_>,
        pack: PackId,
        staged: &dyn Staged,
    ) -> Result<(), VaultError> {
        instead_of(place, pack, staged.size())?;
        self.prover()?.prove(&Arrived(staged), None, place.key).map_err(disproved)?;
        Ok(())
    }

    /// Gives a pack that was proved its name.
    pub(crate) fn admit_proved(
        &self,
        place: &Place<'_>,
        pack: PackId,
        staged: Box<dyn Staged>,
    ) -> Result<(), VaultError> {
        let (object, size) = (object_of(pack), staged.size());
        if let Some(there) = instead_of(place, pack, size)? {
            let workload = place.workload;
            tracing::warn!(%workload, %object, there, size, "a damaged pack is made whole again");
            staged.publish_over()?;
        } else {
            staged.publish()?;
        }
        self.noted(place, pack, size);
        Ok(())
    }

    /// Looks up which of these packs were proved; they must all be there.
    pub(super) fn look_up(
        &self,
        place: &Place<'_>,
        packs: impl IntoIterator<Item = PackId>,
    ) -> Result<Proved, VaultError> {
        let mut sizes = BTreeMap::new();
        for pack in packs {
            match place.store.size(&object_of(pack)) {
                Ok(size) => drop(sizes.insert(pack, size)),
                Err(StoreError::NotFound { object, .. }) => {
                    return Err(VaultError::PackMissing { pack: object });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Proved { noted: self.proofs.find(place.workload, &sizes)?, left: UNPROVED_BYTES_MAX })
    }

    /// Sorts packs into those that are here and proved, and the others.
    pub(crate) fn sort_out(
        &self,
        place: &Place<'_>,
        packs: BTreeSet<PackId>,
    ) -> Result<(Vec<PackId>, Vec<PackId>), VaultError> {
        let (mut here, mut bad) = (BTreeMap::new(), Vec::new());
        for pack in packs {
            match place.store.size(&object_of(pack)) {
                Ok(size) => drop(here.insert(pack, size)),
                Err(StoreError::NotFound { .. }) => bad.push(pack),
                Err(error) => return Err(error.into()),
            }
        }
        let noted = self.proofs.find(place.workload, &here)?;
        let mut proved = Proved { noted, left: UNPROVED_BYTES_MAX };
        let mut good = Vec::new();
        for pack in here.into_keys() {
            if proved.noted.contains(&pack) {
                good.push(pack);
                continue;
            }
            match self.entries(place, pack, &mut proved) {
                Ok(_) => good.push(pack),
                Err(VaultError::Unacceptable { reason, .. }) => {
                    tracing::warn!(workload = %place.workload, %pack, reason, "a pack is not relied on");
                    bad.push(pack);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((good, bad))
    }

    /// What the header of a pack lists, when it is proved that it is the truth.
    pub(super) fn entries(
        &self,
        place: &Place<'_>,
        pack: PackId,
        proved: &mut Proved,
    ) -> Result<Vec<PackEntry>, VaultError> {
        let stored = Stored::open(place.store, pack)?;
        if proved.noted.contains(&pack) {
            return proving::header(&stored, place.key).map_err(|error| spoilt(pack, error));
        }
        // One is proved in any case, or there would be no going on.
        if proved.left < stored.size() && proved.left < UNPROVED_BYTES_MAX {
            let reason = "it speaks of many packs that were never looked at; that goes on when it \
                          is sent again"
                .to_owned();
            return Err(VaultError::Busy { reason });
        }
        proved.left = proved.left.saturating_sub(stored.size());
        let proof = self.prover()?.prove(&stored, Some(pack), place.key);
        let entries = proof.map_err(|error| spoilt(pack, error))?;
        self.noted(place, pack, stored.size());
        proved.noted.insert(pack);
        Ok(entries)
    }

    /// A note that cannot be written costs another proof, nothing else.
    fn noted(&self, place: &Place<'_>, pack: PackId, size: u64) {
        if let Err(error) = self.proofs.note(place.workload, pack, size) {
            tracing::warn!(workload = %place.workload, %error, "cannot note that a pack is proved");
        }
    }
}

fn spoilt(pack: PackId, error: proving::ProofError) -> VaultError {
    match disproved(error) {
        VaultError::Unacceptable { reason, .. } => VaultError::Unacceptable {
            reason: format!("data/{pack}, which it needs, is not whole: {reason}"),
            hint: "check the repository on the vault, and read all of its data",
        },
        other => other,
    }
}

/// The size of a damaged pack that has this one's name, if there is one; an error if it is here already.
fn instead_of(place: &Place<'_>, pack: PackId, size: u64) -> Result<Option<u64>, VaultError> {
    let object = object_of(pack);
    match place.store.size(&object) {
        Ok(there) if there == size => {
            // Who hears that it is here refers to it next.
            place.store.keep(&object)?;
            let location = place.store.location();
            Err(StoreError::AlreadyExists { object, location }.into())
        }
        Ok(there) => Ok(Some(there)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn object_of(pack: PackId) -> Object {
    Object::Data(pack)
}

struct Arrived<'a>(&'a dyn Staged);

impl PackBytes for Arrived<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.0.read_at(offset, buffer)
    }
}
