//! What makes a drop a recovery point.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What makes a drop a recovery point, as policy says it of a workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Safe {
    /// The vault published its snapshot, and it looks like a backup.
    #[default]
    Vaulted,
    /// The backup product that it was handed over to has confirmed that it has all of it.
    Confirmed,
    /// One of the two.
    Either,
    /// Both, of the same drop.
    Both,
}

/// A text that does not say what is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not say what is safe: use vaulted, confirmed, either or both")]
pub struct InvalidSafe(String);

/// The word of a configuration for it.
impl fmt::Display for Safe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Safe {
    type Err = InvalidSafe;

    fn from_str(text: &str) -> Result<Self, InvalidSafe> {
        let found = Self::ALL.into_iter().find(|safe| safe.as_str() == text);
        found.ok_or_else(|| InvalidSafe(text.chars().take(40).collect()))
    }
}

impl Safe {
    pub const ALL: [Self; 4] = [Self::Vaulted, Self::Confirmed, Self::Either, Self::Both];

    /// The word of a configuration for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vaulted => "vaulted",
            Self::Confirmed => "confirmed",
            Self::Either => "either",
            Self::Both => "both",
        }
    }

    /// As sentences say it: nothing newer "is vaulted".
    pub fn done(self) -> &'static str {
        match self {
            Self::Vaulted => "vaulted",
            Self::Confirmed => "confirmed by the backup product",
            Self::Either => "vaulted, or confirmed by the backup product",
            Self::Both => "vaulted and confirmed by the backup product",
        }
    }

    /// Whether what the vault has counts, and nothing else.
    pub fn is_vaulted(&self) -> bool {
        *self == Self::Vaulted
    }

    /// Whether what a product has is safe by that alone, whatever the vault holds.
    pub fn is_confirmed_enough(self) -> bool {
        matches!(self, Self::Confirmed | Self::Either)
    }

    /// Whether what a product has can be a recovery point.
    pub fn counts_confirmed(self) -> bool {
        self != Self::Vaulted
    }

    /// Whether a drop is one that the vault has, that a product has, or that both have.
    pub fn is_met(self, vaulted: bool, confirmed: bool) -> bool {
        match self {
            Self::Vaulted => vaulted,
            Self::Confirmed => confirmed,
            Self::Either => vaulted || confirmed,
            Self::Both => vaulted && confirmed,
        }
    }

    /// Whether nothing is one before the product has it.
    pub fn needs_confirmed(self) -> bool {
        matches!(self, Self::Confirmed | Self::Both)
    }
}
