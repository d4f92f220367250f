//! Retention executed: in memory, with hands on the clock.

use std::sync::Arc;

use outlast_repo::check;
use outlast_store::{Kind, Store as _};
use outlast_testing::ManualTime;
use outlast_types::{Clock as _, Environment, Interrupt, SystemClock, SystemRandom};
use outlast_wire::holdings::{HeldDrop, Nonce, Question};

use super::*;
use crate::core::holding::Ordered;
use crate::core::storage::Records as _;
use crate::core::testing::{World, agent, bill, shop, upload};

const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    world: World,
    time: ManualTime,
    vault: Arc<Vault>,
}

impl Scene {
    /// A vault that keeps by these rules, if any.
    fn new(keep: Option<&str>) -> Self {
        let mut world = World::new();
        let time = ManualTime::new(SystemClock.now());
        world.environment = Environment { random: Arc::new(SystemRandom), ..time.environment() };
        world.retention.default.keep = keep.map(|text| text.parse().unwrap());
        let vault = world.open();
        Self { world, time, vault }
    }

    /// The same vault, started again with other rules.
    fn again(mut self, keep: &str) -> Self {
        self.world.retention.default.keep = Some(keep.parse().unwrap());
        drop(self.vault);
        let vault = self.world.open();
        Self { vault, ..self }
    }

    /// A day's drop arrives: its snapshot.
    fn day(&self, content: &str) -> SnapshotId {
        let outcome = upload(&self.vault, &shop(), content.as_bytes());
        let bill = bill(&self.vault, &shop(), &outcome);
        self.vault.publish(&bill, &agent()).unwrap();
        self.pass(DAY);
        bill.snapshot_id
    }

    /// The drops of so many days.
    fn days(&self, count: usize) -> Vec<SnapshotId> {
        (0..count).map(|day| self.day(&format!("day {day}"))).collect()
    }

    /// Time passes, and the vault looks again and again.
    fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(DAY);
            self.time.advance(step);
            self.look();
            left -= step;
        }
    }

    fn look(&self) {
        let progress = Progress::new(&self.world.environment, &Interrupt::default());
        self.vault.forget_what_may_go(&progress).unwrap();
    }

    /// The snapshot objects that are there.
    fn there(&self) -> Vec<SnapshotId> {
        let listed = self.world.storage.store(&shop()).list(Kind::Snapshot).unwrap();
        listed.into_iter().filter_map(|(object, _)| object.snapshot()).collect()
    }

    fn keeping(&self) -> Arc<Keeping> {
        self.vault.keepings.read_again(&shop()).unwrap()
    }

    fn incidents(&self) -> usize {
        let open = self.vault.promises.catalog().incidents().unwrap();
        open.iter().filter(|it| it.key == "forgetting" && it.resolved.is_none()).count()
    }
}

fn ordered<'a>(workload: &'a WorkloadName, by: &'a str) -> Ordered<'a> {
    Ordered { workload, by, reason: "a test" }
}

#[test]
fn without_rules_nothing_is_ever_forgotten() {
    let scene = Scene::new(None);
    scene.days(5);
    scene.pass(DAY * 400);
    assert_eq!(scene.there().len(), 5);
    assert_eq!(*scene.keeping(), *scene.vault.keepings.get(&shop()).unwrap());
}

