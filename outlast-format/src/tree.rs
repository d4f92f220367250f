//! Trees: one directory as a JSON document, byte for byte as restic writes it.
//!
//! The text is `{"nodes":[…]}` and a line feed. Its nodes are sorted by name (bytewise) and every
//! name is there once.

mod json;
mod node;
mod read;
mod write;

pub use self::node::{Node, NodeKind};
pub use self::read::NodeReader;
pub use self::write::{TreeWriter, WrittenTree};

use crate::FormatError;

/// One directory.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Reads a tree's plaintext.
    pub fn parse(document: &[u8]) -> Result<Self, FormatError> {
        Ok(Self { nodes: json::parse(document)? })
    }

    /// The tree's plaintext. The caller has sorted the nodes by name.
    pub fn serialize(&self) -> Vec<u8> {
        json::serialize(&self.nodes)
    }
}
