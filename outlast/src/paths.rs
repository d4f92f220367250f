//! How paths stand in JSON, where text is data: a path need not be UTF-8, and JSON must be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use outlast_fs::entry::show;
use serde_json::{Map, Value};

/// Puts a path into a document as `key`: the path itself, whatever is in it. One that is not UTF-8
/// is quoted as a shell takes it, which is no other path's text because it begins with `$'`, and
/// its bytes are in `<key>_base64`.
pub(crate) fn insert(document: &mut Map<String, Value>, key: &str, path: &[u8]) {
    document.insert(key.to_owned(), text(path).into());
    if std::str::from_utf8(path).is_err() {
        document.insert(format!("{key}_base64"), BASE64.encode(path).into());
    }
}

/// The text of a path: itself, or quoted if it is not UTF-8.
pub(crate) fn text(path: &[u8]) -> String {
    std::str::from_utf8(path).map_or_else(|_| show(path), str::to_owned)
}
