//! The shop's database: PostgreSQL where its programs are installed, SQLite otherwise.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rusqlite::Connection;

use super::stage::{self, owned};

/// The hidden command that an instance with a SQLite database runs as its dump.
pub(crate) const DUMP_COMMAND: &str = "demo-dump-sqlite";

/// Orders that the shop has when the story begins.
const ORDERS_AT_FIRST: u32 = 20_000;

/// A database with one table of orders, that can be dumped, grown, loaded and compared.
pub(super) enum Database {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

impl Database {
    /// Makes the shop's database: PostgreSQL if this host can run one, else SQLite.
    pub(super) fn create(directory: &Path, program: &Path) -> Result<Self> {
        if let Some(postgres) = Postgres::create()? {
            return Ok(Self::Postgres(postgres));
        }
        Ok(Self::Sqlite(Sqlite::create(directory.join("shop.sqlite"), program.to_owned())?))
    }

    /// What it is, for the story.
    pub(super) fn product(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "PostgreSQL (pg_dump)",
            Self::Sqlite(_) => "SQLite (no PostgreSQL programs on this host)",
        }
    }

    /// The name of a dump's file.
    pub(super) fn dump_name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "shop.sql",
            Self::Sqlite(_) => "shop.sqlite",
        }
    }

    /// The command that writes a dump to its standard output.
    pub(super) fn dump_command(&self) -> Vec<OsString> {
        match self {
            Self::Postgres(postgres) => postgres.dump_command("shop"),
            Self::Sqlite(sqlite) => {
                let mut words = owned(&[]);
                words.push(sqlite.program.clone().into());
                words.push(DUMP_COMMAND.into());
                words.push(sqlite.path.clone().into());
                words
            }
        }
    }

    /// Customers buy: `count` more orders.
    pub(super) fn add_orders(&self, count: u32) -> Result<()> {
        match self {
            Self::Postgres(postgres) => postgres.sql("shop", &insert_postgres(count)).map(|_| ()),
            Self::Sqlite(sqlite) => add_sqlite_orders(&open_sqlite(&sqlite.path)?, count),
        }
    }

    /// Number and sum of all orders: equal only if every order is there.
    pub(super) fn fingerprint(&self) -> Result<String> {
        match self {
            Self::Postgres(postgres) => postgres.fingerprint("shop"),
            Self::Sqlite(sqlite) => sqlite_fingerprint(&sqlite.path),
        }
    }

    /// The fingerprint of a second database that is loaded from `dump`.
    pub(super) fn fingerprint_of_dump(&self, dump: &Path) -> Result<String> {
        match self {
            Self::Postgres(postgres) => {
                postgres.sql("postgres", "DROP DATABASE IF EXISTS restored")?;
                postgres.sql("postgres", "CREATE DATABASE restored")?;
                postgres.load("restored", dump)?;
                postgres.fingerprint("restored")
            }
            Self::Sqlite(_) => sqlite_fingerprint(dump),
        }
    }
}

/// A PostgreSQL server of our own, on a socket that only this host sees.
pub(super) struct Postgres {
    programs: PathBuf,
    /// Holds data and socket; removed at the end.
    directory: tempfile::TempDir,
    /// PostgreSQL refuses to run as root, so root asks this user to run it.
    user: Option<&'static str>,
}

impl Postgres {
    /// A running server with the database `shop`; `None` where its programs are not installed.
    fn create() -> Result<Option<Self>> {
        let Some(programs) = find_programs() else { return Ok(None) };
        let root = rustix::process::geteuid().is_root();
        let user = root.then_some("postgres");
        let directory = tempfile::Builder::new()
            .prefix("outlast-demo-pg-")
            .tempdir()
            .context("make a directory for PostgreSQL")?;
        let server = Self { programs, directory, user };
        if root {
            stage::run(Command::new("chown").arg("postgres").arg(server.directory.path()))?;
        }
        let data = server.directory.path().join("data");
        let log = server.directory.path().join("log");
        let socket = server.directory.path().display().to_string();
        stage::run(
            server
                .as_server("initdb")
                .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
                .arg(&data),
        )?;
        let options = format!("-c listen_addresses='' -c fsync=off -k '{socket}'");
        stage::run(
            server
                .as_server("pg_ctl")
                .args(["-w", "start", "-D"])
                .arg(&data)
                .arg("-l")
                .arg(&log)
                .args(["-o", &options]),
        )?;
        server.sql("postgres", "CREATE DATABASE shop")?;
        server.sql(
            "shop",
            "CREATE TABLE orders (id bigserial PRIMARY KEY, customer text, cents bigint)",
        )?;
        server.sql("shop", &insert_postgres(ORDERS_AT_FIRST))?;
        Ok(Some(server))
    }

