//! The directories that other backup products read: whether they can be what such a product wants.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use outlast_agent::Handover;
use outlast_handover::{Place, Rules};
use outlast_types::human;

use super::finding::Finding;
use super::mount::Mount;
use super::place;

const CHECK: &str = "hand-over";
/// What a hand-over needs to take one drop more.
const BYTES_MIN: u64 = 256 << 20;

/// Looks at one hand-over of an agent.
pub(super) fn look(handover: &Handover, found: &mut Vec<Finding>) {
    let rules = &handover.rules;
    let place = Place::of(&rules.directory);
    if let Err(finding) = kinds(rules, &place) {
        found.push(finding);
        return;
    }
    found.extend(mounts(rules, &place));
    found.extend(permissions(rules, place.directory()));
    place::directory(CHECK, place.desk(), BYTES_MIN, found);
    found.extend(budget(rules, &place));
    if handover.confirm.is_none() {
        let words = format!(
            "{}: nobody asks the product what it has, so that a drop is confirmed only if somebody says so",
            rules.name
        );
        let fix = "set [handover.confirm], or run `outlast handover confirm` by hand or by a hook";
        found.push(Finding::warning(CHECK, words).fix(fix));
    }
    if !rules.encrypt_to.is_empty() {
        return;
    }
    let clear = format!(
        "{}: dumps lie in clear in {} and on the product's media",
        rules.name,
        rules.directory.display()
    );
    let fix =
        "set `encrypt_to`, or let few read it (`owner`, `group`, `mode`) and the product encrypt";
    found.push(Finding::warning(CHECK, clear).fix(fix));
}

/// Whether both directories are what they must be, as far as they are there.
fn kinds(rules: &Rules, place: &Place) -> Result<(), Finding> {
    for path in [place.directory(), place.desk()] {
        let Ok(facts) = path.symlink_metadata() else { continue };
        let (name, shown) = (&rules.name, path.display());
        if facts.is_symlink() {
            let words = format!(
                "{name}: {shown} is a symbolic link, and a product would store the link itself"
            );
            return Err(Finding::bad(CHECK, words).fix("name the real directory"));
        }
        if !facts.is_dir() {
            let words = format!("{name}: {shown} is no directory");
            return Err(Finding::bad(CHECK, words).fix("move it away, or name another directory"));
        }
    }
    Ok(())
}

/// Where both lie: on one file system, of this host.
fn mounts(rules: &Rules, place: &Place) -> Option<Finding> {
    let (name, shown) = (&rules.name, place.directory().display());
    let device = |path: &Path| nearest(path).and_then(|it| it.metadata().ok()).map(|it| it.dev());
    if device(place.directory()) != device(place.desk()) {
        let words = format!(
            "{name}: {shown} and {} are on two file systems, so that nothing can appear by one rename",
            place.desk().display()
        );
        let fix = "mount one file system above both: make a directory in it, and name that";
        return Some(Finding::bad(CHECK, words).fix(fix));
    }
    let mount = nearest(place.directory()).and_then(Mount::of)?;
    if mount.is_network() {
        let words = format!(
            "{name}: {shown} is on {}: products read from there slowly, miss what they do not follow, and hang when it does",
            mount.kind
        );
        return Some(Finding::bad(CHECK, words).fix("use a disk of this host"));
    }
    None
}

/// Whether the directory belongs to whom the rules say.
fn permissions(rules: &Rules, directory: &Path) -> Option<Finding> {
    let facts = directory.metadata().ok()?;
    let (uid, gid, mode) = (facts.uid(), facts.gid(), facts.mode() & 0o7777);
    let is_owner = rules.owner.is_none_or(|owner| owner == uid);
    let is_group = rules.group.is_none_or(|group| group == gid);
    let wanted = rules.directory_mode();
    if is_owner && is_group && mode == wanted {
        return None;
    }
    let words = format!(
        "{}: {} is of {uid}:{gid} with the mode {mode:04o}, and not {}:{} with {wanted:04o}",
        rules.name,
        directory.display(),
        rules.owner.unwrap_or(uid),
        rules.group.unwrap_or(gid)
    );
    let fix = "the agent sets that at its start, for which it needs to be root or the owner: look at its log";
    Some(Finding::warning(CHECK, words).fix(fix))
}

/// Whether the budget fits on the disk.
fn budget(rules: &Rules, place: &Place) -> Option<Finding> {
    let stat = rustix::fs::statvfs(nearest(place.directory())?).ok()?;
    let all = stat.f_blocks.saturating_mul(stat.f_frsize);
    match rules.budget {
        Some(budget) if budget > all => {
            let (budget, all) = (human::bytes(budget), human::bytes(all));
            let words = format!("{}: its budget is {budget}, and its disk has {all}", rules.name);
            Some(Finding::warning(CHECK, words).fix("set a smaller `budget`, or use a larger disk"))
        }
        _ => None,
    }
}

/// The directory itself, or whatever is there above it.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.exists())
}
