//! Database servers of a test's own: data, socket and log in a directory of theirs, run by their
//! own user, and ended with the test.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{run, succeed, wait_until};

/// The directory of a server that runs as `user`.
fn home(user: &str) -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("outlast-it-db-").tempdir().unwrap();
    give_to(user, directory.path());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Makes `path` and all below belong to `user`, where that is possible.
pub(crate) fn give_to(user: &str, path: &Path) {
    if rustix::process::geteuid().is_root() {
        succeed(Command::new("chown").args(["-R", user]).arg(path));
    }
}

/// `program` as `user`, if we are root, else as we are.
fn as_user(user: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--init-groups", "--"]).arg(program);
    command
}

/// A running server, ended by its number.
struct Server {
    child: Child,
    log: PathBuf,
    /// What ends it at once, with all that it has started.
    end: Signal,
}

impl Server {
    fn start(command: &mut Command, log: PathBuf, end: Signal) -> Self {
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log, end }
    }

    /// Waits until `ready` ends well.
    #[track_caller]
    fn wait(&mut self, mut ready: impl FnMut() -> Command) {
        wait_until("the server serves", || {
            let ended = self.child.try_wait().unwrap();
            let log = || String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned();
            assert!(ended.is_none(), "the server has ended: {}", log());
            run(&mut ready()).status.success()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read(&self.log).unwrap_or_default();
            let last = String::from_utf8_lossy(&log[log.len().saturating_sub(8192)..]).into_owned();
            println!("the server ({:?}) said at last:\n{last}", self.child.try_wait());
        }
        let _ = kill_process(Pid::from_child(&self.child), self.end);
        let _ = self.child.wait();
    }
}

/// A PostgreSQL server, reached by a socket only.
pub(crate) struct Postgres {
    // Ends before its directory goes.
    server: Server,
    directory: tempfile::TempDir,
    programs: PathBuf,
}

impl Postgres {
    pub(crate) const USER: &str = "postgres";

    /// An empty server.
    pub(crate) fn start() -> Self {
        let directory = home(Self::USER);
        let data = directory.path().join("data");
        succeed(
            as_user(Self::USER, Self::programs().join("initdb"))
                .current_dir(directory.path())
                .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
                .arg(&data),
        );
        Self::start_on(directory, &data)
    }

    /// A server on data that was restored.
    pub(crate) fn start_restored(data: &Path) -> Self {
        let directory = home(Self::USER);
        give_to(Self::USER, data);
        fs::set_permissions(data, fs::Permissions::from_mode(0o700)).unwrap();
        Self::start_on(directory, data)
    }

    fn start_on(directory: tempfile::TempDir, data: &Path) -> Self {
        let programs = Self::programs();
        let mut command = as_user(Self::USER, programs.join("postgres"));
        command.current_dir(directory.path()).arg("-D").arg(data);
        // A client that is gone is noticed also while its query waits.
        let check = "client_connection_check_interval=100ms";
        let options = ["listen_addresses=", "fsync=off", "max_wal_size=4GB", check];
        command.args(options.map(|option| format!("-c{option}"))).arg("-k").arg(directory.path());
        let server = Server::start(&mut command, directory.path().join("log"), Signal::QUIT);
        let mut postgres = Self { server, directory, programs };
        let client = postgres.client("psql", "postgres");
        postgres.server.wait(|| {
            let mut command = Command::new(&client[0]);
            command.args(&client[1..]).args(["-c", "SELECT 1"]);
            command
        });
        postgres
    }

    /// Where the programs of the newest version are.
    pub(crate) fn programs() -> PathBuf {
        let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed: `cargo xtask test` does it")
            .map(|entry| entry.unwrap().path().join("bin"))
            .filter(|bin| bin.join("initdb").exists())
            .collect();
        found.sort();
        found.pop().expect("PostgreSQL's server programs are installed")
    }

    /// Its own directory, which belongs to its user.
    pub(crate) fn home(&self) -> &Path {
        self.directory.path()
    }

    /// Gives `command` the way to it, as an application's environment does.
    pub(crate) fn lead<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = std::env::var("PATH").unwrap();
        command
            .env("PGHOST", self.directory.path())
            .env("PGUSER", "postgres")
            .env("PATH", format!("{}:{path}", self.programs.display()))
    }

    /// A client program's command line for `database`.
    pub(crate) fn client(&self, program: &str, database: &str) -> Vec<String> {
        let socket = self.directory.path().display().to_string();
        let program = self.programs.join(program).display().to_string();
        // A name is one, whatever is in it.
        let name = format!("dbname='{}'", database.replace('\'', "\\'"));
        [&*program, "-h", &*socket, "-U", "postgres", "-d", &*name].map(str::to_owned).to_vec()
    }

    fn command(&self, program: &str, database: &str) -> Command {
        let client = self.client(program, database);
        let mut command = Command::new(&client[0]);
        command.args(&client[1..]);
        command
    }

    #[track_caller]
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = self.command("psql", database);
        succeed(psql.args(["-v", "ON_ERROR_STOP=1", "-qAtc", statement]))
    }

    /// Loads a script; errors do not end it.
    #[track_caller]
    pub(crate) fn load(&self, script: &Path) -> String {
        let output = run(self.command("psql", "postgres").args(["-X", "-q", "-f"]).arg(script));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Loads a dump in the form of a directory.
    #[track_caller]
    pub(crate) fn load_directory(&self, dump: &Path) {
        let mut restore = self.command("pg_restore", "postgres");
        succeed(restore.args(["--create", "--jobs=2", "--exit-on-error"]).arg(dump));
    }
}

