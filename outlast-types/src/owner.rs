//! Whose an incident is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who has to act. Every incident has one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The application's team: nothing was produced, or nothing that can be used.
    App,
    /// The team that runs Outlast: agent, share, network or vault.
    Platform,
    /// The team that runs the backup product to which drops are handed over.
    Backup,
}

/// A text that names no owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an owner: use app, platform or backup")]
pub struct UnknownOwner(String);

impl Owner {
    pub const ALL: [Self; 3] = [Self::App, Self::Platform, Self::Backup];

    /// `app`, `platform` or `backup`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Platform => "platform",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Owner {
    type Err = UnknownOwner;

    fn from_str(text: &str) -> Result<Self, UnknownOwner> {
        let known = Self::ALL.into_iter().find(|owner| owner.as_str() == text);
        known.ok_or_else(|| UnknownOwner(text.to_owned()))
    }
}
