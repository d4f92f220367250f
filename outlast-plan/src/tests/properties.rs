//! What holds of all plans.

use proptest::prelude::*;

use super::*;

/// Anything that can be: a site with each kind of share, and one to three workloads.
fn setups() -> impl Strategy<Value = Description> {
    let one =
        (1u32..5, 1.0..400.0f64, 0.0..0.3f64, 0.05..1.0f64, 1u32..5, any_keep(), 0.0..10.0f64);
    let workloads = proptest::collection::vec(one, 1..4);
    (0usize..6, workloads, 0u32..4, any::<bool>(), 1u32..4).prop_map(
        |(mode, workloads, keep, by_disk, months)| {
            let mut given = description();
            given.months = months;
            let site = &mut given.sites[0];
            (site.mode, site.keep) = (Some(Mode::ALL[mode]), keep);
            site.cloud = Mode::ALL[mode].cloud();
            site.line = line(50_000_000);
            site.line.seeded_by_disk = by_disk;
            given.workloads = workloads
                .into_iter()
                .enumerate()
                .map(|(n, (count, size, change, packed, drops, keep, releases))| Workload {
                    count,
                    size: size * GIB,
                    change,
                    compresses_to: packed,
                    drops_a_day: drops,
                    keep,
                    releases,
                    growth: change,
                    within: 72.0,
                    ..workload(&format!("w{n}"), "a")
                })
                .collect();
            given
        },
    )
}

fn any_keep() -> impl Strategy<Value = Option<outlast_promise::Keep>> {
    let rules =
        [None, Some("last=3"), Some("daily=7,weekly=4"), Some("within=20d"), Some("monthly=12")];
    (0usize..rules.len()).prop_map(move |n| rules[n].map(|rules| rules.parse().unwrap()))
}

fn total(given: &Description) -> Option<f64> {
    match plan(given, &prices()).unwrap() {
        Outcome::Possible(plan) => Some(plan.total()),
        Outcome::Impossible(_) => None,
    }
}

proptest! {
    #![proptest_config(outlast_testing::cases(48))]

    #[test]
    fn every_part_is_zero_or_more_and_sums_add_up(given in setups()) {
        let Outcome::Possible(made) = plan(&given, &prices()).unwrap() else { return Ok(()) };
        let mut all = 0.0;
        for month in &made.months {
            let parts: Vec<f64> = Part::ALL.iter().map(|part| month.costs.of(*part)).collect();
            prop_assert!(parts.iter().all(|cost| cost.is_finite() && *cost >= 0.0), "{parts:?}");
            let sum: f64 = parts.iter().sum();
            prop_assert!((sum - month.costs.total()).abs() < 1e-9);
            all += sum;
        }
        prop_assert!((all - made.total()).abs() < 1e-6 * all.max(1.0));
        for figure in &made.figures {
            prop_assert!(figure.value.is_finite() && figure.value >= 0.0, "{figure:?}");
        }
        for site in &made.sites {
            // Nothing vanishes: what came for the line went over it or still waits.
            let came: f64 = site.hours.iter().map(|hour| hour.arrived).sum();
            let went: f64 = site.hours.iter().map(|hour| hour.line).sum();
            let waits = site.hours.last().unwrap().spool;
            prop_assert!((came - went - waits).abs() < 1e-6 * came.max(1.0), "{came} {went} {waits}");
            prop_assert!(site.hours.iter().all(|hour| hour.busy <= 1.0 + 1e-9));
        }
    }

    #[test]
    fn more_data_never_costs_less(given in setups(), which in 0usize..5, more in 1.0..3.0f64) {
        let Some(before) = total(&given) else { return Ok(()) };
        let mut larger = given.clone();
        let workload = &mut larger.workloads[0];
        match which {
            0 => workload.size *= more,
            1 => workload.change = (workload.change * more).min(1.0),
            2 => workload.compresses_to = (workload.compresses_to * more).min(1.0),
            3 => workload.count += 1,
            _ => workload.keep = None,
        }
        // What is impossible has no price.
        if let Some(after) = total(&larger) {
            prop_assert!(after >= before - 1e-6, "{after} < {before}");
        }
    }
}
