//! What is wrong with a description or with prices, and why a setup is impossible.

/// Something of which no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {is}; {todo}")]
pub struct Flaw {
    pub key: String,
    pub is: String,
    /// What to do about it.
    pub todo: String,
}

impl Flaw {
    pub fn new(key: impl Into<String>, is: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { key: key.into(), is: is.into(), todo: todo.into() }
    }
}

/// Why there can be no such setup, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    pub site: String,
    pub why: String,
    pub helps: String,
}
