//! Showing and restoring what a repository holds: the same for `repo …` and for the vault.

use std::path::Path;

use anyhow::{Context, Result};
use outlast_format::tree::NodeKind;
use outlast_fs::EntryPath;
use outlast_fs::entry::show;
use outlast_repo::read::{self, Resolved};
use outlast_repo::{Repository, check, restore};
use outlast_types::{Timestamp, human};
use serde_json::{Value, json};

use crate::exit::Code;
use crate::output::{Output, table};

/// Lists snapshots, oldest first. Damaged ones are named, and make the exit code 1.
pub(crate) fn snapshots(repository: &Repository, output: &Output) -> Result<Code> {
    let found = read::snapshots(repository)?;
    let progress = output.progress();
    for damaged in &found.unreadable {
        outlast_types::Monitor::problem(&progress, &damaged.to_string());
    }
    if output.is_json() {
        let list: Vec<Value> = found
            .list
            .iter()
            .map(|(id, snapshot)| {
                json!({
                    "id": id.to_string(),
                    "short_id": format!("{id:.8}"),
                    "time": snapshot.time,
                    "tree": snapshot.tree.to_string(),
                    "hostname": snapshot.hostname,
                    "username": snapshot.username,
                    "paths": snapshot.paths,
                    "tags": snapshot.tags,
                    "bytes": snapshot.summary.map(|summary| summary.total_bytes_processed),
                })
            })
            .collect();
        output.json(&list)?;
    } else {
        let rows: Vec<Vec<String>> = found
            .list
            .iter()
            .map(|(id, snapshot)| {
                let size = snapshot.summary.map(|s| human::bytes(s.total_bytes_processed));
                vec![
                    format!("{id:.8}"),
                    whole_seconds(snapshot.time),
                    snapshot.hostname.clone(),
                    size.unwrap_or_else(|| "-".to_owned()),
                    snapshot.paths.join(" "),
                ]
            })
            .collect();
        table(output, &["ID", "TIME", "HOST", "SIZE", "PATHS"], &rows)?;
    }
    Ok(if found.unreadable.is_empty() { Code::Done } else { Code::Failed })
}

/// The snapshot that `wanted` names: `latest`, an id or its beginning.
pub(crate) fn resolve(repository: &Repository, wanted: &str) -> Result<Resolved> {
    Ok(read::resolve(repository, wanted)?)
}

/// Lists what is in a snapshot, or below `path` in it.
pub(crate) fn ls(
    repository: &Repository,
    resolved: &Resolved,
    below: Option<&EntryPath>,
    output: &Output,
) -> Result<Code> {
    let mut damaged = false;
    let mut documents = Vec::new();
    let progress = output.progress();
    let mut failure = Ok(());
    read::ls(repository, resolved.snapshot.tree, |found| match found {
        Err(error) => {
            damaged = true;
            outlast_types::Monitor::problem(&progress, &error.to_string());
        }
        Ok(found) => {
            if below.is_some_and(|below| !found.path.names().starts_with(below.names())) {
                return;
            }
            let node = &found.node;
            if output.is_json() {
                documents.push(json!({
                    "path": format!("/{}", found.path),
                    "type": node.kind.as_str(),
                    "size": node.size,
                    "mode": format!("{:04o}", node.mode.permissions()),
                    "uid": node.uid,
                    "gid": node.gid,
                }));
            } else if failure.is_ok() {
                failure = output.line(format_args!(
                    "{} {:04o} {:>5}:{:<5} {:>12}  /{}{}",
                    letter(&node.kind),
                    node.mode.permissions(),
                    node.uid,
                    node.gid,
                    node.size,
                    found.path,
                    if node.kind == NodeKind::Symlink {
                        format!(" -> {}", show(&node.link_target))
                    } else {
                        String::new()
                    }
                ));
            }
        }
    })?;
    failure?;
    if output.is_json() {
        output.json(&documents)?;
    }
    Ok(if damaged { Code::Failed } else { Code::Done })
}

