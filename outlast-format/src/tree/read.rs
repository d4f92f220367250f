//! Reading a tree node by node, in memory that its size does not change.

use std::io::{BufRead, Cursor, Read};
use std::mem;

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use super::json::{self, OBJECT};
use super::node::Node;
use crate::{FormatError, compress};

/// How much of a document is in memory at once, unless one node alone is longer.
const BUFFER_BYTES: usize = 64 << 10;

/// The nodes of a tree, one after the other.
///
/// A node that breaks a rule of the format is an error in its place, and those behind it come. Where
/// the document itself is broken, or ends too early, an error is the last item. The caller has
/// compared the document with its hash: what came before such an error was right.
pub struct NodeReader {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The part of the buffer that is in use: from the first byte that is not understood yet to the
    /// end of what was read.
    at: usize,
    end: usize,
    state: State,
    has_nodes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the brace that begins the document.
    Start,
    /// Before a member of the document; `true` if it is the first.
    Member(bool),
    /// Before a node; `true` if it is the first.
    Node(bool),
    /// Behind a member.
    MemberEnd,
    /// Behind the document, or behind what is broken.
    Over,
}

/// The item that the bytes at hand begin.
enum Step<T> {
    /// A whole thing, and its length.
    Whole(T, usize),
    /// Nothing yet; why, if no more bytes come.
    More(FormatError),
    Broken(FormatError),
}

impl NodeReader {
    /// Reads the plaintext of a tree.
    pub fn plain(document: impl AsRef<[u8]> + Send + 'static) -> Self {
        let length = document.as_ref().len();
        Self::new(Box::new(Cursor::new(document)), length)
    }

    /// Reads a tree that is compressed, from memory that holds it so.
    pub fn packed(compressed: impl BufRead + Send + 'static) -> Result<Self, FormatError> {
        Ok(Self::new(Box::new(compress::reader(compressed)?), BUFFER_BYTES))
    }

    fn new(source: Box<dyn Read + Send>, length: usize) -> Self {
        // One more byte, so that the end is seen without growing.
        let buffer = vec![0; (length + 1).min(BUFFER_BYTES)];
        Self { source, buffer, at: 0, end: 0, state: State::Start, has_nodes: false }
    }

    /// The next item; `None` at the end of the document.
    fn advance(&mut self) -> Result<Option<Result<Node, FormatError>>, FormatError> {
        loop {
            match self.state {
                State::Start => {
                    self.expect(b"{", "an object")?;
                    self.state = State::Member(true);
                }
                State::Member(first) => self.member(first)?,
                State::Node(first) => match self.node(first)? {
                    Some(node) => return Ok(Some(node)),
                    None => self.state = State::MemberEnd,
                },
                State::MemberEnd => match self.expect(b",}", "',' or '}'")? {
                    b',' => self.state = State::Member(false),
                    _ => {
                        self.finish()?;
                        return Ok(None);
                    }
                },
                State::Over => return Ok(None),
            }
        }
    }

    /// Takes the name of a member, and all of it unless it is the nodes.
    fn member(&mut self, first: bool) -> Result<(), FormatError> {
        if first && self.peek()? == Some(b'}') {
            self.at += 1;
            return self.finish();
        }
        let name: String = self.value()?;
        self.expect(b":", "':'")?;
        if name != "nodes" {
            self.value::<IgnoredAny>()?;
            self.state = State::MemberEnd;
            return Ok(());
        }
        if mem::replace(&mut self.has_nodes, true) {
            return Err(broken("'nodes' is there twice"));
        }
        self.expect(b"[", "an array of nodes")?;
        self.state = State::Node(true);
        Ok(())
    }

    /// The next node; `None` behind the last.
    fn node(&mut self, first: bool) -> Result<Option<Result<Node, FormatError>>, FormatError> {
        if first && self.peek()? == Some(b']') {
            self.at += 1;
            return Ok(None);
        }
        if !first && self.expect(b",]", "',' or ']'")? == b']' {
            return Ok(None);
        }
        self.state = State::Node(false);
        self.step(|bytes| {
            let mut values = Deserializer::from_slice(bytes).into_iter();
            let read = values.next();
            step_of(read, values.byte_offset(), json::node)
        })
        .map(Some)
    }

