//! Dumps of real programs, whole and cut off at every fiftieth of their length.
#![expect(clippy::disallowed_methods, reason = "tests that write what programs read")]

use std::fs;

use super::*;

/// Where a real dump may be cut off and still be a valid file; each is told by what it is.
type IsValid<'a> = &'a dyn Fn(usize) -> bool;

fn nowhere(_: usize) -> bool {
    false
}

/// Checks that `whole` is sound, comes out the same in odd pieces, and is refused where it is cut off.
#[track_caller]
fn refused_where_cut(whole: &[u8], kind: &ContentKind, is_valid: IsValid<'_>) {
    let found = examine(whole);
    assert_eq!((&found.verdict, &found.kind), (&Verdict::Sound, kind), "{found}");
    assert_eq!(in_pieces(whole, &[1, 7, 4096, 333, 100_000]), found);
    for part in 1..50 {
        let cut = whole.len() * part / 50;
        let verdict = verdict(&whole[..cut]);
        let expected = if is_valid(cut) { Verdict::Sound } else { Verdict::Broken };
        assert_eq!(verdict, expected, "{kind} cut at {part}/50: {}", examine(&whole[..cut]));
    }
}

#[test]
fn packed_files_are_refused_where_they_are_cut() {
    let content = rows(60_000);
    refused_where_cut(&piped("gzip", &["-c"], &content), &ContentKind::Gzip, &nowhere);
    refused_where_cut(&piped("xz", &["-0", "-c"], &content), &ContentKind::Xz, &nowhere);
    refused_where_cut(&piped("xz", &["-0", "-T2", "-c"], &content), &ContentKind::Xz, &nowhere);
    refused_where_cut(&piped("zstd", &["-c"], &content), &ContentKind::Zstd, &nowhere);
    let plain = piped("zstd", &["-c", "--no-check", "--rsyncable"], &content);
    refused_where_cut(&plain, &ContentKind::Zstd, &nowhere);
}

#[test]
fn at_the_border_of_a_member_or_frame_a_cut_leaves_a_valid_file() {
    let content = rows(3000);
    for (program, kind) in
        [("gzip", ContentKind::Gzip), ("zstd", ContentKind::Zstd), ("xz", ContentKind::Xz)]
    {
        let one = piped(program, &["-c"], &content);
        // 50 equal ones: each fiftieth is a border, and the file up to there is whole.
        let many = one.repeat(50);
        assert_eq!(many.len() % 50, 0);
        refused_where_cut(&many, &kind, &|_| true);
        // Of what is in them, no cut is seen, unless it has an end of its own.
        let dump = postgres_script(&String::from_utf8(content.clone()).unwrap());
        let halves = dump.split_at(dump.len() / 2);
        let packed = [halves.0, halves.1].map(|half| piped(program, &["-c"], half));
        assert_eq!(verdict(&packed.concat()), Verdict::Sound);
        let expected = if kind == ContentKind::Xz { Verdict::Sound } else { Verdict::Broken };
        assert_eq!(verdict(&packed[0]), expected, "{kind}");
    }
}

#[test]
fn archives_are_refused_where_they_are_cut() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..30 {
        let name = format!("{number}-{}", "x".repeat(number * 8));
        fs::write(directory.path().join(name), rows(number * 40)).unwrap();
    }
    let path = directory.path().to_str().unwrap();
    for format in ["gnu", "posix"] {
        let format = format!("--format={format}");
        let whole = piped("tar", &["-c", &format, "-C", path, "."], b"");
        // The last block of 10 KiB is zeroes from the end of the archive on.
        let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
        let end = (end + 1).next_multiple_of(512) + 1024;
        refused_where_cut(&whole, &ContentKind::Tar, &|cut| cut >= end);
        assert_eq!(examine(&whole).entries, Some(31));
        let packed = piped("gzip", &["-c"], &whole);
        assert_eq!(examine(&packed).entries, Some(31));
        refused_where_cut(&packed, &ContentKind::Tar, &nowhere);
    }
    // Sparse files in the old form of GNU, with a map that goes on in blocks of its own.
    let sparse = directory.path().join("sparse");
    let file = fs::File::create(&sparse).unwrap();
    for part in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], part << 20).unwrap();
    }
    let arguments = ["-c", "--sparse", "--format=gnu", "-C", path, "sparse", "."];
    let whole = piped("tar", &arguments, b"");
    assert_eq!(verdict(&whole), Verdict::Sound);
    assert_eq!(verdict(&whole[..whole.len() / 2]), Verdict::Broken);
}

