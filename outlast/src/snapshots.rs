//! Showing and restoring what a repository holds: the same for `repo …` and for the vault.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use outlast_format::SnapshotId;
use outlast_format::snapshot::Snapshot;
use outlast_format::tree::NodeKind;
use outlast_fs::EntryPath;
use outlast_fs::entry::show;
use outlast_fs::place::Deviation;
use outlast_repo::read::{self, Found, ReadError, Resolved};
use outlast_repo::{RepoError, Repository, restore};
use outlast_store::StoreError;
use outlast_types::{DropId, Sanity, Timestamp, human};
use serde_json::{Map, Value, json};

use crate::exit::Code;
use crate::output::{Output, counted, not_written, table, whole_seconds};
use crate::paths;

/// What the vault knows of a snapshot.
pub(crate) struct Arrived {
    pub(crate) snapshot: SnapshotId,
    pub(crate) received: Timestamp,
    /// What is thought of its content, if anybody looked.
    pub(crate) sanity: Option<Sanity>,
    /// Whether it is a recovery point.
    pub(crate) counts: bool,
    /// The drop that it is, if it is one, and what its writer says of it.
    pub(crate) drop: Option<DropId>,
    pub(crate) claims: Value,
}

impl Arrived {
    /// What the writer says that the drop was taken from, in short: `postgres 15.4`.
    fn source(&self) -> String {
        let source = self.claims.get("source");
        let word = |key| source.and_then(|source| source.get(key)).and_then(Value::as_str);
        [word("kind"), word("server")].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Lists snapshots, oldest first: by their own times, or, if it is known when which one `arrived`, in
/// that order. Damaged ones are named, and make the exit code 1.
pub(crate) fn list(
    repository: &Repository,
    arrived: Option<&[Arrived]>,
    output: &Output,
) -> Result<Code> {
    let mut found = read::snapshots(repository)?;
    let places: HashMap<SnapshotId, (usize, &Arrived)> = arrived
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(place, arrived)| (arrived.snapshot, (place, arrived)))
        .collect();
    // Those of which nobody knows come first: what says itself that it is the newest need not be.
    found.list.sort_by_key(|(id, _)| places.get(id).map(|(place, _)| *place));
    let known = |id: &SnapshotId| places.get(id).map(|(_, arrived)| *arrived);
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
        let list = found.list.iter().map(|(id, snapshot)| document(*id, snapshot, known(id)));
        output.json(&list.collect::<Vec<Value>>())?;
    } else {
        let is_known = arrived.is_some();
        let rows = found.list.iter().map(|(id, snapshot)| {
            let own = Some(snapshot.time).filter(|_| !is_known);
            row(*id, snapshot, own, known(id))
        });
        let rows: Vec<Vec<String>> = rows.collect();
        let (time, source) = if is_known { ("RECEIVED", "SOURCE") } else { ("TIME", "") };
        table(output, &["ID", time, "HOST", "SIZE", "PATHS", source], &rows)?;
        let arrived = found.list.iter().filter_map(|(id, _)| known(id));
        for Arrived { snapshot, sanity, .. } in arrived.filter(|arrived| !arrived.counts) {
            let why = sanity.as_ref().map(Sanity::why).unwrap_or_default();
            output.line(format_args!("{snapshot:.8} is suspect, and counts for nothing: {why}"))?;
        }
        if rows.is_empty() && found.unreadable.is_empty() {
            output.remark("there are no snapshots yet");
        }
    }
    Ok(if found.unreadable.is_empty() { Code::Done } else { Code::Failed })
}

/// A snapshot for programs.
fn document(id: SnapshotId, snapshot: &Snapshot, known: Option<&Arrived>) -> Value {
    let mut document = json!({
        "id": id.to_string(),
        "short_id": format!("{id:.8}"),
        "received": known.map(|arrived| arrived.received),
        "time": snapshot.time,
        "tree": snapshot.tree.to_string(),
        "hostname": snapshot.hostname,
        "username": snapshot.username,
        "paths": snapshot.paths,
        "tags": snapshot.tags,
        "bytes": snapshot.summary.map(|summary| summary.total_bytes_processed),
    });
    if let (Some(members), Some(arrived)) = (document.as_object_mut(), known) {
        members.insert("counts".to_owned(), arrived.counts.into());
        members.insert("sanity".to_owned(), json!(arrived.sanity));
        members.insert("drop".to_owned(), json!(arrived.drop));
        members.insert("claims".to_owned(), arrived.claims.clone());
    }
    document
}

