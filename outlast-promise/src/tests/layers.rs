//! Layers of a promise: what policy, shares and the default say stays apart.

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn said(rpo: Option<u64>, owner: Option<&str>) -> Declaration {
    Declaration::new(rpo.map(seconds), owner).unwrap()
}

/// A ledger with what policy and two shares say of a workload.
fn layered(policy: Option<Declaration>, shares: [Option<Declaration>; 2]) -> Ledger {
    layered_over(settings(), policy, shares)
}

/// The same, where all workloads have these settings.
fn layered_over(
    mut settings: Settings,
    policy: Option<Declaration>,
    shares: [Option<Declaration>; 2],
) -> Ledger {
    settings.policy.workloads.extend(policy.map(|policy| (shop(), policy.into())));
    let mut ledger = Ledger::new(settings, 0, at(0));
    ledger.apply(vaulted(shop(), 0), at(0));
    for (number, declaration) in (1..).zip(shares) {
        let (workload, source) = (shop(), source_on(number));
        ledger.apply(Event::Declared { workload, source, declaration }, at(0));
    }
    ledger
}

fn holds(ledger: &Ledger) -> (u64, Origin, String, Origin) {
    let status = ledger.workload(&shop()).unwrap();
    let owner = status.promise.owner().to_owned();
    (status.promise.rpo().unwrap().as_secs(), status.rpo_from, owner, status.owner_from)
}

#[test]
fn each_part_of_a_promise_comes_from_a_layer_and_a_share_only_tightens() {
    use Origin::{Default, Policy, Share};
    let (one, two) = (|| Share(share(1)), || Share(share(2)));
    let check = |policy, shares, rpo, rpo_from, owner: &str, owner_from, also: &[&str]| {
        let ledger = layered(policy, shares);
        assert_eq!(holds(&ledger), (rpo, rpo_from, owner.to_owned(), owner_from));
        assert_eq!(ledger.workload(&shop()).unwrap().promise.also(), also);
    };
    let default = "team-shop";
    check(None, [None, None], RPO, Default, default, Default, &[]);
    // The default is policy, too: a share may ask for less than it, and gets no more.
    check(None, [Some(said(Some(60), None)), None], 60, one(), default, Default, &[]);
    // It may add a recipient to the one whom policy names, and does not take that one's place.
    let shares = [Some(said(Some(200), Some("x"))), None];
    check(None, shares, RPO, Default, default, Default, &["x"]);
    check(None, [Some(said(Some(RPO), None)), None], RPO, Default, default, Default, &[]);
    check(None, [Some(said(None, Some(default))), None], RPO, Default, default, Default, &[]);
    // Of two shares, the stricter one counts, and whom it names comes first.
    let shares = [Some(said(Some(90), Some("x"))), Some(said(Some(80), Some("y")))];
    check(None, shares.clone(), 80, two(), default, Default, &["y", "x"]);
    let same = [Some(said(None, Some("x"))), Some(said(None, Some("x")))];
    check(None, same, RPO, Default, default, Default, &["x"]);
    // Policy may loosen the default; a share tightens that again.
    check(Some(said(Some(500), None)), [None, None], 500, Policy, default, Default, &[]);
    let ops = Some(said(Some(500), Some("ops")));
    check(ops, shares, 80, two(), "ops", Policy, &["y", "x"]);
    let looser = [Some(said(Some(80), Some("x"))), None];
    check(Some(said(Some(70), None)), looser, 70, Policy, default, Default, &["x"]);
    check(Some(said(None, Some("ops"))), [None, None], RPO, Default, "ops", Policy, &[]);
}

#[test]
fn where_policy_names_nobody_the_strictest_share_names_the_owner() {
    let check = |shares, owner: &str, owner_from, also: &[&str]| {
        let nobody = Settings { policy: Policy::default(), ..settings() };
        let status = layered_over(nobody, None, shares).workload(&shop()).unwrap();
        assert_eq!((status.promise.owner(), status.owner_from), (owner, owner_from));
        assert_eq!(status.promise.also(), also);
    };
    let (one, two) = (Origin::Share(share(1)), Origin::Share(share(2)));
    check([None, None], "nobody named yet", Origin::Default, &[]);
    let (x, y) = (|rpo| Some(said(rpo, Some("x"))), |rpo| Some(said(rpo, Some("y"))));
    check([x(Some(90)), y(Some(80))], "y", two.clone(), &["x"]);
    check([x(Some(90)), Some(said(Some(80), None))], "x", one.clone(), &[]);
    check([x(None), y(None)], "x", one, &["y"]);
    check([x(None), y(Some(300))], "y", two, &["x"]);
}

