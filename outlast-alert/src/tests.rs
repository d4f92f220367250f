//! Who is told what, when: on the stories that make pagers useless.

use std::time::Duration;

use outlast_types::{Owner, Timestamp, WorkloadName};
use serde_json::json;

use super::*;

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000, 0).unwrap().saturating_add(Duration::from_secs(second))
}

fn news(incident: u64, code: &str, second: u64) -> News {
    let workload = WorkloadName::new(&format!("w{incident}")).unwrap();
    News {
        incident,
        key: format!("recovery-point/{workload}"),
        code: code.to_owned(),
        owner: Owner::App,
        team: "team-shop".to_owned(),
        also: Vec::new(),
        route: None,
        words: format!("{workload} missed its recovery point"),
        workload: Some(workload),
        opened: at(second),
        resolved: None,
    }
}

fn over(incident: u64, second: u64) -> News {
    News { resolved: Some(at(second)), ..news(incident, "nothing-dropped", 0) }
}

fn desk(routes: Vec<Route>) -> Desk {
    Desk::open("hq", routes, None).unwrap()
}

/// All that is due at a moment, delivered: route, what, how many incidents, key.
fn delivered(desk: &mut Desk, second: u64) -> Vec<(String, What, usize, String)> {
    let now = at(second);
    desk.tick(now);
    let routes: Vec<String> = desk.routes().iter().map(|route| route.name.clone()).collect();
    let mut all = Vec::new();
    for route in routes {
        while let Some(pending) = desk.next(&route, now) {
            desk.sent(&route, &pending, now);
            if let Pending::Message(message) = pending {
                all.push((route.clone(), message.what, message.count, message.key));
            }
        }
    }
    all
}

fn whats(told: Vec<(String, What, usize, String)>) -> Vec<(String, What, usize)> {
    told.into_iter().map(|(route, what, count, _)| (route, what, count)).collect()
}

fn on(route: &str, what: What, count: usize) -> (String, What, usize) {
    (route.to_owned(), what, count)
}

/// The same desk after a crash.
fn again(desk: &mut Desk, before: Option<Vec<u8>>) -> (Desk, Option<Vec<u8>>) {
    let memory = desk.unsaved().or(before);
    (Desk::open("hq", desk.routes().to_vec(), memory.as_deref()).unwrap(), memory)
}

#[test]
fn what_breaks_of_one_cause_within_moments_is_one_page_and_ends_with_the_last_of_them() {
    let mut desk = desk(vec![Route::new("ops", Kind::Webhook)]);
    for incident in 1..=10_000 {
        desk.hear(news(incident, "not-vaulted", 0), at(incident / 1250));
    }
    desk.hear(news(10_001, "nothing-dropped", 3), at(3));
    assert_eq!(delivered(&mut desk, 9), [], "it gathers");
    let told = whats(delivered(&mut desk, 13));
    assert_eq!(told, [on("ops", What::Opened, 10_000), on("ops", What::Opened, 1)]);
    for incident in 1..10_000 {
        desk.hear(over(incident, 20), at(20));
    }
    assert_eq!(delivered(&mut desk, 21), [], "one is still so");
    desk.hear(over(10_000, 30), at(30));
    assert_eq!(whats(delivered(&mut desk, 31)), [on("ops", What::Resolved, 10_000)]);
    // More of it within the next minutes gathers for longer, and never for a minute.
    desk.hear(news(20_001, "nothing-dropped", 40), at(40));
    assert_eq!(delivered(&mut desk, 89), []);
    assert_eq!(whats(delivered(&mut desk, 90)), [on("ops", What::Opened, 1)]);
}

#[test]
fn what_opened_and_resolved_untold_is_one_note_and_no_page() {
    let mut desk = desk(vec![Route::new("ops", Kind::PagerDuty)]);
    for incident in 1..=30 {
        desk.hear(news(incident, "not-vaulted", 0), at(0));
    }
    desk.hear(news(31, "nothing-dropped", 0), at(0));
    // The route is down all the while.
    desk.tick(at(100));
    for incident in 1..=31 {
        desk.hear(over(incident, 200), at(200));
    }
    assert_eq!(whats(delivered(&mut desk, 300)), [on("ops", What::Note, 31)]);
    assert_eq!(delivered(&mut desk, 400), []);
    let said = pagerduty(&Desk::test_message("hq", "ops", at(0)), "key");
    assert_eq!((said.path, &said.body["event_action"]), ("v2/enqueue", &json!("trigger")));
}

