//! NetBackup's jobs: what `bpdbjobs` reports, which only servers have, and what the jobs API answers.
//!
//! Both know a job's final status, and no files; and both forget a job after some days, so that a job which they do not
//! know says nothing of its image.

use outlast_types::Timestamp;
use serde_json::Value;

use super::status::netbackup_outcome;
use super::{LINES_MAX, Question, Verdict, told};
use crate::evidence::{Holds, Outcome, Statement};
use crate::job::JobFacts;

/// A report's columns that are read; scripts agree on these.
const JOB: usize = 0;
const STATE: usize = 2;
const STATUS: usize = 3;
const POLICY: usize = 4;
const SCHEDULE: usize = 5;
const CLIENT: usize = 6;
const ENDED: usize = 10;
/// The state of a job that is done.
const DONE: &str = "3";
const COLUMNS_MAX: usize = 10_000;

/// A job as NetBackup has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub job: String,
    pub backup: Option<String>,
    pub is_done: bool,
    pub status: Option<i64>,
    pub policy: Option<String>,
    pub schedule: Option<String>,
    pub kind: Option<String>,
    pub client: Option<String>,
    pub ended: Option<Timestamp>,
    /// What it does; only a backup has an image.
    pub is_backup: bool,
}

/// The job that a question is about, in what `bpdbjobs -report -all_columns` prints. Where the id of the backup stands
/// depends on the version and on the list of files before it, so any column may have it.
pub fn report(answer: &str, question: &Question) -> Option<Record> {
    let wanted = question.job.job.as_deref()?;
    let is_it = |columns: &[String]| {
        columns.first().is_some_and(|it| it == wanted)
            || (wanted.contains('_') && columns.iter().skip(CLIENT).any(|it| it == wanted))
    };
    let found = answer.lines().take(LINES_MAX).map(columns).find(|it| is_it(it))?;
    let text =
        |index: usize| found.get(index).filter(|it| !it.is_empty() && *it != "*NULL*").cloned();
    let ended = text(ENDED).and_then(|it| it.parse().ok()).filter(|it| *it > 0);
    Some(Record {
        job: text(JOB)?,
        backup: Some(wanted.to_owned()),
        is_done: text(STATE).as_deref() == Some(DONE),
        status: text(STATUS).and_then(|it| it.parse().ok()),
        policy: text(POLICY),
        schedule: text(SCHEDULE),
        kind: None,
        client: text(CLIENT),
        ended: ended.and_then(|seconds| Timestamp::from_unix(seconds, 0)),
        // It was found by an id of a backup, or by one that somebody named.
        is_backup: true,
    })
}

/// The columns of a line; a comma within one has a backslash before it.
fn columns(line: &str) -> Vec<String> {
    let (mut columns, mut column, mut is_escaped) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            _ if is_escaped => {
                column.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            ',' if columns.len() < COLUMNS_MAX => columns.push(std::mem::take(&mut column)),
            c => column.push(c),
        }
    }
    columns.push(column);
    columns
}

/// The jobs in an answer of `/admin/jobs` or `/admin/jobs/{id}`.
pub fn answered(answer: &[u8]) -> Result<Vec<Record>, String> {
    let read: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    match read.get("data") {
        Some(Value::Array(jobs)) => Ok(jobs.iter().filter_map(answered_job).collect()),
        Some(job @ Value::Object(_)) => Ok(answered_job(job).into_iter().collect()),
        _ => Err("it has no member \"data\" with jobs".to_owned()),
    }
}

fn answered_job(job: &Value) -> Option<Record> {
    let facts = job.get("attributes")?;
    let text = |name: &str| {
        let text = facts.get(name)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let id = facts.get("jobId").and_then(Value::as_i64).map(|id| id.to_string());
    let id = id.or_else(|| job.get("id")?.as_str().map(str::to_owned))?;
    Some(Record {
        job: id,
        backup: text("backupId"),
        is_done: text("state").as_deref() == Some("DONE"),
        status: facts.get("status").and_then(Value::as_i64),
        policy: text("policyName"),
        schedule: text("scheduleName"),
        kind: text("scheduleType"),
        client: text("clientName"),
        ended: text("endTime").and_then(|it| it.parse().ok()),
        is_backup: text("jobType").is_none_or(|kind| kind == "BACKUP" || kind == "SNAPSHOT"),
    })
}

/// The job that a question is about: by the id of its backup or its own, or else the only one that its policy,
/// schedule and client leave.
pub fn find(question: &Question, records: &[Record]) -> Option<Record> {
    let facts = &question.job;
    let backups = || records.iter().filter(|it| it.is_backup);
    if let Some(wanted) = facts.job.as_deref() {
        let is_it = |it: &&Record| it.backup.as_deref() == Some(wanted) || it.job == wanted;
        return backups().find(is_it).cloned();
    }
    let is_said = |said: &Option<String>, known: &Option<String>| said.is_some() && said == known;
    let mut alike = backups().filter(|it| {
        is_said(&facts.policy, &it.policy)
            && is_said(&facts.schedule, &it.schedule)
            && (facts.client.is_none() || facts.client == it.client)
    });
    match (alike.next(), alike.next()) {
        // Which of several it is, nobody can tell.
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

/// What a job's record says.
pub fn verdict(question: &Question, record: Option<Record>, by: &str) -> Verdict {
    let Some(record) = record else { return Verdict::Unknown };
    // Without a status nothing is known of its end.
    let (true, Some(status)) = (record.is_done, record.status) else { return Verdict::Runs };
    let said = JobFacts {
        client: record.client,
        policy: record.policy,
        schedule: record.schedule,
        kind: record.kind,
        ..JobFacts::default()
    };
    let outcome = netbackup_outcome(status);
    // Of a job that was partially successful, a status says nothing of any file.
    let holds = if outcome == Outcome::Well { Holds::Everything } else { Holds::Unsaid };
    Verdict::Ended(Box::new(Statement {
        job: told(&question.job, &said),
        began: question.began,
        ended: record.ended,
        outcome,
        holds,
        product: Some("NetBackup".to_owned()),
        by: by.to_owned(),
    }))
}
