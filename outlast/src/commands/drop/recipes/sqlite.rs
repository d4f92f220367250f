//! `outlast drop sqlite`: copies of SQLite databases, each of one moment, while they are written.
//!
//! The library's own way to copy pages is used, and no program is needed. Pages stay where they are,
//! so that what has not changed is found to be the same; `VACUUM INTO` would move them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_drop::{Claims, Databases, Source};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, DropBehavior, ErrorCode, OpenFlags};

use super::super::attempt::{Attempt, Sealed};
use super::super::carry_out::carry_out;
use super::super::options::DropOptions;
use super::advice::refused;
use super::scratch::{Scratch, ScratchArgs};
use crate::commands::inputs::Stream;
use crate::exit::Code;
use crate::output::Output;
use crate::signals::Ended;

/// How long to wait for whoever writes at this moment.
const BUSY: Duration = Duration::from_secs(60);
/// Pages that are copied between two looks at signals.
const STEP_PAGES: i32 = 4096;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// SQLite databases: a copy of one moment of each, while it is written to
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The application goes on: with a write-ahead log (journal_mode = WAL) nobody waits; without one,
writers wait as long as the copy takes. Each copy is checked (quick_check) before it is dropped. One
database is a file of its name in the drop, several are a tree. Run it as the application's user.

A database that is encrypted (SQLCipher) is not one of SQLite's: use its own export, by --exec.

