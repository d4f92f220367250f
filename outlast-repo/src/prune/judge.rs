//! Which of the condemned packs can go.
//!
//! An index may lie: by a fault, or because somebody who had the key wrote it. So nothing goes on its
//! word. A pack goes when every blob in it that a snapshot needs, by any index file and by its own
//! header, was read in a pack that stays, and was authentic there. What cannot be proven so protects
//! its pack, whatever else is wrong with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use outlast_format::PackId;
use outlast_format::pack::PackEntry;

use super::usage::Usage;
use super::work::Work;
use crate::error::Flaw;
use crate::inventory::BitSet;
use crate::pack_header::{self, Stored};
use crate::proof::{Finding, Prover};
use crate::{RepoError, Repository};

/// The packs that may go, and why the rest stays.
pub(super) struct Judgement {
    pub(super) doomed: HashSet<PackId>,
    /// Packs that stay because no other copy of something in them could be read.
    pub(super) unproven: HashSet<PackId>,
}

/// Judges the packs that are `condemned` and in no index file that revives them.
pub(super) fn judge(
    work: &Work<'_>,
    repository: &Repository,
    usage: &Usage<'_>,
    condemned: HashSet<PackId>,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<Judgement, RepoError> {
    let mut court = Court {
        work,
        repository,
        usage,
        keep_going,
        prover: Prover::new(repository)?,
        doomed: condemned,
        unproven: HashSet::new(),
        stake: BitSet::new(usage.ordinals()),
        safe: BitSet::new(usage.ordinals()),
    };
    court.find_gone()?;
    court.count_stake()?;
    let hidden = court.look_at_headers()?;
    court.prove()?;
    court.spare(hidden)?;
    Ok(Judgement { doomed: court.doomed, unproven: court.unproven })
}

struct Court<'a> {
    work: &'a Work<'a>,
    repository: &'a Repository,
    usage: &'a Usage<'a>,
    keep_going: &'a dyn Fn() -> Result<(), RepoError>,
    prover: Prover<'a>,
    doomed: HashSet<PackId>,
    unproven: HashSet<PackId>,
    /// Needed blobs that lie in doomed packs.
    stake: BitSet,
    /// Those of them that were read in a pack that stays.
    safe: BitSet,
}

impl Court<'_> {
    /// Adds what index files list and is not there: listed by a backup that slept over its removal,
    /// or lost. Whether anything in it is needed is seen at the end.
    fn find_gone(&mut self) -> Result<(), RepoError> {
        let (usage, doomed) = (self.usage, &mut self.doomed);
        usage.inventory().each_file(|_, file| {
            let packs = file.packs.iter().map(|(pack, _)| *pack);
            doomed.extend(packs.filter(|pack| usage.size_of(pack).is_none()));
            Ok(())
        })
    }

    /// Counts the needed blobs of doomed packs by what index files say.
    fn count_stake(&mut self) -> Result<(), RepoError> {
        let (usage, doomed, stake) = (self.usage, &self.doomed, &mut self.stake);
        usage.inventory().each_file(|_, file| {
            for (_, entries) in file.packs.iter().filter(|(pack, _)| doomed.contains(pack)) {
                for number in needed(usage, entries)? {
                    stake.insert(number);
                }
            }
            Ok(())
        })
    }

    /// Counts them by the headers of the packs; returns the packs that hold needed blobs by those.
    fn look_at_headers(&mut self) -> Result<BTreeSet<PackId>, RepoError> {
        let mut hidden = BTreeSet::new();
        let doomed: BTreeMap<PackId, u64> = self
            .doomed
            .iter()
            .filter_map(|pack| Some((*pack, self.usage.size_of(pack)?)))
            .collect();
        self.work.monitor.begin("read headers of packs", None);
        for (pack, size) in doomed {
            (self.keep_going)()?;
            // One without a header is what index files say, or the rest of an upload.
            let Ok(entries) = pack_header::read(
                &Stored::of_size(self.repository.store(), pack, size),
                self.repository.key(),
            ) else {
                continue;
            };
            for number in needed(self.usage, &entries)? {
                self.stake.insert(number);
                hidden.insert(pack);
            }
        }
        Ok(hidden)
    }

    /// Reads what is at stake in the packs that stay.
    fn prove(&mut self) -> Result<(), RepoError> {
        self.work.monitor.begin("read what stays", None);
        let usage = self.usage;
        usage.inventory().each_file(|_, file| {
            for (pack, entries) in &file.packs {
                if !self.doomed.contains(pack) {
                    self.read(*pack, entries)?;
                }
            }
            Ok(())
        })
    }

    /// Reads those of these blobs in a pack that are at stake and nowhere safe yet; whether there are
    /// any.
    fn read(&mut self, pack: PackId, entries: &[PackEntry]) -> Result<bool, RepoError> {
        let mut wanted: HashMap<PackEntry, u64> = HashMap::new();
        for entry in entries {
            if let Some(number) = self.usage.needed(entry)?
                && self.stake.contains(number)
                && !self.safe.contains(number)
            {
                wanted.insert(*entry, number);
            }
        }
        if wanted.is_empty() {
            return Ok(false);
        }
        (self.keep_going)()?;
        let listed: Vec<PackEntry> = wanted.keys().copied().collect();
        let before = self.prover.bytes;
        let size = self.usage.size_of(&pack).unwrap_or(0);
        for (entry, finding) in self.prover.look(pack, size, &listed) {
            if let (Finding::Sound, Some(number)) = (finding, wanted.get(&entry)) {
                self.safe.insert(*number);
            }
        }
        self.work.monitor.advance(self.prover.bytes - before);
        Ok(true)
    }

    /// Spares every doomed pack with something that is safe nowhere else. What is found in one of
    /// them is safe then, and its further copies can go.
    fn spare(&mut self, hidden: BTreeSet<PackId>) -> Result<(), RepoError> {
        let usage = self.usage;
        let mut lost: HashMap<u64, PackId> = HashMap::new();
        usage.inventory().each_file(|_, file| {
            for (pack, entries) in &file.packs {
                if !self.doomed.contains(pack) {
                    continue;
                }
                if usage.size_of(pack).is_none() {
                    let numbers = needed(usage, entries)?.into_iter();
                    let nowhere = numbers.filter(|&number| !self.safe.contains(number));
                    lost.extend(nowhere.map(|number| (number, *pack)));
                } else if self.read(*pack, entries)? {
                    self.doomed.remove(pack);
                    self.unproven.insert(*pack);
                }
            }
            Ok(())
        })?;
        for pack in hidden {
            let size = usage.size_of(&pack).filter(|_| self.doomed.contains(&pack));
            let header = size.map(|size| {
                pack_header::read(
                    &Stored::of_size(self.repository.store(), pack, size),
                    self.repository.key(),
                )
            });
            if let Some(Ok(entries)) = header
                && self.read(pack, &entries)?
            {
                self.doomed.remove(&pack);
                self.unproven.insert(pack);
            }
        }
        match lost.into_iter().find(|(number, _)| !self.safe.contains(*number)) {
            Some((_, pack)) => {
                Err(RepoError::not_whole(self.repository.location(), Flaw::MissingPack { pack }))
            }
            None => Ok(()),
        }
    }
}

/// The numbers of the blobs that snapshots need.
fn needed(usage: &Usage<'_>, entries: &[PackEntry]) -> Result<Vec<u64>, RepoError> {
    entries.iter().filter_map(|entry| usage.needed(entry).transpose()).collect()
}
