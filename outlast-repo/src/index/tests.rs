use std::collections::HashMap;
use std::mem::size_of;

use proptest::prelude::*;

use super::*;

fn entry(kind: BlobType, id: u16, offset: u32) -> PackEntry {
    PackEntry {
        kind,
        id: BlobId::of(&id.to_le_bytes()),
        offset,
        length: 100,
        uncompressed_length: id.is_multiple_of(2).then_some(200),
    }
}

proptest! {
    #[test]
    fn the_table_answers_as_a_map_would(
        blobs in prop::collection::vec((any::<bool>(), 0..3000_u16, 0..5_u8), 0..4000)
    ) {
        let index = Index::new();
        let mut model = HashMap::new();
        for (n, &(tree, id, pack)) in blobs.iter().enumerate() {
            let kind = if tree { BlobType::Tree } else { BlobType::Data };
            let entry = entry(kind, id, u32::try_from(n).unwrap());
            index.add(PackId([pack; 32]), &[entry]);
            model.entry((kind, entry.id)).or_insert((PackId([pack; 32]), entry));
        }
        prop_assert_eq!(index.blobs(), model.len() as u64);
        for ((kind, id), (pack, entry)) in &model {
            let location = index.locate(*kind, id).unwrap().unwrap();
            prop_assert_eq!(location.pack, *pack);
            prop_assert_eq!(location.entry(*id), *entry);
        }
        prop_assert!(!index.has(BlobType::Data, &BlobId([7; 32])).unwrap());
    }
}

#[test]
fn a_blob_costs_at_most_eighty_bytes() {
    let index = Index::new();
    for n in 0..50_000_u32 {
        let id = BlobId::of(&n.to_le_bytes());
        let entry = PackEntry { id, ..entry(BlobType::Data, 0, n) };
        index.add(PackId([1; 32]), &[entry]);
    }
    let table = index.read();
    let bytes = table.slabs.iter().map(|slab| slab.capacity() * size_of::<Entry>()).sum::<usize>()
        + table.slots.capacity() * size_of::<u32>();
    assert!(bytes / table.count <= 80, "{} bytes per blob", bytes / table.count);
}

#[test]
fn packs_are_known_by_their_id() {
    let index = Index::new();
    index.add(PackId([1; 32]), &[entry(BlobType::Data, 1, 0)]);
    index.add(PackId([1; 32]), &[entry(BlobType::Data, 2, 9)]);
    assert_eq!(index.packs(), vec![PackId([1; 32])]);
    assert!(index.has_pack(&PackId([1; 32])));
    assert!(!index.has_pack(&PackId([2; 32])));
}