#[test]
fn what_no_rule_keeps_is_hidden_for_a_week_then_removed_and_pruned_and_the_rest_is_whole() {
    let scene = Scene::new(Some("daily=4"));
    let days = scene.days(5);
    let drop = scene.vault.promises.catalog().snapshots(Some(&shop())).unwrap()[4].clone();
    assert_eq!(scene.keeping().forgotten.len(), 0, "it came less than a week ago");
    scene.pass(DAY * 3);
    let forgotten = &scene.keeping().forgotten;
    assert_eq!((forgotten.len(), forgotten[0].snapshot), (1, days[0]));
    assert_eq!(scene.there().len(), 5, "hidden only");
    scene.pass(DAY * 8);
    assert_eq!(scene.there().len(), 4);
    assert!(!scene.there().contains(&days[0]));
    assert_eq!(scene.world.entries(&AuditAction::SnapshotForgotten), 1);
    assert_eq!(scene.world.entries(&AuditAction::SnapshotRemoved), 1);
    // What only it needed goes a day later, and what is left can be read.
    scene.pass(DAY * 3);
    assert_eq!(scene.world.entries(&AuditAction::Pruned), 1);
    let repository = scene.vault.repositories.get(&shop()).unwrap();
    let opened = repository.opened_afresh().unwrap();
    let options = check::Options { read_data: true, ..check::Options::default() };
    let found = check::check(&opened, &options, &Silent).unwrap();
    assert!(found.problems.is_empty(), "{found:?}");
    // The vault lost nothing: a bill that comes again hears the receipt of then, and the share may let go.
    let receipt = outlast_drop::SignedReceipt::parse(drop.receipt.unwrap().as_bytes()).unwrap();
    let said = receipt.receipt().clone();
    let held = HeldDrop {
        drop: said.identity().unwrap(),
        size: said.size.unwrap(),
        tree: said.tree.unwrap(),
        snapshot: days[0],
    };
    let nonce = Nonce::new(&SystemRandom);
    let question = Question {
        nonce: nonce.clone(),
        drops: vec![held.clone()],
        receipts: vec![String::from_utf8(receipt.bytes().to_vec()).unwrap()],
        handed: Vec::new(),
        heeds_withheld: true,
        signed: None,
    };
    let directory = scene.world.directory.path();
    let asker = crate::core::testing::identity(directory, outlast_wire::Role::Agent, "road-1");
    let answer = scene.vault.holdings(question, asker.certified()).unwrap();
    let authority = scene.vault.identity.get().ca_pem().to_owned();
    let answer = answer.verify(&authority, &nonce).unwrap();
    assert_eq!(answer.held, [held]);
    let open = scene.vault.promises.catalog().incidents().unwrap();
    assert!(open.iter().all(|it| it.key != "vault-went-back"), "{open:?}");
}

#[test]
fn a_typo_in_the_rules_destroys_nothing_that_came_under_others() {
    let scene = Scene::new(Some("daily=30"));
    scene.days(6);
    let scene = scene.again("last=1");
    scene.pass(DAY * 60);
    assert_eq!(scene.there().len(), 6);
    // Two operators shorten it, a week later.
    let shop = shop();
    let keep = "last=1".parse().unwrap();
    let request =
        scene.vault.request(&ordered(&shop, "operator a"), Wanted::Shorten { keep }).unwrap();
    let same = scene.vault.approve(&ordered(&shop, "operator a"), request.id).unwrap_err();
    assert!(matches!(same, VaultError::Denied { .. }), "{same}");
    scene.vault.approve(&ordered(&shop, "operator b"), request.id).unwrap();
    scene.pass(DAY * 6);
    assert_eq!(scene.keeping().forgotten.len(), 0);
    scene.pass(DAY * 2);
    assert_eq!(scene.keeping().forgotten.len(), 3, "all but the newest three");
    scene.pass(DAY * 8);
    assert_eq!(scene.there().len(), 3);
}

#[test]
fn what_came_before_there_were_rules_is_kept_by_the_first_ones_and_they_are_there_for_a_week_first()
{
    let scene = Scene::new(None);
    scene.days(6);
    scene.pass(DAY * 30);
    let scene = scene.again("last=4");
    scene.look();
    scene.pass(DAY * 6);
    assert_eq!(scene.keeping().forgotten.len(), 0, "announced");
    let scene = scene.again("last=1");
    scene.pass(DAY * 30);
    assert_eq!(scene.there().len(), 4, "by the first rules");
}

