//! Schedules, and times in which pages wait, by themselves.

use std::sync::Arc;

use outlast_civil::{Holidays, Zone};

use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

fn class(part: Part) -> Class {
    Class::of(None, part)
}

fn by_schedule(schedule: &str, deadline: u64, zone: Zone) -> Class {
    let schedule = Some(schedule.parse().unwrap());
    let deadline = Some(Duration::from_secs(deadline));
    class(Part { schedule, deadline, zone: Some(zone), ..Part::default() })
}

/// When it fires after a moment, three times.
fn fires(class: &Class, after: &str) -> [String; 3] {
    let Freshness::Schedule { deadline, .. } = class.freshness else { panic!("no schedule") };
    let mut last = time(after);
    [(); 3].map(|()| {
        last = class.due_after(last).saturating_sub(deadline);
        last.to_string()
    })
}

#[test]
fn a_schedule_fires_by_the_clocks_of_its_zone() {
    let nightly = by_schedule("0 2 * * mon-fri", 3600, berlin());
    // A Thursday; the week ends with Friday.
    let expected = ["2026-11-27T01:00:00Z", "2026-11-30T01:00:00Z", "2026-12-01T01:00:00Z"];
    assert_eq!(fires(&nightly, "2026-11-26T12:00:00Z"), expected);
    // What is of the very moment is of this turn already.
    assert_eq!(fires(&nightly, "2026-11-26T01:00:00Z"), expected);
    assert_eq!(fires(&nightly, "2026-11-26T00:59:59.999Z")[0], "2026-11-26T01:00:00Z");
    let often = by_schedule("*/20 8-9 * * *", 60, Zone::utc());
    let expected = ["2026-01-01T09:40:00Z", "2026-01-02T08:00:00Z", "2026-01-02T08:20:00Z"];
    assert_eq!(fires(&often, "2026-01-01T09:20:00Z"), expected);
    // The 13th or a Friday, as cron has it.
    let either = by_schedule("0 0 13 * fri", 60, Zone::utc());
    let expected = ["2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z"];
    assert_eq!(fires(&either, "2026-11-10T00:00:00Z"), expected);
    let leap = by_schedule("0 0 29 feb *", 60, Zone::utc());
    let expected = ["2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"];
    assert_eq!(fires(&leap, "2093-01-01T00:00:00Z"), expected);
    let sundays = by_schedule("0 0 * * 7", 60, Zone::utc());
    assert_eq!(fires(&sundays, "2026-11-26T00:00:00Z")[0], "2026-11-29T00:00:00Z");
}

#[test]
fn where_an_hour_is_skipped_or_shown_twice_a_schedule_fires_once_and_misses_no_day() {
    // 2026-03-29: 01:59:59+01 is followed by 03:00:00+02.
    let in_gap = by_schedule("30 2 * * *", 3600, berlin());
    let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(fires(&in_gap, "2026-03-27T12:00:00Z"), expected);
    // 2026-10-25: 02:59:59+02 is followed by 02:00:00+01; it fires the first time.
    let expected = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(fires(&in_gap, "2026-10-23T12:00:00Z"), expected);
    // What fires each hour does so for 25 hours, and for 23.
    let hourly = by_schedule("0 * * * *", 60, berlin());
    let expected = ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"];
    assert_eq!(fires(&hourly, "2026-10-24T23:30:00Z"), expected);
    let expected = ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"];
    assert_eq!(fires(&hourly, "2026-03-28T23:30:00Z"), expected);
    // Two in the hour that is skipped, and one right after it, in their order.
    let three = by_schedule("0,15 2,3 * * *", 60, berlin());
    let expected = ["2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z", "2026-03-30T00:00:00Z"];
    assert_eq!(fires(&three, "2026-03-28T12:00:00Z"), expected);
    // A deadline is as long as it says, whatever the clocks do meanwhile.
    let due = in_gap.due_after(time("2026-10-24T12:00:00Z"));
    assert_eq!(due, time("2026-10-25T01:30:00Z"));
}

