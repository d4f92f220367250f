//! What an agent costs over many workloads in which nothing happens:
//! `cargo bench -p outlast-agent --bench idle -- WORKLOADS DAYS MICROSECONDS`.
//!
//! It makes a share with two vaulted drops of each workload and a history of DAYS that are over, of which an older
//! agent left the directories, and lets an agent pass over it, with each call to the file system delayed by so many
//! microseconds, as a far file server would. Told are calls, time, processor time, metered traffic, and memory.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for terminals")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_agent::{Agent, AgentConfig, Shutdown, Upstream, UpstreamError};
use outlast_drop::files::{Gauge, Meter};
use outlast_drop::hash::{Algorithm, Digest};
use outlast_drop::{
    Claims, Content, DropAddress, Receipt, ReceiptState, Seal, Segment, Share, receipt,
};
use outlast_repo::Repository;
use outlast_types::{
    Clock, DropId, Environment, Interrupt, SystemClock, SystemRandom, Timestamp, WorkloadName, hex,
};
use outlast_wire::api::{AgentReport, BillAnswer, Reported, Shipment};
use outlast_wire::holdings::{Answer, Question, SignedAnswer};
use outlast_wire::{CallError, CertificateAuthority, Identity, IdentityHandle, Peer, Role, ca};

const DAY: Duration = Duration::from_secs(86_400);
/// Passes of which the cost is told, each for itself and then on the average.
const PASSES: u32 = 8;
/// The default pause between two passes, in seconds.
const POLL: u64 = 30;
/// The least that a call is charged for, on file systems that charge for traffic.
const METERED: u64 = 4 << 10;

/// Counts calls, and lets each take its time.
struct Far {
    calls: AtomicU64,
    delay: AtomicU64,
    environment: Environment,
}

impl Gauge for Far {
    fn call(&self, _: &Path) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let delay = Duration::from_micros(self.delay.load(Ordering::Relaxed));
        if !delay.is_zero() {
            self.environment.timer.pause(delay, &Interrupt::default());
        }
    }
}

/// A vault that holds whatever it is asked for.
struct Holder(Identity);

impl Upstream for Holder {
    fn open(&self, _: &WorkloadName, _: &Shutdown) -> Result<Repository, UpstreamError> {
        unreachable!("nothing is new")
    }

    fn ship(&self, _: &Shipment) -> Result<BillAnswer, CallError> {
        unreachable!("nothing is new")
    }

    fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        let answer = Answer {
            nonce: question.nonce.clone(),
            at: SystemClock.now(),
            run: "1".to_owned(),
            sequence: 1,
            held: question.drops.clone(),
            recorded: Vec::new(),
            handed: Vec::new(),
            unsafe_alone: Vec::new(),
            refused: Vec::new(),
            withheld: false,
        };
        Ok(SignedAnswer::sign(&answer, &self.0).unwrap())
    }

    fn report(&self, _: &AgentReport) -> Result<Reported, CallError> {
        Ok(Reported { run: "1".to_owned(), ..Reported::default() })
    }
}

