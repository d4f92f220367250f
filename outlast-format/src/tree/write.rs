//! A tree that is written node by node, for directories whose document is too long for memory.
//!
//! The bytes are those of [`Tree::serialize`](super::Tree::serialize); what is kept of them is
//! their hash and, in version 2 of the format, their compressed form: a tenth to a fifth.

use std::io::Write;

use zstd::stream::write::Encoder;

use super::json;
use super::node::Node;
use crate::compress::decompress_bounded;
use crate::id::Sha256;
use crate::pack::BLOB_MAX;
use crate::{BlobId, FormatError};

const OBJECT: &str = "tree";
/// Text that is hashed and compressed at once, in bytes.
const TEXT_BYTES: usize = 64 << 10;

/// A tree under way.
pub struct TreeWriter {
    hash: Sha256,
    /// Bytes of the document that are hashed.
    length: u64,
    empty: bool,
    /// Text that is neither hashed nor compressed.
    text: Vec<u8>,
    sink: Sink,
    /// Where the content begins in what the sink has.
    room: usize,
}

enum Sink {
    Plain(Vec<u8>),
    Compressed(Box<Encoder<'static, Vec<u8>>>),
}

/// A tree that was written.
#[derive(Debug)]
pub struct WrittenTree {
    pub id: BlobId,
    /// The room that was asked for, then the document, compressed if it was to be.
    pub bytes: Vec<u8>,
    /// Bytes of the document.
    pub length: u32,
    pub is_compressed: bool,
}

impl TreeWriter {
    /// A tree without nodes. It is compressed at this `level`, if one is given, and `room` bytes are
    /// left free before it.
    pub fn new(level: Option<i32>, room: usize) -> Result<Self, FormatError> {
        let out = vec![0; room];
        let sink = match level {
            None => Sink::Plain(out),
            Some(level) => Sink::Compressed(Box::new(Encoder::new(out, level).map_err(failed)?)),
        };
        let text = json::BEGIN.to_vec();
        Ok(Self { hash: Sha256::new(), length: 0, empty: true, text, sink, room })
    }

    /// Adds a node. The caller gives them sorted by name.
    pub fn push(&mut self, node: &Node) -> Result<(), FormatError> {
        if !std::mem::replace(&mut self.empty, false) {
            self.text.push(b',');
        }
        json::write_node(&mut self.text, node);
        if self.text.len() < TEXT_BYTES { Ok(()) } else { self.put() }
    }

    fn put(&mut self) -> Result<(), FormatError> {
        self.length += self.text.len() as u64;
        if self.length > u64::from(BLOB_MAX) {
            return Err(FormatError::TooLarge { object: OBJECT, limit: BLOB_MAX.into() });
        }
        self.hash.update(&self.text);
        match &mut self.sink {
            Sink::Plain(out) => out.extend_from_slice(&self.text),
            Sink::Compressed(out) => out.write_all(&self.text).map_err(failed)?,
        }
        self.text.clear();
        Ok(())
    }

    /// Ends the tree.
    pub fn finish(mut self) -> Result<WrittenTree, FormatError> {
        self.text.extend_from_slice(json::END);
        self.put()?;
        let (bytes, is_compressed) = self.sink.finish()?;
        // It is at most BLOB_MAX.
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        Ok(WrittenTree { id: BlobId(self.hash.finish()), bytes, length, is_compressed })
    }

    /// Gives the nodes back, for a source that comes back to what was written.
    pub fn into_nodes(mut self) -> Result<Vec<Node>, FormatError> {
        self.text.extend_from_slice(json::END);
        self.put()?;
        let (bytes, is_compressed) = self.sink.finish()?;
        let content = bytes.get(self.room..).unwrap_or_default();
        if !is_compressed {
            return json::parse(content);
        }
        json::parse(&decompress_bounded(OBJECT, content, self.length)?)
    }
}

impl Sink {
    fn finish(self) -> Result<(Vec<u8>, bool), FormatError> {
        match self {
            Self::Plain(out) => Ok((out, false)),
            Self::Compressed(out) => Ok((out.finish().map_err(failed)?, true)),
        }
    }
}

fn failed(error: std::io::Error) -> FormatError {
    FormatError::Compression { object: OBJECT, reason: error.to_string() }
}

impl std::fmt::Debug for TreeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeWriter").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::NodeKind;
    use super::*;
    use crate::Sha256Id;
    use crate::tree::Tree;

    #[test]
    fn a_tree_written_node_by_node_is_the_one_that_is_written_at_once() {
        for count in [0, 1, 2, 700] {
            let node = |n: u32| {
                let mut node = Node::new(format!("n{n:05} <&>").into(), NodeKind::File);
                node.content = Some(vec![BlobId([7; 32]); (n % 5) as usize]);
                (node.inode, node.user) = (n.into(), "somebody".to_owned());
                node
            };
            let tree = Tree { nodes: (0..count).map(node).collect() };
            let document = tree.serialize();
            for level in [None, Some(3)] {
                let write = || {
                    let mut writer = TreeWriter::new(level, 16).unwrap();
                    tree.nodes.iter().for_each(|node| writer.push(node).unwrap());
                    writer
                };
                let written = write().finish().unwrap();
                assert_eq!(written.id, BlobId::of(&document));
                assert_eq!(written.length as usize, document.len());
                assert_eq!(written.bytes[..16], [0; 16]);
                let content = &written.bytes[16..];
                let plain = match level {
                    None => content.to_vec(),
                    Some(_) => decompress_bounded(OBJECT, content, 1 << 30).unwrap(),
                };
                assert!(plain == document);
                let back = Tree { nodes: write().into_nodes().unwrap() };
                assert!(back.serialize() == document);
            }
        }
    }
}
