//! Every target for a moment, always with the same inputs; `cargo run -p outlast-fuzz` goes on.

use super::*;
use crate::drive::{Failure, Until, drive};

const SEED: u64 = 20_261_123;

#[track_caller]
fn short_run(name: &str) {
    let target = target(name).unwrap();
    let corpus = corpus::load(target).unwrap();
    let until = Until::Runs(target.runs_in_tests);
    match drive(target, corpus, SEED, until, |_| ()) {
        Ok(stats) => assert!(stats.accepted > 0, "{name}: nothing was accepted: {stats:?}"),
        Err(Failure { input, reason }) => {
            let input: String =
                input.iter().flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
            panic!("{name}: {reason}; the input is b\"{input}\"");
        }
    }
}

macro_rules! short_runs {
    ($($name:ident => $target:literal,)*) => {
        $(#[test]
        fn $name() {
            short_run($target);
        })*

        #[test]
        fn no_target_is_forgotten() {
            let mut tested = vec![$($target),*];
            let mut all: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            tested.sort_unstable();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

short_runs! {
    configs => "config",
    quoted_names_and_times => "go-text",
    index_files => "index",
    key_files => "key-file",
    packs => "pack",
    headers_of_packs => "pack-header",
    sealed_objects => "sealed",
    snapshots => "snapshot",
    trees => "tree",
    unpacked_objects => "unpacked",
    open_records => "open",
    receipts => "receipt",
    seals => "seal",
    contents_of_drops => "sanity",
    tar_archives => "tar",
    answers_of_bacula => "bacula",
    lists_and_jobs_of_netbackup => "netbackup",
    states_of_checks => "check-state",
    sorted_files_of_the_index => "index-cache",
    journals => "journal",
}

#[test]
fn what_fails_is_given_back_with_its_reason() {
    let fragile = Target {
        name: "fragile",
        run: |input| {
            assert!(!input.contains(&7), "seven");
            Outcome::accepted(input.len())
        },
        tokens: &[],
        runs_in_tests: 0,
    };
    let failure = drive(&fragile, vec![vec![1; 50]], 1, Until::Runs(100_000), |_| ()).unwrap_err();
    assert!(failure.input.contains(&7));
    assert_eq!(failure.reason, "seven");
}
