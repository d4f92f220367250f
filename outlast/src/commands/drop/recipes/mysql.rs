//! `outlast drop mysql`: a MySQL or MariaDB server, read by its own programs.

mod facts;
mod plan;
mod position;

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use outlast_drop::{Claims, Databases, Source};

use self::facts::{Facts, Family};
use self::plan::{Client, Connection, Wanted};
use super::super::attempt::{Attempt, Sealed};
use super::super::carry_out::carry_out;
use super::super::options::DropOptions;
use super::advice::{Product, refused};
use super::feed::{Feed, Part};
use super::program::{Call, CallError, Stop, installed};
use super::secrets;
use crate::commands::inputs::Stream;
use crate::exit::Code;
use crate::output::Output;

const PRODUCT: Product = Product::Mysql;

/// The names of the programs, the newer ones first.
const CLIENTS: [&str; 2] = ["mariadb", "mysql"];
const DUMPERS: [&str; 2] = ["mariadb-dump", "mysqldump"];

/// How much of a dump's beginning and end is looked through for the place in the binlog.
const BEGINNING_BYTES: usize = 64 << 10;
const END_BYTES: usize = 4 << 10;

/// How many tables that a transaction does not hold still are named.
const TABLES_NAMED_MAX: usize = 5;

/// A MySQL or MariaDB server: all databases or some, with users and grants
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Where the server is and who may read it comes from where its programs always look: [client] in
~/.my.cnf, /etc/mysql, --defaults-extra-file, MYSQL_PWD, …. A password is refused on the command line.
mariadb-dump and mariadb, or mysqldump and mysql, must be in PATH.

All is read in one transaction, with routines, events and triggers, while the server goes on writing.
Where it writes a binlog, the place in it is in the dump and in the drop's manifest. Tables that know
no transactions (MyISAM, Aria) are named: they may change meanwhile.

Words after `--` are for the program that dumps.

Examples:
  outlast drop mysql --share /mnt/efs --workload shop-db
  outlast drop mysql --share /mnt/efs --workload shop-db --host db.example --user backup \\
    --database shop
  outlast drop mysql --share /mnt/efs --workload shop-db --defaults-extra-file /etc/backup.cnf \\
    -- --ignore-table=shop.sessions

Load it again:
  mariadb < mysql.sql"
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    options: DropOptions,
    /// A database to dump; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// A database to leave out; may be given several times
    #[arg(long, value_name = "NAME")]
    exclude_database: Vec<String>,
    /// Leave out users and grants
    #[arg(long)]
    no_globals: bool,
    /// Do not ask for the place in the binlog, for which the user needs more privileges
    #[arg(long)]
    no_binlog_position: bool,
    #[command(flatten)]
    connection: Connection,
    /// Further options of the program that dumps
    #[arg(last = true, value_name = "OPTION")]
    extra: Vec<OsString>,
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    secrets::refuse(PRODUCT, &arguments.extra)?;
    carry_out(&arguments.options, output, &mut |attempt: &Attempt<'_>| dump(arguments, attempt))
}

fn dump(arguments: &Args, attempt: &Attempt<'_>) -> Result<Sealed> {
    let stop = || attempt.signals.look();
    let path = std::env::var_os("PATH");
    let explained = |error| PRODUCT.explained(error);
    let shell = installed(&CLIENTS, path.as_deref()).into_iter().next();
    let shell = shell.ok_or_else(|| explained(missing(CLIENTS)))?;
    let shell = arguments.connection.call(shell);
    let facts = Facts::ask(&shell, &stop).map_err(explained)?;
    let client = choose_client(Family::of(&facts.version), path.as_deref(), &stop);
    let client = client.map_err(explained)?;
    if client.family != Family::of(&facts.version) {
        attempt.output.warn(&format!(
            "the server is {} and the client {}'s: install the client of the server's product",
            Family::of(&facts.version).name(),
            client.family.name()
        ));
    }
    let chosen = choose(arguments, &facts).map_err(|why| refused(why, None))?;
    name_plain_tables(&facts::plain_tables(&shell, &stop), attempt.output);

    let wanted = Wanted {
        databases: chosen.as_deref(),
        globals: !arguments.no_globals,
        position: !arguments.no_binlog_position,
        extra: &arguments.extra,
    };
    // Users first: what follows may belong to them.
    let users = arguments.connection.users(&client, wanted);
    let dump = arguments.connection.dump(&client, &facts, wanted);
    let parts = users.into_iter().chain([dump]).map(Part::Output).collect();
    let source = source(&facts, &client, chosen.as_deref());
    let feed = Feed::of(PRODUCT, parts, &attempt.options.input, attempt.signals, attempt.output);
    let trouble = feed.trouble();
    let edges = Arc::new(Mutex::new(Edges::default()));
    let kept = Kept { reader: feed, edges: Arc::clone(&edges) };
    let stream = Stream::Reader("the dump".to_owned(), Box::new(kept));
    let claims = Claims { source: Some(source), ..attempt.claims() };
    attempt
        .stream_from("mysql.sql", stream, claims, &|source| {
            let edges = edges.lock().unwrap_or_else(PoisonError::into_inner);
            let position = position::find(&edges.beginning, &edges.end);
            source.map(|source| Source { position, ..source })
        })
        .map_err(|error| trouble.or(error))
}

