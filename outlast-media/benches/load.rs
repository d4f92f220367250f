//! How fast a media server takes what many agents ship, beside what the disk and the processor allow, and
//! how much memory that takes. For a machine that does nothing else.
//!
//! `cargo bench -p outlast-media [-- AGENTS OBJECTS KIB]`: so many agents (50) at one time, each with so many
//! objects (200) of so many KiB (64). Nothing is forwarded meanwhile.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark for terminals"
)]

#[expect(dead_code, reason = "what the tests need beyond this")]
#[path = "../tests/it/scene.rs"]
mod scene;
#[expect(dead_code, reason = "what the tests of the vault need, and this does not")]
#[path = "../../outlast-vault/tests/it/support.rs"]
mod support;

use std::env;
use std::fs::{self, File, read_to_string};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outlast_civil::Rate;
use outlast_format::Sha256Id as _;
use outlast_media::MediaConfig;
use outlast_store::{Object, Store as _};
use outlast_testing::pseudo_random;
use outlast_types::{Environment, PackId, ShareId, SystemRandom, WorkloadName};
use outlast_wire::{ApiClient, RestStore, Role, ticket};

use scene::Scene;
use support::{Agent, eventually};

/// The directory in which the media server that is measured works, and its vault's address.
const HOME: &str = "OUTLAST_TEST_MEASURED_MEDIA";
const UPSTREAM: &str = "OUTLAST_TEST_MEASURED_MEDIA_UPSTREAM";

/// The media server that is measured: this program, as a process of its own. It forwards nothing.
fn serve(home: &Path, config: MediaConfig) {
    let media = outlast_media::start(config, Environment::system()).unwrap();
    let ready = home.join("measured");
    outlast_fs::durable::publish_new(&ready, media.url().as_bytes(), 0o644).unwrap();
    // Its parent kills it long before.
    thread::sleep(Duration::from_secs(3600));
}

struct Process(Child);

impl Process {
    /// The most memory that it ever had, in MiB, and the processor time that it used.
    fn cost(&self) -> (u64, f64) {
        cost(&self.0.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn cost(process: &str) -> (u64, f64) {
    let of = |file: &str| read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let status = of("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    let ticks: f64 =
        of("stat").split(' ').skip(13).take(2).map(|t| t.parse::<f64>().unwrap()).sum();
    (kib >> 10, ticks / 100.0)
}

/// What one agent ships, and where to.
struct Load {
    store: RestStore,
    objects: Vec<(PackId, Bytes)>,
}

fn load(scene: &Scene, url: &str, number: usize, objects: usize, bytes: usize) -> Load {
    let name = format!("load-{number}");
    let workload: WorkloadName = name.parse().unwrap();
    let agent = Agent {
        identity: scene.world.identity(Role::Agent, &name),
        client: ApiClient::new(url, &scene.world.identity(Role::Agent, &name)).unwrap(),
        share: ShareId::new(&SystemRandom),
    };
    let client = ApiClient::new(url, &agent.identity).unwrap();
    client.speak_of(agent.share);
    let mut opened = client.open_workload(&workload, agent.speaker()).unwrap();
    let shown = ticket::header_text(opened.ticket.as_ref().unwrap()).unwrap();
    opened.store.show_ticket(&shown);
    let content = |object: usize| -> (PackId, Bytes) {
        let seed = (number * 1_000_000 + object) as u64;
        let content = Bytes::from(pseudo_random(seed, bytes));
        (PackId::of(&content), content)
    };
    Load { store: opened.store, objects: (0..objects).map(content).collect() }
}

/// Lets all do `work` at one time; seconds until the last has ended.
fn at_once(loads: &[Load], work: impl Fn(usize, &Load) + Sync) -> f64 {
    let barrier = Barrier::new(loads.len() + 1);
    thread::scope(|scope| {
        for (number, load) in loads.iter().enumerate() {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(number, load);
            });
        }
        barrier.wait();
        Instant::now()
    })
    .elapsed()
    .as_secs_f64()
}

/// Writes the same objects as files of one directory, each durable: what the disk allows.
fn on_disk(plain: &Path, loads: &[Load]) -> f64 {
    fs::create_dir(plain).unwrap();
    let directory = File::open(plain).unwrap();
    at_once(loads, |number, load| {
        for (name, content) in &load.objects {
            let path = plain.join(format!("{number}-{name}"));
            let mut file = File::create_new(path).unwrap();
            file.write_all(content).unwrap();
            file.sync_all().unwrap();
            directory.sync_all().unwrap();
        }
    })
}

fn main() {
    if let (Some(home), Ok(upstream)) = (env::var_os(HOME), env::var(UPSTREAM)) {
        let (home, limits) = (Path::new(&home).to_owned(), scene::limits(Rate::PerSecond(0)));
        serve(&home.clone(), scene::config_in(&home, "measured-media", upstream, limits));
        return;
    }
    // Of what `cargo bench` itself passes, nothing is meant for this.
    let mut numbers = env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let mut next = |default: usize| numbers.next().unwrap_or(default);
    let (agents, objects, kib) = (next(50), next(200), next(64));
    let scene = Scene::new();
    scene
        .world
        .identity(Role::Media, "measured-media")
        .save(&scene.directory("measured-media-identity"))
        .unwrap();
    let process = Process(
        Command::new(env::current_exe().unwrap())
            .env(HOME, scene.world.path())
            .env(UPSTREAM, scene.vault.as_ref().unwrap().url())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let ready = scene.directory("measured");
    let url = eventually("the media server's start", || read_to_string(&ready).ok());
    let loads: Vec<Load> =
        (0..agents).map(|number| load(&scene, &url, number, objects, kib << 10)).collect();
    let all = (agents * objects * kib) as f64 / 1024.0;
    println!("{agents} agents with {objects} objects of {kib} KiB each: {all:.0} MiB");

    let disk = on_disk(&scene.directory("plain"), &loads);
    println!("write and fsync of file and directory: {:.1} MiB/s", all / disk);

    let (before, own) = (process.cost().1, cost("self").1);
    let taken = at_once(&loads, |_, load| {
        for (name, content) in &load.objects {
            load.store.create(&Object::Data(*name), content.clone()).unwrap();
        }
    });
    let (peak, after) = process.cost();
    let (server, clients) = (after - before, cost("self").1 - own);
    let processor = 2.0 * all / (server + clients);
    let least = (all / disk).min(processor);
    println!(
        "the media server took {:.1} MiB/s, {:.0} objects/s",
        all / taken,
        (agents * objects) as f64 / taken
    );
    println!(
        "CPU: {:.2} ms an object in the server, {:.2} in the clients: two cores allow {processor:.1} MiB/s",
        server * 1000.0 / (agents * objects) as f64,
        clients * 1000.0 / (agents * objects) as f64,
    );
    println!(
        "share of the least of both: {:.2}; peak of its memory: {peak} MiB",
        all / taken / least
    );
}
