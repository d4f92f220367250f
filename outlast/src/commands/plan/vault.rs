//! A plan and a running vault: what it measured, and how that compares.

use std::fmt::Write as _;

use anyhow::Result;
use outlast_plan::{Description, Expected, Made, Said, Workload, expected, measured, size};
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::ApiClient;
use outlast_wire::api::{SnapshotView, WorkloadView};
use serde_json::json;

use crate::output::{Output, table};

/// What the vault told of one workload.
pub(super) struct Told {
    pub(super) said: Said,
    /// Oldest first.
    pub(super) made: Vec<Made>,
}

/// Asks the vault for all workloads that are not retired.
pub(super) fn ask(client: &ApiClient) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    for WorkloadView { name, state, rpo_seconds, snapshots, members, .. } in client.workloads()? {
        if snapshots == 0 || !members.is_empty() || state.starts_with("retir") {
            continue;
        }
        told.push(of_workload(client, &name, rpo_seconds, snapshots)?);
    }
    Ok(told)
}

fn of_workload(
    client: &ApiClient,
    name: &WorkloadName,
    rpo_seconds: Option<u64>,
    snapshots: u64,
) -> Result<Told> {
    let keep = client.keeping(name, None)?.keep.and_then(|keep| keep.parse().ok());
    let made = oldest_first(client.snapshots(Some(name))?);
    // What compression left is told by a first drop only, of which at least a tenth must be new.
    let begins = made.len() as u64 == snapshots
        && made.first().is_some_and(|first| first.stored > first.content / 10.0);
    let within = rpo_seconds.map(|seconds| seconds as f64 / 3600.0);
    Ok(Told { said: Said { name: name.to_string(), keep, within, begins }, made })
}

/// The drops, in the order in which they were made; a vault lists the newest first. The first one is all new, so
/// it must not change places with one of the same second.
fn oldest_first(mut views: Vec<SnapshotView>) -> Vec<Made> {
    views.reverse();
    views.sort_by_key(when);
    views.iter().filter_map(made_of).collect()
}

fn when(view: &SnapshotView) -> Timestamp {
    view.recovery_point.unwrap_or(view.received)
}

fn made_of(view: &SnapshotView) -> Option<Made> {
    let stored = view.stored_bytes? as f64;
    let at = when(view).unix_seconds();
    (view.counts && view.drop.is_some()).then_some(Made {
        at,
        content: view.content_bytes as f64,
        stored,
    })
}

/// Puts what was measured into a description, in the place of workloads of the same name; others are added to
/// the first site.
pub(super) fn merge(description: &mut Description, told: Vec<Told>, output: &Output) {
    let Some(site) = description.sites.first().map(|site| site.name.clone()) else { return };
    for Told { said, made } in told {
        let name = said.name.clone();
        let Some(found) = measured(said, &made, &site) else {
            output
                .remark(format_args!("{name} has too few drops to tell anything: it is left out"));
            continue;
        };
        match description.workloads.iter_mut().find(|it| it.name == name) {
            // Servers, releases and its site are not what a vault can measure.
            Some(place) => {
                *place = Workload {
                    site: place.site.clone(),
                    servers: place.servers,
                    releases: place.releases,
                    within: place.within,
                    is_compressed_on_share: place.is_compressed_on_share,
                    count: place.count,
                    ..found
                };
            }
            None => description.workloads.push(found),
        }
    }
}

/// The workloads as a file says them, to be put into one.
pub(super) fn as_toml(workloads: &[Workload]) -> String {
    let mut text = String::new();
    for it in workloads {
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "[[workload]]\nname = {:?}\nsite = {:?}\ncount = {}\nsize = \"{:.0}B\"\ngrowth = \"{:.3}%\"\n\
             change = \"{:.4}%\"\ncompresses_to = \"{:.2}%\"\ndrops_a_day = {}\nat = \"{:02}:{:02}\"\n\
             within = \"{:.2}h\"",
            it.name,
            it.site,
            it.count,
            it.size,
            it.growth * 100.0,
            it.change * 100.0,
            it.compresses_to * 100.0,
            it.drops_a_day,
            it.at / 60,
            it.at % 60,
            it.within
        );
        if let Some(keep) = &it.keep {
            let _ = writeln!(text, "keep = \"{keep}\"");
        }
        text.push('\n');
    }
    text
}

