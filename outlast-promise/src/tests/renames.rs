//! A workload that gets another name goes on as if nothing had happened.

use super::*;

fn shop_database() -> WorkloadName {
    WorkloadName::new("shop-database").unwrap()
}

fn renamed(number: u64) -> Event {
    Event::Renamed { number, workload: shop(), to: shop_database() }
}

fn names(ledger: &Ledger) -> Vec<String> {
    ledger.workloads().map(|status| status.workload.to_string()).collect()
}

#[test]
fn a_renamed_workload_keeps_its_history_and_breaks_when_it_would_have_broken() {
    let mut ledger = ledger();
    ledger.apply(waiting(shop()), at(0));
    ledger.apply(vaulted(shop(), 10), at(10));
    ledger.apply(heard(), at(12));
    assert!(ledger.apply(renamed(1), at(20)).is_empty());
    assert_eq!(names(&ledger), ["shop-database"]);
    assert!(ledger.apply(renamed(1), at(21)).is_empty(), "heard before");
    ledger.mark_saved();
    let mut ledger = Ledger::resume(settings(), ledger.rows(), at(22)).unwrap();
    assert_eq!((names(&ledger), ledger.last_order()), (vec!["shop-database".to_owned()], 1));
    assert_eq!(alive(&mut ledger, 30, 110), [] as [&str; 0]);
    ledger.apply(heard(), at(109));
    assert_eq!(keys(&ledger.tick(at(110))), ["+recovery-point/shop-database"]);
}

#[test]
fn what_is_open_of_a_renamed_workload_pages_nobody_again_and_resolves_under_its_new_name() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(keys(&ledger.tick(at(100))), ["+recovery-point/shop-db"]);
    ledger.mark_saved();
    assert!(ledger.apply(renamed(1), at(110)).is_empty());
    let unsaved = ledger.unsaved().rows.into_iter();
    let mut rows: Vec<_> = unsaved.map(|row| (row.key, row.state.is_some())).collect();
    rows.retain(|(key, _)| key.contains("shop"));
    assert_eq!(
        rows,
        [
            ("shop-database".to_owned(), true),
            ("shop-db".to_owned(), false),
            ("recovery-point/shop-database".to_owned(), true),
            ("recovery-point/shop-db".to_owned(), false)
        ]
    );
    let resolved = ledger.apply(vaulted(shop_database(), 120), at(120));
    assert_eq!(keys(&resolved), ["-recovery-point/shop-database"]);
    assert_eq!(resolved[0].incident().id, 1, "the incident of before");
}

/// The vault begins anew under a policy that speaks of the workload by its new name.
fn begun_anew(mut ledger: Ledger, second: u64) -> (Ledger, Vec<Change>) {
    let mut settings = ledger.settings().clone();
    settings.policy.carry_over(&shop(), &shop_database());
    ledger.mark_saved();
    let (shop, to) = (shop(), shop_database());
    let rows = ledger.rows();
    let mut ledger = Ledger::resume_renamed(settings, rows, [(&shop, &to)], at(second)).unwrap();
    let event = Event::Renamed { number: 1, workload: to.clone(), to };
    let told = ledger.apply(event, at(second));
    (ledger, told)
}

fn promised(workload: WorkloadName, rpo: u64) -> Settings {
    with_policy([(workload, Promise::new(Duration::from_secs(rpo), "team-shop").unwrap())])
}

#[test]
fn i2_a_workload_that_may_be_older_than_others_pages_nobody_when_it_is_renamed() {
    let mut ledger = Ledger::new(promised(shop(), 3 * RPO), 0, at(0));
    ledger.apply(vaulted(shop(), 0), at(0));
    assert!(ledger.tick(at(2 * RPO)).is_empty());
    let (mut ledger, told) = begun_anew(ledger, 2 * RPO);
    assert_eq!(keys(&told), [""; 0], "by its name of before, policy promises it {RPO} s");
    assert_eq!((names(&ledger), ledger.last_order()), (vec!["shop-database".to_owned()], 1));
    assert!(ledger.tick(at(3 * RPO - 1)).is_empty());
    assert_eq!(keys(&ledger.tick(at(3 * RPO))), ["+recovery-point/shop-database"]);
}

#[test]
fn i2_a_promise_that_is_broken_rings_on_when_it_is_renamed_and_others_may_be_older() {
    let mut ledger = Ledger::new(promised(shop(), RPO / 2), 0, at(0));
    ledger.apply(vaulted(shop(), 0), at(0));
    assert_eq!(keys(&ledger.tick(at(RPO / 2))), ["+recovery-point/shop-db"]);
    let (mut ledger, told) = begun_anew(ledger, RPO / 2 + 10);
    assert_eq!(keys(&told), [""; 0]);
    let resolved = ledger.apply(vaulted(shop_database(), 90), at(90));
    assert_eq!(keys(&resolved), ["-recovery-point/shop-database"]);
    assert_eq!(resolved[0].incident().id, 1, "the incident of before");
}

#[test]
fn i3_a_declared_workload_that_never_dropped_rings_on_when_it_is_renamed() {
    let mut ledger = Ledger::new(promised(shop(), RPO), 0, at(0));
    assert_eq!(keys(&ledger.tick(at(RPO))), ["+recovery-point/shop-db"]);
    let (ledger, told) = begun_anew(ledger, RPO + 10);
    assert_eq!(keys(&told), [""; 0]);
    let open: Vec<_> = ledger.incidents().map(|it| (it.id, it.key().to_string())).collect();
    assert_eq!(open, [(1, "recovery-point/shop-database".to_owned())]);
}

