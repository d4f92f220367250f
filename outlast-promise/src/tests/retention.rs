//! Retention: which points stay, by which rules.

use std::time::Duration;

use outlast_civil::Zone;
use outlast_types::Timestamp;
use proptest::prelude::*;

use crate::{
    Candidate, Conditions, InvalidKeep, Keep, Point, Reason, Rule, SlowClock, judge, plan,
    work_hours,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn keep(text: &str) -> Keep {
    text.parse().unwrap()
}

fn of(time: &str, received: &str) -> Point {
    Point { time: at(time), received: at(received), is_suspect: false }
}

/// The times that stay, and by what.
fn kept(points: &[Point], rules: &str, zone: &Zone) -> Vec<(String, Vec<&'static str>)> {
    let judged = judge(points, &keep(rules), zone);
    let pairs = points.iter().zip(judged).filter(|(_, kept)| kept.is_kept());
    let words = |rules: &[Rule]| rules.iter().map(|rule| rule.as_str()).collect();
    pairs.map(|(point, kept)| (point.time.to_string(), words(&kept.rules))).collect()
}

fn times(points: &[Point], rules: &str) -> Vec<String> {
    kept(points, rules, &Zone::utc()).into_iter().map(|(time, _)| time).collect()
}

#[test]
fn each_rule_keeps_the_newest_of_so_many_periods_that_have_one() {
    let points = [
        "2026-11-24T23:00:00Z",
        "2026-11-25T01:00:00Z",
        "2026-11-25T13:00:00Z",
        "2026-11-27T01:00:00Z",
        "2026-01-01T00:00:00Z",
        "2025-12-31T23:59:59Z",
    ]
    .map(|time| Point::at(at(time)));
    assert_eq!(times(&points, "last=2"), ["2026-11-25T13:00:00Z", "2026-11-27T01:00:00Z"]);
    let daily = ["2026-11-24T23:00:00Z", "2026-11-25T13:00:00Z", "2026-11-27T01:00:00Z"];
    assert_eq!(times(&points, "daily=3"), daily);
    assert_eq!(times(&points, "monthly=2"), ["2026-11-27T01:00:00Z", "2026-01-01T00:00:00Z"]);
    assert_eq!(times(&points, "yearly=9"), ["2026-11-27T01:00:00Z", "2025-12-31T23:59:59Z"]);
    // The last days of 2025 and the first ones of 2026 are one ISO week.
    assert_eq!(times(&points, "weekly=2"), ["2026-11-27T01:00:00Z", "2026-01-01T00:00:00Z"]);
    assert_eq!(times(&points, "hourly=unlimited").len(), points.len());
    // Counted back from the newest, which is now for nobody.
    assert_eq!(times(&points, "within=36h"), ["2026-11-27T01:00:00Z"]);
    assert_eq!(times(&points, "within=37h").len(), 2);
    assert_eq!(times(&points, "within-daily=3d"), daily);
    assert!(judge(&[], &keep("last=1"), &Zone::utc()).is_empty());
}

#[test]
fn a_day_begins_where_the_zone_says() {
    let points = [at("2026-11-25T22:59:59Z"), at("2026-11-25T23:00:00Z")].map(Point::at);
    assert_eq!(kept(&points, "daily=9", &Zone::utc()).len(), 1);
    let berlin = Zone::named("Europe/Berlin").unwrap();
    assert_eq!(kept(&points, "daily=9", &berlin).len(), 2);
    // A day of 25 hours is one day.
    let long = [at("2026-10-24T22:00:00Z"), at("2026-10-25T22:59:59Z")].map(Point::at);
    assert_eq!(kept(&long, "daily=9", &berlin).len(), 1);
    assert!(Zone::named("Mars/Base").unwrap_err().to_string().contains("Mars/Base"));
}

#[test]
fn a_month_before_a_day_that_it_does_not_have_is_as_much_later() {
    let points = ["2026-03-31T10:00:00Z", "2026-03-03T10:00:01Z", "2026-03-03T10:00:00Z"]
        .map(|time| Point::at(at(time)));
    assert_eq!(times(&points, "within=1m").len(), 2, "after the 3rd of March, as restic does it");
}

#[test]
fn what_arrives_when_its_day_is_over_displaces_nobody() {
    let monday = of("2026-11-23T13:00:00Z", "2026-11-23T13:05:00Z");
    let late = of("2026-11-23T20:00:00Z", "2026-11-25T08:00:00Z");
    let later = of("2026-11-23T22:00:00Z", "2026-11-25T09:00:00Z");
    let tuesday = of("2026-11-24T13:00:00Z", "2026-11-25T08:00:00Z");
    // The line was down: what is of Monday and Tuesday is not of Wednesday, and makes two days.
    let points = [monday, late, later, tuesday];
    assert_eq!(times(&points, "daily=7"), ["2026-11-23T13:00:00Z", "2026-11-24T13:00:00Z"]);
    // Nothing came in time: the first that came stays.
    assert_eq!(times(&[later, late], "daily=7"), ["2026-11-23T20:00:00Z"]);
    // The week was not over.
    assert_eq!(times(&[monday, late, later], "weekly=7"), ["2026-11-23T22:00:00Z"]);
}

#[test]
fn a_suspect_takes_no_place_and_stays_as_if_it_counted() {
    let mut points: Vec<Point> =
        (1..=9).map(|day| Point::at(at(&format!("2026-11-0{day}T01:00:00Z")))).collect();
    for suspect in &mut points[6..] {
        suspect.is_suspect = true;
    }
    let stay = times(&points, "last=2");
    let expected = ["05", "06", "08", "09"].map(|day| format!("2026-11-{day}T01:00:00Z"));
    assert_eq!(stay, expected);
}

#[test]
fn rules_are_said_as_they_are_read_and_what_is_none_is_refused() {
    for (text, said) in [
        ("last=5,daily=7,within=30d", "last=5,daily=7,within=30d"),
        (" within = 2w , last=1", "last=1,within=14d"),
        ("yearly=unlimited,within-monthly=1y5m7d2h", "yearly=unlimited,within-monthly=1y5m7d2h"),
    ] {
        assert_eq!(keep(text).to_string(), said);
        assert_eq!(keep(said), keep(text));
        let json = serde_json::to_string(&keep(text)).unwrap();
        assert_eq!(serde_json::from_str::<Keep>(&json).unwrap(), keep(text));
    }
    let refused = |text: &str| text.parse::<Keep>().unwrap_err();
    assert_eq!(refused(""), InvalidKeep::Nothing);
    assert_eq!(refused(" , "), InvalidKeep::Nothing);
    assert!(matches!(refused("daily"), InvalidKeep::Rule { .. }));
    assert!(matches!(refused("fortnightly=2"), InvalidKeep::Rule { .. }));
    assert!(matches!(refused("daily=7,daily=8"), InvalidKeep::Twice { rule: Rule::Daily }));
    for text in ["daily=0", "daily=-1", "daily=+1", "daily=", "daily=99999999999", "last=1h"] {
        assert!(matches!(refused(text), InvalidKeep::Count { .. }), "{text}");
    }
    for text in ["within=0d", "within=5", "within=", "within=1x", "within=9999999y", "within=-1d"] {
        assert!(matches!(refused(text), InvalidKeep::Span(_)), "{text}");
    }
}

/// Any rules; `more` reach at least as far and are at least as many.
fn rules() -> impl Strategy<Value = (String, String)> {
    let amount = (any::<bool>(), any::<bool>(), 1_u32..6, 0_u32..6);
    prop::collection::vec(amount, 12).prop_map(|amounts| {
        let (mut less, mut more) = (Vec::new(), Vec::new());
        for (rule, (is_less, is_more, amount, plus)) in Rule::ALL.into_iter().zip(amounts) {
            let unit = if rule >= Rule::Within { "d" } else { "" };
            if is_less {
                less.push(format!("{rule}={amount}{unit}"));
            }
            if is_less || is_more {
                more.push(format!("{rule}={}{unit}", amount + plus));
            }
        }
        less.is_empty().then(|| less.push("last=1".to_owned()));
        more.is_empty().then(|| more.push("last=1".to_owned()));
        if !more.iter().any(|rule| rule.starts_with("last=")) {
            more.push("last=1".to_owned());
        }
        (less.join(","), more.join(","))
    })
}

/// Points of a few weeks, some of one moment, some late, some suspect.
fn points() -> impl Strategy<Value = Vec<Point>> {
    let point = (0_i64..24 * 40, prop_oneof![Just(0_i64), 0_i64..24 * 5], 0_u8..10);
    prop::collection::vec(point, 0..60).prop_map(|points| {
        let point = |(hour, late, luck): (i64, i64, u8)| {
            let moment = |hour: i64| Timestamp::from_unix(1_790_000_000 + hour * 3600, 0).unwrap();
            Point { time: moment(hour), received: moment(hour + late), is_suspect: luck == 0 }
        };
        points.into_iter().map(point).collect()
    })
}

/// What stays, whatever the order.
fn set(points: &[Point], rules: &str) -> Vec<(Timestamp, Timestamp, bool)> {
    let judged = judge(points, &keep(rules), &Zone::utc());
    let stay = points.iter().zip(judged).filter(|(_, kept)| kept.is_kept());
    let mut set: Vec<_> = stay.map(|(it, _)| (it.time, it.received, it.is_suspect)).collect();
    set.sort_unstable();
    set
}

proptest! {
    #[test]
    fn more_rules_that_reach_further_keep_all_that_fewer_keep(
        points in points(), (less, more) in rules(),
    ) {
        let more = judge(&points, &keep(&more), &Zone::utc());
        for (less, more) in judge(&points, &keep(&less), &Zone::utc()).iter().zip(&more) {
            prop_assert!(less.rules.iter().all(|rule| more.rules.contains(rule)));
        }
    }

    #[test]
    fn the_order_of_arrival_is_irrelevant(
        points in points(), (rules, _) in rules(), turn in 0_usize..60,
    ) {
        let mut turned = points.clone();
        turned.rotate_left(turn.checked_rem(points.len()).unwrap_or(0));
        prop_assert_eq!(set(&points, &rules), set(&turned, &rules));
        turned.reverse();
        prop_assert_eq!(set(&points, &rules), set(&turned, &rules));
    }

    /// A bucket's keeper stays it, whatever comes when the bucket's time is over.
    #[test]
    fn a_later_arrival_displaces_no_keeper(
        points in points(), late in points(), unit in prop::sample::select(vec!["hourly", "daily", "weekly"]),
    ) {
        let rules = format!("{unit}=unlimited");
        let before = judge(&points, &keep(&rules), &Zone::utc());
        let over = points.iter().map(|it| it.received).max().unwrap_or(Timestamp::EPOCH);
        let over = over.saturating_add(Duration::from_secs(86400 * 8));
        let mut all = points.clone();
        all.extend(late.into_iter().map(|point| Point { received: over, ..point }));
        let after = judge(&all, &keep(&rules), &Zone::utc());
        for ((point, before), after) in points.iter().zip(before).zip(after) {
            if !point.is_suspect {
                prop_assert!(after.is_kept() || !before.is_kept());
            }
        }
    }

    /// Suspects change nothing for those that count.
    #[test]
    fn suspects_fill_no_rule(points in points(), (rules, _) in rules()) {
        let good: Vec<Point> = points.iter().filter(|it| !it.is_suspect).copied().collect();
        let mut with = set(&points, &rules);
        with.retain(|(_, _, is_suspect)| !is_suspect);
        prop_assert_eq!(with, set(&good, &rules));
    }

    #[test]
    fn there_is_always_one_left(points in points(), (rules, _) in rules()) {
        let is_any_good = points.iter().any(|it| !it.is_suspect);
        let judged = judge(&points, &keep(&rules), &Zone::named("America/New_York").unwrap());
        // A late keeper of a bucket may lie outside a span; a count always finds one.
        let has_a_count = rules.split(',').any(|rule| !rule.starts_with("within"));
        let goods = points.iter().zip(judged).filter(|(it, kept)| !it.is_suspect && kept.is_kept());
        prop_assert!(!is_any_good || !has_a_count || goods.count() > 0);
    }

    #[test]
    fn no_text_is_too_much_for_rules(text in "\\PC{0,60}") {
        if let Ok(keep) = text.parse::<Keep>() {
            prop_assert_eq!(keep.to_string().parse::<Keep>(), Ok(keep));
        }
    }
}

fn conditions<'a>(keep: Option<&'a Keep>, zone: &'a Zone, now: Timestamp) -> Conditions<'a> {
    Conditions { keep, zone, min_age: Duration::from_secs(7 * 86400), is_retired: false, now }
}

fn candidate(point: Point) -> Candidate<'static> {
    Candidate { point, recorded: None, immutable_until: None, is_drilled: false, is_held: false }
}

