//! A workload that gets another name: one repository, history and promise, whoever calls it how.

use std::fs;
use std::time::Duration;

use outlast_drop::SignedReceipt;
use outlast_store::{Kind, Store};
use outlast_testing::ManualTime;
use outlast_types::{SystemRandom, Timestamp, WorkloadName};
use outlast_vault::VaultHandle;
use outlast_wire::api::{PauseOrder, RenameOrder, Shipment, WorkloadReport};
use outlast_wire::holdings::{HeldDrop, Nonce, Question};
use outlast_wire::receipts::Authority;
use outlast_wire::{ApiClient, CallError, Role};

use crate::support::{Agent, World, shop, speaker};

const DAY: Duration = Duration::from_secs(86_400);

fn name(text: &str) -> WorkloadName {
    WorkloadName::new(text).unwrap()
}

fn order(to: &str) -> RenameOrder {
    RenameOrder { to: name(to), until: None, reason: Some("a merger".to_owned()) }
}

/// Gives the order, and lets the vault begin anew as its role does.
fn rename(vault: &VaultHandle, operator: &ApiClient, from: &str, to: RenameOrder) {
    operator.rename(&name(from), &to).unwrap();
    vault.begin_again_if_due();
}

fn code<T>(result: Result<T, CallError>) -> String {
    let code = result.err().and_then(|error| error.code().map(ToString::to_string));
    code.unwrap_or_default()
}

fn held(agent: &Agent, bills: &[&Shipment]) -> usize {
    let drop = |bill: &&Shipment| HeldDrop {
        drop: bill.identity(),
        size: bill.size,
        tree: bill.tree,
        snapshot: bill.snapshot_id,
    };
    let nonce = Nonce::new(&SystemRandom);
    let question = Question {
        nonce: nonce.clone(),
        drops: bills.iter().map(drop).collect(),
        receipts: Vec::new(),
        handed: Vec::new(),
        heeds_withheld: true,
        signed: None,
    };
    let answer = agent.client.holdings(&question).unwrap();
    answer.verify(agent.identity.ca_pem(), &nonce).unwrap().held.len()
}

