//! `outlast share …`: making a share, looking at it, cleaning it up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use outlast_agent::declaration;
use outlast_drop::adopt::{self, waiting::Waiting};
use outlast_drop::{
    CleanOptions, NoticeLevel, Opening, ReceiptState, Share, ShareStatus, Verifier, WorkloadStatus,
    clean, status_of, status_up_to,
};
use outlast_fs::{accounts, durable};
use outlast_types::{Clock, DropId, SystemClock, SystemRandom, WorkloadName, human};
use serde_json::json;

use crate::exit::Code;
use crate::output::whole_seconds;
use crate::output::{Output, counted, table};
use outlast_wire::api::{AcceptOrder, WorkloadView};
use outlast_wire::receipts::Authority;
use outlast_wire::sealed_key::BoxKey;
use outlast_wire::{ApiClient, Fingerprint};

use super::sources;
use super::vault_access::VaultAccess;

/// Make a share, look at it, clean it up; accept drops that look like no backup
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast share init /mnt/efs/outlast
  outlast share status /mnt/efs/outlast
  outlast share clean --dry-run /mnt/efs/outlast
  outlast share accept 01a2066b-8649-78cb-a8bc-a5af0e952507 --dir ./outlast-data")]
pub(crate) enum Command {
    /// Make an empty directory a share
    #[command(
        after_help = "What anybody makes on the share gets the permissions and the group of the directory above it,
whatever its umask, in the end those of the share: so whoever comes first does not shut the others out.
docs/share-permissions.md tells which to choose for which file server.

Examples:
  outlast share init /mnt/efs/outlast
  outlast share init --group backup /mnt/efs/outlast              # instances and agent are in that group
  outlast share init --mode 0777 /mnt/efs/outlast                 # any user of any host that mounts it
  outlast share init --among-others /mnt/efs                      # where teams write files already"
    )]
    Init {
        /// An empty directory, made if missing; on the shared drive
        dir: PathBuf,
        /// Permissions of the share and all directories on it, in octal [default: those of DIR]
        #[arg(long, value_name = "MODE", value_parser = parse_mode)]
        mode: Option<u32>,
        /// The group of everything on it, by name or number; without --mode, it may write
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        /// In a directory in which other files lie: they stay, and an agent can adopt them
        #[arg(long)]
        among_others: bool,
    },
    /// Make a key for `outlast drop --seal-to`, and print its public half
    #[command(
        after_help = "Whoever has the secret key can read what is dropped with the public one. It belongs on the agent's host
alone, and into the safe: without it, sealed drops that no agent has shipped yet are lost. A second
agent, or one that replaces the first, needs the same file.

Examples:
  outlast share key /etc/outlast/seal.key            # agent.toml: seal_key = \"/etc/outlast/seal.key\"
  outlast share key /etc/outlast/seal.key > seal.pub # goes into the instances' image"
    )]
    Key {
        /// The file for the secret key, which must not be there yet
        file: PathBuf,
    },
    /// Tell what is on the share, for each workload
    #[command(after_help = "Examples:
  outlast share status /mnt/efs/outlast
  outlast share status /mnt/efs/outlast --ca /etc/outlast/identity/ca.pem
  outlast share status /mnt/efs/outlast --workload shop-db     # what of it waits for what, and why
  outlast share status up/share --ca up/identity/agent/ca.pem --json

Whoever can write to the share can write receipts. With the authority's certificate they are
verified; without it, the states that they say are claims, and shown with a question mark.

What matters most comes first: trouble, then what waits longest for the vault, then who uses most.")]
    Status {
        /// The share's directory
        dir: PathBuf,
        /// Only this workload, and all that is known of it
        #[arg(long, value_name = "NAME")]
        workload: Option<WorkloadName>,
        /// The most workloads that are told
        #[arg(long, value_name = "COUNT", default_value_t = 100, conflicts_with = "workload")]
        limit: usize,
        #[command(flatten)]
        ca: Ca,
    },
    /// Remove what dead writers and finished drops left behind; never a drop that is not vaulted
    #[command(after_help = "Examples:
  outlast share clean --dry-run /mnt/efs/outlast
  outlast share clean --grace 6h --ca /etc/outlast/identity/ca.pem /mnt/efs/outlast

