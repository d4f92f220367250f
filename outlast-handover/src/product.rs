//! What products say of their jobs, read into evidence. Pure: text in, statements out.
//!
//! Each parser has a bound, takes what it knows and passes over the rest: a line that nobody understands confirms
//! nothing. What is read here was checked against the real product for Bacula, and for NetBackup against its public
//! documents and what others' scripts read; docs/handover-netbackup.md says which facts nobody could check.

pub mod bacula;
mod civil;
pub mod images;
pub mod jobs;
pub mod status;

use std::collections::HashMap;
use std::ops::RangeInclusive;

use outlast_types::Timestamp;

use crate::evidence::{FileFact, Statement};
use crate::job::JobFacts;

/// The most bytes of an answer that are read: about a million files.
pub const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// The most lines that say something.
pub const LINES_MAX: usize = 1_000_000;

/// A job of which a product is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    pub job: JobFacts,
    /// When its lease began.
    pub began: Option<Timestamp>,
    /// What its client reported at its end.
    pub client_status: Option<i32>,
}

/// What a product says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Ended(Box<Statement>),
    /// It is under way, or waits to be tried again.
    Runs,
    /// The product knows nothing of it.
    Unknown,
}

/// A file as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub path: String,
    pub size: u64,
    /// The seconds in which it may have been changed: more than one where a listing leaves them out.
    pub modified: RangeInclusive<i64>,
}

/// A job with what its product says of it besides. One without an id is known by all that is said of it, so that nothing may
/// be added.
fn told(job: &JobFacts, said: &JobFacts) -> JobFacts {
    let job = job.clone();
    if job.job.is_some() { job.or(said).bounded() } else { job.bounded() }
}

/// The facts of files that are shown. Where a listing leaves out seconds, `wanted` has them by path: a path in a hand-over
/// is never used twice, so that one which agrees in all that is shown is that file.
pub fn facts(shown: Vec<Shown>, wanted: &HashMap<&str, &FileFact>) -> Vec<FileFact> {
    let fact = |it: Shown| {
        let Shown { path, size, modified } = it;
        if modified.start() == modified.end() {
            return Some(FileFact { path, size, modified: *modified.start() });
        }
        let known = wanted.get(path.as_str()).map(|fact| fact.modified)?;
        modified.contains(&known).then_some(FileFact { path, size, modified: known })
    };
    shown.into_iter().filter_map(fact).collect()
}

#[cfg(test)]
mod tests;
