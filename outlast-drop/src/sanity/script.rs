//! Scripts of SQL: `pg_dump`, `pg_dumpall`, `mysqldump`, `mariadb-dump`. Each begins with a comment that
//! names it and ends with one that says that it is complete.

use outlast_types::ContentKind;

use super::ending::Ending;
use super::found::{End, Found, Inspector};

/// The last comment lies within so many bytes of the end, whatever blank lines follow.
const ENDING_BYTES: usize = 8 << 10;

const POSTGRES: &str = "-- PostgreSQL database dump";
const POSTGRES_COMPLETE: &str = "-- PostgreSQL database dump complete";
const CLUSTER: &str = "-- PostgreSQL database cluster dump";
const CLUSTER_COMPLETE: &str = "-- PostgreSQL database cluster dump complete";
const MYSQL: &str = "-- MySQL dump ";
const MARIADB: &str = "-- MariaDB dump ";
const MYSQL_COMPLETE: &str = "-- Dump completed";
/// As long as `2026-11-26  4:30:00`.
const DATE_LENGTH: usize = 19;

/// What the first lines say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Postgres,
    Cluster,
    MySql,
    MariaDb,
    /// Of one of the last two, without comments: there is nothing to tell its end by.
    Silent(bool),
}

pub(super) fn of(head: &[u8]) -> Option<Box<dyn Inspector>> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let script = Script::of(text)?;
    Some(Box::new(Dump {
        script,
        restrict: word_behind(text, r"\restrict "),
        ending: Ending::new(ENDING_BYTES),
        cluster: Seeker::new(CLUSTER_COMPLETE),
    }))
}

impl Script {
    fn of(head: &[u8]) -> Option<Self> {
        let mut is_sandboxed = false;
        for line in lines(head) {
            match line {
                "" | "--" => {}
                CLUSTER => return Some(Self::Cluster),
                POSTGRES => return Some(Self::Postgres),
                _ if line.starts_with(MYSQL) => return Some(Self::MySql),
                _ if line.starts_with(MARIADB) => return Some(Self::MariaDb),
                // The first line of newer ones, before all else.
                _ if line.starts_with("/*") && line.contains("enable the sandbox mode") => {
                    is_sandboxed = true;
                }
                _ if line.starts_with("/*!4") && line.contains(" SET @") => {
                    return Some(Self::Silent(is_sandboxed));
                }
                // A warning that came the same way as the dump.
                _ if line.starts_with("mysqldump: ") || line.starts_with("mariadb-dump: ") => {}
                _ => return None,
            }
        }
        None
    }

    fn kind(self) -> ContentKind {
        match self {
            Self::Postgres => ContentKind::PgDump,
            Self::Cluster => ContentKind::PgDumpAll,
            Self::MySql | Self::Silent(false) => ContentKind::MysqlDump,
            Self::MariaDb | Self::Silent(true) => ContentKind::MariadbDump,
        }
    }
}

/// The lines of a text, without what ends them, as far as they are UTF-8.
fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.map(|line| std::str::from_utf8(line).unwrap_or("?").trim_end_matches('\r'))
}

/// The word behind `key` at the beginning of a line.
fn word_behind(text: &[u8], key: &str) -> Option<String> {
    lines(text).find_map(|line| line.strip_prefix(key)).map(|word| word.trim().to_owned())
}

/// A script on its way.
struct Dump {
    script: Script,
    /// The word that a patched `pg_dump` says again behind its last comment.
    restrict: Option<String>,
    ending: Ending,
    /// Whether a whole dump of a cluster was in it. Others may follow: roles first, then a database.
    cluster: Seeker,
}

impl Inspector for Dump {
    fn feed(&mut self, piece: &[u8]) {
        self.ending.push(piece);
        if self.script == Script::Cluster {
            self.cluster.push(piece);
        }
    }

    fn finish(self: Box<Self>) -> Found {
        Found::of(self.script.kind(), self.end())
    }
}