#[test]
fn a_day_off_has_no_turn() {
    let holidays: Holidays = "2026-12-25 Christmas\n".parse().unwrap();
    let bank = Class::of(
        None,
        Part {
            schedule: Some("0 22 * * *".parse().unwrap()),
            weekdays: Some("mon-fri".parse().unwrap()),
            holidays: Some(Arc::new(holidays)),
            zone: Some(berlin()),
            ..Part::default()
        },
    );
    // Thursday's is the last one before Monday's: Friday is Christmas.
    let expected = ["2026-12-24T21:00:00Z", "2026-12-28T21:00:00Z", "2026-12-29T21:00:00Z"];
    assert_eq!(fires(&bank, "2026-12-24T12:00:00Z"), expected);
}

#[test]
fn what_no_schedule_is_is_told_by_its_part() {
    let error = |text: &str| text.parse::<Schedule>().unwrap_err().to_string();
    for text in ["", "0 2 * *", "0 2 * * * *", "@often"] {
        assert!(error(text).contains("is no schedule"), "{text}");
    }
    for (text, field) in [
        ("60 2 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 2 0 * *", "day of the month"),
        ("0 2 * 13 *", "month"),
        ("0 2 * * 8", "day of the week"),
        ("0 2 * * mo", "day of the week"),
        ("0 2-1 * * *", "hour"),
        ("*/0 2 * * *", "minute"),
        ("-1 2 * * *", "minute"),
        ("+1 2 * * *", "minute"),
        (", 2 * * *", "minute"),
    ] {
        assert!(error(text).contains(&format!("is no {field} of a schedule")), "{text}");
    }
    let daily: Schedule = "@daily".parse().unwrap();
    assert_eq!(daily.to_string(), "@daily");
}

#[test]
fn windows_that_together_are_longer_than_a_day_are_named_with_their_beginning() {
    let run = |texts: &[&str]| {
        let windows: Vec<Window> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let run = longest_run(&windows)?;
        let parts: Vec<String> = run.windows.iter().map(ToString::to_string).collect();
        Some((run.begin, run.length.as_secs() / 3600, parts.join(" + ")))
    };
    let said = |begin: &str, hours, parts: &str| Some((begin.to_owned(), hours, parts.to_owned()));
    assert_eq!(
        run(&["sat 00:00-24:00 a", "sun 00:00-01:00 b", "wed 02:00-03:00 c"]),
        said("Sat 2026-01-10 00:00", 25, "sat 00:00-24:00 a + sun 00:00-01:00 b")
    );
    assert_eq!(
        run(&["2026-12-01 12:00-11:00 a", "2026-12-02 11:00-13:00 b"]),
        said("Tue 2026-12-01 12:00", 25, "2026-12-01 12:00-11:00 a + 2026-12-02 11:00-13:00 b")
    );
    assert_eq!(
        run(&["fri-mon 20:00-19:59 x", "sat,sun 00:00-24:00 y"]),
        said("Fri 2026-01-09 20:00", 71, "mon,fri,sat,sun 20:00-19:59 x + sat,sun 00:00-24:00 y")
    );
    assert_eq!(run(&["sat 00:00-24:00 a", "mon 00:00-24:00 b", "2026-12-01 22:00-04:00 c"]), None);
    assert_eq!(run(&["2026-12-01 12:00-11:59 a"]), None);
}

#[test]
fn a_class_that_nobody_can_mean_is_refused_by_its_key() {
    let refused = |part: Part| {
        let InvalidClass { key, words } = class(part).judge().unwrap_err();
        format!("{key}: {words}")
    };
    let schedule = |text: &str| Some(text.parse().unwrap());
    let never = Part { schedule: schedule("0 0 30 2 *"), ..Part::default() };
    assert!(refused(never).starts_with("schedule: 0 0 30 2 * never fires"));
    let weekdays = Some("mon-fri".parse().unwrap());
    let never = Part { schedule: schedule("0 0 * * sat"), weekdays, ..Part::default() };
    assert!(refused(never).contains("not among mon,tue,wed,thu,fri"));
    let deadline = Some(Duration::from_secs(59));
    let short = Part { schedule: schedule("@daily"), deadline, ..Part::default() };
    assert!(refused(short).starts_with("deadline: "));
    let windows = |texts: &[&str]| {
        Some(texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Window>>())
    };
    let told = refused(Part { maintenance: windows(&["daily 00:00-24:00 x"]), ..Part::default() });
    assert!(told.starts_with("maintenance: pages would wait for more than 31 d"), "{told}");
    let weekend = windows(&["sat,sun 00:00-24:00 two operators agreed"]);
    class(Part { maintenance: weekend, ..Part::default() }).judge().unwrap();
    let days: String = (1..=31).map(|day| format!("2026-12-{day:02}\n")).collect();
    let holidays = |text: &str| Some(Arc::new(text.parse::<Holidays>().unwrap()));
    class(Part { holidays: holidays(&days), ..Part::default() }).judge().unwrap();
    let days = format!("{days}2027-01-01 new year\n");
    let told = refused(Part { holidays: holidays(&days), ..Part::default() });
    assert!(told.starts_with("holidays: more than 31 days"), "{told}");
}

