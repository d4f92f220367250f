//! `outlast handover status`: what is offered, what the product has of it, and why each drop is still there.

use anyhow::Result;
use outlast_handover::ledger::Job;
use outlast_handover::status::{DropStatus, Overview};
use outlast_handover::{JobKey, Rules, State, words};
use outlast_types::{Clock, SystemClock, Timestamp, WorkloadName, human};
use serde::Serialize;
use serde_json::{Value, json};

use super::lease::as_json;
use super::which::{Chosen, Which};
use crate::exit::Code;
use crate::output::{Output, counted, table, whole_seconds};

/// Tell how hand-overs are, and why each drop is still there
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A drop is offered when it lies in the directory; read when a job that began later has sent it; confirmed when each
of its files lies in a job that ended well, by the product's own record; releasable when a newer one is confirmed,
too, and `keep` and `keep_until` allow.

Exit codes: 0 done; 1 one of them could not be read; 2 the command line is wrong.

Examples:
  outlast handover status
  outlast handover status netbackup --workload shop-db
  outlast handover status --directory /srv/handover --json"
)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    which: Which,
    /// Only the drops of this workload
    #[arg(long, value_name = "NAME")]
    workload: Option<WorkloadName>,
    /// Only drops that the product has not confirmed
    #[arg(long)]
    unconfirmed: bool,
    /// The most drops that are shown of each hand-over, for people
    #[arg(long, value_name = "COUNT", default_value_t = 30)]
    limit: usize,
}

/// One hand-over.
#[derive(Serialize)]
struct Standing {
    handover: String,
    directory: String,
    layout: String,
    keep: usize,
    keep_until: Vec<String>,
    /// Whether the product alone gets these drops, and what frees them on the share.
    instead: bool,
    frees: String,
    agent: Option<Value>,
    space: Space,
    /// How many drops are in each state.
    counts: Value,
    oldest_unconfirmed: Option<Oldest>,
    reading: Vec<Value>,
    last_job: Option<LastJob>,
    /// Words of hooks and people that the agent has not taken up.
    waiting_words: usize,
    drops: Vec<DropStatus>,
}

#[derive(Serialize)]
struct Space {
    offered: u64,
    budget: Option<u64>,
    free: Option<u64>,
}

#[derive(Serialize)]
struct Oldest {
    workload: String,
    drop: String,
    appeared: Timestamp,
    age_seconds: u64,
}

#[derive(Serialize)]
struct LastJob {
    key: JobKey,
    shown: String,
    began: Option<Timestamp>,
    last_word: Option<Timestamp>,
    /// How it ended, in words.
    outcome: String,
}

pub(super) fn run(arguments: &StatusArgs, output: &Output) -> Result<Code> {
    let (now, mut code) = (SystemClock.now(), Code::Done);
    let mut all = Vec::new();
    for chosen in arguments.which.all()? {
        match look(&chosen, arguments, now) {
            Ok(standing) => all.push(standing),
            Err(error) => {
                output.warn(&format!("{}: {error:#}", chosen.name));
                code = Code::Failed;
            }
        }
    }
    if output.is_json() {
        output.json(&json!({ "at": now, "handovers": all }))?;
        return Ok(code);
    }
    for (index, standing) in all.iter().enumerate() {
        if index > 0 {
            output.gap()?;
        }
        show(standing, arguments.limit, now, output)?;
    }
    Ok(code)
}

fn look(chosen: &Chosen, arguments: &StatusArgs, now: Timestamp) -> Result<Standing> {
    let overview = Overview::read(chosen.place.directory())?;
    let Overview { rules, ledger, leases, .. } = &overview;
    let mut drops = overview.drops(now);
    let oldest = drops
        .iter()
        .filter(|drop| drop.state < State::Confirmed)
        .min_by_key(|drop| drop.appeared)
        .map(|drop| Oldest {
            workload: drop.workload.clone(),
            drop: drop.drop.clone(),
            appeared: drop.appeared,
            age_seconds: now.since(drop.appeared).as_secs(),
        });
    let counted = |state| drops.iter().filter(|drop| drop.state == state).count();
    let counts = json!({
        "offered": counted(State::Offered),
        "read": counted(State::Read),
        "confirmed": counted(State::Confirmed),
        "releasable": counted(State::Releasable),
    });
    drops.retain(|drop| {
        let is_meant = |workload: &WorkloadName| drop.workload == workload.as_str();
        arguments.workload.as_ref().is_none_or(is_meant)
            && (!arguments.unconfirmed || drop.state < State::Confirmed)
    });
    let last = ledger.jobs().iter().max_by_key(|(_, job)| job.last_word());
    let Rules { layout, keep, keep_until, budget, instead, frees, .. } = rules;
    Ok(Standing {
        handover: chosen.name.clone(),
        directory: chosen.place.directory().display().to_string(),
        layout: layout.to_string(),
        keep: *keep,
        keep_until: keep_until.clone(),
        instead: *instead,
        frees: frees.to_string(),
        agent: overview.heartbeat.as_ref().map(|beat| {
            let age = now.since(beat.at).as_secs();
            json!({ "at": beat.at, "age_seconds": age, "state": beat.state, "trouble": beat.trouble })
        }),
        space: Space {
            offered: ledger.bytes(),
            budget: *budget,
            free: free(chosen),
        },
        counts,
        oldest_unconfirmed: oldest,
        reading: leases.iter().filter(|lease| !lease.is_over(now)).map(as_json).collect(),
        last_job: last.map(|(key, job)| last_job(key, job)),
        waiting_words: overview.waiting,
        drops,
    })
}

