//! Rules of retention beside stock restic's: the same times, the same rules, the same answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use outlast_format::SnapshotId;
use outlast_repo::{Credential, Repository};
use outlast_store::directory::DirectoryStore;
use outlast_store::{Object, Store};
use outlast_testing::Sequence;
use outlast_types::{SystemRandom, Timestamp};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, document, outlast, repo, restic, scratch, succeed};

/// Sets of times that are judged by each policy.
const SETS: u64 = 12;
const KINDS: [&str; 6] = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
/// From when until when Berlin's clocks are two hours ahead.
const BERLIN_SUMMERS: [(&str, &str); 4] = [
    ("2022-03-27T01:00:00Z", "2022-10-30T01:00:00Z"),
    ("2023-03-26T01:00:00Z", "2023-10-29T01:00:00Z"),
    ("2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z"),
    ("2025-03-30T01:00:00Z", "2025-10-26T01:00:00Z"),
];

/// A set of times, and of each whether and by which rules it stays.
type Judged = BTreeMap<Timestamp, Vec<String>>;

fn unix(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().unix_seconds()
}

fn moment(unix: i64) -> Timestamp {
    Timestamp::from_unix(unix, 0).unwrap()
}

/// As a restic in that zone writes it.
fn shown(at: Timestamp, zone: &str) -> String {
    if zone == "UTC" {
        return at.to_string();
    }
    let unix_at = at.unix_seconds();
    let is_summer =
        BERLIN_SUMMERS.iter().any(|(begin, end)| (unix(begin)..unix(end)).contains(&unix_at));
    let hours = if is_summer { 2 } else { 1 };
    let shifted = moment(unix_at + hours * 3600).to_string();
    shifted.replace('Z', &format!("+0{hours}:00"))
}

/// Times of four years that are over, since restic counts no span back from one of the future: close together or far apart, often around the hours in which clocks are changed. The
/// newest is at noon, since nobody agrees on what a month before an hour is that was skipped or shown twice.
fn times(dice: &mut Sequence) -> Vec<Timestamp> {
    let newest = unix("2025-11-20T00:00:00Z") - i64::try_from(dice.below(700)).unwrap() * 86_400;
    let newest = newest + 10 * 3600 + i64::try_from(dice.below(6 * 3600)).unwrap();
    let step = [1800, 6 * 3600, 86_400, 20 * 86_400][usize::try_from(dice.below(4)).unwrap()];
    let mut times = vec![newest];
    for _ in 0..20 + dice.below(40) {
        let last = times.last().unwrap();
        times.push(last - 1 - i64::try_from(dice.below(step)).unwrap());
    }
    for (begin, end) in BERLIN_SUMMERS {
        for change in [begin, end] {
            let offset = i64::try_from(dice.below(4 * 3600)).unwrap() - 2 * 3600;
            times.push(unix(change) + offset);
        }
    }
    times.retain(|at| *at <= newest && *at >= unix("2022-01-01T12:00:00Z"));
    times.sort_unstable();
    times.dedup();
    times.into_iter().map(moment).collect()
}

/// Each kind of rule alone, then some together.
fn policies(dice: &mut Sequence) -> Vec<Vec<(String, String)>> {
    let mut rule = |kind: &str, is_span: bool| {
        let many = 1 + dice.below(9);
        if !is_span {
            return (kind.to_owned(), many.to_string());
        }
        let name = if kind == "last" { "within".to_owned() } else { format!("within-{kind}") };
        let months = dice.below(14);
        let span = [
            format!("{many}d"),
            format!("{}h", many * 7),
            format!("{}m{many}d", months + 1),
            format!("1y{}m{many}d{}h", months + 1, months + 2),
        ];
        (name, span[usize::try_from(dice.below(4)).unwrap()].clone())
    };
    let all = [false, true].into_iter().flat_map(|is_span| KINDS.map(|kind| (kind, is_span)));
    let mut policies: Vec<Vec<_>> =
        all.clone().map(|(kind, is_span)| vec![rule(kind, is_span)]).collect();
    for which in [0b0000_0011_1111, 0b1111_1100_0000, 0b1010_1001_0110, 0b0100_0010_1100] {
        let chosen = all.clone().enumerate().filter(|(index, _)| which >> index & 1 == 1);
        policies.push(chosen.map(|(_, (kind, is_span))| rule(kind, is_span)).collect());
    }
    policies
}

/// Snapshots of these times, of one host for each set.
fn write_snapshots(path: &Path, sets: &[Vec<Timestamp>], zone: &str) {
    succeed(&mut repo("init", path));
    let store = Arc::new(DirectoryStore::open(path).unwrap());
    let credential = Credential::Password(PASSWORD.as_bytes());
    let repository = Repository::open(store.clone(), credential).unwrap();
    for (host, set) in sets.iter().enumerate() {
        for at in set {
            let snapshot = json!({
                "time": shown(*at, zone),
                "tree": "00".repeat(32),
                "paths": ["/srv"],
                "hostname": format!("host-{host}"),
            });
            let document = snapshot.to_string();
            let (id, sealed): (SnapshotId, _) =
                repository.seal_unpacked("snapshot", document.as_bytes(), &SystemRandom).unwrap();
            store.create(&Object::Snapshot(id), sealed).unwrap();
        }
    }
}

