//! What a cloud says of the end of a host.

use outlast_types::Timestamp;

/// The word that a host is going to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which notice it is, where there may be several.
    pub id: String,
    /// What is going to happen, for people.
    pub what: String,
    /// When, if it is said.
    pub due: Option<Timestamp>,
    /// Whether the cloud waits for the host's word, up to a limit of its own.
    pub waits: bool,
}

/// Which host this is, as far as the cloud says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whereabouts {
    pub instance: String,
    pub region: String,
}
