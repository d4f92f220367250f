//! How far an answer has come.

use serde::{Deserialize, Serialize};

use super::{Desk, Head, SUFFIX, parse};
use crate::share::ShareError;

/// The progress of what has no reply yet.
const WAITING: &str = "waiting.json";
/// The longest reason that is told, in characters.
const REASON_CHARS_MAX: usize = 500;

/// The state of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerState {
    /// Something is in its way, which may pass.
    Waiting,
    /// It is being written.
    Writing,
    /// All of it lies there.
    Whole,
    /// It will not come.
    Failed,
}

/// What is told of an answer while it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub state: AnswerState,
    /// Bytes of content that lie there, of so many.
    pub bytes: u64,
    pub total: u64,
    /// Why it waits, or will not come.
    pub reason: Option<String>,
    /// Counts up each time that it is told: as long as it does, somebody attends to it.
    pub beat: u64,
}

#[derive(Serialize, Deserialize)]
struct ProgressJson {
    #[serde(flatten)]
    head: Head,
    /// Of which answer; of none, for what has no reply yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    state: AnswerState,
    bytes: u64,
    total: u64,
    beat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The file that tells of an answer.
pub(super) fn file_of(answer: &str) -> String {
    format!("{answer}.progress{SUFFIX}")
}

impl Desk {
    /// Tells how far an answer has come; or, of none, what keeps all that have no reply.
    pub fn tell(&self, answer: Option<&str>, progress: &Progress) -> Result<(), ShareError> {
        let Progress { state, bytes, total, reason, beat } = progress.clone();
        let reason = reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        let name = answer.map_or(WAITING.to_owned(), file_of);
        let (head, answer) = (self.head(), answer.map(str::to_owned));
        self.write(&name, &ProgressJson { head, answer, state, bytes, total, beat, reason })
    }

    /// Takes back what keeps those who have no reply.
    pub fn tell_nothing(&self) -> Result<(), ShareError> {
        self.remove_file(WAITING)
    }

    /// Removes an answer with all that is told of it; fine if it is gone.
    pub fn remove_answer(&self, answer: &str) -> Result<(), ShareError> {
        self.remove_file(&file_of(answer))?;
        self.remove_content(answer)
    }

    /// What is told of an answer, or of all that have no reply; `None` if that is nothing, or torn.
    pub fn progress(&self, answer: Option<&str>) -> Result<Option<Progress>, ShareError> {
        let name = answer.map_or(WAITING.to_owned(), file_of);
        let Some(bytes) = self.read(&name)? else { return Ok(None) };
        let Some(json) = parse::<ProgressJson>(&bytes) else { return Ok(None) };
        if json.head != self.head() || json.answer.as_deref() != answer {
            return Ok(None);
        }
        let reason = json.reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        let ProgressJson { state, bytes, total, beat, .. } = json;
        Ok(Some(Progress { state, bytes, total, reason, beat }))
    }
}
