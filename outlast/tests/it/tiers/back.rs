//! What a media server holds is read back through it, travels by disk, and is told of.

use std::fs;
use std::path::Path;

use outlast_fs::durable;
use outlast_testing::faulty_line::Weather;

use super::harness::{Tier, Tiers};
use super::{MIB, fill};
use crate::harness::{document, fail, outlast, scratch, succeed, wait_until};

/// How many bytes the files below a directory have.
fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let bytes = |path: std::path::PathBuf| match path.is_dir() {
        true => bytes_below(&path),
        // It may go meanwhile.
        false => fs::metadata(&path).map_or(0, |metadata| metadata.len()),
    };
    entries.map(bytes).sum()
}

#[test]
fn what_left_the_share_comes_back_through_the_media_server_which_keeps_nothing_of_it() {
    let directory = scratch();
    let policy = "[workloads.shop]\nfetch = \"7d\"\n";
    let settings = [("OUTLAST_AGENT_KEEP", "0"), ("OUTLAST_AGENT_FETCH_FROM", "anyone")];
    let mut tiers = Tiers::start_with(directory.path(), policy, &settings);
    let file = directory.path().join("data");
    fill(&file, 11, 6 * MIB);
    let drop = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &drop, "released");
    let media = directory.path().join("up/media");
    wait_until("the spool is empty", || bytes_below(&media) < MIB);

    let into = directory.path().join("green");
    let mut fetch = outlast();
    fetch.args(["fetch", "--json", "--workload", "shop", "--share"]).arg(&tiers.share);
    let told = document(fetch.arg("--ca").arg(tiers.authority()).arg("--into").arg(&into));
    assert_eq!((&told["drop"], &told["from"]), (&drop.as_str().into(), &"vault".into()));
    let back = crate::harness::restored(&into, &file);
    assert!(fs::read(back).unwrap() == fs::read(&file).unwrap());
    assert!(bytes_below(&media) < MIB, "what was read back is kept by nobody on the way");
    let log = succeed(outlast().args(["audit", "export"]).arg(tiers.vault_directory()));
    let asked = log.lines().filter(|line| line.contains("\"backup_asked\"")).count();
    assert_eq!(asked, 1, "one restore is one entry");
}

#[test]
fn a_first_backup_travels_by_disk_and_hardly_a_byte_of_it_crosses_the_line() {
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    fill(&file, 12, 24 * MIB);
    // The vault knows the workload before its line closes.
    let small = directory.path().join("small");
    fill(&small, 13, 1000);
    let first = tiers.drop("shop", &small);
    tiers.wait_for_receipt("shop", &first, "vaulted");
    tiers.line.set(Weather::down());
    let drop = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &drop, "shipped");
    let before = tiers.line.carried().there;

    let disk = directory.path().join("disk");
    let exported = document(tiers.media("export").arg(&disk).arg("--json"));
    assert!(exported["bytes"].as_u64().unwrap() > 24 * MIB, "{exported}");
    assert_eq!(exported["damaged"], 0, "{exported}");
    let again = document(tiers.media("export").arg(&disk).arg("--json"));
    assert_eq!((&again["copied"], &again["there_already"]), (&0.into(), &exported["copied"]));

    let words = fail(tiers.ask(&["vault", "import"]).arg(directory.path()), 1);
    assert!(words.contains("holds nothing that `outlast media export` wrote"), "{words}");

    // The vault believes nothing of the disk: a pack that was changed on the way is refused.
    let pack = largest_below(&disk);
    let mut content = fs::read(&pack).unwrap();
    let whole = content.clone();
    content[100] ^= 1;
    durable::replace(&pack, &content, 0o644).unwrap();
    let words = fail(tiers.ask(&["vault", "import"]).arg(&disk), 3);
    assert!(words.contains("is not taken"), "{words}");
    durable::replace(&pack, &whole, 0o644).unwrap();
    let imported = document(tiers.ask(&["vault", "import"]).arg(&disk).arg("--json"));
    assert_eq!((&imported["refused"], &imported["packs_missing"]), (&0.into(), &0.into()));

    tiers.line.set(Weather::default());
    tiers.wait_for_receipt("shop", &drop, "vaulted");
    let crossed = tiers.line.carried().there - before;
    assert!(crossed < MIB, "{crossed} bytes crossed the line");
    assert!(tiers.content("shop", &file) == fs::read(&file).unwrap());
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
}

fn largest_below(directory: &Path) -> std::path::PathBuf {
    let mut found = Vec::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(next) = ahead.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => ahead.push(path),
                false => found.push((fs::metadata(&path).unwrap().len(), path)),
            }
        }
    }
    found.into_iter().max().unwrap().1
}

#[test]
fn custody_tells_who_held_a_drop_when_and_believes_no_word_that_its_signer_did_not_say() {
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    fill(&file, 14, MIB);
    // A vault makes repositories; a media server cannot.
    let first = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &first, "vaulted");
    tiers.line.set(Weather::down());
    fill(&file, 15, MIB);
    let drop = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &drop, "shipped");
    tiers.line.set(Weather::default());
    tiers.wait_for_receipt("shop", &drop, "vaulted");
    let ask = || {
        let mut command = tiers.ask(&["custody", &drop, "--json", "--share"]);
        command.arg(&tiers.share);
        command
    };
    let told = document(&mut ask());
    let words = told["custody"].as_array().unwrap();
    let states: Vec<(&str, &str, bool)> = words
        .iter()
        .map(|word| {
            let by = word["by"].as_str().unwrap().split(' ').next().unwrap();
            (word["state"].as_str().unwrap(), by, word["proved"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(states[..2], [("accepted", "agent", true), ("shipped", "media", true)], "{told}");
    assert!(states[2..].iter().all(|word| *word == ("vaulted", "vault", true)), "{told}");
    assert_eq!(states.len(), 4, "on the share and at the vault: {told}");
    assert_eq!((&told["held"], &told["flaws"]), (&true.into(), &serde_json::json!([])));

    // A receipt that somebody changed on the share is nobody's word.
    let receipt = tiers.share.join(format!("w/shop/receipts/{drop}.shipped.json"));
    let text = fs::read_to_string(&receipt).unwrap();
    let at = text.find("\\\"objects\\\":").or(text.find("\"objects\":")).unwrap();
    let digit = at + text[at..].find(|c: char| c.is_ascii_digit()).unwrap();
    let mut changed = text.into_bytes();
    changed[digit] = if changed[digit] == b'9' { b'8' } else { changed[digit] + 1 };
    tiers.kill(Tier::Agent);
    durable::replace(&receipt, &changed, 0o644).unwrap();
    let mut command = tiers.ask(&["custody", &drop, "--json", "--share"]);
    command.arg(&tiers.share);
    fail(&mut command, 1);
}
