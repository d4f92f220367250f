//! What every user of the command line may rely on: help, exit codes, JSON, quiet pipes.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{fail, outlast, repo, run, scratch, succeed};

#[test]
fn every_command_explains_itself_and_each_option_with_an_example() {
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(words) = waiting.pop() {
        let help = succeed(outlast().args(&words).arg("--help"));
        let name = ["outlast", &words.join(" ")].join(" ");
        let about = help.lines().next().unwrap_or_default();
        assert!(!about.trim().is_empty() && !about.starts_with("Usage"), "{name} says nothing");
        assert!(help.contains("Example") && help.contains(name.trim()), "{name}:\n{help}");
        for line in section(&help, "Arguments:").chain(section(&help, "Options:")) {
            let line = line.trim();
            let explained = line.contains("  ") || !line.starts_with(['-', '<', '[']);
            // Long ones are explained on the next line.
            assert!(explained || help.contains(&format!("{line}\n    ")), "{name}: {line}");
        }
        for line in section(&help, "Commands:") {
            match line.split_whitespace().next() {
                Some(command) if command != "help" => {
                    waiting.push([words.as_slice(), &[command.to_owned()]].concat());
                }
                _ => {}
            }
        }
        seen += 1;
    }
    assert!(seen > 20, "only {seen} commands were found");
}

/// The lines below a heading of a help, up to the empty line.
fn section<'a>(help: &'a str, heading: &'a str) -> impl Iterator<Item = &'a str> {
    let below = help.lines().skip_while(move |line| *line != heading).skip(1);
    below.take_while(|line| !line.trim().is_empty())
}