fn letter(kind: &NodeKind) -> char {
    match kind {
        NodeKind::File => '-',
        NodeKind::Directory => 'd',
        NodeKind::Symlink => 'l',
        NodeKind::BlockDevice => 'b',
        NodeKind::CharDevice => 'c',
        NodeKind::Fifo => 'p',
        NodeKind::Socket => 's',
        NodeKind::Irregular | NodeKind::Other(_) => '?',
    }
}

/// A path inside a snapshot, as people write it: with or without a leading slash.
pub(crate) fn snapshot_path(text: &str) -> Result<EntryPath> {
    EntryPath::parse(text.trim_start_matches('/').as_bytes())
        .with_context(|| format!("understand the path {text:?}"))
}

/// Writes a file of a snapshot to standard output.
pub(crate) fn cat(
    repository: &Repository,
    resolved: &Resolved,
    path: &str,
    output: &Output,
) -> Result<Code> {
    let path = snapshot_path(path)?;
    let progress = output.progress();
    let mut out = std::io::stdout().lock();
    read::cat(repository, resolved.snapshot.tree, &path, &mut out, &progress)?;
    std::io::Write::flush(&mut out).context("write to standard output")?;
    Ok(Code::Done)
}

/// Restores a snapshot; everything that could not be restored is named, and makes the code 1.
pub(crate) fn restore(
    repository: &Repository,
    resolved: &Resolved,
    target: &Path,
    options: &restore::Options,
    output: &Output,
) -> Result<Code> {
    let progress = output.progress();
    let summary = restore::restore(repository, resolved.snapshot.tree, target, options, &progress)?;
    progress.finish();
    let problems: Vec<String> = summary.problems.iter().map(ToString::to_string).collect();
    if output.is_json() {
        output.json(&json!({
            "snapshot": resolved.id.to_string(),
            "target": target,
            "files": summary.files,
            "directories": summary.directories,
            "others": summary.others,
            "bytes": summary.bytes,
            "problems": problems,
        }))?;
    } else {
        output.line(format_args!(
            "restored snapshot {:.8} of {} into {}: {} files, {}",
            resolved.id,
            whole_seconds(resolved.snapshot.time),
            target.display(),
            summary.files,
            human::bytes(summary.bytes)
        ))?;
    }
    if problems.is_empty() {
        return Ok(Code::Done);
    }
    output.remark(format_args!("{} things could not be restored as they were", problems.len()));
    Ok(Code::Failed)
}

/// Checks a repository and tells what is wrong with it.
pub(crate) fn check(
    repository: &Repository,
    options: check::Options,
    output: &Output,
) -> Result<Code> {
    let progress = output.progress();
    let report = check::check(repository, options, &progress)?;
    progress.finish();
    let counts = report.counts;
    if output.is_json() {
        output.json(&json!({
            "clean": report.is_clean(),
            "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "leftover_packs": report.leftovers.len(),
            "keys": counts.keys,
            "indexes": counts.indexes,
            "packs": counts.packs,
            "blobs": counts.blobs,
            "snapshots": counts.snapshots,
            "trees": counts.trees,
            "bytes_read": counts.bytes_read,
        }))?;
    } else {
        output.line(format_args!(
            "checked {} snapshots, {} packs, {} blobs{}",
            counts.snapshots,
            counts.packs,
            counts.blobs,
            if options.read_data {
                format!(", and read {}", human::bytes(counts.bytes_read))
            } else {
                String::new()
            }
        ))?;
        if !report.leftovers.is_empty() {
            output.remark(format_args!(
                "{} packs are in no index: left by an interrupted backup, and harmless",
                report.leftovers.len()
            ));
        }
        output.line(if report.is_clean() {
            "no problems were found".to_owned()
        } else {
            format!("{} problems were found", report.problems.len())
        })?;
    }
    Ok(if report.is_clean() { Code::Done } else { Code::Failed })
}

/// A time without its fraction, as lists show it.
pub(crate) fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_unix(at.unix_seconds(), 0).unwrap_or(at).to_string()
}
