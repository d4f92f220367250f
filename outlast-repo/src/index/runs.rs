//! The runs of an index, and which index files they make unnecessary to fetch.
//!
//! A run names the index files that it *covers*: with it and those before it, every blob of theirs is
//! known. A file that is spread over several runs is covered by the last of them only, so a load that
//! is killed half-way goes on with the first file that is not covered. Packs are numbered over all
//! runs; each names those that it was the first to hear of.

use std::sync::Arc;

use outlast_format::index::Notes;
use outlast_format::{IndexId, PackId};
use serde::{Deserialize, Serialize};

use super::record::{Packs, RECORD_BYTES, Record};
use crate::CacheError;
use crate::sorted::{Place, Run, RunSet, Trust, merge_from};

/// An index file, how many bytes it has in the store, and what its writer noted in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct File {
    pub(super) id: IndexId,
    pub(super) bytes: u64,
    pub(super) notes: Notes,
}

#[derive(Debug)]
pub(super) struct IndexRuns {
    run_set: RunSet<RECORD_BYTES>,
    /// The head of each of the set's runs.
    heads: Vec<Head>,
}

/// The part of a run besides its records. Followed by the packs' ids when it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    /// The number of the first pack that it names.
    packs_from: usize,
    packs: usize,
    files: Vec<File>,
}

impl IndexRuns {
    /// Opens the set of runs; what is in it is there if it fits together and `is_listed` knows all
    /// index files that it covers. The packs that the runs name go to `packs`, which is empty.
    pub(super) fn open(
        (place, key): (Place, [u8; 32]),
        packs: &mut Packs,
        is_listed: impl Fn(&File) -> bool,
    ) -> Result<Self, CacheError> {
        let (run_set, metas) = RunSet::open(place, key, Trust::Nothing)?;
        let mut runs = Self { run_set, heads: Vec::new() };
        match read_heads(&metas, packs) {
            Some(heads) if heads.iter().flat_map(|head| &head.files).all(is_listed) => {
                runs.heads = heads;
            }
            // An older state of the repository, or one that was cleaned; or a run is missing. What
            // is not covered any more cannot be taken out of a run, so all are made anew.
            _ => {
                runs.run_set.clear();
                *packs = Packs::default();
            }
        }
        Ok(runs)
    }

    /// The index files that are covered.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.heads.iter().flat_map(|head| &head.files)
    }

    pub(super) fn runs(&self) -> &[Arc<Run<RECORD_BYTES>>] {
        self.run_set.runs()
    }

    /// Adds a run of these records, which are sorted; from now on `files` are covered.
    pub(super) fn add<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r Record>,
        files: Vec<File>,
        packs: &Packs,
    ) -> Result<(), CacheError> {
        let packs_from = self.heads.last().map_or(0, |head| head.packs_from + head.packs);
        let head = Head { packs_from, packs: packs.ids().len() - packs_from, files };
        self.run_set.add(records, &head.encode(packs))?;
        self.heads.push(head);
        Ok(())
    }

    /// Merges runs from number `from` on, if there are more than `count_max` of them.
    pub(super) fn compact(
        &mut self,
        from: usize,
        count_max: usize,
        packs: &Packs,
    ) -> Result<(), CacheError> {
        let sizes: Vec<_> = self.runs().iter().skip(from).map(|run| run.records()).collect();
        let Some(start) = merge_from(&sizes, count_max).map(|start| from + start) else {
            return Ok(());
        };
        let merged = &self.heads[start..];
        let head = Head {
            packs_from: merged.first().map_or(0, |head| head.packs_from),
            packs: merged.iter().map(|head| head.packs).sum(),
            files: merged.iter().flat_map(|head| head.files.iter().cloned()).collect(),
        };
        self.run_set.merge(start, &head.encode(packs))?;
        self.heads.truncate(start);
        self.heads.push(head);
        Ok(())
    }

    /// From now on, what is added goes to the heap: the disk takes nothing more.
    pub(super) fn stop_writing(&mut self) {
        self.run_set.stop_writing();
    }
}

impl Head {
    fn encode(&self, packs: &Packs) -> Vec<u8> {
        // Numbers and names only: nothing of it can fail to become JSON.
        let document = serde_json::to_vec(self).unwrap_or_default();
        let length = u32::try_from(document.len()).unwrap_or(0);
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&document);
        for pack in packs.ids().iter().skip(self.packs_from).take(self.packs) {
            bytes.extend_from_slice(&pack.0);
        }
        bytes
    }

    fn decode(meta: &[u8]) -> Option<(Self, &[[u8; 32]])> {
        let (length, rest) = meta.split_first_chunk()?;
        let (document, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let head: Self = serde_json::from_slice(document).ok()?;
        let (packs, torn) = rest.as_chunks();
        (packs.len() == head.packs && torn.is_empty()).then_some((head, packs))
    }
}

/// The heads of the runs, if they follow each other without a gap.
fn read_heads(metas: &[Vec<u8>], packs: &mut Packs) -> Option<Vec<Head>> {
    let mut heads = Vec::with_capacity(metas.len());
    for meta in metas {
        let (head, ids) = Head::decode(meta)?;
        if head.packs_from != packs.ids().len() {
            return None;
        }
        for id in ids {
            packs.number_of(PackId(*id));
        }
        heads.push(head);
    }
    Some(heads)
}
