//! Content that is not packed.

use outlast_types::ContentKind;

use super::found::{End, Found, Inspector};
use super::{archive, page, postgres, script};

/// Who looks at content that begins so and is not packed.
pub(super) fn of(head: &[u8]) -> Box<dyn Inspector> {
    let known = postgres::of(head).or_else(|| page::of(head)).or_else(|| archive::of(head));
    known.or_else(|| script::of(head)).unwrap_or_else(|| Box::new(Unrecognised))
}

/// Content of any other kind.
struct Unrecognised;

impl Inspector for Unrecognised {
    fn feed(&mut self, _: &[u8]) {}

    fn finish(self: Box<Self>) -> Found {
        let text = "its kind is none whose end can be told".to_owned();
        Found::of(ContentKind::default(), End::Untold(text))
    }
}
