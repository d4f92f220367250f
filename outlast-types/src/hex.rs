//! Bytes as hexadecimal digits: the one codec of the workspace.
//!
//! Written in lower case always. Read in lower case only, so that a name has one spelling and
//! names one file everywhere; [`decode_32_any_case`] is for documents that Go may have written.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digits of 32 bytes, without an allocation.
#[derive(Clone, Copy)]
pub struct Digits([u8; 64]);

impl Digits {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        // Digits are ASCII; the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The 64 digits of `bytes`.
pub fn encode_32(bytes: &[u8; 32]) -> Digits {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    Digits(digits)
}

/// The digits of any number of bytes.
pub fn encode(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The 32 bytes of 64 digits in lower case.
pub fn decode_32(text: &str) -> Option<[u8; 32]> {
    array(text, lower)
}

/// The 32 bytes of 64 digits in either case, as Go's `encoding/hex` reads them.
pub fn decode_32_any_case(text: &str) -> Option<[u8; 32]> {
    array(text, |digit| lower(digit.to_ascii_lowercase()))
}

/// The bytes of any even number of digits in lower case.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(lower(*high)? << 4 | lower(*low)?)).collect()
}

fn array(text: &str, value: impl Fn(u8) -> Option<u8>) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn lower(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_survive_their_digits() {
        proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..70), id: [u8; 32])| {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
            let digits = encode_32(&id);
            prop_assert_eq!(digits.as_str(), encode(&id));
            prop_assert_eq!(decode_32(digits.as_str()), Some(id));
            prop_assert_eq!(decode_32_any_case(&digits.as_str().to_uppercase()), Some(id));
        });
        assert_eq!(encode(&[0, 15, 255]), "000fff");
    }

    #[test]
    fn a_name_has_one_spelling_and_documents_may_have_two() {
        assert_eq!((decode("0"), decode("zz"), decode("FF")), (None, None, None));
        let upper = "AB".repeat(32);
        assert_eq!((decode_32(&upper), decode_32_any_case(&upper)), (None, Some([0xab; 32])));
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            assert_eq!((decode_32(bad), decode_32_any_case(bad)), (None, None), "{bad}");
        }
    }
}
