//! What to do about a failure: for whoever reads it at three in the morning.
//!
//! The programs say what happened. What they say is looked through for what the products say in
//! known situations; all sentences here were seen from real servers, or stand in their sources.

use crate::exit::Advised;
use crate::signals::Ended;

use super::program::CallError;

/// What a recipe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Postgres,
    Mysql,
    Redis,
}

impl Product {
    /// How to get the client programs.
    fn install(self) -> &'static str {
        match self {
            Self::Postgres => {
                "Install PostgreSQL's client programs, at least of the server's version: \
                 postgresql-client on Debian and Ubuntu, postgresql on RHEL and Amazon Linux, \
                 postgresql16-client (or your version) on Alpine; or add their directory to PATH."
            }
            Self::Mysql => {
                "Install the client programs of the server's product: mariadb-client (Debian, Ubuntu, \
                 Alpine), mariadb (RHEL), or MySQL's own; or add their directory to PATH."
            }
            Self::Redis => {
                "Install redis-cli: redis-tools on Debian and Ubuntu, redis on RHEL and Alpine; or add \
                 its directory to PATH."
            }
        }
    }

    /// What to do about what a program has said, if that is known.
    pub(super) fn advice(self, said: &str) -> Option<&'static str> {
        let said = said.to_lowercase();
        let known = match self {
            Self::Postgres => POSTGRES,
            Self::Mysql => MYSQL,
            Self::Redis => REDIS,
        };
        let applies = |words: &str| words.split('*').all(|part| said.contains(part));
        known.iter().find(|(words, _)| words.iter().any(|it| applies(it))).map(|(_, hint)| *hint)
    }

    /// The error of a call as the command's error.
    pub(super) fn explained(self, error: CallError) -> anyhow::Error {
        let hint = match &error {
            &CallError::Ended { caught } => {
                return Ended { caught, told: "nothing was sealed".to_owned() }.into();
            }
            CallError::Missing { .. } => Some(self.install()),
            CallError::Failed { said, .. } => self.advice(said),
            CallError::Silent { .. } => Some(
                "The server takes connections and does not answer, or something on the way \
                 swallows them: look at its load, its locks and its disk.",
            ),
            _ => None,
        };
        refused(error.to_string(), hint)
    }
}

/// Nothing was sealed, for this reason.
pub(super) fn refused(message: impl std::fmt::Display, hint: Option<&str>) -> anyhow::Error {
    let message = format!("{message}; nothing was sealed");
    match hint {
        Some(hint) => Advised { message, hint: hint.to_owned() }.into(),
        None => anyhow::Error::msg(message),
    }
}

/// Words, in lower case, of which one must be there (all parts around a `*`), and what to do. The
/// first that fits counts.
type Known = &'static [(&'static [&'static str], &'static str)];

