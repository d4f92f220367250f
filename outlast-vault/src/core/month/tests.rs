use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::core::audit::hash_of;

/// A month of lines as a log has them, each with the hash of the one before.
#[derive(Default)]
struct Lines {
    lines: Vec<Vec<u8>>,
    number: u64,
}

impl Lines {
    fn add(&mut self, at: &str, action: &str, more: Value) {
        self.number += 1;
        let before = self.lines.last().map_or_else(|| "0".repeat(64), |line| hash_of(line));
        let mut entry = json!({
            "version": 1, "number": self.number, "at": at, "actor": "vault", "action": action,
            "outcome": "done", "before": before,
        });
        let (Some(entry_map), Value::Object(more)) = (entry.as_object_mut(), more) else { return };
        entry_map.extend(more);
        self.lines.push(serde_json::to_vec(&entry).unwrap());
    }

    fn read(&self) -> MonthReport {
        let mut reader =
            Reader::new("2026-11", |_, code| format!("because of {}", code.unwrap_or("?")));
        self.lines.iter().for_each(|line| reader.line(line));
        reader.finish(true)
    }
}

fn month() -> Lines {
    let mut lines = Lines::default();
    let promise =
        json!({ "owner": "<b>team & shop</b>", "promise": "a recovery point at most 1 d old" });
    lines.add(
        "2026-11-01T00:00:10Z",
        "month_begun",
        json!({ "object": "2026-11", "content": {
            "month": "2026-11", "zone": "UTC", "workloads": [{
                "workload": "shop-db", "state": "fresh", "last_point": "2026-10-31T22:00:00Z",
                "promise": promise, "snapshots": 30,
            }],
        }}),
    );
    let drop = |recovery: &str, bytes: u64| {
        json!({ "workload": "shop-db", "details": {
            "recovery_point": recovery, "received": "2026-11-05T10:00:00Z",
            "content_bytes": bytes.to_string(), "stored_bytes": "10",
        }})
    };
    lines.add("2026-11-01T22:00:00Z", "drop_published", drop("2026-11-01T22:00:00Z", 100));
    // Of a day on which the line was down: it came late, and is of its day.
    lines.add("2026-11-05T10:00:00Z", "drop_published", drop("2026-11-02T21:00:00Z", 100));
    let incident = |resolved: Option<&str>| {
        json!({ "workload": "shop-db", "content": {
            "incident": 7, "key": "recovery-point/shop-db", "workload": "shop-db", "owner": "app",
            "team": "team-shop", "code": "nothing-dropped", "cause": {},
            "opened": "2026-11-03T21:00:00Z", "resolved": resolved,
        }})
    };
    lines.add("2026-11-03T21:00:00Z", "incident_opened", incident(None));
    lines.add("2026-11-06T00:00:00Z", "incident_resolved", incident(Some("2026-11-06T00:00:00Z")));
    lines.add("2026-11-06T00:00:00Z", "drop_published", drop("2026-11-06T00:00:00Z", 300));
    lines.add(
        "2026-11-07T00:00:00Z",
        "key_handed_out",
        json!({
            "workload": "shop-db", "actor": "operator anna",
        }),
    );
    lines.add(
        "2026-11-08T00:00:00Z",
        "ordered",
        json!({
            "workload": "shop-db", "actor": "operator anna",
            "details": { "order": "pause", "reason": "<script>alert(1)</script>" },
        }),
    );
    lines
}

#[test]
fn a_month_says_what_its_entries_say() {
    let report = month().read();
    let text = report.json();
    let read: Value = serde_json::from_str(&text).unwrap();
    let shop = &read["workloads"][0];
    assert_eq!((&shop["points"], &shop["missed"]), (&json!(3), &json!(1)));
    // From the last point until the end: none came after the sixth.
    assert_eq!(shop["longest_gap_seconds"], json!(25 * 86_400));
    assert_eq!(shop["longest_gap_from"], json!("2026-11-06T00:00:00Z"));
    assert_eq!((&shop["logical_bytes"], &shop["line_bytes"]), (&json!(500), &json!(30)));
    assert_eq!(shop["incidents"][0]["cause"], json!("because of nothing-dropped"));
    assert_eq!(shop["incidents"][0]["resolved"], json!("2026-11-06T00:00:00Z"));
    assert_eq!(shop["restores"][0]["actor"], json!("operator anna"));
    assert_eq!(read["chain"]["broken_at"], json!([]));
    assert_eq!(read["totals"]["missed"], json!(1));
    // The same lines, the same bytes.
    assert_eq!(month().read().json(), text);
}

