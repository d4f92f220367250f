//! What the doctor finds.

use anyhow::Result;
use serde::Serialize;

use crate::output::Output;

/// How something is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Good,
    Warning,
    /// It cannot be judged.
    Unknown,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at: `share`, `name`, `tls`.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { check, verdict, message: message.into(), fix: None }
    }

    pub(super) fn good(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Good, message)
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, message)
    }

    pub(super) fn unknown(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, message)
    }

    pub(super) fn bad(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Bad, message)
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(super) fn tell(&self, output: &Output) -> Result<()> {
        let verdict = match self.verdict {
            Verdict::Good => "well",
            Verdict::Warning => "warning",
            Verdict::Unknown => "unknown",
            Verdict::Bad => "MEND",
        };
        output.line(format_args!("{verdict:8} {:14} {}", self.check, self.message))?;
        match &self.fix {
            Some(fix) => output.line(format_args!("{:23} -> {fix}", "")),
            None => Ok(()),
        }
    }
}
