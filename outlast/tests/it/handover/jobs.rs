//! Beginnings and ends by hand, how a hand-over stands, and drops that are let go.

use std::fs;
use std::time::{Duration, Instant};

use outlast_handover::{JobFacts, Layout, Outcome, intake};

use super::desk::World;
use crate::harness::{document, fail, outlast, run, succeed};

#[test]
fn a_job_may_say_its_beginning_and_end_again_and_is_counted_stream_by_stream() {
    let world = World::new(Layout::Drop);
    let begin = |stream: &str| {
        let mut command = world.handover("begin");
        command.args(["--job=7", "--streams=2", "--lease=1h", "--json", "--stream", stream]);
        document(&mut command)
    };
    let first = begin("1");
    assert_eq!((first["new"].as_bool(), first["lease"]["streams"].as_u64()), (Some(true), Some(2)));
    assert_eq!(begin("1")["new"], false);
    assert_eq!(begin("1")["lease"]["began"], first["lease"]["began"]);
    begin("2");
    assert_eq!(world.leases().len(), 2);
    let end = |stream: &str| {
        let mut command = world.handover("end");
        run(command.args(["--job=7", "--status=0", "--stream", stream]))
    };
    assert!(end("1").status.success());
    assert_eq!(world.leases().len(), 1, "the other one reads");
    assert!(end("1").status.success() && end("2").status.success());
    assert_eq!(world.ends().len(), 2);
}

#[test]
fn what_is_wrong_with_a_beginning_is_told_with_its_exit_code() {
    let world = World::new(Layout::Drop);
    assert!(fail(&mut world.handover("begin"), 2).contains("say which job it is"));
    fail(world.handover("begin").arg("--job=1").arg("other"), 2);
    let mut elsewhere = outlast();
    elsewhere.args(["handover", "begin", "--job=1", "--directory"]).arg(world.directory.path());
    assert!(fail(&mut elsewhere, 1).contains("is not a hand-over"));
    let mut nowhere = outlast();
    nowhere.args(["handover", "end", "--job=1", "--status=0", "--directory=/nonexistent"]);
    fail(&mut nowhere, 1);
    let config = world.directory.path().join("agent.toml");
    let text =
        "[agent]\nshare = \"/s\"\nstate = \"/a\"\nupstream = \"https://v/\"\nidentity = \"/i\"\n";
    fs::write(&config, text).unwrap();
    let mut none = outlast();
    assert!(
        fail(none.args(["handover", "status", "--config"]).arg(&config), 2)
            .contains("has no [[handover]]")
    );
    let two = format!(
        "{text}[[handover]]\nname = \"nbu\"\ndirectory = \"{}\"\n[[handover]]\nname = \"b\"\ndirectory = \"/srv/b\"\n",
        world.product().display()
    );
    fs::write(&config, two).unwrap();
    let mut which = outlast();
    which.args(["handover", "begin", "--job=1", "--config"]).arg(&config);
    assert!(fail(&mut which, 2).contains("nbu, b"));
    succeed(which.arg("nbu"));
    assert_eq!(world.leases().len(), 1);
    // Of the one that no agent has made, it is said; the other one is told.
    let mut all = outlast();
    let output = run(all.args(["handover", "status", "--json", "--config"]).arg(&config));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/srv/b is not a hand-over"));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["handovers"][0]["reading"][0]["key"], "1");
}

