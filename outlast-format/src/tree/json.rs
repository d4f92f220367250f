//! The JSON document of a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use outlast_types::hex;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::node::{Node, NodeKind};
use crate::go::{self, FileMode, GoTime};
use crate::{BlobId, FormatError};

pub(super) const OBJECT: &str = "tree";

#[derive(Deserialize)]
struct TreeJson<'a> {
    #[serde(borrow)]
    nodes: Vec<NodeJson<'a>>,
}

#[derive(Deserialize)]
pub(super) struct NodeJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    mode: u32,
    #[serde(rename = "mtime", default = "zero_time", deserialize_with = "time")]
    modified: GoTime,
    #[serde(rename = "atime", default = "zero_time", deserialize_with = "time")]
    accessed: GoTime,
    #[serde(rename = "ctime", default = "zero_time", deserialize_with = "time")]
    changed: GoTime,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default)]
    user: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    device_id: u64,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    links: u64,
    #[serde(default)]
    linktarget: String,
    #[serde(borrow, default)]
    linktarget_raw: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    extended_attributes: Option<Vec<XattrJson<'a>>>,
    #[serde(default)]
    generic_attributes: Option<BTreeMap<String, Box<RawValue>>>,
    #[serde(default)]
    device: u64,
    #[serde(default)]
    content: Option<Vec<BlobId>>,
    #[serde(default)]
    subtree: Option<BlobId>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct XattrJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
}

fn zero_time() -> GoTime {
    GoTime::ZERO
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GoTime, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = GoTime;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a time such as 2026-01-31T04:00:00.5Z")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<GoTime, E> {
            GoTime::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_str(Visitor)
}

pub(super) fn parse(document: &[u8]) -> Result<Vec<Node>, FormatError> {
    let tree: TreeJson<'_> =
        serde_json::from_slice(document).map_err(|e| FormatError::json(OBJECT, &e))?;
    tree.nodes.into_iter().map(node).collect()
}

pub(super) fn node(json: NodeJson<'_>) -> Result<Node, FormatError> {
    let invalid = |reason| FormatError::Invalid { object: OBJECT, reason };
    let base64 = |text: &str| BASE64.decode(text).map_err(|_| invalid("a field is not base64"));
    Ok(Node {
        name: go::unquote(&json.name).ok_or(invalid("a name is not quoted as it should be"))?,
        kind: NodeKind::from_word(&json.kind),
        mode: FileMode(json.mode),
        modified: json.modified,
        accessed: json.accessed,
        changed: json.changed,
        uid: json.uid,
        gid: json.gid,
        user: json.user,
        group: json.group,
        inode: json.inode,
        device_id: json.device_id,
        size: json.size,
        links: json.links,
        link_target: match json.linktarget_raw {
            Some(raw) => base64(&raw)?,
            None => json.linktarget.into_bytes(),
        },
        xattrs: json
            .extended_attributes
            .unwrap_or_default()
            .into_iter()
            .map(|x| {
                let value = x.value.map_or(Ok(Vec::new()), |value| base64(&value))?;
                Ok((x.name.into_owned().into_bytes(), value))
            })
            .collect::<Result<_, FormatError>>()?,
        generic_attributes: json.generic_attributes.unwrap_or_default().into_iter().collect(),
        device: json.device,
        content: json.content,
        subtree: json.subtree,
        error: json.error,
    })
}

pub(super) const BEGIN: &[u8] = b"{\"nodes\":[";
pub(super) const END: &[u8] = b"]}\n";

pub(super) fn serialize(nodes: &[Node]) -> Vec<u8> {
    // A plain file takes about 400 bytes.
    let mut out = Vec::with_capacity(16 + nodes.len() * 420);
    out.extend_from_slice(BEGIN);
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_node(&mut out, node);
    }
    out.extend_from_slice(END);
    out
}

pub(super) fn write_node(out: &mut Vec<u8>, node: &Node) {
    Writer(out).node(node);
}

