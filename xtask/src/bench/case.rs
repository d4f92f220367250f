//! What is measured, and in which order.

/// One thing that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Case {
    First,
    NextDay,
    Again,
    Cat,
    Restore,
    Check,
    Prune,
    Tree,
    TreeAgain,
    TreeRestore,
    TreeCheck,
    Noise,
}

impl Case {
    pub(super) const ALL: [Self; 12] = [
        Self::First,
        Self::NextDay,
        Self::Again,
        Self::Cat,
        Self::Restore,
        Self::Check,
        Self::Prune,
        Self::Tree,
        Self::TreeAgain,
        Self::TreeRestore,
        Self::TreeCheck,
        Self::Noise,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::NextDay => "next-day",
            Self::Again => "again",
            Self::Cat => "cat",
            Self::Restore => "restore",
            Self::Check => "check",
            Self::Prune => "prune",
            Self::Tree => "tree",
            Self::TreeAgain => "tree-again",
            Self::TreeRestore => "tree-restore",
            Self::TreeCheck => "tree-check",
            Self::Noise => "noise",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::First => "first backup of a dump",
            Self::NextDay => "the next day's dump",
            Self::Again => "the same dump again, all of it read",
            Self::Cat => "the dump printed, to nowhere",
            Self::Restore => "restore of the dump",
            Self::Check => "check of the dump's repository, all data read",
            Self::Prune => "prune after the first dump is forgotten",
            Self::Tree => "first backup of a tree",
            Self::TreeAgain => "the same tree again, all of it read",
            Self::TreeRestore => "restore of the tree",
            Self::TreeCheck => "check of the tree's repository, all data read",
            Self::Noise => "first backup of incompressible data",
        }
    }

    /// The most processor time, as a part of restic's, that we want to need.
    pub(super) fn goal(self) -> Option<f64> {
        match self {
            Self::First => Some(0.33),
            Self::NextDay => Some(0.12),
            Self::Restore => Some(0.25),
            Self::Tree | Self::TreeAgain => Some(0.5),
            Self::Check | Self::TreeCheck | Self::TreeRestore => Some(0.35),
            Self::Again | Self::Cat | Self::Prune | Self::Noise => None,
        }
    }

    /// The repository that it works on: cases of one name share it.
    pub(super) fn repository(self) -> &'static str {
        match self {
            Self::First
            | Self::NextDay
            | Self::Again
            | Self::Cat
            | Self::Restore
            | Self::Check
            | Self::Prune => "dump",
            Self::Tree | Self::TreeAgain | Self::TreeRestore | Self::TreeCheck => "tree",
            Self::Noise => "noise",
        }
    }
}
