//! Everything that a tree reaches is met, and what is known at its place is not.

use std::collections::BTreeSet;

use outlast_format::config::Version;
use outlast_format::pack::BlobType;
use outlast_format::{BlobId, SnapshotId};
use outlast_repo::reach::{Met, reach};
use outlast_repo::{Repository, read};
use outlast_store::{Object, Store};

use crate::prune::world::World;

type Blobs = BTreeSet<(bool, BlobId)>;

fn tree_of(repository: &Repository, snapshot: SnapshotId) -> BlobId {
    let snapshots = read::snapshots(repository).unwrap().list;
    snapshots.into_iter().find(|(id, _)| *id == snapshot).unwrap().1.tree
}

/// What is met, each with whether it is a tree, and the trees that are lost.
fn met(repository: &Repository, tree: BlobId, known: &[BlobId]) -> (Blobs, Vec<BlobId>) {
    let (mut blobs, mut lost) = (Blobs::new(), Vec::new());
    reach(repository, tree, known, &mut |met| {
        match met {
            Met::Blob { kind, id } => drop(blobs.insert((kind == BlobType::Tree, id))),
            Met::Lost { tree } => lost.push(tree),
        }
        Ok(true)
    })
    .unwrap();
    (blobs, lost)
}

/// The same by the walk that restores.
fn below(repository: &Repository, tree: BlobId) -> Blobs {
    let mut blobs = Blobs::from([(true, tree)]);
    for found in read::TreeWalk::new(repository, tree).unwrap() {
        let node = found.unwrap().node;
        blobs.extend(node.subtree.map(|tree| (true, tree)));
        blobs.extend(node.content.iter().flatten().map(|id| (false, *id)));
    }
    blobs
}

#[test]
fn all_is_met_but_what_a_known_tree_has_at_the_same_place() {
    let world = World::new(Version::V2);
    let first = world.back_up(&[0, 1, 2, 3, 4, 5]);
    let second = world.back_up(&[0, 1, 2, 3, 4, 5, 7]);
    let repository = world.open();
    let [first, second] = [first, second].map(|snapshot| tree_of(&repository, snapshot));
    let (of_first, of_second) = (below(&repository, first), below(&repository, second));
    assert_eq!(met(&repository, second, &[]), (of_second.clone(), Vec::new()));
    assert_eq!(met(&repository, second, &[second]).0, Blobs::new());
    // One directory has another file, and so has the root another directory.
    let (new, _) = met(&repository, second, &[first]);
    let is_new = |blob: &&(bool, BlobId)| !of_first.contains(blob);
    assert!(of_second.iter().filter(is_new).all(|blob| new.contains(blob)));
    let trees = new.iter().filter(|(is_tree, _)| *is_tree);
    assert!(trees.clone().all(|blob| !of_first.contains(blob)), "what is known is not entered");
    assert_eq!(trees.count(), 2);
    assert!(new.len() < of_second.len());
    // What nothing is known of is met as a whole, and a known tree that is gone knows nothing.
    assert_eq!(met(&repository, second, &[BlobId([9; 32])]).0, of_second);
    let unknown = BlobId([8; 32]);
    assert_eq!(met(&repository, unknown, &[]).0, Blobs::from([(true, unknown)]));
}

#[test]
fn a_tree_that_cannot_be_read_is_lost_and_the_rest_is_met() {
    let world = World::new(Version::V2);
    let snapshot = world.back_up(&[0, 1, 2, 3, 4, 5]);
    let repository = world.open();
    let tree = tree_of(&repository, snapshot);
    let whole = below(&repository, tree);
    let subtree = whole.iter().find(|(is_tree, id)| *is_tree && *id != tree).unwrap().1;
    let place = repository.index().unwrap().locate(BlobType::Tree, &subtree).unwrap().unwrap();
    world.store.remove(&Object::Data(place.pack)).unwrap();
    let (blobs, lost) = met(&world.open(), tree, &[]);
    assert!(lost.contains(&subtree) || lost.contains(&tree), "{lost:?}");
    assert!(blobs.is_subset(&whole) && blobs.contains(&(true, tree)));
}