#[test]
fn holds_and_dates_are_stronger_than_rules_and_operators() {
    let mut scene = Scene::new(Some("last=3"));
    scene.world.retention.default.immutable_for = DAY * 100;
    let scene = scene.again("last=3");
    let days = scene.days(5);
    let shop = shop();
    let [first, second] = [days[0], days[1]].map(|id| id.to_string());
    let hold = scene.vault.hold(
        &ordered(&shop, "operator a"),
        "legal",
        None,
        std::slice::from_ref(&first),
    );
    let wanted = Wanted::Forget { snapshots: vec![days[1]] };
    let refused = scene.vault.request(&ordered(&shop, "operator a"), wanted).unwrap_err();
    assert!(refused.to_string().contains("nobody may remove it before"), "{refused}");
    scene.pass(DAY * 90);
    assert_eq!(scene.there().len(), 5);
    scene.pass(DAY * 20);
    assert_eq!(scene.there().len(), 4, "but for the one that is held");
    let refused = scene.vault.forget(&ordered(&shop, "operator a"), &[first]).unwrap_err();
    assert!(refused.to_string().contains("held"), "{refused}");
    scene.vault.release(&ordered(&shop, "operator a"), Some(hold.unwrap())).unwrap();
    scene.pass(DAY * 8);
    assert_eq!(scene.there().len(), 3);
    assert!(scene.vault.undelete(&ordered(&shop, "operator a"), &[second]).is_err(), "it is gone");
}

#[test]
fn a_hold_is_read_again_before_anything_goes_and_what_was_taken_back_stays() {
    let scene = Scene::new(Some("last=3"));
    let days = scene.days(5);
    let shop = shop();
    scene.pass(DAY * 6);
    assert_eq!(scene.keeping().forgotten.len(), 2);
    scene.vault.undelete(&ordered(&shop, "operator a"), &[days[0].to_string()]).unwrap();
    scene.vault.hold(&ordered(&shop, "operator a"), "legal", None, &[days[1].to_string()]).unwrap();
    scene.pass(DAY * 20);
    assert_eq!(scene.there().len(), 5);
    assert_eq!(scene.world.entries(&AuditAction::SnapshotRemoved), 0);
    scene.pass(DAY * 25);
    assert!(!scene.there().contains(&days[0]), "a month later");
}

#[test]
fn who_cannot_read_what_was_decided_forgets_nothing_and_says_so() {
    let scene = Scene::new(Some("last=3"));
    let shop = shop();
    scene.day("day 0");
    scene.vault.hold(&ordered(&shop, "operator a"), "legal", None, &[]).unwrap();
    let key = "repos/.keeping/shop-db/keeping.json";
    let storage = &scene.world.storage;
    let before = crate::core::storage::Records::read(&**storage, key, 1 << 20).unwrap().unwrap();
    crate::core::storage::Records::remove(&**storage, key).unwrap();
    let progress = Progress::new(&scene.world.environment, &Interrupt::default());
    (1..5).for_each(|day| {
        let outcome = upload(&scene.vault, &shop, format!("day {day}").as_bytes());
        let bill = bill(&scene.vault, &shop, &outcome);
        scene.vault.publish(&bill, &agent()).unwrap();
    });
    for _ in 0..30 {
        scene.time.advance(DAY);
        scene.vault.forget_what_may_go(&progress).unwrap_err();
    }
    assert_eq!((scene.there().len(), scene.incidents()), (5, 1));
    let durable = crate::core::storage::Durability::Durable;
    crate::core::storage::Records::replace(&**storage, key, &before, durable).unwrap();
    scene.look();
    assert_eq!((scene.incidents(), scene.keeping().holds.len()), (0, 1));
}

#[test]
fn a_clock_that_jumps_forgets_nothing_and_is_told() {
    let scene = Scene::new(Some("last=3"));
    scene.days(5);
    let years = ManualTime::new(SystemClock.now().saturating_add(DAY * 3650));
    let Scene { mut world, vault, .. } = scene;
    drop(vault);
    world.environment = Environment { random: Arc::new(SystemRandom), ..years.environment() };
    let vault = world.open();
    let scene = Scene { world, time: years, vault };
    scene.look();
    scene.time.advance(Duration::from_secs(3600));
    scene.look();
    assert_eq!((scene.keeping().forgotten.len(), scene.incidents()), (0, 1));
    assert_eq!(scene.there().len(), 5);
}

