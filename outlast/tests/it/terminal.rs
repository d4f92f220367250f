//! What others wrote, shown to people: no name, claim, reason or answer moves a cursor or forges a
//! row.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Up, document, fail, outlast, repo, run, scratch, succeed};

/// Escape codes (7 and 8 bit), bidirectional overrides, invisible characters and line breaks.
const HOSTILE: &str =
    "web1\u{1b}[8m\u{9b}2J\u{202e}\u{200b}\u{2028}\u{85}\u{7f}\r\nffffffff  forged";

/// All that a command tells, with nothing in it but plain lines.
#[track_caller]
fn told(command: &mut Command) -> String {
    let output = run(command);
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_plain(&told);
    told
}

#[track_caller]
fn assert_plain(told: &str) {
    let odd = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let odd: Vec<char> = told.chars().filter(odd).collect();
    assert!(odd.is_empty(), "{odd:?} in {told:?}");
    assert!(!told.lines().any(|line| line.starts_with("ffffffff")), "a forged row: {told:?}");
}

#[test]
fn what_a_snapshot_says_of_itself_forges_no_row() {
    let directory = scratch();
    let (repository, tree) = (directory.path().join("repo"), directory.path().join("tree"));
    succeed(&mut repo("init", &repository));
    let odd = tree.join(HOSTILE);
    fs::create_dir_all(&odd).unwrap();
    std::os::unix::fs::symlink(HOSTILE, odd.join("link")).unwrap();
    succeed(repo("backup", &repository).args(["--host", HOSTILE, "--tag", HOSTILE]).arg(&odd));

    let listed = told(&mut repo("snapshots", &repository));
    assert_eq!(listed.lines().count(), 2, "a head and one snapshot: {listed}");
    assert!(listed.contains("web1\\u{1b}[8m"), "and it is seen: {listed}");
    // As a shell takes it: the bytes of U+202E.
    assert!(told(repo("ls", &repository).arg("latest")).contains("\\xe2\\x80\\xae"));
    told(repo("cat", &repository).arg("latest").arg(&odd));
    told(repo("ls", &repository).args(["latest", HOSTILE]));
    let target = directory.path().join(HOSTILE);
    told(repo("restore", &repository).args(["latest", "--target"]).arg(&target));
    told(repo("backup", &repository).arg(directory.path().join(format!("no {HOSTILE}"))));
    told(outlast().args(["fetch", "--workload", HOSTILE]));

    // Data stays data.
    let output = run(repo("snapshots", &repository).arg("--json"));
    let json = String::from_utf8(output.stdout).unwrap();
    assert_plain(&json);
    let snapshots: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(snapshots[0]["hostname"], HOSTILE);
}

#[test]
fn what_lies_on_a_share_forges_nothing_in_lists_and_logs() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let odd = format!("{HOSTILE} \u{1b}]0;title\u{7}");
    // A name that is no workload's, an owner, and the claims of a drop.
    fs::create_dir_all(up.share.join("w").join(&odd)).unwrap();
    let workload = up.share.join("w/shop");
    fs::create_dir_all(&workload).unwrap();
    let owner = serde_json::to_string("team\u{202e}shop\u{9b}2J\u{200b}").unwrap();
    let mut declaration = File::create(workload.join("workload.toml")).unwrap();
    writeln!(declaration, "owner = {owner}").unwrap();
    let mut command = up.drop_command("shop");
    command.args(["--instance", &odd, "--release", &odd, "--exec", "x", "--", "echo", "x"]);
    let drop = succeed(&mut command).trim().to_owned();
    up.wait_for_receipt("shop", &drop, "vaulted");
    told(outlast().args(["share", "status"]).arg(&up.share));
    told(&mut up.ask(&["snapshots", "shop"]));
    told(&mut up.ask(&["workload", "list"]));
    let listed = document(&mut up.ask(&["workload", "list", "--json"]));
    assert!(listed["workloads"].is_array());
    up.role.stop();
    let log = up.role.words();
    assert_plain(&log);
}

#[test]
fn a_hostile_server_cannot_speak_for_us() {
    let directory = scratch();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("rest:http://{}/", listener.local_addr().unwrap());
    let said = serde_json::json!({ "code": "x", "message": HOSTILE, "hint": HOSTILE }).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            let length = said.len();
            let answer = format!("HTTP/1.1 403 No\r\ncontent-length: {length}\r\n\r\n{said}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let words = told(repo("snapshots", &address).arg("--cache-dir").arg(directory.path()));
    assert!(words.contains("web1\\u{1b}[8m"), "{words}");
    assert_eq!(words.lines().count(), 2, "an error and a hint: {words}");
    let output = run(repo("snapshots", &address).arg("--json"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_plain(&error);
    let error: Value = serde_json::from_str(&error).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains(HOSTILE), "data stays data");
}

#[test]
fn a_log_in_json_keeps_one_document_to_a_line() {
    let directory = scratch();
    let mut up = Up::start_with(&directory.path().join("up"), &[("OUTLAST_LOG_FORMAT", "json")]);
    fs::create_dir_all(up.share.join("w").join(HOSTILE)).unwrap();
    let drop = up.drop("shop", &["--release", HOSTILE, "--exec", "x", "--", "echo", "x"]);
    up.wait_for_receipt("shop", &drop, "vaulted");
    up.role.stop();
    let log = up.role.words();
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(
        lines.len() > 3 && lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

#[test]
fn usage_that_is_wrong_is_one_document_with_json_too() {
    for words in [
        &["--json", "frobnicate"][..],
        &["drop", "--json", "--workload", "w"],
        &["repo", "init", "--json"],
        &["--json"],
    ] {
        let said = fail(outlast().args(words), 2);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["error"]["code"], 2, "{said}");
        assert!(!said["error"]["message"].as_str().unwrap().is_empty(), "{said}");
        assert!(said["error"]["hint"].as_str().unwrap().contains("--help"), "{said}");
    }
    assert!(succeed(outlast().args(["drop", "--json", "--help"])).contains("Examples"));
}
