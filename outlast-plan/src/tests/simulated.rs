//! A year of the simulator beside a plan of it.

use outlast_promise::simulate::{Chances, Scenario, simulate};

use super::*;

/// Of a hundred workloads of the simulator, how many drop how often a day.
const NATURES: [(&str, u32, u32); 3] = [("hourly", 2, 24), ("six-hourly", 6, 4), ("daily", 84, 1)];
/// And how many drop once a week, which a plan has no word for.
const WEEKLY: f64 = 8.0;
/// One in seven begins some time in the year: half of that year is missing.
const BORN_LATE: f64 = 0.15 / 2.0;

#[test]
fn a_year_of_the_simulator_makes_as_many_drops_as_are_planned() {
    let mut given = description();
    (given.start, given.months) = ((2028, 1), 12);
    given.workloads = NATURES
        .iter()
        .map(|(name, count, drops_a_day)| Workload {
            count: *count,
            drops_a_day: *drops_a_day,
            size: 1e6,
            keep: None,
            ..workload(name, "a")
        })
        .collect();
    let made = possible(&given);
    let planned: f64 = made.months.iter().map(|month| month.drops).sum();
    let planned = 10.0 * (planned + WEEKLY * 366.0 / 7.0) * (1.0 - BORN_LATE);

    let mut scenario = Scenario::of_everything(1_000, 366, 7);
    scenario.chances = Chances::none();
    let drops = simulate(&scenario).unwrap().counts.drops as f64;
    assert!(
        (drops / planned - 1.0).abs() < 0.10,
        "{drops} drops are made, and {planned} are planned"
    );
}