fn places(world: &World, of: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![world.config.dir.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            if file == of || file.starts_with(&format!("{of}.")) {
                found.push(entry.path().display().to_string());
            } else if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_renamed_workload_is_one_repository_and_history_under_either_name_through_restart_and_rebuild()
{
    let world = World::new();
    let mut vault = world.start();
    let agent = world.agent(&vault);
    let first = agent.ship(&shop(), b"one");
    let operator = world.client(&vault, Role::Operator);
    let pause = PauseOrder { for_seconds: Some(3600), until: None, reason: "moves".to_owned() };
    operator.pause(&shop(), &pause).unwrap();
    rename(&vault, &operator, "shop-db", order("shop-database"));
    assert_eq!(places(&world, "shop-db"), [] as [String; 0]);

    // An instance that was not told goes on; its receipt is of what it wrote.
    let second = agent.ship(&shop(), b"two");
    let third = agent.ship(&name("shop-database"), b"three");
    let receipt = agent.hand_in(&second).unwrap().receipt;
    assert!(receipt.contains("\"workload\":\"shop-db\""), "{receipt}");
    let signed = SignedReceipt::parse(receipt.as_bytes()).unwrap();
    Authority::of(&agent.identity).check(&signed).unwrap();
    for round in ["as it runs", "after a restart", "after a rebuild"] {
        let (operator, agent) = (world.client(&vault, Role::Operator), world.agent(&vault));
        let identity = world.identity(Role::Operator, "road-1");
        let names: Vec<_> = operator.workloads().unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, [name("shop-database")], "{round}");
        let view = operator.workload(&shop()).unwrap();
        assert_eq!((view.name, view.snapshots), (name("shop-database"), 3), "{round}");
        assert_eq!((&*view.state, view.reason.as_deref()), ("paused", Some("moves")), "{round}");
        for called in [shop(), name("shop-database")] {
            assert_eq!(operator.snapshots(Some(&called)).unwrap().len(), 3, "{round}");
            assert_eq!(operator.orders(Some(&called)).unwrap().len(), 2, "{round}");
            let opened = operator.open_workload(&called, speaker(&identity)).unwrap();
            let store = opened.store;
            assert_eq!(store.list(Kind::Snapshot).unwrap().len(), 3, "{round}");
        }
        let agent = Agent { share: first.share, ..agent };
        assert_eq!(held(&agent, &[&first, &second, &third]), 3, "{round}");
        vault.shutdown();
        if round == "after a restart" {
            for suffix in ["", "-wal", "-shm"] {
                fs::remove_file(world.config.dir.join(format!("catalog.sqlite{suffix}"))).ok();
            }
        }
        vault = world.start();
    }
    vault.shutdown();
    // Whoever reads by the name of before reads this workload, and is found in its evidence.
    let log = logged(&world);
    let reads = |line: &&str| line.contains("key_handed_out") && line.contains("operator ");
    let by_former =
        log.lines().filter(reads).filter(|line| line.contains("\"called\":\"shop-db\""));
    assert_eq!(by_former.clone().count(), 3, "{log}");
    assert!(by_former.into_iter().all(|it| it.contains("\"workload\":\"shop-database\"")), "{log}");
}

/// The whole audit log.
fn logged(world: &World) -> String {
    let segments = fs::read_dir(world.config.dir.join("audit")).unwrap();
    let mut segments: Vec<_> = segments.map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn a_name_that_is_taken_or_was_anothers_is_refused_and_an_order_of_now_is_for_operators() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"one");
    agent.ship(&name("crm"), b"one");
    let operator = world.client(&vault, Role::Operator);
    for role in [Role::Agent, Role::Reader] {
        assert_eq!(code(world.client(&vault, role).rename(&shop(), &order("web"))), "refused");
    }
    assert_eq!(code(operator.rename(&name("none"), &order("web"))), "unknown_workload");
    let late = RenameOrder { until: Some("2099-01-01T00:00:00Z".parse().unwrap()), ..order("web") };
    for (from, bad) in [("shop-db", order("crm")), ("shop-db", order("shop-db")), ("shop-db", late)]
    {
        assert_eq!(code(operator.rename(&name(from), &bad)), "bad_order", "{bad:?}");
    }
    let told = operator.rename(&shop(), &order("crm")).unwrap_err().to_string();
    assert!(told.contains("there is a workload crm already"), "{told}");
    assert_eq!(operator.orders(None).unwrap(), [], "what is refused is no order");
    vault.begin_again_if_due();
    rename(&vault, &operator, "shop-db", order("web"));
    // A name of before is not for another.
    let told = operator.rename(&name("crm"), &order("shop-db")).unwrap_err().to_string();
    assert!(told.contains("web had the name shop-db before"), "{told}");
    let told = operator.rename(&shop(), &order("crm")).unwrap_err().to_string();
    assert!(told.contains("it is called web now"), "{told}");
    vault.shutdown();
}

#[test]
fn a_workload_may_be_renamed_twice_and_back() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let mut bills = vec![agent.ship(&shop(), b"one")];
    let operator = world.client(&vault, Role::Operator);
    for (number, (from, to)) in
        [("shop-db", "web"), ("web", "store"), ("store", "shop-db"), ("shop-db", "web")]
            .into_iter()
            .enumerate()
    {
        rename(&vault, &operator, from, order(to));
        bills.push(agent.ship(&shop(), format!("content {number}").as_bytes()));
        let all = operator.workloads().unwrap();
        let all: Vec<_> = all.iter().map(|it| (it.name.as_str(), it.snapshots)).collect();
        assert_eq!(all, [(to, number as u64 + 2)]);
        assert_eq!(held(&agent, &bills.iter().collect::<Vec<_>>()), bills.len());
    }
    vault.shutdown();
    // What is there under the names of before is there under this one.
    assert_eq!(places(&world, "shop-db").len() + places(&world, "store").len(), 0);
    assert!(places(&world, "web").len() >= 3);
}

#[test]
fn a_start_makes_good_what_a_kill_left_between_two_names() {
    let world = World::new();
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    world.client(&vault, Role::Operator).rename(&shop(), &order("web")).unwrap();
    vault.shutdown();
    // Killed in the midst: some of it moved.
    let dir = &world.config.dir;
    for place in ["arrivals/shop-db", "repos/shop-db"] {
        let to = dir.join(place).with_file_name("web");
        outlast_fs::durable::rename_beside(&dir.join(place), to.file_name().unwrap()).unwrap();
    }
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let view = operator.workload(&name("web")).unwrap();
    assert_eq!((view.snapshots, view.state.as_str()), (1, "fresh"));
    assert_eq!(operator.workloads().unwrap().len(), 1);
    assert!(operator.incidents().unwrap().is_empty());
    vault.shutdown();
}

