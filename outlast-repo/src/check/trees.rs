//! Snapshots and trees: everything that they refer to is there.
//!
//! Several workers take directories from one stack, so that a huge tree keeps all cores busy;
//! snapshots come one after the other, oldest first, so that what they share is told of the first.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{thread, vec};

use outlast_format::pack::BlobType;
use outlast_format::snapshot::Snapshot;
use outlast_format::tree::NodeKind;
use outlast_format::{BlobId, PackId, SnapshotId};
use outlast_fs::EntryPath;
use outlast_types::Monitor;

use super::report::{Builder, Defect, Losses};
use crate::inventory::BitSet;
use crate::read::copies::Copies;
use crate::read::tree::{Level, TreeReader};
use crate::read::{Found, Snapshots, TreeError, WalkError, pool};
use crate::{CacheError, Index, RepoError, Repository};

/// Neighbourhoods of trees that all workers together keep, in MiB.
const SEGMENTS_MAX: usize = 24;

pub(super) fn check(
    repository: &Repository,
    snapshots: Snapshots,
    report: &mut Builder<'_>,
    monitor: &dyn Monitor,
) -> Result<(), RepoError> {
    monitor.begin("check snapshots", None);
    report.counts().snapshots = snapshots.list.len() as u64;
    for error in snapshots.unreadable {
        report.add(Defect::Object(error));
    }
    let copies = Copies::new(repository)?;
    let losses = report.take_losses();
    let work = Work::new(snapshots.list, copies.index());
    let visitor = Visitor { copies: &copies, losses, report: Mutex::new(&mut *report) };
    thread::scope(|scope| {
        for _ in 0..pool::workers() {
            scope.spawn(|| {
                if let Err(error) = worker(&work, &visitor, monitor) {
                    work.give_up(error);
                }
            });
        }
    });
    let queue = work.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = queue.failed {
        return Err(error);
    }
    let Visitor { losses, .. } = visitor;
    report.counts().trees = queue.seen.0.count();
    report.keep_losses(losses);
    Ok(())
}

fn worker(work: &Work, visitor: &Visitor<'_, '_>, monitor: &dyn Monitor) -> Result<(), RepoError> {
    let mut reader = TreeReader::sharing(visitor.copies, SEGMENTS_MAX.div_ceil(pool::workers()))?;
    while let Some(directory) = work.next(visitor.copies.index(), monitor)? {
        let inside = visitor.directory(&mut reader, directory)?;
        work.done(inside);
    }
    Ok(())
}

/// A directory that is to be looked at.
struct Directory {
    snapshot: SnapshotId,
    path: Option<EntryPath>,
    tree: BlobId,
}

/// Directories in one directory that are to be looked at, the last one first. There may be as many
/// as a directory can have, so each is small.
struct Inside {
    snapshot: SnapshotId,
    path: Option<EntryPath>,
    members: Vec<Member>,
}

struct Member {
    name: Box<[u8]>,
    tree: BlobId,
    /// Its number in the index; `None` if no index file lists it.
    place: Option<u64>,
}

impl Inside {
    fn next(&mut self) -> Option<Directory> {
        let Member { name, tree, .. } = self.members.pop()?;
        // The names were found good together.
        let path = match &self.path {
            None => EntryPath::from_names(vec![name.into_vec()]),
            Some(above) => above.join(&name),
        };
        Some(Directory { snapshot: self.snapshot, path: path.ok(), tree })
    }
}