#[test]
fn origins_have_names() {
    let names = [Origin::Default, Origin::Policy, Origin::Inherited, Origin::Share(share(1))];
    assert_eq!(
        names.map(|origin| origin.to_string()),
        ["default", "policy", "an earlier version", "share 7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01"]
    );
    let pattern = Origin::Pattern("shop-*".parse().unwrap());
    let class = Origin::Class("daily".into());
    assert_eq!(
        [pattern, class].map(|origin| origin.to_string()),
        ["policy for shop-*", "class daily"]
    );
}

#[test]
fn what_layers_say_survives_a_restart_and_other_settings_count_at_once() {
    let mut ledger = layered(Some(said(Some(70), None)), [Some(said(Some(80), Some("x"))), None]);
    assert!(ledger.tick(at(69)).is_empty());
    let known = Ledger::resume(settings(), ledger.rows(), at(69)).unwrap();
    assert_eq!(holds(&known).0, 80, "the policy that went rules no more");
    assert!(known.workload(&shop()).unwrap().declared);
    // Another default reaches what is known.
    let promise = Promise::new(seconds(60), "platform").unwrap();
    let tighter = Settings { policy: promise.into(), ..settings() };
    let mut tighter = Ledger::resume(tighter, ledger.rows(), at(69)).unwrap();
    assert_eq!(holds(&tighter).0, 60);
    assert_eq!(keys(&tighter.tick(at(69))), ["+recovery-point/shop-db"]);
    // What each share says is kept of so many shares that a mistake cannot fill the ledger.
    for number in 1..40 {
        let event = Event::Declared {
            workload: shop(),
            source: source_on(number),
            declaration: Some(said(Some(u64::from(200 - number)), None)),
        };
        ledger.apply(event, at(69));
    }
    let rows = ledger.rows();
    let row = rows.iter().find(|row| row.part == "workload").unwrap();
    let state: serde_json::Value = serde_json::from_str(&row.state).unwrap();
    assert_eq!(state["declared"].as_object().unwrap().len(), 16);
    // One that is known may change its mind all the same.
    let declaration = Some(said(Some(5), None));
    ledger.apply(Event::Declared { workload: shop(), source: source(), declaration }, at(69));
    assert_eq!(holds(&ledger), (5, Origin::Share(share(1)), "team-shop".into(), Origin::Default));
}

#[test]
fn a_declared_workload_is_told_from_one_that_only_dropped() {
    let declared = |ledger: &Ledger| ledger.workload(&shop()).unwrap().declared;
    assert!(!declared(&layered(None, [None, None])));
    assert!(declared(&layered(Some(said(None, None)), [None, None])));
    assert!(declared(&layered(None, [None, Some(said(None, None))])));
}

#[test]
fn a_promise_has_bounds() {
    let new = |rpo, owner: &str| Promise::new(rpo, owner);
    assert!(new(Promise::RPO_MIN, "x").is_ok() && new(Promise::RPO_MAX, "x").is_ok());
    let nano = Duration::from_nanos(1);
    for rpo in [Promise::RPO_MIN - nano, Promise::RPO_MAX + nano] {
        assert_eq!(new(rpo, "x"), Err(InvalidPromise::Rpo { rpo }));
    }
    assert!(new(seconds(60), &"ö".repeat(128)).is_ok());
    for owner in [String::new(), "ö".repeat(129), "a\nb".into()] {
        assert_eq!(new(seconds(60), &owner), Err(InvalidPromise::Owner));
        assert!(Declaration::new(None, Some(&owner)).is_err());
    }
    assert_eq!(Promise::default().owner(), "nobody named yet");
}
