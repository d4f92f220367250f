//! `outlast plan` as people and scripts call it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::harness::{document, fail, outlast, scratch, succeed};

const PLAN: &str = "start = \"2027-01\"\nmonths = 2\n[[site]]\nname = \"here\"\ncloud = \"aws\"\n\
                    region = \"us-east-1\"\n[site.line]\nrate = \"100Mbit/s\"\n[[workload]]\nname = \"db\"\n\
                    size = \"10GiB\"\nchange = \"2%\"\nkeep = \"daily=7\"\n";

fn put(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("plan.toml");
    File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}

#[test]
fn the_example_is_planned_shown_explained_and_made_a_page_of() {
    let directory = scratch();
    let page = directory.path().join("plan.html");
    let words = succeed(outlast().args(["plan", "--example", "--explain", "--html"]).arg(&page));
    for wanted in
        ["efs-bursting", "cost.mean_month = ", "Σ hours: the calendar's rate", "factualminds"]
    {
        assert!(words.contains(wanted), "{wanted} is not in\n{words}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</body></html>\n"));
    assert!(page.contains("<svg") && page.contains("prefers-color-scheme"));
    // Nothing runs, and nothing comes from elsewhere.
    for refused in ["script", "http:", "https:", "href", "src=", "onload", "onclick"] {
        let markup = page.split(['<', '>']).skip(1).step_by(2).collect::<String>();
        assert!(!markup.contains(refused), "{refused}");
    }
    let table = succeed(outlast().args(["plan", "--example", "--csv"]));
    assert_eq!(table.lines().count(), 37);
    let columns = table.lines().map(|line| line.split(',').count());
    assert!(columns.eq(std::iter::repeat_n(18, 37)), "{table}");
    let plan = document(outlast().args(["plan", "--example", "--json"]));
    assert_eq!(plan["possible"], true);
    // What nobody has looked up is said to be so, wherever the cost is.
    let supposed = plan["supposed_prices"].as_array().unwrap();
    assert!(supposed.contains(&"aws.us-east-1.line_gib".into()), "{supposed:?}");
    assert!(!supposed.contains(&"aws.us-east-1.efs_gib_month".into()), "{supposed:?}");
    assert!(words.contains("supposed are the prices aws.us-east-1.efs_one_zone_gib_month, "));
    assert!(words.contains("supposed: Direct Connect") && page.contains("Nobody has looked up"));
    assert_eq!(plan["months"].as_array().unwrap().len(), 36);
}

#[test]
fn what_is_printed_to_be_changed_can_be_planned() {
    let directory = scratch();
    let example = succeed(outlast().args(["plan", "--print-example"]));
    let prices = directory.path().join("prices.toml");
    let list = succeed(outlast().args(["plan", "--print-prices"]));
    File::create(&prices).unwrap().write_all(list.as_bytes()).unwrap();
    let file = put(directory.path(), &example);
    let words = succeed(outlast().arg("plan").arg(&file).arg("--prices").arg(&prices));
    assert_eq!(words, succeed(outlast().args(["plan", "--example"])));
    // A price that is cut out is missed by name.
    let cut: String = list
        .lines()
        .filter(|line| !line.starts_with("line_gib"))
        .fold(String::new(), |text, line| text + line + "\n");
    File::create(&prices).unwrap().write_all(cut.as_bytes()).unwrap();
    let words = fail(outlast().arg("plan").arg(&file).arg("--prices").arg(&prices), 2);
    assert!(words.contains("add line_gib to [aws.us-east-1.prices]"), "{words}");
}

#[test]
fn a_mistake_is_named_with_its_line_and_key_and_what_to_write() {
    let directory = scratch();
    for (from, to, wanted) in [
        ("months = 2", "months = 0", "months: is 0; write 1 to 120 months"),
        ("\"10GiB\"", "\"-10GiB\"", "line 11: size: \"-10GiB\" is not a size such as 256MiB"),
        (
            "\"2%\"",
            "0.02",
            "line 12: change: invalid type: floating point `0.02`, expected it in quotes",
        ),
        ("\"2%\"", "\"2\"", "line 12: change: \"2\" is no part: write a percentage"),
        ("keep =", "keeps =", "line 13: keeps: unknown field `keeps`, expected one of"),
        ("daily=7", "dayly=7", "line 13: keep: \"dayly=7\" is no rule"),
        (
            "us-east-1",
            "us-east-9",
            "region: \"us-east-9\" is not in the prices of aws; known are: us-east-1. To add it",
        ),
        ("\"2027-01\"", "\"2027-13\"", "line 1: start: \"2027-13\" is no month"),
        ("100Mbit/s", "fast", "line 8: rate: \"fast\" is no rate"),
        ("size = \"10GiB\"\n", "", "missing field `size`"),
    ] {
        let file = put(directory.path(), &PLAN.replace(from, to));
        let words = fail(outlast().arg("plan").arg(&file), 2);
        assert!(words.contains(wanted), "{wanted} is not in {words}");
    }
    assert!(
        fail(outlast().arg("plan").arg(directory.path().join("none")), 1).contains("cannot read")
    );
    assert!(fail(outlast().arg("plan"), 2).contains("FILE"));
}

#[test]
fn what_cannot_be_is_called_impossible_with_the_reason_and_no_number() {
    let directory = scratch();
    let file = put(directory.path(), &PLAN.replace("100Mbit/s", "5kbit/s"));
    let output = outlast().arg("plan").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(words.starts_with("impossible: site here: the line cannot carry it: "), "{words}");
    assert!(!words.contains("USD"));
    let output = outlast().arg("plan").arg(&file).arg("--json").output().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["possible"], false);
    assert!(plan["impossible"][0]["helps"].as_str().unwrap().contains("a faster line"));
}