#[test]
fn windows_are_days_or_a_date_and_hours_and_a_reason() {
    let window = |text: &str| text.parse::<Window>().map(|window| window.to_string());
    assert_eq!(window("sun 02:00-06:00 patch day").unwrap(), "sun 02:00-06:00 patch day");
    assert_eq!(window(" 2026-12-01  22:00-24:00   x ").unwrap(), "2026-12-01 22:00-24:00 x");
    assert_eq!(window("mon-fri 22:00-04:00 x").unwrap(), "mon,tue,wed,thu,fri 22:00-04:00 x");
    let error = |text: &str| window(text).unwrap_err().to_string();
    assert!(error("sun").contains("is no maintenance window"));
    assert!(error("sun 02:00-06:00").contains("wants a reason"));
    assert!(error("sun 02:00-06:00  ").contains("wants a reason"));
    assert!(error("sonntag 02:00-06:00 x").contains("are no days"));
    assert!(error("2026-02-30 02:00-06:00 x").contains("are no days"));
    assert!(error("sun 2-6 x").contains("are no hours"));
    assert!(error("sun 02:00-02:00 x").contains("are no hours"));
    assert!(error("sun 02:00-06:00 a\u{7}b").contains("is no maintenance window"));
}

#[test]
fn pages_wait_in_windows_and_on_days_off_without_a_break() {
    let quiet = |class: &Class, at: &str| {
        class.quiet(time(at)).map(|quiet| (quiet.until.to_string(), quiet.why))
    };
    let windows = ["sun 22:00-02:00 patch day", "2026-12-01 10:00-11:00 new storage"];
    let class = Class::of(
        None,
        Part {
            zone: Some(berlin()),
            weekdays: Some("mon-fri".parse().unwrap()),
            maintenance: Some(windows.iter().map(|text| text.parse().unwrap()).collect()),
            ..Part::default()
        },
    );
    class.judge().unwrap();
    // Saturday and Sunday, and the window that goes into Monday; the clocks are an hour before UTC.
    let weekend = ("2026-11-30T01:00:00Z".to_owned(), "a day off".to_owned());
    assert_eq!(quiet(&class, "2026-11-27T22:59:59Z"), None);
    assert_eq!(quiet(&class, "2026-11-27T23:00:00Z"), Some(weekend.clone()));
    assert_eq!(quiet(&class, "2026-11-29T22:30:00Z"), Some(weekend));
    let patched = ("2026-11-30T01:00:00Z".to_owned(), "patch day".to_owned());
    assert_eq!(quiet(&class, "2026-11-30T00:59:59Z"), Some(patched));
    assert_eq!(quiet(&class, "2026-11-30T01:00:00Z"), None, "its end is not in it");
    let once = ("2026-12-01T10:00:00Z".to_owned(), "new storage".to_owned());
    assert_eq!(quiet(&class, "2026-12-01T09:00:00Z"), Some(once));
    assert_eq!(quiet(&class, "2026-12-08T09:00:00Z"), None);
    // In autumn, the window of this night is an hour longer.
    let night = by_window("sun 01:00-03:00 x");
    assert_eq!(quiet(&night, "2026-10-25T01:59:59Z").unwrap().0, "2026-10-25T02:00:00Z");
    assert_eq!(quiet(&night, "2026-10-24T23:00:00Z").unwrap().0, "2026-10-25T02:00:00Z");
}

fn by_window(window: &str) -> Class {
    let maintenance = Some(vec![window.parse().unwrap()]);
    class(Part { maintenance, zone: Some(berlin()), ..Part::default() })
}
