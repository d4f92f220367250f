//! Text from outside, made harmless for whoever reads it.
//!
//! Names, reasons and claims come from instances, agents and servers that need not be honest. On a
//! terminal they could move the cursor, hide what follows or turn its order around; a line break in
//! them would be a row of its own. All words that a person sees pass through here, at the end.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` as one line that shows all that is in it: what does not print, or changes how other
/// characters are shown, becomes an escape such as `\u{202e}`.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| out.extend(c.escape_default()))
}

/// A JSON document that means the same, and is as harmless. All that it changes can stand inside
/// strings only, but for the line breaks of its layout.
pub(crate) fn plain_json(document: &str) -> Cow<'_, str> {
    escaped(document, |c, out| {
        if c == '\n' {
            return out.push(c);
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if prints(c) { out.push(c) } else { escape(c, &mut out) }
    }
    Cow::Owned(out)
}

/// Whether a character shows as itself and leaves others alone. The library's escapes for people
/// know which do: not controls (C0, DEL, C1), format characters (bidirectional overrides, invisible
/// ones), unusual spaces and separators, nor what nobody has assigned.
fn prints(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // Behind another character, because marks that combine with one are good text.
    let mut buffer = [b'a'; 1 + char::MAX_LEN_UTF8];
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..length]).unwrap_or_default();
    text.escape_debug().eq(text.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_hides_or_turns_text_passes_and_good_text_does() {
        for (text, shown) in [
            ("web1\u{1b}[8m\nffffffff  forged", "web1\\u{1b}[8m\\nffffffff  forged"),
            ("\u{9b}2J \u{85}\u{7f}\r\t\u{8}\0", "\\u{9b}2J \\u{85}\\u{7f}\\r\\t\\u{8}\\u{0}"),
            ("a\u{202e}gpj.exe\u{2066}", "a\\u{202e}gpj.exe\\u{2066}"),
            (
                "\u{200b}\u{feff}\u{2028}\u{2029}\u{e0041}",
                "\\u{200b}\\u{feff}\\u{2028}\\u{2029}\\u{e0041}",
            ),
            (
                "täglich e\u{301} 日本 «x» \"q\" 'p' C:\\",
                "täglich e\u{301} 日本 «x» \"q\" 'p' C:\\",
            ),
        ] {
            assert_eq!(plain(text), shown);
            assert_eq!(plain(&plain(text)), shown, "twice is as once");
        }
    }

    #[test]
    fn a_json_document_keeps_its_meaning() {
        let value = serde_json::json!({ "a": "\u{9b}2J\u{202e}\u{7f}\n\t\u{e0041} é \"q\"" });
        let document = serde_json::to_string_pretty(&value).unwrap();
        let shown = plain_json(&document);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(shown.chars().all(|c| c == '\n' || prints(c)), "{shown}");
    }
}
