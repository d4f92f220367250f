//! All of it together: the same every time, whole, and with a list of what is inside.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{has, made, pack, program, succeed};

#[test]
fn whoever_packs_the_same_commit_makes_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    if pack(&one, &[]).is_none() {
        return;
    }
    // Elsewhere, as somebody else, on another day of another zone, into what is left of another release.
    fs::create_dir_all(two.join("man")).unwrap();
    fs::File::create(two.join("man/outlast-of-before.1")).unwrap();
    let mut dist = Command::new("sh");
    dist.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(env!("CARGO_BIN_EXE_xtask"));
    dist.args(["dist", "--fast", "--binary"]).arg(program().unwrap()).args(["--into", "two"]);
    dist.current_dir(directory.path()).env("TZ", "Asia/Kathmandu").env("LC_ALL", "C.UTF-8");
    succeed(dist.env("SOURCE_DATE_EPOCH", super::MOMENT).env("COLUMNS", "40"));
    let files = |directory: &Path| -> BTreeSet<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    };
    assert_eq!(files(&one), files(&two));
    assert_eq!(files(&one).len(), 5, "{:?}", files(&one));
    for name in files(&one) {
        let is_same = fs::read(one.join(&name)).unwrap() == fs::read(two.join(&name)).unwrap();
        assert!(is_same, "{name}");
    }
    let checked =
        succeed(Command::new("sha256sum").args(["--strict", "-c", "SHA256SUMS"]).current_dir(&two));
    assert_eq!(checked.matches(": OK").count(), 4, "{checked}");
    the_archive_is_one_directory_that_runs(&one);
    the_list_names_what_cargo_links(&made(&one, ".cdx.json"));
}

fn the_archive_is_one_directory_that_runs(directory: &Path) {
    let archive = made(directory, ".tar.gz");
    let list = succeed(Command::new("tar").arg("--numeric-owner").arg("-tvzf").arg(&archive));
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(matches!(words[0], "-rw-r--r--" | "-rwxr-xr-x" | "drwxr-xr-x"), "{line}");
        assert_eq!(words[1], "0/0", "{line}");
        assert!(
            words[5].starts_with("outlast-") && words[5].contains("-x86_64-linux-gnu/"),
            "{line}"
        );
        assert!(!line.contains("/."), "nothing hidden: {line}");
    }
    succeed(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory));
    let name = archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    let release = directory.join(name);
    let said = succeed(Command::new(release.join("outlast")).arg("--version"));
    assert_eq!(said.trim(), name.trim_end_matches("-x86_64-linux-gnu").replace('-', " "));
    // What docs/operations.md copies from it.
    for role in ["agent", "media", "vault"] {
        assert!(release.join(format!("dist/systemd/outlast-{role}.service")).is_file());
    }
    for path in [
        "LICENSE-MIT",
        "THIRD-PARTY.txt",
        "completions/zsh/_outlast",
        "deploy/helm/outlast/Chart.yaml",
        "docs/install.md",
        "man/man1/outlast-drop.1",
    ] {
        assert!(release.join(path).is_file(), "{path}");
    }
}

/// The names and versions that cargo itself prints.
fn linked() -> BTreeSet<(String, String)> {
    let tree = succeed(Command::new(env!("CARGO")).current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "tree",
        "--package=outlast",
        "--locked",
        "--edges=normal",
        "--target=x86_64-unknown-linux-gnu",
        "--prefix=none",
        "--format={p}",
    ]));
    let lines = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned()))
    });
    lines.collect()
}