A drop that was rejected is removed only where its receipt can be verified, which needs --ca.")]
    Clean {
        /// The share's directory
        dir: PathBuf,
        #[command(flatten)]
        ca: Ca,
        /// Only tell what would be removed
        #[arg(long)]
        dry_run: bool,
        /// How long a drop must have been still before it counts as left behind
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = human::parse_duration)]
        grace: Duration,
    },
    /// Take a drop for a backup that is suspect, or was rejected as no whole one
    ///
    /// The order goes to the vault, which writes it down. A suspect drop counts from then on. One that
    /// lies in quarantine on a share is taken by its agent, if it still is what was rejected.
    #[command(after_help = "Examples:
  outlast share accept 01a2066b-8649-78cb-a8bc-a5af0e952507 --dir ./outlast-data
  outlast share accept 01a2066b-8649-78cb-a8bc-a5af0e952507 --reason \"orders were archived\" \\
    --vault https://vault.example:8443/ --identity ./operator

`outlast workload show` tells which drops are suspect or in quarantine, and why.")]
    Accept {
        /// The drop's id
        drop: DropId,
        /// Its workload [default: the one that has it]
        #[arg(long, value_name = "WORKLOAD")]
        workload: Option<WorkloadName>,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        vault: VaultAccess,
    },
}

/// Whose receipts count.
#[derive(Debug, Args)]
pub(crate) struct Ca {
    /// The certificate of the authority whose agents and vaults sign receipts, to verify them; or its
    /// SHA-256 fingerprint, 64 hexadecimal digits
    #[arg(long, value_name = "FILE|FINGERPRINT", env = "OUTLAST_CA")]
    ca: Option<PathBuf>,
}

impl Ca {
    pub(crate) fn load(&self) -> Result<Option<Authority>> {
        let Some(ca) = &self.ca else { return Ok(None) };
        // As `openssl x509 -fingerprint -sha256` prints it, too.
        let digits = ca.to_str().map(|text| text.replace(':', "").to_lowercase());
        match digits.and_then(|digits| Fingerprint::try_from(digits).ok()) {
            Some(fingerprint) => Ok(Some(Authority::named(fingerprint))),
            None => Ok(Some(Authority::load(ca)?)),
        }
    }
}

pub(crate) fn run(command: Command, output: &Output) -> Result<Code> {
    match command {
        Command::Init { dir, mode, group, among_others } => {
            let group = group.as_deref().map(group_id).transpose()?;
            let opening = Opening { mode, group, among_others };
            let share = Share::init_for(&dir, opening, &SystemClock, &SystemRandom)?;
            if output.is_json() {
                output.json(
                    &json!({ "share": share.id().to_string(), "path": dir.display().to_string() }),
                )?;
            } else {
                output.line(format_args!("made share {} in {}", share.id(), dir.display()))?;
            }
            Ok(Code::Done)
        }
        Command::Key { file } => {
            let key = BoxKey::generate(&SystemRandom);
            durable::create_new(&file, key.to_text().as_bytes(), 0o600)
                .with_context(|| format!("cannot make {}", file.display()))?;
            if output.is_json() {
                output.json(&json!({ "public_key": key.public().to_string() }))?;
            } else {
                output.line(key.public())?;
            }
            Ok(Code::Done)
        }
        Command::Status { dir, workload, limit, ca } => {
            let (share, ca) = (Share::open(&dir)?, ca.load()?);
            let verifier = ca.as_ref().map(|ca| ca as &dyn Verifier);
            let found = match &workload {
                Some(workload) => status_of(&share, workload, verifier)?,
                None => status_up_to(&share, limit, verifier)?,
            };
            show_status(&share, found, workload.as_ref(), output)
        }
        Command::Clean { dir, ca, dry_run, grace } => {
            let options = CleanOptions { grace, dry_run, ..CleanOptions::default() };
            clean_up(&Share::open(&dir)?, &options, ca.load()?.as_ref(), output)
        }
        Command::Accept { drop, workload, reason, vault } => {
            accept(&vault.client()?, drop, workload, reason, output)
        }
    }
}

fn accept(
    client: &ApiClient,
    drop: DropId,
    workload: Option<WorkloadName>,
    reason: Option<String>,
    output: &Output,
) -> Result<Code> {
    let workload = match workload {
        Some(workload) => workload,
        None => workload_of(client, drop)?,
    };
    let order = client.accept(&workload, &AcceptOrder { drop, reason })?;
    if output.is_json() {
        output.json(&order)?;
    } else {
        output.line(format_args!(
            "{} {}: accepted drop {drop} of {workload}",
            whole_seconds(order.at),
            order.by
        ))?;
    }
    Ok(Code::Done)
}

