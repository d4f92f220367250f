//! What deploy/ is made of is meant to be copied and applied: it is judged by those who would run it, and the promises
//! that it makes are looked for in it.

mod applied;
mod kit;
mod kubernetes;
mod scanned;
mod terraform;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{run, succeed};

/// Something below deploy/.
pub(crate) fn of(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(of(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    outlast_fs::durable::replace(path, text.as_bytes(), mode).unwrap();
}

/// The names in a directory below deploy/, in order.
fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(of(directory)).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Whether a program is here; says loudly what is skipped without it.
fn has(program: &str, where_from: &str) -> bool {
    let is_here =
        run(Command::new("sh").args(["-c", &format!("command -v {program}")])).status.success();
    if !is_here {
        println!("SKIPPED: there is no {program} ({where_from})");
    }
    is_here
}

/// Whether YAML can be read here.
pub(crate) fn reads_yaml() -> bool {
    let is_here = run(Command::new("python3").args(["-c", "import yaml"])).status.success();
    if !is_here {
        println!("SKIPPED: nothing reads YAML here (Debian: python3-yaml)");
    }
    is_here
}

/// All documents of a file of YAML.
pub(crate) fn yaml(path: &Path) -> Vec<Value> {
    let convert = "import json, sys, yaml; \
                   print(json.dumps([d for d in yaml.safe_load_all(open(sys.argv[1])) if d]))";
    let text = succeed(Command::new("python3").args(["-c", convert]).arg(path));
    serde_json::from_str(&text).unwrap()
}

/// What systemd says of units in a directory, whose programs are put where they are.
fn verify_units(directory: &Path) -> String {
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for entry in fs::read_dir(directory).unwrap().flatten().filter(|it| it.path().is_file()) {
        let text = fs::read_to_string(entry.path()).unwrap();
        let text = text
            .replace("/usr/bin/outlast", env!("CARGO_BIN_EXE_outlast"))
            .replace("=/etc/outlast/drop\n", "=/bin/true\n")
            .replace("/usr/local/lib/outlast/azure-smb-secret", "/bin/true");
        write(&entry.path(), &text, 0o644);
        verify.arg(entry.path());
    }
    let output = run(&mut verify);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // What it does not know, it only says, and calls it a success.
    assert!(output.status.success() || !said.is_empty(), "{output:?}");
    said
}

/// Judges user data as cloud-init does.
fn judge_user_data(path: &Path) {
    let output = run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(path));
    let text = fs::read_to_string(path).unwrap();
    assert!(output.status.success() && text.starts_with("#cloud-config\n"), "{text}\n{output:?}");
}

#[test]
fn the_pages_name_what_is_there() {
    for page in ["aws", "azure", "kubernetes"] {
        let text = fs::read_to_string(of(&format!("../docs/{page}.md"))).unwrap();
        let spans =
            text.split('`').filter(|span| span.starts_with("deploy/") && !span.contains('\n'));
        let mut count = 0;
        for span in spans {
            let path = span.split(' ').next().unwrap();
            assert!(of("..").join(path).exists(), "docs/{page}.md names {path}");
            count += 1;
        }
        assert!(count >= 4, "{page}");
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { format!("{page}.md") } else { file.to_owned() };
            let linked = fs::read_to_string(of("../docs").join(&file));
            let linked = linked.unwrap_or_else(|_| panic!("docs/{page}.md links to {file}"));
            let anchor = |line: &str| {
                let words = line.trim_start_matches('#').trim().to_lowercase();
                let kept = words.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
                kept.collect::<String>().replace(' ', "-")
            };
            let mut headings = linked.lines().filter(|line| line.starts_with('#')).map(anchor);
            assert!(place.is_empty() || headings.any(|it| it == place), "{page}: {link}");
        }
    }
}
