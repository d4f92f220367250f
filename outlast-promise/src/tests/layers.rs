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
    let policy = policy.into_iter().map(|policy| (shop(), policy)).collect();
    let mut ledger = Ledger::new(Settings { policy, ..settings() }, 0, at(0));
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
    (status.promise.rpo().as_secs(), status.rpo_from, owner, status.owner_from)
}

#[test]
fn each_part_of_a_promise_comes_from_a_layer_and_a_share_only_tightens() {
    use Origin::{Default, Policy, Share};
    let (one, two) = (Share(share(1)), Share(share(2)));
    let check = |policy, shares, rpo, rpo_from, owner: &str, owner_from| {
        let expected = (rpo, rpo_from, owner.to_owned(), owner_from);
        assert_eq!(holds(&layered(policy, shares)), expected);
    };
    let default = "team-shop";
    check(None, [None, None], RPO, Default, default, Default);
    // The default is policy, too: a share may ask for less than it, and gets no more.
    check(None, [Some(said(Some(60), None)), None], 60, one, default, Default);
    check(None, [Some(said(Some(200), Some("x"))), None], RPO, Default, "x", one);
    check(None, [Some(said(Some(RPO), None)), None], RPO, Default, default, Default);
    // Of two shares, the stricter one counts, and it names the owner.
    let shares = [Some(said(Some(90), Some("x"))), Some(said(Some(80), Some("y")))];
    check(None, shares.clone(), 80, two, "y", two);
    check(None, [Some(said(Some(90), Some("x"))), Some(said(Some(80), None))], 80, two, "x", one);
    check(None, [Some(said(None, Some("x"))), Some(said(None, Some("y")))], RPO, Default, "x", one);
    check(
        None,
        [Some(said(None, Some("x"))), Some(said(Some(300), Some("y")))],
        RPO,
        Default,
        "y",
        two,
    );
    // Policy may loosen the default; a share tightens that again.
    check(Some(said(Some(500), None)), [None, None], 500, Policy, default, Default);
    check(Some(said(Some(500), Some("ops"))), shares, 80, two, "ops", Policy);
    check(
        Some(said(Some(70), None)),
        [Some(said(Some(80), Some("x"))), None],
        70,
        Policy,
        "x",
        one,
    );
    check(Some(said(None, Some("ops"))), [None, None], RPO, Default, "ops", Policy);
}

#[test]
fn origins_have_names() {
    let names = [Origin::Default, Origin::Policy, Origin::Inherited, Origin::Share(share(1))];
    assert_eq!(
        names.map(|origin| origin.to_string()),
        ["default", "policy", "an earlier version", "share 7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01"]
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
    let tighter = Settings { default_promise: promise, ..settings() };
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
    assert_eq!(said(Some(7), None).over(&settings().default_promise).rpo(), seconds(7));
    assert_eq!(said(None, Some("x")).over(&settings().default_promise).owner(), "x");
    assert_eq!(Promise::default().owner(), "nobody named yet");
}
