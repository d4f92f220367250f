//! Which jobs a product is asked of, and what becomes of its answers.

use std::collections::BTreeMap;

use anyhow::Result;
use outlast_handover::inbox::{self, Word};
use outlast_handover::ledger::{Job, UNTOLD};
use outlast_handover::manifest::Manifest;
use outlast_handover::product::{Question, Verdict, images};
use outlast_handover::status::Overview;
use outlast_handover::{FileFact, Holds, JobFacts, JobKey, Outcome, Place};
use outlast_types::{Environment, Timestamp};
use serde::Serialize;

use super::products::Product;

/// Jobs of which a product is asked in one round, the newest first.
const JOBS_MAX: usize = 100;
/// Jobs with something that is here still, of which it is looked whether their images are there.
const HOLDERS_MAX: usize = 500;

/// A job that somebody has told of.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) facts: JobFacts,
    began: Option<Timestamp>,
    client_status: Option<i32>,
    /// Whether its client has ended, or its lease has lapsed.
    has_ended: bool,
    /// Who said what it has, and whether that still stands.
    evidence: Option<Evidence>,
    /// Whether drops that are here depend on it.
    is_holder: bool,
}

#[derive(Debug, Clone)]
struct Evidence {
    by: String,
    is_withdrawn: bool,
}

/// What was answered of a job.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    key: JobKey,
    job: String,
    /// In words.
    said: String,
    /// Whether the product has a last word on it.
    #[serde(skip)]
    pub(super) has_ended: bool,
    /// Why it could not be asked, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<String>,
}

impl Answered {
    pub(super) fn shown(&self) -> String {
        format!("{}: {}", self.job, self.said)
    }
}

/// All jobs that hooks or people have told of, whether the agent has taken it up or not.
pub(super) fn known(overview: &Overview, place: &Place) -> Result<Vec<Found>> {
    let mut found: BTreeMap<JobKey, Found> = BTreeMap::new();
    let holders: Vec<&JobKey> = overview
        .ledger
        .offers()
        .flat_map(|offer| overview.ledger.holders(offer))
        .map(|it| it.0)
        .collect();
    let holders: std::collections::BTreeSet<&JobKey> = holders.into_iter().collect();
    for (key, job) in overview.ledger.jobs() {
        let evidence =
            job.by.clone().map(|by| Evidence { by, is_withdrawn: job.withdrawn.is_some() });
        let it = Found {
            facts: facts_of(key, job),
            began: job.began,
            client_status: job.client_status(),
            has_ended: !job.streams.is_empty(),
            evidence,
            is_holder: holders.contains(key),
        };
        found.insert(key.clone(), it);
    }
    let mut note = |facts: &JobFacts, began, status: Option<i32>| {
        let it = found.entry(facts.key()).or_insert_with(|| Found {
            facts: facts.clone(),
            began,
            client_status: None,
            has_ended: false,
            evidence: None,
            is_holder: false,
        });
        it.client_status = it.client_status.max(status.filter(|status| *status != UNTOLD));
        it.has_ended |= status.is_some();
    };
    overview.leases.iter().for_each(|lease| note(&lease.job, Some(lease.began), None));
    for path in inbox::names(place)?.into_iter().take(inbox::WORDS_MAX) {
        // One that cannot be read is the agent's to put aside.
        let Ok(Some(waiting)) = inbox::read(path) else { continue };
        if let Word::Ended { lease, status } = waiting.word {
            note(&lease.job, Some(lease.began), Some(status));
        }
    }
    Ok(found.into_values().collect())
}

/// What is known of a job by a key; a job without an id is known by all of it.
fn facts_of(key: &JobKey, job: &Job) -> JobFacts {
    if job.facts.key() == *key { job.facts.clone() } else { JobFacts::of_id(key.as_str()) }
}

/// Asks of all jobs that wait for an answer, or of one.
pub(super) fn ask(
    product: &mut Product,
    place: &Place,
    only: Option<(&str, Option<Timestamp>)>,
    environment: &Environment,
) -> Result<Vec<Answered>> {
    let overview = Overview::read(place.directory())?;
    let known = known(&overview, place)?;
    let chosen = match only {
        None => waiting(known, &product.by(), product.tells_absence()),
        Some((id, began)) => named(known, id, began),
    };
    // What the server calls a backup's time may be long before its script ran.
    let told = |it: &Found| {
        it.facts.job.as_deref().and_then(images::moment_of).into_iter().chain(it.began).min()
    };
    let Some(since) = chosen.iter().filter_map(told).min() else {
        return Ok(chosen
            .iter()
            .map(|it| answered(&it.facts, "nothing tells when it began", false))
            .collect());
    };
    let mut answers = Vec::new();
    for job in chosen {
        let question =
            Question { job: job.facts.clone(), began: job.began, client_status: job.client_status };
        let is_new = job.evidence.as_ref().is_none_or(|it| it.is_withdrawn) || only.is_some();
        let wanted = if is_new { wanted(&overview, place, job.began) } else { Vec::new() };
        let verdict = match product.ask(&question, &wanted, since) {
            Ok(verdict) => verdict,
            Err(error) => {
                let words = format!("{error:#}");
                let answer = answered(&job.facts, "the product could not be asked", false);
                answers.push(Answered { trouble: Some(words), ..answer });
                // What does not answer once does not answer a hundred times.
                break;
            }
        };
        if let Some(answer) = take(product, place, &job, verdict, is_new, environment)? {
            answers.push(answer);
        }
    }
    Ok(answers)
}