const POSTGRES: Known = &[
    (
        &["no pg_hba.conf entry for replication", "replication connection*rejected"],
        "A base backup needs a line for `replication` in the server's pg_hba.conf, such as `local \
         replication backup peer`, and then: SELECT pg_reload_conf();",
    ),
    (
        &["no pg_hba.conf entry", "pg_hba.conf rejects"],
        "The server's pg_hba.conf has no line that lets this user in from here; a database that is \
         only for the provider is left out by --exclude-database.",
    ),
    (
        &["fe_sendauth: no password supplied"],
        "Put the password into ~/.pgpass (mode 0600: host:port:database:user:password), or let \
         PGPASSFILE name that file; `outlast drop` never asks for one.",
    ),
    (
        &["password authentication failed"],
        "Look at user and password: --user or PGUSER, and ~/.pgpass, PGPASSFILE or PGPASSWORD of \
         the user that this runs as.",
    ),
    (
        &["peer authentication failed"],
        "On its socket, the server lets in only the system user of the same name: run this as that \
         user (User=postgres in a unit), or give --host localhost and a password in ~/.pgpass.",
    ),
    (
        &["pg_authid"],
        "Only a superuser reads the roles' passwords, and managed servers have none: add \
         --no-role-passwords.",
    ),
    (
        &["permission denied to start wal sender", "must be superuser or replication role"],
        "A base backup needs a user with REPLICATION: ALTER ROLE backup REPLICATION;",
    ),
    (
        &["row-level security"],
        "Rows would be missing: the user needs BYPASSRLS, or to own the tables: ALTER ROLE backup \
         BYPASSRLS;",
    ),
    (
        &["permission denied for", "must be owner of", "must be superuser"],
        "The user may not read all of it: GRANT pg_read_all_data TO backup; does that on PostgreSQL \
         14 and newer.",
    ),
    (&["role \"*\" does not exist"], "Name a user that the server knows: --user or PGUSER."),
    (
        &["database \"*\" does not exist"],
        "Name a database to connect to in PGDATABASE, or those to drop with --database.",
    ),
    (
        &["conflict with recovery"],
        "The replica cancelled the dump because it had to go on: raise max_standby_streaming_delay \
         or set hot_standby_feedback = on there, or dump from the primary.",
    ),
    (
        &["lock timeout", "statement timeout"],
        "Something holds a lock or the user has a time limit: run it when no migration runs, or \
         ALTER ROLE backup SET statement_timeout = 0;",
    ),
    (
        &["too many clients", "remaining connection slots", "too many connections"],
        "The server has no connection to spare: fewer --jobs, or a higher max_connections.",
    ),
    (
        &["max_wal_senders"],
        "A base backup takes two of the server's max_wal_senders: raise that, or end what holds \
         them (SELECT * FROM pg_stat_replication).",
    ),
    (&["wal_level"], "A base backup needs wal_level = replica on the server, and a restart of it."),
    (
        &["is starting up", "is shutting down", "is in recovery mode", "not yet accepting"],
        "The server is not there for clients at this moment; run it again when it is.",
    ),
    (
        &["no space left on device", "disk quota exceeded"],
        "The scratch directory or the server's disk is full: --scratch chooses another directory.",
    ),
    (
        &["could not translate host name"],
        "Is the name spelled right, and does this host's name service know it? `getent ahosts NAME` \
         asks it.",
    ),
    (
        &["certificate verify failed", "root certificate file"],
        "Give libpq the authority of the server's certificate: PGSSLROOTCERT, or \
         ~/.postgresql/root.crt.",
    ),
    (
        &["timeout expired", "timed out"],
        "Packets get lost: firewalls and security groups between must let this host reach the \
         server's port.",
    ),
    (
        &["connection refused", "no such file or directory*socket", "is the server running"],
        "Does the server run, and is it this one? --host and --port, PGHOST and PGPORT, or a \
         PGSERVICE say which; --host may be the directory of its socket.",
    ),
    (
        &["server closed the connection unexpectedly", "terminating connection"],
        "The server, or somebody on it, ended the connection: its log tells why (a crash, the \
         OOM killer, a restart).",
    ),
];

const MYSQL: Known = &[
    (
        &["binlog monitor", "replication client", "privilege*reload", "privilege*super"],
        "The place in the binlog needs more privileges: GRANT RELOAD, BINLOG MONITOR ON *.* TO \
         backup (MySQL: RELOAD, REPLICATION CLIENT); or do without: --no-binlog-position.",
    ),
    (&["show view command denied"], "GRANT SHOW VIEW ON *.* TO backup;"),
    (
        &["access denied for user*using password"],
        "Look at user and password: [client] in ~/.my.cnf (mode 0600) of the user that this runs \
         as, --defaults-extra-file, or --user and MYSQL_PWD.",
    ),
    (
        &["access denied", "command denied"],
        "The user may not read all of it: GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, \
         PROCESS ON *.* TO backup; for users and grants also SELECT ON mysql.*, or leave them out \
         with --no-globals.",
    ),
    (&["binlogging on server not active"], "The server writes no binlog: --no-binlog-position."),
    (
        &["table definition has changed", "doesn't exist when using lock tables"],
        "A migration changed a table while it was read; run it again when none runs.",
    ),
    (
        &["references invalid table", "user specified as a definer"],
        "A view of the database does not work any more: repair or drop it, or leave it out: -- \
         --ignore-table=DATABASE.VIEW",
    ),
    (
        &["max_allowed_packet", "packet bigger"],
        "A row is larger than the client takes: -- --max-allowed-packet=1G",
    ),
    (
        &["caching_sha2_password", "authentication plugin"],
        "The server's way of authentication is not known to this client: install the client of \
         the server's product and version.",
    ),
    (
        &["too many connections"],
        "The server has no connection to spare: raise max_connections, or run it at another time.",
    ),
    (
        &["unknown mysql server host", "unknown server host"],
        "Is the name spelled right, and does this host's name service know it? `getent ahosts NAME` \
         asks it.",
    ),
    (&["unknown database"], "SHOW DATABASES; names what is there."),
    (
        &["unknown option", "unknown variable"],
        "This client does not know an option that it was given: after `--`, or in a my.cnf.",
    ),
    (
        &["certificate", "ssl connection error", "tls/ssl error"],
        "Look at ssl-ca in [client] of ~/.my.cnf, and at the name in the server's certificate.",
    ),
    (
        &["can't connect"],
        "Does the server run, and is it this one? --host and --port, or --socket, or [client] in \
         ~/.my.cnf say which.",
    ),
    (
        &["lost connection", "server has gone away"],
        "The server, or something between, ended the connection: its log tells why; a higher \
         net_write_timeout helps where the share is slow.",
    ),
    (&["no space left on device", "errcode: 28"], "The server's disk is full, or its tmpdir."),
];

