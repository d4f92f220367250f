#![expect(clippy::disallowed_methods, reason = "tests that play a share")]

mod world;

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use outlast_drop::fetch::Wanted;
use outlast_repo::restore;
use outlast_store::{Kind as ObjectKind, Store as _};
use outlast_types::{Clock as _, ProblemCode, Silent, SystemClock, SystemRandom};
use outlast_wire::api::ErrorCode;
use outlast_wire::fetching::Decided;
use outlast_wire::{CertificateAuthority, Role};

use super::*;
use crate::answers::{AskError, AskedBy, Asking, Seen};
use world::{Policy, World, blog, codes, issue, settle, shop};

#[test]
fn fifty_instances_at_once_make_one_answer_and_one_reading_of_the_vault() {
    let world = World::new(1_500_000);
    let (mut desk, hatch) = world.desk();
    assert!(!desk.pass(), "nobody asks");
    let (authority, shop) = (world.authority(), shop());
    let asking: Vec<_> = (0..50).map(|_| world.ask(&shop, &authority)).collect();
    assert!(matches!(asking[0].look().unwrap(), Seen::NoReply(None)));
    settle(&mut desk);
    // One that comes later gets the same.
    let late = world.ask(&shop, &authority);
    world.time.advance(ASK_AGAIN);
    settle(&mut desk);
    for (number, asking) in asking.iter().chain([&late]).enumerate() {
        assert!(matches!(asking.look().unwrap(), Seen::Whole(_)), "{number}");
    }
    assert_eq!(world.fetched(&asking[49], "green-49"), world.content);
    assert_eq!(world.fetched(&late, "green-late"), world.content);
    assert_eq!(world.vault.opened.load(Ordering::SeqCst), 1, "one reading");
    assert_eq!(world.answers(&shop).len(), 1, "one answer");
    let asked: Vec<usize> = world.vault.asked().iter().map(|it| it.requests.len()).collect();
    assert_eq!(asked, [50, 1], "each is decided on");
    let stored: u64 =
        world.vault.store.list(ObjectKind::Data).unwrap().iter().map(|(_, size)| size).sum();
    let read = world.vault.store.read.load(Ordering::SeqCst);
    assert!(read <= stored + (1 << 20), "{read} of {stored}");
    assert_eq!(codes(&hatch), []);
    // Nobody needs it any more, and nothing is left when its time is over.
    asking.iter().chain([&late]).for_each(|asking| asking.withdraw().unwrap());
    for _ in 0..3 {
        world.time.advance(world.rules.keep + TEN_MINUTES);
        settle(&mut desk);
    }
    assert_eq!(world.answers(&shop), Vec::<String>::new());
    assert_eq!(asking::rung(&world.share, 10).unwrap().0, []);
    assert_eq!(fs::read_dir(world.directory.path().join("state/answers")).unwrap().count(), 0);
}

const TEN_MINUTES: Duration = Duration::from_secs(600);

#[test]
fn what_the_vault_refuses_or_does_not_have_is_said_at_once() {
    let world = World::new(1000);
    let (mut desk, _) = world.desk();
    desk.pass();
    let (authority, shop) = (world.authority(), shop());
    let reason = "the reason".to_owned();
    let code = ErrorCode::FetchOff;
    world.vault.says(Policy::Says(Decision::Refused { code, reason: reason.clone() }));
    let asking = world.ask(&shop, &authority);
    desk.pass();
    let refused = asking.look().unwrap_err();
    assert!(
        matches!(&refused, AskError::Refused { code: ErrorCode::FetchOff, reason } if reason == "the reason"),
        "{refused}"
    );
    world.vault.says(Policy::Says(Decision::None { reason }));
    let asking = world.ask(&shop, &authority);
    world.time.advance(ASK_AGAIN);
    desk.pass();
    assert!(matches!(asking.look().unwrap_err(), AskError::NoBackup { .. }));
    assert_eq!(world.vault.opened.load(Ordering::SeqCst), 0);
    // A vault that is away is waited for, and whoever waits sees why.
    world.vault.says(Policy::IsAway);
    let asking = world.ask(&shop, &authority);
    world.time.advance(ASK_AGAIN);
    assert!(desk.pass(), "somebody waits");
    let Seen::NoReply(Some(told)) = asking.look().unwrap() else { panic!("it waits") };
    assert!(told.reason.unwrap().contains("cannot be asked"));
    world.vault.says(Policy::Grants);
    world.time.advance(PAUSE_MAX);
    settle(&mut desk);
    assert!(matches!(asking.look().unwrap(), Seen::Whole(_)));
}

