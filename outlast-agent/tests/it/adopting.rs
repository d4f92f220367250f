//! Files that teams write without us: found, believed, made drops, shipped, and never taken twice.
#![expect(clippy::disallowed_methods, reason = "files as teams write them")]

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outlast_agent::{Agent, AgentConfig, PassReport};
use outlast_drop::adopt::{Removal, Rule, RuleText, waiting};
use outlast_drop::files::{Count, Meter};
use outlast_drop::{DropLimits, ReceiptState, receipt};
use outlast_testing::pseudo_random;
use outlast_types::{ProblemCode, WorkloadName};

use crate::support::{World, files_in, good_pass, name, pass};

const SETTLE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn rule(glob: &str) -> RuleText {
    RuleText { settle: SETTLE, ..RuleText::new(glob) }
}

fn agent(world: &World, rules: &[RuleText]) -> Agent {
    agent_with(world, rules, |_| {})
}

fn agent_with(world: &World, rules: &[RuleText], change: impl FnOnce(&mut AgentConfig)) -> Agent {
    world.agent_with(|config| {
        config.adopt = rules.iter().map(|text| Rule::parse(text).unwrap()).collect();
        change(config);
    })
}

fn put(world: &World, path: &str, content: &[u8]) -> PathBuf {
    let path = world.share.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// Passes until all that lies there now has settled and was dealt with.
fn settle(world: &World, agent: &mut Agent) -> Vec<PassReport> {
    let mut reports = Vec::new();
    for _ in 0..4 {
        reports.push(pass(agent));
        world.clock.advance(SETTLE);
    }
    reports
}

fn vaulted(reports: &[PassReport]) -> usize {
    reports.iter().map(|report| report.vaulted.len()).sum()
}

/// Forgets all that the agent remembers.
fn lose_state(world: &World) {
    let _ = fs::remove_dir_all(world.path("state"));
}

fn shop() -> WorkloadName {
    name("shop")
}

#[test]
fn a_file_becomes_a_drop_and_is_not_taken_twice_by_an_agent_that_remembers_nothing() {
    let mut world = World::new();
    world.keep = 0;
    let content = pseudo_random(1, 300_000);
    let path = put(&world, "in/shop/dump.sql", &content);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let rules = [rule("in/{workload}/*.sql")];
    let mut agent = agent(&world, &rules);
    good_pass(&mut agent);
    let told = waiting::read(&world.share).unwrap();
    assert_eq!((told.files.len(), told.files[0].path.as_str()), (1, "in/shop/dump.sql"));
    assert!(told.files[0].why.contains("not changed for 1 min"), "{}", told.files[0].why);
    world.clock.advance(SETTLE - Duration::from_secs(1));
    good_pass(&mut agent);
    assert!(!world.share.workload_directory(&shop()).exists(), "it has not settled");
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(good_pass(&mut agent).vaulted.len(), 1);
    assert_eq!(waiting::read(&world.share), None, "nothing waits");
    let restored = world.restore("shop").join("dump.sql");
    assert_eq!(fs::read(&restored).unwrap(), content);
    assert_eq!(fs::metadata(&restored).unwrap().modified().unwrap(), before, "its own time");
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    assert_eq!(vaulted(&settle(&world, &mut agent)), 0);
    // With its drop gone from the share by the keep rule, too.
    let drops = world.share.workload_directory(&shop()).join("drops");
    let left = fs::read_dir(&drops)
        .map_or(0, |days| days.map(|day| files_in(&day.unwrap().path()).len()).sum::<usize>());
    assert_eq!(left, 0);
    drop(agent);
    lose_state(&world);
    let mut agent = self::agent(&world, &rules);
    assert_eq!(vaulted(&settle(&world, &mut agent)), 0);
    assert_eq!(world.snapshots("shop"), 1);
}

#[test]
fn what_is_rotated_or_copied_is_not_taken_again_and_what_is_written_is() {
    let world = World::new();
    let path = put(&world, "in/shop/db.dump", b"monday");
    let mut agent = agent(&world, &[rule("in/{workload}/db.dump*")]);
    assert_eq!(vaulted(&settle(&world, &mut agent)), 1);
    let monday = fs::metadata(&path).unwrap().modified().unwrap();
    fs::rename(&path, path.with_extension("dump.1")).unwrap();
    assert_eq!(vaulted(&settle(&world, &mut agent)), 0, "rotated");
    let copied = put(&world, "in/shop/db.dump.copy", b"monday");
    File::options()
        .write(true)
        .open(&copied)
        .unwrap()
        .set_times(FileTimes::new().set_modified(monday))
        .unwrap();
    assert_eq!(vaulted(&settle(&world, &mut agent)), 0, "copied with its times");
    put(&world, "in/shop/db.dump", b"tuesday");
    assert_eq!(vaulted(&settle(&world, &mut agent)), 1);
    // In place, with a time of long ago.
    fs::write(&path, b"wednesday").unwrap();
    let old = SystemTime::now() - 100 * DAY;
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(old))
        .unwrap();
    assert_eq!(vaulted(&settle(&world, &mut agent)), 1, "replaced in place");
    assert_eq!(world.snapshots("shop"), 3);
    assert_eq!(good_pass(&mut agent).problems, []);
}

