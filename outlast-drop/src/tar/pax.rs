//! Extended headers: records of the form `<length> <key>=<value>\n`.

use super::TarError;

/// Records in their order. Keys repeat in some GNU forms, so this is no map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    pub(super) fn push(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), value.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last value of `key`; the last one counts.
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(k, _)| k == key.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }

    /// The last value of `key` as text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.value(key)?).ok()
    }

    /// The last value of `key` as a decimal number; `Some(None)` if it is not a number.
    pub(crate) fn number(&self, key: &str) -> Option<Option<u64>> {
        let value = self.value(key)?;
        Some(std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// These records, with `others` taking precedence.
    pub(super) fn overridden_by(&self, others: Self) -> Self {
        let mut all = self.clone();
        all.0.extend(others.0);
        all
    }

    /// The bytes of an extended header.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            // " ", "=" and the newline.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + decimal_digits(rest);
            if decimal_digits(length) > decimal_digits(rest) {
                length += 1;
            }
            bytes.extend_from_slice(length.to_string().as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(key);
            bytes.push(b'=');
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes
    }

    /// Reads the bytes of an extended header.
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Self, TarError> {
        let bad = |reason| TarError::ExtendedHeader { reason };
        let mut records = Self::default();
        // Some writers fill the block with NUL bytes and count them.
        while bytes.first().is_some_and(|&byte| byte != 0) {
            let space = bytes.iter().take(20).position(|&byte| byte == b' ');
            let space = space.ok_or(bad("a record has no length"))?;
            let length: usize = std::str::from_utf8(&bytes[..space])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or(bad("the length of a record is not a number"))?;
            if length <= space + 1 || length > bytes.len() {
                return Err(bad("a record is longer than its header"));
            }
            let (record, rest) = bytes.split_at(length);
            let record = record[space + 1..]
                .strip_suffix(b"\n")
                .ok_or(bad("a record does not end in a newline"))?;
            let equals = record.iter().position(|&byte| byte == b'=');
            let equals = equals.ok_or(bad("a record has no value"))?;
            records.push(&record[..equals], &record[equals + 1..]);
            bytes = rest;
        }
        Ok(records)
    }
}

fn decimal_digits(number: usize) -> usize {
    number.to_string().len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_survive_their_bytes(
            records in prop::collection::vec(("[a-zA-Z.%]{1,12}", prop::collection::vec(any::<u8>(), 0..120)), 0..8),
        ) {
            let mut expected = Records::default();
            for (key, value) in records {
                expected.push(key, value);
            }
            prop_assert_eq!(Records::parse(&expected.to_bytes()).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Records::parse(&bytes);
        }
    }

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        let mut records = Records::default();
        records.push("path", vec![b'a'; 92]);
        // 92 + 4 + 3 = 99, and with two digits 101: so three digits, 102.
        assert!(records.to_bytes().starts_with(b"102 path="));
        assert_eq!(records.to_bytes().len(), 102);
    }
}
