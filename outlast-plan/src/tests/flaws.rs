//! What no plan can be made of is named with its key and what to do; what cannot be is said to be impossible.

use super::*;

/// The words for a description that something was done to.
fn words(change: impl FnOnce(&mut Description, &mut Prices)) -> String {
    let (mut given, mut prices) = (description(), prices());
    change(&mut given, &mut prices);
    match plan(&given, &prices) {
        Err(flaws) => flaws.iter().map(Flaw::to_string).collect::<Vec<_>>().join("\n"),
        Ok(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_flaw_names_its_key_and_what_to_do() {
    let missing = words(|_, prices| {
        for region in prices.regions.values_mut() {
            region.items.remove("efs_elastic_write_gib");
        }
    });
    assert_eq!(
        missing,
        "prices: efs_elastic_write_gib: is missing for aws r; add efs_elastic_write_gib to [aws.r.prices] in \
         the file of --prices"
    );
    let region = words(|given, _| given.sites[0].region = "mars-1".into());
    assert_eq!(
        region,
        "site \"a\": region: \"mars-1\" is not in the prices of aws; known are: r. To add it, print the prices by \
         --print-prices, copy what begins with [aws.r as aws.mars-1, write that region's prices there, and give \
         the file to --prices"
    );
    let size = words(|given, _| given.workloads[0].size = -1.0);
    assert!(size.starts_with("workload \"db\": size: is -1; write the size of one drop"), "{size}");
    let price = words(|_, prices| prices.common.get_mut("person_hour").unwrap().is = -3.0);
    assert!(price.contains("prices: [common] person_hour: is -3; write a price of 0 or more"));
    let mode = words(|given, _| given.sites[0].mode = Some(Mode::NfsPremium));
    assert!(mode.contains("share.mode: is azure-nfs, and the site is in aws"), "{mode}");
    let site = words(|given, _| given.workloads[0].site = "b".into());
    assert!(
        site.contains("workload \"db\": site: is \"b\", and there is no such [[site]]"),
        "{site}"
    );
    let vm = words(|given, _| given.sites[0].vm = Some("five".into()));
    assert!(
        vm.contains("agent.vm: is \"five\"") && vm.contains("name one of four, sixteen"),
        "{vm}"
    );
    let twice = words(|given, _| given.workloads.push(workload("db", "a")));
    assert!(twice.contains("\"db\" is there twice"), "{twice}");
    let none = words(|given, _| given.workloads.clear());
    assert!(none.contains("[[workload]]: there are 0"), "{none}");
    for not_a_number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let growth = words(|given, _| given.workloads[0].growth = not_a_number);
        assert!(growth.contains("growth: is"), "{growth}");
    }
    let long = words(|given, _| {
        given.months = 120;
        given.workloads = (0..2000).map(|n| workload(&format!("w{n}"), "a")).collect();
    });
    assert!(long.contains("months: ") && long.contains("look fewer months ahead"), "{long}");
}

#[test]
fn a_line_that_cannot_carry_the_days_bytes_is_impossible_and_both_numbers_are_told() {
    let mut given = description();
    given.sites[0].line = line(10_000);
    let why = impossible(&given);
    // 7 × 1.05 GiB come; 10 kB/s × 604,800 s / 1.03 = 5.5 GiB.
    assert!(
        why.starts_with(
            "the line cannot carry it: 7.4 GiB come in a week at the end, and 5.5 GiB is what"
        ),
        "{why}"
    );
}

#[test]
fn a_promise_that_the_calendar_cannot_keep_is_impossible_though_the_line_is_wide() {
    let mut given = description();
    let weekend = ["sat,sun 00:00-24:00 100Mbit/s"];
    given.sites[0].line.calendar = Calendar::new(Rate::PerSecond(0), weekend, "UTC").unwrap();
    let why = impossible(&given);
    assert!(
        why.starts_with("the promise and the calendar (a line) do not fit: the drop of db of"),
        "{why}"
    );
    // Monday's drop waits for Saturday.
    assert!(why.contains("12 h are promised"), "{why}");
    given.workloads[0].within = 24.0 * 7.0;
    let made = possible(&given);
    let hours = made.sites[0].slowest[0].1.seconds / 3600.0;
    assert!((118.0..119.0).contains(&hours), "Monday 02:00 to Saturday 00:00 are 118 h: {hours}");
}

#[test]
fn a_closed_line_and_a_host_that_is_too_small_are_impossible() {
    let mut given = description();
    given.sites[0].line = line(0);
    assert!(impossible(&given).contains("the line cannot carry it"));
    let mut given = description();
    given.workloads[0].size = 3_000_000.0 * GIB;
    assert!(impossible(&given).contains("no machine in the prices reads a day's drops"));
    given.sites[0].vm = Some("four".into());
    assert!(impossible(&given).contains("four reads a day's drops in"));
}
