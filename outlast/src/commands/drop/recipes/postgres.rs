//! `outlast drop postgres`: a PostgreSQL server, read by its own programs.

mod facts;
mod plan;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use outlast_drop::{Claims, Databases, Source};

use self::facts::{Facts, Tablespace};
use self::plan::{Connection, Globals};
use super::super::attempt::{Attempt, Sealed};
use super::super::carry_out::carry_out;
use super::super::options::DropOptions;
use super::advice::{Product, refused};
use super::feed::{Feed, Part};
use super::program::Call;
use super::scratch::ScratchArgs;
use super::secrets;
use super::version::Version;
use crate::exit::{Code, Usage};
use crate::output::Output;

const PRODUCT: Product = Product::Postgres;

/// The most connections that a dump takes unless more are asked for.
const JOBS_DEFAULT_MAX: usize = 4;

/// What a base backup needs beyond the databases: the log that is written meanwhile.
const LOG_BYTES: u64 = 64 << 20;

/// How a server is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// One script for psql; needs no room on this host
    Dump,
    /// A directory for each database, read by several --jobs; needs scratch room
    Directory,
    /// The server's files, ready to start; needs scratch room, and a user with REPLICATION
    Basebackup,
}

/// A PostgreSQL server: all databases or some, with roles and tablespaces
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Where the server is and who may read it comes from where libpq always looks: PGHOST, PGPORT,
PGUSER, PGPASSWORD, PGSERVICE, ~/.pgpass, …. A password is never asked for, and refused on the
command line. pg_dump, pg_dumpall, pg_basebackup and psql must be in PATH, not older than the server.

Each database is dumped as it was at one moment. Large objects are in it, also where options choose
among tables. The dump is neither compressed nor in another order than the tables', so that only
what has changed is sent and stored. Its manifest tells the versions of server and client.

Words after `--` are for pg_dump, or for pg_basebackup.

Examples:
  outlast drop postgres --share /mnt/efs --workload shop-db
  outlast drop postgres --share /mnt/efs --workload shop-db --host db.example --user backup \\
    --database shop --no-role-passwords
  outlast drop postgres --share /mnt/efs --workload shop-db --method directory --jobs 8 \\
    --scratch /var/lib/postgresql/scratch -- --exclude-table-data='log_*'
  outlast drop postgres --share /mnt/efs --workload shop-db -- --serializable-deferrable
  outlast drop postgres --share /mnt/efs --workload shop-pg --method basebackup

Load it again, on a new server:
  psql -X -d postgres -f postgres.sql
  psql -X -d postgres -f globals.sql; pg_restore --create --jobs 8 -d postgres databases/shop
  chown -R postgres: data && pg_ctl -D data start"
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    options: DropOptions,
    /// How the server is read
    #[arg(long, value_enum, default_value = "dump")]
    method: Method,
    /// A database to dump; may be given several times [default: all that take connections]
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// A database to leave out, such as the provider's own; may be given several times
    #[arg(long, value_name = "NAME")]
    exclude_database: Vec<String>,
    /// Connections that dump at once, for --method directory [default: the processors, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Leave out the roles' passwords, which only a superuser can read; managed servers have none
    #[arg(long)]
    no_role_passwords: bool,
    /// Leave out what belongs to no database: roles and tablespaces
    #[arg(long)]
    no_globals: bool,
    /// The server's host, or the directory of its socket [default: PGHOST, or what libpq takes]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The server's port [default: PGPORT, or 5432]
    #[arg(long)]
    port: Option<u16>,
    /// The user to connect as [default: PGUSER, or the name of this user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    scratch: ScratchArgs,
    /// Further options of pg_dump or pg_basebackup
    #[arg(last = true, value_name = "OPTION")]
    extra: Vec<OsString>,
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    secrets::refuse(PRODUCT, &arguments.extra)?;
    arguments.check()?;
    carry_out(&arguments.options, output, &mut |attempt: &Attempt<'_>| {
        let server = Server::ask(arguments, attempt)?;
        server.check(arguments, output)?;
        match arguments.method {
            Method::Dump => server.dump(arguments, attempt),
            Method::Directory => server.directory(arguments, attempt),
            Method::Basebackup => server.base_backup(arguments, attempt),
        }
    })
}

