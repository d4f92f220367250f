//! Listings, written while they are sent.

use std::fmt::Write as _;

use bytes::Bytes;
use outlast_types::hex;

/// A listing is made in pieces of about so many bytes.
const PIECE_BYTES: usize = 256 << 10;
/// What an object takes at most, in bytes.
const ENTRY_BYTES: usize = 112;

/// Names and sizes of objects.
pub(super) type Listed = Vec<([u8; 32], u64)>;

/// How long a listing is when it is written.
pub(super) fn listing_length(objects: &[([u8; 32], u64)], version_2: bool) -> u64 {
    let digits = |size: u64| u64::from(size.checked_ilog10().unwrap_or(0)) + 1;
    // A name is 64 digits between two quotes; a size stands beside it with what names both.
    let entry = |size| 66 + if version_2 { 17 + digits(size) } else { 0 };
    let entries: u64 = objects.iter().map(|(_, size)| entry(*size)).sum();
    2 + entries + (objects.len() as u64).saturating_sub(1)
}

/// Objects as the protocol lists them, in pieces: names with sizes in version 2, names alone in
/// version 1.
pub(super) fn listing(objects: Listed, version_2: bool) -> impl Iterator<Item = Bytes> + Unpin {
    let mut objects = objects.into_iter();
    let (mut is_first, mut is_done) = (true, false);
    std::iter::from_fn(move || {
        if is_done {
            return None;
        }
        let mut text = String::with_capacity(PIECE_BYTES + 2 * ENTRY_BYTES);
        if is_first {
            text.push('[');
        }
        while text.len() < PIECE_BYTES {
            let Some((name, size)) = objects.next() else {
                text.push(']');
                is_done = true;
                break;
            };
            if !is_first {
                text.push(',');
            }
            is_first = false;
            // Hex and numbers need no escaping. Writing to a text cannot fail.
            let name = hex::encode_32(&name);
            let _ = if version_2 {
                write!(text, "{{\"name\":\"{name}\",\"size\":{size}}}")
            } else {
                write!(text, "\"{name}\"")
            };
        }
        Some(text.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_as_long_as_it_was_said_to_be_whatever_is_in_it() {
        let sizes = [0, 9, 10, 99, 100, u64::MAX];
        let many: Listed = (0..30_000).map(|size| ([7; 32], size)).collect();
        for objects in [vec![], vec![([1; 32], 5)], sizes.map(|size| ([2; 32], size)).into(), many]
        {
            for version_2 in [false, true] {
                let length = listing_length(&objects, version_2);
                let text: Vec<u8> = listing(objects.clone(), version_2).flatten().collect();
                assert_eq!(text.len() as u64, length);
                let entries: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
                assert_eq!(entries.len(), objects.len());
            }
        }
    }
}
