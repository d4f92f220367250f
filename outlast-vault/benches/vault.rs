//! What the vault, as a process of its own, gives to those who use it. For a machine that does nothing else.
//!
//! - `cargo bench -p outlast-vault`: how an honest agent fares while another peer floods, how much memory
//!   that takes, and what a first contact costs.
//! - `cargo bench -p outlast-vault -- restart [WORKLOADS]`: how long a vault that was killed takes until it
//!   works again.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for terminals")]

#[expect(dead_code, reason = "what the tests need beyond this")]
#[path = "../tests/it/support.rs"]
mod support;

use std::env;
use std::fs::read_to_string;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outlast_store::{Object, Store as _};
use outlast_types::{Environment, PackId, ShareId, SystemRandom, WorkloadName};
use outlast_vault::VaultConfig;
use outlast_wire::api::{Declared, WorkloadReport};
use outlast_wire::{ApiClient, Identity, Role};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use support::{Agent, World, eventually, shop};

const HOME: &str = "OUTLAST_TEST_MEASURED_VAULT";
/// How long the honest agent ships in each setting.
const SPAN: Duration = Duration::from_secs(5);

/// The vault that is measured: this program, as a process of its own.
fn serve(home: &Path) {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = VaultConfig::new(&home.join("vault"), listen, &home.join("vault-identity"));
    let vault = outlast_vault::start(config, Environment::system()).unwrap();
    let ready = home.join("measured");
    outlast_fs::durable::publish_new(&ready, vault.url().as_bytes(), 0o644).unwrap();
    // Its parent kills it long before.
    std::thread::sleep(Duration::from_secs(3600));
}

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(world: &World) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .env(HOME, world.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ready = world.path().join("measured");
        let url = eventually("the vault's start", || read_to_string(&ready).ok());
        Self { child, url }
    }

    fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("https://").trim_end_matches('/').parse().unwrap()
    }

    /// The most memory that it ever had, and the processor time that it used.
    fn cost(&self) -> (u64, f64) {
        let of = |file: &str| read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        let status = of("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        let ticks: f64 =
            of("stat").split(' ').skip(13).take(2).map(|t| t.parse::<f64>().unwrap()).sum();
        (kib >> 10, ticks / 100.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One who floods, with what it needs to.
struct Flood<'a> {
    world: &'a World,
    process: &'a Process,
    identity: Identity,
    stop: &'a AtomicBool,
}

impl Flood<'_> {
    fn is_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn agent(&self) -> Agent {
        let client = ApiClient::new(&self.process.url, &self.identity).unwrap();
        Agent {
            identity: self.world.identity(Role::Agent, "flood"),
            client,
            share: ShareId::new(&SystemRandom),
        }
    }

    /// Sends `head` on many connections, and a byte now and then.
    fn drip(&self, head: &str) {
        let tls = Arc::new(outlast_wire::tls::client_config(&self.identity).unwrap());
        let connect = || {
            let stream = TcpStream::connect(self.process.address()).ok()?;
            let name = ServerName::try_from("localhost").unwrap();
            let tls = ClientConnection::new(Arc::clone(&tls), name).ok()?;
            let mut stream = StreamOwned::new(tls, stream);
            stream.write_all(head.as_bytes()).ok()?;
            Some(stream)
        };
        let mut held: Vec<_> = (0..48).filter_map(|_| connect()).collect();
        while self.is_on() {
            std::thread::sleep(Duration::from_millis(500));
            held.retain_mut(|stream| stream.write_all(b"x").is_ok());
        }
    }

    fn silent(&self) {
        let mut held = Vec::new();
        while self.is_on() {
            held.extend(TcpStream::connect_timeout(&self.process.address(), SPAN).ok());
            if held.len() > 400 {
                held.remove(0);
            }
        }
    }

    fn begin_workloads(&self) {
        let agent = self.agent();
        for number in 0.. {
            if !self.is_on() {
                return;
            }
            let name = WorkloadName::new(&format!("flood-{number}")).unwrap();
            agent.client.open_workload(&name, agent.speaker()).ok();
        }
    }

    fn report(&self) {
        let agent = self.agent();
        for round in 0.. {
            if !self.is_on() {
                return;
            }
            let declared = Declared { rpo_seconds: Some(60), owner: Some("x".repeat(60)) };
            let seen = |number: usize| WorkloadReport {
                name: WorkloadName::new(&format!("f{round}-{number}")).unwrap(),
                declared: Some(declared.clone()),
                waiting: 0,
                waiting_bytes: 0,
                rejected: Vec::new(),
                stopped: None,
                unconfirmed: Vec::new(),
                share_bytes: None,
            };
            let report = agent.report_of((0..10_000).map(seen).collect(), Vec::new());
            agent.client.report(&report, agent.speaker()).ok();
        }
    }

    fn junk(&self) {
        let agent = self.agent();
        let store = agent.client.open_workload(&shop(), agent.speaker()).unwrap().store;
        for number in 0u64.. {
            if !self.is_on() {
                return;
            }
            let mut content = vec![7; 4 << 20];
            content[..8].copy_from_slice(&number.to_le_bytes());
            let object = Object::Data(PackId(outlast_format::sha256(&content)));
            store.create(&object, Bytes::from(content)).ok();
        }
    }

    fn ask(&self) {
        let store = {
            let agent = self.agent();
            agent.client.open_workload(&shop(), agent.speaker()).unwrap().store
        };
        while self.is_on() {
            store.size(&Object::Config).ok();
        }
    }
}

/// How many drops an honest agent ships in a second. Eight go to one workload: the agent of the tests
/// has no cache, and reads every index before each drop.
fn rate(agent: &Agent, content: &mut u64) -> f64 {
    let begin = Instant::now();
    let mut drops = 0.0;
    while begin.elapsed() < SPAN {
        *content += 1;
        let workload = WorkloadName::new(&format!("honest-{}", *content / 8)).unwrap();
        agent.ship(&workload, content.to_string().repeat(20_000).as_bytes());
        drops += 1.0;
    }
    drops / begin.elapsed().as_secs_f64()
}

/// What a workload costs the vault that it never saw before.
fn first_contacts(agent: &Agent, process: &Process) -> String {
    const COUNT: u32 = 300;
    let (_, before) = process.cost();
    for number in 0..COUNT {
        let name = WorkloadName::new(&format!("first-{number}")).unwrap();
        agent.client.open_workload(&name, agent.speaker()).unwrap();
    }
    let (_, after) = process.cost();
    let each = 1000.0 * (after - before) / f64::from(COUNT);
    format!("a first contact takes {each:.2} ms of processor")
}

/// How long it takes from the start of a vault that was killed to its first answer.
fn restarts(world: &World, workloads: usize) {
    let process = Process::start(world);
    let agent = world.agent_at(&process.url);
    let name = |number: usize| WorkloadName::new(&format!("workload-{number}")).unwrap();
    for number in 0..workloads {
        match number % 10 {
            0 => drop(agent.ship(&name(number), number.to_string().as_bytes())),
            _ => drop(agent.client.open_workload(&name(number), agent.speaker()).unwrap()),
        }
    }
    drop(process);
    for _ in 0..5 {
        std::fs::remove_file(world.path().join("measured")).unwrap();
        let begin = Instant::now();
        let process = Process::start(world);
        let agent = world.agent_at(&process.url);
        agent.client.open_workload(&name(0), agent.speaker()).unwrap();
        let until = begin.elapsed().as_secs_f64();
        let (mib, seconds) = process.cost();
        println!(
            "{workloads} workloads: the first answer {until:5.2} s after the start  {mib:4} MiB  \
             {seconds:5.2} s of processor"
        );
    }
}

type Way = (&'static str, usize, fn(&Flood<'_>));

