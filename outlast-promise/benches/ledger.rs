//! What a second of the vault costs with ten thousand workloads: `cargo bench -p outlast-promise`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for terminals")]

use std::hint::black_box;
use std::time::Duration;

use outlast_civil::Zone;
use outlast_promise::simulate::{Scenario, simulate};
use outlast_promise::{Event, Keep, Ledger, Point, Row, Settings, Source, judge};
use outlast_testing::pace;
use outlast_types::{Timestamp, WorkloadName};

const WORKLOADS: u64 = 10_000;
const SHARES: u8 = 4;

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000, 0).unwrap().saturating_add(Duration::from_secs(second))
}

fn name(number: u64) -> WorkloadName {
    WorkloadName::new(&format!("workload-{number:05}")).unwrap()
}

fn source(number: u64) -> Source {
    let share = u8::try_from(number % u64::from(SHARES)).unwrap_or(0);
    let share = format!("7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d{share:02x}").parse().unwrap();
    Source { agent: "road-1".into(), share: Some(share) }
}

fn filled() -> Ledger {
    let mut ledger = Ledger::new(Settings::default(), 0, at(0));
    for number in 0..WORKLOADS {
        let (workload, second) = (name(number), at(number));
        ledger.apply_all(
            [
                Event::Waiting { workload: workload.clone(), source: source(number) },
                Event::Vaulted { workload, at: second },
            ],
            at(0),
        );
    }
    ledger
}

fn measure(what: &str, work: impl FnMut()) {
    println!("{what:72} {:12.2} µs", 1e6 / pace::calls_for_second(work));
}

fn main() {
    let mut ledger = filled();
    ledger.mark_saved();
    let mut second = 1;
    measure("a tick that finds nothing, able to be taken back", || {
        second += 1;
        black_box(ledger.tick(at(second)));
        ledger.mark_saved();
    });
    measure("an agent is heard, able to be taken back", || {
        second += 1;
        let event = Event::AgentHeard { source: source(second), certificate: None };
        black_box(ledger.apply(event, at(second)));
        ledger.mark_saved();
    });
    measure("a drop is vaulted, able to be taken back, made ready to be stored", || {
        second += 1;
        let event = Event::Vaulted { workload: name(second % WORKLOADS), at: at(second) };
        black_box(ledger.apply(event, at(second)));
        black_box(ledger.unsaved());
        ledger.mark_saved();
    });
    ledger.apply(Event::Vaulted { workload: name(0), at: at(second) }, at(second + 1));
    let rows = ledger.unsaved().rows;
    let bytes: usize = rows.iter().filter_map(|row| Some(row.state.as_ref()?.len())).sum();
    println!("what is stored of that: {} rows, {bytes} bytes", rows.len());
    measure("all workloads are listed", || {
        black_box(ledger.workloads().count());
    });
    whole_passes();
    retention();
    years();
}

/// What looks at everything, as a start and a new policy do, and what all of it takes in memory.
fn whole_passes() {
    let before = resident();
    let mut ledger = filled();
    let rows: Vec<Row> = ledger
        .unsaved()
        .rows
        .into_iter()
        .filter_map(|row| Some(Row { part: row.part.to_owned(), key: row.key, state: row.state? }))
        .collect();
    ledger.mark_saved();
    println!("memory of it: {} KiB", resident().saturating_sub(before));
    let mut second = 1;
    measure("all is read anew and looked at", || {
        second += 1;
        let rows = rows.iter().cloned();
        let mut ledger = Ledger::resume(Settings::default(), rows, at(second)).unwrap();
        black_box(ledger.tick(at(second)));
    });
}

/// The resident set of this process in KiB; nothing where the kernel does not tell it.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

fn retention() {
    let keep: Keep = "last=10,hourly=48,daily=30,weekly=12,monthly=24,yearly=7".parse().unwrap();
    let points: Vec<Point> = (0..1000).map(|hour| Point::at(at(hour * 6 * 3600))).collect();
    measure("retention of 1000 recovery points", || {
        black_box(judge(&points, &keep, &Zone::utc()));
    });
}

/// A year in a minute.
fn years() {
    for (workloads, days) in [(1000, 365), (10_000, 31)] {
        let scenario = Scenario::of_everything(workloads, days, 1);
        let (outcome, seconds) = pace::seconds_of(|| simulate(&scenario).unwrap());
        println!("{workloads} workloads for {days} days: {seconds:.1} s, {:?}", outcome.counts);
    }
}
