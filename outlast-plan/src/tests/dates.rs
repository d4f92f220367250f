//! Months of any length, leap years, and clocks that are changed.

use super::*;
use crate::history::departures;
use crate::moments::Horizon;

fn horizon(start: (i16, i8), months: u32, zone: &str) -> (Description, Horizon) {
    let mut given = description();
    (given.start, given.months, given.zone) = (start, months, Zone::named(zone).unwrap());
    let horizon = Horizon::of(&given);
    (given, horizon)
}

#[test]
fn months_are_as_long_as_they_are() {
    for (start, zone, hours) in [
        ((2027, 2), "UTC", 672),
        ((2028, 2), "UTC", 696),
        ((2027, 4), "UTC", 720),
        ((2100, 2), "UTC", 672),
        ((2027, 3), "Europe/Berlin", 743),
        ((2027, 10), "Europe/Berlin", 745),
    ] {
        assert_eq!(horizon(start, 1, zone).1.hours(), hours, "{start:?} {zone}");
    }
    let (_, year) = horizon((2027, 11), 4, "UTC");
    assert_eq!(year.labels, ["2027-11", "2027-12", "2028-01", "2028-02"]);
    assert_eq!(year.month_of(30 * 24 - 1), 0);
    assert_eq!(year.month_of(30 * 24), 1);
}

#[test]
fn a_leap_day_has_its_drop_and_costs_its_hours() {
    let mut given = description();
    (given.start, given.months) = ((2028, 2), 1);
    let made = possible(&given);
    assert_eq!(made.months[0].drops, 29.0);
    near(made.months[0].costs.of(Part::Agent), 73.0 * 696.0 / 730.0);
}

#[test]
fn a_drop_is_made_once_a_day_though_clocks_skip_its_hour_or_show_it_twice() {
    let (mut given, spring) = horizon((2027, 3), 1, "Europe/Berlin");
    given.workloads[0].at = 150;
    let times = spring.drops(&given.workloads[0]);
    assert_eq!(times.len(), 31);
    // On the 28th there is no 02:30: it is made at 03:30, an hour after 01:30.
    assert_eq!(spring.show(times[27]), "Sun 2027-03-28 03:30");
    assert_eq!(times[28] - times[27], 23.0 * 3600.0);
    let autumn = horizon((2027, 10), 1, "Europe/Berlin").1;
    let times = autumn.drops(&given.workloads[0]);
    assert_eq!(times.len(), 31);
    // On the 31st there are two of 02:30, and it is made at the first.
    assert_eq!(times[30] - times[29], 24.0 * 3600.0);
    given.workloads[0].at = 200;
    let times = autumn.drops(&given.workloads[0]);
    assert_eq!(times[30] - times[29], 25.0 * 3600.0);
    given.workloads[0].drops_a_day = 4;
    assert_eq!(autumn.drops(&given.workloads[0]).len(), 124);
}

#[test]
fn what_is_kept_is_what_the_vaults_own_rules_keep() {
    let (mut given, horizon) = horizon((2027, 1), 18, "Europe/Berlin");
    given.workloads[0].drops_a_day = 2;
    let times = horizon.drops(&given.workloads[0]);
    for keep in ["daily=7,monthly=12", "last=5,weekly=8,yearly=2", "within=30d"] {
        let keep = keep.parse().unwrap();
        let gone = departures(&times, Some(&keep), &given.zone, &horizon);
        let points: Vec<outlast_promise::Point> =
            times.iter().map(|at| outlast_promise::Point::at(horizon.moment(*at))).collect();
        let judged = outlast_promise::judge(&points, &keep, &given.zone);
        let young = horizon.seconds() - 7.0 * 86_400.0;
        for (place, (gone, judged)) in gone.iter().zip(judged).enumerate() {
            let stays = judged.is_kept() || times[place] > young || place + 3 >= times.len();
            assert_eq!(gone.is_none(), stays, "{keep}: {}", horizon.show(times[place]));
        }
    }
}