/// A snapshot for people; `own` is the time that it says itself, where nobody knows better.
fn row(
    id: SnapshotId,
    snapshot: &Snapshot,
    own: Option<Timestamp>,
    known: Option<&Arrived>,
) -> Vec<String> {
    let size = snapshot.summary.map(|summary| human::bytes(summary.total_bytes_processed));
    let time = own.or(known.map(|arrived| arrived.received));
    let is_suspect = known.is_some_and(|arrived| !arrived.counts);
    let suspect = if is_suspect { " (suspect)" } else { "" };
    vec![
        format!("{id:.8}"),
        time.map_or_else(|| "-".to_owned(), whole_seconds),
        snapshot.hostname.clone(),
        size.unwrap_or_else(|| "-".to_owned()),
        format!("{}{suspect}", snapshot.paths.join(" ")),
        known.map(Arrived::source).unwrap_or_default(),
    ]
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
    let mut listing = output.listing();
    let mut found_any = false;
    let mut written = Ok(());
    read::ls(repository, resolved.snapshot.tree, |found| match found {
        Err(error) => {
            code = Code::Failed;
            output.warn(&error.to_string());
        }
        Ok(found) => {
            let is_below = below.is_none_or(|below| found.path.names().starts_with(below.names()));
            if !is_below || written.is_err() {
                return;
            }
            found_any = true;
            written = if output.is_json() {
                listing.item(&entry_document(&found))
            } else {
                listing.line(entry_line(&found))
            };
        }
    })?;
    written?;
    if let (Some(below), false, Code::Done) = (below, found_any, code) {
        bail!("snapshot {:.8} has nothing called /{below}", resolved.id);
    }
    if output.is_json() {
        listing.end_array()?;
    }
    listing.finish()?;
    Ok(code)
}

fn entry_document(Found { path, node }: &Found) -> Map<String, Value> {
    let mut document = Map::new();
    paths::insert(&mut document, "path", &absolute(path));
    for (key, value) in [
        ("type", node.kind.as_str().into()),
        ("size", node.size.into()),
        ("mode", format!("{:04o}", node.mode.permissions()).into()),
        ("uid", node.uid.into()),
        ("gid", node.gid.into()),
    ] {
        document.insert(key.to_owned(), value);
    }
    document
}

fn entry_line(Found { path, node }: &Found) -> String {
    format!(
        "{} {:04o} {:>5}:{:<5} {:>12}  {}{}",
        letter(&node.kind),
        node.mode.permissions(),
        node.uid,
        node.gid,
        node.size,
        show(&absolute(path)),
        if node.kind == NodeKind::Symlink {
            format!(" -> {}", show(&node.link_target))
        } else {
            String::new()
        }
    )
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

/// A path inside a snapshot, as people write it: any bytes, with or without a leading slash. `/` is
/// the whole snapshot, and `None`.
pub(crate) fn path_in(path: impl AsRef<OsStr>) -> Result<Option<EntryPath>> {
    let bytes = path.as_ref().as_bytes();
    let slashes = bytes.iter().take_while(|&&byte| byte == b'/').count();
    let relative = &bytes[slashes..];
    if relative.is_empty() && slashes > 0 {
        return Ok(None);
    }
    let path = EntryPath::parse(relative);
    Ok(Some(path.with_context(|| format!("cannot look for {}", show(bytes)))?))
}

/// A path in a snapshot with the slash that it begins with for people.
fn absolute(path: &EntryPath) -> Vec<u8> {
    [b"/", &path.to_bytes()[..]].concat()
}

/// Writes a file of a snapshot to standard output.
pub(crate) fn cat(
    repository: &Repository,
    resolved: &Resolved,
    path: &OsStr,
    output: &Output,
) -> Result<Code> {
    let Some(path) = path_in(path)? else {
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
        let mut document = json!({
            "snapshot": resolved.id.to_string(),
            "files": summary.files,
            "directories": summary.directories,
            "others": summary.others,
            "bytes": summary.bytes,
            "kept_bytes": summary.kept,
            "withheld": deviations(&summary.withheld),
            "copied": deviations(&summary.copied),
            "problems": problems,
        });
        if let Some(document) = document.as_object_mut() {
            paths::insert(document, "target", target.as_os_str().as_bytes());
        }
        output.json(&document)?;
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
        tell_deviations(&summary.withheld, &summary.copied, output);
    }
    if !problems.is_empty() {
        let count = counted(problems.len() as u64, "thing");
        output.remark(format_args!("{count} could not be restored as before"));
        code = Code::Failed;
    }
    Ok(code)
}

/// What was restored otherwise than it was on purpose, as a document.
pub(crate) fn deviations(list: &[Deviation]) -> Vec<Value> {
    let paths = |first: &[EntryPath]| -> Vec<String> {
        first.iter().map(|path| paths::text(&absolute(path))).collect()
    };
    list.iter()
        .map(|one| json!({ "what": one.what, "count": one.count, "paths": paths(&one.first) }))
        .collect()
}

/// The same in words.
pub(crate) fn tell_deviations(withheld: &[Deviation], copied: &[Deviation], output: &Output) {
    let count = |list: &[Deviation]| list.iter().map(|one| one.count).sum::<u64>();
    let list =
        |list: &[Deviation]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if !withheld.is_empty() {
        output.warn(&format!(
            "withheld {} that would give rights on this host: {}; if whoever wrote this is trusted \
             with them, give --privileged",
            counted(count(withheld), "thing"),
            list(withheld)
        ));
    }
    for one in copied {
        let names = counted(one.count, "further name");
        output.warn(&format!("made {names} as a copy, not as a link, because {one}"));
    }
}
