//! The first phase: condemning what nobody needs, after copying what is needed out of packs that
//! are mostly not.

use std::collections::{HashMap, HashSet};

use outlast_format::index::Condemned;
use outlast_format::{IndexId, PackId};

use super::plan::{Candidate, Limits, Plan, plan};
use super::repack::Repacker;
use super::usage::{Tally, Usage};
use super::work::Work;
use crate::RepoError;
use crate::index_file::IndexWriter;

/// Copied before a mark is made: a prune that is killed has not worked in vain for longer.
const ROUND_BYTES: u64 = 1 << 30;
/// The same in blobs, whose entries are held in memory: 25 MB of them.
const ROUND_BLOBS: u64 = 250_000;

/// The outcome of marking.
pub(super) struct Marked {
    pub(super) packs: u64,
    pub(super) bytes: u64,
    pub(super) repacked_packs: u64,
    pub(super) repacked_bytes: u64,
    pub(super) unused_left: u64,
}

/// Marks what nobody needs. `condemned` packs are left alone: they are in other marks.
pub(super) fn mark(
    work: &Work<'_>,
    condemned: &HashSet<PackId>,
    keep_going: &dyn Fn() -> Result<(), RepoError>,
) -> Result<Marked, RepoError> {
    let fresh = work.repository.afresh();
    let usage = Usage::take(&fresh, keep_going, work.monitor)?;
    let tallies = usage.tally(|pack| condemned.contains(pack))?;
    let candidates: Vec<Candidate<PackId>> = tallies
        .iter()
        .filter(|(pack, _)| !condemned.contains(pack))
        .map(|(&id, tally)| Candidate {
            id,
            size: tally.size,
            used: tally.used,
            is_odd: tally.is_odd,
        })
        .collect();
    let limits =
        Limits { max_unused: work.options.max_unused, max_repack: work.options.max_repack };
    let Plan { unused, repack, unused_left } = plan(&candidates, limits);
    let in_no_index = usage.inventory().packs().iter().map(|(pack, _)| pack);
    let in_no_index =
        in_no_index.filter(|pack| !tallies.contains_key(pack) && !condemned.contains(pack));
    let unused = old_enough(work, unused.into_iter().chain(in_no_index))?;
    let repack = old_enough(work, repack.into_iter())?;
    let size = |pack: &PackId| usage.size_of(pack).unwrap_or(0);
    let marked = Marked {
        packs: (unused.len() + repack.len()) as u64,
        bytes: unused.iter().chain(&repack).map(size).sum(),
        repacked_packs: repack.len() as u64,
        repacked_bytes: repack.iter().filter_map(|pack| tallies.get(pack)).map(|t| t.used).sum(),
        unused_left,
    };
    if work.options.dry_run {
        return Ok(marked);
    }
    let indexes = usage.inventory().files();
    condemn(work, unused, indexes)?;
    work.monitor.begin("repack", Some(marked.repacked_bytes));
    let mut repacked_bytes = 0;
    for round in rounds(&repack, &tallies) {
        let packs = round.iter().copied().collect();
        let repacker = Repacker::new(&fresh, work.random, work.monitor)?;
        let new = repacker.copy(&usage, &packs, keep_going)?;
        let average = usage.chunk_average();
        let mut writer = IndexWriter::new(work.repository.opened(), average, work.random);
        for pack in new {
            repacked_bytes += pack.size;
            writer.add(pack.id, pack.entries)?;
        }
        writer.finish()?;
        // Only now: until the index file with the copies is durable, the old packs are needed.
        condemn(work, round, indexes)?;
    }
    Ok(Marked { repacked_bytes, ..marked })
}

/// Those of these packs that nothing on its way may have brought.
fn old_enough(
    work: &Work<'_>,
    packs: impl Iterator<Item = PackId>,
) -> Result<Vec<PackId>, RepoError> {
    let mut old = Vec::new();
    for pack in packs {
        if !work.is_young(&pack)? {
            old.push(pack);
        }
    }
    Ok(old)
}

fn condemn(work: &Work<'_>, packs: Vec<PackId>, indexes: &[IndexId]) -> Result<(), RepoError> {
    if packs.is_empty() {
        return Ok(());
    }
    // The time is that of the mark, not of the look: who comes before the mark is given all grace.
    let since = work.clock.now();
    let indexes = indexes.to_vec();
    work.write_mark(Condemned { since, sweeping: false, packs, indexes }).map(drop)
}

/// Packs that are copied before the next mark.
fn rounds(packs: &[PackId], tallies: &HashMap<PackId, Tally>) -> Vec<Vec<PackId>> {
    let mut rounds = Vec::new();
    let (mut round, mut bytes, mut blobs) = (Vec::new(), 0, 0);
    for pack in packs {
        let tally = tallies.get(pack).copied().unwrap_or_default();
        round.push(*pack);
        bytes += tally.used;
        blobs += u64::from(tally.used_blobs);
        if bytes >= ROUND_BYTES || blobs >= ROUND_BLOBS {
            rounds.push(std::mem::take(&mut round));
            (bytes, blobs) = (0, 0);
        }
    }
    if !round.is_empty() {
        rounds.push(round);
    }
    rounds
}
