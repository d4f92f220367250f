//! Who says what is promised.

use std::fmt;

use outlast_types::{ShareId, WorkloadPattern};

/// The layer that a part of a promise comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// What policy says of all workloads.
    Default,
    /// What it says of this one.
    Policy,
    /// What it says of those that are called alike.
    Pattern(WorkloadPattern),
    /// What it says of the workload's class.
    Class(String),
    Share(ShareId),
    /// An older version, which did not note who said it.
    Inherited,
}

/// `default`, `policy`, `policy for shop-*`, `class daily`, `share <id>`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Policy => f.write_str("policy"),
            Self::Pattern(pattern) => write!(f, "policy for {pattern}"),
            Self::Class(class) => write!(f, "class {class}"),
            Self::Share(share) => write!(f, "share {share}"),
            Self::Inherited => f.write_str("an earlier version"),
        }
    }
}
