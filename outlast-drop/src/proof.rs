//! The last member of a JSON object that proves, or signs, everything before it.
//!
//! A seal ends in `,"self":"<digest>"}` and a newline; the digest is over all bytes before the
//! comma. A receipt ends in `,"signature":"<hex>"}` and a newline in the same way. So no
//! canonical form of JSON is needed: the bytes are the message, and a file that was cut off
//! anywhere has no valid end.

/// A document that ends in its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The subject of the proof: all bytes before the comma.
    pub body: &'a [u8],
    /// The text of the last member, without its quotes.
    pub proof: &'a str,
}

/// Splits a document before its last member `name`. `None` if it does not end as it must, which
/// is so for every torn file.
pub fn split<'a>(document: &'a [u8], name: &str) -> Option<Proven<'a>> {
    let document = document.strip_suffix(b"\"}\n")?;
    let key = format!(",\"{name}\":\"");
    let start = rfind(document, key.as_bytes())?;
    let proof = std::str::from_utf8(&document[start + key.len()..]).ok()?;
    // Anything else could hide a member between the proof and the end of the object.
    let plain = proof.bytes().all(|c| c.is_ascii_alphanumeric() || c == b':');
    plain.then_some(Proven { body: &document[..start], proof })
}

/// Puts `proof` behind `body`, which is a JSON object without its closing brace.
pub fn join(mut body: Vec<u8>, name: &str, proof: &str) -> Vec<u8> {
    body.extend_from_slice(format!(",\"{name}\":\"{proof}\"}}\n").as_bytes());
    body
}

fn rfind(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    // The proof is short, so the search never has far to go in a valid document.
    (0..=bytes.len().checked_sub(needle.len())?).rev().find(|&at| bytes[at..].starts_with(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_is_found_and_nothing_may_follow_it() {
        let document = join(b"{\"a\":1".to_vec(), "self", "blake3:00");
        assert_eq!(document, b"{\"a\":1,\"self\":\"blake3:00\"}\n");
        let proven = split(&document, "self").unwrap();
        assert_eq!((proven.body, proven.proof), (&b"{\"a\":1"[..], "blake3:00"));
        assert_eq!(split(&document[..document.len() - 1], "self"), None);
        assert_eq!(split(b"{\"a\":1,\"self\":\"x\",\"b\":\"y\"}\n", "self"), None);
        assert_eq!(split(b"", "self"), None);
    }
}
