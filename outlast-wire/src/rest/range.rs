//! The `Range` header, as far as the protocol uses it.

/// What part of an object is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Range {
    Whole,
    /// At least one byte, all within the object.
    Part {
        offset: u64,
        length: u64,
    },
    Unsatisfiable,
}

/// Reads `bytes=<first>-<last>` and `bytes=<first>-` for an object of `size` bytes. Any other form
/// means the whole object, which RFC 9110 §14.2 allows.
pub(super) fn parse_range(header: &str, size: u64) -> Range {
    let bounds = header.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((first, last)) = bounds else { return Range::Whole };
    let Some(first) = number(first) else { return Range::Whole };
    let last = match last {
        "" => u64::MAX,
        last => match number(last) {
            Some(last) if last >= first => last,
            _ => return Range::Whole,
        },
    };
    if first >= size {
        return Range::Unsatisfiable;
    }
    Range::Part { offset: first, length: last.min(size - 1) - first + 1 }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_never_leaves_the_object() {
        let part = |offset, length| Range::Part { offset, length };
        for (header, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=3-", part(3, 7)),
            ("bytes=9-99", part(9, 1)),
            ("bytes=0-18446744073709551615", part(0, 10)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=10-20", Range::Unsatisfiable),
            ("bytes=5-4", Range::Whole),
            ("bytes=-5", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("bytes=1-2,4-5", Range::Whole),
            ("bytes=99999999999999999999-", Range::Whole),
            ("lines=1-2", Range::Whole),
            ("", Range::Whole),
        ] {
            assert_eq!(parse_range(header, 10), expected, "{header}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Range::Unsatisfiable);
    }
}
