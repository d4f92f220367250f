//! Routes against receivers that are down, slow of word, or wrong for a while, and against the real one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_alert::{Ack, Kind, Route};
use outlast_catalog::{IncidentRecord, RecordedCause};
use outlast_testing::ManualTime;
use outlast_types::{Environment, Interrupt, Owner, WorkloadName};
use outlast_wire::Roads;
use outlast_wire::outside::{Address, Couriers, Destination};

use super::*;
use crate::core::incidents::IncidentEntry;
use crate::core::storage::Storage;
use crate::core::storage::memory::MemoryStorage;

fn began() -> Timestamp {
    Timestamp::from_unix(1_790_000_000, 0).unwrap()
}

fn entry(incident: u64, resolved: Option<Timestamp>) -> IncidentEntry {
    IncidentEntry::of(&IncidentRecord {
        id: incident,
        key: format!("recovery-point/w{incident}"),
        workload: Some(WorkloadName::new(&format!("w{incident}")).unwrap()),
        owner: Owner::App,
        team: "team-shop".to_owned(),
        cause: RecordedCause::Sentence(format!("w{incident} missed its recovery point")),
        opened: began(),
        resolved,
    })
}

fn http(name: &str, kind: Kind, url: String) -> RouteConfig {
    let url = Address::Plain(url);
    // Nothing secret goes over this host; any bundle does.
    RouteConfig {
        route: Route::new(name, kind),
        to: Destination::Http { url, secret: None, ca: None },
    }
}

fn couriers(alerts: &Arc<Alerts>, environment: &Environment, routes: &[RouteConfig]) -> Couriers {
    let telling = Arc::clone(alerts) as Arc<dyn Telling>;
    Couriers::new(telling, "hq", environment, Roads::default(), routes)
}

/// The id and the body of one request, which is answered with `status` and these headers.
fn take(stream: TcpStream, status: &str) -> (String, String) {
    let (mut reader, id, body) = hear(stream);
    answer(reader.get_mut(), status);
    (id, body)
}

fn answer(stream: &mut TcpStream, status: &str) {
    let said = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(said.as_bytes()).unwrap();
}

/// One request, its id and its body; it is not answered.
fn hear(stream: TcpStream) -> (BufReader<TcpStream>, String, String) {
    let mut reader = BufReader::new(stream);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let lower = line.to_lowercase();
        if let Some(text) = lower.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        if let Some(text) = lower.strip_prefix("webhook-id:") {
            text.trim().clone_into(&mut id);
        }
        if line == "\r\n" || line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (reader, id, String::from_utf8(body).unwrap())
}

#[test]
fn a_receiver_that_is_wrong_for_a_while_gets_each_message_and_the_same_id_each_time() {
    if outlast_wire::Believed::read(None).is_err() {
        println!("THIS HOST HAS NO CERTIFICATES OF AUTHORITIES: web hooks are not tested");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let storage: Storage = Arc::new(MemoryStorage::default());
    let config = http("ops", Kind::Webhook, url);
    let alerts = Alerts::open(&storage, "hq", vec![config.route.clone()]).unwrap();
    alerts.hear(&entry(1, None), began());
    let time = ManualTime::hurrying(began());
    let (environment, stop) = (time.environment(), Interrupt::default());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let receiver = {
        let (heard, stop, environment) = (Arc::clone(&heard), stop.clone(), environment.clone());
        std::thread::spawn(move || {
            let script = [
                // Breaks off without a word.
                None,
                Some("500 Internal Server Error"),
                Some("429 Too Many Requests\r\nretry-after: 900"),
                Some("200 OK"),
            ];
            for status in script {
                let (stream, _) = listener.accept().unwrap();
                let at = environment.timer.elapsed();
                let Some(status) = status else { continue };
                let (id, body) = take(stream, status);
                heard.lock().unwrap().push((at, id, body));
            }
            stop.request();
        })
    };
    let alerts = Arc::new(alerts);
    couriers(&alerts, &environment, &[config]).keep_carrying(&stop);
    receiver.join().unwrap();
    let heard = heard.lock().unwrap();
    let ids: Vec<&str> = heard.iter().map(|(_, id, _)| id.as_str()).collect();
    assert_eq!(ids, ["outlast/hq/1/ops/0"; 3]);
    assert!(heard[2].0 - heard[1].0 >= Duration::from_secs(900), "what it asked for is heeded");
    assert!(heard[2].2.contains("w1 missed its recovery point"), "{}", heard[2].2);
    let (standing, health) = alerts.routes(time.environment().clock.now()).remove(0);
    assert_eq!((standing.owed, health.failures, health.delivered), (0, 3, 1));
}

/// A receiver that hands each connection over.
fn receiver() -> (String, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (comes, came) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if comes.send(stream).is_err() {
                break;
            }
        }
    });
    (url, came)
}

