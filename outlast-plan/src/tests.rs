//! Scenarios with results that were worked out by hand, and what holds of all plans.

mod chunks;
mod dates;
mod flaws;
mod golden;
mod properties;
mod simulated;

use std::collections::BTreeMap;

use outlast_civil::{Calendar, Rate, Zone};

use super::*;

const GIB: f64 = 1_073_741_824.0;

/// A hundred GiB once a day, of which 2 % are new and half is left by compression; 100 Mbit/s.
fn description() -> Description {
    Description {
        title: "test".into(),
        start: (2027, 1),
        months: 2,
        zone: Zone::utc(),
        sites: vec![site("a")],
        workloads: vec![workload("db", "a")],
        copies: 1,
        alternatives: Alternatives {
            minutes_per_server: 10.0,
            kept_hours: 24.0,
            full_every: 7.0,
            ..Alternatives::default()
        },
    }
}

fn site(name: &str) -> Site {
    Site {
        name: name.into(),
        cloud: Cloud::Aws,
        region: "r".into(),
        mode: Some(Mode::Elastic),
        one_zone: false,
        keep: 2,
        poll: 30.0,
        reading_hours: 8.0,
        vm: None,
        media_servers: 1,
        line: line(12_500_000),
    }
}

/// A line that is always as fast, in bytes a second.
fn line(rate: u64) -> Line {
    Line {
        calendar: Calendar::always(Rate::PerSecond(rate)),
        said: "a line".into(),
        outage: 24.0,
        month: None,
        seeded_by_disk: true,
    }
}

fn workload(name: &str, site: &str) -> Workload {
    Workload {
        name: name.into(),
        site: site.into(),
        count: 1,
        size: 100.0 * GIB,
        growth: 0.0,
        change: 0.02,
        edit: None,
        compresses_to: 0.5,
        is_compressed_on_share: false,
        drops_a_day: 1,
        at: 120,
        keep: Some("daily=7".parse().unwrap()),
        within: 12.0,
        servers: 2,
        releases: 0.0,
    }
}

fn prices() -> Prices {
    let of = |items: &[(&str, f64)]| {
        let price = |(key, is): &(&str, f64)| {
            ((*key).to_owned(), Price { is: *is, source: "test".into(), is_supposed: false })
        };
        items.iter().map(price).collect::<BTreeMap<_, _>>()
    };
    let vm = |name: &str, cpus: f64, month: f64| Vm {
        name: name.into(),
        cpus,
        baseline: 1.0,
        speed: 1.0,
        memory: 4.0 * GIB,
        month: Price { is: month, source: "test".into(), is_supposed: false },
    };
    let region = Region {
        items: of(&[
            ("efs_gib_month", 0.30),
            ("efs_one_zone_gib_month", 0.16),
            ("efs_elastic_read_gib", 0.03),
            ("efs_elastic_write_gib", 0.06),
            ("efs_provisioned_mibs_month", 6.0),
            ("files_premium_gib_month", 0.16),
            ("files_nfs_gib_month", 0.16),
            ("files_standard_gib_month", 0.06),
            ("files_write_10k", 0.015),
            ("files_list_10k", 0.015),
            ("files_read_10k", 0.0015),
            ("disk_gib_month", 0.08),
            ("line_gib", 0.02),
        ]),
        vms: vec![vm("four", 4.0, 73.0), vm("sixteen", 16.0, 292.0)],
    };
    let regions = [("aws", "r"), ("azure", "r")];
    let key = |(cloud, name): (&str, &str)| (cloud.to_owned(), name.to_owned());
    Prices {
        currency: "USD".into(),
        date: "2026-06-13".into(),
        regions: regions.into_iter().map(|it| (key(it), region.clone())).collect(),
        common: of(&[
            ("line_month", 0.0),
            ("vault_gib_month", 0.02),
            ("licence_server_month", 15.0),
            ("server_month", 73.0),
            ("person_hour", 60.0),
        ]),
    }
}

fn possible(description: &Description) -> Plan {
    match plan(description, &prices()) {
        Ok(Outcome::Possible(plan)) => *plan,
        other => panic!("{other:?}"),
    }
}

fn impossible(description: &Description) -> String {
    match plan(description, &prices()) {
        Ok(Outcome::Impossible(list)) => list[0].why.clone(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn near(left: f64, right: f64) {
    let off = (left - right).abs() / right.abs().max(1e-9);
    assert!(off < 1e-6, "{left} is not {right}");
}