/// Directories that are to be looked at, and the snapshots behind them.
struct Work {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The trees that were looked at: one bit for each blob of the repository.
struct Seen(BitSet);

impl Seen {
    /// Notes a tree; whether it is new. One without a number is always new: no index file lists it,
    /// so it cannot be read, and nothing comes after it.
    fn insert(&mut self, number: Option<u64>) -> bool {
        number.is_none_or(|number| self.0.insert(number))
    }
}

struct Queue {
    snapshots: vec::IntoIter<(SnapshotId, Snapshot)>,
    /// The newest first: what is being looked at is finished before more is begun, so that no more
    /// wait than a path's directories have entries.
    waiting: Vec<Inside>,
    seen: Seen,
    /// Workers that may still find directories.
    busy: usize,
    failed: Option<RepoError>,
}

impl Work {
    /// The work of checking these snapshots.
    fn new(snapshots: Vec<(SnapshotId, Snapshot)>, index: &Index) -> Self {
        let queue = Queue {
            snapshots: snapshots.into_iter(),
            waiting: Vec::new(),
            seen: Seen(BitSet::new(index.ordinals())),
            busy: 0,
            failed: None,
        };
        Self { queue: Mutex::new(queue), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next directory; `None` when all were looked at, or somebody gave up.
    fn next(&self, index: &Index, monitor: &dyn Monitor) -> Result<Option<Directory>, CacheError> {
        let mut queue = self.lock();
        loop {
            if queue.failed.is_some() {
                return Ok(None);
            }
            if let Some(directory) = queue.pop() {
                queue.busy += 1;
                return Ok(Some(directory));
            }
            if queue.busy > 0 {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some((snapshot, Snapshot { tree, .. })) = queue.snapshots.next() else {
                return Ok(None);
            };
            monitor.item(&format!("snapshot {snapshot:.8}"));
            let place = index.ordinal(BlobType::Tree, &tree)?;
            if queue.seen.insert(place) {
                queue.busy += 1;
                return Ok(Some(Directory { snapshot, path: None, tree }));
            }
        }
    }

    /// One directory was looked at, and these are in it.
    fn done(&self, inside: Inside) {
        let mut queue = self.lock();
        queue.busy -= 1;
        queue.add(inside);
        drop(queue);
        self.changed.notify_all();
    }

    fn give_up(&self, error: RepoError) {
        self.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }
}

impl Queue {
    /// Lets directories wait unless they were seen: snapshots share most of their trees. The first
    /// of these is to be next, because its tree lies beside its parent's.
    fn add(&mut self, mut inside: Inside) {
        inside.members.retain(|member| self.seen.insert(member.place));
        inside.members.reverse();
        if !inside.members.is_empty() {
            self.waiting.push(inside);
        }
    }

    fn pop(&mut self) -> Option<Directory> {
        loop {
            match self.waiting.last_mut()?.next() {
                Some(directory) => return Some(directory),
                None => drop(self.waiting.pop()),
            }
        }
    }
}

/// Judges directories, for all workers.
struct Visitor<'v, 'm> {
    copies: &'v Arc<Copies<'v>>,
    losses: Losses,
    report: Mutex<&'v mut Builder<'m>>,
}

impl<'v, 'm> Visitor<'v, 'm> {
    fn report(&self) -> MutexGuard<'_, &'v mut Builder<'m>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is in a directory; returns the directories in it.
    fn directory(
        &self,
        reader: &mut TreeReader<'_>,
        directory: Directory,
    ) -> Result<Inside, RepoError> {
        let Directory { snapshot, path, tree } = directory;
        let mut inside = Inside { snapshot, path: path.clone(), members: Vec::new() };
        let level = match Level::open(reader, path, tree) {
            Ok(level) => level,
            Err(error) => match error.cache_failure() {
                Some(failure) => return Err(failure.clone().into()),
                None => {
                    self.failure(snapshot, error);
                    return Ok(inside);
                }
            },
        };
        for step in level {
            match step {
                Err(error) => self.failure(snapshot, error),
                Ok(Found { node, .. }) if node.kind == NodeKind::Directory => {
                    if let Some(tree) = node.subtree {
                        let place = self.copies.index().ordinal(BlobType::Tree, &tree)?;
                        let name = node.name.into_boxed_slice();
                        inside.members.push(Member { name, tree, place });
                    }
                }
                Ok(found) => self.entry(snapshot, &found)?,
            }
        }
        Ok(inside)
    }

    fn entry(&self, snapshot: SnapshotId, found: &Found) -> Result<(), RepoError> {
        if found.node.kind != NodeKind::File {
            return Ok(());
        }
        let mut length = Some(0);
        let mut hit = BTreeSet::new();
        for &blob in found.node.content.iter().flatten() {
            match self.copies.index().locate(BlobType::Data, &blob)? {
                Some(location) => {
                    let plaintext = u64::from(location.entry(blob).plaintext_length());
                    length = length.map(|length: u64| length.saturating_add(plaintext));
                    hit.extend(self.loss_of(location.pack, blob));
                }
                None => {
                    length = None;
                    hit.insert(self.report().unknown_blob(BlobType::Data, blob));
                }
            }
        }
        for number in hit {
            self.report().hit(number, snapshot, &found.path.to_string());
        }
        if let Some(content) = length
            && content != found.node.size
        {
            let (path, recorded) = (found.path.clone(), found.node.size);
            self.report().add(Defect::FileSize { snapshot, path, recorded, content });
        }
        Ok(())
    }

    /// The problem that takes a blob of content away, unless there is a copy that it leaves.
    fn loss_of(&self, pack: PackId, blob: BlobId) -> Option<usize> {
        let loss = self.losses.of(pack, BlobType::Data, blob)?;
        let copies = self.copies.of(BlobType::Data, blob);
        let survives =
            copies.iter().any(|copy| self.losses.of(copy.pack, BlobType::Data, blob).is_none());
        (!survives).then_some(loss)
    }

    /// A tree that cannot be read counts for the pack that is the cause, if that is known.
    fn failure(&self, snapshot: SnapshotId, error: WalkError) {
        let mut report = self.report();
        let WalkError::Directory { directory, tree, source } = &error else {
            report.add(Defect::Tree { snapshot, source: error });
            return;
        };
        let TreeError::Blob(source) = &**source else {
            report.add(Defect::Tree { snapshot, source: error });
            return;
        };
        let number = match (source.pack(), *tree) {
            (Some(pack), tree) => {
                let known = self.losses.of(pack, BlobType::Tree, tree);
                known.unwrap_or_else(|| report.add(Defect::Blob(source.clone())))
            }
            (None, tree) => report.unknown_blob(BlobType::Tree, tree),
        };
        report.hit(number, snapshot, &format!("{directory} (all of it)"));
    }
}
