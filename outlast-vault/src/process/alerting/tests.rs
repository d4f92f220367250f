//! Routes against receivers that are down, slow of word, or wrong for a while, and against the real one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use outlast_alert::Route;
use outlast_catalog::{IncidentRecord, RecordedCause};
use outlast_testing::ManualTime;
use outlast_types::{Owner, Timestamp, WorkloadName};
use outlast_wire::Roads;

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

/// The body of one request, which is answered with `status` and these headers.
fn take(stream: TcpStream, status: &str) -> (String, String) {
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
    let said = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all(said.as_bytes()).unwrap();
    (id, String::from_utf8(body).unwrap())
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
    work(config, Arc::clone(&alerts), "hq".to_owned(), environment, Roads::default())(&stop);
    receiver.join().unwrap();
    let heard = heard.lock().unwrap();
    let ids: Vec<&str> = heard.iter().map(|(_, id, _)| id.as_str()).collect();
    assert_eq!(ids, ["outlast/hq/1/ops/0"; 3]);
    assert!(heard[2].0 - heard[1].0 >= Duration::from_secs(900), "what it asked for is heeded");
    assert!(heard[2].2.contains("w1 missed its recovery point"), "{}", heard[2].2);
    let (standing, health) = alerts.routes(time.environment().clock.now()).remove(0);
    assert_eq!((standing.owed, health.failures, health.delivered), (0, 3, 1));
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
            work(config, alerts, "hq".to_owned(), environment, Roads::default())(&stop);
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
