//! How bad it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad an incident is: whether somebody must get up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It can wait for the morning: nothing is lost or unprotected yet.
    Warning,
    /// A promise is broken, or cannot be kept for much longer.
    Critical,
}

/// The causes that can wait for the morning. All others, also those of which this program knows nothing, are
/// critical.
const WARNINGS: [&str; 9] = [
    "certificate-ends",
    "certificate-early",
    "clock-off",
    "content-unusable",
    "never-vaulted",
    "over-limit",
    "releases-withheld",
    "retired-dropped",
    "stray-on-share",
];

impl Severity {
    /// That of an incident with a cause of this code.
    pub fn of(code: &str) -> Self {
        if WARNINGS.contains(&code) { Self::Warning } else { Self::Critical }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