#[test]
fn a_share_that_does_not_prove_who_asks_answers_nobody() {
    let mut world = World::new(1000);
    world.rules.asked_by = AskedBy::Owner;
    let (mut desk, _) = world.desk();
    desk.pass();
    let (authority, shop) = (world.authority(), shop());
    let asking = world.ask(&shop, &authority);
    desk.pass();
    let refused = asking.look().unwrap_err();
    assert!(matches!(refused, AskError::Refused { code: ErrorCode::Unproven, .. }), "{refused}");
    assert_eq!(world.vault.asked().len(), 0, "the vault is not even asked");
}

#[test]
fn an_agent_that_was_killed_goes_on_and_fetches_nothing_twice() {
    let world = World::new(40_000_000);
    let (authority, shop) = (world.authority(), shop());
    let stored: u64 =
        world.vault.store.list(ObjectKind::Data).unwrap().iter().map(|(_, size)| size).sum();
    let asking;
    {
        let (mut desk, _) = world.desk();
        desk.pass();
        asking = world.ask(&shop, &authority);
        world.vault.store.left.store(stored * 3 / 4, Ordering::SeqCst);
        settle(&mut desk);
        let Seen::Coming { progress, .. } = asking.look().unwrap() else { panic!("it comes") };
        assert!(progress.unwrap().reason.is_some());
        assert!(world.vault.store.read.load(Ordering::SeqCst) > stored / 2);
    }
    world.vault.store.left.store(u64::MAX, Ordering::SeqCst);
    let (mut desk, _) = world.desk();
    settle(&mut desk);
    world.time.advance(ASK_AGAIN);
    settle(&mut desk);
    assert_eq!(world.fetched(&asking, "green"), world.content);
    let read = world.vault.store.read.load(Ordering::SeqCst);
    assert!(read <= stored + stored / 4, "{read} of {stored}");
    assert_eq!(world.answers(&shop).len(), 1);
}

#[test]
fn an_agent_that_lost_its_directory_answers_anew_and_removes_what_nobody_can_open() {
    let world = World::new(200_000);
    let (authority, shop) = (world.authority(), shop());
    let (mut desk, _) = world.desk();
    desk.pass();
    let asking = world.ask(&shop, &authority);
    settle(&mut desk);
    let before = world.answers(&shop);
    drop(desk);
    fs::remove_dir_all(world.directory.path().join("state")).unwrap();
    let (mut desk, _) = world.desk();
    settle(&mut desk);
    let after = world.answers(&shop);
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    assert_eq!(world.fetched(&asking, "green"), world.content);
}

#[test]
fn what_somebody_changed_on_the_share_is_refused_by_name() {
    let world = World::new(500_000);
    let (authority, shop) = (world.authority(), shop());
    let (mut desk, _) = world.desk();
    desk.pass();
    let [mine, other] = [(), ()].map(|()| world.ask(&shop, &authority));
    settle(&mut desk);
    let answers = world.share.workload_directory(&shop).join("answers");
    let replies: Vec<_> = json_files(&answers);
    assert_eq!(replies.len(), 2);
    // Each other's words, under one's own name: about another request.
    let [first, second] = [0, 1].map(|at| fs::read(&replies[at]).unwrap());
    replace(&replies[0], &second);
    replace(&replies[1], &first);
    for asking in [&mine, &other] {
        assert!(matches!(asking.look().unwrap(), Seen::NoReply(_)), "a reply names its request");
    }
    replace(&replies[0], &first);
    replace(&replies[1], &second);
    // The sealed key of the other in a reply that is whole: it opens for nobody.
    let place = Place::find_answers(&world.share, &shop).unwrap().unwrap();
    let ids = place.list(100).unwrap().requests;
    let mut swapped = ids.iter().map(|id| place.replied(*id).unwrap().unwrap()).collect::<Vec<_>>();
    let (left, right) = swapped.split_at_mut(1);
    std::mem::swap(&mut left[0].answer, &mut right[0].answer);
    swapped.iter().for_each(|reply| place.reply(reply).unwrap());
    for asking in [&mine, &other] {
        assert!(matches!(asking.look(), Err(AskError::WrongKey { .. })));
    }
    // A decision that no vault made.
    let stranger = CertificateAuthority::create(
        &world.directory.path().join("other-ca"),
        &SystemClock,
        &SystemRandom,
    )
    .unwrap();
    let question = world.vault.asked()[0].clone();
    let decided = Decided {
        share: question.share,
        workload: shop.clone(),
        wanted: question.wanted,
        requests: question.requests,
        at: SystemClock.now(),
        decision: Decision::None { reason: "made up".to_owned() },
    };
    let strange = issue(&stranger, Role::Vault);
    for signer in [&strange, &world.vault.agent] {
        let decision = serde_json::to_value(decided.sign(signer).unwrap()).unwrap();
        for reply in &swapped {
            let decision = decision.clone();
            place.reply(&asking::Reply { decision, answer: None, ..reply.clone() }).unwrap();
        }
        for asking in [&mine, &other] {
            assert!(matches!(asking.look(), Err(AskError::Unbelieved { .. })));
        }
    }
    reread(&world, desk, &mine, &other);
}

