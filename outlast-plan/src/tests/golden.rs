//! Results that were worked out by hand.

use super::*;
use crate::churn::Churn;
use crate::history::stored_after;

/// Of one drop: 2 GiB are new, and half of it is stored, 2^30; in 2 GiB / 72 KiB chunks of 150 bytes of
/// their own, 4,369,066.67; the drop names all its 100 GiB / 72 KiB chunks by 36 bytes, 50 MiB; and 2 KiB.
const DAILY: f64 = 1_073_741_824.0 + 4_369_066.666_666_667 + 52_428_800.0 + 2_048.0;
/// Of the first: 50 GiB, 100 GiB / 72 KiB chunks of 150 bytes, and the same names.
const FIRST: f64 = 53_687_091_200.0 + 218_453_333.333_333_34 + 52_428_800.0 + 2_048.0;

#[test]
fn a_daily_drop_costs_what_was_worked_out_by_hand() {
    let made = possible(&description());
    let february = &made.months[1];
    near(february.drops, 28.0);
    near(february.written, 28.0 * 100.0 * GIB);
    near(february.line, 28.0 * DAILY);
    // Two drops lie there but for the minutes in which a third one comes.
    near(february.share_peak, 300.0 * GIB);
    let costs = &february.costs;
    near(costs.of(Part::ShareStorage), 200.0 * 0.30);
    // 2880 passes a day of 20 + 7.5 calls, 170 for each drop; 4 KiB each, read.
    let calls: f64 = 28.0 * 2880.0 * 27.5 + 28.0 * 170.0;
    let throughput = 2800.0 * 0.06 + 2800.0 * 0.03 + calls * 4096.0 / GIB * 0.03;
    near(costs.of(Part::ShareThroughput), throughput);
    near(costs.of(Part::Agent), 73.0 * 672.0 / 730.0);
    near(costs.of(Part::AgentDisk), 8.0 * 0.08);
    near(costs.of(Part::Media), 73.0 * 672.0 / 730.0);
    near(costs.of(Part::MediaDisk), 8.0 * 0.08);
    near(costs.of(Part::LineBytes), 28.0 * DAILY * 1.03 / GIB * 0.02);
    near(costs.of(Part::Line), 0.0);
}

#[test]
fn the_vault_holds_what_its_rules_keep_and_what_they_gave_up_a_week_ago() {
    let made = possible(&description());
    // The 22nd to the 28th are kept; the 21st went at the end of the 28th, and what goes is there for
    // eight days more: the 14th is the oldest.
    let february = &made.months[1];
    near(february.snapshots, 15.0);
    let needed = FIRST + 14.0 * DAILY;
    near(february.vault, needed * 1.05);
    near(february.costs.of(Part::Vault), needed * 1.05 / GIB * 0.02);
}

#[test]
fn the_slowest_drop_takes_as_long_as_each_step_of_it() {
    let made = possible(&description());
    let (name, slowest, ..) = &made.sites[0].slowest[0];
    assert_eq!(name, "db");
    // 1500 MiB/s to write, 30 s to be seen, read with what is left of that hour, 100 × 0.65 + 2 × 4.4 s
    // on four cores, and 12.5 MB/s with 3 % for packets.
    let write = 102_400.0 / 1500.0;
    let looking = 120.0 * 27.5 * 4096.0 / 1_048_576.0;
    let read = 102_400.0 / (1500.0 - (102_400.0 + looking) / 3600.0);
    let steps = write + 30.0 + read + 73.8 / 4.0 + DAILY * 1.03 / 12_500_000.0;
    assert!((slowest.seconds - steps).abs() < 1.0, "{} is not {steps}", slowest.seconds);
}

#[test]
fn an_outage_of_a_day_needs_room_for_a_days_drop() {
    let made = possible(&description());
    let figure = |key: &str| made.figures.iter().find(|it| it.key == key).unwrap().value;
    near(figure("a.spool.outage"), DAILY);
    // Two drops are there, and one more comes.
    near(figure("a.share.peak_in_outage"), 300.0 * GIB);
    assert!(figure("a.spool.catch_up") < 1.0);
}

#[test]
fn with_nothing_kept_on_the_share_bursting_carries_sixty_gib_a_day_for_ever_and_not_seventy() {
    let mut small = description();
    (small.months, small.sites[0].keep) = (24, 0);
    small.sites[0].mode = Some(Mode::Bursting);
    small.workloads[0].within = 3.0;
    small.workloads[0].keep = Some("last=3".parse().unwrap());
    // 60 + 60 / 3 + 0.2 GiB are metered, and the floor of 1 MiB/s is 84 GiB a day.
    small.workloads[0].size = 60.0 * GIB;
    let made = possible(&small);
    assert!(made.sites[0].modes[0].credits_least.unwrap() > 2.0 * 1024.0 * GIB);
    // 90 + 30 are metered: 35 GiB of credits go each day, and 2150 GiB last for two months.
    small.workloads[0].size = 90.0 * GIB;
    let why = impossible(&small);
    assert!(why.contains("efs-bursting: the drop of db"), "{why}");
    // Where nobody says which, another one is taken.
    small.sites[0].mode = None;
    let made = possible(&small);
    let chosen = made.sites[0].modes.iter().find(|it| it.is_chosen).unwrap();
    assert_eq!(chosen.mode, Mode::Provisioned, "{:?}", made.sites[0].modes);
    assert!(made.sites[0].modes[0].why_not.is_some());
}