const WAYS: [Way; 8] = [
    ("packs of which a byte comes now and then", 1, |flood| {
        let name = "ab".repeat(32);
        let line = format!("POST /repo/shop-db/data/{name} HTTP/1.1");
        flood.drip(&format!("{line}\r\nHost: x\r\nContent-Length: 134217728\r\n\r\n"));
    }),
    ("calls of which a byte comes now and then", 1, |flood| {
        let line = "POST /api/v1/workloads/x/open HTTP/1.1";
        flood.drip(&format!("{line}\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"));
    }),
    ("heads that never end", 1, |flood| flood.drip("GET /repo/shop-db/config HTTP/1.1\r\nX: ")),
    ("silent connections", 2, |flood| flood.silent()),
    ("new workloads", 4, |flood| flood.begin_workloads()),
    ("reports of 10,000 workloads", 2, |flood| flood.report()),
    ("packs that are none", 4, |flood| flood.junk()),
    ("requests", 8, |flood| flood.ask()),
];

fn main() {
    if let Some(home) = env::var_os(HOME) {
        return serve(&PathBuf::from(home));
    }
    let mut words = env::args().skip(1).filter(|word| !word.starts_with("--"));
    let world = World::new();
    if words.next().as_deref() == Some("restart") {
        let workloads = words.next().map_or(10_000, |word| word.parse().unwrap());
        return restarts(&world, workloads);
    }
    floods(&world);
}

fn floods(world: &World) {
    let process = Process::start(world);
    let agent = world.agent_at(&process.url);
    let mut content = 0;
    rate(&agent, &mut content);
    println!("{}", first_contacts(&agent, &process));
    for (name, threads, way) in WAYS {
        let alone = rate(&agent, &mut content);
        let stop = AtomicBool::new(false);
        let identity = || world.identity(Role::Agent, "flood");
        let under = std::thread::scope(|scope| {
            for _ in 0..threads {
                let (process, stop, identity) = (&process, &stop, identity());
                scope.spawn(move || {
                    // It would have a processor of its own; the vault's share is what is measured.
                    rustix::process::setpriority_process(None, 19).unwrap();
                    way(&Flood { world, process, identity, stop });
                });
            }
            std::thread::sleep(Duration::from_secs(1));
            let under = rate(&agent, &mut content);
            stop.store(true, Ordering::Relaxed);
            under
        });
        let (mib, seconds) = process.cost();
        let ratio = under / alone;
        println!(
            "{name:44} {alone:6.1} drops/s alone {under:6.1} under it  {ratio:4.2}  {mib:4} MiB at most \
             so far  {seconds:6.1} s of processor"
        );
    }
}
