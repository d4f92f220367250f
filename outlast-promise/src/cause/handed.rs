//! What is wrong with hand-overs, in words for the backup team.

use std::fmt;

use outlast_types::{Timestamp, WorkloadName, human};

use super::Cause;
use crate::handed::{FailedJob, HandoverId};
use crate::promised::Promised;

/// A drop of a workload is not confirmed.
fn not_confirmed(
    f: &mut fmt::Formatter<'_>,
    (workload, promised): (&WorkloadName, &Promised),
    handover: Option<&HandoverId>,
    (read, since): (bool, Timestamp),
) -> fmt::Result {
    write!(f, "{workload} missed its recovery point of {promised}: ")?;
    match handover {
        Some(HandoverId { agent, name }) if read => write!(
            f,
            "its drop lies in the hand-over {name} of agent {agent} since {since:.0}, a job has read it, and the \
             backup product has not confirmed it; look whether that job ended well there, and whether \
             `outlast handover status {name}` knows who is asked for that"
        ),
        Some(HandoverId { agent, name }) => write!(
            f,
            "its drop lies in the hand-over {name} of agent {agent} since {since:.0}, and no job of the backup \
             product has read it; look whether its policy is active and its schedule was open, and start a job"
        ),
        None => write!(
            f,
            "its newest drop is of {since:.0}, and nobody hands it over, though policy counts what the backup \
             product confirms; let a [[handover]] of its agent take {workload}, or change what is `safe`"
        ),
    }
}

/// Something is wrong with a hand-over.
pub(super) fn troubled(f: &mut fmt::Formatter<'_>, cause: &Cause) -> fmt::Result {
    if let Cause::NotConfirmed { workload, promised, handover, read, since } = cause {
        return not_confirmed(f, (workload, promised), handover.as_ref(), (*read, *since));
    }
    let Some(HandoverId { agent, name }) = cause.handover() else { return Ok(()) };
    let called = |product: &Option<String>| {
        product.clone().unwrap_or_else(|| "the backup product".to_owned())
    };
    match cause {
        Cause::HandoverJobFailed { product, failed, .. } => {
            job_failed(f, (agent, name), &called(product), failed)
        }
        Cause::HandoverUnread { product, since, within, .. } => write!(
            f,
            "{} has not read the hand-over {name} of agent {agent}: what lies there since {since:.0} was \
             sent by no job, and it is to be read within {}; look whether its policy is active, its client \
             answers and its schedule was open, and start a job",
            called(product),
            human::duration(*within)
        ),
        Cause::HandoverUnconfirmed { product, since, within, .. } => write!(
            f,
            "{} has read the hand-over {name} of agent {agent}, and has not confirmed since {since:.0} that it \
             has what it read, within {}; look at the jobs of that time: if they ended well, whoever confirms \
             cannot ask for it (`outlast handover status {name}`)",
            called(product),
            human::duration(*within)
        ),
        Cause::HandoverFull { problem, .. } => write!(
            f,
            "the hand-over {name} of agent {agent} is full: {problem}; nothing is lost, but new drops wait on \
             the share: raise its budget or its disk, or see with `outlast handover status {name}` what keeps \
             the old ones"
        ),
        Cause::HandoverUnusable { problem, .. } => {
            write!(f, "the hand-over {name} of agent {agent} does not work as it should: {problem}")
        }
        Cause::HandoverWithdrawn { product, count, workloads, reason, .. } => {
            let named: Vec<&str> = workloads.iter().map(WorkloadName::as_str).collect();
            let more = match count.saturating_sub(named.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            write!(
                f,
                "{} had confirmed what agent {agent} handed over by {name}, and has it no more: drops of \
                 {}{more} ({reason}); they lie in the directory still, so let a job take them again, and find \
                 out who removed their image",
                called(product),
                named.join(", ")
            )
        }
        _ => Ok(()),
    }
}

fn job_failed(
    f: &mut fmt::Formatter<'_>,
    (agent, name): (&str, &str),
    product: &str,
    failed: &FailedJob,
) -> fmt::Result {
    let FailedJob { job, at, status, meaning, advice } = failed;
    write!(
        f,
        "job {job} of {product} over the hand-over {name} of agent {agent}, begun at {at:.0}, failed"
    )?;
    if let Some(status) = status {
        write!(f, " with status {status}")?;
    }
    if let Some(meaning) = meaning {
        write!(f, " ({meaning})")?;
    }
    let advice = advice.as_deref().unwrap_or("look at that job there, and run it again");
    write!(
        f,
        ": drops that lie there are not confirmed and stay; {advice}; this ends when a later job has taken them"
    )
}