Examples:
  outlast drop sqlite --share /mnt/efs --workload shop-db /var/lib/shop/shop.sqlite
  outlast drop sqlite --share /mnt/efs --workload shop-db /srv/shop/*.sqlite3

Load it again: stop the application, put the file in its place, and remove the old -wal and -shm."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    options: DropOptions,
    #[command(flatten)]
    scratch: ScratchArgs,
    /// The databases' files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    carry_out(&arguments.options, output, &mut |attempt: &Attempt<'_>| {
        let databases =
            arguments.files.iter().map(|file| Database::open(file)).collect::<Result<Vec<_>>>()?;
        distinct(&databases)?;
        let needed = databases.iter().map(|database| database.bytes).sum();
        let scratch = arguments.scratch.make(needed)?;
        match &databases[..] {
            [database] => single(database, &scratch, attempt),
            _ => several(&databases, &scratch, attempt),
        }
    })
}

/// A database in a read transaction: nothing that others write changes what it shows.
struct Database<'a> {
    file: &'a Path,
    name: OsString,
    connection: Connection,
    bytes: u64,
}

impl<'a> Database<'a> {
    fn open(file: &'a Path) -> Result<Self> {
        check_form(file)?;
        let opened = Self::begin(file);
        let (connection, bytes) = opened.map_err(|error| explained(file, &error))?;
        let name = file.file_name().context("a database has a file name")?.to_owned();
        Ok(Self { file, name, connection, bytes })
    }

    /// Opens it, begins to read, and tells how large it is.
    fn begin(file: &Path) -> rusqlite::Result<(Connection, u64)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(BUSY)?;
        // Ends with the connection, and so does what it protects.
        connection.unchecked_transaction()?.set_drop_behavior(DropBehavior::Ignore);
        // A transaction shows one moment from its first look on.
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let bytes = number("page_count")?.saturating_mul(number("page_size")?);
        Ok((connection, u64::try_from(bytes).unwrap_or(0)))
    }

    /// Makes the copy, with the owner and mode of the database, and checks it.
    fn copy(&self, into: &Path, attempt: &Attempt<'_>) -> Result<PathBuf> {
        let path = into.join(&self.name);
        let fail = |error: rusqlite::Error| explained(self.file, &error);
        let mut copy = Connection::open(&path).map_err(fail)?;
        {
            let backup = Backup::new(&self.connection, &mut copy).map_err(fail)?;
            loop {
                if let Some(caught) = attempt.signals.look() {
                    return Err(Ended { caught, told: "nothing was sealed".to_owned() }.into());
                }
                match backup.step(STEP_PAGES).map_err(fail)? {
                    StepResult::Done => break,
                    // Others wait for it as long as it takes, so there is no pause.
                    StepResult::More => {}
                    _ => return Err(busy(self.file)),
                }
            }
        }
        self.check(&copy)?;
        copy.close().map_err(|(_, error)| fail(error))?;
        let metadata = fs::metadata(self.file)?;
        // Only root may give files away; without it they are ours.
        let _ = chown(&path, Some(metadata.uid()), Some(metadata.gid()));
        fs::set_permissions(&path, metadata.permissions())?;
        Ok(path)
    }

    /// Refuses a copy that the library itself finds damaged.
    fn check(&self, copy: &Connection) -> Result<()> {
        let mut said = Vec::new();
        let asked = copy.pragma_query(None, "quick_check", |row| {
            said.push(row.get::<_, String>(0)?);
            Ok(())
        });
        asked.map_err(|error| explained(self.file, &error))?;
        match said.first().map(String::as_str) {
            Some("ok") => Ok(()),
            first => Err(damaged(self.file, first.unwrap_or("it does not say why"))),
        }
    }
}

/// One database is a stream of its file's name.
fn single(database: &Database<'_>, scratch: &Scratch, attempt: &Attempt<'_>) -> Result<Sealed> {
    let path = database.copy(&scratch.content(), attempt)?;
    let copy = File::open(&path).context("cannot read the copy")?;
    let name = database.name.to_string_lossy().into_owned();
    let stream = Stream::Reader("the copy".to_owned(), Box::new(copy));
    attempt.stream(&name, stream, claims(std::slice::from_ref(&database.name), attempt))
}

/// Several are a tree of files.
fn several(databases: &[Database<'_>], scratch: &Scratch, attempt: &Attempt<'_>) -> Result<Sealed> {
    let names: Vec<OsString> = databases.iter().map(|database| database.name.clone()).collect();
    attempt.made_tree(claims(&names, attempt), &mut |source| {
        for database in databases {
            database.copy(&scratch.content(), attempt)?;
        }
        Ok((scratch.tree()?, source))
    })
}

fn claims(names: &[OsString], attempt: &Attempt<'_>) -> Claims {
    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
    let source = Source {
        kind: "sqlite".to_owned(),
        client: Some(rusqlite::version().to_owned()),
        databases: Some(Databases::of(&names)),
        ..Source::default()
    };
    Claims { source: Some(source), ..attempt.claims() }
}

/// Two files of one name would be one in the tree.
fn distinct(databases: &[Database<'_>]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match databases.iter().find(|database| !seen.insert(&database.name)) {
        None => Ok(()),
        Some(twice) => {
            let words = format!("two of the databases are called {}", twice.name.to_string_lossy());
            Err(refused(words, Some("Drop them as workloads of their own.")))
        }
    }
}

/// Refuses what cannot be a database, before the library says so in its own words.
fn check_form(file: &Path) -> Result<()> {
    let shown = file.display();
    let mut head = Vec::new();
    let read = File::open(file).and_then(|it| it.take(MAGIC.len() as u64).read_to_end(&mut head));
    read.map_err(|error| refused(format_args!("cannot read {shown}: {error}"), None))?;
    if head.is_empty() {
        return Err(refused(
            format_args!("{shown} is empty"),
            Some(
                "Is it the file that the application uses? A new database is empty until its first write.",
            ),
        ));
    }
    if head != MAGIC {
        return Err(refused(
            format_args!("{shown} is no SQLite database"),
            Some(
                "An encrypted one is exported by its own program: --exec. Any other file: `outlast drop \
                 files`.",
            ),
        ));
    }
    Ok(())
}

fn busy(file: &Path) -> anyhow::Error {
    refused(
        format_args!("somebody has held {} for a minute, and it cannot be read", file.display()),
        Some(
            "A writer keeps a transaction open: `fuser FILE` names who has it. With journal_mode = WAL, \
             readers and writers do not wait for each other.",
        ),
    )
}

fn damaged(file: &Path, words: &str) -> anyhow::Error {
    refused(
        format_args!("{} is damaged: {words}", file.display()),
        Some(
            "The drops before it are good: restore one, or save what can be had with `sqlite3 FILE .recover`. \
             `outlast drop files` keeps the file as it is, for who wants to look into it.",
        ),
    )
}

fn explained(file: &Path, error: &rusqlite::Error) -> anyhow::Error {
    let code = error.sqlite_error_code();
    let hint = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return busy(file),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return damaged(file, &error.to_string());
        }
        Some(ErrorCode::DiskFull) => Some("--scratch names a directory with more room."),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Some(
            "Run it as the application's user: to read a database, its directory must be writable for \
             the files beside it (-wal, -shm).",
        ),
        _ => None,
    };
    refused(format_args!("cannot copy {}: {error}", file.display()), hint)
}
