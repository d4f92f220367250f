//! Numbers and times as tar headers spell them.

use outlast_fs::FileTime;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Reads a number field: octal digits, or base 256 when its first bit is set (GNU). `None` if it
/// is neither, or does not fit.
pub(crate) fn parse_field(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement over all bytes, of which the first bit is only the mark.
        let start =
            if first & 0x40 != 0 { i128::from(first) - 256 } else { i128::from(first & 0x3f) };
        let value = rest.iter().try_fold(start, |value, &byte| {
            value.checked_mul(256)?.checked_add(i128::from(byte))
        })?;
        return i64::try_from(value).ok();
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_start_matches(' ');
    let digits = text.split(['\0', ' ']).next().unwrap_or("");
    if digits.is_empty() {
        return text.bytes().all(|c| c == 0 || c == b' ').then_some(0);
    }
    i64::from_str_radix(digits, 8).ok().filter(|_| digits.bytes().all(|c| c.is_ascii_digit()))
}

/// A time in decimal seconds, as extended headers have it; exact.
pub(super) fn time_text(time: FileTime) -> String {
    if time.nanos == 0 {
        return time.seconds.to_string();
    }
    if time.seconds >= 0 {
        return format!("{}.{:09}", time.seconds, time.nanos);
    }
    // -1 s and 999,999,999 ns is -0.000000001.
    let whole = (time.seconds + 1).unsigned_abs();
    format!("-{whole}.{:09}", NANOS_PER_SECOND - time.nanos)
}

/// Reads decimal seconds; digits beyond nanoseconds are dropped.
pub(super) fn parse_time(text: &str) -> Option<FileTime> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |digits: &str| digits.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let digits = &fraction[..fraction.len().min(9)];
    let nanos: u32 = if digits.is_empty() { 0 } else { format!("{digits:0<9}").parse().ok()? };
    Some(match (negative, nanos) {
        (false, nanos) => FileTime { seconds, nanos },
        (true, 0) => FileTime { seconds: -seconds, nanos: 0 },
        (true, nanos) => {
            FileTime { seconds: (-seconds).checked_sub(1)?, nanos: NANOS_PER_SECOND - nanos }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn number_fields_read_in_every_form() {
        assert_eq!(parse_field(b"0000644\0"), Some(0o644));
        assert_eq!(parse_field(b"   644 \0"), Some(0o644));
        assert_eq!(parse_field(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(parse_field(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(parse_field(&[0xff; 12]), Some(-1));
        assert_eq!(parse_field(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(parse_field(b"12x4567\0"), None);
        assert_eq!(parse_field(b"-000001\0"), None);
    }

    proptest! {
        #[test]
        fn every_time_survives_its_text(seconds in -1_i64 << 60..1 << 60, nanos in 0_u32..NANOS_PER_SECOND) {
            let time = FileTime { seconds, nanos };
            prop_assert_eq!(parse_time(&time_text(time)), Some(time));
        }

        #[test]
        fn no_text_makes_the_time_parser_panic(text in ".{0,30}") {
            let _ = parse_time(&text);
            let _ = parse_field(text.as_bytes());
        }
    }
}
