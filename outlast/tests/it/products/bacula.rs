//! A real Bacula: director, storage and file daemon on loopback, with a disk for a volume.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outlast_fs::durable;

use crate::harness::PATIENCE;

const TABLES: &str = "/usr/share/bacula-director/make_sqlite3_tables";
const PROGRAMS: [&str; 5] = [
    "/usr/sbin/bacula-dir",
    "/usr/sbin/bacula-sd",
    "/usr/sbin/bacula-fd",
    "/usr/sbin/bconsole",
    "/usr/bin/sqlite3",
];
const LOOK: Duration = Duration::from_millis(100);

/// The three daemons.
pub(crate) struct Bacula {
    home: PathBuf,
    ports: [u16; 3],
    daemons: [Option<Child>; 3],
}

/// What is backed up, and what it runs.
pub(crate) struct Plan {
    pub(crate) directory: PathBuf,
    /// Lines of the job that name its scripts.
    pub(crate) hooks: String,
    /// The most bytes of a volume; there is one.
    pub(crate) volume: &'static str,
    /// The most bytes a second.
    pub(crate) pace: &'static str,
}

/// Whether Bacula is here; says so loudly where it is not.
pub(crate) fn is_here() -> bool {
    let missing = PROGRAMS.iter().chain([&TABLES]).find(|path| !Path::new(path).exists());
    if let Some(missing) = missing {
        println!("SKIPPED: there is no {missing}; `cargo xtask test` installs Bacula where it can");
    }
    missing.is_none()
}

impl Bacula {
    pub(crate) fn start(home: &Path, plan: &Plan) -> Self {
        let bound = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = bound.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(bound);
        for name in ["dir", "sd", "fd", "volumes"] {
            durable::create_directories(&home.join(name), 0o755).unwrap();
        }
        let mut bacula = Self { home: home.to_owned(), ports, daemons: [None, None, None] };
        bacula.configure(plan);
        bacula.make_catalogue();
        for daemon in ["sd", "fd", "dir"] {
            bacula.start_daemon(daemon);
        }
        bacula
    }

    fn configure(&self, plan: &Plan) {
        let home = self.home.display();
        let [dir, sd, fd] = self.ports;
        let Plan { directory, hooks, volume, pace } = plan;
        let directory = directory.display();
        let job = format!("JobDefs = Usual\n{hooks}\n");
        let write = |name: &str, text: String| {
            durable::replace(&self.home.join(name), text.as_bytes(), 0o600).unwrap();
        };
        write(
            "dir.conf",
            format!(
                "Director {{ Name = t-dir\nDIRport = {dir}\nDirAddress = 127.0.0.1\nQueryFile = \"/etc/bacula/scripts/query.sql\"\n\
                 WorkingDirectory = \"{home}/dir\"\nPidDirectory = \"{home}/dir\"\nMaximum Concurrent Jobs = 5\nPassword = dirpw\n\
                 Messages = Standard\n}}\n\
                 Catalog {{ Name = Cat\ndbname = bacula\ndbuser = \"\"\ndbpassword = \"\"\n}}\n\
                 Messages {{ Name = Standard\nappend = \"{home}/log\" = all, !skipped\ncatalog = all\n}}\n\
                 Client {{ Name = t-fd\nAddress = 127.0.0.1\nFDPort = {fd}\nCatalog = Cat\nPassword = fdpw\nAutoPrune = no\n\
                 Maximum Concurrent Jobs = 5\n}}\n\
                 Storage {{ Name = File1\nAddress = 127.0.0.1\nSDPort = {sd}\nPassword = sdpw\nDevice = Disk\nMedia Type = File\n\
                 Maximum Concurrent Jobs = 5\n}}\n\
                 Pool {{ Name = Default\nPool Type = Backup\nRecycle = no\nAutoPrune = no\nMaximum Volume Bytes = {volume}\n\
                 Maximum Volumes = 1\nLabel Format = \"Vol-\"\n}}\n\
                 FileSet {{ Name = Handed\nInclude {{ Options {{ signature = SHA256\n}}\nFile = \"{directory}\"\n}}\n}}\n\
                 JobDefs {{ Name = Usual\nType = Backup\nLevel = Full\nClient = t-fd\nFileSet = Handed\nStorage = File1\n\
                 Messages = Standard\nPool = Default\nMaximum Concurrent Jobs = 3\nAllow Duplicate Jobs = yes\n}}\n\
                 Job {{ Name = Handed\n{job}}}\n\
                 Job {{ Name = Slow\nMaximum Bandwidth = {pace}\n{job}}}\n\
                 Job {{ Name = Back\nType = Restore\nClient = t-fd\nFileSet = Handed\nStorage = File1\nPool = Default\n\
                 Messages = Standard\n}}\n\
                 Console {{ Name = outlast\nPassword = outlastpw\nCommandACL = llist, .bvfs_update, .bvfs_lsfiles, quit\n\
                 JobACL = *all*\nClientACL = *all*\nCatalogACL = *all*\n}}\n"
            ),
        );
        write(
            "sd.conf",
            format!(
                "Storage {{ Name = t-sd\nSDPort = {sd}\nSDAddress = 127.0.0.1\nWorkingDirectory = \"{home}/sd\"\n\
                 Pid Directory = \"{home}/sd\"\n}}\n\
                 Director {{ Name = t-dir\nPassword = sdpw\n}}\n\
                 Device {{ Name = Disk\nMedia Type = File\nArchive Device = \"{home}/volumes\"\nLabelMedia = yes\n\
                 Random Access = yes\nAutomaticMount = yes\nRemovableMedia = no\nAlwaysOpen = no\nMaximum Concurrent Jobs = 5\n}}\n\
                 Messages {{ Name = Standard\ndirector = t-dir = all\n}}\n"
            ),
        );
        write(
            "fd.conf",
            format!(
                "Director {{ Name = t-dir\nPassword = fdpw\n}}\n\
                 FileDaemon {{ Name = t-fd\nFDport = {fd}\nFDAddress = 127.0.0.1\nWorkingDirectory = \"{home}/fd\"\n\
                 Pid Directory = \"{home}/fd\"\n}}\n\
                 Messages {{ Name = Standard\ndirector = t-dir = all, !skipped, !restored\n}}\n"
            ),
        );
        let console = |password: &str, more: &str| {
            format!(
                "Director {{ Name = t-dir\nDIRport = {dir}\naddress = 127.0.0.1\nPassword = {password}\n}}\n{more}"
            )
        };
        write("admin.conf", console("dirpw", ""));
        let named = "Console { Name = outlast\nPassword = outlastpw\nDirector = t-dir\n}\n";
        write("outlast.conf", console("unused", named));
    }

