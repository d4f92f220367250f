//! What a person or script sees: results on standard output, everything else on standard error.

mod progress;

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result};
use serde::Serialize;

pub(crate) use progress::Progress;

/// Where the words go, and in which form.
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether results are wanted as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One line of a result.
    pub(crate) fn line(&self, text: impl std::fmt::Display) -> Result<()> {
        writeln!(anstream::stdout(), "{text}").map_err(|error| not_written(&error))
    }

    /// A result as one JSON document.
    pub(crate) fn json(&self, document: &impl Serialize) -> Result<()> {
        let text =
            serde_json::to_string_pretty(document).context("cannot put the result into JSON")?;
        self.line(text)
    }

    /// A remark beside the result, on standard error; silent with `--quiet` and `--json`.
    pub(crate) fn remark(&self, text: impl std::fmt::Display) {
        if !self.quiet && !self.json {
            // A remark that cannot be written is no reason to fail the work it remarks on.
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Something that is wrong and did not stop the work, on standard error, whatever was asked
    /// for: as a line, or as a JSON document with `--json`.
    pub(crate) fn warn(&self, message: &str) {
        let mut standard_error = anstream::stderr();
        // What cannot be told is still in the exit code.
        let _ = if self.json {
            let document = serde_json::json!({ "warning": { "message": message } });
            writeln!(standard_error, "{document}")
        } else {
            writeln!(standard_error, "outlast: {message}")
        };
    }

    /// Progress of long work; a bar on a terminal, else problems only.
    pub(crate) fn progress(&self) -> Progress {
        let bar = !self.quiet && !self.json && std::io::stderr().is_terminal();
        Progress::new(bar, !self.json)
    }
}

/// A number of things in words: `1 file`, `2 files`.
pub(crate) fn counted(count: impl Into<u64>, thing: &str) -> String {
    match count.into() {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

/// The reader of our standard output went away (`outlast ls … | head`), which is its right. A type
/// of its own, because a connection to a vault can break in the same way, and that is a failure.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct Closed;

/// Why a result could not be written to standard output.
pub(crate) fn not_written(error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Closed.into(),
        _ => anyhow::anyhow!("cannot write to standard output: {error}"),
    }
}

/// Prints rows in columns as wide as their widest cell; the last column is not padded.
pub(crate) fn table(output: &Output, head: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, &width) in cells.zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        output.line(line.trim_end())
    };
    print(&mut head.iter().copied())?;
    for row in rows {
        print(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}