fn free(chosen: &Chosen) -> Option<u64> {
    let facts = rustix::fs::statvfs(chosen.place.directory()).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

fn last_job(key: &JobKey, job: &Job) -> LastJob {
    LastJob {
        key: key.clone(),
        shown: job.facts.shown(),
        began: job.began,
        last_word: job.last_word(),
        outcome: words::outcome(job),
    }
}

fn show(standing: &Standing, limit: usize, now: Timestamp, output: &Output) -> Result<()> {
    let Standing { handover, directory, layout, space, .. } = standing;
    let alone = if standing.instead { ", instead of the vault" } else { "" };
    output.line(format_args!("{handover}: {directory}, layout {layout}{alone}"))?;
    let ago = |seconds: u64| human::duration(std::time::Duration::from_secs(seconds));
    let line = |head: &str, text: String| output.line(format_args!("  {head:<10} {text}"));
    let agent = standing.agent.as_ref().map(|beat| {
        let state = beat["trouble"].as_str().or(beat["state"].as_str()).unwrap_or_default();
        format!("{state}, {} ago", ago(beat["age_seconds"].as_u64().unwrap_or_default()))
    });
    line("agent", agent.unwrap_or_else(|| "has not been there yet".to_owned()))?;
    let budget = space.budget.map_or_else(String::new, |it| format!(" of {}", human::bytes(it)));
    let free = space
        .free
        .map_or_else(String::new, |it| format!(", {} free on its disk", human::bytes(it)));
    line("space", format!("{}{budget}{free}", human::bytes(space.offered)))?;
    let count = |state: &str| format!("{} {state}", standing.counts[state]);
    line("drops", ["offered", "read", "confirmed", "releasable"].map(count).join(", "))?;
    line("share", freed_for(&standing.frees).to_owned())?;
    if let Some(oldest) = &standing.oldest_unconfirmed {
        let age = ago(oldest.age_seconds);
        line("oldest", format!("{} of {}, unconfirmed for {age}", oldest.drop, oldest.workload))?;
    }
    for lease in &standing.reading {
        let job: outlast_handover::JobFacts = serde_json::from_value(lease["job"].clone())?;
        let time = |key: &str| lease[key].as_str().and_then(|text| text.parse().ok());
        let time = |key: &str| time(key).map_or_else(|| "-".to_owned(), whole_seconds);
        let words = format!("{}, stream {}, since {}", job.shown(), lease["stream"], time("began"));
        line("reads now", format!("{words}, at most until {}", time("deadline")))?;
    }
    if let Some(last) = &standing.last_job {
        let at = last
            .last_word
            .map_or_else(String::new, |at| format!(", {} ago", human::duration(now.since(at))));
        line("last job", format!("{} {}{at}", last.shown, last.outcome))?;
    }
    if standing.waiting_words > 0 {
        let words = counted(standing.waiting_words as u64, "word");
        line("waiting", format!("{words} of hooks that the agent has not taken up yet"))?;
    }
    let rows: Vec<Vec<String>> = standing.drops.iter().take(limit).map(row).collect();
    if !rows.is_empty() {
        table(output, &["WORKLOAD", "DROP", "APPEARED", "SIZE", "STATE", "HELD BY", "WHY"], &rows)?;
    }
    let more = standing.drops.len().saturating_sub(limit);
    if more > 0 {
        let more = counted(more as u64, "drop");
        output
            .line(format_args!("and {more} more; --limit shows them, --workload those of one"))?;
    }
    Ok(())
}

/// When a drop leaves the share.
fn freed_for(frees: &str) -> &'static str {
    match frees {
        "vaulted" => "a drop leaves it when the vault holds it and it was offered here",
        "confirmed" => {
            "a drop leaves it when the product has confirmed it and the vault has heard so"
        }
        "either" => "a drop leaves it when the vault holds it, or has heard that the product does",
        _ => "a drop leaves it when the vault holds it and the product has confirmed it",
    }
}

fn row(drop: &DropStatus) -> Vec<String> {
    let state = serde_json::to_value(drop.state).ok();
    vec![
        drop.workload.clone(),
        drop.drop.clone(),
        whole_seconds(drop.appeared),
        human::bytes(drop.bytes),
        state.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
        if drop.schedules.is_empty() { "-".to_owned() } else { drop.schedules.join(", ") },
        drop.why.clone(),
    ]
}