#[test]
fn provisioned_throughput_is_the_least_that_keeps_the_promise() {
    let mut given = description();
    given.sites[0].mode = Some(Mode::Provisioned);
    given.workloads[0].within = 4.0;
    let made = possible(&given);
    // 100 GiB are written and read in 4 h: 102,400 MiB × 4/3 / 14,400 s = 9.5 MiB/s at least, and hours are
    // shared out in whole ones.
    let amount = made.sites[0].modes[0].amount.unwrap();
    assert!((10.0..=14.0).contains(&amount), "{amount}");
    given.sites[0].mode = Some(Mode::Provisioned);
    given.workloads[0].within = 1.0;
    assert!(possible(&given).sites[0].modes[0].amount.unwrap() > 37.0);
}

#[test]
fn alternatives_are_what_servers_licences_and_work_come_to() {
    let mut given = description();
    given.workloads[0].releases = 4.0;
    let made = possible(&given);
    let days = 365.25 / 12.0;
    let fulls = days / 7.0;
    let line = (fulls * 100.0 + (days - fulls) * 2.0) * 0.5 * 0.02 * 1.03;
    near(made.alternatives[0].month, 2.0 * 15.0 + 8.0 * 10.0 / 60.0 * 60.0 + line);
    near(made.alternatives[1].month, 2.0 * 15.0 + 8.0 * 24.0 / 730.0 * 73.0 + line);
}

#[test]
fn on_azure_a_provisioned_share_must_hold_what_an_outage_leaves_there() {
    let mut given = description();
    given.sites[0].cloud = Cloud::Azure;
    given.sites[0].line.outage = 72.0;
    given.sites[0].mode = Some(Mode::NfsPremium);
    let made = possible(&given);
    assert_eq!(made.sites[0].modes[0].amount, Some(500.0), "two are kept, and three come");
    near(made.months[1].costs.of(Part::ShareStorage), 500.0 * 0.16);
    given.sites[0].mode = Some(Mode::SmbStandard);
    let made = possible(&given);
    // 60 MiB/s: writing and reading take 57 minutes, so a third drop is there at the end of one hour a day.
    near(made.months[1].costs.of(Part::ShareStorage), (200.0 + 100.0 / 24.0) * 0.06);
    let calls: f64 = 28.0 * 2880.0 * 27.5 + 28.0 * 170.0;
    let transactions = 2800.0 * 1024.0 / 1e4 * (0.015 + 0.0015) + calls / 1e4 * 0.015;
    near(made.months[1].costs.of(Part::ShareThroughput), transactions);
}

#[test]
fn what_drops_tell_of_a_workload_is_what_it_was_planned_with() {
    let given = workload("db", "a");
    let churn = Churn::of(&given);
    let day = |n: i64| n as f64 * 86_400.0;
    let made = |n: i64| Made {
        at: 1_800_000_000 + n * 86_400,
        content: given.size,
        stored: stored_after(&churn, (n > 0).then(|| day(n - 1)), day(n)),
    };
    let drops: Vec<Made> = (0..30).map(made).collect();
    let said =
        Said { name: "db".into(), keep: given.keep.clone(), within: Some(26.0), begins: true };
    let told = measured(said.clone(), &drops, "a").unwrap();
    near(told.compresses_to, 0.5);
    near(told.change, 0.02);
    assert_eq!((told.drops_a_day, told.at), (1, 8 * 60), "1,800,000,000 is 08:00");
    near(told.size, given.size);
    // Without the first one, compression is supposed, and what travels is the same.
    let later = measured(Said { begins: false, ..said.clone() }, &drops[10..], "a").unwrap();
    near(later.change * later.compresses_to, 0.01);
    assert!(measured(said, &drops[..2], "a").is_none(), "two drops tell nothing");
}

#[test]
fn prices_that_nobody_looked_up_are_named_where_the_plan_goes_by_them() {
    let (given, mut prices) = (description(), prices());
    let named = |prices: &Prices| match plan(&given, prices) {
        Ok(Outcome::Possible(plan)) => plan.supposed,
        other => panic!("{other:?}"),
    };
    assert!(named(&prices).is_empty());
    for region in prices.regions.values_mut() {
        region.items.get_mut("line_gib").unwrap().is_supposed = true;
        region.vms.iter_mut().for_each(|vm| vm.month.is_supposed = true);
    }
    prices.common.get_mut("vault_gib_month").unwrap().is_supposed = true;
    // One machine of two, and one region of two.
    assert_eq!(named(&prices), ["aws.r.four", "aws.r.line_gib", "common.vault_gib_month"]);
}