fn words(reasons: &[Vec<Reason>]) -> Vec<String> {
    let words = |reasons: &Vec<Reason>| {
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    reasons.iter().map(words).collect()
}

#[test]
fn whatever_the_rules_some_snapshots_stay() {
    let utc = Zone::utc();
    let day = |day: u8| Point::at(at(&format!("2026-11-{day:02}T01:00:00Z")));
    let mut all: Vec<Candidate<'_>> = (1..=8).map(|it| candidate(day(it))).collect();
    let (typo, before) = (keep("last=1"), keep("daily=6"));
    all[0].is_drilled = true;
    all[1].is_held = true;
    all[2].immutable_until = Some(at("2027-11-08T01:00:00Z"));
    // The six newest days of its policy, from which today's would take one.
    all[3].recorded = Some(&before);
    let now = at("2026-11-20T00:00:00Z");
    let said = words(&plan(&all, &conditions(Some(&typo), &utc, now)));
    let newest = ["newest-good", "newest-good", "last newest-good"];
    assert_eq!(said[..5], ["last-drilled", "held", "immutable", "recorded:daily", ""]);
    assert_eq!(said[5..], newest);
    // What came a week ago at most stays, however old it is; and without rules, all.
    let young = words(&plan(&all, &conditions(Some(&typo), &utc, at("2026-11-11T01:00:00Z"))));
    assert_eq!(young[4], "young");
    assert!(
        plan(&all, &conditions(None, &utc, now)).iter().all(|it| it.contains(&Reason::NoRules))
    );
}

#[test]
fn a_retired_workload_is_kept_for_as_long_as_its_rules_say() {
    let utc = Zone::utc();
    let points =
        ["2026-11-24T01:00:00Z", "2026-10-01T01:00:00Z"].map(|it| candidate(Point::at(at(it))));
    let keep = keep("daily=7,monthly=3,yearly=2");
    let left = |now: &str| {
        let conditions = Conditions { is_retired: true, ..conditions(Some(&keep), &utc, at(now)) };
        words(&plan(&points, &conditions))
    };
    assert_eq!(left("2026-11-30T01:00:00Z")[0], "daily monthly yearly young");
    assert_eq!(left("2026-12-02T01:00:00Z"), ["monthly yearly", "monthly"]);
    assert_eq!(left("2027-03-01T01:00:00Z"), ["yearly", ""]);
    assert_eq!(left("2028-11-25T01:00:00Z"), ["", ""], "nothing is left to be kept");
}

#[test]
fn a_point_of_the_future_fills_no_rule() {
    let utc = Zone::utc();
    let mut all: Vec<Candidate<'_>> =
        (1..=9).map(|it| candidate(Point::at(at(&format!("2026-11-0{it}T01:00:00Z"))))).collect();
    for wrong in &mut all[5..] {
        wrong.point = Point::at(at("2031-01-01T00:00:00Z"));
    }
    let keep = keep("last=4");
    let said = words(&plan(&all, &conditions(Some(&keep), &utc, at("2026-11-20T00:00:00Z"))));
    assert_eq!(
        said[..6],
        ["", "last", "last newest-good", "last newest-good", "last newest-good", "young"]
    );
}

#[test]
fn a_clock_that_jumps_makes_nothing_old() {
    let hour = Duration::from_secs(3600);
    let mut clock = SlowClock::new(at("2026-11-01T00:00:00Z"));
    clock.pass(hour, at("2026-11-01T01:00:00Z"));
    assert_eq!(clock.time(), at("2026-11-01T01:00:00Z"));
    for _ in 0..24 {
        clock.pass(hour, at("2031-01-01T00:00:00Z"));
    }
    assert_eq!(clock.time(), at("2026-11-03T01:00:00Z"), "two days a day at most");
    assert!(clock.problem(at("2031-01-01T00:00:00Z")).unwrap().contains("2031-01-01T00:00:00Z"));
    clock.pass(hour, at("2026-11-02T02:00:00Z"));
    assert_eq!(clock.time(), at("2026-11-02T02:00:00Z"), "it was set right");
    assert_eq!(clock.problem(at("2026-11-02T02:00:00Z")), None);
    // A rest is no time in which anybody could look.
    clock.pass(Duration::ZERO, at("2026-11-30T00:00:00Z"));
    assert_eq!(clock.time(), at("2026-11-02T02:00:00Z"));
}

#[test]
fn hours_of_work_are_two_or_more() {
    for good in ["22:00-06:00", "22:00-00:00", "00:00-24:00", "9:00-12:00"] {
        assert!(work_hours(good).is_ok(), "{good}");
    }
    let short = work_hours("23:30-01:29").unwrap_err().to_string();
    assert!(short.contains("23:30-01:29 is too short") && short.contains("two hours"), "{short}");
    assert!(work_hours("22").unwrap_err().to_string().contains("are no hours"));
}

proptest! {
    /// What any rule keeps, of today or of when it came, never goes; a new policy takes nothing that came
    /// under another one.
    #[test]
    fn no_policy_takes_what_an_earlier_one_keeps(
        points in points(), (before, _) in rules(), (today, _) in rules(),
    ) {
        let (utc, before, today) = (Zone::utc(), keep(&before), keep(&today));
        let now = at("2027-06-01T00:00:00Z");
        let all: Vec<Candidate<'_>> = points
            .iter()
            .map(|point| Candidate { recorded: Some(&before), ..candidate(*point) })
            .collect();
        let planned = plan(&all, &conditions(Some(&today), &utc, now));
        for keep in [&before, &today] {
            for (kept, reasons) in judge(&points, keep, &utc).iter().zip(&planned) {
                prop_assert!(!kept.is_kept() || !reasons.is_empty());
            }
        }
        let good = points.iter().filter(|point| !point.is_suspect).count();
        let stay = planned.iter().filter(|reasons| reasons.contains(&Reason::NewestGood)).count();
        prop_assert_eq!(stay, good.min(3));
    }
}