impl Dump {
    fn end(&self) -> End {
        let cut_off = |last: &str| End::cut_off(format!("it does not end with {last:?}"));
        let (complete, follows) = match self.script {
            Script::Silent(_) => {
                let text = "it was made without comments, so its end cannot be told".to_owned();
                return End::Untold(text);
            }
            Script::MySql | Script::MariaDb => {
                let Some(rest) = self.behind(MYSQL_COMPLETE) else {
                    return cut_off(MYSQL_COMPLETE);
                };
                let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
                let is_whole = is_date(line.trim_end_matches('\r'));
                let end = after(rest).filter(|_| is_whole);
                return end.unwrap_or_else(|| cut_off(MYSQL_COMPLETE));
            }
            // Of several in one stream, the last one counts.
            Script::Cluster if !self.cluster.is_found => (CLUSTER_COMPLETE, None),
            Script::Cluster => match self.behind(CLUSTER_COMPLETE) {
                Some(rest) if !rest.contains(POSTGRES) => (CLUSTER_COMPLETE, None),
                _ => (POSTGRES_COMPLETE, None),
            },
            Script::Postgres => (POSTGRES_COMPLETE, self.restrict.as_deref()),
        };
        let Some(rest) = self.behind(complete) else { return cut_off(complete) };
        // The comment ends with one more line.
        let Some(rest) = rest.trim_start().strip_prefix("--") else { return cut_off(complete) };
        let word = word_behind(rest.as_bytes(), r"\unrestrict ");
        match follows {
            Some(expected) if word.as_deref() != Some(expected) => cut_off(r"\unrestrict"),
            _ => after(rest).unwrap_or_else(|| cut_off(complete)),
        }
    }

    /// The text behind the last line that begins so.
    fn behind(&self, line: &str) -> Option<&str> {
        let bytes = self.ending.bytes();
        // It may begin within a character; comments do not.
        let start = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = match std::str::from_utf8(&bytes[start..]) {
            Ok(text) => text,
            Err(error) => {
                // Data in another encoding; the comment is behind it.
                let at = start + error.valid_up_to();
                let last = bytes[at..].iter().rposition(|byte| !byte.is_ascii());
                std::str::from_utf8(&bytes[at + last.map_or(0, |last| last + 1)..]).ok()?
            }
        };
        let at = text.rfind(&format!("\n{line}")).map(|at| at + 1);
        let at = at.or_else(|| text.starts_with(line).then_some(0))?;
        Some(&text[at + line.len()..])
    }
}

/// Whether nothing follows `-- Dump completed` but when that was.
fn is_date(rest: &str) -> bool {
    rest.is_empty() || rest.strip_prefix(" on ").is_some_and(|date| date.len() >= DATE_LENGTH)
}

/// What follows a whole dump: nothing, something else, or another one that is not whole (`None`).
fn after(rest: &str) -> Option<End> {
    let mut others = rest
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with(r"\unrestrict "));
    match others.next() {
        None => Some(End::Whole),
        Some(_) if [POSTGRES, CLUSTER, MYSQL, MARIADB].iter().any(|head| rest.contains(head)) => {
            None
        }
        Some(_) => Some(End::Untold("something follows its last comment".to_owned())),
    }
}

/// Looks for a text in a stream.
struct Seeker {
    finder: memchr::memmem::Finder<'static>,
    /// What may be the beginning of it.
    last: Vec<u8>,
    is_found: bool,
}

impl Seeker {
    fn new(text: &'static str) -> Self {
        Self { finder: memchr::memmem::Finder::new(text), last: Vec::new(), is_found: false }
    }

    fn push(&mut self, piece: &[u8]) {
        if self.is_found {
            return;
        }
        let beginning = self.finder.needle().len() - 1;
        self.last.extend_from_slice(&piece[..piece.len().min(beginning)]);
        self.is_found = self.finder.find(&self.last).is_some() || self.finder.find(piece).is_some();
        if piece.len() >= beginning {
            self.last.clear();
            self.last.extend_from_slice(&piece[piece.len() - beginning..]);
        } else {
            let surplus = self.last.len().saturating_sub(beginning);
            self.last.drain(..surplus);
        }
    }
}
