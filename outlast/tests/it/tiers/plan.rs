//! A plan beside what really happens: generated dumps go from the share through agent, media server and line to
//! the vault, and bytes are counted.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use outlast_testing::{Sequence, pseudo_random};
use serde_json::Value;

use super::harness::Tiers;
use crate::harness::{document, outlast, scratch, succeed};

const SIZE: usize = 24 << 20;
const EDIT: usize = 8 << 10;
/// February of 2027.
const DROPS: u64 = 28;

/// So many bytes of a dump: sixteen letters in no order, of which compression leaves half.
fn letters(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = pseudo_random(seed, bytes);
    content.iter_mut().for_each(|byte| *byte = b"0123456789abcdef"[usize::from(*byte & 15)]);
    content
}

/// The dump of the next day: 1.5 % of it are other letters, in runs of 8 KiB.
fn next_day(content: &mut [u8], dice: &mut Sequence) {
    for _ in 0..content.len() * 15 / 1000 / EDIT {
        let at = usize::try_from(dice.below((content.len() - EDIT) as u64)).unwrap();
        content[at..at + EDIT].copy_from_slice(&letters(dice.below(u64::MAX), EDIT));
    }
}

/// Bytes of all files below.
fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        // It has gone meanwhile.
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(of).sum()
}

fn put(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

#[track_caller]
fn agree(what: &str, planned: f64, actual: f64) {
    println!("{what}: planned {planned:.0}, actual {actual:.0}");
    let off = (actual - planned) / planned;
    assert!(off.abs() < 0.10, "{what}: {planned:.0} is planned, and it is {actual:.0}");
}

const PLAN: &str = r#"
start = "2027-02"
months = 1
[[site]]
name = "here"
cloud = "aws"
region = "us-east-1"
[site.line]
rate = "100Mbit/s"
[[workload]]
name = "shop-db"
size = "24MiB"
change = "1.5%"
edit = "8KiB"
compresses_to = "50%"
"#;

#[test]
fn a_plan_of_a_month_agrees_with_a_month_of_dumps_on_the_line_on_the_share_and_in_the_vault() {
    let directory = scratch();
    let file = directory.path().join("plan.toml");
    put(&file, PLAN.as_bytes());
    let planned = document(outlast().arg("plan").arg(&file).arg("--json"));
    let month = &planned["months"][0];
    let number = |key: &str| month[key].as_f64().unwrap();
    assert_eq!(number("drops"), DROPS as f64);

    let mut tiers = Tiers::start(directory.path());
    let dump = directory.path().join("dump.sql");
    let (mut content, mut dice) = (letters(1, SIZE), Sequence::new(2));
    let before = tiers.line.carried().there;
    let mut share_peak = 0;
    for day in 0..DROPS {
        if day > 0 {
            next_day(&mut content, &mut dice);
        }
        put(&dump, &content);
        let drop = tiers.drop("shop-db", &dump);
        share_peak = share_peak.max(bytes_below(&tiers.share.join("w/shop-db/drops")));
        tiers.wait_for_receipt("shop-db", &drop, "vaulted");
    }
    // What is planned as the line's bytes is what is meant; packets and words come to 3 % more.
    let line = tiers.line.carried().there - before;
    agree("bytes on the line", number("line_bytes") * 1.03, line as f64);
    agree("the share's peak", number("share_peak_bytes"), share_peak as f64);
    let held = vault_bytes(&tiers.vault_directory());
    agree("the vault's size", number("vault_bytes"), held as f64);
    assert_eq!(tiers.snapshots("shop-db") as f64, number("snapshots"));

    // And the vault tells the same of itself.
    let mut ask = tiers.ask(&["plan", "--from-vault", "--print-measured"]);
    let measured = succeed(&mut ask);
    assert!(measured.contains("name = \"shop-db\""), "{measured}");
    // A file is dropped as a tree: its tar is some headers longer, by the length of its path.
    let size = measured.split("size = \"").nth(1).and_then(|rest| rest.split_once('B'));
    let size: u64 = size.unwrap().0.parse().unwrap();
    assert!((SIZE as u64..SIZE as u64 + 16_384).contains(&size), "{measured}");
    let path = file.to_str().unwrap();
    let compared = document(&mut tiers.ask(&["plan", path, "--against-vault", "--json"]));
    let rows = compared["compared"].as_array().unwrap();
    let of = |value: &Value| value.as_f64().unwrap();
    for what in ["size of a drop", "stored for a drop"] {
        let row = rows.iter().find(|it| it["what"] == what).unwrap();
        agree(what, of(&row["planned"]), of(&row["actual"]));
    }
}

/// Bytes of the repositories.
fn vault_bytes(vault: &Path) -> u64 {
    let entries = std::fs::read_dir(vault).unwrap().map(Result::unwrap);
    let repositories = entries.filter(|entry| entry.path().join("shop-db/data").is_dir());
    let bytes = repositories.map(|entry| bytes_below(&entry.path().join("shop-db"))).sum();
    assert!(bytes > 0, "the repository is elsewhere");
    bytes
}
