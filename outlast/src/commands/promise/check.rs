//! What a policy would change, of which workload.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use outlast_promise::{Class, Declaration, Effective, Keep};
use outlast_types::{ShareId, WorkloadName, human};
use outlast_wire::api::{ApplyPolicy, ErrorCode, ToldView, WorkloadView};
use outlast_wire::{ApiClient, CallError};
use serde_json::{Value, json};

use super::super::vault_access::VaultAccess;
use crate::exit::{Code, Usage};
use crate::output::{Output, counted, table};
use crate::settings::{Checked, Document, LongWindows};

/// What would change of one workload.
struct Difference {
    workload: WorkloadName,
    /// What, now and then.
    parts: Vec<(String, String, String)>,
    snapshots: u64,
    bytes: u64,
}

pub(super) fn run(file: &Path, vault: Option<VaultAccess>, output: &Output) -> Result<Code> {
    // Whatever is wrong with it is wrong with what was typed.
    let read = Document::read(file);
    let read =
        read.and_then(|document| Ok((document.policy()?, document.long_windows()?, document)));
    let (checked, long, document) = read.map_err(|error| Usage(format!("{error:#}")))?;
    for LongWindows { section, run } in &long {
        output.remark(format_args!(
            "{section}.maintenance lets pages wait for {} without a break, from {} on: that takes two operators \
             (outlast promise request)",
            human::duration(run.length),
            run.begin
        ));
    }
    let Some(vault) = vault else {
        return tell_alone(file, &checked, output);
    };
    let client = vault.client()?;
    let keys = ask(&client, file, &document, output)?;
    let workloads = output.patiently(client.location(), || client.workloads())?;
    let mut differences = Vec::new();
    for view in &workloads {
        differences.extend(compare(&client, &checked, view)?);
    }
    let is_known = |name: &&WorkloadName| workloads.iter().any(|view| view.name == **name);
    let named = checked.policy.workloads.keys().filter(|name| !is_known(name));
    let expected: Vec<&WorkloadName> = named.collect();
    let (snapshots, bytes) = differences
        .iter()
        .fold((0, 0), |(count, bytes), it| (count + it.snapshots, bytes + it.bytes));
    if output.is_json() {
        let changes: Vec<Value> = differences.iter().map(Difference::json).collect();
        output.json(&json!({
            "workloads": workloads.len(),
            "changes": changes,
            "keys": keys,
            "expected": expected,
            "snapshots_going": snapshots,
            "bytes_going": bytes,
        }))?;
    } else {
        tell(&differences, &expected, &keys, output)?;
        if snapshots > 0 {
            output.line(format_args!(
                "{} with {} would go by these rules; what came under more rules stays by them, until two \
                 operators say otherwise",
                counted(snapshots, "snapshot"),
                human::bytes(bytes)
            ))?;
        }
    }
    Ok(if snapshots > 0 { Code::Refused } else { Code::Done })
}

