//! Prometheus and Alertmanager as Debian has them, beside three roles: what they show is what Prometheus takes, and a
//! vault that is gone is noticed by others, by a rule and by the routes of agent and media server.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use outlast_fs::durable;

use super::harness::{Tier, Tiers};
use crate::harness::{PATIENCE, scratch, wait_until};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[String]) -> Server {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Server(command.spawn().unwrap())
}

/// A port that nobody has; somebody may take it before it is used, which ends the test and hides nothing.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What is said to a receiver, each with its path.
fn receiver() -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (told, hears) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // Who only looks whether somebody listens says nothing.
            let Some(said) = hear(stream) else { continue };
            if told.send(said).is_err() {
                break;
            }
        }
    });
    (address, hears)
}

fn hear(stream: TcpStream) -> Option<(String, String)> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    Some((path, String::from_utf8_lossy(&body).into_owned()))
}

/// The first that has all of these words; what else comes meanwhile is put into `all`.
#[track_caller]
fn wait_for(
    hears: &Receiver<(String, String)>,
    path: &str,
    words: &[&str],
    all: &mut Vec<(String, String)>,
) -> String {
    let fits =
        |(at, body): &&(String, String)| at == path && words.iter().all(|it| body.contains(it));
    loop {
        if let Some((_, body)) = all.iter().find(fits) {
            return body.clone();
        }
        match hears.recv_timeout(PATIENCE) {
            Ok(said) => all.push(said),
            Err(_) => panic!("nothing with {words:?} came to {path}: {all:#?}"),
        }
    }
}

/// The plain page of metrics at a port of this host.
fn metrics(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    let page = page.split_once("\r\n\r\n")?.1.to_owned();
    // Without the sizes of chunks, if it came in chunks.
    let is_size =
        |line: &&str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lines: Vec<&str> = page.lines().filter(|line| !is_size(line)).collect();
    Some(format!("{}\n", lines.join("\n").trim_end()))
}

/// What promtool has to say of a page of metrics: nothing.
#[track_caller]
fn check(of: &str, page: &str) {
    let mut tool = Command::new("/usr/bin/promtool");
    let tool = tool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.trim().is_empty(), "of {of}:\n{said}\n{page}");
}

fn write(path: &Path, text: &str) {
    durable::replace(path, text.as_bytes(), 0o644).unwrap();
}

/// Prometheus, which looks at two places, and Alertmanager, which tells all to a receiver of ours.
fn watch(
    configs: &Path,
    [server_port, manager_port]: [u16; 2],
    [vault_at, media_at]: [&str; 2],
    receiver: &str,
) -> [Server; 2] {
    fs::create_dir(configs).unwrap();
    write(
        &configs.join("prometheus.yml"),
        &format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{manager_port}']}}]}}]}}\n\
             scrape_configs:\n- {{job_name: outlast, static_configs: [{{targets: ['{vault_at}', '{media_at}']}}]}}\n"
        ),
    );
    write(
        &configs.join("rules.yml"),
        "groups:\n- name: outlast\n  rules:\n  - {alert: VaultAway, expr: outlast_media_vault_up == 0}\n",
    );
    write(
        &configs.join("am.yml"),
        &format!(
            "route: {{receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: 'http://{receiver}/manager', send_resolved: true}}]}}]\n"
        ),
    );
    let at = |name: &str| configs.join(name).display().to_string();
    let manager = start(
        "/usr/bin/prometheus-alertmanager",
        &[
            format!("--config.file={}", at("am.yml")),
            format!("--storage.path={}", at("am")),
            format!("--web.listen-address=127.0.0.1:{manager_port}"),
            "--cluster.listen-address=".to_owned(),
        ],
    );
    let prometheus = start(
        "/usr/bin/prometheus",
        &[
            format!("--config.file={}", at("prometheus.yml")),
            format!("--storage.tsdb.path={}", at("data")),
            format!("--web.listen-address=127.0.0.1:{server_port}"),
        ],
    );
    [manager, prometheus]
}

#[test]
fn prometheus_takes_the_metrics_of_all_roles_and_a_vault_that_is_gone_is_an_incident_elsewhere() {
    let programs = ["/usr/bin/prometheus", "/usr/bin/promtool", "/usr/bin/prometheus-alertmanager"];
    if programs.iter().any(|program| !Path::new(program).exists()) {
        println!("PROMETHEUS OR ALERTMANAGER IS NOT INSTALLED: they are not tested with");
        return;
    }
    let directory = scratch();
    let stage = directory.path();
    let [vault, media, server, manager] = [(); 4].map(|()| port());
    let (vault_at, media_at) = (format!("127.0.0.1:{vault}"), format!("127.0.0.1:{media}"));
    let figures = stage.join("agent.prom");
    let settings = [
        ("OUTLAST_VAULT_METRICS_LISTEN", vault_at.as_str()),
        ("OUTLAST_MEDIA_METRICS_LISTEN", media_at.as_str()),
        ("OUTLAST_AGENT_TEXTFILE", figures.to_str().unwrap()),
        ("OUTLAST_AGENT_REPORT", "1s"),
        ("OUTLAST_AGENT_VAULT_SILENCE", "2m"),
    ];
    let (receiver, hears) = receiver();
    let mut tiers = Tiers::start_with(stage, "", &settings);
    let file = stage.join("shop.sql");
    write(&file, "content");
    let drop = tiers.drop("shop-db", &file);
    tiers.wait_for_receipt("shop-db", &drop, "vaulted");
    // The agent takes its route without a restart.
    tiers.add_route(Tier::Agent, &format!("http://{receiver}/agent"));

    check("the vault", &metrics(vault).unwrap());
    check("the media server", &metrics(media).unwrap());
    wait_until("the agent wrote its figures", || figures.exists());
    check("the agent", &fs::read_to_string(&figures).unwrap());

    let _servers =
        watch(&stage.join("prometheus"), [server, manager], [&vault_at, &media_at], &receiver);

    tiers.kill(Tier::Vault);
    let mut all = Vec::new();
    wait_for(&hears, "/manager", &["\"status\":\"firing\"", "VaultAway"], &mut all);
    let told = wait_for(&hears, "/agent", &["incident.opened", "vault-silent"], &mut all);
    assert!(told.contains("nothing was heard from the vault"), "{told}");
    tiers.begin(Tier::Vault);
    wait_for(&hears, "/agent", &["incident.resolved", "vault-silent"], &mut all);
    wait_for(&hears, "/manager", &["\"status\":\"resolved\"", "VaultAway"], &mut all);
    let count = |what: &str| {
        all.iter().filter(|(path, body)| path == "/agent" && body.contains(what)).count()
    };
    assert_eq!((count("incident.opened"), count("incident.resolved")), (1, 1), "{all:#?}");
}
