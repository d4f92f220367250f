//! What a PostgreSQL server tells of itself.

use serde::Deserialize;

use super::super::program::{Call, CallError, Stop};
use super::super::version::Version;

/// The server, as one query finds it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Facts {
    pub(super) version: String,
    /// It replays what another server did.
    pub(super) recovery: bool,
    /// And is connected to that.
    pub(super) receiving: bool,
    /// The user may read the roles' passwords.
    pub(super) passwords: bool,
    /// Those that take connections.
    pub(super) databases: Vec<Database>,
    pub(super) tablespaces: Vec<Tablespace>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Database {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A tablespace outside of the server's own directory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Tablespace {
    pub(super) oid: String,
    pub(super) location: String,
}

/// Works on every server since 9.6. Sizes are asked only where that is allowed.
const QUERY: &str = "SELECT json_build_object(
    'version', current_setting('server_version'),
    'recovery', pg_is_in_recovery(),
    'receiving', EXISTS (SELECT FROM pg_stat_wal_receiver),
    'passwords', has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
    'databases', (
        SELECT coalesce(json_agg(json_build_object('name', datname, 'bytes',
            CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) ELSE 0 END)
            ORDER BY datname), '[]')
        FROM pg_database WHERE datallowconn AND datconnlimit <> -2),
    'tablespaces', (
        SELECT coalesce(json_agg(json_build_object(
            'oid', oid::text, 'location', pg_tablespace_location(oid)) ORDER BY oid), '[]')
        FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''))";

impl Facts {
    /// Asks through `psql`, which has all that it needs to connect.
    pub(super) fn ask(psql: Call, stop: Stop<'_>) -> Result<Self, CallError> {
        let psql = psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"]);
        let psql = psql.args(["--set=ON_ERROR_STOP=1", "--command", QUERY]);
        Self::parse(&psql.env("PGCLIENTENCODING", "UTF8").ask(stop)?)
    }

    fn parse(answer: &str) -> Result<Self, CallError> {
        serde_json::from_str(answer.trim())
            .map_err(|error| CallError::Odd { program: "psql".to_owned(), what: error.to_string() })
    }

    /// What decides which clients can dump it.
    pub(super) fn generation(&self) -> Option<(u32, u32)> {
        Version::parse(&self.version).map(generation)
    }

    /// The bytes that these databases take on the server.
    pub(super) fn bytes_of(&self, names: &[String]) -> u64 {
        let wanted = self.databases.iter().filter(|database| names.contains(&database.name));
        wanted.map(|database| database.bytes).sum()
    }

    /// The bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.databases.iter().map(|database| database.bytes).sum()
    }
}

/// Since version 10, the first number counts; before, the first two did.
pub(super) fn generation(version: Version) -> (u32, u32) {
    match version.series() {
        (major, _) if major >= 10 => (major, 0),
        series => series,
    }
}

/// The databases to dump, in the order of `pg_dumpall`: what new databases are copied from comes
/// first. Else why there are none.
pub(super) fn choose(
    facts: &Facts,
    wanted: &[String],
    excluded: &[String],
) -> Result<Vec<String>, String> {
    let there: Vec<&String> = facts.databases.iter().map(|database| &database.name).collect();
    if let Some(missing) = wanted.iter().find(|name| !there.contains(name)) {
        let names: Vec<&str> = there.iter().map(|name| name.as_str()).collect();
        return Err(format!("the server has no database {missing:?}, but {}", names.join(", ")));
    }
    let is_chosen =
        |name: &&&String| (wanted.is_empty() || wanted.contains(name)) && !excluded.contains(name);
    let mut chosen: Vec<String> =
        there.iter().filter(is_chosen).map(|&name| name.clone()).collect();
    if chosen.is_empty() {
        return Err("no database is left to dump".to_owned());
    }
    chosen.sort_by_key(|name| (name != "template1", name.clone()));
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in super::super) fn facts() -> Facts {
        Facts::parse(
            r#"{"version":"15.18 (Debian 15.18-0+deb12u1)","recovery":false,"receiving":false,
            "passwords":true,"databases":[{"name":"crm","bytes":5},{"name":"postgres","bytes":7},
            {"name":"shop","bytes":100},{"name":"template1","bytes":7}],"tablespaces":[]}"#,
        )
        .unwrap()
    }

    #[test]
    fn the_first_number_counts_since_ten() {
        let of = |text| generation(Version::parse(text).unwrap());
        assert!(of("15.1") == of("15.18") && of("14.9") < of("15.0"));
        assert!(of("9.6.24") < of("10.0") && of("9.5.1") < of("9.6.0"));
    }

    #[test]
    fn all_databases_are_dumped_or_those_that_are_named() {
        let facts = facts();
        let of = |wanted: &[&str], excluded: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let (wanted, excluded): (Vec<String>, Vec<String>) = (owned(wanted), owned(excluded));
            choose(&facts, &wanted, &excluded)
        };
        assert_eq!(of(&[], &[]).unwrap(), ["template1", "crm", "postgres", "shop"]);
        assert_eq!(of(&["shop", "crm"], &[]).unwrap(), ["crm", "shop"]);
        assert_eq!(of(&[], &["template1", "rdsadmin"]).unwrap(), ["crm", "postgres", "shop"]);
        assert!(of(&["shpo"], &[]).unwrap_err().contains("crm, postgres, shop"));
        assert!(of(&["shop"], &["shop"]).is_err());
        assert_eq!((facts.bytes(), facts.bytes_of(&["shop".to_owned()])), (119, 100));
    }
}
