//! A vault that is silent is told once, and that it is back once.

use outlast_alert::What;
use outlast_testing::ManualTime;

use super::*;
use crate::outside::{Address, Destination};

fn began() -> Timestamp {
    Timestamp::from_unix(1_790_000_000, 0).unwrap()
}

fn route(name: &str, kind: Kind) -> RouteConfig {
    let url = Address::Plain("http://127.0.0.1:9/".to_owned());
    let to = Destination::Http { url, secret: None, ca: None };
    RouteConfig { route: Route::new(name, kind), to }
}

fn config(routes: &[RouteConfig]) -> LookoutConfig {
    LookoutConfig { after: Duration::from_secs(900), routes: routes.to_vec() }
}

struct Site {
    directory: tempfile::TempDir,
    time: ManualTime,
    environment: Environment,
    heard: Pulse,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let time = ManualTime::new(began());
        Self { directory, environment: time.environment(), time, heard: Pulse::default() }
    }

    fn silence(&self, routes: &[RouteConfig]) -> Silence {
        let watcher = Watcher {
            name: "agent/road-1",
            vault: "https://vault:8443/",
            means: "what is dropped stays on the share",
            directory: self.directory.path(),
            heard: self.heard.clone(),
        };
        Silence::open(&watcher, &config(routes), &self.environment)
    }

    fn now(&self) -> Timestamp {
        self.environment.clock.now()
    }

    /// What is due on a route, in words, and delivered.
    fn told(&self, silence: &Silence, route: &str) -> Vec<(What, String)> {
        let mut told = Vec::new();
        while let Some(pending) = silence.next(route, self.now()) {
            silence.delivered(route, &pending, self.now()).unwrap();
            let Pending::Message(message) = pending else { panic!("{pending:?}") };
            told.push((message.what, format!("{}\n{}", message.title(), message.text())));
        }
        told
    }

    fn pass(&self, silence: &Silence, seconds: u64) {
        for _ in 0..seconds {
            self.time.advance(Duration::from_secs(1));
            silence.look();
        }
    }
}

#[test]
fn a_silent_vault_is_told_once_by_each_route_and_once_that_it_is_back_over_restarts_too() {
    let mut site = Site::new();
    let routes = [route("ops", Kind::Webhook), route("boss", Kind::Command)];
    let silence = site.silence(&routes);
    for _ in 0..30 {
        site.heard.beat();
        site.pass(&silence, 600);
    }
    assert!(site.told(&silence, "ops").is_empty(), "it was heard every ten minutes");
    site.pass(&silence, 320);
    let told = site.told(&silence, "ops");
    let [(What::Opened, words)] = &told[..] else { panic!("{told:?}") };
    assert!(words.contains("https://vault:8443/") && words.contains("15 min"), "{words}");
    assert!(words.contains("stays on the share") && !words.contains("incident ack"), "{words}");
    site.pass(&silence, 3600);
    assert!(site.told(&silence, "ops").is_empty(), "once");
    // A restart, before the other route was told and the vault was heard.
    site.heard = Pulse::default();
    let silence = site.silence(&routes);
    site.pass(&silence, 3600);
    assert!(site.told(&silence, "ops").is_empty());
    assert_eq!(site.told(&silence, "boss").len(), 1);
    site.heard.beat();
    site.pass(&silence, 1);
    for route in ["ops", "boss"] {
        let told = site.told(&silence, route);
        assert!(matches!(&told[..], [(What::Resolved, _)]), "{told:?}");
    }
    site.pass(&silence, 899);
    assert!(site.told(&silence, "ops").is_empty());
    site.pass(&silence, 30);
    assert!(matches!(&site.told(&silence, "ops")[..], [(What::Opened, _)]), "and the next one");
}

#[test]
fn what_cannot_be_remembered_keeps_nobody_from_watching() {
    let site = Site::new();
    let file = site.directory.path().join(FILE);
    let routes = [route("ops", Kind::Webhook)];
    for (content, stays) in [("{\"version\":99}", true), ("{", false)] {
        durable::replace(&file, content.as_bytes(), FILE_MODE).unwrap();
        let silence = site.silence(&routes);
        site.pass(&silence, 920);
        assert_eq!(site.told(&silence, "ops").len(), 1);
        let now = std::fs::read_to_string(&file).unwrap();
        assert_eq!(now == content, stays, "what a newer release wrote is its own: {now}");
    }
}

#[test]
fn routes_change_while_the_vault_is_silent_and_only_the_new_one_hears_of_it() {
    let site = Site::new();
    let (ops, boss) = (route("ops", Kind::Webhook), route("boss", Kind::Command));
    let silence = site.silence(std::slice::from_ref(&ops));
    site.pass(&silence, 920);
    assert_eq!(site.told(&silence, "ops").len(), 1);
    silence.set(&config(&[ops, boss]));
    site.pass(&silence, 20);
    assert!(site.told(&silence, "ops").is_empty());
    assert_eq!(site.told(&silence, "boss").len(), 1);
}

#[test]
fn a_role_that_hangs_has_no_heartbeat() {
    let site = Site::new();
    let silence = site.silence(&[route("watchdog", Kind::Heartbeat)]);
    let pulse = site.environment.pulse.clone();
    let beats = |silence: &Silence| {
        let pending = silence.next("watchdog", site.now());
        let is_due = pending == Some(Pending::Beat);
        if is_due {
            silence.delivered("watchdog", &Pending::Beat, site.now()).unwrap();
        }
        is_due
    };
    pulse.beat();
    site.pass(&silence, 60);
    assert!(beats(&silence) && !beats(&silence));
    site.pass(&silence, 60);
    assert!(beats(&silence), "each minute");
    site.pass(&silence, 1800);
    assert!(!beats(&silence), "it has made no step for half an hour");
    pulse.rest();
    site.pass(&silence, 60);
    assert!(beats(&silence));
}