    fn as_server(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = match self.user {
            None => Command::new(path),
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(path);
                command
            }
        };
        command.current_dir(self.directory.path());
        command
    }

    fn client(&self, program: &str, database: &str) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![self.programs.join(program).into()];
        words.extend(owned(&["-h"]));
        words.push(self.directory.path().into());
        words.extend(owned(&["-U", "postgres", "-d", database]));
        words
    }

    fn dump_command(&self, database: &str) -> Vec<OsString> {
        self.client("pg_dump", database)
    }

    fn sql(&self, database: &str, statement: &str) -> Result<String> {
        let words = self.client("psql", database);
        stage::run(Command::new(&words[0]).args(&words[1..]).args([
            "-v",
            "ON_ERROR_STOP=1",
            "-qAtc",
            statement,
        ]))
    }

    fn load(&self, database: &str, dump: &Path) -> Result<()> {
        let words = self.client("psql", database);
        stage::run(
            Command::new(&words[0])
                .args(&words[1..])
                .args(["-v", "ON_ERROR_STOP=1", "-qAtf"])
                .arg(dump),
        )?;
        Ok(())
    }

    fn fingerprint(&self, database: &str) -> Result<String> {
        let words = "SELECT count(*) || ' orders worth ' || sum(cents) || ' cents, ' \
                     || md5(string_agg(id || customer || cents, ',' ORDER BY id)) FROM orders";
        Ok(self.sql(database, words)?.trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.directory.path().join("data");
        // The directory goes next; a server that will not stop loses its files and ends by itself.
        let _ = stage::run(
            self.as_server("pg_ctl").args(["-m", "immediate", "-w", "stop", "-D"]).arg(data),
        );
    }
}

/// The newest installed server's programs; Debian keeps them apart by version.
fn find_programs() -> Option<PathBuf> {
    let version_of = |path: &Path| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten();
    let mut found: Vec<PathBuf> = debian
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("pg_dump").exists())
        .collect();
    found.sort_by_key(|bin| version_of(bin));
    found.pop().or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .find(|bin| bin.join("initdb").exists() && bin.join("pg_dump").exists())
    })
}

fn insert_postgres(count: u32) -> String {
    format!(
        "INSERT INTO orders (customer, cents) SELECT md5(i::text || random()), i * 7 \
         FROM generate_series(1, {count}) i"
    )
}

/// A SQLite file, used where PostgreSQL is not installed.
pub(super) struct Sqlite {
    path: PathBuf,
    program: PathBuf,
}

impl Sqlite {
    fn create(path: PathBuf, program: PathBuf) -> Result<Self> {
        let connection = open_sqlite(&path)?;
        connection
            .execute_batch(
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER)",
            )
            .context("make the table of orders")?;
        add_sqlite_orders(&connection, ORDERS_AT_FIRST)?;
        Ok(Self { path, program })
    }
}

fn open_sqlite(path: &Path) -> Result<Connection> {
    Connection::open(path).with_context(|| format!("open the database {}", path.display()))
}

fn add_sqlite_orders(connection: &Connection, count: u32) -> Result<()> {
    let statement = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                     INSERT INTO orders (customer, cents) SELECT hex(randomblob(16)), i * 7 FROM n";
    connection.execute(statement, [count]).context("add orders")?;
    Ok(())
}

fn sqlite_fingerprint(path: &Path) -> Result<String> {
    let statement = "SELECT count(*) || ' orders worth ' || sum(cents) || ' cents, newest by ' \
                     || (SELECT customer FROM orders ORDER BY id DESC LIMIT 1) FROM orders";
    open_sqlite(path)?
        .query_row(statement, [], |row| row.get(0))
        .with_context(|| format!("read the orders in {}", path.display()))
}

/// Writes a consistent copy of a live SQLite database to `out`: what an instance without
/// PostgreSQL runs as its dump command.
pub(super) fn dump_sqlite(path: &Path, out: &mut dyn std::io::Write) -> Result<()> {
    let scratch = tempfile::tempdir().context("make a scratch directory")?;
    let copy = scratch.path().join("copy.sqlite");
    open_sqlite(path)?
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .with_context(|| format!("copy the database {}", path.display()))?;
    let mut copy = std::fs::File::open(copy).context("open the copy")?;
    std::io::copy(&mut copy, out).context("write the dump")?;
    Ok(())
}
