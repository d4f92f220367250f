//! Strings: `strconv.Quote` and `encoding/json`.

use std::fmt::Write as _;

/// The bytes as `strconv.Quote` writes them, without the quotes around: always valid UTF-8.
///
/// What is printable is decided by the Unicode tables of the Rust that built this program; they
/// may know newer characters than the Go that built a restic. Such a character is then quoted
/// differently, and read back the same.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(c, &mut out);
        }
        for byte in chunk.invalid() {
            push_hex(&mut out, 'x', 2, u32::from(*byte));
        }
    }
    out
}

fn quote_char(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        '\0'..='\x1f' | '\x7f' => push_hex(out, 'x', 2, u32::from(c)),
        _ if is_printable(c) => out.push(c),
        _ if u32::from(c) < 0x10000 => push_hex(out, 'u', 4, u32::from(c)),
        _ => push_hex(out, 'U', 8, u32::from(c)),
    }
}

fn push_hex(out: &mut String, letter: char, width: usize, value: u32) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{letter}{value:0width$x}");
}

/// Whether a character beyond ASCII is a letter, mark, number, punctuation or symbol.
///
/// The standard library knows, but tells only through its debug format, where a combining mark is
/// escaped as well unless it follows another character.
fn is_printable(c: char) -> bool {
    let mut bytes = [0; 8];
    bytes[0] = b'a';
    let length = 1 + c.encode_utf8(&mut bytes[1..]).len();
    std::str::from_utf8(&bytes[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// The bytes of a text that [`quote`] (or `strconv.Quote`) wrote; `None` if nothing can have
/// written it.
pub fn unquote(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut chars = rest[at..].chars();
        if chars.next() != Some('\\') {
            return None;
        }
        let escape = chars.next()?;
        rest = chars.as_str();
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '"' => out.push(u8::try_from(escape).ok()?),
            'x' => out.push(u8::try_from(take_digits(&mut rest, 2, 16)?).ok()?),
            'u' => push_char(&mut out, take_digits(&mut rest, 4, 16)?)?,
            'U' => push_char(&mut out, take_digits(&mut rest, 8, 16)?)?,
            '0'..='7' => {
                rest = &text[text.len() - rest.len() - 1..];
                out.push(u8::try_from(take_digits(&mut rest, 3, 8)?).ok()?);
            }
            _ => return None,
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

fn push_char(out: &mut Vec<u8>, value: u32) -> Option<()> {
    let c = char::from_u32(value)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

fn take_digits(rest: &mut &str, count: usize, radix: u32) -> Option<u32> {
    let digits = rest.get(..count)?;
    // from_str_radix would take a sign.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    *rest = &rest[count..];
    u32::from_str_radix(digits, radix).ok()
}

/// Appends `bytes` as `encoding/json` writes a string: quoted; `<`, `>`, `&` and the two line
/// separators of Unicode escaped; what is not UTF-8 replaced by U+FFFD.
pub fn write_json_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        let mut text = chunk.valid();
        while let Some(at) = text.find(needs_escape) {
            out.extend_from_slice(&text.as_bytes()[..at]);
            let mut chars = text[at..].chars();
            if let Some(c) = chars.next() {
                write_escape(out, c);
            }
            text = chars.as_str();
        }
        out.extend_from_slice(text.as_bytes());
        // Go replaces every byte on its own.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn needs_escape(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

fn write_escape(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // Go 1.22 and later have short forms for \b and \f; restic 0.14 is older than that.
        _ => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_quoted_as_go_does() {
        for (bytes, quoted) in [
            (b"plain name.txt".as_slice(), "plain name.txt"),
            (b"a\"b\\c", r#"a\"b\\c"#),
            (b"\x07\x08\x0c\n\r\t\x0b\0\x1b\x7f", r"\a\b\f\n\r\t\v\x00\x1b\x7f"),
            (b"\xff\xc3(", r"\xff\xc3("),
            ("é e\u{301} 日本 😀".as_bytes(), "é e\u{301} 日本 😀"),
            ("\u{a0}\u{ad}\u{2028}\u{feff}\u{e000}".as_bytes(), r"\u00a0\u00ad\u2028\ufeff\ue000"),
            ("\u{e0001}\u{10ffff}".as_bytes(), r"\U000e0001\U0010ffff"),
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
            ("\u{301}".as_bytes(), "\u{301}"),
        ] {
            assert_eq!(quote(bytes), quoted);
            assert_eq!(unquote(quoted).as_deref(), Some(bytes));
        }
        assert_eq!(unquote(r"\101\377"), Some(b"A\xff".to_vec()));
    }

    #[test]
    fn what_go_cannot_have_quoted_is_refused() {
        for bad in
            ["\"", "\n", "\\", r"\q", r"\x1", r"\x+1", r"\ud800", r"\U00110000", r"\400", r"\'"]
        {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        write_json_string(&mut out, "<a>&\"\\\u{2028}\u{8}\n\u{7f}é".as_bytes());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"\\u003ca\\u003e\\u0026\\\"\\\\\\u2028\\u0008\\n\u{7f}é\""
        );
        let mut out = Vec::new();
        write_json_string(&mut out, b"\xe2\x82x");
        assert_eq!(out, b"\"\\ufffd\\ufffdx\"");
    }

    proptest! {
        #[test]
        fn every_name_survives_quoting(name in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unquote(&quote(&name)), Some(name));
        }

        #[test]
        fn every_text_survives_json(text in "\\PC*|[\\x00-\\x7f\u{2028}\u{2029}]*") {
            let mut out = Vec::new();
            write_json_string(&mut out, text.as_bytes());
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn any_text_is_unquoted_or_refused(text in r#"([\\"xuU0-9a-f]|\PC)*"#) {
            drop(unquote(&text));
        }
    }
}
