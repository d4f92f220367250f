use std::collections::BTreeMap;

use outlast_promise::{Event, Source};

use super::*;
use crate::core::testing::{World, agent, bill, shop, upload};

/// A page, read by the rules of the format: series by name and labels.
fn parse(text: &str) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
    assert!(text.ends_with('\n'), "the last line ends, too");
    let mut series = BTreeMap::new();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            let mut words = words.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap().to_owned());
            let rest = words.next().unwrap();
            match what {
                "HELP" => assert!(!kinds.contains_key(&name), "{name} begins twice"),
                "TYPE" => {
                    assert!(["gauge", "counter"].contains(&rest), "{line}");
                    assert_eq!(rest == "counter", name.ends_with("_total"), "{line}");
                    kinds.insert(name.clone(), rest.to_owned());
                    family = name;
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let name = line[..end].to_owned();
        let legal = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(legal), "{line}");
        assert_eq!(name, family, "its lines stand together, after its type");
        let (labels, value) = match line[end..].strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (BTreeMap::new(), &line[end..]),
        };
        let value: f64 = value.strip_prefix(' ').unwrap().parse().unwrap();
        assert!(series.insert((name, labels), value).is_none(), "twice: {line}");
    }
    series
}

/// The labels before the brace that closes, and what follows it.
fn labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, rest) = text.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("\\{c}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} twice");
        match rest.as_bytes()[end] {
            b'}' => return (labels, &rest[end + 1..]),
            b',' => text = &rest[end + 1..],
            _ => panic!("{rest}"),
        }
    }
}

fn value(page: &str, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
    let labels = wanted.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    parse(page).get(&(name.to_owned(), labels.collect())).copied()
}

#[test]
fn what_a_vault_does_is_seen_in_its_metrics() {
    let world = World::new();
    let vault = world.open();
    let bill = bill(&vault, &shop(), &upload(&vault, &shop(), b"content"));
    let before = vault.metrics();
    assert_eq!(value(&before, "outlast_drops_published_total", &[]), Some(0.0));
    vault.publish(&bill, &agent()).unwrap();
    vault.counters.answered(200);
    vault.counters.answered(200);
    vault.counters.answered(403);
    let page = vault.metrics();
    let shop = [("workload", bill.workload.as_str())];
    assert_eq!(value(&page, "outlast_drops_published_total", &[]), Some(1.0));
    assert_eq!(value(&page, "outlast_published_content_bytes_total", &[]), Some(7.0));
    let by_verdict =
        |verdict| value(&page, "outlast_drops_by_sanity_total", &[("verdict", verdict)]);
    assert_eq!((by_verdict("none"), by_verdict("suspect")), (Some(1.0), None));
    assert_eq!(value(&page, "outlast_workload_suspect", &shop), None);
    assert_eq!(value(&page, "outlast_requests_total", &[("code", "200")]), Some(2.0));
    assert_eq!(value(&page, "outlast_requests_total", &[("code", "403")]), Some(1.0));
    assert!(value(&page, "outlast_workload_recovery_point_age_seconds", &shop).unwrap() < 600.0);
    assert_eq!(value(&page, "outlast_workload_rpo_seconds", &shop), Some(26.0 * 3600.0));
    assert_eq!(value(&page, "outlast_workloads", &[("state", "fresh")]), Some(1.0));
    assert_eq!(value(&page, "outlast_workloads", &[("state", "broken")]), Some(0.0));
    let state = [shop[0], ("state", "fresh")];
    assert_eq!(value(&page, "outlast_workload_state", &state), Some(1.0));
    assert_eq!(value(&page, "outlast_incidents_open", &[("owner", "app")]), Some(0.0));
    let ends = value(
        &page,
        "outlast_certificate_expiry_timestamp_seconds",
        &[("holder", &vault.identity.get().peer().to_string())],
    );
    assert!(ends.unwrap() > 1.7e9);
}

#[test]
fn an_agent_that_was_heard_and_what_pages_are_counted() {
    let world = World::new();
    let vault = world.open();
    let source = Source { agent: "road-1".to_owned(), share: None };
    vault.promises.heard(source.clone(), None).unwrap();
    vault.promises.noted(vec![Event::ClockSeen { source, ahead: 600 }]).unwrap();
    let page = vault.metrics();
    let agent = [("agent", "road-1"), ("share", "")];
    assert!(value(&page, "outlast_agent_heard_age_seconds", &agent).unwrap() < 600.0);
    assert_eq!(value(&page, "outlast_incidents_open", &[("owner", "platform")]), Some(1.0));
}

#[test]
fn whatever_stands_in_a_label_does_not_end_it() {
    let mut page = Page::default();
    page.family("outlast_x", GAUGE, "One.");
    let odd = "a\"b\\n\nc} 1";
    page.line("outlast_x", &[("a", odd), ("b", "")], 7);
    assert_eq!(value(&page.text, "outlast_x", &[("a", odd), ("b", "")]), Some(7.0));
    assert_eq!(page.text.lines().count(), 3);
}

#[test]
fn what_agents_told_of_themselves_is_shown_by_agent_and_share() {
    let world = World::new();
    let vault = world.open();
    let share = ShareId::new(&outlast_types::SystemRandom);
    let told = AgentFigures { drops_waiting: 3, passes: 7, ..AgentFigures::default() };
    vault.figures.note("eu-1", Some(share), told, vault.environment.clock.now());
    let page = parse(&vault.metrics());
    let labels = [("agent", "eu-1".to_owned()), ("share", share.to_string())];
    let labels: BTreeMap<String, String> =
        labels.map(|(name, value)| (name.to_owned(), value)).into();
    let value = |name: &str| page.get(&(name.to_owned(), labels.clone())).copied();
    assert_eq!(value("outlast_agent_drops_waiting"), Some(3.0));
    assert_eq!(value("outlast_agent_passes_total"), Some(7.0));
    assert_eq!(value("outlast_agent_oldest_waiting_seconds"), None, "nothing waits");
}