/// Whether a byte of a name or text is the same in Go's quotes and in a JSON string.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// Appends members of a JSON object in the order of the calls.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn node(&mut self, node: &Node) {
        self.0.extend_from_slice(b"{\"name\":");
        if node.name.iter().all(|&byte| is_plain(byte)) {
            self.plain(&node.name);
        } else {
            go::write_json_string(self.0, go::quote(&node.name).as_bytes());
        }
        self.text("type", node.kind.as_str().as_bytes());
        self.number_unless_zero("mode", node.mode.0.into());
        for (name, time) in
            [("mtime", node.modified), ("atime", node.accessed), ("ctime", node.changed)]
        {
            self.key(name);
            self.0.push(b'"');
            time.write_to(self.0);
            self.0.push(b'"');
        }
        self.number("uid", node.uid.into());
        self.number("gid", node.gid.into());
        self.text_unless_empty("user", node.user.as_bytes());
        self.text_unless_empty("group", node.group.as_bytes());
        self.number_unless_zero("inode", node.inode);
        self.number_unless_zero("device_id", node.device_id);
        self.number_unless_zero("size", node.size);
        self.number_unless_zero("links", node.links);
        self.text_unless_empty("linktarget", &node.link_target);
        if std::str::from_utf8(&node.link_target).is_err() {
            self.text("linktarget_raw", BASE64.encode(&node.link_target).as_bytes());
        }
        self.xattrs(&node.xattrs);
        self.generic_attributes(node);
        self.number_unless_zero("device", node.device);
        self.content(node.content.as_deref());
        if let Some(subtree) = &node.subtree {
            self.key("subtree");
            self.plain(hex::encode_32(&subtree.0).as_bytes());
        }
        self.text_unless_empty("error", node.error.as_bytes());
        self.0.push(b'}');
    }

    fn key(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &[u8]) {
        self.key(name);
        if value.iter().all(|&byte| is_plain(byte)) {
            self.plain(value);
        } else {
            go::write_json_string(self.0, value);
        }
    }

    /// A string without anything that is written differently.
    fn plain(&mut self, value: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(value);
        self.0.push(b'"');
    }

    fn text_unless_empty(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value;
        loop {
            at -= 1;
            // A remainder of ten fits.
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[at..]);
    }

    fn number_unless_zero(&mut self, name: &str, value: u64) {
        if value != 0 {
            self.number(name, value);
        }
    }

    fn xattrs(&mut self, xattrs: &[(Vec<u8>, Vec<u8>)]) {
        if xattrs.is_empty() {
            return;
        }
        self.key("extended_attributes");
        self.0.push(b'[');
        for (i, (name, value)) in xattrs.iter().enumerate() {
            self.0.extend_from_slice(if i > 0 { b",{\"name\":" } else { b"{\"name\":" });
            go::write_json_string(self.0, name);
            self.text("value", BASE64.encode(value).as_bytes());
            self.0.push(b'}');
        }
        self.0.push(b']');
    }

    fn generic_attributes(&mut self, node: &Node) {
        if node.generic_attributes.is_empty() {
            return;
        }
        self.key("generic_attributes");
        for (i, (name, value)) in node.generic_attributes.iter().enumerate() {
            self.0.push(if i > 0 { b',' } else { b'{' });
            go::write_json_string(self.0, name.as_bytes());
            self.0.push(b':');
            self.0.extend_from_slice(value.get().as_bytes());
        }
        self.0.push(b'}');
    }

    fn content(&mut self, content: Option<&[BlobId]>) {
        self.key("content");
        let Some(content) = content else {
            return self.0.extend_from_slice(b"null");
        };
        self.0.reserve(2 + content.len() * 67);
        self.0.push(b'[');
        for (i, id) in content.iter().enumerate() {
            self.0.extend_from_slice(if i > 0 { b",\"" } else { b"\"" });
            self.0.extend_from_slice(hex::encode_32(&id.0).as_bytes());
            self.0.push(b'"');
        }
        self.0.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::Tree;

    /// What restic 0.14 cannot write yet, as later ones do.
    #[test]
    fn a_tree_of_a_newer_restic_survives_byte_for_byte() {
        let text = concat!(
            r#"{"nodes":[{"name":"l","type":"symlink","mode":134218239,"#,
            r#""mtime":"2026-01-31T04:00:00Z","atime":"2026-01-31T04:00:00Z","#,
            r#""ctime":"2026-01-31T04:00:00Z","uid":0,"gid":0,"linktarget":"a\ufffdb","#,
            r#""linktarget_raw":"Yf9i","generic_attributes":{"windows.creation_time":"#,
            r#""AJUbCP3U2gE=","windows.file_attributes":32},"content":null}]}"#,
            "\n"
        );
        let tree = Tree::parse(text.as_bytes()).unwrap();
        assert_eq!(tree.nodes[0].link_target, b"a\xffb");
        assert_eq!(tree.nodes[0].generic_attributes.len(), 2);
        assert_eq!(String::from_utf8(tree.serialize()).unwrap(), text);
    }

    #[test]
    fn an_empty_tree_is_written_as_restic_does() {
        assert_eq!(Tree::default().serialize(), b"{\"nodes\":[]}\n");
        assert!(Tree::parse(b"{\"nodes\":[]}\n").unwrap().nodes.is_empty());
    }

    #[test]
    fn a_name_that_go_cannot_have_quoted_is_refused() {
        let error = Tree::parse(br#"{"nodes":[{"name":"a\"b"}]}"#).unwrap_err();
        assert!(matches!(error, FormatError::Invalid { .. }), "{error}");
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..12)
    }

    proptest! {
        #[test]
        fn every_node_survives(
            (name, link_target) in (bytes(), bytes()),
            (user, error, xattr) in ("\\PC{0,8}", "\\PC{0,8}", "\\PC{0,8}"),
            (mode, seconds, nanos) in (any::<u32>(), -9_000_000_000i64..9_000_000_000, 0..999_999_999u32),
            (uid, size, device) in any::<(u32, u64, u64)>(),
            value in bytes(),
            content in prop::option::of(prop::collection::vec(any::<[u8; 32]>(), 0..3)),
        ) {
            let mut node = Node::new(name, NodeKind::Other("new".into()));
            node.link_target = link_target;
            (node.user, node.error) = (user, error);
            node.xattrs = vec![(xattr.into_bytes(), value)];
            node.mode = FileMode(mode);
            node.modified = GoTime::utc(seconds, nanos);
            (node.uid, node.size, node.device) = (uid, size, device);
            node.content = content.map(|ids| ids.into_iter().map(BlobId).collect());
            let text = Tree { nodes: vec![node.clone()] }.serialize();
            let tree = Tree::parse(&text).unwrap();
            prop_assert_eq!(format!("{:?}", tree.nodes), format!("{:?}", vec![node]));
            prop_assert_eq!(tree.serialize(), text);
        }
    }
}
