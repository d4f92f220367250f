//! Showing and restoring what a repository holds: the same for `repo …` and for the vault.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use outlast_format::SnapshotId;
use outlast_format::tree::NodeKind;
use outlast_fs::EntryPath;
use outlast_fs::entry::show;
use outlast_repo::read::{self, ReadError, Resolved};
use outlast_repo::{RepoError, Repository, restore};
use outlast_store::StoreError;
use outlast_types::{Timestamp, human};
use serde_json::{Value, json};

use crate::exit::Code;
use crate::output::{Output, counted, not_written, table};

/// Lists snapshots, oldest first: by their own times, or, if it is known when which one `arrived`, in
/// that order. Damaged ones are named, and make the exit code 1.
pub(crate) fn snapshots(
    repository: &Repository,
    arrived: Option<&[(SnapshotId, Timestamp)]>,
    output: &Output,
) -> Result<Code> {
    let mut found = read::snapshots(repository)?;
    let places: HashMap<SnapshotId, (usize, Timestamp)> = arrived
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(place, &(id, received))| (id, (place, received)))
        .collect();
    // Those of which nobody knows come first: what says itself that it is the newest need not be.
    found.list.sort_by_key(|(id, _)| places.get(id).map(|(place, _)| *place));
    let received = |id: &SnapshotId| places.get(id).map(|(_, received)| *received);
    // Who may read none of them is refused; that is no damage.
    let refused = found
        .unreadable
        .iter()
        .position(|error| matches!(error, RepoError::Store(StoreError::Refused { .. })));
    if let (true, Some(refused)) = (found.list.is_empty(), refused) {
        return Err(found.unreadable.swap_remove(refused).into());
    }
    for damaged in &found.unreadable {
        output.warn(&damaged.to_string());
    }
    if output.is_json() {
        let list: Vec<Value> = found
            .list
            .iter()
            .map(|(id, snapshot)| {
                json!({
                    "id": id.to_string(),
                    "short_id": format!("{id:.8}"),
                    "received": received(id),
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
                let time = if arrived.is_some() { received(id) } else { Some(snapshot.time) };
                vec![
                    format!("{id:.8}"),
                    time.map_or_else(|| "-".to_owned(), whole_seconds),
                    snapshot.hostname.clone(),
                    size.unwrap_or_else(|| "-".to_owned()),
                    snapshot.paths.join(" "),
                ]
            })
            .collect();
        let time = if arrived.is_some() { "RECEIVED" } else { "TIME" };
        table(output, &["ID", time, "HOST", "SIZE", "PATHS"], &rows)?;
        if rows.is_empty() && found.unreadable.is_empty() {
            output.remark("there are no snapshots yet");
        }
    }
    Ok(if found.unreadable.is_empty() { Code::Done } else { Code::Failed })
}

/// The snapshot that `wanted` names: `latest`, an id or its beginning.
pub(crate) fn resolve(repository: &Repository, wanted: &str) -> Result<Resolved> {
    Ok(read::resolve(repository, wanted)?)
}

/// Tells of snapshots that could not be read while the newest was looked for. The one that was
/// found is good, but may not be the newest, so the code is 1; naming a snapshot by its whole id
/// reads no other.
fn warn_of_damaged(resolved: &Resolved, output: &Output) -> Code {
    if resolved.unreadable.is_empty() {
        return Code::Done;
    }
    for damaged in &resolved.unreadable {
        output.warn(&damaged.to_string());
    }
    output.warn(&format!(
        "snapshot {:.8} is the newest that can be read; a damaged one may be newer",
        resolved.id
    ));
    Code::Failed
}

/// Lists what is in a snapshot, or below `path` in it.
pub(crate) fn ls(
    repository: &Repository,
    resolved: &Resolved,
    below: Option<&EntryPath>,
    output: &Output,
) -> Result<Code> {
    let mut code = warn_of_damaged(resolved, output);
    let mut documents = Vec::new();
    let mut found_any = false;
    let mut failure = Ok(());
    read::ls(repository, resolved.snapshot.tree, |found| match found {
        Err(error) => {
            code = Code::Failed;
            output.warn(&error.to_string());
        }
        Ok(found) => {
            if below.is_some_and(|below| !found.path.names().starts_with(below.names())) {
                return;
            }
            found_any = true;
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
    if let (Some(below), false, Code::Done) = (below, found_any, code) {
        bail!("snapshot {:.8} has nothing called /{below}", resolved.id);
    }
    if output.is_json() {
        output.json(&documents)?;
    }
    Ok(code)
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

/// A path inside a snapshot, as people write it: with or without a leading slash. `/` is the whole
/// snapshot, and `None`.
pub(crate) fn snapshot_path(text: &str) -> Result<Option<EntryPath>> {
    let relative = text.trim_start_matches('/');
    if relative.is_empty() && !text.is_empty() {
        return Ok(None);
    }
    let path = EntryPath::parse(relative.as_bytes());
    Ok(Some(path.with_context(|| format!("cannot look for {text:?}"))?))
}

/// Writes a file of a snapshot to standard output.
pub(crate) fn cat(
    repository: &Repository,
    resolved: &Resolved,
    path: &str,
    output: &Output,
) -> Result<Code> {
    let Some(path) = snapshot_path(path)? else {
        bail!("/ is a directory, and only files can be printed");
    };
    let code = warn_of_damaged(resolved, output);
    let progress = output.progress();
    let mut out = std::io::stdout().lock();
    match read::cat(repository, resolved.snapshot.tree, &path, &mut out, &progress) {
        Err(RepoError::Read(ReadError::Write { source, .. })) => return Err(not_written(&source)),
        result => result?,
    };
    std::io::Write::flush(&mut out).map_err(|error| not_written(&error))?;
    Ok(code)
}

/// Restores a snapshot; everything that could not be restored is named, and makes the code 1.
pub(crate) fn restore(
    repository: &Repository,
    resolved: &Resolved,
    target: &Path,
    options: &restore::Options,
    output: &Output,
) -> Result<Code> {
    let mut code = warn_of_damaged(resolved, output);
    let progress = output.progress();
    let tree = resolved.snapshot.tree;
    let summary = restore::restore(repository, tree, target, options, &progress)?;
    progress.finish();
    let problems: Vec<String> = summary.problems.iter().map(ToString::to_string).collect();
    if output.is_json() {
        output.json(&json!({
            "snapshot": resolved.id.to_string(),
            // Text at all events: a path need not be UTF-8, and JSON must be.
            "target": target.display().to_string(),
            "files": summary.files,
            "directories": summary.directories,
            "others": summary.others,
            "bytes": summary.bytes,
            "kept_bytes": summary.kept,
            "problems": problems,
        }))?;
    } else {
        let kept = match summary.kept {
            0 => String::new(),
            kept => format!(" written, {} were there already", human::bytes(kept)),
        };
        output.line(format_args!(
            "restored snapshot {:.8} of {} into {}: {}, {}{kept}",
            resolved.id,
            whole_seconds(resolved.snapshot.time),
            target.display(),
            counted(summary.files, "file"),
            human::bytes(summary.bytes)
        ))?;
    }
    if !problems.is_empty() {
        let count = counted(problems.len() as u64, "thing");
        output.remark(format_args!("{count} could not be restored as before"));
        code = Code::Failed;
    }
    Ok(code)
}

/// A time without its fraction, as lists show it.
pub(crate) fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_unix(at.unix_seconds(), 0).unwrap_or(at).to_string()
}