const LONG: Duration = Duration::from_secs(90);

/// Alerts of one open incident whose page is due, on routes that lead where these say.
fn due_on(routes: &[RouteConfig]) -> Arc<Alerts> {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let all = routes.iter().map(|config| config.route.clone()).collect();
    let alerts = Alerts::open(&storage, "hq", all).unwrap();
    alerts.hear(&entry(1, None), began());
    Arc::new(alerts)
}

fn has_no_authorities() -> bool {
    let has_none = outlast_wire::Believed::read(None).is_err();
    if has_none {
        println!("THIS HOST HAS NO CERTIFICATES OF AUTHORITIES: web hooks are not tested");
    }
    has_none
}

#[test]
fn a_receiver_that_drips_and_one_that_is_down_lose_nothing_and_keep_no_other_waiting() {
    if has_no_authorities() {
        return;
    }
    let (slow_url, slow) = receiver();
    let (good_url, good) = receiver();
    // Nobody is there at first.
    let down = TcpListener::bind("127.0.0.1:0").unwrap();
    let down_at = down.local_addr().unwrap();
    drop(down);
    let routes = [
        http("down", Kind::Webhook, format!("http://{down_at}/hook")),
        http("good", Kind::Webhook, good_url),
        http("slow", Kind::Webhook, slow_url),
    ];
    let alerts = due_on(&routes);
    let (environment, stop) = (Environment::system(), Interrupt::default());
    std::thread::scope(|scope| {
        let couriers = couriers(&alerts, &environment, &routes);
        let stop = &stop;
        scope.spawn(move || couriers.keep_carrying(stop));
        // It has the whole message and answers byte by byte, for longer than anybody waits.
        let (mut dripping, first, _) = hear(slow.recv_timeout(LONG).unwrap());
        let dripped = scope.spawn(move || {
            let line = b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'x'));
            let broken = line.take(3000).position(|byte| {
                std::thread::sleep(Duration::from_millis(100));
                dripping.get_mut().write_all(&[*byte]).is_err()
            });
            assert!(broken.is_some(), "nobody hung up on it");
        });
        let (_, body) = take(good.recv_timeout(LONG).unwrap(), "200 OK");
        assert!(body.contains("w1 missed"), "{body}");
        assert!(!dripped.is_finished(), "the good one waited for the slow one");
        let down = TcpListener::bind(down_at).unwrap();
        let (_, body) = take(down.accept().unwrap().0, "200 OK");
        assert!(body.contains("w1 missed"), "{body}");
        // It comes again, under the same id.
        let (again, _) = take(slow.recv_timeout(LONG).unwrap(), "200 OK");
        assert_eq!(again, first);
        let late = || environment.clock.now();
        while alerts.routes(late()).iter().any(|(standing, _)| standing.owed > 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.request();
    });
    // Nothing came twice to whoever had taken it.
    assert!(good.try_recv().is_err() && slow.try_recv().is_err());
}

