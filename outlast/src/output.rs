//! What a person or script sees: results on standard output, everything else on standard error.
//!
//! Words for people leave through here, and only here, as harmless lines ([`mod@plain`]).

mod closed;
mod listing;
mod plain;
mod progress;

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_types::Timestamp;
use serde::Serialize;

pub(crate) use closed::{Closed, not_written};
pub(crate) use listing::Listing;
pub(crate) use plain::{plain, plain_json};
pub(crate) use progress::Progress;

/// Longer silence is explained.
const SILENCE: Duration = Duration::from_secs(2);

/// Where the words go, and in which form.
#[derive(Debug, Clone, Copy)]
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
        let text = text.to_string();
        writeln!(anstream::stdout(), "{}", plain(&text)).map_err(|error| not_written(&error))
    }

    /// A line without words.
    pub(crate) fn gap(&self) -> Result<()> {
        self.line("")
    }

    /// A result as one JSON document.
    pub(crate) fn json(&self, document: &impl Serialize) -> Result<()> {
        let text =
            serde_json::to_string_pretty(document).context("cannot put the result into JSON")?;
        writeln!(anstream::stdout(), "{}", plain_json(&text)).map_err(|error| not_written(&error))
    }

    /// A result of any length, member by member. It has standard output for itself while it lasts.
    pub(crate) fn listing(&self) -> Listing {
        Listing::new()
    }

    /// A remark beside the result, on standard error; silent with `--quiet` and `--json`.
    pub(crate) fn remark(&self, text: impl std::fmt::Display) {
        if !self.quiet && !self.json {
            // A remark that cannot be written is no reason to fail the work it remarks on.
            let _ = writeln!(anstream::stderr(), "{}", plain(&text.to_string()));
        }
    }

    /// Something that is wrong and did not stop the work, on standard error, whatever was asked
    /// for: as a line, or as a JSON document with `--json`.
    pub(crate) fn warn(&self, message: &str) {
        let mut standard_error = anstream::stderr();
        // What cannot be told is still in the exit code.
        let _ = if self.json {
            let document = serde_json::json!({ "warning": { "message": message } }).to_string();
            writeln!(standard_error, "{}", plain_json(&document))
        } else {
            writeln!(standard_error, "outlast: {}", plain(message))
        };
    }

    /// Does something for which `whom` must answer, and says so if that takes long: whoever waits
    /// before a silent terminal cannot tell work from a peer that hangs.
    pub(crate) fn patiently<T>(&self, whom: &str, work: impl FnOnce() -> T) -> T {
        let (done, waiting) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if waiting.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
                    self.remark(format_args!("{whom} has not answered yet; still waiting"));
                }
            });
            let result = work();
            drop(done);
            result
        })
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

/// A time without its fraction, as lists show it.
pub(crate) fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_unix(at.unix_seconds(), 0).unwrap_or(at).to_string()
}

/// Prints rows in columns as wide as their widest cell; the last column is not padded.
pub(crate) fn table(output: &Output, head: &[&str], rows: &[Vec<String>]) -> Result<()> {
    // Before they are measured: an escape is longer than what it stands for.
    let shown = |row: &Vec<String>| row.iter().map(|cell| plain(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
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
