//! What a hand-over costs: appearing, beginning and ending a job, staging against `cp`, and a status over ten thousand
//! workloads: `cargo bench -p outlast-handover`. The disk is that of the directory for temporary files. With the variable
//! `OUTLAST_BINARY`, also what the commands of that program take, each as a process.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for terminals")]

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use outlast_drop::sealing::{ContentKey, Opener, SealedTo};
use outlast_drop::{Claims, Content, DropAddress, DropWriter, SealedDrop, Share, WriterOptions};
use outlast_handover::build::{Wanted, build};
use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::stage::stage;
use outlast_handover::status::Overview;
use outlast_handover::{Desk, DropKey, Event, JobFacts, Layout, Offer, Place, Rules, intake};
use outlast_types::{Clock, DropId, Environment, SystemClock, SystemRandom, WorkloadName};

const WORKLOADS: usize = 10_000;
const SMALL: usize = 50;
const LARGE_BYTES: usize = 512 << 20;

struct NoKey;

impl Opener for NoKey {
    fn open(&self, _: &SealedTo, _: &str) -> Result<ContentKey, String> {
        Err("there is no key".to_owned())
    }
}

fn main() {
    let root = std::env::temp_dir().join(format!("outlast-handover-bench-{}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    run(&root);
    std::fs::remove_dir_all(&root).unwrap();
}

fn run(root: &Path) {
    let share = Share::init(&root.join("share"), &SystemClock, &SystemRandom).unwrap();
    let rules = Rules { layout: Layout::Drop, ..Rules::new("bench", root.join("handover")) };
    let environment = Environment::system();
    let desk = Mutex::new(Desk::open(rules.clone(), environment.clone()).unwrap());
    let template = {
        let address = drop_of(&share, "shop", &[7; 20_000]);
        hand_over(&desk, &share, &address, false).0
    };
    let began = Instant::now();
    for number in 0..WORKLOADS {
        let workload = WorkloadName::new(&format!("w-{number}")).unwrap();
        let path = format!("{workload}/x");
        let drop = DropId::new(&SystemClock, &SystemRandom);
        let offer = Offer { workload, drop, path, ..template.clone() };
        intake::at(&desk).record(Event::Offered(offer)).unwrap();
    }
    println!("{WORKLOADS} events of the journal: {:?} each", began.elapsed() / 10_000);
    let mut appearing = Vec::new();
    for _ in 0..SMALL {
        let address = drop_of(&share, "shop", &[7; 20_000]);
        appearing.push(hand_over(&desk, &share, &address, false).1);
    }
    tell("stage, build and appear, a small drop", appearing);
    let appears = (0..SMALL).map(|_| {
        let address = drop_of(&share, "shop", &[7; 20_000]);
        let key = DropKey { workload: address.workload.clone(), drop: address.drop };
        let raw = intake::at(&desk).staging_of(&key).join("raw");
        let files = stage(&SealedDrop::open(&share, &address).unwrap(), &raw, &|| false).unwrap();
        let mut copy = SealedDrop::open_copy(&raw, share.id(), &address).unwrap();
        let (opener, random, is_cleared, is_stopped) = (&NoKey, &SystemRandom, false, &|| false);
        let share = share.id();
        let wanted = Wanted { rules: &rules, share, opener, random, is_cleared, is_stopped };
        let built = build(&raw, files, &mut copy, &raw, &wanted).unwrap();
        let began = Instant::now();
        intake::at(&desk).appear(built).unwrap();
        began.elapsed()
    });
    tell("appear alone, durable", appears.collect());
    let (mut begins, mut ends) = (Vec::new(), Vec::new());
    let place = Place::of(&rules.directory);
    for number in 0..SMALL {
        let job = JobFacts::of_id(&format!("job-{number}"));
        let beginning =
            Beginning { job, stream: 1, streams: None, length: Duration::from_secs(60) };
        let began = Instant::now();
        let (lease, _) = lease::begin(&place, &beginning, &environment).unwrap();
        begins.push(began.elapsed());
        let began = Instant::now();
        let (key, stream) = (lease.key(), lease.stream);
        inbox::put(&place, &Word::Ended { lease, status: 0 }, &environment).unwrap();
        lease::release(&place, &key, stream).unwrap();
        ends.push(began.elapsed());
    }
    tell("begin, beside 10,000 workloads", begins);
    tell("end, beside 10,000 workloads", ends);
    intake::at(&desk).take_up().unwrap();
    let looks = (0..5).map(|_| {
        let began = Instant::now();
        let overview = Overview::read(&rules.directory).unwrap();
        assert!(overview.drops(SystemClock.now()).len() > WORKLOADS);
        began.elapsed()
    });
    tell("status over 10,000 workloads", looks.collect());
    if let Some(program) = std::env::var_os("OUTLAST_BINARY") {
        by_command(Path::new(&program), &rules.directory);
    }
    staging(root, &share, &desk);
}

/// The same as hooks and people do it: a process each time, from its start to its end.
fn by_command(program: &Path, directory: &Path) {
    let run = |words: &[&str]| {
        let mut command = Command::new(program);
        command.arg("handover").args(words).arg("--directory").arg(directory);
        let began = Instant::now();
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        began.elapsed()
    };
    let jobs: Vec<String> = (0..SMALL).map(|number| format!("process-{number}")).collect();
    tell("begin, the process", jobs.iter().map(|job| run(&["begin", "--job", job])).collect());
    let ends = jobs.iter().map(|job| run(&["end", "--job", job, "--status", "0"]));
    tell("end, the process", ends.collect());
    tell("status, the process", (0..10).map(|_| run(&["status"])).collect());
    tell("status --json, the process", (0..10).map(|_| run(&["status", "--json"])).collect());
}

/// A large drop, against the programs that do the same by hand.
fn staging(root: &Path, share: &Share, desk: &Mutex<Desk>) {
    let content: Vec<u8> = (0_u64..)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(LARGE_BYTES)
        .collect();
    let address = drop_of(share, "large", &content);
    let from = share.drop_directory(&address);
    for round in 0..3 {
        let to = root.join(format!("copy-{round}"));
        let command = format!(
            "cp -r {} {} && sync {1}/*.seg && sha256sum {1}/*.seg > /dev/null",
            from.display(),
            to.display()
        );
        let began = Instant::now();
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        let by_hand = began.elapsed();
        std::fs::remove_dir_all(&to).unwrap();
        let sealed = SealedDrop::open(share, &address).unwrap();
        let began = Instant::now();
        let copied = intake::copy(desk, &sealed, &|| false).unwrap();
        let staged = began.elapsed();
        let began = Instant::now();
        let offer = intake::offer(desk, share, copied, &NoKey, false).unwrap();
        let proved = began.elapsed();
        println!(
            "512 MiB: staged in {staged:?}, proved once more, made durable and shown in {proved:?}; cp, sync and \
             sha256sum {by_hand:?}"
        );
        let event = Event::Void { drop: offer.key() };
        intake::at(desk).record(event).unwrap();
        let path = intake::at(desk).place().directory().join(&offer.path);
        std::fs::remove_dir_all(path).unwrap();
    }
}

fn hand_over(
    desk: &Mutex<Desk>,
    share: &Share,
    address: &DropAddress,
    is_cleared: bool,
) -> (Offer, Duration) {
    let sealed = SealedDrop::open(share, address).unwrap();
    let began = Instant::now();
    let copied = intake::copy(desk, &sealed, &|| false).unwrap();
    let offer = intake::offer(desk, share, copied, &NoKey, is_cleared).unwrap();
    (offer, began.elapsed())
}

fn drop_of(share: &Share, workload: &str, content: &[u8]) -> DropAddress {
    let workload = WorkloadName::new(workload).unwrap();
    let kind = Content::stream("shop.bin").unwrap();
    let options = WriterOptions { compression: None, ..WriterOptions::default() };
    let (clock, random) = (&SystemClock, &SystemRandom);
    let made =
        DropWriter::create(share, &workload, kind, Claims::default(), options, clock, random);
    let mut writer = made.unwrap();
    writer.write_all(content).unwrap();
    let address = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    address
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: {median:?} in the median, {most:?} at most, of {}", times.len());
}
