//! What is done with a backup that was brought back, by what it is.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Bytes that tell what a file is.
const HEAD_BYTES: u64 = 8 << 10;

/// A way to try a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    PostgreSql,
    MariaDb,
    Sqlite,
    /// Files, of which there is nothing more to ask: they are there, as they were.
    Files,
    /// A program that policy names.
    Command,
}

impl Recipe {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MariaDb => "mariadb",
            Self::Sqlite => "sqlite",
            Self::Files => "files",
            Self::Command => "command",
        }
    }

    pub(super) fn named(text: &str) -> Option<Self> {
        let all = [Self::PostgreSql, Self::MariaDb, Self::Sqlite, Self::Files];
        all.into_iter().find(|recipe| recipe.as_str() == text)
    }

    /// The script that does it; none for files.
    pub(super) fn script(self) -> Option<String> {
        let own = match self {
            Self::PostgreSql => include_str!("postgresql.sh"),
            Self::MariaDb => include_str!("mariadb.sh"),
            Self::Sqlite => include_str!("sqlite.sh"),
            Self::Command => include_str!("command.sh"),
            Self::Files => return None,
        };
        Some(format!("{}{own}", include_str!("prelude.sh")))
    }

    /// What lies in a directory.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        if directory.join("toc.dat").is_file() {
            return Ok(Self::PostgreSql);
        }
        Ok(match only_file(directory)? {
            Some(file) => Self::of_head(&head_of(&file)?),
            None => Self::Files,
        })
    }

    /// What begins like this.
    fn of_head(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let says = |words: &str| text.contains(words);
        if head.starts_with(b"SQLite format 3\0") {
            Self::Sqlite
        } else if head.starts_with(b"PGDMP") || says("-- PostgreSQL database") {
            Self::PostgreSql
        } else if says("-- MariaDB dump") || says("-- MySQL dump") {
            Self::MariaDb
        } else {
            Self::Files
        }
    }
}

/// The one file that there is, if there is one and nothing else.
fn only_file(directory: &Path) -> io::Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(directory)?;
    let (Some(first), None) = (entries.next().transpose()?, entries.next()) else {
        return Ok(None);
    };
    Ok(first.file_type()?.is_file().then(|| first.path()))
}

fn head_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(file)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_known_by_its_first_bytes_and_what_is_not_known_is_files() {
        for (head, recipe) in [
            (&b"--\n-- PostgreSQL database dump\n--\n"[..], Recipe::PostgreSql),
            (b"--\n-- PostgreSQL database cluster dump\n", Recipe::PostgreSql),
            (b"PGDMP\x01\x0e", Recipe::PostgreSql),
            (b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19", Recipe::MariaDb),
            (b"-- MySQL dump 10.13", Recipe::MariaDb),
            (b"SQLite format 3\0", Recipe::Sqlite),
            (b"SQLite format 3", Recipe::Files),
            (b"", Recipe::Files),
        ] {
            assert_eq!(Recipe::of_head(head), recipe, "{head:?}");
        }
    }
}
