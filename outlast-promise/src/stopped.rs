//! A writer that stopped before it sealed its drop: nobody is paged for it, and it is told with what follows.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of the newest drop that was begun and given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// Who wrote it, as it called itself.
    pub instance: String,
    /// When it was last seen to write, by the agent's clock.
    pub at: Timestamp,
    /// How far it came, in percent of the drop before it, if that is known.
    pub percent: Option<u8>,
}

impl Stopped {
    /// `instance i-0abc stopped at 43% at 2026-11-26 02:11 UTC`.
    pub(crate) fn sentence(&self, shown: impl Fn(Timestamp) -> String) -> String {
        let at = shown(self.at);
        match self.percent {
            Some(percent) => format!("instance {} stopped at {percent}% at {at}", self.instance),
            None => format!("instance {} stopped at {at} before it sealed", self.instance),
        }
    }
}