/// An agent that looks anew puts right what does not stand; and changed content is refused.
fn reread(world: &World, desk: Desk, mine: &Asking<'_>, other: &Asking<'_>) {
    let answers = world.share.workload_directory(&shop()).join("answers");
    let shop = shop();
    drop(desk);
    let (mut desk, _) = world.desk();
    settle(&mut desk);
    assert_eq!(world.fetched(mine, "green"), world.content);
    // And the content itself.
    let answer = answers.join(&world.answers(&shop)[0]);
    let is_pack = |path: &Path| path.extension().is_some_and(|it| it == "pack");
    let pack = fs::read_dir(answer).unwrap().map(|it| it.unwrap().path()).filter(|it| is_pack(it));
    let pack = pack.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(&pack, &bytes);
    let Seen::Whole(ready) = other.look().unwrap() else { panic!("it is whole") };
    let into = world.directory.path().join("tampered");
    let options = restore::Options::default();
    let summary =
        restore::restore(&ready.repository, ready.backup.tree, &into, &options, &Silent).unwrap();
    let problem = summary.problems[0].to_string();
    let id = pack.file_stem().unwrap().to_str().unwrap();
    assert!(problem.contains(id) && problem.contains("shop.sql"), "{problem}");
    assert!(!into.join("shop.sql").exists());
}

fn json_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    // Replies are named by their requests.
    let mut replies: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().len() == 36 + 5).collect();
    replies.sort();
    replies
}

fn replace(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn answers_have_a_budget_and_wait_for_room_or_are_refused() {
    let mut world = World::new(3_000_000);
    world.rules.budget = 5 << 20;
    let (mut desk, _) = world.desk();
    desk.pass();
    let (authority, shop, blog) = (world.authority(), shop(), blog());
    let first = world.ask(&shop, &authority);
    settle(&mut desk);
    let second = world.ask(&blog, &authority);
    settle(&mut desk);
    assert!(matches!(first.look().unwrap(), Seen::Whole(_)));
    let Seen::NoReply(Some(told)) = second.look().unwrap() else { panic!("it waits") };
    assert!(told.reason.unwrap().contains("answers to others take the room"));
    assert_eq!(world.answers(&blog).len(), 0);
    first.withdraw().unwrap();
    for _ in 0..2 {
        // What nobody waits for makes room.
        world.time.advance(TEN_MINUTES);
        settle(&mut desk);
    }
    assert!(matches!(second.look().unwrap(), Seen::Whole(_)));
    assert_eq!(world.answers(&shop).len(), 0);
    world.rules.budget = 1 << 20;
    let (mut desk, _) = world.desk();
    let third = world.ask(&shop, &authority);
    settle(&mut desk);
    let refused = third.look().unwrap_err();
    assert!(matches!(refused, AskError::Refused { code: ErrorCode::OverLimit, .. }), "{refused}");
}

#[test]
fn a_flood_of_requests_is_bounded_told_once_and_keeps_no_other_workload_waiting() {
    let world = World::new(1000);
    let (mut desk, hatch) = world.desk();
    desk.pass();
    let (authority, shop, blog) = (world.authority(), shop(), blog());
    let flood: Vec<_> = (0..REQUESTS_MAX + 30).map(|_| world.ask(&shop, &authority)).collect();
    let honest = world.ask(&blog, &authority);
    settle(&mut desk);
    assert!(matches!(honest.look().unwrap(), Seen::Whole(_)));
    let whole = flood.iter().filter(|it| matches!(it.look().unwrap(), Seen::Whole(_))).count();
    assert_eq!(whole, REQUESTS_MAX);
    assert_eq!(codes(&hatch), [ProblemCode::TooManyRequests]);
    let problem = &hatch.problems()[0];
    assert_eq!(problem.met.team(), Some(&shop), "it is its team's");
    // Garbage in its place is no request, and breaks nothing.
    let requests = world.share.workload_directory(&blog).join("requests");
    fs::write(requests.join(format!("{}.json", RequestId::new(&SystemRandom))), b"{").unwrap();
    fs::create_dir(requests.join(format!("{}.json", RequestId::new(&SystemRandom)))).unwrap();
    fs::write(requests.join("notes.txt"), b"x").unwrap();
    settle(&mut desk);
    assert_eq!(world.vault.asked().iter().filter(|it| it.workload == blog).count(), 1);
    flood.iter().for_each(|asking| asking.withdraw().unwrap());
    world.time.advance(TEN_MINUTES);
    settle(&mut desk);
    assert_eq!(codes(&hatch), []);
}

#[test]
fn requests_and_replies_expire_by_the_clock_of_the_share() {
    let world = World::new(1000);
    let (mut desk, _) = world.desk();
    desk.pass();
    let (authority, shop) = (world.authority(), shop());
    let asking = world.ask(&shop, &authority);
    settle(&mut desk);
    // By ours, days have gone by; by the share's, nothing.
    world.time.advance(Duration::from_secs(10 * 86_400));
    settle(&mut desk);
    assert!(matches!(asking.look().unwrap(), Seen::Whole(_)));
    let answers = world.share.workload_directory(&shop).join("answers");
    let past = SystemTime::now() - world.rules.keep - TEN_MINUTES;
    for path in json_files(&answers) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(past)).unwrap();
    }
    for _ in 0..3 {
        world.time.advance(world.rules.keep + TEN_MINUTES);
        settle(&mut desk);
    }
    assert!(matches!(asking.look().unwrap(), Seen::NoReply(None)));
    assert_eq!(world.answers(&shop), Vec::<String>::new());
    assert_eq!(asking::rung(&world.share, 10).unwrap().0, []);
}