#[test]
fn routes_that_change_while_a_message_is_under_way_lose_nothing_and_tell_nothing_twice() {
    if has_no_authorities() {
        return;
    }
    let (old_url, old) = receiver();
    let (new_url, new) = receiver();
    let before =
        [http("ops", Kind::Webhook, old_url.clone()), http("gone", Kind::Webhook, old_url)];
    let alerts = due_on(&before[..1]);
    let (environment, stop) = (Environment::system(), Interrupt::default());
    let ack =
        Ack { key: "recovery-point/w1", by: "me", lasts: Duration::from_secs(3600), comment: None };
    std::thread::scope(|scope| {
        let couriers = couriers(&alerts, &environment, &before[..1]);
        let (carrying, stop) = (couriers.clone(), &stop);
        scope.spawn(move || carrying.keep_carrying(stop));
        let (mut waits, id, _) = hear(old.recv_timeout(LONG).unwrap());
        // The route leads elsewhere from now on, while its receiver has not answered yet.
        let after = [http("ops", Kind::Webhook, new_url)];
        alerts.reroute(after.iter().map(|config| config.route.clone()).collect()).unwrap();
        couriers.set(&after);
        assert_eq!(id, "outlast/hq/1/ops/0");
        answer(waits.get_mut(), "200 OK");
        while alerts.pages(environment.clock.now())[0].told.is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
        alerts.acknowledge(&ack, environment.clock.now()).unwrap();
        // One more, that comes and goes.
        alerts.reroute(before.iter().map(|config| config.route.clone()).collect()).unwrap();
        alerts.reroute(after.iter().map(|config| config.route.clone()).collect()).unwrap();
        let pages = alerts.pages(environment.clock.now());
        assert_eq!(pages[0].acknowledged.as_ref().map(|(by, _)| by.as_str()), Some("me"));
        let now = environment.clock.now();
        alerts.hear(&entry(1, Some(now)), now);
        // What is news goes the new way, and nothing of before.
        let (id, body) = take(new.recv_timeout(LONG).unwrap(), "200 OK");
        assert_eq!(id, "outlast/hq/1/ops/0/end");
        assert!(body.contains("incident.resolved"), "{body}");
        stop.request();
    });
    assert!(old.try_recv().is_err() && new.try_recv().is_err());
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Alertmanager as Debian has it, which tells all to a receiver of ours.
fn alertmanager(dir: &Path, receiver: &str, port: u16) -> Server {
    let config = format!(
        "route: {{receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{receiver}/', send_resolved: true}}]}}]\n"
    );
    outlast_fs::durable::replace(&dir.join("am.yml"), config.as_bytes(), 0o600).unwrap();
    let child = Command::new("/usr/bin/prometheus-alertmanager")
        .arg(format!("--config.file={}", dir.join("am.yml").display()))
        .arg(format!("--storage.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Server(child.unwrap())
}

#[test]
fn the_real_alertmanager_hears_that_something_opened_and_that_it_resolved() {
    if !Path::new("/usr/bin/prometheus-alertmanager").exists() {
        println!(
            "prometheus-alertmanager IS NOT INSTALLED: it is not tested that it understands us"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = listener.local_addr().unwrap().to_string();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (told, hears) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if told.send(take(stream, "200 OK").1).is_err() {
                break;
            }
        }
    });
    let _server = alertmanager(dir.path(), &receiver, port);
    let storage: Storage = Arc::new(MemoryStorage::default());
    let config = http("am", Kind::Alertmanager, format!("http://127.0.0.1:{port}/"));
    let alerts = Arc::new(Alerts::open(&storage, "hq", vec![config.route.clone()]).unwrap());
    let (environment, stop) = (Environment::system(), Interrupt::default());
    let opened = environment.clock.now();
    let of = |resolved| IncidentEntry { opened, ..entry(1, resolved) };
    alerts.hear(&of(None), opened);
    let working = {
        let (alerts, environment, stop) = (Arc::clone(&alerts), environment.clone(), stop.clone());
        // It is down at first, and takes a moment to begin.
        std::thread::spawn(move || {
            couriers(&alerts, &environment, &[config]).keep_carrying(&stop);
        })
    };
    let long = Duration::from_secs(60);
    let first = hears.recv_timeout(long).unwrap();
    assert!(first.contains(r#""status":"firing""#), "{first}");
    assert!(first.contains("recovery-point/w1") && first.contains("w1 missed"), "{first}");
    alerts.hear(&of(Some(environment.clock.now())), environment.clock.now());
    let second = hears.recv_timeout(long).unwrap();
    assert!(second.contains(r#""status":"resolved""#), "{second}");
    stop.request();
    working.join().unwrap();
}
