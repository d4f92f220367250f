//! The scripts that products run, run as the products run them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use outlast_handover::Layout;

use super::desk::World;
use crate::harness::{fail, run, succeed};

/// The scripts of a product.
fn hooks(world: &World, product: &str, more: &[&str]) -> PathBuf {
    let into = world.directory.path().join(format!("bin {product}{}", more.concat()));
    let mut command = world.handover("hooks");
    succeed(command.arg(product).args(more).arg("--into").arg(&into));
    for entry in fs::read_dir(&into).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "conf") {
            continue;
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        succeed(Command::new("sh").arg("-n").arg(&path));
        let text = fs::read_to_string(&path).unwrap();
        let is_left = |word: &str| text.contains(&format!("@{word}@"));
        let words = ["COMMON", "OUTLAST", "WHICH", "SECONDS", "STRICT", "POLICIES", "ARGUMENTS"];
        assert!(!text.contains('\r') && !words.into_iter().any(is_left), "{text}");
    }
    into
}

/// Runs a script as a product does: with its arguments, and with nothing else but its variables.
fn call(script: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(script);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
    run(command.envs(variables.iter().copied()))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

const ARGUMENTS: [&str; 4] = ["agenthost", "apps", "daily", "INCR"];
const FAILED: [&str; 5] = ["agenthost", "apps", "daily", "INCR", "13"];
const WELL: [&str; 5] = ["agenthost", "apps", "daily", "INCR", "0"];

#[test]
fn netbackup_takes_a_lease_for_each_stream_and_ends_it_whatever_the_status() {
    let world = World::new(Layout::Drop);
    world.offer("shop", &[&world.file("shop.sql", 50_000)]);
    let into = hooks(&world, "netbackup", &[]);
    let (start, end) = (into.join("bpstart_notify"), into.join("bpend_notify"));
    let stream = |id: &'static str, number: &'static str| {
        [("BACKUPID", id), ("STREAM_NUMBER", number), ("STREAM_COUNT", "2")]
    };
    let (one, two) = (stream("agenthost_1700000000", "1"), stream("agenthost_1700000001", "2"));
    for variables in [&one, &two, &two] {
        let began = call(&start, &ARGUMENTS, variables);
        assert_eq!((code(&began), began.stdout.len()), (0, 0), "{began:?}");
    }
    assert_eq!(world.leases().len(), 2);
    let lease = world.leases().into_iter().find(|lease| lease.stream == 2).unwrap();
    assert_eq!(lease.job.policy.as_deref(), Some("apps"));
    assert_eq!(
        (lease.job.schedule.as_deref(), lease.job.kind.as_deref()),
        (Some("daily"), Some("INCR"))
    );
    assert_eq!(code(&call(&end, &WELL, &one)), 0);
    assert_eq!(code(&call(&end, &FAILED, &two)), 0);
    assert_eq!(code(&call(&end, &FAILED, &two)), 0, "said again");
    assert!(world.leases().is_empty());
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(
        world.ends(),
        [(id("agenthost_1700000000"), 1, 0), (id("agenthost_1700000001"), 2, 13)]
    );
}

#[test]
fn netbackup_without_its_variables_is_known_by_policy_schedule_and_type_run_by_run() {
    let world = World::new(Layout::Drop);
    let into = hooks(&world, "netbackup", &[]);
    let (start, end) = (into.join("bpstart_notify"), into.join("bpend_notify"));
    call(&start, &ARGUMENTS, &[]);
    call(&start, &ARGUMENTS, &[]);
    assert_eq!(world.leases().len(), 1, "said again at once, it is the same");
    let first = world.leases().remove(0);
    call(&end, &WELL, &[]);
    assert!(world.leases().is_empty());
    call(&start, &ARGUMENTS, &[]);
    let second = world.leases().remove(0);
    assert_ne!(first.key(), second.key(), "the next run is another job");
    assert!(second.began > first.began);
}

#[test]
fn netbackups_job_begins_unless_policy_is_strict() {
    let world = World::new(Layout::Drop);
    let lax = hooks(&world, "netbackup", &["--policy=apps", "--schedule=daily"]);
    let lax = lax.join("bpstart_notify.apps.daily");
    let strict = hooks(&world, "netbackup", &["--policy=apps", "--strict"]);
    let strict = strict.join("bpstart_notify.apps");
    // Nothing lies there.
    assert_eq!(code(&call(&strict, &ARGUMENTS, &[])), 1, "status 73");
    assert!(world.leases().is_empty());
    let began = call(&lax, &ARGUMENTS, &[]);
    assert!(String::from_utf8_lossy(&began.stderr).contains("no drop lies there"), "{began:?}");
    assert_eq!((code(&began), world.leases().len()), (0, 1));
    // Another policy of the same client is none of ours.
    let other = call(&strict, &["agenthost", "os", "daily", "FULL"], &[]);
    assert_eq!((code(&other), world.leases().len()), (0, 1));
    // Where the program is gone, jobs go on.
    for (more, wanted) in
        [(&["--program=/nonexistent"][..], 0), (&["--program=/nonexistent", "--strict"][..], 1)]
    {
        let gone = hooks(&world, "netbackup", more).join("bpstart_notify");
        assert_eq!(code(&call(&gone, &ARGUMENTS, &[])), wanted);
    }
    world.offer("shop", &[&world.file("shop.sql", 50_000)]);
    assert_eq!(code(&call(&strict, &["agenthost", "apps", "weekly", "FULL"], &[])), 0);
}

#[test]
fn bacula_says_in_words_how_a_job_ended() {
    let world = World::new(Layout::Drop);
    let into = hooks(&world, "bacula", &[]);
    let (before, after) = (into.join("outlast-bacula-before"), into.join("outlast-bacula-after"));
    let conf = fs::read_to_string(into.join("outlast-bacula-job.conf")).unwrap();
    assert!(conf.contains(&format!("\"{} %i %n %l %c\"", before.display())), "{conf}");
    for (job, words, status) in [
        ("17", &["OK"][..], 0),
        ("18", &["Fatal", "Error"][..], 2),
        ("19", &["Fatal Error"][..], 2),
        ("20", &["Canceled"][..], 150),
        ("21", &[][..], 2),
    ] {
        let about = [job, "Handover", "Incremental", "agenthost-fd"];
        assert_eq!(code(&call(&before, &about, &[])), 0);
        let lease = world.leases().remove(0);
        assert_eq!(
            (lease.job.job.as_deref(), lease.job.kind.as_deref()),
            (Some(job), Some("Incremental"))
        );
        assert_eq!(code(&call(&after, &[&about, words].concat(), &[])), 0);
        assert_eq!(world.ends(), [(Some(job.to_owned()), 1, status)]);
    }
}

#[test]
fn veeam_commvault_and_any_other_take_and_end_a_lease_with_their_own_arguments() {
    let world = World::new(Layout::Drop);
    let veeam = hooks(&world, "veeam", &[]);
    assert_eq!(code(&call(&veeam.join("outlast-veeam-prejob"), &[], &[])), 0);
    assert_eq!(world.leases().len(), 1);
    assert_eq!(code(&call(&veeam.join("outlast-veeam-postjob"), &[], &[])), 0);
    assert!(world.leases().is_empty());
    let [(_, 1, status)] = world.ends()[..] else { panic!("{:?}", world.ends()) };
    assert_eq!(status, outlast_handover::ledger::UNTOLD, "it knows of no status, and invents none");
    let commvault = hooks(&world, "commvault", &[]);
    for arguments in [
        &["4711", "1", "INCR", "0"][..],
        &["-job", "4711", "-attempt", "1", "-bkplevel", "INCR", "-status", "0"][..],
    ] {
        assert_eq!(code(&call(&commvault.join("outlast-commvault-prebackup"), arguments, &[])), 0);
        assert_eq!(world.leases()[0].job.kind.as_deref(), Some("INCR"));
        assert_eq!(code(&call(&commvault.join("outlast-commvault-postbackup"), arguments, &[])), 0);
        assert_eq!(world.ends(), [(Some("4711".to_owned()), 1, 0)]);
    }
    let generic = hooks(&world, "generic", &[]);
    assert_eq!(code(&call(&generic.join("outlast-begin"), &["run-1", "nightly"], &[])), 0);
    assert_eq!(world.leases()[0].job.schedule.as_deref(), Some("nightly"));
    assert_eq!(code(&call(&generic.join("outlast-end"), &["run-1", "5"], &[])), 0);
    assert_eq!(world.ends(), [(Some("run-1".to_owned()), 1, 5)]);
    assert_eq!(code(&call(&generic.join("outlast-begin"), &[], &[])), 0, "no job is no reason");
}

#[test]
fn a_script_of_somebody_else_is_not_replaced_unasked() {
    let world = World::new(Layout::Drop);
    let into = hooks(&world, "netbackup", &[]);
    // The same is written again without a word.
    hooks(&world, "netbackup", &[]);
    fs::write(into.join("bpend_notify"), "#!/bin/sh\nexit 0\n").unwrap();
    let mut again = world.handover("hooks");
    again.arg("netbackup").arg("--into").arg(&into);
    assert!(fail(&mut again, 1).contains("another script lies there"));
    succeed(again.arg("--overwrite"));
    assert!(fs::read_to_string(into.join("bpend_notify")).unwrap().contains("outlast"));
    fail(world.handover("hooks").args(["netbackup", "--policy=a/b", "--into", "/tmp"]), 2);
}
