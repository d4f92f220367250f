//! Whether all that a snapshot needs is here, before it is published.
//!
//! Each blob that its tree reaches must lie in a pack that is here, that was proved, and that nobody is
//! removing. Packs follow from the index, whose files were compared with their packs when they came. Where
//! a blob has several places, one that is good is enough.
//!
//! It goes in passes over what is new of the tree: the first believes every pack, and gathers those that it
//! relies on; these are looked at; further passes go around the bad ones, until no pack is relied on that
//! was not looked at. Nearly always that is one pass and a second one that finds nothing new.

use std::collections::{BTreeSet, HashSet};

use outlast_format::pack::BlobType;
use outlast_format::{BlobId, PackId};
use outlast_repo::reach::{Met, ReachError, reach};
use outlast_repo::{Index, RepoError};
use outlast_types::WorkloadName;
use outlast_wire::api::PENDING_NAMED_MAX;

use super::admission::{Admission, Place};
use super::error::VaultError;
use super::repositories::WorkloadRepository;

/// A tree that is to be published, and what goes with it.
pub(crate) struct Candidate<'a> {
    pub(crate) workload: &'a WorkloadName,
    pub(crate) tree: BlobId,
    /// Trees of published snapshots: what they have at the same place is not looked at.
    pub(crate) known: &'a [BlobId],
    /// Whether somebody may be removing condemned packs, without having seen our lock.
    pub(crate) is_swept: bool,
}

/// The blobs that a tree needs and that are nowhere, as `tree/<id>` or `data/<id>`; the first thousand.
pub(crate) fn lacking_blobs(
    admission: &Admission,
    repository: &WorkloadRepository,
    candidate: &Candidate<'_>,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<Vec<String>, VaultError> {
    let place = Place::of(repository, candidate.workload)?;
    let opened = repository.opened_afresh()?;
    let index = opened.index()?;
    let marks = index.condemned().into_iter();
    let marks = marks.filter(|(_, mark)| mark.sweeping || candidate.is_swept);
    let bad: HashSet<PackId> = marks.flat_map(|(_, mark)| mark.packs).collect();
    let mut judged = Judged { good: HashSet::new(), bad };
    loop {
        let mut pass = Pass {
            index,
            judged: &judged,
            relied_on: BTreeSet::new(),
            lacking: BTreeSet::new(),
            keep_going,
        };
        let mut meet = |met| pass.meet(met);
        match reach(&opened, candidate.tree, candidate.known, &mut meet) {
            Ok(()) => {}
            Err(ReachError::Repository(error)) => return Err(error.into()),
            Err(error) => {
                return Err(VaultError::Unacceptable {
                    reason: error.to_string(),
                    hint: "its sender made it wrong: test that host's memory",
                });
            }
        }
        let Pass { relied_on, lacking, .. } = pass;
        if relied_on.is_empty() {
            let named = lacking.into_iter().take(PENDING_NAMED_MAX);
            return Ok(named.map(|(kind, id)| format!("{kind}/{id}")).collect());
        }
        let (good, bad) = admission.sort_out(&place, relied_on)?;
        judged.good.extend(good);
        judged.bad.extend(bad);
    }
}

/// The packs that were looked at.
struct Judged {
    good: HashSet<PackId>,
    bad: HashSet<PackId>,
}

struct Pass<'a> {
    index: &'a Index,
    judged: &'a Judged,
    /// Packs that were not looked at yet.
    relied_on: BTreeSet<PackId>,
    /// Kept in order, so that the same question has the same answer. Bounded.
    lacking: BTreeSet<(&'static str, BlobId)>,
    keep_going: &'a dyn Fn() -> Result<(), RepoError>,
}

impl Pass<'_> {
    fn meet(&mut self, met: Met) -> Result<bool, RepoError> {
        let (kind, id, is_lost) = match met {
            Met::Blob { kind, id } => (kind, id, false),
            Met::Lost { tree } => (BlobType::Tree, tree, true),
        };
        if kind == BlobType::Tree {
            (self.keep_going)()?;
        }
        if !is_lost && self.is_here(kind, id)? {
            return Ok(true);
        }
        let name = match kind {
            BlobType::Tree => "tree",
            BlobType::Data => "data",
        };
        if self.lacking.len() <= PENDING_NAMED_MAX {
            self.lacking.insert((name, id));
        }
        Ok(false)
    }

    fn is_here(&mut self, kind: BlobType, id: BlobId) -> Result<bool, RepoError> {
        let first = self.index.locate(kind, &id)?;
        if first.is_some_and(|first| self.judged.good.contains(&first.pack)) {
            return Ok(true);
        }
        let places = self.index.locations(kind, &id)?;
        if places.iter().any(|place| self.judged.good.contains(&place.pack)) {
            return Ok(true);
        }
        let unknown = places.iter().find(|place| !self.judged.bad.contains(&place.pack));
        self.relied_on.extend(unknown.map(|place| place.pack));
        Ok(unknown.is_some())
    }
}