/// The keys that would say something else at the vault, by its own word. A whole file says more than it takes by a
/// call, and is not asked about.
fn ask(
    client: &ApiClient,
    file: &Path,
    document: &Document,
    output: &Output,
) -> Result<Vec<String>> {
    if document.is_whole() {
        return Ok(Vec::new());
    }
    let (name, text) = (file.display().to_string(), document.text().to_owned());
    match client.check_policy(&ApplyPolicy { name, text, reason: None }) {
        Ok(told) => Ok(told.changes),
        Err(error) if error.code() == Some(&ErrorCode::BadPolicy) => {
            Err(Usage(error.words()).into())
        }
        Err(error) if matches!(error, CallError::Refused { .. }) => {
            output.remark(format_args!(
                "whether the vault would take it is not known: {}",
                error.words()
            ));
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// Without a vault: that the file is right, and what it says.
fn tell_alone(file: &Path, checked: &Checked, output: &Output) -> Result<Code> {
    let classes: Vec<_> = checked.policy.all_classes().collect();
    if output.is_json() {
        let classes = classes.iter().map(|class| {
            json!({
                "class": class.name.as_ref().map(ToString::to_string),
                "promise": class.freshness.to_string(),
                "owner": class.owner,
                "zone": class.zone.to_string(),
                "keep": class.keep.as_ref().or(checked.keep.as_ref()).map(ToString::to_string),
            })
        });
        output.json(&json!({ "classes": classes.collect::<Vec<_>>(), "changes": [] }))?;
        return Ok(Code::Done);
    }
    let rows: Vec<Vec<String>> = classes
        .iter()
        .map(|class| {
            let name =
                class.name.as_ref().map_or_else(|| "(all others)".to_owned(), ToString::to_string);
            vec![name, class.freshness.to_string(), class.owner.clone(), class.zone.to_string()]
        })
        .collect();
    table(output, &["CLASS", "PROMISE", "OWNER", "ZONE"], &rows)?;
    output.remark(format_args!(
        "{} is right; name a vault by --dir or --vault to see what it would change",
        file.display()
    ));
    Ok(Code::Done)
}

fn compare(
    client: &ApiClient,
    checked: &Checked,
    view: &WorkloadView,
) -> Result<Option<Difference>> {
    let Some(told) = &view.told else { return Ok(None) };
    let then = Effective::of(&checked.policy, &view.name, &declared(told));
    let class = then.promise.class();
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let of_class = class.name.as_ref().map(ToString::to_string);
    let mut parts = vec![
        ("promise".to_owned(), told.promise.clone(), then.promise.to_string()),
        ("owner".to_owned(), text(view.owner.as_deref()), then.promise.owner().to_owned()),
        ("also told".to_owned(), told.also.join(", "), then.promise.also().join(", ")),
        ("class".to_owned(), text(told.class.as_deref()), text(of_class.as_deref())),
        ("zone".to_owned(), told.zone.clone(), class.zone.to_string()),
    ];
    let keep: Option<&Keep> = class.keep.as_ref().or(checked.keep.as_ref());
    let now = client.keeping(&view.name, None)?.keep;
    let keep = keep.map(ToString::to_string);
    parts.push(("keep".to_owned(), text(now.as_deref()), text(keep.as_deref())));
    let going = match keep.filter(|keep| Some(keep) != now.as_ref()) {
        Some(keep) => {
            let keeping = client.keeping(&view.name, Some(&keep))?;
            (keeping.going, keeping.going_bytes)
        }
        None => (0, 0),
    };
    parts.extend(terms(checked, told, class));
    parts.retain(|(_, now, then)| now != then);
    let (snapshots, bytes) = going;
    let difference = Difference { workload: view.name.clone(), parts, snapshots, bytes };
    Ok((!difference.parts.is_empty()).then_some(difference))
}

/// What else would be promised, by the keys of policy; of a vault that does not tell what is, nothing.
fn terms(checked: &Checked, told: &ToldView, class: &Class) -> Vec<(String, String, String)> {
    let Some(now) = &told.terms else { return Vec::new() };
    let mut then = class.terms();
    let immutable = class.immutable_for.or(checked.immutable_for);
    if let Some(length) = immutable.filter(|length| !length.is_zero()) {
        then.insert("immutable_for", human::duration(length));
    }
    let keys: BTreeSet<&str> = now.keys().map(String::as_str).chain(then.keys().copied()).collect();
    let shown = |text: Option<&String>| text.map_or("-", String::as_str).to_owned();
    // What is kept is compared for itself.
    let keys = keys.into_iter().filter(|key| *key != "keep");
    keys.map(|key| (key.to_owned(), shown(now.get(key)), shown(then.get(key)))).collect()
}

/// What teams declare, as policy is laid over it.
fn declared(told: &ToldView) -> BTreeMap<ShareId, Declaration> {
    let each = told.declared.iter().filter_map(|it| {
        let rpo = it.rpo_seconds.map(Duration::from_secs);
        Some((it.share, Declaration::new(rpo, it.owner.as_deref()).ok()?))
    });
    each.collect()
}

impl Difference {
    fn json(&self) -> Value {
        let Self { workload, parts, snapshots, bytes } = self;
        let parts =
            parts.iter().map(|(what, now, then)| json!({ "what": what, "now": now, "then": then }));
        json!({
            "workload": workload,
            "changes": parts.collect::<Vec<_>>(),
            "snapshots_going": snapshots,
            "bytes_going": bytes,
        })
    }
}

fn tell(
    differences: &[Difference],
    expected: &[&WorkloadName],
    keys: &[String],
    output: &Output,
) -> Result<()> {
    if differences.is_empty() && expected.is_empty() {
        return match keys {
            [] => output.line("nothing would change"),
            _ => {
                output.line(
                    "of no workload that the vault knows would anything change that is told here;",
                )?;
                tell_keys(keys, output)
            }
        };
    }
    let mut rows = Vec::new();
    for Difference { workload, parts, snapshots, bytes } in differences {
        let row = |(what, now, then): &(String, String, String)| {
            vec![workload.to_string(), what.clone(), now.clone(), then.clone()]
        };
        rows.extend(parts.iter().map(row));
        if *snapshots > 0 {
            let going = format!("{}, {}", counted(*snapshots, "snapshot"), human::bytes(*bytes));
            rows.push(vec![workload.to_string(), "would go".to_owned(), String::new(), going]);
        }
    }
    let expect = |name: &&WorkloadName| {
        vec![name.to_string(), "expected".to_owned(), "-".to_owned(), "its first drop".to_owned()]
    };
    rows.extend(expected.iter().map(expect));
    table(output, &["WORKLOAD", "WHAT", "NOW", "THEN"], &rows)?;
    if keys.is_empty() {
        return Ok(());
    }
    output.gap()?;
    tell_keys(keys, output)
}

fn tell_keys(keys: &[String], output: &Output) -> Result<()> {
    output.line("what the vault's file would say:")?;
    keys.iter().try_for_each(|key| output.line(format_args!("  {key}")))
}