    fn finish(&mut self) -> Result<(), FormatError> {
        self.state = State::Over;
        if self.peek()?.is_some() {
            return Err(broken("there is something behind its end"));
        }
        if !self.has_nodes {
            return Err(broken("it has no nodes"));
        }
        Ok(())
    }

    fn value<T: for<'de> serde::Deserialize<'de>>(&mut self) -> Result<T, FormatError> {
        self.step(|bytes| {
            let mut values = Deserializer::from_slice(bytes).into_iter();
            let read = values.next();
            step_of(read, values.byte_offset(), |value| value)
        })
    }

    /// Takes the next byte that is no blank, which is one of `any`.
    fn expect(&mut self, any: &[u8], what: &str) -> Result<u8, FormatError> {
        match self.peek()? {
            Some(byte) if any.contains(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            Some(_) => Err(broken(&format!("{what} was expected"))),
            None => Err(broken(&format!("it ends where {what} was expected"))),
        }
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Result<Option<u8>, FormatError> {
        loop {
            let rest = &self.buffer[self.at..self.end];
            let blanks = rest.iter().take_while(|byte| b" \n\r\t".contains(byte)).count();
            self.at += blanks;
            if let Some(&byte) = self.buffer[..self.end].get(self.at) {
                return Ok(Some(byte));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Takes what `look` sees in the bytes at hand, of which more come as long as that is nothing.
    fn step<T>(&mut self, look: impl Fn(&[u8]) -> Step<T>) -> Result<T, FormatError> {
        loop {
            match look(&self.buffer[self.at..self.end]) {
                Step::Whole(value, length) => {
                    self.at += length;
                    return Ok(value);
                }
                Step::Broken(error) => return Err(error),
                Step::More(error) => {
                    if !self.fill()? {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Reads more behind what is at hand; false at the end of the source.
    fn fill(&mut self) -> Result<bool, FormatError> {
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= mem::take(&mut self.at);
        if self.end == self.buffer.len() {
            // Twice as much, so that a long node is not looked at again too often.
            self.buffer.resize(2 * self.end.max(1), 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    self.end += length;
                    return Ok(true);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let reason = error.to_string();
                    return Err(FormatError::Compression { object: OBJECT, reason });
                }
            }
        }
    }
}

impl Iterator for NodeReader {
    type Item = Result<Node, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().unwrap_or_else(|error| {
            self.state = State::Over;
            Some(Err(error))
        })
    }
}

fn step_of<V, T>(
    read: Option<serde_json::Result<V>>,
    length: usize,
    make: impl FnOnce(V) -> T,
) -> Step<T> {
    match read {
        Some(Ok(value)) => Step::Whole(make(value), length),
        Some(Err(error)) if error.is_eof() => Step::More(FormatError::json(OBJECT, &error)),
        Some(Err(error)) => Step::Broken(FormatError::json(OBJECT, &error)),
        None => Step::More(broken("it ends too early")),
    }
}

fn broken(reason: &str) -> FormatError {
    FormatError::Json { object: OBJECT, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader};

    use proptest::prelude::*;

    use super::*;
    use crate::compress::{Compressor, LEVEL_DEFAULT};
    use crate::tree::{NodeKind, Tree};
    use crate::{BlobId, Sha256Id};

    /// Gives a few bytes at a time.
    struct Dripping(Cursor<Vec<u8>>, usize);

    impl Read for Dripping {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    fn dripping(document: &[u8], step: usize) -> NodeReader {
        let source = Dripping(Cursor::new(document.to_vec()), step);
        let mut reader = NodeReader::new(Box::new(source), 0);
        reader.buffer.truncate(1);
        reader
    }

    fn shown(nodes: Vec<Node>) -> String {
        format!("{nodes:?}")
    }

    #[test]
    fn a_document_is_read_as_a_whole_or_refused_as_a_whole_would_be() {
        for (document, nodes) in [
            ("{\"nodes\":[]}\n", Some(0)),
            (" { \"nodes\" : [ ] } ", Some(0)),
            (r#"{"nodes":[{"name":"a"},{"name":"b","type":"dir"}]}"#, Some(2)),
            (r#"{"more":{"x":[1,"]"]},"nodes":[{"name":"a"}],"last":null}"#, Some(1)),
            (r#"{"nodes":[{"name":"a","new":{"deep":["}"]}}]}"#, Some(1)),
            ("{}", None),
            ("", None),
            ("[]", None),
            (r#"{"nodes":null}"#, None),
            (r#"{"nodes":[]"#, None),
            (r#"{"nodes":[]} x"#, None),
            (r#"{"nodes":[{"name":"a"}"#, None),
            (r#"{"nodes":[{"name":"a"},]}"#, None),
            (r#"{"nodes":[{"name":"a"} {"name":"b"}]}"#, None),
            (r#"{"nodes":[{"name":"a""#, None),
            (r#"{"nodes":[],"nodes":[]}"#, None),
            (r#"{"nodes":[],}"#, None),
            (r#"{"nodes":[{"type":"file"}]}"#, None),
        ] {
            let whole = Tree::parse(document.as_bytes()).ok().map(|tree| tree.nodes.len());
            assert_eq!(whole, nodes, "{document}");
            for step in [1, 3, 1000] {
                let read: Result<Vec<_>, _> = dripping(document.as_bytes(), step).collect();
                assert_eq!(read.ok().map(|nodes| nodes.len()), nodes, "{document} by {step}");
            }
        }
    }

    #[test]
    fn a_node_that_breaks_a_rule_costs_no_other() {
        let document = r#"{"nodes":[{"name":"a"},{"name":"b\"c"},{"name":"d"}]}"#;
        let read: Vec<_> = NodeReader::plain(document).collect();
        assert_eq!(read.len(), 3);
        assert!(matches!(read[1], Err(FormatError::Invalid { .. })), "{read:?}");
        assert_eq!(read[2].as_ref().unwrap().name, b"d");
    }

    #[test]
    fn a_large_directory_is_read_in_little_memory() {
        let node = |number: u32| {
            let mut node = Node::new(format!("file {number:07}").into_bytes(), NodeKind::File);
            node.content = Some(vec![BlobId::of(&number.to_le_bytes())]);
            node
        };
        let tree = Tree { nodes: (0..20_000).map(node).collect() };
        let document = tree.serialize();
        let mut packed = Vec::new();
        Compressor::new(LEVEL_DEFAULT).unwrap().compress_onto(&document, &mut packed).unwrap();
        let mut reader = NodeReader::packed(Cursor::new(packed)).unwrap();
        let mut count = 0;
        for read in reader.by_ref() {
            assert_eq!(read.unwrap().name, tree.nodes[count].name);
            count += 1;
        }
        assert_eq!(count, tree.nodes.len());
        assert!(document.len() > 50 * reader.buffer.len(), "{}", reader.buffer.len());
    }

    #[test]
    fn what_is_cut_off_or_damaged_while_packed_ends_with_an_error() {
        let nodes = (0..3000).map(|n| Node::new(format!("{n:05}").into_bytes(), NodeKind::File));
        let document = Tree { nodes: nodes.collect() }.serialize();
        let mut packed = Vec::new();
        Compressor::new(LEVEL_DEFAULT).unwrap().compress_onto(&document, &mut packed).unwrap();
        packed.truncate(packed.len() / 2);
        let reader = NodeReader::packed(BufReader::new(Cursor::new(packed))).unwrap();
        let read: Vec<_> = reader.collect();
        assert!(read.len() < 3000 && read.last().unwrap().is_err());
        assert_eq!(read.iter().filter(|read| read.is_err()).count(), 1);
    }

    proptest! {
        #[test]
        fn nodes_come_as_from_the_whole_document(
            names in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            step in 1..99_usize,
        ) {
            let node = |name| {
                let mut node = Node::new(name, NodeKind::File);
                node.xattrs = vec![(b"user.\xc3\xa9".to_vec(), b"\"\\".to_vec())];
                node
            };
            let document = Tree { nodes: names.into_iter().map(node).collect() }.serialize();
            let whole = shown(Tree::parse(&document).unwrap().nodes);
            let read: Result<Vec<_>, _> = dripping(&document, step).collect();
            prop_assert_eq!(&shown(read.unwrap()), &whole);
            let read: Result<Vec<_>, _> = NodeReader::plain(document).collect();
            prop_assert_eq!(&shown(read.unwrap()), &whole);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in "[{}\\[\\]\",:a\\\\ ]{0,40}", step in 1..9_usize) {
            let whole = Tree::parse(bytes.as_bytes()).is_ok();
            let read: Result<Vec<_>, _> = dripping(bytes.as_bytes(), step).collect();
            prop_assert_eq!(read.is_ok(), whole);
        }
    }
}
