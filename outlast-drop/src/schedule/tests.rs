use proptest::prelude::*;

use super::*;

/// Zones whose clocks leap in every way: at night, at midnight, by half an hour, over a whole day, in
/// the other half of the year, not at all any more.
const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Asuncion",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Chatham",
];
const EVERY: [u64; 8] = [900, 1800, 3600, 6 * 3600, 12 * 3600, 24 * 3600, 48 * 3600, 168 * 3600];

struct Fixed(u8);

impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

fn schedule(every: u64, at: &str, jitter: u64, zone: &str) -> Schedule {
    let (every, jitter) = (Duration::from_secs(every), Duration::from_secs(jitter));
    Schedule::new(every, Some(at), jitter, Some(zone)).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The due times after `from` up to `to`.
fn between(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
    let mut due = schedule.next_due(at(from));
    let mut found = Vec::new();
    while due <= at(to) {
        found.push(due.to_string());
        due = schedule.next_due(due);
    }
    found
}

#[test]
fn an_hour_that_the_clocks_skip_is_due_at_the_end_of_the_gap_and_one_they_repeat_once() {
    let daily = schedule(24 * 3600, "02:30", 0, "Europe/Berlin");
    assert_eq!(
        between(&daily, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(
        between(&daily, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    let hourly = schedule(3600, "00:15", 0, "Europe/Berlin");
    assert_eq!(
        between(&hourly, "2026-03-28T23:30:00Z", "2026-03-29T02:20:00Z"),
        // 01:15, the end of the gap for 02:15, 03:15, and 04:15.
        [
            "2026-03-29T00:15:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:15:00Z",
            "2026-03-29T02:15:00Z"
        ]
    );
    assert_eq!(
        between(&hourly, "2026-10-24T23:30:00Z", "2026-10-25T02:20:00Z"),
        ["2026-10-25T00:15:00Z", "2026-10-25T02:15:00Z"]
    );
    let on_the_hour = schedule(3600, "00:00", 0, "Europe/Berlin");
    assert_eq!(
        between(&on_the_hour, "2026-03-29T00:30:00Z", "2026-03-29T02:00:00Z"),
        ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
        "what is skipped and what follows it are one"
    );
    // A day that one country never had.
    let apia = schedule(24 * 3600, "02:00", 0, "Pacific/Apia");
    assert_eq!(
        between(&apia, "2011-12-29T13:00:00Z", "2011-12-31T13:00:00Z"),
        ["2011-12-30T10:00:00Z", "2011-12-30T12:00:00Z", "2011-12-31T12:00:00Z"]
    );
}

#[test]
fn an_interval_divides_a_day_or_is_some_days() {
    let new = |every, jitter, at, zone| {
        let (every, jitter) = (Duration::from_secs(every), Duration::from_secs(jitter));
        Schedule::new(every, at, jitter, Some(zone))
    };
    assert!(new(86_400, 1800, None, "UTC").is_ok());
    for every in [0, 30, 7 * 3600, 36 * 3600, 367 * 86_400] {
        assert_eq!(new(every, 0, None, "UTC").unwrap_err(), InvalidSchedule::Interval, "{every}");
    }
    assert_eq!(new(3600, 3600, None, "UTC").unwrap_err(), InvalidSchedule::Jitter);
    assert!(matches!(new(3600, 0, Some("2 am"), "UTC"), Err(InvalidSchedule::Time { .. })));
    assert!(matches!(new(3600, 0, None, "Mars/Olympus"), Err(InvalidSchedule::Zone { .. })));
}

proptest! {
    #[test]
    fn due_times_are_in_order_and_a_day_is_due_once(
        zone in prop::sample::select(&ZONES[..]),
        every in prop::sample::select(&EVERY[..]),
        minute in 0..24 * 60_u32,
        start in 0..2_000_000_000_i64,
    ) {
        let text = format!("{:02}:{:02}", minute / 60, minute % 60);
        let schedule = schedule(every, &text, 0, zone);
        let mut now = Timestamp::from_unix(start, 0).unwrap();
        let last = schedule.last_due(now);
        prop_assert!(last <= now && schedule.next_due(last) > now);
        for _ in 0..40 {
            let due = schedule.next_due(now);
            prop_assert!(due > now);
            prop_assert_eq!(schedule.last_due(due), due);
            prop_assert_eq!(schedule.last_due(due.saturating_sub(Duration::from_secs(1))),
                            schedule.last_due(now));
            // At its civil time, unless the clocks skip that.
            let civil = schedule.zone.to_datetime(to_jiff(due));
            let off = (seconds_of(civil.time()) - seconds_of(schedule.at)).rem_euclid(every.min(86_400) as i64);
            let leaps = || {
                let before = jiff::Timestamp::from_second(due.unix_seconds() - 1).unwrap();
                let next = schedule.zone.following(before).next();
                next.is_some_and(|next| next.timestamp() == to_jiff(due))
            };
            prop_assert!(off == 0 || leaps(), "{} {civil}", due);
            now = due;
        }
    }

    #[test]
    fn in_a_year_every_civil_day_is_due_once(
        zone in prop::sample::select(&ZONES[..]),
        minute in 0..24 * 60_u32,
        year in 1990..2037_i16,
    ) {
        let text = format!("{:02}:{:02}", minute / 60, minute % 60);
        let schedule = schedule(86_400, &text, 0, zone);
        let (first, end) = (jiff::civil::date(year, 1, 1), jiff::civil::date(year + 1, 1, 1));
        let mut date = first;
        let mut last = None;
        while date < end {
            let due = schedule.due_on(date);
            prop_assert_eq!(due.len(), 1, "{}", date);
            prop_assert!(last < Some(due[0]), "{}", date);
            last = Some(due[0]);
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn whatever_the_clock_does_each_due_time_gets_its_drop(
        zone in prop::sample::select(&ZONES[..]),
        steps in prop::collection::vec((-7_200..90_000_i64, any::<bool>()), 1..60),
    ) {
        let schedule = schedule(86_400, "02:00", 1800, zone);
        let mut agenda = Agenda::new(schedule.clone());
        let (mut now, mut elapsed) = (1_790_000_000_i64, 0_u64);
        for (leap, fails) in steps {
            now += leap;
            let mut waited = 0;
            loop {
                let at = Timestamp::from_unix(now, 0).unwrap();
                match agenda.step(at, Duration::from_secs(elapsed), &Fixed(77)) {
                    Step::Drop { due } => {
                        prop_assert_eq!(due, schedule.last_due(at));
                        if fails && agenda.failures() < 3 {
                            agenda.failed(Duration::from_secs(elapsed), &Fixed(77));
                        } else {
                            agenda.satisfied(due);
                        }
                    }
                    Step::Wait(wait) => {
                        prop_assert!(!wait.is_zero() && wait <= WAIT_MAX);
                        let due = schedule.last_due(at);
                        // Only what is done, what has its jitter before it, or what failed waits.
                        if agenda.is_satisfied(due, at) {
                            break;
                        }
                        waited += 1;
                        prop_assert!(waited < 1000, "it never comes");
                        now += 30;
                        elapsed += 30;
                    }
                }
            }
        }
    }
}

#[test]
fn who_starts_after_the_due_time_drops_with_jitter_and_a_clock_set_back_changes_nothing() {
    let mut agenda = Agenda::new(schedule(86_400, "02:00", 1800, "UTC"));
    let boot = at("2026-01-31T02:10:00Z");
    assert_eq!(agenda.step(boot, Duration::ZERO, &Fixed(128)), Step::Wait(WAIT_MAX));
    let due = at("2026-01-31T02:00:00Z");
    // Half of the jitter and a bit.
    let later = at("2026-01-31T02:25:03Z");
    assert_eq!(
        agenda.step(later, Duration::from_secs(903), &Fixed(0)),
        Step::Wait(Duration::from_millis(529))
    );
    let later = at("2026-01-31T02:25:04Z");
    assert_eq!(agenda.step(later, Duration::from_secs(904), &Fixed(0)), Step::Drop { due });
    agenda.satisfied(due);
    for back in ["2026-01-31T02:26:00Z", "2026-01-31T01:58:00Z"] {
        assert!(
            matches!(agenda.step(at(back), Duration::from_secs(960), &Fixed(0)), Step::Wait(_)),
            "{back}"
        );
    }
    let back = at("2025-12-01T12:00:00Z");
    let due = at("2025-12-01T02:00:00Z");
    assert_eq!(agenda.step(back, Duration::from_secs(999), &Fixed(0)), Step::Drop { due });
}

#[test]
fn a_drop_that_fails_is_tried_again_within_its_period_and_the_next_one_begins_anew() {
    let mut agenda = Agenda::new(schedule(3600, "00:00", 0, "UTC"));
    let (mut now, mut elapsed) = (at("2026-01-31T02:00:00Z"), Duration::ZERO);
    let mut tried = Vec::new();
    while now < at("2026-01-31T03:00:30Z") {
        match agenda.step(now, elapsed, &Fixed(255)) {
            Step::Drop { due } => {
                tried.push((due.to_string(), now.since(due).as_secs() / 60));
                agenda.failed(elapsed, &Fixed(255));
            }
            Step::Wait(wait) => {
                now = now.saturating_add(wait);
                elapsed += wait;
            }
        }
    }
    let at_minutes: Vec<u64> = tried.iter().map(|(_, minute)| *minute).collect();
    assert_eq!(at_minutes, [0, 1, 3, 7, 15, 30, 45, 0]);
    assert_eq!(tried.last().unwrap().0, "2026-01-31T03:00:00Z");
    assert_eq!(agenda.failures(), 1);
}
