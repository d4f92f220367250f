//! Sentences for people: why a drop is still in the directory.

use std::collections::BTreeSet;

use outlast_types::{Timestamp, human};

use crate::evidence::Outcome;
use crate::lease::Lease;
use crate::ledger::{Job, Ledger, State, Told, Tracked};
use crate::offer::Release;
use crate::product;
use crate::rules::Rules;

/// The schedules and types of jobs that each have all of a drop.
pub fn schedules(ledger: &Ledger, tracked: &Tracked) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (_, job) in ledger.holders(tracked) {
        let words = [&job.facts.schedule, &job.facts.kind];
        let words = words.into_iter().flatten();
        found.extend(words.filter(|word| ledger.is_confirmed_by(tracked, word)).cloned());
    }
    found.into_iter().collect()
}

/// Why a drop is still here, in one sentence.
pub fn why(
    ledger: &Ledger,
    rules: &Rules,
    tracked: &Tracked,
    state: State,
    leases: &[Lease],
    now: Timestamp,
) -> String {
    let age = human::duration(now.since(tracked.offer.appeared));
    let reading =
        leases.iter().find(|lease| lease.began > tracked.offer.appeared && !lease.is_over(now));
    if let Some(release) = &tracked.released {
        return let_go(ledger, rules, tracked, release);
    }
    match state {
        State::Offered => match (reading, last_failure(ledger, tracked)) {
            (Some(lease), _) => format!("offered {age} ago; {} reads it now", lease.job.shown()),
            (None, Some(job)) => format!(
                "offered {age} ago; the last job since then, {}, {}",
                job.facts.shown(),
                outcome(job)
            ),
            (None, None) => format!("offered {age} ago, and no job has begun since then"),
        },
        State::Read => {
            let job = ledger.reader(tracked).map(|(_, job)| job);
            let by = job.map_or_else(String::new, |job| format!(" by {}", job.facts.shown()));
            let held = ledger.held_where(tracked, |_| true).count();
            if held > 0 {
                let files = tracked.offer.files;
                return format!("sent{by}, and {held} of its {files} files are confirmed");
            }
            if let Some(job) = lost(ledger, tracked) {
                let (shown, ended) = (job.facts.shown(), outcome(job));
                return format!("sent, but the last job since it appeared, {shown}, {ended}");
            }
            format!("sent{by}, and nothing has confirmed that the product stored it")
        }
        State::Confirmed => confirmed(ledger, rules, tracked),
        State::Releasable => match leases.iter().find(|lease| !lease.is_over(now)) {
            Some(lease) => format!("may leave when {} has ended", lease.job.shown()),
            None if rules.is_read_at(now) => {
                "may leave when the hours in which the product reads are over".to_owned()
            }
            None => "leaves now".to_owned(),
        },
    }
}

/// What becomes of a drop that somebody lets go.
fn let_go(ledger: &Ledger, rules: &Rules, tracked: &Tracked, release: &Release) -> String {
    let words = format!("{} lets it go: {}", release.by, release.reason);
    let is_heard = tracked.told.contains(&Told::Countersigned);
    if !ledger.is_let_go(tracked) {
        format!(
            "{words}; it stays until a job has it: it was let go for a confirmation that is withdrawn since"
        )
    } else if rules.frees.wants_no_vault() && !release.vaulted && !is_heard {
        format!("{words}; it leaves when the vault has signed that it heard of its confirmation")
    } else {
        format!("{words}; it leaves when nobody reads")
    }
}

fn confirmed(ledger: &Ledger, rules: &Rules, tracked: &Tracked) -> String {
    let by: Vec<String> =
        ledger.holders(tracked).map(|(_, job)| job.facts.shown()).take(3).collect();
    let by = by.join(" and ");
    let wanted =
        rules.keep_until.iter().find(|schedule| !ledger.is_confirmed_by(tracked, schedule));
    match wanted {
        Some(schedule) => {
            format!("confirmed by {by}; it stays until a job of \"{schedule}\" has it, too")
        }
        None => match rules.keep {
            0 | 1 => format!("confirmed by {by}; it stays until a newer one is, too"),
            keep => format!("confirmed by {by}; it stays until {keep} newer ones are, too"),
        },
    }
}

/// What a status means that a client reported, where its product's are known here.
fn status_of(job: &Job, status: i32) -> String {
    // Where only a script has spoken, a backup's id tells whose it is.
    let is_netbackup = job.product.as_deref() == Some("NetBackup")
        || job.facts.job.as_deref().is_some_and(|id| product::images::moment_of(id).is_some());
    if !is_netbackup {
        return String::new();
    }
    let product::status::Meaning { words, advice } = product::status::netbackup(status.into());
    format!(": {words}; {advice}")
}

/// The newest job that began after a drop appeared and has not sent it.
fn last_failure<'a>(ledger: &'a Ledger, tracked: &Tracked) -> Option<&'a Job> {
    let jobs = ledger.jobs().values();
    jobs.filter(|job| job.began_after(&tracked.offer) && !job.has_sent())
        .max_by_key(|job| job.began)
}

/// The newest job that began after a drop appeared, if the product's record says that it has nothing of it.
fn lost<'a>(ledger: &'a Ledger, tracked: &Tracked) -> Option<&'a Job> {
    let jobs = ledger.jobs().values().filter(|job| job.began_after(&tracked.offer));
    let newest = jobs.max_by_key(|job| job.began)?;
    let has_failed = matches!(newest.outcome, Some(Outcome::Failed { .. }));
    (has_failed || newest.withdrawn.is_some()).then_some(newest)
}

/// How a job ended, as a part of a sentence.
pub fn outcome(job: &Job) -> String {
    if let Some((_, reason)) = &job.withdrawn {
        return format!("is gone from the product: {reason}");
    }
    match &job.outcome {
        Some(Outcome::Well) => "ended well".to_owned(),
        Some(Outcome::Partial) => "was partially successful".to_owned(),
        Some(Outcome::Failed { status, words }) if words.is_empty() => {
            format!("failed with status {status}")
        }
        // The product's statuses are no numbers.
        Some(Outcome::Failed { status: 0, words }) => format!("failed: {words}"),
        Some(Outcome::Failed { status, words }) => format!("failed with status {status}: {words}"),
        None => match (job.client_status(), job.has_sent()) {
            (_, true) => "was sent".to_owned(),
            (Some(status), false) if status > 1 => {
                let meaning = status_of(job, status);
                format!("ended with status {status} at its client{meaning}")
            }
            _ if job.is_untold() => "has ended, and nobody says how".to_owned(),
            _ if job.streams.values().any(|end| end.status.is_none()) => {
                "never ended, and its lease lapsed".to_owned()
            }
            _ => "has not ended with all of its streams".to_owned(),
        },
    }
}