/// What stock restic would keep of each set, and by which rules.
fn restics_word(path: &Path, policy: &[(String, String)], zone: &str) -> Vec<Judged> {
    let mut command = restic(path);
    command.args(["forget", "--dry-run", "--json", "--group-by", "host"]).env("TZ", zone);
    for (rule, amount) in policy {
        command.arg(format!("--keep-{rule}={amount}"));
    }
    let groups = document(&mut command);
    let mut all = vec![Judged::new(); usize::try_from(SETS).unwrap()];
    for group in groups.as_array().unwrap() {
        let host = group["host"].as_str().unwrap().trim_start_matches("host-");
        let judged = &mut all[host.parse::<usize>().unwrap()];
        let at =
            |snapshot: &Value| snapshot["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
        for snapshot in group["remove"].as_array().into_iter().flatten() {
            judged.insert(at(snapshot), Vec::new());
        }
        for reason in group["reasons"].as_array().into_iter().flatten() {
            let matches = reason["matches"].as_array().unwrap().iter();
            let rules = matches.filter_map(|words| rule_of(words.as_str().unwrap()));
            judged.insert(at(&reason["snapshot"]), rules.collect());
        }
    }
    all
}

/// Our word for one of restic's reasons. Since 0.17 it keeps the oldest one besides while a rule has places
/// left: what it says of that is not compared.
fn rule_of(words: &str) -> Option<String> {
    if words.starts_with("oldest ") {
        return None;
    }
    if let Some(kind) = words.strip_suffix(" snapshot") {
        return Some(kind.to_owned());
    }
    let (kind, _) = words.split_once("within ").unwrap();
    Some(if kind.is_empty() { "within".to_owned() } else { format!("within-{}", kind.trim()) })
}

fn our_word(file: &Path, policy: &[(String, String)], zone: &str) -> Judged {
    let rules: Vec<String> =
        policy.iter().map(|(rule, amount)| format!("{rule}={amount}")).collect();
    let mut command = outlast();
    command.args(["promise", "retention", "--json", "--zone", zone, "--keep", &rules.join(",")]);
    let said = document(command.arg("--times").arg(file));
    let of = |each: &Value| {
        let at = each["time"].as_str().unwrap().parse().unwrap();
        let rules = each["rules"].as_array().unwrap().iter();
        let rules: Vec<String> = rules.map(|rule| rule.as_str().unwrap().to_owned()).collect();
        assert_eq!(each["kept"].as_bool(), Some(!rules.is_empty()), "{each}");
        (at, rules)
    };
    said.as_array().unwrap().iter().map(of).collect()
}

fn agree(zone: &str, seed: u64) {
    let directory = scratch();
    let mut dice = Sequence::new(seed);
    let sets: Vec<Vec<Timestamp>> = (0..SETS).map(|_| times(&mut dice)).collect();
    let repository = directory.path().join("repo");
    write_snapshots(&repository, &sets, zone);
    let files: Vec<_> = (0..SETS).map(|set| directory.path().join(format!("{set}.txt"))).collect();
    for (path, set) in files.iter().zip(&sets) {
        let mut file = File::create(path).unwrap();
        set.iter().for_each(|at| writeln!(file, "{at}").unwrap());
    }
    let mut compared = 0;
    for policy in policies(&mut dice) {
        let theirs = restics_word(&repository, &policy, zone);
        for ((file, set), mut theirs) in files.iter().zip(&sets).zip(theirs) {
            let mut ours = our_word(file, &policy, zone);
            assert_eq!((ours.len(), theirs.len()), (set.len(), set.len()), "{policy:?}");
            ours.values_mut().chain(theirs.values_mut()).for_each(|rules| rules.sort_unstable());
            let differ: Vec<_> = ours
                .iter()
                .filter(|(at, rules)| theirs[*at] != **rules)
                .map(|(at, rules)| format!("{at}: ours {rules:?}, restic's {:?}", theirs[at]))
                .collect();
            assert!(differ.is_empty(), "seed {seed}, {zone}, {policy:?}: {differ:#?}\nof {set:?}");
            compared += set.len();
        }
    }
    assert!(compared > 5000, "{compared}");
}

#[test]
fn rules_keep_what_stock_restic_keeps_in_utc() {
    agree("UTC", 1);
    agree("UTC", 2);
}

#[test]
fn rules_keep_what_stock_restic_keeps_where_clocks_are_changed() {
    agree("Europe/Berlin", 3);
    agree("Europe/Berlin", 4);
}