    fn make_catalogue(&self) {
        let script = fs::read_to_string(TABLES).unwrap();
        let (_, tables) = script.split_once("<<END-OF-DATA\n").unwrap();
        let (tables, _) = tables.split_once("\nEND-OF-DATA").unwrap();
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg(self.home.join("dir/bacula.db")).stdin(Stdio::piped());
        let mut child = sqlite.spawn().unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), tables.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Starts one of the daemons, which writes its process id where scripts find it.
    pub(crate) fn start_daemon(&mut self, name: &str) {
        let mut command = Command::new(format!("/usr/sbin/bacula-{name}"));
        command.args(["-f", "-c"]).arg(self.home.join(format!("{name}.conf")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let pid = child.id().to_string();
        durable::replace(&self.home.join(format!("{name}.pid")), pid.as_bytes(), 0o644).unwrap();
        let port = self.ports[Self::index(name)];
        self.daemons[Self::index(name)] = Some(child);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "bacula-{name} does not answer");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until a daemon that something else killed has ended.
    pub(crate) fn wait_for_end(&mut self, name: &str) {
        let child = self.daemons[Self::index(name)].as_mut().unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "bacula-{name} goes on");
            std::thread::sleep(LOOK);
        }
    }

    fn index(name: &str) -> usize {
        ["dir", "sd", "fd"].iter().position(|it| *it == name).unwrap()
    }

    /// Where the console is that only asks.
    pub(crate) fn console(&self) -> PathBuf {
        self.home.join("outlast.conf")
    }

    /// What the director answers to somebody who may do all.
    pub(crate) fn tell(&self, commands: &str) -> String {
        let mut command = Command::new("/usr/sbin/bconsole");
        command.arg("-c").arg(self.home.join("admin.conf"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = format!("{commands}\nquit\n");
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Queues a job; its number.
    pub(crate) fn queue(&self, job: &str, level: &str) -> u64 {
        let said = self.tell(&format!("run job={job} level={level} yes"));
        let number = said.split("JobId=").nth(1).unwrap_or_else(|| panic!("{said}"));
        number.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The letter of a job's status.
    pub(crate) fn status(&self, job: u64) -> char {
        let said = self.tell(&format!("llist jobid={job}"));
        let line = said.lines().find_map(|line| line.trim().strip_prefix("JobStatus: "));
        line.and_then(|text| text.chars().next())
            .unwrap_or_else(|| panic!("{said}\n{}", self.log()))
    }

    /// Waits until a job has ended; its status.
    pub(crate) fn ended(&self, job: u64) -> char {
        self.wait(job, |status| "TWAEefDI".contains(status))
    }

    /// Waits for a status of a job.
    pub(crate) fn wait(&self, job: u64, is_it: impl Fn(char) -> bool) -> char {
        let began = Instant::now();
        loop {
            let status = self.status(job);
            if is_it(status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "job {job} is {status}\n{}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until a job's messages have words; its log file has them only when it has ended.
    pub(crate) fn wait_for(&self, job: u64, words: &str) {
        let began = Instant::now();
        loop {
            let said = self.tell(&format!("list joblog jobid={job}"));
            if said.contains(words) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{words:?} is not in:\n{said}");
            std::thread::sleep(LOOK);
        }
    }

    /// A job from its beginning to its end; its number and status.
    pub(crate) fn run(&self, job: &str, level: &str) -> (u64, char) {
        let number = self.queue(job, level);
        (number, self.ended(number))
    }

    pub(crate) fn cancel(&self, job: u64) {
        self.tell(&format!("cancel jobid={job} yes"));
    }

    /// Restores all that its last backups have.
    pub(crate) fn restore(&self, into: &Path) {
        let into = into.display();
        let said =
            self.tell(&format!("restore client=t-fd where={into} select current all done yes"));
        let number = said.split("JobId=").nth(1).unwrap_or_else(|| panic!("{said}"));
        let number = number.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(self.ended(number), 'T', "{}", self.log());
    }

    /// What happened.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for Bacula {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().flatten() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
