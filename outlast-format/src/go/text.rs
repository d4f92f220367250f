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