#[test]
fn an_acknowledgement_is_a_pause_and_its_end_pages_the_next_step_under_a_new_key() {
    let mut second = Route::new("boss", Kind::PagerDuty);
    second.after = Duration::from_secs(1800);
    let mut repeated = Route::new("mail", Kind::Mail);
    repeated.repeat = Some(Duration::from_secs(600));
    let mut desk = desk(vec![Route::new("oncall", Kind::PagerDuty), repeated, second]);
    desk.hear(news(1, "nothing-dropped", 0), at(0));
    let told = delivered(&mut desk, 10);
    assert_eq!(told[0].3, "outlast/hq/1");
    assert_eq!(whats(told), [on("oncall", What::Opened, 1), on("mail", What::Opened, 1)]);
    assert_eq!(whats(delivered(&mut desk, 610)), [on("mail", What::Repeated, 1)]);
    let ack = Ack { key: "recovery-point/w1", by: "ann", lasts: ACK_USUAL, comment: Some("on it") };
    let until = desk.acknowledge(&ack, at(700)).unwrap();
    assert_eq!(until, at(700 + 8 * 3600));
    let shown = &desk.pages(at(701))[0];
    assert_eq!(shown.acknowledged, Some(("ann".to_owned(), until)));
    assert_eq!(shown.comments[0].text, "on it");
    assert_eq!(delivered(&mut desk, 700 + 8 * 3600 - 1), [], "neither repeat nor escalation");
    let told = delivered(&mut desk, 700 + 8 * 3600);
    assert_eq!(told.iter().map(|it| &*it.3).collect::<Vec<_>>(), ["outlast/hq/1/1"; 3]);
    assert!(told.iter().any(|it| it.0 == "boss"));
    // All keys end.
    desk.hear(over(1, 40_000), at(40_000));
    let ended: Vec<_> =
        delivered(&mut desk, 40_001).into_iter().filter(|it| it.0 == "oncall").collect();
    assert_eq!(
        ended.iter().map(|it| &*it.3).collect::<Vec<_>>(),
        ["outlast/hq/1", "outlast/hq/1/1"]
    );
    let long = Ack { lasts: Duration::from_secs(73 * 3600), ..ack };
    assert_eq!(desk.acknowledge(&long, at(1)), Err(AckError::Lasts));
    let unknown = desk.acknowledge(&ack, at(50_000)).unwrap_err().to_string();
    assert_eq!(unknown, "no incident recovery-point/w1 is open");
}

#[test]
fn what_nobody_acknowledges_goes_up_step_by_step() {
    let step = |name: &str, after: u64| {
        let after = Duration::from_secs(after);
        Route { after, ..Route::new(name, Kind::Webhook) }
    };
    let mut desk = desk(vec![step("one", 0), step("two", 900), step("three", 3600)]);
    desk.hear(news(1, "nothing-dropped", 0), at(0));
    let told = |desk: &mut Desk, second| {
        delivered(desk, second).into_iter().map(|it| it.0).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut desk, 899), ["one"]);
    assert_eq!(told(&mut desk, 900), ["two"]);
    assert_eq!(told(&mut desk, 3599), [""; 0]);
    assert_eq!(told(&mut desk, 3600), ["three"]);
    desk.hear(over(1, 4000), at(4000));
    assert_eq!(told(&mut desk, 4001), ["one", "two", "three"]);
    // A step that was never reached hears nothing, not even a note.
    desk.hear(news(2, "nothing-dropped", 5000), at(5000));
    assert_eq!(told(&mut desk, 5060), ["one"]);
    desk.hear(over(2, 5100), at(5100));
    assert_eq!(told(&mut desk, 5101), ["one"]);
    assert_eq!(told(&mut desk, 50_000), [""; 0]);
}

