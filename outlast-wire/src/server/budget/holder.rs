//! Who has a share of something, and how much of it there is.

use std::fmt;
use std::net::IpAddr;

use crate::peer::{Peer, Role};

/// A media server brings what many agents send.
const OF_A_MEDIA_SERVER: u32 = 4;

/// Who takes a share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    Peer(Peer),
    /// Whoever speaks from there, before it is known who that is.
    Address(IpAddr),
}

impl Holder {
    pub(super) fn is_operator(&self) -> bool {
        matches!(self, Self::Peer(peer) if peer.role() == Role::Operator)
    }

    /// How many times as much as others it may have.
    pub(super) fn weight(&self) -> u32 {
        match self {
            Self::Peer(peer) if peer.role() == Role::Media => OF_A_MEDIA_SERVER,
            _ => 1,
        }
    }
}

impl From<&Peer> for Holder {
    fn from(peer: &Peer) -> Self {
        Self::Peer(peer.clone())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => peer.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// For all together.
    pub total: u32,
    /// Of that, for any one.
    pub each: u32,
    /// Of the total, for operators only.
    pub kept: u32,
}
