//! The package for Debian: what is in it, and what dpkg makes of it through all of its life.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{has, made, pack, program, run, succeed};

const CONTENTS: &str = include_str!("package.txt");
const LIFE: &str = include_str!("package.sh");
const SCRIPTS: [&str; 3] = ["postinst", "postrm", "prerm"];

/// A path of which there are many, as the list has it.
fn shown(path: &str) -> String {
    for (directory, end) in
        [("./usr/share/man/man1/", ".1.gz"), ("./usr/share/doc/outlast/docs/", ".md")]
    {
        if path.starts_with(directory) && path.ends_with(end) {
            return format!("{directory}*{end}");
        }
    }
    path.to_owned()
}

#[test]
fn the_package_holds_what_is_listed_as_it_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    if !has("dpkg-deb", "dpkg") || pack(directory.path(), &[]).is_none() {
        return;
    }
    let package = made(directory.path(), ".deb");
    let list = succeed(Command::new("dpkg-deb").arg("--contents").arg(&package));
    let (mut found, mut pages) = (BTreeSet::new(), 0);
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, _size, _date, _time, path] = words[..] else { panic!("{line}") };
        found.insert(format!("{mode} {owner} {}", shown(path)));
        pages += usize::from(path.contains("/man1/") && path.ends_with(".gz"));
    }
    let listed: BTreeSet<String> = CONTENTS.lines().map(str::to_owned).collect();
    let more: Vec<_> = found.difference(&listed).collect();
    let less: Vec<_> = listed.difference(&found).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "not in package.txt: {more:#?}, not made: {less:#?}"
    );
    let manual = directory.path().join("man");
    succeed(Command::new(program().unwrap()).arg("man").arg(&manual));
    assert_eq!(pages, fs::read_dir(&manual).unwrap().count());

    let field = |name: &str| {
        succeed(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name)).trim().to_owned()
    };
    assert_eq!(field("Architecture"), "amd64");
    let dated = succeed(Command::new("dpkg-deb").arg("--info").arg(&package));
    assert!(dated.contains("conffiles") && dated.contains("*  postinst"), "{dated}");
    what_it_depends_on_is_what_the_linker_wrote(&field("Depends"));
    if has("lintian", "lintian") {
        let judged = run(Command::new("lintian").arg("--fail-on=warning,error").arg(&package));
        let said = String::from_utf8_lossy(&judged.stdout).into_owned();
        assert!(judged.status.success() && said.is_empty(), "{said}");
    }
}

fn what_it_depends_on_is_what_the_linker_wrote(depends: &str) {
    if !has("objdump", "binutils") {
        return;
    }
    let private = succeed(Command::new("objdump").arg("-p").arg(program().unwrap()));
    let numbers = |prefix: &str| {
        let words = private.split_whitespace().filter_map(|word| word.strip_prefix(prefix));
        let parts = words.map(|word| word.split('.').map(|it| it.parse::<u32>().unwrap()));
        let newest = parts.map(Iterator::collect::<Vec<_>>).max().unwrap();
        newest.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    };
    assert!(depends.contains(&format!("libc6 (>= {})", numbers("GLIBC_"))), "{depends}");
    assert!(depends.contains(&format!("libgcc-s1 (>= {})", numbers("GCC_"))), "{depends}");
}

#[test]
fn scripts_of_the_package_are_plain_shell() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/debian");
    for script in SCRIPTS {
        let path = scripts.join(script);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#!/bin/sh\n") && text.contains("\nset -eu\n"), "{script}");
        succeed(Command::new("sh").arg("-n").arg(&path));
        if has("shellcheck", "shellcheck") {
            succeed(Command::new("shellcheck").arg(&path));
        }
        let output = run(Command::new("sh").arg(&path).arg("dance"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("'dance'"), "{script}: {said}");
    }
}

/// On this machine, whose system is covered by a layer of its own that takes what is written.
#[test]
fn a_package_is_installed_upgraded_removed_and_purged_and_no_backup_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    if !has("dpkg", "dpkg") || !has("systemd-sysusers", "systemd") {
        return;
    }
    let layered = run(Command::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c"]).arg(
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/up /mnt/work && mount -t overlay overlay -o lowerdir=/usr,upperdir=/mnt/up,workdir=/mnt/work /usr",
    ));
    if !layered.status.success() {
        println!(
            "SKIPPED, NO PACKAGE IS INSTALLED: {}",
            String::from_utf8_lossy(&layered.stderr).trim()
        );
        return;
    }
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    if pack(&first, &[]).is_none() || pack(&second, &["--revision", "2"]).is_none() {
        return;
    }
    let script = directory.path().join("life.sh");
    outlast_fs::durable::replace(&script, LIFE.as_bytes(), 0o755).unwrap();
    let mut life = Command::new("unshare");
    life.args(["--mount", "--propagation", "private", "bash"]).arg(&script);
    life.arg(made(&first, ".deb")).arg(made(&second, ".deb")).arg(directory.path());
    let output = run(&mut life);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.ends_with("all of it\n"), "{said}\n{errors}");
}