#[test]
fn a_database_file_is_refused_where_it_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.db");
    let script = "CREATE TABLE t (a TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                  WHERE i < 20000) INSERT INTO t SELECT hex(randomblob(16)) FROM n;";
    piped("sqlite3", &[path.to_str().unwrap()], script.as_bytes());
    let whole = fs::read(&path).unwrap();
    refused_where_cut(&whole, &ContentKind::Sqlite, &nowhere);
    assert_eq!(verdict(&whole[..whole.len() - 4096]), Verdict::Broken, "at the border of a page");
    assert_eq!(verdict(&[&whole[..], &[0; 4096]].concat()), Verdict::Unknown);
    let packed = piped("zstd", &["-c"], &whole);
    refused_where_cut(&packed, &ContentKind::Sqlite, &nowhere);
}

#[test]
fn a_dump_of_redis_is_refused_where_it_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    for checksum in ["yes", "no"] {
        let home = directory.path().join(checksum);
        fs::create_dir(&home).unwrap();
        let socket = home.join("redis.sock");
        let mut server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--rdbchecksum", checksum, "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&home)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = |arguments: &[&str]| {
            let mut all = vec!["-s", socket.to_str().unwrap()];
            all.extend(arguments);
            Command::new("redis-cli").args(all).output().unwrap()
        };
        let mut tries = 0;
        while !client(&["ping"]).stdout.starts_with(b"PONG") {
            tries += 1;
            assert!(tries < 2000, "the server does not answer");
        }
        client(&["eval", "for i = 1, 20000 do redis.call('set', 'k' .. i, 'v' .. i * 7) end", "0"]);
        assert!(client(&["save"]).stdout.starts_with(b"OK"));
        client(&["shutdown", "nosave"]);
        server.wait().unwrap();
        let whole = fs::read(home.join("dump.rdb")).unwrap();
        refused_where_cut(&whole, &ContentKind::RedisRdb, &nowhere);
        assert_eq!(verdict(&whole[..whole.len() - 1]), Verdict::Broken);
        let is_checked = checksum == "yes";
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        assert_eq!(verdict(&damaged) == Verdict::Broken, is_checked);
        let commands = [&whole[..], b"*1\r\n$4\r\nPING\r\n"].concat();
        assert_eq!(verdict(&commands), Verdict::Unknown);
    }
}

#[test]
fn dumps_of_postgres_are_refused_where_they_are_cut() {
    let server = Postgres::start();
    let whole = server.dump("pg_dump", &[]);
    refused_where_cut(&whole, &ContentKind::PgDump, &nowhere);
    refused_where_cut(
        &server.dump("pg_dump", &["--inserts", "-C"]),
        &ContentKind::PgDump,
        &nowhere,
    );
    refused_where_cut(&server.dump("pg_dumpall", &[]), &ContentKind::PgDumpAll, &nowhere);
    assert_eq!(verdict(&server.dump("pg_dumpall", &["--globals-only"])), Verdict::Sound);
    refused_where_cut(&piped("gzip", &["-c"], &whole), &ContentKind::PgDump, &nowhere);
    for arguments in [&["-Fc"][..], &["-Fc", "-Z0"], &["-Fc", "--section=pre-data"], &["-Fc", "-s"]]
    {
        let whole = server.dump("pg_dump", arguments);
        refused_where_cut(&whole, &ContentKind::PgDumpCustom, &nowhere);
        assert!(examine(&whole).entries.is_some_and(|entries| entries > 3));
    }
    // Written to a file, its table of contents says where the data is.
    let file = server.directory.path().join("shop.custom");
    server.dump("pg_dump", &["-Fc", "-f", file.to_str().unwrap()]);
    let whole = fs::read(&file).unwrap();
    refused_where_cut(&whole, &ContentKind::PgDumpCustom, &nowhere);
    // At the border of a block of data, too.
    let cuts = whole.len() - 20_000..whole.len();
    let sound = cuts.filter(|cut| verdict(&whole[..*cut]) == Verdict::Sound);
    assert_eq!(sound.count(), 0);
    refused_where_cut(&server.dump("pg_dump", &["-Ft"]), &ContentKind::Tar, &nowhere);
}

