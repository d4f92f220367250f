//! Jobs of the product, as far as a hook can tell them apart.

use std::fmt;

use outlast_drop::hash::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

/// The longest id of a job that is its own key.
const KEY_BYTES_MAX: usize = 100;
/// Words that a product says of a job are cut off here.
const WORD_CHARS_MAX: usize = 200;

/// Which job: the same facts give the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobKey(String);

impl JobKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a product says of one of its jobs: all of it claims.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFacts {
    /// The product's own id of it: for NetBackup `BACKUPID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Such as `FULL` or `INCR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// When it began, in the product's words; tells runs of one schedule apart where they have no id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
}

impl JobFacts {
    /// A job of which only its id is known.
    pub fn of_id(id: &str) -> Self {
        Self { job: Some(id.to_owned()), ..Self::default() }
    }

    /// Whether nothing is said that could tell it from others.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its key: its id where it has one, else a hash of all that is said.
    pub fn key(&self) -> JobKey {
        if let Some(id) = &self.job {
            let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
            let is_short = !id.is_empty() && id.len() <= KEY_BYTES_MAX;
            if is_short && !id.starts_with('.') && id.bytes().all(is_plain) {
                return JobKey(id.clone());
            }
            return JobKey(format!("id-{}", short_hash(&[id])));
        }
        let said = [&self.client, &self.policy, &self.schedule, &self.kind, &self.start];
        let said: Vec<&str> = said.map(|word| word.as_deref().unwrap_or("")).to_vec();
        JobKey(format!("run-{}", short_hash(&said)))
    }

    /// The same with what `other` says where this one says nothing.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let either = |own: Option<String>, of: &Option<String>| own.or_else(|| of.clone());
        Self {
            job: either(self.job, &other.job),
            client: either(self.client, &other.client),
            policy: either(self.policy, &other.policy),
            schedule: either(self.schedule, &other.schedule),
            kind: either(self.kind, &other.kind),
            start: either(self.start, &other.start),
        }
    }

    /// The same with words of bounded length.
    #[must_use]
    pub fn bounded(self) -> Self {
        let cut = |word: Option<String>| {
            word.map(|word| word.chars().take(WORD_CHARS_MAX).collect::<String>())
        };
        Self {
            job: cut(self.job),
            client: cut(self.client),
            policy: cut(self.policy),
            schedule: cut(self.schedule),
            kind: cut(self.kind),
            start: cut(self.start),
        }
    }

    /// Whether the job is of a schedule by this name, or of this type.
    pub fn is_of(&self, schedule: &str) -> bool {
        let is_it = |word: &Option<String>| {
            word.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(schedule))
        };
        is_it(&self.schedule) || is_it(&self.kind)
    }

    /// The job in words.
    pub fn shown(&self) -> String {
        let words = [&self.policy, &self.schedule, &self.kind];
        let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
        match (&self.job, words.is_empty()) {
            (Some(job), true) => job.clone(),
            (Some(job), false) => format!("{job} ({})", words.join(", ")),
            (None, false) => words.join(", "),
            (None, true) => "a job without a name".to_owned(),
        }
    }
}

fn short_hash(words: &[&str]) -> String {
    let text = words.join("\0");
    let digest = Digest::of(Algorithm::Blake3, text.as_bytes());
    digest.digits().as_str().chars().take(24).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_its_id_or_else_by_all_that_is_said_of_it() {
        assert_eq!(JobFacts::of_id("agenthost_1700000000").key().as_str(), "agenthost_1700000000");
        for hostile in ["", "../x", "a/b", ".hidden", "a b", &"x".repeat(500), "ü"] {
            let key = JobFacts::of_id(hostile).key();
            assert!(key.as_str().starts_with("id-"), "{hostile}");
            assert!(key.as_str().len() < 100);
        }
        let run = |schedule: &str, start: Option<&str>| JobFacts {
            policy: Some("apps".to_owned()),
            schedule: Some(schedule.to_owned()),
            start: start.map(str::to_owned),
            ..JobFacts::default()
        };
        assert_eq!(run("daily", None).key(), run("daily", None).key());
        assert_ne!(run("daily", None).key(), run("weekly", None).key());
        assert_ne!(run("daily", Some("1")).key(), run("daily", Some("2")).key());
        assert!(run("Full", None).is_of("full"));
    }
}