#[test]
fn wrong_usage_ends_with_2_and_tells_what_was_wrong() {
    let directory = scratch();
    for (arguments, wanted) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["drop", "--workload", "shop"], "--share"),
        (&["drop", "--share", ".", "--workload", "Not Allowed", "x"], "Not Allowed"),
        (&["drop", "--share", ".", "--workload", "w", "--compress", "20", "x"], "19"),
        (&["drop", "--share", ".", "--workload", "w", "--exec", "x"], "COMMAND"),
        (&["drop", "--share", ".", "--workload", "w", "--stdin", "x", "path"], "--stdin"),
        (&["drop", "--share", ".", "--workload", "w", "--stdin", "a", "--exec", "b"], "--exec"),
        (&["fetch", "--share", ".", "--workload", "w", "--into", "x", "--at", "now"], "2026-01-31"),
        (&["fetch", "--share", ".", "--workload", "w", "--into", "x", "--drop", "1"], "drop id"),
        (&["repo", "init"], "--repo"),
        (&["repo", "backup", "-r", "x"], "PATH"),
        (&["repo", "backup", "-r", "x", "--stdin-filename", "name", "path"], "--stdin-filename"),
        (&["repo", "init", "-r", "x", "--repository-version", "3"], "1, 2"),
        (&["workload", "list"], "--vault"),
        (&["workload", "list"], "--dir"),
        (&["workload", "list", "--vault", "https://localhost:1/"], "--identity"),
        (&["restore", "shop", "--into", "x"], "--vault"),
        (&["snapshots", "w", "--dir", "x", "--vault", "u", "--identity", "i"], "--dir"),
        (&["completions", "tcsh"], "bash"),
        (&["media", "maintenance", "--for", "900d", "--reason", "x"], "24h"),
        (&["media", "maintenance", "--for", "0s", "--reason", "x"], "24h"),
        (&["media", "maintenance", "--for", "2h", "--reason", ""], "--reason"),
    ] {
        let words = fail(outlast().args(arguments).current_dir(&directory), 2);
        assert!(words.contains(wanted), "{arguments:?}:\n{words}");
        assert!(words.contains("--help"), "{arguments:?} does not tell where help is:\n{words}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "and does nothing");
}

#[test]
fn a_failure_is_1_in_words_or_as_one_json_document_on_standard_error() {
    let directory = scratch();
    let missing = directory.path().join("nowhere");
    let mut status = outlast();
    status.args(["share", "status"]).arg(&missing);
    let mut list = outlast();
    list.args(["workload", "list", "--dir"]).arg(&missing);
    for mut command in [status, list, repo("snapshots", &missing)] {
        let words = fail(&mut command, 1);
        assert!(words.starts_with("outlast: "), "{words}");
        assert!(words.contains(missing.to_str().unwrap()), "it names the path: {words}");
        let document = error(&mut command, 1);
        let message = document["message"].as_str().unwrap();
        assert!(words.contains(message), "{words} is not {message}");
    }
}

#[test]
fn whoever_gives_a_wrong_address_or_configuration_hears_which() {
    let directory = scratch();
    let place = |name: &str| directory.path().join(name);
    let mut list = outlast();
    list.args(["workload", "list", "--vault", "vault.example", "--identity", "id"]);
    assert!(fail(&mut list, 1).contains("https://"));
    File::create(place("agent.toml")).unwrap().write_all(b"[agent]\npol = '1s'\n").unwrap();
    let words = fail(outlast().args(["agent", "--config"]).arg(place("agent.toml")), 1);
    assert!(words.contains("\"pol\"") && words.contains("did you mean poll?"), "{words}");
    File::create(place("agent.toml"))
        .unwrap()
        .write_all(b"[agent]\npol = '1s'\nreport = 3\n")
        .unwrap();
    let words = fail(outlast().args(["agent", "--config"]).arg(place("agent.toml")), 1);
    assert_eq!(words.lines().count(), 2, "each mistake has a line: {words}");
    assert!(words.lines().last().unwrap().contains("line 3, column 10"), "{words}");
    let mut up = outlast();
    up.args(["up", "--listen", "127.0.0.1:0", "--dir"]).arg(place("up"));
    let words = fail(up.arg("--share").arg(place("nowhere")), 1);
    assert!(words.contains("nowhere") && words.contains("mounted"), "{words}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut up = outlast();
    let words = fail(up.args(["up", "--listen", &address, "--dir"]).arg(place("up")), 1);
    assert!(words.contains(&address), "{words}");
}

#[test]
fn what_has_not_come_yet_is_3_and_makes_nothing() {
    let directory = scratch();
    let (share, seed) = (directory.path().join("share"), directory.path().join("seed"));
    succeed(outlast().args(["share", "init"]).arg(&share));
    for wanted in [&[][..], &["--at", "2020-01-01T00:00:00Z"], &["--timeout", "100ms"]] {
        let mut fetch = outlast();
        fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&share).args(wanted);
        fetch.arg("--into").arg(&seed);
        let words = fail(&mut fetch, 3);
        assert!(words.contains("shop"), "{words}");
        let document = error(&mut fetch, 3);
        assert!(document["hint"].as_str().unwrap().contains("--timeout"), "{document}");
    }
    assert!(!seed.exists());
}

#[test]
fn a_cause_is_told_once() {
    let directory = scratch();
    let (repository, missing) = (directory.path().join("repo"), directory.path().join("missing"));
    let words = fail(&mut repo("snapshots", &missing), 1);
    assert_eq!(words.matches("does not exist").count(), 1, "{words}");
    succeed(&mut repo("init", &repository));
    let words = fail(repo("backup", &repository).arg(&missing), 1);
    assert_eq!(words.matches("os error").count(), 1, "{words}");
}

#[test]
fn nothing_but_a_terminal_gets_escape_codes() {
    let directory = scratch();
    let place = |name: &str| directory.path().join(name);
    File::create(place("file")).unwrap().write_all(&[7; 3_000_000]).unwrap();
    let mut init = outlast();
    init.args(["share", "init"]).arg(place("share"));
    let mut drop = outlast();
    drop.args(["drop", "--workload", "w", "--share"]).arg(place("share")).arg(place("file"));
    let mut backup = repo("backup", place("repo"));
    backup.arg(place("file"));
    let mut restore = repo("restore", place("repo"));
    restore.args(["latest", "--verify", "--target"]).arg(place("target"));
    let mut check = repo("check", place("repo"));
    check.arg("--read-data");
    for mut command in [init, drop, repo("init", place("repo")), backup, check, restore] {
        // Whoever calls us may well have a terminal's name in its environment.
        let output = run(command.env("TERM", "xterm-256color").env("COLORTERM", "truecolor"));
        assert!(output.status.success(), "{command:?}");
        let told = [output.stdout, output.stderr].concat();
        assert!(!told.contains(&0x1b) && !told.contains(&b'\r'), "{command:?} draws");
    }
}

#[test]
fn the_drops_id_is_all_that_goes_to_standard_output() {
    let directory = scratch();
    let share = directory.path().join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    let mut command = outlast();
    command.args(["drop", "--quiet", "--workload", "shop", "--share"]).arg(&share);
    let output = run(command.args(["--exec", "x.sql", "--", "echo", "content"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "quiet is quiet");
    let printed = String::from_utf8(output.stdout).unwrap();
    let id = printed.trim();
    assert_eq!(printed, format!("{id}\n"));
    let days = fs::read_dir(share.join("w/shop/drops")).unwrap();
    let sealed = days.map(|day| day.unwrap().path().join(id).join("sealed.json"));
    assert_eq!(sealed.filter(|seal| seal.exists()).count(), 1);
}

#[test]
fn completions_and_manual_pages_are_written() {
    let marks =
        [("bash", "complete -F"), ("zsh", "#compdef outlast"), ("fish", "complete -c outlast")];
    for (shell, mark) in marks {
        let script = succeed(outlast().args(["completions", shell]));
        assert!(script.contains(mark), "{shell}: {script}");
        assert!(script.contains("snapshots"), "{shell} completes commands");
    }
    let directory = scratch();
    let pages = directory.path().join("man/man1");
    succeed(outlast().arg("man").arg(&pages));
    for page in ["outlast.1", "outlast-drop.1", "outlast-repo-restore.1"] {
        let text = fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains("Example"), "{page}: {text}");
    }
    let hidden = |name: &str| name.contains("dump-sqlite");
    let names = fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| hidden(&name.to_string_lossy())).count(), 0);
}

