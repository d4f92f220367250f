//! What a MySQL or MariaDB server and its client tell of themselves.

use super::super::program::{Call, CallError, Stop};
use super::super::version::Version;

/// Which of the two products a server or client is: each dumps itself best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    MariaDb,
    Mysql,
}

impl Family {
    pub(super) fn of(words: &str) -> Self {
        if words.to_lowercase().contains("mariadb") { Self::MariaDb } else { Self::Mysql }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "MariaDB",
            Self::Mysql => "MySQL",
        }
    }
}

/// The server, as one query finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) version: String,
    /// It writes a binlog.
    pub(super) binlog: bool,
    pub(super) databases: Vec<String>,
}

/// Databases that are made by the server and hold nothing to keep.
const VIRTUAL: [&str; 3] = ["information_schema", "performance_schema", "sys"];
/// Users, grants and settings.
pub(super) const SYSTEM: &str = "mysql";

const QUERY: &str = "SELECT 'version', VERSION() \
    UNION ALL SELECT 'binlog', @@log_bin \
    UNION ALL SELECT 'database', schema_name FROM information_schema.schemata";

/// Tables that a transaction does not hold still, but for those of the server itself.
const PLAIN_QUERY: &str = "SELECT CONCAT(table_schema, '.', table_name, ' (', engine, ')') \
    FROM information_schema.tables WHERE table_type = 'BASE TABLE' \
    AND table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') \
    AND engine NOT IN ('InnoDB', 'RocksDB', 'TokuDB', 'ndbcluster') ORDER BY 1 LIMIT 100";

impl Facts {
    /// Asks through the client, which has all that it needs to connect.
    pub(super) fn ask(client: &Call, stop: Stop<'_>) -> Result<Self, CallError> {
        let answer =
            client.clone().args(["--batch", "--skip-column-names", "-e", QUERY]).ask(stop)?;
        Self::parse(&answer)
            .ok_or_else(|| CallError::Odd { program: client.name(), what: "no version".to_owned() })
    }

    fn parse(answer: &str) -> Option<Self> {
        let mut facts = Self::default();
        for line in answer.lines() {
            let Some((key, value)) = line.split_once('\t') else { continue };
            match key {
                "version" => value.clone_into(&mut facts.version),
                "binlog" => facts.binlog = matches!(value, "1" | "ON"),
                "database" if !VIRTUAL.contains(&value.to_lowercase().as_str()) => {
                    facts.databases.push(unescaped(value));
                }
                _ => {}
            }
        }
        facts.databases.sort();
        (!facts.version.is_empty()).then_some(facts)
    }

    /// The databases of people, without the server's own.
    pub(super) fn own(&self) -> impl Iterator<Item = &String> {
        self.databases.iter().filter(|name| *name != SYSTEM)
    }
}

/// The tables that may change while the others are read; none if the server does not tell, because
/// a remark is no reason to fail.
pub(super) fn plain_tables(client: &Call, stop: Stop<'_>) -> Vec<String> {
    let call = client.clone().args(["--batch", "--skip-column-names", "-e", PLAIN_QUERY]);
    call.ask(stop).map(|answer| answer.lines().map(unescaped).collect()).unwrap_or_default()
}

/// A value as it was before the client wrote it into a line.
fn unescaped(value: &str) -> String {
    let (mut plain, mut letters) = (String::new(), value.chars());
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            },
            letter => letter,
        });
    }
    plain
}

/// The version of a client: not of the protocol or the tool, which stand before it.
pub(super) fn client_version(words: &str) -> Option<Version> {
    let after = |mark| words.split_once(mark).and_then(|(_, rest)| Version::parse(rest));
    after("Distrib ").or_else(|| after("from ")).or_else(|| after("Ver "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_product() {
        let version = |text| Version::parse(text);
        for (words, family, number) in [
            (
                "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                Family::MariaDb,
                "10.11.19",
            ),
            ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux", Family::MariaDb, "11.4.2"),
            (
                "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community)",
                Family::Mysql,
                "8.0.36",
            ),
            ("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)", Family::Mysql, "5.7.44"),
        ] {
            assert_eq!(Family::of(words), family);
            assert_eq!(client_version(words), version(number), "{words}");
        }
    }

    #[test]
    fn the_servers_own_views_are_no_databases() {
        let answer = "version\t10.11.19-MariaDB\nbinlog\t0\ndatabase\tsys\ndatabase\tshop\n\
                      database\tinformation_schema\ndatabase\tmysql\ndatabase\ta\\tb\\\\c\n";
        let facts = Facts::parse(answer).unwrap();
        assert_eq!(facts.databases, ["a\tb\\c", "mysql", "shop"]);
        assert!(!facts.binlog && facts.own().count() == 2);
        assert_eq!(Facts::parse("nothing"), None);
    }
}
