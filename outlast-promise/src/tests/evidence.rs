//! What speaks against the vault's custody.

use super::*;

fn open_keys(ledger: &Ledger) -> Vec<String> {
    ledger.incidents().map(|incident| incident.key().to_string()).collect()
}

#[test]
fn a_lost_drop_is_told_until_it_is_held_again_or_for_a_week() {
    let mut ledger = ledger();
    ledger.apply(declared(shop()), at(0));
    let lost = |number| {
        Event::Custody(Finding::Lost { workload: shop(), drop: drop_id(number), received: at(0) })
    };
    let changes = ledger.apply_all([lost(1), lost(2)], at(1));
    assert_eq!(changes.len(), 1, "one cause, one page: {changes:?}");
    assert_eq!(changes[0].incident().owner(), Owner::Platform);
    let text = changes[0].incident().cause.to_string();
    assert!(text.contains("2 drops") && text.contains(&drop_id(2).to_string()), "{text}");
    assert!(ledger.apply(lost(1), at(2)).is_empty(), "repeated, it rings no second time");
    let held = |number| Event::Custody(Finding::Held { workload: shop(), drop: drop_id(number) });
    assert!(ledger.apply(held(1), at(3)).is_empty());
    let resumed = Ledger::resume(settings(), ledger.rows(), at(4)).unwrap();
    assert_eq!(open_keys(&resumed), ["vault-went-back"], "a restart forgets nothing");
    let changes = ledger.apply(held(2), at(5));
    assert!(matches!(&changes[..], [Change::Resolved(_)]), "{changes:?}");

    ledger.apply(lost(3), at(10));
    let week = 7 * 24 * 3600;
    ledger.tick(at(9 + week));
    assert!(open_keys(&ledger).contains(&"vault-went-back".to_owned()));
    assert!(ledger.next_deadline() <= Some(at(10 + week)), "nobody need poke it");
    ledger.tick(at(10 + week));
    assert!(!open_keys(&ledger).contains(&"vault-went-back".to_owned()));
}

#[test]
fn a_contested_drop_is_told_for_a_day_after_the_last_attempt() {
    let mut ledger = ledger();
    let contested = |number| {
        Event::Custody(Finding::Contested {
            workload: shop(),
            agent: "road-1".into(),
            drop: drop_id(number),
            difference: "its size\nis 1".into(),
        })
    };
    let opened = ledger.apply(contested(1), at(1));
    assert_eq!(opened.len(), 1);
    assert!(!opened[0].to_string().contains('\n'), "one line, whatever was sent");
    let again = ledger.apply(contested(1), at(50_000));
    let is_same = |change: &Change| change.incident().key() == opened[0].incident().key();
    assert!(!again.iter().any(is_same), "no second page: {again:?}");
    ledger.tick(at(50_000 + 86_399));
    assert!(open_keys(&ledger).contains(&"contested-drop/shop-db".to_owned()));
    ledger.tick(at(50_000 + 86_400));
    assert!(!open_keys(&ledger).contains(&"contested-drop/shop-db".to_owned()));
}

#[test]
fn a_damaged_audit_log_is_one_page_until_it_is_found_whole() {
    let mut ledger = ledger();
    let found = |problem: Option<&str>| Event::AuditLog { problem: problem.map(str::to_owned) };
    assert!(ledger.apply(found(None), at(0)).is_empty());
    let opened = ledger.apply(found(Some("entries 1 to 8 are missing")), at(1));
    assert_eq!(keys(&opened), ["+audit-log"]);
    assert_eq!(opened[0].incident().owner(), Owner::Platform);
    assert!(ledger.apply(found(Some("entries 1 to 8 are missing; and 1 more")), at(2)).is_empty());
    let mut resumed = Ledger::resume(settings(), ledger.rows(), at(100_000)).unwrap();
    assert_eq!(open_keys(&resumed), ["audit-log"], "neither time nor a start is a proof");
    assert_eq!(keys(&resumed.apply(found(None), at(100_001))), ["-audit-log"]);
}

#[test]
fn that_releases_are_withheld_is_one_incident_until_the_vault_says_that_they_are_not() {
    let mut ledger = ledger();
    let event = |agents: &[&str]| Event::ReleasesWithheld {
        agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
        until: Some(at(100)),
    };
    let opened = ledger.apply(event(&["road-1", "road-2"]), at(0));
    assert_eq!(keys(&opened), ["+releases-withheld"]);
    assert!(ledger.apply(event(&["road-2"]), at(1)).is_empty(), "one incident, whoever answers");
    let mut resumed = Ledger::resume(settings(), ledger.rows(), at(2)).unwrap();
    assert_eq!(open_keys(&resumed), ["releases-withheld"], "a start ends nothing");
    assert!(resumed.apply(event(&["road-2"]), at(2)).is_empty());
    let over = Event::ReleasesWithheld { agents: Vec::new(), until: None };
    assert_eq!(keys(&resumed.apply(over, at(3))), ["-releases-withheld"]);
}

#[test]
fn a_vault_that_forgets_nothing_says_why_until_it_does() {
    let mut ledger = ledger();
    let problem = |text: Option<&str>| Event::Forgetting { problem: text.map(str::to_owned) };
    let opened = ledger.apply(problem(Some("its clock jumped")), at(0));
    assert_eq!(keys(&opened), ["+forgetting"]);
    assert!(ledger.apply(problem(Some("its clock jumped by more")), at(1)).is_empty());
    let mut resumed = Ledger::resume(settings(), ledger.rows(), at(2)).unwrap();
    assert_eq!(open_keys(&resumed), ["forgetting"]);
    assert_eq!(keys(&resumed.apply(problem(None), at(3))), ["-forgetting"]);
}