#[test]
fn a_file_that_grows_is_never_believed() {
    let world = World::new();
    let path = put(&world, "in/shop/log.sql", b"-");
    let mut agent = agent(&world, &[rule("in/{workload}/*.sql")]);
    for _ in 0..10 {
        File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(good_pass(&mut agent).vaulted.len(), 0);
        world.clock.advance(SETTLE - Duration::from_secs(1));
    }
    assert!(!world.share.workload_directory(&shop()).exists());
    assert_eq!(vaulted(&settle(&world, &mut agent)), 1, "until it does not any more");
}

#[test]
fn i1_a_file_is_removed_only_when_the_vault_says_that_it_holds_it_and_only_that_file() {
    let world = World::new();
    let rules = [RuleText { removal: Removal::Vaulted, ..rule("in/{workload}/*.sql") }];
    let mut agent = agent(&world, &rules);
    let kept = put(&world, "in/shop/kept.sql", b"first");
    let gone = put(&world, "in/crm/gone.sql", b"content");
    let world = {
        let clock = world.clock.clone();
        let mut reports = Vec::new();
        let world = world.without_vault(|_| {
            for _ in 0..3 {
                reports.push(pass(&mut agent));
                clock.advance(SETTLE);
            }
        });
        assert_eq!(vaulted(&reports), 0);
        world
    };
    assert!(kept.exists() && gone.exists(), "the vault was away");
    // It is written anew while its drop is on the way.
    fs::write(&kept, b"second").unwrap();
    let mut reports = vec![pass(&mut agent)];
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(15));
        reports.push(pass(&mut agent));
    }
    assert_eq!(vaulted(&reports), 2, "{reports:?}");
    world.clock.advance(Duration::from_secs(3600));
    pass(&mut agent);
    assert_eq!(fs::read(&kept).unwrap(), b"second", "this one is not in the vault");
    world.clock.advance(SETTLE);
    pass(&mut agent);
    assert!(!gone.exists());
    assert_eq!(fs::read(world.restore("crm").join("gone.sql")).unwrap(), b"content");
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(3600));
        pass(&mut agent);
    }
    assert!(!kept.exists());
    assert_eq!((world.snapshots("shop"), world.snapshots("crm")), (2, 1));
    assert_eq!(fs::read(world.restore("shop").join("kept.sql")).unwrap(), b"second");
}

#[test]
fn a_rule_that_does_not_say_so_removes_and_changes_nothing() {
    let world = World::new();
    let path = put(&world, "in/shop/a.sql", b"content");
    let before = fs::metadata(&path).unwrap();
    let mut agent = agent(&world, &[rule("in/{workload}/*.sql")]);
    settle(&world, &mut agent);
    settle(&world, &mut agent);
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    use std::os::unix::fs::MetadataExt;
    assert_eq!((after.ctime_nsec(), after.ino()), (before.ctime_nsec(), before.ino()));
    assert_eq!(files_in(path.parent().unwrap()), ["a.sql"]);
    assert_eq!(world.snapshots("shop"), 1);
}

