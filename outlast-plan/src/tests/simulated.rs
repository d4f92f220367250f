//! A year of the simulator beside a plan of it.

use outlast_promise::simulate::{Chances, Scenario, simulate};

use super::*;

/// How many drops a day there are, and how many in the year at least, of the paces that the simulator knows.
/// A plan has no word for once a week.
const PACES: [(u32, u64); 3] = [(24, 4_000), (4, 700), (1, 70)];
/// One in seven begins some time in the year: half of that year is missing.
const BORN_LATE: f64 = 0.15 / 2.0;

#[test]
fn a_year_of_the_simulator_makes_as_many_drops_as_are_planned() {
    let mut scenario = Scenario::of_everything(60, 366, 7);
    // What agents say now and then is most of the work, and makes no drop.
    (scenario.agents, scenario.agent_deadline) = (1, std::time::Duration::from_secs(12 * 3600));
    scenario.chances = Chances::none();
    let (mut counts, mut weekly, mut drops) = ([0; 3], 0.0, 0.0);
    for number in 0..scenario.workloads {
        scenario.only = Some([number].into());
        let made = simulate(&scenario).unwrap().counts.drops;
        drops += made as f64;
        match PACES.iter().position(|(_, least)| made >= *least) {
            Some(pace) => counts[pace] += 1,
            None => weekly += 1.0,
        }
    }
    let mut given = description();
    (given.start, given.months) = ((2028, 1), 12);
    given.workloads = PACES
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .map(|((pace, _), count)| Workload {
            count,
            drops_a_day: *pace,
            size: 1e6,
            keep: None,
            ..workload(&pace.to_string(), "a")
        })
        .collect();
    let made = possible(&given);
    let planned: f64 = made.months.iter().map(|month| month.drops).sum();
    let planned = (planned + weekly * 366.0 / 7.0) * (1.0 - BORN_LATE);
    let off = drops / planned - 1.0;
    println!("{drops} drops are made, and {planned} are planned");
    assert!(off.abs() < 0.10, "{drops} drops are made, and {planned} are planned");
}
