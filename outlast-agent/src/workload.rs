//! The drops of one workload, as far as they are known. Everything of it can be read from the share again.

use std::collections::{BTreeMap, HashMap, HashSet};

use outlast_drop::DropAddress;
use outlast_types::{ContentHash, Day, DropId, WorkloadName};
use outlast_wire::api::Declared;

use crate::custody::Proven;
use crate::declaration::DeclarationError;
use crate::problem::{Met, Problem};
use crate::secured::Secured;

/// Where a drop of a workload lies. An id alone names no drop: it may lie under two days.
pub(crate) type Place = (Day, DropId);

/// Where in its workload a drop lies.
pub(crate) fn place(address: &DropAddress) -> Place {
    (address.day, address.drop)
}

/// Size and time of a declaration, if there is one.
pub(crate) type DeclarationStamp = Option<(u64, (i64, u32))>;

/// A drop that is not shipped, since a backup product is to have it alone, and lies where that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entrusted {
    /// The digest of its seal.
    pub(crate) seal: ContentHash,
    /// Bytes of content.
    pub(crate) bytes: u64,
}

/// One workload, as it was when it was last looked at.
#[derive(Default)]
pub(crate) struct WorkloadState {
    /// Whether it was there.
    pub(crate) is_there: bool,
    pub(crate) declared: Option<Declared>,
    /// The declaration that was read, if that went well.
    pub(crate) declaration: Option<DeclarationStamp>,
    /// What was wrong, which is told again as long as nobody has looked again.
    pub(crate) problems: Vec<Problem>,
    /// How often it was looked at.
    pub(crate) looks: u32,
    /// The proof that receipts give of drops that are not done with.
    pub(crate) proven: HashMap<Place, Proven>,
    /// Secured drops whose data is on the share: boxed, since a map takes room for eleven at once, and ten
    /// thousand workloads have two each.
    pub(crate) held: BTreeMap<DropAddress, Box<Secured>>,
    /// Drops on the share that are left to backup products alone.
    pub(crate) entrusted: BTreeMap<DropAddress, Entrusted>,
    /// Drops with a receipt of a holder that says it does not hold them: they are shipped again.
    pub(crate) lost: HashSet<Place>,
}

/// What receipts prove of drops that were not known.
#[derive(Default)]
pub(crate) struct Learned {
    pub(crate) proven: Vec<(Place, Proven)>,
    /// The newest drop that has a `vaulted` receipt, by its id.
    pub(crate) newest_vaulted: Option<DropId>,
    /// Whether nothing is known, since receipts cannot be read now.
    pub(crate) is_unreadable: bool,
}

impl WorkloadState {
    /// Takes in what is declared, if that was read; `stamp` is that of the file.
    pub(crate) fn heed(
        &mut self,
        name: &WorkloadName,
        declared: Option<Result<Option<Declared>, DeclarationError>>,
        stamp: DeclarationStamp,
    ) {
        let problem = match declared {
            None => return,
            Some(Ok(declared)) => {
                (self.declared, self.declaration) = (declared, Some(stamp));
                return;
            }
            Some(Err(DeclarationError::Unreadable { path, reason })) => {
                Met::Unreadable(path).because(reason)
            }
            Some(Err(DeclarationError::Wrong(reason))) => {
                Met::BadDeclaration(name.clone()).because(reason)
            }
        };
        (self.declared, self.declaration) = (None, None);
        self.problems.push(problem);
    }

    /// Takes in what receipts prove.
    pub(crate) fn learn(&mut self, name: &WorkloadName, learned: Learned) {
        if learned.is_unreadable {
            // All that was known may have changed in the meantime.
            return self.proven.clear();
        }
        for (place, proven) in learned.proven {
            let is_lost = self.lost.contains(&place);
            let (day, drop) = place;
            let address = DropAddress { workload: name.clone(), day, drop };
            let proven = as_of_now(proven, &address, is_lost, learned.newest_vaulted);
            self.proven.insert(place, proven);
        }
    }

    /// Whether any drop of it is known.
    pub(crate) fn has_drops(&self) -> bool {
        !self.held.is_empty() || !self.entrusted.is_empty() || !self.proven.is_empty()
    }

    /// A drop is done with.
    pub(crate) fn done(&mut self, address: &DropAddress) {
        self.proven.remove(&place(address));
        self.held.remove(address);
        self.entrusted.remove(address);
        self.lost.remove(&place(address));
        if self.proven.is_empty() {
            // It would keep the room that it had.
            self.proven = HashMap::new();
        }
    }

    /// Forgets what receipts prove of drops that were not `sighted` just now.
    pub(crate) fn retain(&mut self, sighted: &HashSet<Place>) {
        self.proven.retain(|place, _| sighted.contains(place));
    }
}

/// The proof of receipts, in the light of all that is known besides.
fn as_of_now(
    proven: Proven,
    address: &DropAddress,
    is_lost: bool,
    newest_vaulted: Option<DropId>,
) -> Proven {
    match proven {
        // The receipt is of a time that its holder does not remember.
        Proven::Vaulted(_) | Proven::Released(_) if is_lost => Proven::Nothing,
        // An agent may have died before the vault heard of it. After a later good drop that is moot.
        Proven::Rejected { untold: Some(_), ground }
            if newest_vaulted.is_some_and(|newest| newest > address.drop) =>
        {
            Proven::Rejected { untold: None, ground }
        }
        proven => proven,
    }
}