#[test]
fn each_route_hears_of_its_teams_and_of_what_is_bad_enough_in_its_hours() {
    let of = |name: &str, owners: &[&str], severity| Route {
        owners: owners.iter().map(|&owner| owner.to_owned()).collect(),
        severity,
        ..Route::new(name, Kind::Webhook)
    };
    let night = Route {
        hours: vec!["22:00-06:00".parse().unwrap()],
        ..of("night", &[], Severity::Critical)
    };
    let routes = vec![
        of("shop", &["team-shop"], Severity::Warning),
        of("crm", &["team-crm"], Severity::Warning),
        of("platform", &["platform"], Severity::Warning),
        of("bad", &["app"], Severity::Critical),
        night,
    ];
    let mut desk = desk(routes);
    // 14:13 in UTC.
    desk.hear(news(1, "nothing-dropped", 0), at(0));
    desk.hear(news(2, "content-unusable", 0), at(0));
    let told: Vec<String> = delivered(&mut desk, 10).into_iter().map(|it| it.0).collect();
    assert_eq!(told, ["shop", "shop", "bad"]);
    let told: Vec<String> = delivered(&mut desk, 8 * 3600).into_iter().map(|it| it.0).collect();
    assert_eq!(told, ["night"], "it waited");
    // That a route fails is told by all others, whoever they are for.
    let fails = News {
        key: "route/shop".to_owned(),
        workload: None,
        owner: Owner::Platform,
        team: "platform".to_owned(),
        ..news(3, "route-fails", 29_000)
    };
    desk.hear(fails, at(29_000));
    let told: Vec<String> = delivered(&mut desk, 29_010).into_iter().map(|it| it.0).collect();
    assert_eq!(told, ["crm", "platform", "bad", "night"]);
}

#[test]
fn what_a_class_says_of_its_route_goes_first_and_whom_a_share_names_is_told_too() {
    let crm = Route { owners: vec!["team-crm".to_owned()], ..Route::new("crm", Kind::Webhook) };
    let later = Route { after: Duration::from_secs(600), ..Route::new("later", Kind::Webhook) };
    let routes = vec![Route::new("all", Kind::Webhook), crm, Route::new("own", Kind::Slack), later];
    let mut desk = desk(routes);
    desk.hear(News { route: Some("own".to_owned()), ..news(1, "nothing-dropped", 0) }, at(0));
    let told = |desk: &mut Desk, second| {
        delivered(desk, second).into_iter().map(|it| it.0).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut desk, 60), ["own"]);
    assert_eq!(told(&mut desk, 600), ["later"]);
    desk.hear(over(1, 700), at(700));
    assert_eq!(told(&mut desk, 701), ["own", "later"]);
    desk.hear(News { also: vec!["team-crm".to_owned()], ..news(2, "not-vaulted", 800) }, at(800));
    assert_eq!(told(&mut desk, 860), ["all", "crm", "own"]);
    // A route that is gone says nothing.
    desk.hear(News { route: Some("gone".to_owned()), ..news(3, "only-suspect", 900) }, at(900));
    assert_eq!(told(&mut desk, 960), ["all", "own"]);
}