#[test]
fn a_request_below_another_workloads_name_or_with_a_worthless_key_gets_nothing() {
    let world = World::new(1000);
    let (mut desk, _) = world.desk();
    desk.pass();
    let (authority, shop, blog) = (world.authority(), shop(), blog());
    // Who may write below `blog` alone names `shop-db` in the request.
    let elsewhere = world.share.workload_directory(&blog).join("requests");
    drop(Place::of_requests(&world.share, &blog).unwrap());
    let asking = world.ask(&shop, &authority);
    let requests = world.share.workload_directory(&shop).join("requests");
    for path in json_files(&requests) {
        fs::rename(&path, elsewhere.join(path.file_name().unwrap())).unwrap();
    }
    asking::ring(&world.share, &blog).unwrap();
    settle(&mut desk);
    assert_eq!(world.vault.asked().len(), 0);
    assert!(matches!(asking.look().unwrap(), Seen::NoReply(None)));
    let worthless = asking::Request {
        id: RequestId::new(&SystemRandom),
        wanted: Wanted::Newest,
        key: "A".repeat(43) + "=",
        instance: None,
    };
    Place::of_requests(&world.share, &shop).unwrap().ask(&worthless).unwrap();
    asking::ring(&world.share, &shop).unwrap();
    settle(&mut desk);
    let place = Place::find_answers(&world.share, &shop).unwrap().unwrap();
    assert_eq!(place.replied(worthless.id).unwrap().unwrap().answer, None);
    world.time.advance(ASK_AGAIN);
    settle(&mut desk);
    assert_eq!(world.vault.asked().len(), 1, "and it is not asked for again and again");
}

#[test]
fn a_full_share_is_given_back_what_the_answer_took_and_drops_go_first() {
    let world = World::new(1000);
    let (mut desk, hatch) = world.desk();
    desk.pass();
    let (authority, shop) = (world.authority(), shop());
    hatch.is_full(true);
    let asking = world.ask(&shop, &authority);
    settle(&mut desk);
    assert!(matches!(asking.look().unwrap(), Seen::Coming { .. }), "granted, and it waits");
    assert_eq!(world.vault.opened.load(Ordering::SeqCst), 0);
    hatch.is_full(false);
    settle(&mut desk);
    let name = world.answers(&shop)[0].clone();
    desk.ended(&world.share, &name, End::Full("no room".to_owned()));
    assert_eq!(world.answers(&shop), Vec::<String>::new());
}