const REDIS: Known = &[
    (
        &["wrongpass", "auth failed", "invalid username-password"],
        "Look at --user and at the password in REDISCLI_AUTH.",
    ),
    (
        &["noauth", "authentication required"],
        "Put the password into REDISCLI_AUTH, in an environment file that only this user reads.",
    ),
    (
        &["noperm"],
        "The user may not do it: ACL SETUSER backup on >PASSWORD +ping +info +sync +psync +replconf",
    ),
    (
        &["nomasterlink", "not connected with my master", "lost its primary"],
        "This replica has lost its primary and would give old data: drop from the primary, or look \
         at the link between them.",
    ),
    (&["loading"], "The server is still loading its data; run it again when it is done."),
    (
        &["unknown command*sync", "err unknown command"],
        "This server does not let clients replicate (managed ones do not): use the provider's export, \
         or copy its snapshot and drop that file.",
    ),
    (
        &["can't save in background", "misconf", "cannot allocate memory", "fork"],
        "The server cannot fork to write its data: look at its log, at vm.overcommit_memory and at \
         free memory.",
    ),
    (
        &["certificate", "ssl_connect"],
        "Look at --cacert, and at the name in the server's certificate.",
    ),
    (
        &["could not connect", "connection refused", "connection reset"],
        "Does the server run, and is it this one? --host and --port, or --socket, say which; --tls \
         if it wants that.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_explained() {
        use Product::{Mysql, Postgres, Redis};
        for (product, said, hint) in [
            (
                Postgres,
                "psql: error: connection to server on socket \"/run/.s.PGSQL.5432\" failed: No such file or directory\n\tIs the server running locally and accepting connections on that socket?",
                "Does the server run",
            ),
            (
                Postgres,
                "pg_dumpall: error: query failed: ERROR:  permission denied for table pg_authid",
                "--no-role-passwords",
            ),
            (
                Postgres,
                "psql: error: connection to server failed: FATAL:  Peer authentication failed for user \"shop\"",
                "User=postgres",
            ),
            (
                Postgres,
                "pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table \"x\"",
                "BYPASSRLS",
            ),
            (Postgres, "psql: error: FATAL:  role \"root\" does not exist", "--user"),
            (
                Postgres,
                "pg_dump: error: could not write to file: No space left on device",
                "--scratch",
            ),
            (
                Mysql,
                "mariadb-dump: Got error: 1045: \"Access denied for user 'root'@'localhost' (using password: NO)\" when trying to connect",
                "my.cnf",
            ),
            (
                Mysql,
                "mysqldump: Couldn't execute 'SHOW MASTER STATUS': Access denied; you need (at least one of) the SUPER, BINLOG MONITOR privilege(s) for this operation (1227)",
                "--no-binlog-position",
            ),
            (
                Mysql,
                "ERROR 2002 (HY000): Can't connect to local server through socket '/run/mysqld/mysqld.sock' (2)",
                "Does the server run",
            ),
            (Redis, "NOAUTH Authentication required.", "REDISCLI_AUTH"),
            (
                Redis,
                "Could not connect to Redis at 127.0.0.1:6379: Connection refused",
                "Does the server run",
            ),
        ] {
            let advice = product.advice(said).unwrap_or("none");
            assert!(advice.contains(hint), "{said}: {advice}");
        }
        assert_eq!(Postgres.advice("something new"), None);
    }

    #[test]
    fn words_are_in_lower_case_or_they_would_never_fit() {
        for (words, hint) in [POSTGRES, MYSQL, REDIS].into_iter().flatten() {
            assert!(words.iter().all(|words| words.to_lowercase() == *words), "{words:?}");
            assert!(hint.len() > 10);
        }
    }
}