#[test]
fn alertmanager_hears_each_minute_of_all_that_is_open_and_at_once_of_what_changed() {
    let mut desk = desk(vec![Route::new("am", Kind::Alertmanager)]);
    assert_eq!(desk.next("am", at(0)), None, "nothing is wrong");
    desk.hear(news(1, "nothing-dropped", 0), at(0));
    let Some(pending @ Pending::Alerts(_)) = desk.next("am", at(1)) else { panic!("due") };
    desk.sent("am", &pending, at(1));
    assert_eq!(desk.next("am", at(60)), None);
    assert!(desk.next("am", at(61)).is_some());
    let Pending::Alerts(alerts) = &pending else { panic!("alerts") };
    let body = alertmanager(alerts, at(1));
    assert_eq!(body[0]["labels"]["workload"], "w1");
    assert_eq!(body[0]["endsAt"], json!(at(301)), "five minutes ahead");
    desk.hear(over(1, 30), at(30));
    desk.tick(at(30));
    let Some(pending @ Pending::Alerts(_)) = desk.next("am", at(30)) else { panic!("due") };
    let Pending::Alerts(alerts) = &pending else { panic!("alerts") };
    assert_eq!(alertmanager(alerts, at(30))[0]["endsAt"], json!(at(30)), "it resolved");
    desk.sent("am", &pending, at(30));
    desk.tick(at(91));
    assert_eq!(desk.next("am", at(91)), None);
    let mut beat = Desk::open("hq", vec![Route::new("hc", Kind::Heartbeat)], None).unwrap();
    assert_eq!(beat.next("hc", at(0)), Some(Pending::Beat));
    beat.sent("hc", &Pending::Beat, at(0));
    assert_eq!(beat.next("hc", at(59)), None);
    assert_eq!(beat.next("hc", at(60)), Some(Pending::Beat));
}

#[test]
fn whatever_is_forgotten_by_a_crash_is_told_again_under_the_same_id() {
    let routes = vec![Route::new("ops", Kind::Webhook)];
    let mut desk = desk(routes);
    desk.hear(news(1, "nothing-dropped", 0), at(0));
    let (mut desk, memory) = again(&mut desk, None);
    let Some(Pending::Message(first)) = desk.next("ops", at(10)) else { panic!("due") };
    // Sent, and killed before that was remembered.
    let lost = Desk::open("hq", desk.routes().to_vec(), memory.as_deref()).unwrap();
    let Some(Pending::Message(second)) = lost.next("ops", at(20)) else { panic!("due") };
    assert_eq!(first, second);
    desk.sent("ops", &Pending::Message(first.clone()), at(10));
    let (mut desk, memory) = again(&mut desk, memory);
    assert_eq!(desk.next("ops", at(20)), None);
    // All that was remembered is lost: what is open is told anew, what is not is resolved.
    let mut empty = Desk::open("hq", desk.routes().to_vec(), None).unwrap();
    empty.agree(vec![news(7, "nothing-dropped", 0)], at(30));
    assert!(empty.next("ops", at(40)).is_some());
    desk.agree(vec![news(7, "nothing-dropped", 0)], at(30));
    let told = whats(delivered(&mut desk, 81));
    assert_eq!(told, [on("ops", What::Resolved, 1), on("ops", What::Opened, 1)]);
    assert!(memory.is_some());
    let newer = br#"{"version":99,"last":1}"#;
    assert!(matches!(
        Desk::open("hq", Vec::new(), Some(newer)),
        Err(DeskError::Newer { found: 99 })
    ));
}

#[test]
fn each_receiver_gets_what_it_understands() {
    let mut desk = desk(vec![Route::new("ops", Kind::Webhook)]);
    let words = News { words: "a <b> & *c*".to_owned(), ..news(1, "nothing-dropped", 0) };
    desk.hear(words, at(0));
    let Some(Pending::Message(message)) = desk.next("ops", at(10)) else { panic!("due") };
    assert_eq!(message.title(), "[critical] recovery-point/w1 for team-shop");
    assert!(
        message.text().contains("outlast incident ack recovery-point/w1"),
        "{}",
        message.text()
    );
    let said = slack(&message)["text"].as_str().unwrap().to_owned();
    assert!(said.contains("a &lt;b&gt; &amp; *c*"), "{said}");
    let card = teams(&message).to_string();
    assert!(card.contains(r"a <b> & \\*c\\*") && card.contains("AdaptiveCard"), "{card}");
    let said = webhook(&message, at(10));
    assert_eq!(said["type"], "incident.opened");
    assert_eq!(said["data"]["incidents"][0]["workload"], "w1");
    assert_eq!(command(&message)["severity"], "critical");
    let mail = mail(&message);
    assert_eq!((&*mail.id, mail.is_quiet), ("outlast.hq.1.ops.0", false));
    let said = pagerduty(&message, "R0").body;
    assert_eq!(said["dedup_key"], "outlast/hq/1");
    assert_eq!(said["payload"]["severity"], "critical");
}
