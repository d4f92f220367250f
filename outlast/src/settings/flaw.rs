//! What is wrong with a configuration, told where the user can mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where something is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// By nobody.
    Default,
    /// By nobody, and nothing holds in its place.
    LeftOut,
    /// In the file, at this line and column.
    File { line: usize, column: usize },
    /// By a variable of the environment.
    Variable(String),
}

impl Source {
    /// The place in `text` after `start` bytes.
    pub(super) fn in_text(text: &str, start: usize) -> Self {
        let before = &text[..text.floor_char_boundary(start)];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        Self::File { line, column }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(super) source: Source,
    pub(super) text: String,
}

/// All that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Flaws {
    path: Option<PathBuf>,
    flaws: Vec<Flaw>,
}

impl Flaws {
    pub(super) fn new(path: Option<&Path>, flaws: Vec<Flaw>) -> Self {
        Self { path: path.map(Path::to_owned), flaws }
    }
}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Flaw { source, text }) in self.flaws.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (source, &self.path) {
                (Source::Variable(name), _) => write!(f, "cannot use the variable {name}: {text}")?,
                (Source::File { line, column }, Some(path)) => write!(
                    f,
                    "cannot understand {}, line {line}, column {column}: {text}",
                    path.display()
                )?,
                (_, Some(path)) => write!(f, "cannot use {}: {text}", path.display())?,
                (_, None) => f.write_str(text)?,
            }
        }
        Ok(())
    }
}
