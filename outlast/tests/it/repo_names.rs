//! Names are data: every one is listed, printed and restored as what it is, and as no other.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::harness::{document, repo, restored, run, scratch, succeed};

/// Pairs that many programs show in the same way, and what others obey.
const NAMES: [&[u8]; 10] = [
    b"caf\xe9",
    br"caf\xe9",
    "caf\u{e9}".as_bytes(),
    b"a\tb",
    br"a\tb",
    br"$'caf\xe9'",
    b"line\nbreak",
    br"line\nbreak",
    b"\x1b[31mred",
    "\u{fffd}".as_bytes(),
];

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    /// A repository with a file of each name, which holds its own name.
    fn new() -> Self {
        let fixture = Self { directory: scratch() };
        fs::create_dir(fixture.source()).unwrap();
        for name in NAMES {
            File::create(fixture.file(name)).unwrap().write_all(name).unwrap();
        }
        succeed(&mut fixture.repo("init"));
        succeed(fixture.repo("backup").arg(fixture.source()));
        fixture
    }

    fn source(&self) -> PathBuf {
        self.directory.path().join("source")
    }

    fn file(&self, name: &[u8]) -> PathBuf {
        self.source().join(OsStr::from_bytes(name))
    }

    fn repo(&self, word: &str) -> Command {
        repo(word, self.directory.path().join("repo"))
    }
}

/// The bytes of an entry's path, as the documentation of `ls` says.
fn path_of(entry: &Value) -> Vec<u8> {
    match entry.get("path_base64") {
        Some(bytes) => BASE64.decode(bytes.as_str().unwrap()).unwrap(),
        None => entry["path"].as_str().unwrap().as_bytes().to_vec(),
    }
}

#[test]
fn in_json_every_path_is_told_exactly_and_no_two_are_the_same() {
    let fixture = Fixture::new();
    let listed = document(fixture.repo("ls").args(["latest", "--json"]).arg(fixture.source()));
    let listed = listed.as_array().unwrap();
    let texts: BTreeSet<_> = listed.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), NAMES.len() + 1);
    let mut expected: Vec<_> =
        NAMES.iter().map(|name| fixture.file(name).into_os_string().into_vec()).collect();
    expected.push(fixture.source().into_os_string().into_vec());
    expected.sort();
    let mut told: Vec<_> = listed.iter().map(path_of).collect();
    told.sort();
    assert_eq!(told, expected);
}

#[test]
fn every_name_is_printed_and_restored_by_its_own_bytes() {
    let fixture = Fixture::new();
    // Each costs three runs, so not all of them.
    for (number, name) in NAMES.into_iter().take(3).enumerate() {
        let file = fixture.file(name);
        let printed = run(fixture.repo("cat").arg("latest").arg(&file));
        assert_eq!(printed.stdout, name, "{}", String::from_utf8_lossy(&printed.stderr));
        let target = fixture.directory.path().join(number.to_string());
        let mut restore = fixture.repo("restore");
        restore.args(["latest", "--target"]).arg(&target).arg("--include").arg(&file);
        succeed(&mut restore);
        let names: Vec<OsString> = fs::read_dir(restored(&target, &fixture.source()))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [OsStr::from_bytes(name)]);
    }
}

#[test]
fn what_is_shown_can_be_pasted_into_a_shell_and_means_the_same_file() {
    let fixture = Fixture::new();
    let shown = succeed(fixture.repo("ls").arg("latest").arg(fixture.source()));
    assert!(!shown.contains('\x1b') && !shown.contains('\t'), "{shown:?}");
    let begin = Path::new("/").join(fixture.source());
    let files: Vec<_> = shown
        .lines()
        .filter(|line| line.starts_with('-'))
        .map(|line| {
            let at = line.find("$'/").or_else(|| line.find(begin.to_str().unwrap())).unwrap();
            &line[at..]
        })
        .collect();
    assert_eq!(files.len(), NAMES.len());
    let mut contents = BTreeSet::new();
    for file in files {
        let quoted = if file.starts_with("$'") { file.to_owned() } else { format!("'{file}'") };
        let mut cat = fixture.repo("cat");
        cat.arg("latest");
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(format!("exec \"$@\" {quoted}")).arg("bash").arg(cat.get_program());
        shell.args(cat.get_args());
        for (name, value) in cat.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let output = run(&mut shell);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        contents.insert(output.stdout);
    }
    assert_eq!(contents, NAMES.iter().map(|name| name.to_vec()).collect());
}

#[test]
fn a_listing_in_json_is_the_same_whether_it_has_no_member_or_many() {
    let fixture = Fixture::new();
    let text = succeed(fixture.repo("ls").args(["latest", "--json"]));
    let whole: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text, serde_json::to_string_pretty(&whole).unwrap() + "\n");
    let empty = fixture.directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let mut backup = fixture.repo("backup");
    succeed(backup.current_dir(&empty).arg("."));
    assert_eq!(succeed(fixture.repo("ls").args(["latest", "--json"])), "[]\n");
}