/// One number of a workload: planned, and what it is.
struct Compared {
    workload: String,
    what: &'static str,
    planned: f64,
    actual: f64,
    is_size: bool,
}

/// Tells plan against actual, for workloads that are in both.
pub(super) fn compare(
    description: &Description,
    told: &[Told],
    now: Timestamp,
    output: &Output,
) -> Result<()> {
    let mut rows = Vec::new();
    for Told { said, made } in told {
        let planned = description.workloads.iter().find(|it| it.name == said.name);
        let (Some(planned), [first, .., newest]) = (planned, made.as_slice()) else { continue };
        let days = (now.unix_seconds() - first.at).max(0) as f64 / 86_400.0;
        let expected = expected(description, planned, days);
        rows.extend(of_one(&said.name, &expected, made, (newest.at - first.at) as f64 / 86_400.0));
    }
    if output.is_json() {
        let one = |it: &Compared| {
            json!({
                "workload": it.workload, "what": it.what, "planned": it.planned, "actual": it.actual,
            })
        };
        return output.json(&json!({ "compared": rows.iter().map(one).collect::<Vec<_>>() }));
    }
    if rows.is_empty() {
        output.remark("no workload is in both the plan and the vault, with two drops at least");
    }
    let shown = |it: &Compared| {
        let number = |value: f64| if it.is_size { size(value) } else { format!("{value:.1}") };
        let off = (it.actual - it.planned) / it.planned.max(f64::MIN_POSITIVE) * 100.0;
        vec![
            it.workload.clone(),
            it.what.to_owned(),
            number(it.planned),
            number(it.actual),
            format!("{off:+.0} %"),
        ]
    };
    let head = ["WORKLOAD", "WHAT", "PLANNED", "ACTUAL", "OFF"];
    table(output, &head, &rows.iter().map(shown).collect::<Vec<_>>())
}

fn of_one(name: &str, expected: &Expected, made: &[Made], days: f64) -> Vec<Compared> {
    let later = &made[1..];
    let count = later.len() as f64;
    let mean = |of: fn(&Made) -> f64| later.iter().map(of).sum::<f64>() / count.max(1.0);
    let one = |what, planned, actual, is_size| Compared {
        workload: name.to_owned(),
        what,
        planned,
        actual,
        is_size,
    };
    let mut compared = vec![
        one("size of a drop", expected.size, mean(|it| it.content), true),
        one("stored for a drop", expected.stored, mean(|it| it.stored), true),
    ];
    // Less than a day tells nothing of days.
    if days >= 1.0 {
        compared.push(one("drops a day", expected.drops_a_day, count / days, false));
        compared.push(one("snapshots", expected.snapshots, made.len() as f64, false));
    }
    compared
}

#[cfg(test)]
mod tests {
    use outlast_types::{DropId, Sanity};

    use super::*;

    #[test]
    fn the_first_of_the_drops_of_one_second_or_moment_stays_the_first() {
        let made = |n: u32, nanos: u32| SnapshotView {
            workload: "shop-db".parse().unwrap(),
            snapshot: format!("{n:064x}").parse().unwrap(),
            drop: Some(format!("00000000-0000-7000-8000-{n:012x}").parse::<DropId>().unwrap()),
            received: Timestamp::from_unix(1_800_000_000, nanos).unwrap(),
            recovery_point: None,
            content_bytes: 1000,
            stored_bytes: Some(u64::from(n)),
            claims: serde_json::Value::Null,
            sanity: None::<Sanity>,
            counts: true,
        };
        let stored = |views| oldest_first(views).iter().map(|it| it.stored).collect::<Vec<_>>();
        assert_eq!(stored(vec![made(3, 9), made(2, 5), made(1, 1)]), [1.0, 2.0, 3.0]);
        // By the order in which they came where even the moment is one.
        assert_eq!(stored(vec![made(3, 9), made(2, 5), made(1, 5)]), [1.0, 2.0, 3.0]);
        // What an agent saw first is older, whenever it came.
        assert_eq!(stored(vec![made(3, 1), made(2, 9), made(1, 5)]), [3.0, 1.0, 2.0]);
    }
}