#[test]
fn a_retired_workload_is_kept_as_its_rules_say_then_its_repository_goes_and_its_key_last() {
    let scene = Scene::new(Some("daily=20"));
    scene.days(4);
    let shop = shop();
    let until = scene.world.environment.clock.now().saturating_add(DAY);
    let action = crate::core::orders::Action::Retire { until };
    scene.vault.order(&shop, "operator a", None, action).unwrap();
    scene.pass(DAY * 10);
    assert_eq!(scene.there().len(), 4, "kept as before");
    scene.pass(DAY * 30);
    assert_eq!(scene.world.entries(&AuditAction::RepositoryDestroyed), 1);
    assert!(scene.vault.repositories.with_password().unwrap().is_empty());
    assert!(scene.vault.repositories.workloads().unwrap().is_empty());
    assert!(scene.vault.arrivals.workloads().unwrap().is_empty());
    let progress = Progress::new(&scene.world.environment, &Interrupt::default());
    scene.vault.look_after_repositories(&progress).unwrap();
    let open = scene.vault.promises.catalog().incidents().unwrap();
    assert!(open.iter().all(|it| it.workload.is_none() || it.resolved.is_some()), "{open:?}");
    let listed = crate::core::storage::Records::list(&*scene.world.storage, "destroyed").unwrap();
    assert_eq!(listed.len(), 1, "a certificate, signed");
}

#[test]
fn whoever_asks_for_less_to_be_kept_is_told_to_the_owner_while_they_ask() {
    let scene = Scene::new(Some("daily=7"));
    scene.days(1);
    let keys = || {
        let pages = scene.vault.promises.open_pages();
        let keys = pages.iter().map(|it| it.key().to_string());
        keys.filter(|key| key.starts_with("shortening")).collect::<Vec<_>>()
    };
    let shop = shop();
    let ordered = Ordered { workload: &shop, by: "operator a", reason: "the law changed" };
    let what = Wanted::Shorten { keep: "last=1".parse().unwrap() };
    let request = scene.vault.request(&ordered, what.clone()).unwrap();
    assert_eq!(keys(), ["shortening/shop-db"]);
    scene.vault.withdraw(&ordered, request.id).unwrap();
    assert!(keys().is_empty());
    // Approved, it is told until it is done.
    let request = scene.vault.request(&ordered, what).unwrap();
    scene.vault.approve(&Ordered { by: "operator b", ..ordered }, request.id).unwrap();
    scene.pass(6 * DAY);
    assert_eq!(keys(), ["shortening/shop-db"]);
    scene.pass(3 * DAY);
    assert!(keys().is_empty());
}

#[test]
fn a_vault_that_lost_its_orders_knows_beside_the_repository_that_there_were_some_and_forgets_nothing()
 {
    let scene = Scene::new(Some("last=1"));
    scene.days(5);
    let until = scene.world.environment.clock.now().saturating_add(400 * DAY);
    let pause = super::super::orders::Action::Pause { until };
    scene.vault.order(&shop(), "operator up", Some("moves"), pause).unwrap();
    assert_eq!(scene.keeping().standing.as_ref().unwrap().until, until);
    scene.world.storage.remove("orders.jsonl").unwrap();
    let scene = scene.again("last=1");
    let progress = Progress::new(&scene.world.environment, &Interrupt::default());
    for _ in 0..20 {
        scene.time.advance(DAY);
        let error = scene.vault.forget_what_may_go(&progress).unwrap_err();
        assert!(error.to_string().contains("the list of orders ends with 0"), "{error}");
    }
    assert_eq!(scene.there().len(), 5);
    let pages = scene.vault.promises.open_pages();
    assert!(pages.iter().any(|it| it.key().to_string() == "forgetting"));
}