#[test]
fn dumps_of_mariadb_are_refused_where_they_are_cut() {
    let server = MariaDb::start();
    for program in ["mariadb-dump", "mysqldump"] {
        let whole = server.dump(program, &["--single-transaction", "--all-databases"]);
        refused_where_cut(&whole, &ContentKind::MariadbDump, &nowhere);
        let dateless = server.dump(program, &["--skip-dump-date", "shop"]);
        refused_where_cut(&dateless, &ContentKind::MariadbDump, &nowhere);
        let silent = server.dump(program, &["--skip-comments", "shop"]);
        assert_eq!(verdict(&silent), Verdict::Unknown, "shipped, counted, shown");
    }
}

/// As root, servers of databases run as another user.
fn as_user(user: &str, program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A server that is reached by a socket only.
pub(super) struct Postgres {
    pub(super) directory: tempfile::TempDir,
    programs: PathBuf,
}

impl Postgres {
    pub(super) fn start() -> Self {
        let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed: `cargo xtask test` does it")
            .map(|entry| entry.unwrap().path().join("bin"))
            .filter(|bin| bin.join("initdb").exists())
            .collect();
        found.sort();
        let programs = found.pop().unwrap();
        let directory = tempfile::Builder::new().prefix("outlast-sanity-pg-").tempdir().unwrap();
        let server = Self { directory, programs };
        let home = server.directory.path().to_owned();
        if rustix::process::geteuid().is_root() {
            succeed(Command::new("chown").arg("postgres").arg(&home));
        }
        let data = home.join("data");
        let arguments = ["-A", "trust", "-U", "postgres", "--no-sync", "-D"];
        succeed(server.program("initdb").args(arguments).arg(&data));
        let options = format!("-c listen_addresses='' -c fsync=off -k '{}'", home.display());
        let mut start = server.program("pg_ctl");
        start.args(["-w", "start", "-D"]).arg(&data).arg("-l").arg(home.join("log"));
        succeed(start.args(["-o", &options]));
        let sql = "CREATE TABLE orders (id bigserial PRIMARY KEY, customer text, cents bigint); \
                   INSERT INTO orders (customer, cents) SELECT md5(i::text), i * 7 FROM generate_series(1, 3000) i; \
                   CREATE TABLE empty (id int); CREATE VIEW few AS SELECT * FROM orders LIMIT 3; \
                   SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));";
        succeed(
            server.program("psql").args(["-h"]).arg(&home).args(["-U", "postgres", "-qc", sql]),
        );
        server
    }

    fn program(&self, name: &str) -> Command {
        let mut command = as_user("postgres", &self.programs.join(name));
        command.current_dir(self.directory.path());
        command
    }

    pub(super) fn dump(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut command = self.program(program);
        succeed(
            command.arg("-h").arg(self.directory.path()).args(["-U", "postgres"]).args(arguments),
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.directory.path().join("data");
        let _ =
            self.program("pg_ctl").args(["-m", "immediate", "-w", "stop", "-D"]).arg(data).output();
    }
}

struct MariaDb {
    directory: tempfile::TempDir,
    server: std::process::Child,
}

impl MariaDb {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("outlast-sanity-my-").tempdir().unwrap();
        let home = directory.path();
        if rustix::process::geteuid().is_root() {
            succeed(Command::new("chown").arg("mysql").arg(home));
        }
        let data = format!("--datadir={}", home.join("data").display());
        let mut install = as_user("mysql", Path::new("/usr/bin/mariadb-install-db"));
        install.args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]);
        succeed(install.arg(&data));
        let socket = format!("--socket={}", home.join("my.sock").display());
        let mut server = as_user("mysql", Path::new("/usr/sbin/mariadbd"));
        server.args(["--no-defaults", "--skip-networking", "--innodb-flush-log-at-trx-commit=0"]);
        server.args([&data, &socket]).arg(format!("--pid-file={}", home.join("pid").display()));
        let server = server.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { directory, server };
        let mut tries = 0;
        while !server.client("mariadb-admin").arg("ping").output().unwrap().status.success() {
            tries += 1;
            assert!(tries < 2000, "the server does not answer");
        }
        let rows: Vec<String> = (0..3000).map(|n| format!("({n}, 'customer {n}')")).collect();
        let sql = format!(
            "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY, customer TEXT); \
             INSERT INTO orders VALUES {};",
            rows.join(",")
        );
        succeed(server.client("mariadb").args(["-e", &sql]));
        server
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--no-defaults", "-u", "root"]);
        command.arg(format!("--socket={}", self.directory.path().join("my.sock").display()));
        command
    }

    fn dump(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        succeed(self.client(program).args(arguments))
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.client("mariadb-admin").arg("shutdown").output();
        let _ = self.server.wait();
    }
}
