//! The hand-overs `[[handover]]` of an agent, from settings.

mod confirm;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use outlast_agent::Handover;
use outlast_civil::Zone;
use outlast_fs::accounts;
use outlast_handover::age::Recipient;
use outlast_handover::rules::Frees;
use outlast_handover::{Place, Rules};

use super::flaw::Flaw;
use super::values::{Item, Settings};

pub(crate) use confirm::{Confirmer, Confirmers, With};

/// The name of the sections.
const HANDOVER: &str = "handover";
/// Each is two threads.
const HANDOVERS_MAX: usize = 20;
const NAME_LENGTH_MAX: usize = 40;
/// Smaller parts would be more files than a tape likes.
const FILE_MIN: u64 = 1 << 20;

/// What is wrong with hand-overs whose keys are right each by itself.
pub(super) fn judge(settings: &Settings) -> Vec<Flaw> {
    let items = settings.listed(HANDOVER);
    let mut flaws = Vec::new();
    if let Some(item) = items.get(HANDOVERS_MAX) {
        flaws.push(item.flaw(&format!("there are more than {HANDOVERS_MAX}, each two threads")));
    }
    for (index, item) in items.iter().enumerate() {
        flaws.extend(judge_name(settings, item, &items[..index]));
        flaws.extend(judge_directory(settings, item, &items[..index]));
        flaws.extend(judge_numbers(settings, item));
        flaws.extend(judge_words(settings, item));
        flaws.extend(judge_frees(settings, item, items));
        flaws.extend(confirm::judge(settings, item));
    }
    flaws
}

fn judge_name(settings: &Settings, item: &Item, earlier: &[Item]) -> Option<Flaw> {
    let key = item.key("name");
    let name = settings.text_if_set(&key)?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() > NAME_LENGTH_MAX || !name.chars().all(is_plain) || name.starts_with('-') {
        return Some(settings.flaw(&key, "use small letters, digits and `-`, 40 at most"));
    }
    let is_it = |other: &&Item| settings.text_if_set(&other.key("name")) == Some(name);
    let first = earlier.iter().find(is_it)?;
    Some(settings.flaw(&key, &format!("{name} is the name of {} already", first.title)))
}

/// A directory is nobody else's: what lies in another is its files, and what lies in it would be handed over.
fn judge_directory(settings: &Settings, item: &Item, earlier: &[Item]) -> Option<Flaw> {
    let key = item.key("directory");
    let directory = settings.path_if_set(&key)?;
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !directory.is_absolute() || !directory.components().all(is_plain) {
        return Some(settings.flaw(&key, "give the whole path, from / on and without `..`"));
    }
    if directory.parent().is_none() {
        return Some(settings.flaw(&key, "give a directory below /, which nobody else writes to"));
    }
    let place = Place::of(&directory);
    let others = earlier.iter().filter_map(|other| {
        let path = settings.path_if_set(&other.key("directory"))?;
        Some((format!("{}.directory", other.title), path))
    });
    let desks = earlier.iter().filter_map(|other| {
        let path = settings.path_if_set(&other.key("directory"))?;
        let words = format!("the directory beside {}.directory", other.title);
        Some((words, Place::of(&path).desk().to_owned()))
    });
    let own = ["agent.share", "agent.state", "agent.identity"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), settings.path_if_set(key)?)));
    let mut all = own.chain(others).chain(desks);
    let (other, _) =
        all.find(|(_, path)| overlap(path, place.directory()) || overlap(path, place.desk()))?;
    let words = format!("{other} is in it, or it in that: give a directory apart from both");
    Some(settings.flaw(&key, &words))
}

fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn judge_numbers(settings: &Settings, item: &Item) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut wrong = |name: &str, words: &str| flaws.push(settings.flaw(&item.key(name), words));
    if settings.count(&item.key("keep")).is_ok_and(|keep| keep == 0) {
        wrong("keep", "use 1 or more: the newest that the product has confirmed always stays");
    }
    if settings.count(&item.key("files_max")).is_ok_and(|files| files == 0) {
        wrong("files_max", "use 1 or more");
    }
    for name in ["owner", "group"] {
        // The highest number of all means nobody.
        let is_id = |id: usize| u32::try_from(id).is_ok_and(|id| id != u32::MAX);
        let key = item.key(name);
        if settings.count(&key).is_ok_and(|id| !is_id(id)) {
            wrong(name, "no user or group has such a number");
        }
        if let Some(called) = settings.text_if_set(&key)
            && account(settings, item, name).is_none()
        {
            let (kind, database) =
                if name == "owner" { ("user", "passwd") } else { ("group", "group") };
            let words = format!(
                "this host's /etc/{database} has no {kind} {called:?}: give its number, as `getent {database}` does"
            );
            wrong(name, &words);
        }
    }
    if settings.size(&item.key("file_max")).is_ok_and(|bytes| bytes < FILE_MIN) {
        wrong("file_max", "use 1MiB or more: each part is a file on a tape");
    }
    flaws
}

fn judge_words(settings: &Settings, item: &Item) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let key = item.key("workloads");
    let is_none = |key: &str| settings.grants(key).is_ok_and(|it| it.patterns() == Some(&[]));
    if is_none(&key) {
        let words = "it names no workload, so that nothing is handed over: leave it out for all";
        flaws.push(settings.flaw(&key, words));
    }
    let key = item.key("zone");
    let is_unknown = |name: &&str| Zone::named(name).is_err();
    if let Some(name) = settings.text_if_set(&key).filter(is_unknown) {
        let words = format!("this system knows no time zone {name:?}, such as \"Europe/Berlin\"");
        flaws.push(settings.flaw(&key, &words));
    }
    let key = item.key("keep_until");
    if settings.words(&key).iter().any(|word| word.trim().is_empty()) {
        flaws.push(settings.flaw(&key, "a schedule without a name would keep all for ever"));
    }
    let key = item.key("encrypt_to");
    for word in settings.words(&key) {
        if let Err(error) = word.parse::<Recipient>() {
            // What went wrong with it is told on a terminal and in logs, and whatever it is, a secret is not.
            let is_secret = word.to_ascii_lowercase().contains("secret-key");
            let shown = if is_secret { "a key of yours".to_owned() } else { format!("{word:?}") };
            flaws.push(settings.flaw(&key, &format!("{shown}: {error}")));
        }
    }
    let layout = settings.text_if_set(&item.key("layout"));
    if !settings.words(&key).is_empty() && layout != Some("plain") {
        let words = "what is encrypted is one file: it wants layout = \"plain\"";
        flaws.push(settings.flaw(&key, words));
    }
    let key = item.key("packed");
    if settings.flag(&key) && layout != Some("plain") {
        let words = "what stays compressed is one file: it wants layout = \"plain\"";
        flaws.push(settings.flaw(&key, words));
    }
    flaws
}

/// The number of the user or group that a key names.
fn account(settings: &Settings, item: &Item, name: &str) -> Option<u32> {
    let key = item.key(name);
    match settings.text_if_set(&key) {
        Some(called) if name == "owner" => accounts::user(called),
        Some(called) => accounts::group(called),
        None => settings.count(&key).ok().and_then(|id| u32::try_from(id).ok()),
    }
}