#[test]
fn status_says_in_one_sentence_why_each_drop_is_still_there() {
    let world = World::new(Layout::Drop);
    let offer = world.offer("shop", &[&world.file("shop.sql", 50_000)]);
    let why = |world: &World| world.status()["drops"][0]["why"].as_str().unwrap().to_owned();
    assert!(why(&world).contains("no job has begun since then"));
    succeed(world.handover("begin").args(["--job=7", "--schedule=daily"]));
    assert!(why(&world).contains("7 (daily) reads it now"), "{}", why(&world));
    succeed(world.handover("end").args(["--job=7", "--status=13"]));
    world.ends();
    assert!(why(&world).contains("ended with status 13 at its client"), "{}", why(&world));
    succeed(world.handover("begin").args(["--job=8", "--schedule=daily"]));
    succeed(world.handover("end").args(["--job=8", "--status=0"]));
    world.ends();
    assert!(why(&world).contains("nothing has confirmed"), "{}", why(&world));
    let status = world.status();
    assert_eq!(status["counts"]["read"], 1);
    assert_eq!(status["oldest_unconfirmed"]["drop"], offer.drop.to_string());
    let job = JobFacts { schedule: Some("daily".to_owned()), ..JobFacts::of_id("8") };
    world.say(&job, Outcome::Failed { status: 84, words: "media write error".to_owned() });
    assert!(why(&world).contains("8 (daily), failed with status 84: media"), "{}", why(&world));
    world.confirm(&job);
    let status = world.status();
    assert_eq!(
        (&status["drops"][0]["state"], &status["drops"][0]["schedules"][0]),
        (&"confirmed".into(), &"daily".into())
    );
    let shown = succeed(&mut world.handover("status"));
    for words in
        ["nbu: ", "space", "1 confirmed", "last job   8 (daily) ended well", "a newer one is, too"]
    {
        assert!(shown.contains(words), "{words} is not in:\n{shown}");
    }
}

#[test]
fn i1_a_drop_is_let_go_by_hand_only_if_somebody_else_holds_it() {
    let world = World::new(Layout::Drop);
    let offer = world.offer("shop", &[&world.file("shop.sql", 50_000)]);
    let drop = offer.drop.to_string();
    let release = |reason: &str| {
        let mut command = world.handover("release");
        command.args(["--workload=shop", "--drop", &drop, "--reason", reason]);
        command
    };
    fail(&mut release(" "), 2);
    assert!(fail(&mut release("full"), 4).contains("what nobody else holds does not go"));
    succeed(world.handover("begin").args(["--job=8"]));
    world.confirm(&JobFacts::of_id("8"));
    succeed(&mut release("the disk is full, CHG-4711"));
    intake::at(&world.desk).take_up().unwrap();
    assert!(world.status()["drops"][0]["why"].as_str().unwrap().contains("CHG-4711"));
    assert!(intake::at(&world.desk).clear_out().unwrap().is_empty(), "job 8 reads");
    succeed(world.handover("end").args(["--job=8", "--status=0"]));
    intake::at(&world.desk).take_up().unwrap();
    assert_eq!(intake::at(&world.desk).clear_out().unwrap(), [offer.key()]);
    assert!(!world.product().join(&offer.path).exists());
    let audit = fs::read_to_string(world.place().audit()).unwrap();
    assert!(audit.contains("CHG-4711") && audit.contains("uid"), "{audit}");
    assert!(
        fail(
            world.handover("release").args(["--workload=other", "--reason=x", "--drop", &drop]),
            3
        )
        .contains("not in")
    );
}

#[test]
fn begin_and_end_wait_for_nobody() {
    let world = World::new(Layout::Drop);
    let began = Instant::now();
    for job in 0..10 {
        succeed(world.handover("begin").arg(format!("--job={job}")));
        succeed(world.handover("end").args([&format!("--job={job}"), "--status=0"]));
    }
    let each = began.elapsed() / 20;
    println!("begin or end, a process each, durable: {each:?} on average");
    // Far beyond what any machine needs: this is noticed if one of them waits for what does not come.
    assert!(each < Duration::from_secs(20), "{each:?}");
}

#[test]
fn the_rehearsal_of_a_hand_over_keeps_its_promises() {
    let told = succeed(outlast().args(["demo", "--handover"]));
    for words in ["confirmed, by a receipt on the share", "status 84", "promises held"] {
        assert!(told.contains(words), "{words} is not in:\n{told}");
    }
}