#[test]
fn after_its_date_the_old_name_is_refused_with_words_and_what_waits_under_it_is_one_incident() {
    let world = World::new();
    let start: Timestamp = outlast_types::Clock::now(&outlast_types::SystemClock);
    let time = ManualTime::new(start);
    let vault = world.start_at(&time);
    let agent = world.agent(&vault);
    let bill = agent.ship(&shop(), b"one");
    let operator = world.client(&vault, Role::Operator);
    let until = Some(start.saturating_add(Duration::from_secs(60)));
    rename(&vault, &operator, "shop-db", RenameOrder { until, ..order("web") });
    agent.ship(&shop(), b"two");
    time.advance(Duration::from_secs(61));

    let refused = agent.client.open_workload(&shop(), agent.speaker()).err().unwrap().to_string();
    assert!(refused.contains("shop-db is called web"), "{refused}");
    assert_eq!(code(operator.workload(&shop())), "former_name");
    // What it dropped before is released all the same.
    assert_eq!(held(&agent, &[&bill]), 1);
    let seen = |waiting| WorkloadReport {
        name: shop(),
        declared: None,
        waiting,
        waiting_bytes: 0,
        rejected: Vec::new(),
        stopped: None,
        unconfirmed: Vec::new(),
        share_bytes: None,
    };
    let report = |waiting, problems: Vec<String>| {
        let mut report = agent.report_of(vec![seen(waiting)], problems);
        report.share_usable = Some(true);
        agent.client.report(&report, agent.speaker()).unwrap();
    };
    let open = || {
        let all = operator.incidents().unwrap().into_iter();
        all.filter(|it| it.resolved.is_none()).map(|it| it.key).collect::<Vec<_>>()
    };
    report(0, Vec::new());
    assert_eq!(open(), [] as [String; 0]);
    // What it hears of us at each try is not told to people a second time.
    report(1, vec![format!("not shipped: {refused}")]);
    report(1, vec![format!("not shipped: {refused}")]);
    assert_eq!(open(), ["former-name/web"]);
    let told = operator.incidents().unwrap()[0].cause.clone();
    assert!(told.contains("drops wait") && told.contains("shop-db"), "{told}");
    assert_eq!(operator.workloads().unwrap().len(), 1, "it is no workload of its own");
    // Accepted for longer.
    let until = Some(start.saturating_add(DAY));
    rename(&vault, &operator, "shop-db", RenameOrder { until, ..order("web") });
    report(1, Vec::new());
    assert_eq!(open(), [] as [String; 0]);
    agent.ship(&shop(), b"three");
    assert_eq!(operator.workload(&name("web")).unwrap().snapshots, 3);
    vault.shutdown();
}

#[test]
fn policy_that_names_the_old_name_holds_and_one_that_promises_the_new_name_something_else_is_asked_first()
 {
    let mut world = World::new();
    let promise = |hours: u64, owner: &str| {
        outlast_promise::Promise::new(Duration::from_secs(hours * 3600), owner).unwrap()
    };
    world.config.policy.workloads.insert(shop(), promise(1, "team-shop").into());
    let pattern = "web-*".parse().unwrap();
    world.config.policy.patterns.push((pattern, promise(48, "team-web").into()));
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    world.agent(&vault).ship(&name("crm"), b"one");
    let operator = world.client(&vault, Role::Operator);
    let told = operator.rename(&name("crm"), &order("web-crm")).unwrap_err().to_string();
    assert!(told.contains("write [workloads.web-crm]"), "{told}");
    rename(&vault, &operator, "shop-db", order("store"));
    let view = operator.workload(&name("store")).unwrap();
    assert_eq!((view.rpo_seconds, view.owner.as_deref()), (Some(3600), Some("team-shop")));
    // Read again, the same file means the same.
    vault.adopt(&world.config).unwrap();
    assert_eq!(operator.workloads().unwrap().len(), 2);
    world.config.policy.workloads.insert(name("store"), promise(2, "team-store").into());
    vault.adopt(&world.config).unwrap();
    let view = operator.workload(&name("store")).unwrap();
    assert_eq!((view.rpo_seconds, view.owner.as_deref()), (Some(7200), Some("team-store")));
    vault.shutdown();
}