/// Where the product alone gets drops, nothing may wait for a vault to hold them: it never will.
fn judge_frees(settings: &Settings, item: &Item, all: &[Item]) -> Option<Flaw> {
    if !settings.flag(&item.key("instead")) {
        return None;
    }
    let wants_vault = |item: &Item| {
        let word = settings.text_if_set(&item.key("frees")).and_then(|it| it.parse().ok());
        !word.unwrap_or(usual(settings, item)).wants_no_vault()
    };
    if wants_vault(item) {
        let words = "with `instead = true` no vault ever holds these drops, so that none would leave the \
                     share: use \"confirmed\" or leave it out, or take `instead` out";
        return Some(settings.flaw(&item.key("frees"), words));
    }
    let patterns = |item: &Item| {
        let grants = settings.grants(&item.key("workloads")).ok();
        grants.and_then(|it| it.patterns().map(<[_]>::to_vec)).unwrap_or_default()
    };
    let own = patterns(item);
    let meets = |other: &&Item| {
        let theirs = patterns(other);
        let is_all = own.is_empty() || theirs.is_empty();
        is_all || own.iter().any(|one| theirs.iter().any(|other| one.overlaps(other)))
    };
    let other = all.iter().filter(|other| other.title != item.title).filter(meets);
    let other = other.filter(|other| wants_vault(other)).min_by_key(|other| other.title.clone())?;
    let words = format!(
        "{} takes some of these workloads, too, and waits for a vault that never holds their drops: give that \
         `frees = \"confirmed\"` or other workloads",
        other.title
    );
    Some(settings.flaw(&item.key("instead"), &words))
}

/// What frees a drop where nothing else is said.
fn usual(settings: &Settings, item: &Item) -> Frees {
    if settings.flag(&item.key("instead")) { Frees::Confirmed } else { Frees::Both }
}

/// The hand-overs, which have no flaws.
pub(super) fn build(settings: &Settings) -> Result<Vec<Handover>> {
    settings.listed(HANDOVER).iter().map(|item| handover(settings, item)).collect()
}

fn handover(settings: &Settings, item: &Item) -> Result<Handover> {
    let key = |name: &str| item.key(name);
    let directory: PathBuf = settings.path(&key("directory"))?.components().collect();
    let limit = |name: &str| {
        settings.size(&key(name)).map(|bytes| Some(bytes).filter(|bytes| *bytes != u64::MAX))
    };
    let workloads = settings.grants(&key("workloads")).ok();
    let frees = settings.text_if_set(&key("frees")).map(str::parse).transpose()?;
    let instead = settings.flag(&key("instead"));
    // What lies on the share can still be taken back by the product only as long as the directory has it.
    let least = if instead { settings.count("agent.keep")? } else { 1 };
    let new = Rules::new(settings.text(&key("name"))?, directory);
    let rules = Rules {
        workloads: workloads.and_then(|it| it.patterns().map(<[_]>::to_vec)).unwrap_or_default(),
        layout: settings.text(&key("layout"))?.parse()?,
        keep: settings.count(&key("keep"))?.max(least),
        keep_until: settings.words(&key("keep_until")).to_vec(),
        budget: limit("budget")?,
        file_max: limit("file_max")?,
        files_max: settings.count(&key("files_max"))? as u64,
        owner: account(settings, item, "owner"),
        group: account(settings, item, "group"),
        mode: u32::from_str_radix(settings.text(&key("mode"))?, 8)?,
        read_window: settings.text_if_set(&key("read_window")).map(str::parse).transpose()?,
        zone: Zone::named(settings.text(&key("zone"))?)?,
        lease: settings.duration(&key("lease"))?,
        encrypt_to: settings
            .words(&key("encrypt_to"))
            .iter()
            .map(|word| word.parse())
            .collect::<std::result::Result<_, _>>()?,
        packed: settings.flag(&key("packed")),
        frees: frees.unwrap_or(usual(settings, item)),
        instead,
        ..new
    };
    Ok(Handover { rules, confirm: confirm::pace(settings, item)? })
}

/// How the product of each hand-over is asked, by the hand-over's name.
pub(super) fn confirmers(settings: &Settings) -> Result<BTreeMap<String, Confirmers>> {
    let of = |item: &Item| {
        let name = settings.text(&item.key("name"))?.to_owned();
        Ok((name, confirm::build(settings, item)?))
    };
    settings.listed(HANDOVER).iter().map(of).collect()
}

#[cfg(test)]
mod tests;