#[test]
fn a_page_escapes_everything_and_a_cell_is_no_formula() {
    let page = html::of(&month().read());
    assert!(page.contains("&lt;b&gt;team &amp; shop&lt;/b&gt;"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script"), "{page}");
    assert_eq!(page.matches("<table").count(), page.matches("</table>").count());
    let csv = csv::of(&month().read());
    let row = csv.lines().nth(1).unwrap();
    assert!(row.starts_with("2026-11,<b>team & shop</b>,shop-db,3,0,1,2160000,"), "{row}");
    assert_eq!(csv::quoted("=1+1"), "'=1+1");
    assert_eq!(csv::quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
}

#[test]
fn a_line_that_was_changed_or_taken_out_is_named() {
    let lines = month();
    for gone in 1..lines.lines.len() - 1 {
        let mut less = Lines { lines: lines.lines.clone(), number: 0 };
        less.lines.remove(gone);
        assert_eq!(less.read().broken_at(), [gone as u64 + 2]);
    }
    let mut changed = Lines { lines: lines.lines.clone(), number: 0 };
    let text = String::from_utf8(changed.lines[1].clone()).unwrap();
    changed.lines[1] = text.replace("\"100\"", "\"999\"").into_bytes();
    assert_eq!(changed.read().broken_at(), [3]);
}

#[test]
fn thousands_of_workloads_are_read_line_by_line() {
    let mut lines = Lines::default();
    let workloads: Vec<Value> = (0..2_000)
        .map(|number| {
            json!({
                "workload": format!("w{number}"), "state": "fresh",
                "promise": { "owner": "ops", "promise": "x" }, "snapshots": 1,
            })
        })
        .collect();
    for chunk in workloads.chunks(200) {
        lines.add(
            "2026-11-01T00:00:10Z",
            "month_begun",
            json!({ "content": {
                "month": "2026-11", "zone": "Europe/Berlin", "workloads": chunk,
            }}),
        );
    }
    let report = lines.read();
    assert_eq!(report.totals.workloads, 2_000);
    assert_eq!(report.newest().len(), 2_000);
    let _: BTreeMap<String, Value> = serde_json::from_str(&report.json()).unwrap();
}

#[test]
fn a_month_that_began_before_vaults_counted_what_is_used_comes_out_as_it_did() {
    let before = month().read();
    let mut lines = month();
    let used = json!({ "content": { "day": "2026-11-20", "workloads": [
        { "workload": "shop-db", "stored": 5, "share": 6 }
    ]}});
    lines.add("2026-11-20T00:00:00Z", "usage_noted", used);
    let after = lines.read();
    assert_eq!(csv::of(&after), csv::of(&before));
    for text in [csv::of(&after), html::of(&after), after.json()] {
        for word in
            ["stored_bytes", "listings", "charge", "Stored:", "brought_by", "holds_at_begin"]
        {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    assert!(after.json().starts_with("{\n  \"version\": 1,"));
}

/// A month of the third form of a workload of which policy counts `safe`; and its lines.
fn month_that_counts(safe: &str) -> Lines {
    let mut lines = Lines::default();
    lines.add(
        "2026-11-01T00:00:10Z",
        "month_begun",
        json!({ "object": "2026-11", "content": {
            "form": 3, "month": "2026-11", "zone": "UTC", "workloads": [{
                "workload": "shop-db", "state": "fresh", "last_point": "2026-10-31T22:00:00Z",
                "promise": { "owner": "ops", "promise": "x", "safe": safe }, "snapshots": 0,
            }],
        }}),
    );
    lines
}

fn drop_id(number: u8) -> String {
    format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02}")
}

/// A word about a drop of its day at ten in the evening, by a vault that counts `safe`.
fn word(safe: &str, drop: u8, more: &[(&str, &str)]) -> Value {
    let mut details = json!({
        "recovery_point": format!("2026-11-{drop:02}T22:00:00Z"), "safe": safe, "content_bytes": "100",
        "handover": "nbu", "product": "NetBackup", "job": "night (apps)", "by": "bplist on host",
        "evidence": "00ff",
    });
    for (name, text) in more {
        details[*name] = json!(text);
    }
    json!({ "workload": "shop-db", "object": drop_id(drop), "actor": "agent road-1", "details": details })
}

fn shop_of(lines: &Lines) -> Value {
    let read: Value = serde_json::from_str(&lines.read().json()).unwrap();
    assert_eq!(read["version"], json!(3));
    read["workloads"][0].clone()
}

#[test]
fn points_of_a_month_are_what_policy_counted_of_vaulted_and_confirmed_drops() {
    for (safe, points) in [("vaulted", 2), ("confirmed", 2), ("either", 3), ("both", 1)] {
        let mut lines = month_that_counts(safe);
        // Only vaulted, only confirmed, and both, in which the confirmation is told twice.
        lines.add("2026-11-02T00:00:00Z", "drop_published", word(safe, 1, &[]));
        lines.add("2026-11-03T00:00:00Z", "drop_confirmed", word(safe, 2, &[]));
        lines.add("2026-11-04T00:00:00Z", "drop_published", word(safe, 3, &[]));
        lines.add("2026-11-04T01:00:00Z", "drop_confirmed", word(safe, 3, &[("vaulted", "true")]));
        lines.add("2026-11-04T02:00:00Z", "drop_confirmed", word(safe, 3, &[("vaulted", "true")]));
        // One that looks like no backup.
        lines.add("2026-11-05T00:00:00Z", "drop_confirmed", word(safe, 4, &[("suspect", "small")]));
        let shop = shop_of(&lines);
        assert_eq!(shop["points"], json!(points), "{safe}");
        assert_eq!((&shop["suspect"], &shop["logical_bytes"]), (&json!(1), &json!(400)), "{safe}");
        let handed = &shop["handed"];
        let counts = [&handed["vaulted"], &handed["confirmed"], &handed["withdrawn"]];
        assert_eq!(counts, [&json!(2), &json!(2), &json!(0)], "{safe}");
        assert_eq!(handed["safe"], json!(safe));
        assert_eq!(handed["confirmations"][0]["job"], json!("night (apps)"));
        assert_eq!(handed["confirmations"][0]["evidence"], json!("00ff"));
        assert!(shop["deeds"].as_array().unwrap().is_empty(), "they are no deeds of people");
        let csv = csv::of(&lines.read());
        assert!(
            csv.lines()
                .next()
                .unwrap()
                .ends_with(",safe,vaulted,confirmed,withdrawn,missed_explained")
        );
        assert!(csv.lines().nth(1).unwrap().ends_with(&format!(",{safe},2,2,0,0")), "{csv}");
        let page = html::of(&lines.read());
        assert!(page.contains("night (apps)") && page.contains("counts for nothing: small"));
        assert_eq!(page.matches("<table").count(), page.matches("</table>").count());
    }
}

#[test]
fn what_a_product_has_no_more_is_no_point_and_widens_the_gap_until_another_has_it() {
    let mut lines = month_that_counts("confirmed");
    for drop in 1..=29 {
        let at = format!("2026-11-{:02}T00:00:00Z", drop + 1);
        lines.add(&at, "drop_confirmed", word("confirmed", drop, &[]));
    }
    let longest = |lines: &Lines| shop_of(lines)["longest_gap_seconds"].as_u64().unwrap() / 3600;
    assert_eq!(longest(&lines), 26, "of the last until the end of the month");
    let gone = word("confirmed", 5, &[("reason", "the image is gone")]);
    lines.add("2026-11-30T01:00:00Z", "confirmation_withdrawn", gone);
    let shop = shop_of(&lines);
    assert_eq!((&shop["points"], longest(&lines)), (&json!(28), 48));
    assert_eq!(shop["handed"]["withdrawn"], json!(1));
    assert_eq!(shop["handed"]["confirmations"][4]["reason"], json!("the image is gone"));
    lines.add("2026-11-30T02:00:00Z", "drop_confirmed", word("confirmed", 5, &[]));
    assert_eq!((&shop_of(&lines)["points"], longest(&lines)), (&json!(29), 26));
}

#[test]
fn what_a_product_had_last_month_and_has_no_more_widens_the_gap_with_which_a_month_begins() {
    let of_before = |drop: u8, at: &str, more: &[(&str, &str)]| {
        let mut word = word("confirmed", drop, more);
        word["details"]["recovery_point"] = json!(at);
        word
    };
    let gap = |lines: &Lines| {
        let shop = shop_of(lines);
        let hours = shop["longest_gap_seconds"].as_u64().unwrap() / 3600;
        (hours, shop["longest_gap_from"].as_str().unwrap().to_owned())
    };
    let mut lines = month_that_counts("confirmed");
    let gone = |drop, at, left| of_before(drop, at, &[("reason", "expired"), ("left_point", left)]);
    let (last, before) = ("2026-10-31T22:00:00Z", "2026-10-29T22:00:00Z");
    // Another job has the same, which is no other point.
    let again = of_before(31, last, &[("again", "true")]);
    lines.add("2026-11-01T03:00:00Z", "drop_confirmed", again);
    assert_eq!(shop_of(&lines)["points"], json!(0));
    for drop in 1..=29 {
        let at = format!("2026-11-{:02}T00:00:00Z", drop + 1);
        lines.add(&at, "drop_confirmed", word("confirmed", drop, &[]));
    }
    assert_eq!(gap(&lines).0, 26);
    // One that was not the newest, and then the newest.
    lines.add(
        "2026-11-30T01:00:00Z",
        "confirmation_withdrawn",
        gone(30, "2026-10-30T22:00:00Z", last),
    );
    assert_eq!(gap(&lines).0, 26);
    lines.add("2026-11-30T02:00:00Z", "confirmation_withdrawn", gone(31, last, before));
    assert_eq!(gap(&lines), (72, before.to_owned()));
    assert_eq!(shop_of(&lines)["points"], json!(29));
    assert_eq!(shop_of(&lines)["handed"]["confirmed"], json!(29));
}

#[test]
fn a_promise_that_broke_while_somebody_else_answered_for_it_is_missed_all_the_same() {
    let mut lines = month_that_counts("confirmed");
    let state = |to: &str| json!({ "workload": "shop-db", "details": { "from": "x", "to": to } });
    lines.add("2026-11-02T23:00:00Z", "state_changed", state("broken"));
    lines.add("2026-11-04T00:00:00Z", "state_changed", state("fresh"));
    let incident = json!({ "workload": "shop-db", "content": {
        "incident": 7, "key": "recovery-point/shop-db", "workload": "shop-db", "owner": "app",
        "team": "team-shop", "code": "nothing-dropped", "cause": {}, "opened": "2026-11-09T23:59:00Z",
    }});
    lines.add("2026-11-09T23:59:00Z", "incident_opened", incident);
    lines.add("2026-11-10T00:00:00Z", "state_changed", state("broken"));
    let shop = shop_of(&lines);
    assert_eq!((&shop["missed"], &shop["handed"]["explained"]), (&json!(2), &json!(1)));
    assert_eq!(shop["points"], json!(0));
}

#[test]
fn a_month_that_began_before_confirmations_were_counted_comes_out_as_it_did() {
    let mut lines = month_that_counts("confirmed");
    let begun = String::from_utf8(lines.lines[0].clone()).unwrap();
    lines.lines[0] = begun.replace("\"form\":3", "\"form\":2").into_bytes();
    lines.add("2026-11-02T00:00:00Z", "drop_confirmed", word("confirmed", 1, &[]));
    lines.add("2026-11-03T00:00:00Z", "drop_published", word("confirmed", 2, &[]));
    let report = lines.read();
    let read: Value = serde_json::from_str(&report.json()).unwrap();
    let shop = &read["workloads"][0];
    assert_eq!((&read["version"], &shop["points"]), (&json!(2), &json!(1)));
    assert_eq!(shop["deeds"][0]["action"], json!("drop_confirmed"));
    for text in [csv::of(&report), html::of(&report), report.json()] {
        for word in ["missed_explained", "handed\"", "What counts as safe"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
}

/// A drop of each day at ten in the evening, by the name that the workload has then; it gets each of `names` at
/// nine in the morning of its day.
fn month_of_names(names: &[(u32, &str)]) -> Lines {
    let mut lines = month_that_counts("vaulted");
    let mut name = "shop-db";
    for day in 1..=30 {
        if let Some((_, to)) = names.iter().find(|(of, _)| *of == day) {
            lines.add(&format!("2026-11-{day:02}T09:00:00Z"), "ordered", renaming(name, to));
            let promise = json!({ "owner": "ops", "promise": "x" });
            let promise = json!({ "workload": to, "content": promise });
            lines.add(&format!("2026-11-{day:02}T09:00:01Z"), "promise_in_force", promise);
            name = to;
        }
        let at = format!("2026-11-{day:02}T22:00:00Z");
        let drop = json!({ "workload": name, "actor": "agent eu-1",
            "object": format!("01a21af3-0424-7fbb-8519-2225cd4b{day:04}"),
            "details": { "recovery_point": at, "received": at, "content_bytes": "7" },
        });
        lines.add(&at, "drop_published", drop);
    }
    lines
}

fn renaming(from: &str, to: &str) -> Value {
    json!({ "workload": from, "actor": "operator anna",
        "details": { "order": "rename", "to": to, "until": "2027-01-01T00:00:00Z" } })
}

#[test]
fn a_workload_that_got_another_name_is_missed_under_neither() {
    let mut lines = month_of_names(&[(3, "store")]);
    // The order given again moves a date, and neither when it got its name nor how long that was missed.
    lines.add("2026-11-29T09:00:00Z", "ordered", renaming("shop-db", "store"));
    let report = lines.read();
    let read: Value = serde_json::from_str(&report.json()).unwrap();
    let (shop, store) = (&read["workloads"][0], &read["workloads"][1]);
    assert_eq!((&shop["points"], &store["points"]), (&json!(2), &json!(28)));
    let day = json!(86_400);
    assert_eq!((&shop["longest_gap_seconds"], &store["longest_gap_seconds"]), (&day, &day));
    assert_eq!(store["longest_gap_from"], json!("2026-11-02T22:00:00Z"), "it begins with that");
    assert_eq!(shop["renamed"]["to"], json!("store"));
    assert_eq!(store["brought_by"]["agent eu-1"], json!(28));
    assert!(html::of(&report).contains("Called store since 2026-11-03T09:00:00Z"));
}

#[test]
fn a_workload_that_was_renamed_there_and_back_is_missed_under_no_name() {
    for names in [
        &[(5, "store"), (12, "shop-db")][..],
        &[(5, "store"), (12, "shop-db"), (20, "store")],
        &[(2, "store"), (9, "outlet"), (21, "shop-db"), (30, "outlet")],
    ] {
        let report = month_of_names(names).read();
        let read: Value = serde_json::from_str(&report.json()).unwrap();
        let last = names.last().unwrap().1;
        for workload in read["workloads"].as_array().unwrap() {
            let gap = workload["longest_gap_seconds"].as_u64();
            assert_eq!(gap, Some(86_400), "{names:?}: {}", workload["workload"]);
            let is_former = workload["renamed"].is_object();
            assert_eq!(is_former, workload["workload"] != json!(last), "{names:?}");
        }
    }
}

#[test]
fn a_miss_that_is_open_while_a_workload_gets_another_name_is_one_miss() {
    // With an incident of its own, and with one of somebody else that explains it.
    for incident in [true, false] {
        let mut lines = month_that_counts("vaulted");
        let state = |of: &str, to: &str| json!({ "workload": of, "details": { "from": "fresh", "to": to } });
        let told = |of: &str, resolved: Option<&str>| {
            json!({ "workload": of, "content": {
                "incident": 7, "key": format!("recovery-point/{of}"), "workload": of, "owner": "app",
                "team": "team-shop", "code": "nothing-dropped", "cause": {},
                "opened": "2026-11-03T21:00:00Z", "resolved": resolved,
            }})
        };
        lines.add("2026-11-03T21:00:00Z", "state_changed", state("shop-db", "broken"));
        if incident {
            lines.add("2026-11-03T21:00:00Z", "incident_opened", told("shop-db", None));
        }
        lines.add("2026-11-04T09:00:00Z", "ordered", renaming("shop-db", "store"));
        lines.add("2026-11-04T09:00:02Z", "state_changed", state("store", "broken"));
        if incident {
            let resolved = told("store", Some("2026-11-05T08:00:00Z"));
            lines.add("2026-11-05T08:00:00Z", "incident_resolved", resolved);
        }
        lines.add("2026-11-05T08:00:01Z", "state_changed", state("store", "fresh"));
        lines.add("2026-11-06T09:00:00Z", "ordered", renaming("store", "shop-db"));
        lines.add("2026-11-06T09:00:01Z", "state_changed", state("shop-db", "fresh"));
        let read: Value = serde_json::from_str(&lines.read().json()).unwrap();
        assert_eq!(read["totals"]["missed"], json!(1), "{read:#}");
        let explained = read["workloads"].as_array().unwrap().iter();
        let explained: u64 = explained.map(|it| it["handed"]["explained"].as_u64().unwrap()).sum();
        assert_eq!(explained, u64::from(!incident));
        if incident {
            let shop = &read["workloads"][0]["incidents"][0];
            assert_eq!(shop["resolved"], json!("2026-11-05T08:00:00Z"), "and it is over");
        }
    }
}