fn issue(authority: &CertificateAuthority, role: Role) -> Identity {
    let peer = Peer::new(role, "bench").unwrap();
    let hosts = if role == Role::Vault { vec!["localhost".to_owned()] } else { Vec::new() };
    let request = ca::Request { hosts, ..ca::Request::new(peer, 30 * DAY) };
    authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

fn write(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

/// A drop of `workload` that lies there, sealed and vaulted.
fn vaulted(share: &Share, workload: &WorkloadName, at: Timestamp, vault: &Identity) {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    let address = DropAddress { workload: workload.clone(), day: at.day(), drop };
    let directory = share.drop_directory(&address);
    fs::create_dir_all(&directory).unwrap();
    let content = b"content";
    write(&directory.join("open.json"), b"{}\n");
    write(&directory.join("0001.seg"), content);
    let size = content.len() as u64;
    let digest = Digest::of(Algorithm::Blake3, content);
    let segment = Segment { name: "0001.seg".to_owned(), size, raw_size: size, digest };
    let seal = Seal {
        drop,
        workload: workload.clone(),
        content: Content::stream("dump.sql").unwrap(),
        claims: Claims::default(),
        sealed: Some(at),
        compression: None,
        sealed_to: None,
        segments: vec![segment],
    };
    let bytes = seal.to_bytes().unwrap();
    write(&directory.join("sealed.json"), &bytes);
    let Digest::Blake3(digest) = Digest::of(Algorithm::Blake3, &bytes) else { unreachable!() };
    let receipt = Receipt {
        seal: Some(digest),
        size: Some(size),
        tree: Some(hex::encode(&[1; 32]).parse().unwrap()),
        snapshot: Some(hex::encode(&[2; 32])),
        ..Receipt::about(share.id(), &address, ReceiptState::Vaulted, at)
    };
    receipt::write(share, &receipt.sign(vault).unwrap()).unwrap();
}

fn make_share(path: &Path, workloads: u64, days: u64, vault: &Identity) {
    let share = Share::init(path, &SystemClock, &SystemRandom).unwrap();
    let now = SystemClock.now();
    let before = |days: u64| now.saturating_sub(DAY * u32::try_from(days).unwrap());
    for number in 0..workloads {
        let workload = WorkloadName::new(&format!("workload-{number:05}")).unwrap();
        vaulted(&share, &workload, before(1), vault);
        vaulted(&share, &workload, before(2), vault);
        let drops = share.workload_directory(&workload).join("drops");
        for ago in 3..days {
            fs::create_dir(drops.join(before(ago).day().to_string())).unwrap();
        }
    }
}

/// Processor time of this process, in seconds.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: Vec<f64> =
        stat.split_whitespace().skip(13).take(2).map(|it| it.parse().unwrap()).collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// The most memory that this process ever had, and what it has now.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
    };
    format!("{} at most, {} now", line("VmHWM:"), line("VmRSS:"))
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let number = |at: usize, usual: u64| numbers.get(at).copied().unwrap_or(usual);
    let (workloads, days, delay) = (number(0, 300), number(1, 40), number(2, 2000));
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let authority = CertificateAuthority::create(&path("ca"), &SystemClock, &SystemRandom).unwrap();
    let vault = issue(&authority, Role::Vault);
    make_share(&path("share"), workloads, days, &vault);
    println!("{workloads} workloads, {days} days, {delay} µs a call; memory: {}", memory());

    let environment = Environment::system();
    let identity = IdentityHandle::from(issue(&authority, Role::Agent));
    let config = AgentConfig::new(&path("share"), &path("state"), "https://vault/", &path("none"));
    let holder = Box::new(Holder(vault));
    let mut agent = Agent::with_upstream(config, environment.clone(), identity, holder).unwrap();
    let far = Far { calls: 0.into(), delay: delay.into(), environment: environment.clone() };
    let far = Arc::new(far);
    agent.measure(Meter::new(Arc::<Far>::clone(&far)));
    let mut pass = |what: &str| {
        let (calls, began, used) =
            (far.calls.load(Ordering::Relaxed), environment.timer.elapsed(), processor());
        let report = agent.pass(&Shutdown::default());
        assert!(report.problems.is_empty() && report.waiting == 0, "{report:?}");
        let calls = far.calls.load(Ordering::Relaxed) - calls;
        let took = environment.timer.elapsed().saturating_sub(began);
        let used = processor() - used;
        println!(
            "{what:28} {calls:9} calls {:9.2} s {used:8.2} s of a processor; memory: {}",
            took.as_secs_f64(),
            memory()
        );
        (calls, used)
    };
    pass("the first, of a new host");
    // Of some, days are closed by turns: what a pass costs is told when all of them are.
    let is_tidy = || {
        (0..workloads).all(|number| {
            let drops = path("share").join(format!("w/workload-{number:05}/drops"));
            fs::read_dir(drops).unwrap().count() <= 4
        })
    };
    while !is_tidy() {
        pass("one that closes days");
    }
    // What was read once is read again before it is believed: each workload has two turns.
    let idle = outlast_drop::ScanLimits::PASS.idle as u64;
    for _ in 0..2 * workloads.div_ceil(idle) + 1 {
        pass("one that makes sure");
    }
    let (mut calls, mut used) = (0, 0.0);
    for _ in 0..PASSES {
        let (of_pass, of_processor) = pass("one in which nothing is new");
        (calls, used) = (calls + of_pass, used + of_processor);
    }
    let passes = f64::from(PASSES);
    let daily = 86_400 / POLL * calls / u64::from(PASSES);
    println!(
        "at a pass every {POLL} s: {daily} calls a day, {:.1} GiB metered at 4 KiB a call, {:.2}% of one \
         processor",
        (daily * METERED) as f64 / f64::from(1 << 30),
        used / passes / POLL as f64 * 100.0
    );
}
