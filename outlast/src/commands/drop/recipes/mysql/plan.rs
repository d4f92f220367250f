//! Which programs are called to read a MySQL or MariaDB server, and with what.

use std::ffi::OsString;
use std::path::PathBuf;

use super::super::program::Call;
use super::facts::{Facts, Family};

/// How to connect, for all programs. Passwords come from their files and variables.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Connection {
    /// The server's host [default: what my.cnf says, or its socket on this host]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The server's port
    #[arg(long)]
    port: Option<u16>,
    /// The server's socket on this host
    #[arg(long, value_name = "FILE", conflicts_with = "host")]
    socket: Option<PathBuf>,
    /// The user to connect as [default: what my.cnf says, or the name of this user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file with options, such as user and password, that is read after the usual ones
    #[arg(long, value_name = "FILE", conflicts_with = "defaults_file")]
    defaults_extra_file: Option<PathBuf>,
    /// A file with options that is read instead of the usual ones
    #[arg(long, value_name = "FILE")]
    defaults_file: Option<PathBuf>,
}

/// The client that dumps, and what it can do.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) program: OsString,
    pub(super) family: Family,
    /// What it says of its version.
    pub(super) words: String,
    /// What it says when it is asked for help: which options it knows.
    pub(super) help: String,
}

impl Client {
    fn knows(&self, option: &str) -> bool {
        let name = |word: &str| word.split(['=', '[']).next() == Some(option);
        self.help.split_whitespace().any(name)
    }
}

/// What is wanted in a dump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Some databases, or else all.
    pub(super) databases: Option<&'a [String]>,
    /// Users and grants, too.
    pub(super) globals: bool,
    /// The place in the binlog.
    pub(super) position: bool,
    pub(super) extra: &'a [OsString],
}

impl Connection {
    /// A call of one of the programs.
    pub(super) fn call(&self, program: impl Into<OsString>) -> Call {
        let file = |name: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| {
                let mut word = OsString::from(name);
                word.push(path);
                word
            })
        };
        let text = |name: &str, value: Option<String>| {
            value.map(|value| OsString::from(format!("{name}{value}")))
        };
        // Files with options are only heeded as the first words.
        let words = [
            file("--defaults-file=", &self.defaults_file),
            file("--defaults-extra-file=", &self.defaults_extra_file),
            text("--host=", self.host.clone()),
            text("--port=", self.port.map(|port| port.to_string())),
            file("--socket=", &self.socket),
            text("--user=", self.user.clone()),
        ];
        Call::of(program).args(words.into_iter().flatten())
    }

    /// The call that dumps: in one transaction, in the order of the primary keys, one row after
    /// the other as the server sends them.
    pub(super) fn dump(&self, client: &Client, facts: &Facts, wanted: Wanted<'_>) -> Call {
        let mut call = self.call(&client.program).args([
            "--single-transaction",
            "--quick",
            "--order-by-primary",
            "--routines",
            "--events",
            "--triggers",
            "--hex-blob",
            "--no-tablespaces",
            "--default-character-set=utf8mb4",
        ]);
        if wanted.position && facts.binlog {
            // As a comment: whoever loads it need not become a replica.
            let new = client.knows("--source-data");
            call = call.arg(if new { "--source-data=2" } else { "--master-data=2" });
        }
        match wanted.databases {
            // The server's own database has users and grants.
            None => call.args(["--all-databases", "--flush-privileges"]).args(wanted.extra),
            Some(databases) => call.args(wanted.extra).arg("--databases").args(databases),
        }
    }

    /// The call that dumps users and grants alone, for what has only some databases. Those that the
    /// server has already stay as they are. `None` if the client has no way to do that.
    pub(super) fn users(&self, client: &Client, wanted: Wanted<'_>) -> Option<Call> {
        let is_wanted = wanted.globals && wanted.databases.is_some() && client.knows("--system");
        let words = ["--system=users", "--insert-ignore", "--single-transaction"];
        is_wanted.then(|| self.call(&client.program).args(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(help: &str) -> Client {
        Client {
            program: "mariadb-dump".into(),
            family: Family::MariaDb,
            words: String::new(),
            help: help.to_owned(),
        }
    }

    fn words(client: &Client, wanted: Wanted<'_>) -> String {
        let facts = Facts { binlog: true, ..Facts::default() };
        let connection = Connection {
            user: Some("backup".to_owned()),
            defaults_extra_file: Some("/etc/backup.cnf".into()),
            ..Connection::default()
        };
        format!("{:?}", connection.dump(client, &facts, wanted))
    }

    #[test]
    fn options_that_a_client_has_not_are_not_used() {
        let all = Wanted { databases: None, globals: true, position: true, extra: &[] };
        let old = client("  --master-data[=#] This causes\n  --system=name Dump");
        let new = client("  --source-data[=#] This causes");
        assert!(words(&old, all).contains("--master-data=2"));
        assert!(words(&new, all).contains("--source-data=2"));
        let names = ["shop".to_owned(), "crm".to_owned()];
        let some = Wanted { databases: Some(&names), position: false, ..all };
        let of_some = words(&old, some);
        assert!(of_some.contains(r#""--databases", "shop", "crm"]"#), "{of_some}");
        assert!(!of_some.contains("-data=2") && !of_some.contains("--system"), "{of_some}");
        let users = |client: &Client, wanted| Connection::default().users(client, wanted);
        assert!(format!("{:?}", users(&old, some)).contains("--system=users"));
        assert_eq!(users(&new, some), None);
        assert_eq!(users(&old, Wanted { globals: false, ..some }), None);
        assert_eq!(users(&old, all), None);
    }

    #[test]
    fn files_with_options_are_the_first_words() {
        let all = Wanted { databases: None, globals: true, position: true, extra: &[] };
        let words = words(&client(""), all);
        let first = r#"arguments: ["--defaults-extra-file=/etc/backup.cnf", "--user=backup""#;
        assert!(words.contains(first), "{words}");
    }
}