impl Args {
    /// Refuses options that would do nothing.
    fn check(&self) -> Result<()> {
        let unused = match self.method {
            Method::Basebackup
                if !self.database.is_empty() || !self.exclude_database.is_empty() =>
            {
                "--method basebackup copies the whole server: --database and --exclude-database are \
                 for dumps"
            }
            Method::Basebackup if self.no_globals || self.no_role_passwords => {
                "--method basebackup copies the whole server: --no-globals and --no-role-passwords \
                 are for dumps"
            }
            Method::Dump | Method::Basebackup if self.jobs.is_some() => {
                "--jobs is for --method directory"
            }
            _ => return Ok(()),
        };
        Err(Usage(unused.to_owned()).into())
    }

    fn connection(&self) -> Connection {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let database = match self.database.first() {
            Some(name) => Some(name.clone()),
            // libpq knows more than we; else it would look for one with the name of the user.
            None if is_set("PGDATABASE") || is_set("PGSERVICE") => None,
            None => Some("postgres".to_owned()),
        };
        let (host, user) = (self.host.clone(), self.user.clone());
        Connection { host, port: self.port, user, database }
    }

    fn jobs(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(|| processors().min(JOBS_DEFAULT_MAX), usize::from)
    }

    fn globals(&self) -> Globals {
        match (self.no_globals, self.no_role_passwords) {
            (true, _) => Globals::None,
            (false, true) => Globals::WithoutPasswords,
            (false, false) => Globals::All,
        }
    }
}

impl Method {
    fn program(self) -> &'static str {
        if self == Self::Basebackup { "pg_basebackup" } else { "pg_dump" }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::Directory => "directory",
            Self::Basebackup => "basebackup",
        }
    }
}

/// A server and the program that reads it.
struct Server {
    connection: Connection,
    facts: Facts,
    client: String,
}

impl Server {
    fn ask(arguments: &Args, attempt: &Attempt<'_>) -> Result<Self> {
        let stop = || attempt.signals.look();
        let program = arguments.method.program();
        let client = Call::version(OsStr::new(program), &stop);
        let client = client.map_err(|error| PRODUCT.explained(error))?;
        let connection = arguments.connection();
        let facts = Facts::ask(connection.psql(), &stop).map_err(|e| PRODUCT.explained(e))?;
        let server = Self { connection, facts, client };
        server.refuse_older_client(program)?;
        Ok(server)
    }

    fn refuse_older_client(&self, program: &str) -> Result<()> {
        let client = Version::find(&self.client).map(facts::generation);
        let server = self.facts.generation();
        let (Some(client), Some(server)) = (client, server) else {
            let words = (&self.client, &self.facts.version);
            return Err(refused(format_args!("these are no versions: {words:?}"), None));
        };
        if client >= server {
            return Ok(());
        }
        let major = if server.0 >= 10 { server.0.to_string() } else { self.facts.version.clone() };
        let hint = format!(
            "Install postgresql-client-{major} (Debian, Ubuntu), postgresql{major} (RHEL, Amazon \
             Linux) or postgresql{major}-client (Alpine), and put its directory first in PATH, such \
             as /usr/lib/postgresql/{major}/bin."
        );
        Err(refused(
            format_args!(
                "{program} is older than the server, and would not know all that is in it: `{}` and \
                 {}",
                self.client, self.facts.version
            ),
            Some(&hint),
        ))
    }

    /// Refuses what would fail later, and tells what is to be known.
    fn check(&self, arguments: &Args, output: &Output) -> Result<()> {
        let facts = &self.facts;
        if facts.recovery && !facts.receiving {
            output.warn(
                "the server is a replica that is not connected to its primary now: what it has may be \
                 old",
            );
        }
        let reads_passwords =
            arguments.method != Method::Basebackup && arguments.globals() == Globals::All;
        if reads_passwords && !facts.passwords {
            return Err(refused(
                "this user may not read the roles' passwords (pg_authid)",
                Some(
                    "Only a superuser can, and managed servers have none: add --no-role-passwords, and \
                     set passwords anew after a restore.",
                ),
            ));
        }
        Ok(())
    }

