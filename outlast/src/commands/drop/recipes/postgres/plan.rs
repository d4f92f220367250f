//! Which programs are called to read a PostgreSQL server, and in which order.

use std::ffi::OsString;
use std::path::Path;

use super::super::feed::Part;
use super::super::program::Call;
use super::facts::Tablespace;

/// How to connect, for all programs. Passwords come from the files and variables of libpq.
#[derive(Debug, Clone, Default)]
pub(super) struct Connection {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    /// The database that answers what belongs to no database; `None` leaves it to libpq.
    pub(super) database: Option<String>,
}

/// What is wanted of the globals: roles, their settings and tablespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Globals {
    All,
    WithoutPasswords,
    None,
}

/// What begins and ends a script of a whole server in the form of `pg_dumpall`. Whoever finds the
/// beginning without the end knows that something is missing.
const SCRIPT_BEGINS: &str = "--\n-- PostgreSQL database cluster dump\n--\n\n";
const SCRIPT_ENDS: &str = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";

/// Databases that every server has: a script connects to them and does not create them.
const ALWAYS_THERE: [&str; 2] = ["template1", "postgres"];

impl Connection {
    /// A call of one of the programs, which never asks for a password.
    pub(super) fn call(&self, program: &str) -> Call {
        let mut call = Call::of(program).arg("--no-password");
        let port = self.port.map(|port| port.to_string());
        let given = [("PGHOST", &self.host), ("PGPORT", &port), ("PGUSER", &self.user)];
        for (name, value) in given {
            if let Some(value) = value {
                call = call.env(name, value);
            }
        }
        call
    }

    pub(super) fn psql(&self) -> Call {
        let call = self.call("psql");
        match &self.database {
            Some(name) => call.arg(dbname(name)),
            None => call,
        }
    }

    fn globals(&self, globals: Globals) -> Call {
        let call = self.call("pg_dumpall").arg("--globals-only");
        let call = match &self.database {
            Some(name) => call.arg(format!("--database={name}")),
            None => call,
        };
        match globals {
            Globals::WithoutPasswords => call.arg("--no-role-passwords"),
            Globals::All | Globals::None => call,
        }
    }

    /// Large objects are in it also where options choose among the rest.
    fn dump(&self, database: &str, extra: &[OsString]) -> Call {
        self.call("pg_dump").arg("-b").arg(dbname(database)).args(extra)
    }

    /// One script for `psql`: globals, and then one database after the other.
    pub(super) fn script(
        &self,
        globals: Globals,
        databases: &[String],
        extra: &[OsString],
    ) -> Vec<Part> {
        let mut parts = vec![match globals {
            Globals::None => Part::Text(SCRIPT_BEGINS.to_owned()),
            globals => Part::Output(self.globals(globals)),
        }];
        for database in databases {
            let dump = self.dump(database, extra);
            if ALWAYS_THERE.contains(&database.as_str()) {
                parts.push(Part::Text(format!("\\connect {database}\n\n")));
                parts.push(Part::Output(dump));
            } else {
                parts.push(Part::Output(dump.arg("--create")));
            }
        }
        parts.push(Part::Text(SCRIPT_ENDS.to_owned()));
        parts
    }

    /// Files below `into`: `globals.sql`, and a directory for each database. Not compressed, so
    /// that what is the same as yesterday is found to be the same.
    pub(super) fn directories(
        &self,
        globals: Globals,
        databases: &[String],
        jobs: usize,
        into: &Path,
        extra: &[OsString],
    ) -> Vec<Call> {
        let mut calls = Vec::new();
        if globals != Globals::None {
            let file = option("--file=", &into.join("globals.sql"));
            calls.push(self.globals(globals).arg("--no-sync").arg(file));
        }
        calls.extend(databases.iter().map(|database| {
            let file = option("--file=", &into.join("databases").join(file_name(database)));
            self.dump(database, extra)
                .args(["--format=directory", "--compress=0", "--no-sync"])
                .arg(format!("--jobs={jobs}"))
                .arg(file)
        }));
        calls
    }