fn the_list_names_what_cargo_links(path: &Path) {
    let list: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!((&list["bomFormat"], &list["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(list.pointer("/metadata/timestamp").unwrap(), "2023-11-14T22:13:20Z");
    let components = list["components"].as_array().unwrap();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let of_system = |it: &&Value| text(it, "purl").starts_with("pkg:deb/");
    let named =
        components.iter().filter(|it| !of_system(it)).chain(list.pointer("/metadata/component"));
    let named: BTreeSet<(String, String)> =
        named.map(|it| (text(it, "name"), text(it, "version"))).collect();
    assert_eq!(named, linked());
    // What the image has from this system is in it, too, where the system can tell.
    if Path::new("/var/lib/dpkg/status").exists() {
        let names: Vec<String> =
            components.iter().filter(of_system).map(|it| text(it, "name")).collect();
        assert_eq!(names, ["ca-certificates", "libc6", "libgcc-s1", "tzdata"]);
    }
    let references: BTreeSet<String> = components
        .iter()
        .chain(list.pointer("/metadata/component"))
        .map(|it| text(it, "bom-ref"))
        .collect();
    assert_eq!(references.len(), components.len() + 1, "each once");
    let dependencies = list["dependencies"].as_array().unwrap();
    assert_eq!(dependencies.len(), references.len());
    for entry in dependencies {
        let used = entry["dependsOn"].as_array().into_iter().flatten();
        for name in used.map(|it| it.as_str().unwrap()).chain(entry["ref"].as_str()) {
            assert!(references.contains(name), "{name}");
        }
    }
    assert!(!list.to_string().contains(env!("CARGO_MANIFEST_DIR")), "no path of this machine");
}

#[test]
fn checksums_are_signed_by_the_publishers_key_and_no_signature_of_others_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (out, key) = (directory.path().join("out"), directory.path().join("key"));
    let keygen = || {
        let mut command = Command::new("ssh-keygen");
        command.current_dir(directory.path());
        command
    };
    if !has("ssh-keygen", "openssh-client") {
        return;
    }
    succeed(keygen().args(["-q", "-t", "ed25519", "-N", "", "-C", "release", "-f", "key"]));
    let key = key.to_str().unwrap();
    if pack(&out, &["--sign-with", key]).is_none() {
        return;
    }
    // As docs/install.md says.
    let public = fs::read_to_string(directory.path().join("key.pub")).unwrap();
    let line = format!("releases namespaces=\"outlast-release\" {public}");
    fs::File::create(directory.path().join("signers")).unwrap().write_all(line.as_bytes()).unwrap();
    let verify = |sums: &str| {
        let mut command = keygen();
        command.args(["-Y", "verify", "-f", "signers", "-I", "releases", "-n", "outlast-release"]);
        command.args(["-s", "out/SHA256SUMS.sig"]);
        command.stdin(fs::File::open(directory.path().join(sums)).unwrap());
        super::run(&mut command).status.success()
    };
    assert!(verify("out/SHA256SUMS"));
    let sums = fs::read_to_string(out.join("SHA256SUMS")).unwrap().replacen('a', "b", 1);
    fs::File::create(directory.path().join("forged")).unwrap().write_all(sums.as_bytes()).unwrap();
    assert!(!verify("forged"));
    // A key that is none is an error, and what was signed before is not left beside other sums.
    let mut dist = Command::new(env!("CARGO_BIN_EXE_xtask"));
    dist.args(["dist", "--fast", "--binary"]).arg(program().unwrap()).arg("--into").arg(&out);
    let refused = super::run(dist.args(["--sign-with", "/nowhere"]));
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("did not sign with /nowhere"));
    assert!(!out.join("SHA256SUMS.sig").exists(), "the sums are other ones by now");
}

#[test]
fn what_is_no_program_of_this_checkout_is_not_packed() {
    let directory = tempfile::tempdir().unwrap();
    for (program, told) in [
        ("/usr/share/zoneinfo/UTC", "no program for x86-64"),
        ("/bin/true", "is not of this checkout"),
        ("/nowhere", "cannot read /nowhere"),
    ] {
        let mut dist = Command::new(env!("CARGO_BIN_EXE_xtask"));
        dist.args(["dist", "--binary", program, "--into"]).arg(directory.path().join("out"));
        let output = super::run(dist.env("SOURCE_DATE_EPOCH", super::MOMENT));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(told), "{program}: {said}");
        assert!(!directory.path().join("out/SHA256SUMS").exists());
    }
}
