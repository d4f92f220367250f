//! Tokens, as operators order and see them.

use std::fmt;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::grants::Grants;
use crate::peer::{Peer, Role};

/// `POST /api/v1/tokens`: has a token made for one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenOrder {
    pub role: Role,
    pub name: String,
    /// The workloads that the certificate is to grant; all, if it does not say.
    #[serde(default = "Grants::all")]
    pub grants: Grants,
    /// Under which a vault or media server is reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// From now on, by the vault's clock.
    pub ttl_seconds: u64,
    /// Whether it serves again, each time in place of the time before.
    #[serde(default)]
    pub reusable: bool,
    /// Where hosts are to find the vault, or a media server that leads to it.
    pub addresses: Vec<String>,
}

/// The answer: the only time that the token is told.
#[derive(Serialize, Deserialize)]
pub struct MadeToken {
    /// The one line for the host.
    pub token: String,
    #[serde(flatten)]
    pub view: TokenView,
}

impl Drop for MadeToken {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

/// Names the token, never its text.
impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MadeToken({})", self.view.id)
    }
}

/// `GET /api/v1/tokens` gives a list of these, in the order of their making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    pub id: String,
    /// Whose certificate it gives.
    pub holder: Peer,
    pub grants: Grants,
    /// `good`, `used`, `expired` or `revoked`.
    pub state: String,
    pub reusable: bool,
    /// By the vault's clock.
    pub made: Timestamp,
    /// Who ordered it: `operator eu-1`.
    pub by: String,
    pub until: Timestamp,
    /// When it served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_use: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}
