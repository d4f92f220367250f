//! The last member of a JSON object that proves, or signs, everything before it.
//!
//! A seal ends in `,"self":"<digest>"}` and a newline; the digest is over all bytes before the
//! comma. A receipt ends in `,"signature":"<hex>"}` and a newline in the same way. So no
//! canonical form of JSON is needed: the bytes are the message, and a file that was cut off
//! anywhere has no valid end.

/// A document that ends in its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven<'a> {
    /// What the proof is about: all bytes before the comma.
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

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that lower-case hex digits stand for.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
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

    #[test]
    fn hex_survives_its_text() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        assert_eq!((unhex("0"), unhex("zz"), unhex("FF")), (None, None, None));
    }
}
