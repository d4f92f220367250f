use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;

type Record = [u8; 48];

const KEY: [u8; 32] = [7; 32];

fn run_set(directory: &Path) -> (RunSet<48>, Vec<Vec<u8>>) {
    RunSet::open(Place::Kept(directory.to_owned()), KEY, Trust::Nothing).unwrap()
}

/// A record whose id shares its first bytes with many others.
fn record(start: u8, id: u8, rest: u16) -> Record {
    let mut record = [start; 48];
    record[20] = id;
    record[46..].copy_from_slice(&rest.to_be_bytes());
    record
}

fn records() -> impl Strategy<Value = BTreeSet<Record>> {
    let record = (0..4_u8, 0..6_u8, 0..400_u16)
        .prop_map(|(start, id, rest)| record(start.saturating_mul(85), id, rest));
    prop::collection::btree_set(record, 0..900)
}

fn all(run: &Run<48>, id: &[u8; 32]) -> Vec<Record> {
    let mut found = Vec::new();
    let taken = run.find(id, |_, record| {
        found.push(*record);
        None::<()>
    });
    assert_eq!(taken.unwrap(), None);
    found
}

proptest! {
    #![proptest_config(outlast_testing::cases(32))]
    #[test]
    fn a_run_gives_all_records_of_an_id_in_memory_on_disk_and_merged(
        (one, other) in (records(), records())
    ) {
        let directory = tempfile::tempdir().unwrap();
        for place in [Place::Memory, Place::Kept(directory.path().to_owned())] {
            let (mut run_set, _) = RunSet::open(place, KEY, Trust::Nothing).unwrap();
            run_set.add(&one, b"one").unwrap();
            run_set.add(&other, b"other").unwrap();
            run_set.merge(0, b"both").unwrap();
            let both: BTreeSet<Record> = &one | &other;
            let run = &run_set.runs()[0];
            prop_assert_eq!(run.records(), both.len() as u64);
            for start in 0..=4_u8 {
                for id in 0..=6_u8 {
                    let id = record(start.saturating_mul(85), id, 0);
                    let id: &[u8; 32] = id.first_chunk().unwrap();
                    let expected: Vec<_> =
                        both.iter().filter(|record| record[..32] == id[..]).copied().collect();
                    prop_assert_eq!(all(run, id), expected);
                }
            }
        }
        let (run_set, metas) = run_set(directory.path());
        prop_assert_eq!((run_set.runs().len(), metas), (1, vec![b"both".to_vec()]));
    }

    #[test]
    fn whatever_lies_in_a_set_of_runs_is_no_run_and_no_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..9000),
        pages in 0..4_u64,
        trailer in any::<bool>(),
    ) {
        if trailer {
            // A trailer that fits, but for its checksum.
            let meta = bytes.len() as u64 % 100;
            bytes.resize(usize::try_from(pages * 4104 + meta).unwrap(), 0);
            bytes.extend_from_slice(b"outlrun1");
            bytes.extend_from_slice(&48_u32.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            for number in [pages, pages * 84, meta] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&[1; 56]);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("00000000-00000003.run");
        outlast_fs::durable::create_new(&path, &bytes, 0o600).unwrap();
        prop_assert_eq!(run_set(directory.path()).0.runs().len(), 0);
        prop_assert!(!path.exists());
    }
}

#[test]
fn in_a_year_of_days_runs_stay_few_and_a_record_is_seldom_written_again() {
    let (mut sizes, mut written) = (Vec::new(), 0_u64);
    let added: u64 = 365;
    for _ in 0..added {
        sizes.push(1);
        written += 1;
        if let Some(from) = merge_from(&sizes, 4) {
            let merged: u64 = sizes.drain(from..).sum();
            written += merged;
            sizes.push(merged);
        }
        assert!(sizes.len() <= 4);
    }
    assert_eq!(sizes.iter().sum::<u64>(), added);
    assert!(written / added < 25, "each record was written {} times", written / added);
}