/// The workload that has a doubtful drop.
fn workload_of(client: &ApiClient, drop: DropId) -> Result<WorkloadName> {
    let has = |workload: &WorkloadView| {
        let mut doubtful = workload.quarantine.iter().chain(&workload.suspect);
        doubtful.any(|doubtful| doubtful.drop == drop)
    };
    if let Some(workload) = client.workloads()?.into_iter().find(has) {
        return Ok(workload.name);
    }
    let snapshots = client.snapshots(None)?;
    let found = snapshots.into_iter().find(|snapshot| snapshot.drop == Some(drop));
    found.map(|snapshot| snapshot.workload).with_context(|| {
        format!(
            "the vault knows of no drop {drop}, neither vaulted nor in the quarantine of an agent; an \
             agent tells of what it refused when it reports next"
        )
    })
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o3777 && mode & 0o700 == 0o700 => Ok(mode),
        _ => Err("permissions in octal that let the owner do everything, such as 2770".to_owned()),
    }
}

/// The number of a group that is given by name or number.
fn group_id(group: &str) -> Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    accounts::group(group).with_context(|| {
        format!(
            "this host's /etc/group has no group {group}; give its number, as `getent group` does"
        )
    })
}

/// Shows what was found; of one workload, all that is known of it.
fn show_status(
    share: &Share,
    mut found: ShareStatus,
    one: Option<&WorkloadName>,
    output: &Output,
) -> Result<Code> {
    let is_one = one.is_some();
    for workload in &mut found.workloads {
        if let Err(error) = declaration::read(share, &workload.workload) {
            workload.problems.push(error.to_string());
        }
    }
    let sources = sources::beside(share.path());
    let adopting = adopt::waiting::read(share).map(|mut adopting| {
        adopting.files.retain(|file| one.is_none_or(|one| file.workload.as_ref() == Some(one)));
        adopting
    });
    if output.is_json() {
        let mut document = serde_json::to_value(&found).context("cannot tell what was found")?;
        if !sources.is_empty() {
            document["sources"] = json!(sources);
        }
        if let Some(adopting) = &adopting {
            document["adopting"] = json!(adopting);
        }
        output.json(&document)?;
        return Ok(Code::Done);
    }
    output.line(format_args!("share {} in {}", found.share, found.path.display()))?;
    let rows: Vec<Vec<String>> =
        found.workloads.iter().map(|workload| row(workload, found.verified)).collect();
    table(output, &["WORKLOAD", "NEWEST SEALED", "STATE", "USED", "DROPS", "WAITS FOR"], &rows)?;
    if is_one {
        show_waiting(&found, output)?;
    }
    if let Some(adopting) = adopting.filter(|adopting| !adopting.files.is_empty()) {
        show_adopting(&adopting, is_one, output)?;
    }
    sum_up(&found, output)?;
    found.workloads.iter().try_for_each(|workload| tell_notice(workload, output))?;
    for source in &sources {
        let about = source.problem.as_ref().or(source.gaps.as_ref());
        let about = about.map_or_else(String::new, |about| format!(": {about}"));
        output.line(format_args!("source {}: {}{about}", source.workload, source.state))?;
    }
    for problem in
        found.problems.iter().chain(found.workloads.iter().flat_map(|workload| &workload.problems))
    {
        output.line(format_args!("problem: {problem}"))?;
    }
    Ok(Code::Done)
}

/// What is to be said of all workloads together.
fn sum_up(found: &ShareStatus, output: &Output) -> Result<()> {
    if found.more_workloads > 0 {
        let more = counted(found.more_workloads as u64, "workload");
        output.line(format_args!("and {more} more; --limit and --workload show them"))?;
    }
    if found.workloads.len() + found.more_workloads > 1 {
        let counts = counts(&found.counts, found.verified);
        output.line(format_args!("in all: {}, {counts}", human::bytes(found.used_bytes)))?;
    }
    if found.workloads.is_empty() {
        output.remark("there are no drops yet");
    } else if !found.verified {
        output.remark(
            "a question mark: what receipts say was not verified; name the authority by --ca",
        );
    }
    if found.foreign > 0 {
        let things = counted(found.foreign, "thing");
        output
            .line(format_args!("ignored: {things} that file servers or tools left among ours"))?;
    }
    Ok(())
}

/// What writers of a workload are told of room, if anything.
fn tell_notice(workload: &WorkloadStatus, output: &Output) -> Result<()> {
    let Some(notice) = &workload.notice else { return Ok(()) };
    let written = notice.written.map_or_else(|| "?".to_owned(), whole_seconds);
    let level = match notice.level {
        NoticeLevel::Warn => "writers are warned",
        NoticeLevel::Refuse => "writers are refused",
    };
    let (name, reason, left) = (&workload.workload, &notice.reason, human::bytes(notice.left));
    output.line(format_args!("{name}: {level}, since {reason}; {left} left (said at {written})"))
}