/// A MariaDB server, reached by a socket only.
pub(crate) struct MariaDb {
    _server: Server,
    directory: tempfile::TempDir,
}

impl MariaDb {
    const USER: &str = "mysql";

    /// An empty server that writes a binlog; `None`, and a loud line, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        if !Path::new("/usr/sbin/mariadbd").exists() {
            println!("SKIPPED: MariaDB's server is not installed (Debian: mariadb-server)");
            return None;
        }
        let directory = home(Self::USER);
        let data = format!("--datadir={}", directory.path().join("data").display());
        let user = || format!("--user={}", Self::USER);
        // Its own: a server that starts removes all temporary tables, also those of others, and they
        // die of it.
        let temporary = format!("--tmpdir={}", directory.path().display());
        let mut install = as_user(Self::USER, "mariadb-install-db");
        install.current_dir(directory.path()).args(["--no-defaults", "--skip-test-db"]);
        succeed(install.args([
            "--auth-root-authentication-method=normal",
            &temporary,
            &data,
            &user(),
        ]));
        let mut command = as_user(Self::USER, "/usr/sbin/mariadbd");
        command.current_dir(directory.path()).args(["--no-defaults", "--skip-networking"]);
        command.args([
            "--log-bin=binlog",
            "--server-id=1",
            "--event-scheduler=off",
            &temporary,
            &data,
        ]);
        // Several at once on a small machine, perhaps in a container that has little of what is
        // asynchronous in its kernel.
        command.args(["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=16M"]);
        command.args(["--innodb-use-native-aio=0", "--key-buffer-size=4M"]);
        command.arg(format!("--socket={}", directory.path().join("sock").display()));
        let mut server = Server::start(&mut command, directory.path().join("log"), Signal::KILL);
        let socket = directory.path().join("sock");
        server.wait(|| {
            let mut admin = Command::new("mariadb-admin");
            admin.args(["--no-defaults", "-u", "root", "-S"]).arg(&socket).arg("ping");
            admin
        });
        Some(Self { _server: server, directory })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--default-character-set=utf8mb4"]);
        command.args(["-u", "root", "-N", "-B", "-S"]).arg(self.socket());
        command
    }

    #[track_caller]
    pub(crate) fn sql(&self, statements: &str) -> String {
        succeed(self.client().args(["-e", statements]))
    }

    #[track_caller]
    pub(crate) fn load(&self, script: &Path) {
        let mut command = self.client();
        // Nothing of the harness: it would be without an input.
        let output = command.stdin(File::open(script).unwrap()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// A Redis server, reached by a socket only.
pub(crate) struct Redis {
    _server: Server,
    directory: tempfile::TempDir,
}

impl Redis {
    const USER: &str = "redis";

    /// A server with what `dump` has in it, if there is one; `None`, and a loud line, where it is
    /// not installed.
    pub(crate) fn start(dump: Option<&Path>, options: &[&str]) -> Option<Self> {
        if !Path::new("/usr/bin/redis-server").exists() {
            println!("SKIPPED: Redis is not installed (Debian: redis-server, redis-tools)");
            return None;
        }
        let directory = home(Self::USER);
        if let Some(dump) = dump {
            fs::copy(dump, directory.path().join("dump.rdb")).unwrap();
            give_to(Self::USER, directory.path());
        }
        let socket = directory.path().join("sock");
        let mut command = as_user(Self::USER, "redis-server");
        command.current_dir(directory.path()).args(["--port", "0", "--unixsocketperm", "777"]);
        command.args(["--save", "", "--repl-diskless-sync-delay", "0", "--unixsocket"]);
        command.arg(&socket).args(options);
        let mut server = Server::start(&mut command, directory.path().join("log"), Signal::KILL);
        server.wait(|| {
            let mut client = Command::new("redis-cli");
            client.arg("-s").arg(&socket).args(["-e", "PING"]);
            if options.contains(&"--requirepass") {
                // It answers, be it with a refusal.
                client = Command::new("test");
                client.arg("-S").arg(&socket);
            }
            client
        });
        Some(Self { _server: server, directory })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        succeed(Command::new("redis-cli").arg("-s").arg(self.socket()).args(words))
    }
}