    fn claims(&self, attempt: &Attempt<'_>, method: Method, databases: &[String]) -> Claims {
        let source = Source {
            kind: "postgres".to_owned(),
            method: Some(method.name().to_owned()),
            server: Some(self.facts.version.clone()),
            client: Version::find(&self.client).map(|version| version.to_string()),
            replica: self.facts.recovery,
            position: None,
            databases: Some(Databases::of(databases)),
        };
        Claims { source: Some(source), ..attempt.claims() }
    }

    fn choose(&self, arguments: &Args) -> Result<Vec<String>> {
        let (wanted, excluded) = (&arguments.database, &arguments.exclude_database);
        facts::choose(&self.facts, wanted, excluded).map_err(|why| refused(why, None))
    }

    fn dump(&self, arguments: &Args, attempt: &Attempt<'_>) -> Result<Sealed> {
        let databases = self.choose(arguments)?;
        let parts = self.connection.script(arguments.globals(), &databases, &arguments.extra);
        let claims = self.claims(attempt, Method::Dump, &databases);
        let feed = feed(parts, attempt);
        let trouble = feed.trouble();
        attempt
            .stream("postgres.sql", feed.into_stream("pg_dump"), claims)
            .map_err(|e| trouble.or(e))
    }

    fn directory(&self, arguments: &Args, attempt: &Attempt<'_>) -> Result<Sealed> {
        let databases = self.choose(arguments)?;
        let claims = self.claims(attempt, Method::Directory, &databases);
        let scratch = arguments.scratch.make(self.facts.bytes_of(&databases))?;
        attempt.made_tree(claims, &mut |source| {
            let content = scratch.content();
            fs::create_dir(content.join("databases"))
                .context("cannot write to the scratch directory")?;
            let (globals, jobs) = (arguments.globals(), arguments.jobs());
            let extra = &arguments.extra;
            let calls = self.connection.directories(globals, &databases, jobs, &content, extra);
            feed(calls.into_iter().map(Part::Output).collect(), attempt).drain()?;
            Ok((scratch.tree()?, source))
        })
    }

    fn base_backup(&self, arguments: &Args, attempt: &Attempt<'_>) -> Result<Sealed> {
        let facts = &self.facts;
        let names: Vec<String> = facts.databases.iter().map(|it| it.name.clone()).collect();
        let claims = self.claims(attempt, Method::Basebackup, &names);
        let scratch = arguments.scratch.make(facts.bytes() / 10 * 11 + LOG_BYTES)?;
        attempt.made_tree(claims, &mut |source| {
            let content = scratch.content();
            let call = self.connection.base_backup(&facts.tablespaces, &content, &arguments.extra);
            feed(vec![Part::Output(call)], attempt).drain()?;
            lead_back(&facts.tablespaces, &content)?;
            let label = fs::read_to_string(content.join("data/backup_label")).unwrap_or_default();
            let position = plan::position(&label);
            Ok((scratch.tree()?, source.map(|source| Source { position, ..source })))
        })
    }
}

fn feed(parts: Vec<Part>, attempt: &Attempt<'_>) -> Feed {
    Feed::of(PRODUCT, parts, &attempt.options.input, attempt.signals, attempt.output)
}

/// Lets the copy's links to tablespaces lead to where the server has them, and not into a scratch
/// directory that is about to go.
fn lead_back(tablespaces: &[Tablespace], content: &Path) -> Result<()> {
    for Tablespace { oid, location } in tablespaces {
        let link = content.join("data/pg_tblspc").join(oid);
        fs::remove_file(&link)
            .and_then(|()| symlink(location, &link))
            .with_context(|| format!("cannot change the copy's link to tablespace {oid}"))?;
    }
    Ok(())
}
