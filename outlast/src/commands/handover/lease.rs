//! `outlast handover begin` and `end`: what a product's hooks run. Quick whatever there is to be read, and without an agent.

use std::time::Duration;

use anyhow::Result;
use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::ledger::UNTOLD;
use outlast_handover::status::{Heartbeat, heartbeat, holds_a_drop, rules};
use outlast_handover::{Lease, Place};
use outlast_types::{Environment, Timestamp, human};
use serde_json::json;

use super::facts::JobArgs;
use super::which::Which;
use crate::exit::Code;
use crate::output::{Output, whole_seconds};

/// An agent that has said nothing for so long is not well: it does each minute.
const SILENCE: Duration = Duration::from_secs(900);

/// Say that a job of the product begins to read: nothing leaves until it ends
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A job is known by its id; where the product gives none, by its client, policy, schedule, type and start. What
NetBackup says in variables ($BACKUPID, $UNIXBACKUPTIME, $STREAM_NUMBER) is taken from there. The same may be said
again, by each stream of a job, and after a retry. A lease that nobody ends lapses at its deadline.

It takes milliseconds, whatever there is to be read, and needs no agent. With --strict, a job begins only if there is
something to read and somebody sees to it; without, it is only warned of.

Exit codes: 0 it may read; 1 it could not be noted; 2 the command line is wrong; 3 nothing to be read, or nobody
sees to it (--strict): nothing was noted.

Examples:
  outlast handover begin netbackup --client agenthost --policy apps --schedule daily --type FULL
  outlast handover begin --directory /srv/handover --job 4711 --lease 8h
  outlast handover begin bacula --job 4711 --stream 2 --streams 4 --strict"
)]
pub(crate) struct BeginArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    job: JobArgs,
    /// How long the job may take at most [default: `lease` of agent.toml]
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    lease: Option<Duration>,
    /// Refuse (exit code 3) if no drop lies there, or the agent is not well
    #[arg(long)]
    strict: bool,
}

/// Say that a job's client has sent its data, and with which status
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It frees nothing: a client reports when it has sent its data, and that it is on the product's storage is what
`outlast handover confirm` says. The same may be said again. Where the end knows less of the job than the beginning did,
the newest lease is meant that fits.

Exit codes: 0 noted, or there is no lease of it any more; 1 it could not be noted; 2 the command line is wrong.

Examples:
  outlast handover end netbackup --client agenthost --policy apps --schedule daily --type FULL --status 0
  outlast handover end --directory /srv/handover --job 4711 --status 1"
)]
pub(crate) struct EndArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    job: JobArgs,
    /// The status that the client reports; 0 is well, 1 partially [default: it has ended, and nobody says how]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    status: Option<i32>,
}

pub(super) fn begin(arguments: &BeginArgs, output: &Output) -> Result<Code> {
    let (chosen, environment) = (arguments.which.one()?, Environment::system());
    let (place, said) = (&chosen.place, arguments.job.said()?);
    let now = environment.clock.now();
    let length = match arguments.lease {
        Some(length) => length,
        None => rules(place)?.lease,
    };
    let said = said.of_run(place, now)?;
    let wrong = trouble(place, now)?;
    if let Some(wrong) = wrong.as_ref().filter(|_| arguments.strict) {
        if output.is_json() {
            output.json(&json!({ "handover": chosen.name, "lease": null, "refused": wrong }))?;
        }
        output.warn(&format!("{}: {wrong}; no lease was taken (--strict)", chosen.name));
        return Ok(Code::Incomplete);
    }
    let beginning = Beginning { job: said.job, stream: said.stream, streams: said.streams, length };
    let (lease, is_new) = lease::begin(place, &beginning, &environment)?;
    if let Some(wrong) = &wrong {
        output.warn(&format!("{}: {wrong}; the job may read all the same", chosen.name));
    }
    if output.is_json() {
        let lease = as_json(&lease);
        output.json(
            &json!({ "handover": chosen.name, "lease": lease, "new": is_new, "warning": wrong }),
        )?;
    } else {
        let until = whole_seconds(lease.deadline);
        let again = if is_new { "" } else { ", as before" };
        output.line(format_args!("{} may read until {until}{again}", shown(&lease)))?;
    }
    Ok(Code::Done)
}

pub(super) fn end(arguments: &EndArgs, output: &Output) -> Result<Code> {
    let (chosen, environment) = (arguments.which.one()?, Environment::system());
    let said = arguments.job.said()?;
    // What is no hand-over at all must not look like a job that has ended.
    rules(&chosen.place)?;
    let Some(lease) = said.lease(&chosen.place)? else {
        let job = said.job.shown();
        if output.is_json() {
            output.json(&json!({ "handover": chosen.name, "lease": null }))?;
        } else {
            output.warn(&format!(
                "{}: there is no lease of {job}, stream {}: it has ended or lapsed already, or never began",
                chosen.name, said.stream
            ));
        }
        return Ok(Code::Done);
    };
    let status = arguments.status.unwrap_or(UNTOLD);
    // First it is said, then the lease goes: between the two, it is known and still reads.
    inbox::put(&chosen.place, &Word::Ended { lease: lease.clone(), status }, &environment)?;
    lease::release(&chosen.place, &lease.key(), lease.stream)?;
    if output.is_json() {
        let lease = as_json(&lease);
        output.json(
            &json!({ "handover": chosen.name, "lease": lease, "status": arguments.status }),
        )?;
    } else {
        let how = arguments.status.map_or_else(
            || ", and nobody says how".to_owned(),
            |status| format!(" with status {status}"),
        );
        output.line(format_args!("{} has ended{how}", shown(&lease)))?;
    }
    Ok(Code::Done)
}

/// Why a job would read nothing, or nothing new.
fn trouble(place: &Place, now: Timestamp) -> Result<Option<String>> {
    let Some(Heartbeat { at, state, trouble, drops, .. }) = heartbeat(place) else {
        return Ok(Some("the agent has not been there yet".to_owned()));
    };
    // It does not write while somebody reads: then what it said last may be of long ago.
    if lease::list(place)?.0.values().any(|lease| !lease.is_over(now)) {
        return Ok(None);
    }
    if now.since(at) > SILENCE {
        let age = human::duration(now.since(at));
        return Ok(Some(format!("the agent was last there {age} ago: does it run?")));
    }
    Ok(match (state.as_str(), trouble, drops) {
        (_, Some(trouble), _) => Some(trouble),
        ("rebuilding", ..) => {
            Some("the agent has not looked at all of the share since its start".to_owned())
        }
        // It may have been ended hard just after one had appeared: then what lies there says more.
        (_, _, 0) if !holds_a_drop(place) => Some("no drop lies there".to_owned()),
        _ => None,
    })
}

fn shown(lease: &Lease) -> String {
    let job = lease.job.shown();
    match (lease.stream, lease.streams) {
        (1, None | Some(1)) => job,
        (stream, None) => format!("{job}, stream {stream},"),
        (stream, Some(streams)) => format!("{job}, stream {stream} of {streams},"),
    }
}

/// A lease for programs.
pub(super) fn as_json(lease: &Lease) -> serde_json::Value {
    json!({
        "key": lease.key(),
        "job": lease.job,
        "stream": lease.stream,
        "streams": lease.streams,
        "began": lease.began,
        "deadline": lease.deadline,
    })
}
