//! Which of the condemned packs can go.
//!
//! An index may lie: by a fault, or because somebody who had the key wrote it. So nothing goes on its
//! word. A pack goes when every blob in it that a snapshot needs, by any index file and by its own
//! header, was read in a pack that stays, and was authentic there. What cannot be proven so protects
//! its pack, whatever else is wrong with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use outlast_format::PackId;
use outlast_format::pack::PackEntry;

use super::Work;
use super::bits::Bits;
use super::survey::{Survey, not_whole};
use crate::error::Flaw;
use crate::proof::{Finding, Prover};
use crate::{RepoError, Repository, pack_header};

/// What may go, and why the rest stays.
pub(super) struct Judgement {
    pub(super) doomed: HashSet<PackId>,
    /// Packs that stay because no other copy of something in them could be read.
    pub(super) unproven: HashSet<PackId>,
}

/// Judges the packs that are `condemned` and in no index file that revives them.
pub(super) fn judge(
    work: &Work<'_>,
    repository: &Repository,
    survey: &Survey<'_>,
    condemned: HashSet<PackId>,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<Judgement, RepoError> {
    let mut court = Court {
        work,
        repository,
        survey,
        keep_going,
        prover: Prover::new(repository)?,
        doomed: condemned,
        unproven: HashSet::new(),
        stake: Bits::new(survey.ordinals()),
        safe: Bits::new(survey.ordinals()),
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
    survey: &'a Survey<'a>,
    keep_going: &'a dyn Fn() -> Result<(), RepoError>,
    prover: Prover<'a>,
    doomed: HashSet<PackId>,
    unproven: HashSet<PackId>,
    /// Needed blobs that lie in doomed packs.
    stake: Bits,
    /// Those of them that were read in a pack that stays.
    safe: Bits,
}

impl Court<'_> {
    /// Adds what index files list and is not there: listed by a backup that slept over its removal, or
    /// lost. Whether anything in it is needed is seen at the end.
    fn find_gone(&mut self) -> Result<(), RepoError> {
        let (survey, doomed) = (self.survey, &mut self.doomed);
        survey.each_file(|_, file| {
            let packs = file.packs.iter().map(|(pack, _)| *pack);
            doomed.extend(packs.filter(|pack| survey.size_of(pack).is_none()));
            Ok(())
        })
    }

    /// What index files say of doomed packs.
    fn count_stake(&mut self) -> Result<(), RepoError> {
        let (survey, doomed, stake) = (self.survey, &self.doomed, &mut self.stake);
        survey.each_file(|_, file| {
            for (_, entries) in file.packs.iter().filter(|(pack, _)| doomed.contains(pack)) {
                for number in needed(survey, entries)? {
                    stake.insert(number);
                }
            }
            Ok(())
        })
    }

    /// What doomed packs say of themselves; those that hold needed blobs by their headers.
    fn look_at_headers(&mut self) -> Result<BTreeSet<PackId>, RepoError> {
        let mut hidden = BTreeSet::new();
        let doomed: BTreeMap<PackId, u64> = self
            .doomed
            .iter()
            .filter_map(|pack| Some((*pack, self.survey.size_of(pack)?)))
            .collect();
        self.work.monitor.begin("read headers of packs", None);
        for (pack, size) in doomed {
            (self.keep_going)()?;
            // One without a header is what index files say, or the rest of an upload.
            let Ok(entries) = pack_header::read(self.repository, pack, size) else { continue };
            for number in needed(self.survey, &entries)? {
                self.stake.insert(number);
                hidden.insert(pack);
            }
        }
        Ok(hidden)
    }

    /// Reads what is at stake in the packs that stay.
    fn prove(&mut self) -> Result<(), RepoError> {
        self.work.monitor.begin("read what stays", None);
        let survey = self.survey;
        survey.each_file(|_, file| {
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
            if let Some(number) = self.survey.used(entry)?
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
        let size = self.survey.size_of(&pack).unwrap_or(0);
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
        let survey = self.survey;
        let mut lost: HashMap<u64, PackId> = HashMap::new();
        survey.each_file(|_, file| {
            for (pack, entries) in &file.packs {
                if !self.doomed.contains(pack) {
                    continue;
                }
                if survey.size_of(pack).is_none() {
                    let numbers = needed(survey, entries)?.into_iter();
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
            let size = survey.size_of(&pack).filter(|_| self.doomed.contains(&pack));
            let header = size.map(|size| pack_header::read(self.repository, pack, size));
            if let Some(Ok(entries)) = header
                && self.read(pack, &entries)?
            {
                self.doomed.remove(&pack);
                self.unproven.insert(pack);
            }
        }
        match lost.into_iter().find(|(number, _)| !self.safe.contains(*number)) {
            Some((_, pack)) => Err(not_whole(self.repository, Flaw::MissingPack { pack })),
            None => Ok(()),
        }
    }
}

/// The numbers of the blobs that snapshots need.
fn needed(survey: &Survey<'_>, entries: &[PackEntry]) -> Result<Vec<u64>, RepoError> {
    entries.iter().filter_map(|entry| survey.used(entry).transpose()).collect()
}
