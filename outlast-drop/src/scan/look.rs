//! A look at one drop: what it is, and a fingerprint of all that a writer changes.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use outlast_types::Timestamp;

use super::memory::WorkloadMemory;
use crate::files::Directory;
use crate::layout::{DropAddress, DropFile, names_max};
use crate::open::OpenRecord;
use crate::reader::{DropReadError, read_seal};
use crate::rejection::Rejection;
use crate::seal::{SEGMENTS_MAX, SealSummary};
use crate::stillness::Fingerprint;

/// One drop, as it looked.
#[derive(Debug, Clone)]
pub struct Sighting {
    pub address: DropAddress,
    pub state: DropState,
    /// Changes whenever the writer does something; for [`StillnessTracker`](crate::StillnessTracker).
    pub fingerprint: Fingerprint,
    /// The newest change of a file in it, by the clock of the file server.
    pub changed: Option<Timestamp>,
    /// Bytes of its files, as far as they were looked at, or as its seal says, whichever is more.
    pub bytes: u64,
    /// How many names in it are not ours.
    pub foreign: u64,
}

/// The state of a drop.
#[derive(Debug, Clone)]
pub enum DropState {
    /// Being written, or left behind by a writer that died. What `open.json` says, if it is
    /// there and whole.
    Open(Option<Box<OpenRecord>>),
    /// Its writer said that it gave up.
    Failed { exit_status: Option<i32> },
    /// Its seal is valid; whether the segments are as sealed shows when they are read.
    Sealed(SealSummary),
    /// Its seal is no good.
    Refused(Rejection),
}

impl DropState {
    /// Whether it may still become sealed: a seal is not written in one instant, so a torn one is
    /// no verdict before it has been still for a while.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Refused(rejection) => rejection.is_torn_seal(),
            Self::Failed { .. } | Self::Sealed(_) => false,
        }
    }
}

/// Files of a drop that are looked at one by one, the newest by their names: no writer has more at
/// work at a time.
const FILES_LOOKED_AT: usize = 1000;

/// The names in a drop's directory.
#[derive(Default)]
struct Listing {
    /// The same in whatever order they come.
    hash: u64,
    count: usize,
    segments: usize,
    foreign: u64,
    is_sealed: bool,
    /// The names to be looked at, in the order of their kind, length and bytes.
    newest: BTreeSet<(u8, usize, Vec<u8>)>,
}

impl Listing {
    fn note(&mut self, name: &[u8]) {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        self.hash = self.hash.wrapping_add(hasher.finish());
        self.count += 1;
        let kind = match DropFile::of(name) {
            DropFile::Foreign => {
                self.foreign += 1;
                0
            }
            DropFile::Beat => 1,
            DropFile::Segment => {
                self.segments += 1;
                2
            }
            DropFile::Open => 3,
            DropFile::Seal => {
                self.is_sealed = true;
                4
            }
        };
        let key = (kind, name.len());
        if self.newest.len() == FILES_LOOKED_AT {
            if self.newest.first().is_some_and(|(kind, length, _)| key < (*kind, *length)) {
                return;
            }
            self.newest.insert((kind, name.len(), name.to_vec()));
            self.newest.pop_first();
        } else {
            self.newest.insert((kind, name.len(), name.to_vec()));
        }
    }

    fn is_crowded(&self, others: usize) -> bool {
        self.segments > SEGMENTS_MAX || self.count > names_max(self.segments, others)
    }
}

/// The drop in `directory` as it is, and the number of names that were read for that.
pub(super) fn sighting(
    directory: &Directory,
    address: DropAddress,
    memory: &mut WorkloadMemory,
    others: usize,
) -> io::Result<(Sighting, usize)> {
    let mut newest = directory.own_facts()?.modified;
    let mut listing = Listing::default();
    let most = names_max(SEGMENTS_MAX, others);
    let is_whole = directory.each_name(most, |name| listing.note(name))?;
    let mut fingerprint = DefaultHasher::new();
    (listing.hash, listing.count).hash(&mut fingerprint);
    if !is_whole || listing.is_crowded(others) {
        let max = names_max(listing.segments.min(SEGMENTS_MAX), others);
        let sighting = Sighting {
            address,
            state: DropState::Refused(Rejection::TooManyFiles { max }),
            fingerprint: Fingerprint(fingerprint.finish()),
            changed: Timestamp::from_unix(newest.0, newest.1),
            bytes: 0,
            foreign: listing.foreign,
        };
        return Ok((sighting, listing.count));
    }
    let mut bytes: u64 = 0;
    for (_, _, name) in &listing.newest {
        let facts = match directory.facts(name) {
            Ok(facts) => facts,
            // A beat may be removed by its writer right now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // It may be the seal, and a sealed drop must never pass for an open one.
            Err(error) => return Err(error),
        };
        (name, facts.size, facts.modified).hash(&mut fingerprint);
        bytes = bytes.saturating_add(facts.size);
        newest = newest.max(facts.modified);
    }
    let fingerprint = Fingerprint(fingerprint.finish());
    let state = if listing.is_sealed {
        sealed(directory, &address, fingerprint, memory)?
    } else {
        match OpenRecord::read(directory)? {
            Some(OpenRecord { failed: Some(exit_status), .. }) => DropState::Failed { exit_status },
            record => DropState::Open(record.map(Box::new)),
        }
    };
    if let DropState::Sealed(seal) = &state {
        bytes = bytes.max(seal.stored_bytes);
    }
    let changed = Timestamp::from_unix(newest.0, newest.1);
    let foreign = listing.foreign;
    Ok((Sighting { address, state, fingerprint, changed, bytes, foreign }, listing.count))
}

/// The state of a drop with a seal. One that was read is not read again while nothing has changed: it may
/// have 16 MiB, and wait for days.
fn sealed(
    directory: &Directory,
    address: &DropAddress,
    fingerprint: Fingerprint,
    memory: &mut WorkloadMemory,
) -> io::Result<DropState> {
    let place = (address.day, address.drop);
    if let Some(seal) = memory.seal(place, fingerprint) {
        return Ok(DropState::Sealed(seal.clone()));
    }
    Ok(match read_seal(directory) {
        Ok(Some((seal, digest))) => match seal.check_place(address) {
            Ok(()) => {
                let seal = seal.summary(digest);
                memory.keep_seal(place, fingerprint, &seal);
                DropState::Sealed(seal)
            }
            Err(rejection) => DropState::Refused(rejection),
        },
        // Removed between two looks: on its way to release.
        Ok(None) => DropState::Open(None),
        Err(DropReadError::Refused(rejection)) => DropState::Refused(rejection),
        Err(later @ DropReadError::Later { .. }) => return Err(io::Error::other(later)),
    })
}