#[test]
fn a_group_waits_for_its_last_file_and_is_one_drop() {
    let world = World::new();
    let group = vec!["{base}.md5".to_owned()];
    let text = RuleText { group, ..rule("in/{workload}/{base}.sql") };
    put(&world, "in/shop/x.sql", b"select 1");
    let mut agent = agent(&world, &[text]);
    assert_eq!(vaulted(&settle(&world, &mut agent)), 0);
    let told = waiting::read(&world.share).unwrap();
    assert_eq!(told.files[0].why, "x.md5 is not there yet");
    put(&world, "in/shop/x.md5", b"sum");
    assert_eq!(vaulted(&settle(&world, &mut agent)), 1);
    let restored = world.restore("shop");
    assert_eq!(files_in(&restored), ["x.md5", "x.sql"]);
    assert_eq!(fs::read(restored.join("x.sql")).unwrap(), b"select 1");
}

#[test]
fn i3_a_file_that_cannot_be_taken_is_its_teams_incident_and_resolves_by_itself() {
    let world = World::new();
    let secret = put(&world, "elsewhere/secret", b"of another team");
    put(&world, "in/shop/good.sql", b"content");
    let link = world.share.path().join("in/shop/link.sql");
    fs::hard_link(&secret, &link).unwrap();
    let path = put(&world, "in/shop/holes.sql", b"x");
    let mut holes = OpenOptions::new().write(true).open(&path).unwrap();
    holes.set_len(64 << 20).unwrap();
    holes.seek(SeekFrom::Start(1 << 20)).unwrap();
    holes.write_all(b"x").unwrap();
    drop(holes);
    let strict = DropLimits { ratio_from: 1 << 20, ratio_max: 100, ..DropLimits::default() };
    let rules = [rule("in/{workload}/*.sql")];
    let mut agent = agent_with(&world, &rules, |config| config.limits = strict);
    let reports = settle(&world, &mut agent);
    assert_eq!(vaulted(&reports), 1, "the others go on");
    let codes: Vec<_> =
        reports.last().unwrap().problems.iter().map(|problem| problem.met.code()).collect();
    assert_eq!(codes, [ProblemCode::NotAdopted, ProblemCode::NotAdopted]);
    let incidents = world.incidents();
    let incident = incidents.iter().find(|it| it.cause.contains("in/shop/link.sql")).unwrap();
    assert_eq!(incident.owner, "app");
    assert!(incident.cause.contains("hard links"), "{}", incident.cause);
    fs::remove_file(link).unwrap();
    fs::remove_file(path).unwrap();
    for _ in 0..8 {
        world.clock.advance(Duration::from_secs(600));
        pass(&mut agent);
    }
    assert!(world.incidents().is_empty(), "{:?}", world.incidents());
}

#[test]
fn names_make_no_workload_that_is_none_and_no_more_than_the_rule_says() {
    let world = World::new();
    put(&world, "in/Shop DB/a.sql", b"x");
    put(&world, "in/..2/a.sql", b"x");
    put(&world, "in/con/a.sql", b"x");
    for number in 0..40 {
        put(&world, &format!("in/w{number:02}/a.sql"), b"x");
    }
    // This one is there already, and comes last by its name.
    put(&world, "in/zoo/a.sql", b"content");
    world.dump("zoo", b"before");
    let text = RuleText { workloads: 5, ..rule("in/{workload}/*.sql") };
    let mut agent = agent(&world, &[text]);
    let mut reports = settle(&world, &mut agent);
    reports.extend(settle(&world, &mut agent));
    assert_eq!(world.snapshots("zoo"), 2);
    let made = files_in(&world.share.path().join("w"));
    assert_eq!(made.len(), 5, "{made:?}");
    let last = reports.last().unwrap();
    let strays = last.problems.iter().filter(|it| it.met.code() == ProblemCode::StrayEntry);
    let strays: Vec<_> = strays.map(ToString::to_string).collect();
    assert!(strays.iter().any(|it| it.contains("in/Shop DB/a.sql")), "{strays:?}");
    assert!(last.problems.iter().any(|it| it.to_string().contains("leads to 5 workloads")));
}