#[test]
fn i3_what_was_told_of_a_name_before_another_workload_got_it_is_over() {
    let said = |rpo| Promise::new(Duration::from_secs(rpo), "team-shop").unwrap();
    let both = with_policy([(shop(), said(RPO)), (shop_database(), said(RPO))]);
    let mut ledger = Ledger::new(both, 0, at(0));
    ledger.apply(vaulted(shop(), 10), at(10));
    assert_eq!(keys(&ledger.tick(at(RPO))), ["+recovery-point/shop-database"]);
    assert_eq!(keys(&ledger.tick(at(RPO + 10))), ["+recovery-point/shop-db"]);
    let (ledger, told) = begun_anew(ledger, RPO + 20);
    assert_eq!(keys(&told), ["-recovery-point/shop-database"]);
    assert_eq!(told[0].incident().id, 1, "that of the name, when nothing had come of it");
    assert_eq!(ledger.incidents().map(|it| it.id).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_name_of_before_that_lingers_takes_nothing_from_the_workload_that_had_it() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop_database(), 50), at(50));
    ledger.apply(vaulted(shop(), 10), at(60));
    let (ledger, told) = begun_anew(ledger, 70);
    assert_eq!(keys(&told), [""; 0]);
    let of = |name| ledger.workload(&name).unwrap().last_vaulted;
    assert_eq!((of(shop_database()), of(shop())), (Some(at(50)), Some(at(10))));
}

#[test]
fn a_name_that_is_accepted_no_more_and_still_dropped_under_is_told_once_until_nothing_waits() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop_database(), 0), at(0));
    let found = |waits| Event::FormerName {
        workload: shop_database(),
        former: shop(),
        source: source(),
        until: at(5),
        waits,
    };
    assert!(ledger.apply(found(false), at(10)).is_empty());
    let opened = ledger.apply(found(true), at(20));
    assert_eq!(keys(&opened), ["+former-name/shop-database"]);
    let told = opened[0].incident().cause.to_string();
    assert!(told.contains("under the name shop-db") && told.contains("workload rename"), "{told}");
    assert!(ledger.apply(found(true), at(30)).is_empty());
    let mut ledger = Ledger::resume(settings(), ledger.rows(), at(31)).unwrap();
    assert_eq!(keys(&ledger.apply(found(false), at(40))), ["-former-name/shop-database"]);
}

#[test]
fn whoever_asks_for_less_to_be_kept_is_told_to_the_owner_until_nobody_asks() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    let asked = Shortening {
        what: "all that is here be kept by daily=7 only".into(),
        by: "operator eu-1".into(),
        reason: "the law changed".into(),
        at: at(1),
    };
    let said = |asked| Event::Shortening { workload: shop(), asked };
    let opened = ledger.apply(said(Some(asked.clone())), at(1));
    assert_eq!(keys(&opened), ["+shortening/shop-db"]);
    assert_eq!(opened[0].incident().team, "team-shop");
    let told = opened[0].incident().cause.to_string();
    assert!(told.starts_with("operator eu-1 asks that of shop-db all that is here"), "{told}");
    assert!(ledger.apply(said(Some(asked)), at(2)).is_empty());
    assert_eq!(keys(&ledger.apply(said(None), at(3))), ["-shortening/shop-db"]);
}

#[test]
fn an_order_about_a_workload_that_is_no_more_opens_no_account() {
    let mut ledger = ledger();
    let retire = Order::Retire { at: at(0), until: at(10) };
    for (number, order) in [(1, retire), (2, Order::Resume), (3, Order::Recreate { at: at(0) })] {
        assert!(ledger.apply(ordered(number, order), at(20 + number)).is_empty());
    }
    assert!(names(&ledger).is_empty());
    assert_eq!(ledger.last_order(), 3);
    assert!(ledger.tick(at(10_000)).is_empty());
}

#[test]
fn an_older_drop_that_comes_after_a_newer_one_leaves_nothing_waiting() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 50), at(50));
    ledger.apply(waiting(shop()), at(60));
    ledger.apply(vaulted(shop(), 40), at(70));
    assert_eq!(ledger.workload(&shop()).unwrap().waiting_since, None);
    assert_eq!(alive(&mut ledger, 70, 150), [""; 0]);
    let opened = ledger.tick(at(150));
    assert_eq!(opened[0].incident().owner(), Owner::App, "nothing was dropped since");
}

#[test]
fn a_vault_that_is_away_twice_still_explains_what_broke_the_first_time() {
    let mut ledger = ledger();
    ledger.apply(vaulted(shop(), 0), at(0));
    // Away while it broke, at 100; back at 150, and away again before anybody had time.
    let mut ledger = Ledger::resume(settings(), ledger.rows(), at(150)).unwrap();
    assert_eq!(keys(&ledger.tick(at(150))), ["+vault"]);
    let mut ledger = Ledger::resume(settings(), ledger.rows(), at(200)).unwrap();
    assert!(ledger.tick(at(200)).is_empty(), "one cause, one page");
    assert!(
        ledger.apply(vaulted(shop(), 205), at(205)).iter().all(|it| it
            .incident()
            .key()
            .to_string()
            == "vault")
    );
}