    /// A copy of the server's files below `into`, ready to start: `data`, and what lies in
    /// tablespaces.
    pub(super) fn base_backup(
        &self,
        tablespaces: &[Tablespace],
        into: &Path,
        extra: &[OsString],
    ) -> Call {
        let mut call = self
            .call("pg_basebackup")
            .args(["--format=plain", "--wal-method=stream", "--checkpoint=fast", "--no-sync"])
            .arg("--label=outlast")
            .arg(option("--pgdata=", &into.join("data")));
        for tablespace in tablespaces {
            let mut word = OsString::from("--tablespace-mapping=");
            word.push(tablespace.location.replace('=', "\\="));
            word.push("=");
            word.push(into.join("tablespaces").join(&tablespace.oid));
            call = call.arg(word);
        }
        call.args(extra)
    }
}

/// A database's name as the words of libpq, in which nothing of it means anything else.
fn dbname(name: &str) -> String {
    let quoted = name.replace('\\', "\\\\").replace('\'', "\\'");
    format!("--dbname=dbname='{quoted}'")
}

fn option(name: &str, path: &Path) -> OsString {
    let mut word = OsString::from(name);
    word.push(path);
    word
}

/// A file name for a database, whatever that is called: other bytes than plain ones as `%XX`.
fn file_name(database: &str) -> String {
    let mut name = String::new();
    for (place, byte) in database.bytes().enumerate() {
        let is_plain =
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && place > 0);
        if is_plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// Where in the log a base backup begins, from its `backup_label`.
pub(super) fn position(label: &str) -> Option<String> {
    let value = |key| label.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let start = value("START WAL LOCATION:")?;
    let place = start.split_whitespace().next()?;
    Some(match value("START TIMELINE:") {
        Some(timeline) => format!("{place} on timeline {timeline}"),
        None => place.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_script_is_that_of_a_whole_server_and_says_where_it_ends() {
        let connection = Connection { user: Some("backup".to_owned()), ..Connection::default() };
        let databases = names(&["postgres", "it's"]);
        let extra = [OsString::from("--exclude-table=log")];
        let parts = connection.script(Globals::WithoutPasswords, &databases, &extra);
        let call = |program| Call::of(program).arg("--no-password").env("PGUSER", "backup");
        let dump = |name: &str| call("pg_dump").args(["-b", name, "--exclude-table=log"]);
        assert_eq!(
            parts,
            [
                Part::Output(call("pg_dumpall").args(["--globals-only", "--no-role-passwords"])),
                Part::Text("\\connect postgres\n\n".to_owned()),
                Part::Output(dump("--dbname=dbname='postgres'")),
                Part::Output(dump("--dbname=dbname='it\\'s'").arg("--create")),
                Part::Text(SCRIPT_ENDS.to_owned()),
            ]
        );
        let parts = connection.script(Globals::None, &databases, &extra);
        assert_eq!(parts[0], Part::Text(SCRIPT_BEGINS.to_owned()));
        assert_eq!(parts.len(), 5);
    }

    #[test]
    fn directories_are_not_compressed_and_have_names_for_all_databases() {
        let connection = Connection::default();
        let databases = names(&["shop", "../x", "Über"]);
        let calls = connection.directories(Globals::All, &databases, 3, Path::new("/s"), &[]);
        let words: Vec<String> = calls.iter().map(|call| format!("{call:?}")).collect();
        assert!(words[0].contains("pg_dumpall") && words[0].contains("--file=/s/globals.sql"));
        assert!(words[1].contains("--compress=0") && words[1].contains("--jobs=3"));
        for (words, name) in words[1..].iter().zip(["shop", "%2E.%2Fx", "%C3%9Cber"]) {
            assert!(words.contains(&format!("--file=/s/databases/{name}\"")), "{words}");
        }
    }

    #[test]
    fn a_base_backup_puts_each_tablespace_beside_the_data() {
        let place = Tablespace { oid: "16384".to_owned(), location: "/disk=2/t".to_owned() };
        let call = Connection::default().base_backup(&[place], Path::new("/s"), &[]);
        let words = format!("{call:?}");
        assert!(words.contains("--pgdata=/s/data"), "{words}");
        assert!(
            words.contains("--tablespace-mapping=/disk\\\\=2/t=/s/tablespaces/16384"),
            "{words}"
        );
    }

    #[test]
    fn the_place_in_the_log_is_read_from_the_label() {
        let label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
                     CHECKPOINT LOCATION: 0/2000060\nSTART TIMELINE: 1\n";
        assert_eq!(position(label).as_deref(), Some("0/2000028 on timeline 1"));
        assert_eq!(position(""), None);
    }
}
