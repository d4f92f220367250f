//! What explained what, as of the last look: the least that tells whether it changed.

use std::collections::BTreeMap;

use crate::event::Source;
use crate::handed::HandoverId;

/// What explained what when it was last looked at: a change of it concerns every workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Explanations {
    /// That of the vault's absence, and whether it explains what does not wait, too.
    pub(super) outage: Option<(u64, bool)>,
    pub(super) sources: BTreeMap<Source, OfSource>,
    /// By media server, the incident by which it explains what waits with it.
    pub(super) media: BTreeMap<String, u64>,
    pub(super) handovers: BTreeMap<HandoverId, OfHandover>,
}

/// The incidents by which a hand-over explains that what lies there, or finds no room there, is not confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OfHandover {
    pub(super) product: Option<u64>,
    pub(super) room: Option<u64>,
    pub(super) withdrawn: Option<u64>,
}

/// The incident by which a source explains that a workload has no recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfSource {
    /// If a sealed drop of it waits.
    pub(super) waiting: Option<u64>,
    /// If none does.
    pub(super) not_waiting: Option<u64>,
}

/// How the holder of an agent's certificate is called.
pub(super) fn holder(agent: &str) -> String {
    format!("agent {agent}")
}
