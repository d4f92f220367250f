//! Results of any length, written as they come.

use std::io::{BufWriter, StdoutLock, Write};

use anyhow::{Context, Result};
use serde::Serialize;

use super::closed::not_written;
use super::plain::{plain, plain_json};

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A list on standard output: lines, or one JSON array, the same as if it had been made whole first.
/// A list that fails half-way ends where it failed.
pub(crate) struct Listing {
    out: BufWriter<StdoutLock<'static>>,
    items: u64,
}

impl Listing {
    pub(super) fn new() -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock()), items: 0 }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        let text = text.to_string();
        writeln!(self.out, "{}", plain(&text)).map_err(|error| not_written(&error))
    }

    /// Adds a member of the array.
    pub(crate) fn item(&mut self, document: &impl Serialize) -> Result<()> {
        let text =
            serde_json::to_string_pretty(document).context("cannot put the result into JSON")?;
        // No line break is inside a string, where JSON writes it differently.
        let text = plain_json(&text).replace('\n', "\n  ");
        let before = if self.items == 0 { "[" } else { "," };
        self.items += 1;
        write!(self.out, "{before}\n  {text}").map_err(|error| not_written(&error))
    }

    /// Ends the array.
    pub(crate) fn end_array(&mut self) -> Result<()> {
        let end = if self.items == 0 { "[]\n" } else { "\n]\n" };
        self.out.write_all(end.as_bytes()).map_err(|error| not_written(&error))
    }

    /// Writes what is not yet written.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|error| not_written(&error))
    }
}