#[test]
fn ten_thousand_files_in_a_directory_are_looked_at_a_bounded_step_at_a_time() {
    let world = World::new();
    let directory = world.share.path().join("in/shop");
    fs::create_dir_all(&directory).unwrap();
    let old = SystemTime::now() - 30 * DAY;
    for number in 0..10_000 {
        let file = File::create(directory.join(format!("{number:05}.sql"))).unwrap();
        file.set_times(FileTimes::new().set_modified(old)).unwrap();
    }
    put(&world, "in/shop/00001.sql", b"one");
    put(&world, "in/shop/09999.sql", b"another");
    let settle = Duration::from_secs(600);
    let text = RuleText { max_age: Some(DAY), settle, ..rule("in/{workload}/*.sql") };
    let mut agent = agent(&world, &[text]);
    let count = Arc::new(Count::default());
    agent.measure(Meter::new(Arc::<Count>::clone(&count)));
    let (mut reports, mut most) = (Vec::new(), 0);
    for _ in 0..40 {
        let before = count.calls();
        reports.push(pass(&mut agent));
        most = most.max(count.calls() - before);
        world.clock.advance(Duration::from_secs(30));
    }
    assert!(most < 1500, "{most} calls in one pass");
    assert_eq!(vaulted(&reports), 2, "those that are too old are left alone");
    let before = count.calls();
    pass(&mut agent);
    let calls = count.calls() - before;
    assert!(calls < 100, "{calls} calls where all was looked at just now");
}

#[test]
fn many_files_of_one_workload_come_in_the_order_of_their_times() {
    let world = World::new();
    let began = SystemTime::now() - DAY;
    for number in (0..12_u64).rev() {
        let path =
            put(&world, &format!("in/shop/{}.sql", 99 - number), &pseudo_random(number, 500));
        let at = began + Duration::from_secs(60 * number);
        let times = FileTimes::new().set_modified(at);
        File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    }
    let mut agent = agent(&world, &[rule("in/{workload}/*.sql")]);
    let reports = settle(&world, &mut agent);
    let drops: Vec<_> =
        reports.iter().flat_map(|report| &report.vaulted).map(|it| it.address.drop).collect();
    assert_eq!(drops.len(), 12);
    assert!(drops.is_sorted(), "the newest is the last that the vault gets: {drops:?}");
}

#[test]
fn receipts_stay_as_long_as_the_file_lies_there() {
    let mut world = World::new();
    world.keep = 0;
    let path = put(&world, "in/shop/a.sql", b"content");
    let rules = [rule("in/{workload}/*.sql")];
    let keep = |config: &mut AgentConfig| config.receipts_keep = 2 * DAY;
    let mut agent = agent_with(&world, &rules, keep);
    assert_eq!(vaulted(&settle(&world, &mut agent)), 1);
    world.clock.advance(5 * DAY);
    let passes = |agent: &mut Agent| {
        for _ in 0..6 {
            world.clock.advance(Duration::from_secs(1800));
            pass(agent);
        }
    };
    passes(&mut agent);
    let receipts = || receipt::list(&world.share, &shop()).unwrap();
    let has = |state| receipts().values().any(|states| states.contains(&state));
    assert!(has(ReceiptState::Vaulted), "it says that the file was taken");
    drop(agent);
    lose_state(&world);
    let mut agent = agent_with(&world, &rules, keep);
    passes(&mut agent);
    assert!(has(ReceiptState::Vaulted));
    assert_eq!(world.snapshots("shop"), 1);
    fs::remove_file(path).unwrap();
    passes(&mut agent);
    assert!(!has(ReceiptState::Vaulted), "{:?}", receipts());
}

#[test]
fn the_first_rule_that_is_about_a_file_has_it() {
    let world = World::new();
    put(&world, "in/shop/a.sql", b"content");
    let fixed = RuleText { workload: Some("crm".to_owned()), ..rule("in/shop/*.sql") };
    let mut agent = agent(&world, &[fixed, rule("in/{workload}/*")]);
    assert_eq!(vaulted(&settle(&world, &mut agent)), 1);
    assert_eq!(world.snapshots("crm"), 1);
    assert!(!world.share.workload_directory(&shop()).exists());
}