fn row(workload: &WorkloadStatus, verified: bool) -> Vec<String> {
    let newest = workload.newest.as_ref();
    let changed = newest.and_then(|newest| newest.changed);
    let waits = workload.waiting.first();
    vec![
        workload.workload.to_string(),
        changed.map_or_else(|| "-".to_owned(), whole_seconds),
        newest.map_or_else(|| "-".to_owned(), |newest| shown(&newest.state, verified)),
        human::bytes(workload.used_bytes),
        match workload.suspect {
            0 => counts(&workload.counts, verified),
            suspect => format!("{}, {suspect} suspect", counts(&workload.counts, verified)),
        },
        waits.map_or("-", |waits| waits.waits_for).to_owned(),
    ]
}

/// A state as it is shown: what the files of a drop say themselves needs no signature.
fn shown(state: &str, verified: bool) -> String {
    match state.parse::<ReceiptState>() {
        Ok(_) if !verified => format!("{state}?"),
        _ => state.to_owned(),
    }
}

fn counts(counts: &BTreeMap<String, u64>, verified: bool) -> String {
    let one = |(state, count): (&String, &u64)| format!("{count} {}", shown(state, verified));
    let counts: Vec<String> = counts.iter().map(one).collect();
    if counts.is_empty() { "no drops".to_owned() } else { counts.join(", ") }
}

/// What of one workload waits for whom, and why.
fn show_waiting(found: &ShareStatus, output: &Output) -> Result<()> {
    for waiting in found.workloads.iter().flat_map(|workload| &workload.waiting) {
        let drops = counted(waiting.drops, "drop");
        let (state, bytes) = (shown(&waiting.state, found.verified), human::bytes(waiting.bytes));
        let since = waiting.since.map_or_else(|| "?".to_owned(), whole_seconds);
        let (waits_for, why) = (waiting.waits_for, &waiting.why);
        output.line(format_args!(
            "{drops} {state}, {bytes}, since {since}: waits for {waits_for}; {why}"
        ))?;
    }
    Ok(())
}

/// The most files that are told beside the workloads.
const ADOPTING_MAX: usize = 20;

/// Which files an agent is to adopt, and why it has not yet.
fn show_adopting(adopting: &Waiting, is_one: bool, output: &Output) -> Result<()> {
    let at = whole_seconds(adopting.at);
    output.line(format_args!("files to be adopted that wait, as the agent said at {at}:"))?;
    let max = if is_one { usize::MAX } else { ADOPTING_MAX };
    for file in adopting.files.iter().take(max) {
        let bytes = human::bytes(file.bytes);
        let of = file.workload.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
        output.line(format_args!("  {}{of}, {bytes}: {}", file.path, file.why))?;
    }
    let more = adopting.more + adopting.files.len().saturating_sub(max) as u64;
    if more > 0 {
        output.line(format_args!("  and {} more", counted(more, "file")))?;
    }
    Ok(())
}

fn clean_up(
    share: &Share,
    options: &CleanOptions,
    ca: Option<&Authority>,
    output: &Output,
) -> Result<Code> {
    let cleaned = clean(share, SystemClock.now(), options, ca.map(|ca| ca as &dyn Verifier))?;
    let bytes: u64 = cleaned.removed.iter().map(|removal| removal.bytes).sum();
    if output.is_json() {
        let removed: Vec<_> = cleaned
            .removed
            .iter()
            .map(|removal| {
                json!({
                    "path": removal.path.display().to_string(),
                    "why": removal.why.to_string(),
                    "bytes": removal.bytes,
                })
            })
            .collect();
        let problems: Vec<String> = cleaned.problems.iter().map(ToString::to_string).collect();
        output.json(&json!({
            "dry_run": options.dry_run, "removed": removed, "bytes": bytes, "problems": problems,
            "unproven": cleaned.unproven,
        }))?;
    } else {
        let verb = if options.dry_run { "would remove" } else { "removed" };
        for removal in &cleaned.removed {
            output.line(format_args!(
                "{verb} {} ({}, {})",
                removal.path.display(),
                removal.why,
                human::bytes(removal.bytes)
            ))?;
        }
        for problem in &cleaned.problems {
            output.warn(&format!("left for the next time: {problem}"));
        }
        if cleaned.unproven > 0 {
            output.remark(format!(
                "{} may have been rejected; to remove them, let their receipts be verified by --ca",
                counted(cleaned.unproven, "drop")
            ));
        }
        output.line(format_args!(
            "{verb} {}, {}",
            counted(cleaned.removed.len() as u64, "thing"),
            human::bytes(bytes)
        ))?;
    }
    Ok(if cleaned.problems.is_empty() { Code::Done } else { Code::Failed })
}
