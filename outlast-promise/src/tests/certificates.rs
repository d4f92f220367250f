//! The end of a certificate is no surprise.

use super::*;

fn certificate(from: u64, until: u64) -> Option<Validity> {
    Some(Validity { from: at(from), until: at(until) })
}

fn shown(number: u8, certificate: Option<Validity>) -> Event {
    Event::AgentHeard { source: source_on(number), certificate }
}

#[test]
fn the_end_of_a_certificate_is_told_with_a_third_of_its_life_left_and_resolved_by_renewal() {
    let mut ledger = ledger();
    let own = |certificate: Option<Validity>| Event::OwnCertificate {
        holder: "vault hq".into(),
        certificate: certificate.unwrap(),
    };
    ledger.apply(own(certificate(0, 600)), at(0));
    let mut told = Vec::new();
    for second in (0..320).step_by(10) {
        let changes = ledger.apply(shown(1, certificate(0, 300)), at(second));
        told.extend(keys(&changes).into_iter().map(|key| (second, key)));
    }
    assert_eq!(told, [(200, "+certificate/agent/road-1".to_owned())]);
    let words = ledger.incidents().next().unwrap().cause.to_string();
    assert!(words.contains("agent road-1 is valid until 2026-09-21T14:18:20Z"), "{words}");
    let changes = ledger.apply(shown(1, certificate(320, 620)), at(320));
    assert_eq!(keys(&changes), ["-certificate/agent/road-1"]);

    // Looking only when there is something to see misses none.
    let next = ledger.next_deadline().unwrap();
    assert_eq!(next, at(340), "the agent's silence comes first");
    for second in (330..400).step_by(10) {
        assert!(ledger.apply(shown(1, certificate(320, 920)), at(second)).is_empty());
    }
    let changes = ledger.apply(shown(1, certificate(320, 920)), at(400));
    assert_eq!(keys(&changes), ["+certificate/vault/hq"]);
    assert_eq!(keys(&ledger.apply(own(certificate(400, 999)), at(401))), ["-certificate/vault/hq"]);
}

#[test]
fn an_agent_that_is_refused_since_its_certificate_ended_is_one_page() {
    let mut ledger = ledger();
    ledger.apply(shown(1, certificate(0, 90)), at(0));
    let mut told = Vec::new();
    for second in (0..90).step_by(10) {
        told.extend(keys(&ledger.apply(shown(1, certificate(0, 90)), at(second))));
    }
    told.extend((90..300).flat_map(|second| keys(&ledger.tick(at(second)))));
    assert_eq!(told, ["+certificate/agent/road-1"]);
    let changes = keys(&ledger.apply(shown(1, certificate(300, 900)), at(300)));
    assert_eq!(changes, ["-certificate/agent/road-1"]);
}

#[test]
fn renewing_the_certificate_of_one_of_two_agents_of_one_name_does_not_hide_the_other() {
    let mut ledger = ledger();
    ledger.apply(shown(1, certificate(0, 30)), at(0));
    ledger.apply(shown(2, certificate(0, 30)), at(0));
    let mut told = Vec::new();
    for second in (10..30).step_by(5) {
        told.extend(keys(&ledger.apply(shown(1, certificate(9, 900)), at(second))));
        told.extend(keys(&ledger.apply(shown(2, certificate(0, 30)), at(second))));
    }
    assert_eq!(told, ["+certificate/agent/road-1"]);
}

#[test]
fn a_certificate_of_the_vault_that_is_not_valid_yet_is_told() {
    let mut ledger = ledger();
    let event = Event::OwnCertificate {
        holder: "vault hq".into(),
        certificate: Validity { from: at(100), until: at(1000) },
    };
    let opened = ledger.apply(event, at(0));
    assert_eq!(keys(&opened), ["+certificate/vault/hq"]);
    assert!(opened[0].to_string().contains("clock"), "{}", opened[0]);
    assert_eq!(keys(&ledger.tick(at(100))), ["-certificate/vault/hq"]);
}
