//! What can be asked of a store, as a value: for fault scripts, call records and access tables.

use std::fmt;

/// One of the things that a [`Store`](crate::Store) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Create,
    /// Content, whole or a range of it.
    Read,
    /// The size only, which also tells whether the object is there.
    Size,
    List,
    Remove,
}

impl Verb {
    pub const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Size, Self::List, Self::Remove];

    /// As messages say it: "cannot *create* data/…".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Size => "size",
            Self::List => "list",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
