//! Bacula: what `bconsole` says of a job, and of the files that its catalogue lists for it.
//!
//! A job is asked for with `llist`, its files directory by directory with `.bvfs_lsfiles`, which needs no database and no
//! more of a console than those commands. `bconsole` repeats each command before its answer: that is how answers are told
//! apart. Checked with 9.6.7.

use std::collections::HashMap;

use outlast_types::Timestamp;

use super::status::bacula_outcome;
use super::{LINES_MAX, Question, Shown, Verdict, told};
use crate::evidence::{FileFact, Holds, Outcome, Statement};
use crate::job::JobFacts;

/// Files of one directory that are asked for at a time.
const FILES_MAX: usize = 1_000_000;
/// What a director says when it finds nothing.
const NOTHING: &str = "No results to list.";
/// What one says that does not let a console do something.
const COMPLAINTS: [&str; 3] = ["is an invalid command", "authorization problem", "not authorized"];
const WORDS_MAX: usize = 200;
/// The digits of Bacula's numbers.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Where the parts of a file's facts are.
const MODE: usize = 2;
const SIZE: usize = 7;
const MODIFIED: usize = 11;
const KIND_MASK: u64 = 0o170_000;
const REGULAR: u64 = 0o100_000;

/// A job as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: u64,
    pub name: String,
    pub client: Option<String>,
    pub level: Option<char>,
    pub status: char,
    pub ended: Option<Timestamp>,
    /// Whether the catalogue has forgotten which files it has.
    pub is_purged: bool,
}

/// How to ask for a job: by its number, or by its unique name such as `Shop.2026-11-26_23.23.25_03`. `None` if the
/// words can be neither.
pub fn ask_job(id: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if id.is_empty() || id.len() > 200 || !id.chars().all(is_plain) {
        return None;
    }
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number && !id.contains('.') {
        return None;
    }
    Some(format!("llist {}={id}", if is_number { "jobid" } else { "ujobid" }))
}

/// The job in an answer to [`ask_job`]; `None` if the catalogue has none. An answer that says neither is an error: nobody
/// may think that a job is gone because a console may not see it.
pub fn job(answer: &str) -> Result<Option<Record>, String> {
    match record(answer) {
        Some(record) => Ok(Some(record)),
        None if answer.lines().any(|line| line.trim() == NOTHING) => Ok(None),
        None => Err(complaint(answer).unwrap_or_else(|| "the director tells no job".to_owned())),
    }
}

/// Why a director did not do what it was told to, if it says so.
pub fn complaint(answer: &str) -> Option<String> {
    let is_one = |line: &&str| COMPLAINTS.iter().any(|words| line.contains(words));
    let line = answer.lines().take(LINES_MAX).find(is_one)?;
    Some(line.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect())
}

fn record(answer: &str) -> Option<Record> {
    let mut said: HashMap<&str, &str> = HashMap::new();
    for line in answer.lines().take(LINES_MAX) {
        if let Some((key, value)) = line.split_once(": ") {
            // Of a job that a listing repeats, the first counts.
            said.entry(key.trim()).or_insert(value.trim());
        }
    }
    // Numbers are shown with separators.
    let number = |key: &str| said.get(key)?.replace(',', "").parse::<i64>().ok();
    let letter = |key: &str| said.get(key)?.chars().next();
    let ended = number("JobTDate").filter(|it| *it > 0);
    Some(Record {
        id: number("JobId")?.try_into().ok()?,
        name: (*said.get("Name")?).to_owned(),
        client: said.get("ClientName").map(|it| (*it).to_owned()),
        level: letter("Level"),
        status: letter("JobStatus")?,
        ended: ended.and_then(|seconds| Timestamp::from_unix(seconds, 0)),
        is_purged: number("PurgedFiles").is_some_and(|it| it != 0),
    })
}

/// Commands that ask for a job's files in directories, which end with `/`; those whose names nobody can write in a command
/// are left out.
pub fn ask_files(id: u64, directories: &[String]) -> Vec<(String, String)> {
    let writable = directories.iter().filter(|it| !it.chars().any(char::is_control));
    let ask = |directory: &String| {
        let quoted = directory.replace('\\', "\\\\").replace('"', "\\\"");
        let command = format!(".bvfs_lsfiles jobid={id} limit={FILES_MAX} path=\"{quoted}\"");
        (command, directory.clone())
    };
    writable.map(ask).collect()
}

/// What must be said before [`ask_files`].
pub fn prepare(id: u64) -> String {
    format!(".bvfs_update jobid={id}")
}

/// The files in the answers to [`ask_files`].
pub fn files(answer: &str, id: u64, asked: &[(String, String)]) -> Vec<Shown> {
    let directories: HashMap<&str, &str> =
        asked.iter().map(|(command, directory)| (command.as_str(), directory.as_str())).collect();
    let mut directory = None;
    let mut found = Vec::new();
    for line in answer.lines().take(LINES_MAX) {
        // A row of a listing begins with a number, and so does no command.
        match row(line, id) {
            Some((name, size, modified)) => {
                if let Some(directory) = directory {
                    let path = format!("{directory}{name}");
                    found.push(Shown { path, size, modified: modified..=modified });
                }
            }
            None if line.starts_with('.') => directory = directories.get(line.trim_end()).copied(),
            None => {}
        }
    }
    found
}

/// A regular file that a job has itself.
fn row(line: &str, id: u64) -> Option<(&str, u64, i64)> {
    let mut columns = line.splitn(6, '\t');
    let [_path, _name, file] = [columns.next()?, columns.next()?, columns.next()?];
    let (job, facts, name) = (columns.next()?, columns.next()?, columns.next()?);
    if file.parse::<u64>().ok()? == 0 || job.parse::<u64>().ok()? != id || name.is_empty() {
        return None;
    }
    let facts: Vec<&str> = facts.split(' ').collect();
    let number = |index: usize| decode(facts.get(index)?);
    if u64::try_from(number(MODE)?).ok()? & KIND_MASK != REGULAR {
        return None;
    }
    Some((name, number(SIZE)?.try_into().ok()?, number(MODIFIED)?))
}

/// One of Bacula's numbers: digits of six bits each, the highest first.
fn decode(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.bytes().try_fold(0_i64, |value, digit| {
        let digit = DIGITS.iter().position(|it| *it == digit)?;
        value.checked_mul(64)?.checked_add(i64::try_from(digit).ok()?)
    })?;
    Some(if is_negative { -value } else { value })
}

/// What the catalogue says of a job whose files are these.
pub fn verdict(
    question: &Question,
    record: Option<Record>,
    files: Vec<FileFact>,
    by: &str,
) -> Verdict {
    let Some(record) = record else { return Verdict::Unknown };
    let Some(outcome) = bacula_outcome(record.status) else { return Verdict::Runs };
    let kind = record.level.map(|level| match level {
        'F' => "Full".to_owned(),
        'I' => "Incremental".to_owned(),
        'D' => "Differential".to_owned(),
        'f' => "VirtualFull".to_owned(),
        other => other.to_string(),
    });
    let said =
        JobFacts { client: record.client, policy: Some(record.name), kind, ..JobFacts::default() };
    let holds = match outcome {
        Outcome::Well | Outcome::Partial => Holds::Listed(files),
        Outcome::Failed { .. } => Holds::Unsaid,
    };
    Verdict::Ended(Box::new(Statement {
        job: told(&question.job, &said),
        began: question.began,
        ended: record.ended,
        outcome,
        holds,
        product: Some("Bacula".to_owned()),
        by: by.to_owned(),
    }))
}