fn missing(names: [&str; 2]) -> CallError {
    CallError::Missing { program: names.join(" or ") }
}

/// The program of the server's product, or else the first that is there.
fn choose_client(
    family: Family,
    path: Option<&OsStr>,
    stop: Stop<'_>,
) -> Result<Client, CallError> {
    let mut clients = Vec::new();
    for program in installed(&DUMPERS, path) {
        let words = Call::version(program.as_os_str(), stop)?;
        // Without the options of files, which it must not begin to read here.
        let help = Call::of(&program).args(["--no-defaults", "--help"]).ask(stop)?;
        clients.push(Client { family: Family::of(&words), program: program.into(), words, help });
    }
    let own = clients.iter().position(|client| client.family == family).unwrap_or(0);
    if clients.is_empty() { Err(missing(DUMPERS)) } else { Ok(clients.swap_remove(own)) }
}

/// Some databases, or all; else why none are left.
fn choose(arguments: &Args, facts: &Facts) -> Result<Option<Vec<String>>, String> {
    let (wanted, excluded) = (&arguments.database, &arguments.exclude_database);
    if let Some(missing) = wanted.iter().find(|name| !facts.databases.contains(name)) {
        let names = facts.databases.join(", ");
        return Err(format!("the server shows this user no database {missing:?}, but {names}"));
    }
    if wanted.is_empty() && excluded.is_empty() && !arguments.no_globals {
        return Ok(None);
    }
    let own: Vec<&String> =
        if wanted.is_empty() { facts.own().collect() } else { wanted.iter().collect() };
    let chosen: Vec<String> =
        own.into_iter().filter(|name| !excluded.contains(name)).cloned().collect();
    if chosen.is_empty() { Err("no database is left to dump".to_owned()) } else { Ok(Some(chosen)) }
}

fn name_plain_tables(tables: &[String], output: &Output) {
    if tables.is_empty() {
        return;
    }
    let named = tables[..tables.len().min(TABLES_NAMED_MAX)].join(", ");
    let more = match tables.len().saturating_sub(TABLES_NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    output.warn(&format!(
        "without transactions, these may change while they are read: {named}{more}"
    ));
}

fn source(facts: &Facts, client: &Client, chosen: Option<&[String]>) -> Source {
    Source {
        kind: "mysql".to_owned(),
        server: Some(facts.version.clone()),
        client: facts::client_version(&client.words)
            .map(|version| format!("{version}-{}", client.family.name())),
        databases: Some(Databases::of(chosen.unwrap_or(&facts.databases))),
        ..Source::default()
    }
}

/// Keeps the beginning and the end of what is read.
struct Kept {
    reader: Feed,
    edges: Arc<Mutex<Edges>>,
}

#[derive(Default)]
struct Edges {
    beginning: Vec<u8>,
    end: Vec<u8>,
}

impl Edges {
    fn see(&mut self, bytes: &[u8]) {
        let wanted = BEGINNING_BYTES - self.beginning.len();
        self.beginning.extend(bytes.iter().take(wanted));
        self.end.extend_from_slice(&bytes[bytes.len().saturating_sub(END_BYTES)..]);
        self.end.drain(..self.end.len().saturating_sub(END_BYTES));
    }
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.edges.lock().unwrap_or_else(PoisonError::into_inner).see(&buffer[..length]);
        Ok(length)
    }
}
