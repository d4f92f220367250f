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
        writeln!(anstream::stdout(), "{text}").context("write to standard output")
    }

    /// A result as one JSON document.
    pub(crate) fn json(&self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(document).context("put the result into JSON")?;
        self.line(text)
    }

    /// A remark beside the result, on standard error; silent with `--quiet` and `--json`.
    pub(crate) fn remark(&self, text: impl std::fmt::Display) {
        if !self.quiet && !self.json {
            // A remark that cannot be written is no reason to fail the work it remarks on.
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Progress of long work; a bar on a terminal, else problems only.
    pub(crate) fn progress(&self) -> Progress {
        let bar = !self.quiet && !self.json && std::io::stderr().is_terminal();
        Progress::new(bar, !self.json)
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