/// The job that is named, which may be known to the product alone.
fn named(known: Vec<Found>, id: &str, began: Option<Timestamp>) -> Vec<Found> {
    let key = JobFacts::of_id(id).key();
    let is_it = |found: &&Found| found.facts.key() == key || found.facts.key().as_str() == id;
    let found = known.iter().find(is_it).cloned().or_else(|| {
        Some(Found {
            facts: JobFacts::of_id(id).bounded(),
            began: Some(began?),
            client_status: None,
            has_ended: true,
            evidence: None,
            is_holder: false,
        })
    });
    found.into_iter().collect()
}

/// The jobs of which nobody has told how they ended, and those of which it was told in this way and drops that are here
/// depend on them: whether their images are there still.
fn waiting(mut known: Vec<Found>, by: &str, tells_absence: bool) -> Vec<Found> {
    known.sort_by_key(|job| std::cmp::Reverse(job.began));
    let is_ours = |job: &Found| job.evidence.as_ref().is_some_and(|it| it.by == by);
    let is_new = |job: &Found| match &job.evidence {
        None => job.has_ended,
        // It may have come back.
        Some(evidence) => evidence.is_withdrawn && is_ours(job) && tells_absence,
    };
    let is_held = |job: &Found| tells_absence && job.is_holder && is_ours(job);
    let new: Vec<Found> = known.iter().filter(|it| is_new(it)).take(JOBS_MAX).cloned().collect();
    let held = known.iter().filter(|it| !is_new(it) && is_held(it)).take(HOLDERS_MAX).cloned();
    new.into_iter().chain(held).collect()
}

/// The files of all drops that lay there when a job began, by their whole paths.
fn wanted(overview: &Overview, place: &Place, began: Option<Timestamp>) -> Vec<FileFact> {
    let mut files = Vec::new();
    for tracked in overview.ledger.offers() {
        let offer = &tracked.offer;
        if began.is_some_and(|began| offer.appeared >= began) {
            continue;
        }
        let path = place.directory().join(&offer.path);
        let own_size = outlast_handover::names::manifest_in(&path).symlink_metadata();
        // One that is gone, or cannot be read, is none that anything is confirmed of.
        let (Ok(own_size), Ok(manifest)) = (own_size, Manifest::read(&path)) else { continue };
        let facts = manifest.facts(&offer.path, offer.stamp, own_size.len());
        files.extend(facts.into_iter().map(|file| FileFact {
            path: format!("{}/{}", place.directory().display(), file.path),
            ..file
        }));
    }
    files
}

/// Takes in what a product says of a job; what is to be told of it.
fn take(
    product: &Product,
    place: &Place,
    job: &Found,
    verdict: Verdict,
    is_new: bool,
    environment: &Environment,
) -> Result<Option<Answered>> {
    let facts = &job.facts;
    let has_stood =
        job.evidence.as_ref().is_some_and(|it| !it.is_withdrawn && it.by == product.by());
    Ok(match verdict {
        Verdict::Ended(statement) if is_new => {
            let words = words(&statement.outcome, &statement.holds);
            inbox::put(place, &Word::Evidence(statement), environment)?;
            Some(answered(facts, &words, true))
        }
        // Its image is where it was.
        Verdict::Ended(_) => None,
        Verdict::Unknown if has_stood && product.tells_absence() => {
            let reason = format!("{} does not list it any more", product.by());
            inbox::put(place, &Word::Withdrawn { job: facts.key(), reason }, environment)?;
            Some(answered(facts, "its image is gone: what it confirmed is confirmed no more", true))
        }
        Verdict::Unknown => Some(answered(facts, "the product does not know it (yet)", false)),
        Verdict::Runs => Some(answered(facts, "it has not ended", false)),
    })
}

fn answered(facts: &JobFacts, said: &str, has_ended: bool) -> Answered {
    let (key, job) = (facts.key(), facts.shown());
    Answered { key, job, said: said.to_owned(), has_ended, trouble: None }
}

fn words(outcome: &Outcome, holds: &Holds) -> String {
    let ended = match outcome {
        Outcome::Well => "it ended well".to_owned(),
        Outcome::Partial => "it was partially successful".to_owned(),
        Outcome::Failed { status: 0, words } => format!("it failed: {words}"),
        Outcome::Failed { status, words } => format!("it failed with status {status}: {words}"),
    };
    match holds {
        Holds::Everything => format!("{ended}, and has all that lay there when it began"),
        Holds::Listed(files) => {
            let count = crate::output::counted(files.len() as u64, "file");
            format!("{ended}, and has {count} of what lies here")
        }
        Holds::Unsaid => ended,
    }
}
