//! Any change to any byte of a repository is noticed, and never makes a program fall over.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use outlast_format::crypto::Key;
use outlast_repo::restore::{Options, restore};
use outlast_repo::{Credential, Repository, check, read};
use outlast_store::memory::MemoryStore;
use outlast_store::{Kind, Object, Store};
use outlast_testing::{compare_trees, pseudo_random};
use outlast_types::Silent;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::forge::{Forge, directory};

/// A small repository, the key to it, and what a restore of it gives.
struct Original {
    store: Arc<MemoryStore>,
    objects: Vec<Object>,
    key: Key,
    restored: tempfile::TempDir,
}

fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let mut forge = Forge::new();
        let pieces: Vec<Vec<u8>> = (0..20).map(|n| pseudo_random(n, 300)).collect();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let nodes = vec![forge.file(b"one", &slices), forge.file(b"two", &slices[3..5])];
        forge.end_pack();
        let inner = forge.tree(nodes);
        let node = forge.file(b"small", &[b"small"]);
        let root = forge.tree(vec![directory(b"inner", inner), node]);
        let (store, repository) = forge.finish(root);
        let restored = tempfile::tempdir().unwrap();
        let options = Options { overwrite: true, ..Options::default() };
        let summary = restore(&repository, root, restored.path(), &options, &Silent).unwrap();
        assert!(summary.problems.is_empty());
        let kinds = [Kind::Config, Kind::Index, Kind::Snapshot, Kind::Data];
        let objects = kinds.iter().flat_map(|&kind| store.list(kind).unwrap());
        let objects = objects.map(|(object, _)| object).collect();
        Original { store, objects, key: repository.key().clone(), restored }
    })
}

/// Does everything that reads; whether the check noticed a change.
fn use_all(repository: &Repository) -> Result<bool, TestCaseError> {
    let report = check::check(
        repository,
        &check::Options { read_data: true, ..check::Options::default() },
        &Silent,
    )
    .unwrap();
    let Ok(latest) = read::resolve(repository, "latest") else { return Ok(!report.is_clean()) };
    let tree = latest.snapshot.tree;
    let mut unlisted = 0;
    read::ls(repository, tree, |found| unlisted += usize::from(found.is_err())).unwrap();
    let target = tempfile::tempdir().unwrap();
    let options = Options { verify: true, ..Options::default() };
    let summary = restore(repository, tree, target.path(), &options, &Silent).unwrap();
    for difference in compare_trees(original().restored.path(), target.path()) {
        let honest = difference.ends_with("is missing")
            || difference.contains(".damaged") && difference.ends_with("should not be there");
        prop_assert!(honest && !summary.problems.is_empty(), "{}", difference);
    }
    prop_assert!(unlisted == 0 || !summary.problems.is_empty());
    prop_assert!(summary.problems.is_empty() || !report.is_clean());
    Ok(!report.is_clean())
}

proptest! {
    #![proptest_config(outlast_testing::cases(64))]

    #[test]
    fn a_change_anywhere_is_noticed_and_never_restored_as_if_it_were_right(
        object in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        cut in prop::bool::weighted(0.2),
    ) {
        let original = original();
        let object = *object.get(&original.objects);
        let store = MemoryStore::new();
        for each in &original.objects {
            store.overwrite(each, original.store.read(each).unwrap());
        }
        let mut content = store.read(&object).unwrap().to_vec();
        let at = at.index(content.len());
        content[at] ^= flip;
        if cut {
            content.truncate(at);
        }
        store.overwrite(&object, Bytes::from(content));
        let store: Arc<dyn Store> = Arc::new(store);
        match Repository::open(store, Credential::Key(original.key.clone())) {
            Err(error) => prop_assert_eq!(object, Object::Config, "{}", error),
            Ok(repository) => prop_assert!(use_all(&repository)?),
        }
    }
}
