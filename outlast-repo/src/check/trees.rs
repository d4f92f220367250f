//! Snapshots and trees: everything that they refer to is there.

use std::collections::HashSet;
use std::sync::Arc;

use outlast_format::pack::BlobType;
use outlast_format::tree::NodeKind;
use outlast_format::{BlobId, PackId, SnapshotId};
use outlast_types::Monitor;

use super::report::{Builder, Defect};
use crate::read::copies::Copies;
use crate::read::{Found, Snapshots, TreeError, TreeWalk, WalkError};
use crate::{Index, RepoError, Repository};

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
    let mut visitor = Visitor { index: copies.index(), copies, report, seen: HashSet::new() };
    for (id, snapshot) in snapshots.list {
        monitor.item(&format!("snapshot {id:.8}"));
        if !visitor.seen.insert(snapshot.tree) {
            continue;
        }
        let mut walk = TreeWalk::new(repository, snapshot.tree)?;
        while let Some(step) = walk.next() {
            match step {
                Ok(found) => {
                    visitor.entry(id, &found)?;
                    // Snapshots share most of their trees; each is looked at once.
                    if found.node.subtree.is_some_and(|tree| !visitor.seen.insert(tree)) {
                        walk.skip_directory();
                    }
                }
                Err(error) => match error.cache_failure() {
                    Some(failure) => return Err(failure.clone().into()),
                    None => visitor.failure(id, error),
                },
            }
        }
    }
    visitor.report.counts().trees = visitor.seen.len() as u64;
    Ok(())
}

struct Visitor<'v, 'm> {
    index: &'v Index,
    copies: Arc<Copies<'v>>,
    report: &'v mut Builder<'m>,
    seen: HashSet<BlobId>,
}

impl Visitor<'_, '_> {
    fn entry(&mut self, snapshot: SnapshotId, found: &Found) -> Result<(), RepoError> {
        if found.node.kind != NodeKind::File {
            return Ok(());
        }
        let mut length = Some(0);
        let mut hit = HashSet::new();
        for &blob in found.node.content.iter().flatten() {
            match self.index.locate(BlobType::Data, &blob)? {
                Some(location) => {
                    let plaintext = u64::from(location.entry(blob).plaintext_length());
                    length = length.map(|length: u64| length.saturating_add(plaintext));
                    hit.extend(self.loss_of(location.pack, blob));
                }
                None => {
                    length = None;
                    hit.insert(self.report.unknown_blob(BlobType::Data, blob));
                }
            }
        }
        for number in hit {
            self.report.hit(number, snapshot, &found.path.to_string());
        }
        if let Some(content) = length
            && content != found.node.size
        {
            let (path, recorded) = (found.path.clone(), found.node.size);
            self.report.add(Defect::FileSize { snapshot, path, recorded, content });
        }
        Ok(())
    }

    /// The problem that takes a blob of content away, unless there is a copy that it leaves.
    fn loss_of(&self, pack: PackId, blob: BlobId) -> Option<usize> {
        let loss = self.report.loss_of(pack, BlobType::Data, blob)?;
        let copies = self.copies.of(BlobType::Data, blob);
        let survives = copies
            .iter()
            .any(|copy| self.report.loss_of(copy.pack, BlobType::Data, blob).is_none());
        (!survives).then_some(loss)
    }

    /// A tree that cannot be read counts for the pack that is the cause, if that is known.
    fn failure(&mut self, snapshot: SnapshotId, error: WalkError) {
        let WalkError::Directory { directory, tree, source } = &error else {
            self.report.add(Defect::Tree { snapshot, source: error });
            return;
        };
        let TreeError::Blob(source) = &**source else {
            self.report.add(Defect::Tree { snapshot, source: error });
            return;
        };
        let number = match (source.pack(), *tree) {
            (Some(pack), tree) => {
                let known = self.report.loss_of(pack, BlobType::Tree, tree);
                known.unwrap_or_else(|| self.report.add(Defect::Blob(source.clone())))
            }
            (None, tree) => self.report.unknown_blob(BlobType::Tree, tree),
        };
        self.report.hit(number, snapshot, &format!("{directory} (all of it)"));
    }
}
