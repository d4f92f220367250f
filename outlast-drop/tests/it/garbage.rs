//! Shares full of nonsense: never a panic, never a drop.

use std::fs::{self, File};
use std::io::Write;

use outlast_drop::{CleanOptions, DropState, ScanMemory, clean, scan, status};
use outlast_types::{Clock, SystemClock};
use proptest::prelude::*;

use crate::support::new_share;

const ID: &str = "0198e2f0-1111-7222-8333-444455556666";

/// Path components that get far into the layout.
fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("w".to_owned()),
        Just("shop".to_owned()),
        Just("drops".to_owned()),
        Just("receipts".to_owned()),
        Just("20260131".to_owned()),
        Just(ID.to_owned()),
        Just("sealed.json".to_owned()),
        Just("open.json".to_owned()),
        Just("0001.seg".to_owned()),
        Just(".nfs0001".to_owned()),
        "[a-zA-Z0-9._ -]{1,12}"
            .prop_filter("no dots alone", |name| !name.trim_matches('.').is_empty()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let likely = ["", "w/shop/drops/20260131/", "w/shop/drops/", "w/"].map(Just);
    let likely = prop::sample::select(likely.map(|Just(path)| path).to_vec());
    (likely, prop::collection::vec(component(), 1..5))
        .prop_map(|(start, components)| format!("{start}{}", components.join("/")))
}

proptest! {
    #![proptest_config(outlast_testing::cases(60))]

    #[test]
    fn a_garbage_tree_never_makes_a_scan_panic_or_see_a_sealed_drop(
        files in prop::collection::vec((path(), prop::collection::vec(any::<u8>(), 0..100)), 0..20),
        seal in prop::option::of("\\PC{0,60}"),
    ) {
        let (_directory, share) = new_share();
        let seal = seal.map(|text| (format!("w/shop/drops/20260131/{ID}/sealed.json"), text.into_bytes()));
        for (path, content) in files.into_iter().chain(seal) {
            let path = share.path().join(path);
            // Files and directories may stand in each other's way; that is garbage too.
            if fs::create_dir_all(path.parent().unwrap()).is_ok()
                && let Ok(mut file) = File::create_new(&path)
            {
                file.write_all(&content).unwrap();
            }
        }
        let now = SystemClock.now();
        let seen = scan(&share, &mut ScanMemory::default(), now).unwrap();
        for sighting in seen.workloads.iter().flat_map(|workload| &workload.sightings) {
            prop_assert!(!matches!(sighting.state, DropState::Sealed(_)));
        }
        status(&share, None).unwrap();
        clean(&share, now, &CleanOptions::default(), None).unwrap();
    }
}