#[test]
fn passwords_never_come_from_the_command_line() {
    let directory = scratch();
    let repository = directory.path().join("repo");
    for option in ["--password", "-p"] {
        fail(repo("init", &repository).args([option, "secret"]), 2);
    }
    let words = fail(repo("init", &repository).env_remove("OUTLAST_PASSWORD"), 1);
    assert!(words.contains("OUTLAST_PASSWORD") && words.contains("--password-file"), "{words}");
    assert!(!repository.exists(), "nothing is made before there is a password");

    let file = directory.path().join("password");
    File::create(&file).unwrap().write_all(b"from a file\n").unwrap();
    let mut init = repo("init", &repository);
    succeed(init.env_remove("OUTLAST_PASSWORD").arg("--password-file").arg(&file));
    succeed(repo("check", &repository).env("OUTLAST_PASSWORD", "from a file"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is() {
    let directory = scratch();
    let (repository, file) = (directory.path().join("repo"), directory.path().join("file"));
    File::create(&file).unwrap().write_all(&[7; 1_000_000]).unwrap();
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&file));
    let (mut ls, mut json) = (repo("ls", &repository), repo("ls", &repository));
    ls.arg("latest");
    json.args(["latest", "--json"]);
    let (mut cat, mut completions) = (repo("cat", &repository), outlast());
    cat.arg("latest").arg(&file);
    completions.args(["completions", "bash"]);
    for mut command in [ls, json, cat, completions] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = end_of(command.stdout(writer));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && words.is_empty(), "{command:?}: {words}");

        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = end_of(command.stdout(full));
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {words}");
        assert!(words.contains("standard output"), "{command:?}: {words}");
    }
}

/// Runs a command whose standard output is set.
fn end_of(command: &mut Command) -> std::process::Output {
    command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// The error that a command tells with `--json`.
#[track_caller]
fn error(command: &mut Command, code: i32) -> Value {
    let output = run(command.arg("--json"));
    assert_eq!(output.status.code(), Some(code), "{command:?}");
    assert!(output.stdout.is_empty(), "an error is no result");
    let told = String::from_utf8(output.stderr).unwrap();
    let told: Value = serde_json::from_str(&told).expect("standard error is one document");
    assert_eq!(told["error"]["code"], code);
    told["error"].clone()
}
