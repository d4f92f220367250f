//! Starting the real binary, watching what it leaves behind, and waiting with a deadline.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a single thing may take. Generous: the machine may be busy, and a hang must still end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// The `outlast` of this build, with nothing of the caller's environment that could change it.
pub(crate) fn outlast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outlast"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("OUTLAST_") || name.starts_with("RESTIC_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    // Not the user's own: all tests share one, as commands of one user do.
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command.stdin(Stdio::null());
    command
}

/// The password of repositories that tests make.
pub(crate) const PASSWORD: &str = "correct horse";

/// `outlast repo WORD -r REPOSITORY`, with the password of tests.
pub(crate) fn repo(word: &str, repository: impl AsRef<OsStr>) -> Command {
    let mut command = outlast();
    command.args(["repo", word, "-r"]).arg(repository).env("OUTLAST_PASSWORD", PASSWORD);
    command
}

/// Stock restic on a repository, with the password of tests.
pub(crate) fn restic(repository: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("restic");
    command.args(["--no-cache", "-r"]).arg(repository).env("RESTIC_PASSWORD", PASSWORD);
    command
}

/// Runs a command that must succeed and print one JSON document.
#[track_caller]
pub(crate) fn document(command: &mut Command) -> Value {
    serde_json::from_str(&succeed(command)).unwrap()
}

/// Runs a command to its end, whatever that is.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("start {command:?}: {error}"))
}

/// Runs a command that must succeed; its standard output.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command that must fail with this exit code; what it said on standard error.
#[track_caller]
pub(crate) fn fail(command: &mut Command, code: i32) -> String {
    let output = run(command);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?} said:\n{words}");
    words
}

/// Looks again and again until `holds`; panics with `what` after [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited {} s, but never: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A test's own directory, removed at its end.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("outlast-it-").tempdir().unwrap()
}

/// A running role, killed with its children when it goes out of scope.
pub(crate) struct Role {
    child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts `command` in its own process group with its words going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// kill -9, for the whole group.
    pub(crate) fn kill(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGTERM, and the end that follows; panics unless it is a clean one.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let mut status = None;
        wait_until("the role stops on SIGTERM", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        assert!(status.success(), "it did not stop cleanly: {status}\n{}", self.words());
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }

    /// Waits for its end, however it ends.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        wait_until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// All that it said.
    pub(crate) fn words(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
        }
    }
}

/// An `outlast up` on a directory of its own.
pub(crate) struct Up {
    pub(crate) dir: PathBuf,
    pub(crate) share: PathBuf,
    pub(crate) role: Role,
}

impl Up {
    /// Starts `up` on `dir` (again) and waits until all roles serve.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// The same, with settings from the environment.
    pub(crate) fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_on(dir, &dir.join("share"), settings)
    }

    /// The same, with a share of its own.
    pub(crate) fn start_on(dir: &Path, share: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_as(&mut outlast(), dir, share, settings)
    }

    /// The same, by `command`, to which the arguments have to be added.
    pub(crate) fn start_as(
        command: &mut Command,
        dir: &Path,
        share: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let ready = dir.with_extension("ready");
        let _ = fs::remove_file(&ready);
        // With the fewest roles: those in the road have tests of their own, `tiers` and the demo.
        command.args(["up", "--no-media", "--listen", "127.0.0.1:0", "--dir"]).arg(dir);
        if share != dir.join("share") {
            command.arg("--share").arg(share);
        }
        command.arg("--ready-file").arg(&ready).env("OUTLAST_AGENT_POLL", "200ms");
        command.envs(settings.iter().copied());
        let mut role = Role::start(command, &dir.with_extension("log"));
        wait_until("all roles serve", || {
            assert!(!role.has_ended(), "up ended early:\n{}", role.words());
            ready.exists()
        });
        Self { dir: dir.to_owned(), share: share.to_owned(), role }
    }

    /// Drops with `outlast drop --share … --workload W TAIL…`; the drop's id.
    #[track_caller]
    pub(crate) fn drop<S: AsRef<OsStr>>(&self, workload: &str, tail: &[S]) -> String {
        succeed(self.drop_command(workload).args(tail)).trim().to_owned()
    }

    /// The beginning of a drop's command line.
    pub(crate) fn drop_command(&self, workload: &str) -> Command {
        let mut command = outlast();
        command.args(["drop", "--workload", workload, "--share"]).arg(&self.share);
        command
    }

    /// Where a receipt of this drop is, or will be.
    pub(crate) fn receipt(&self, workload: &str, drop: &str, state: &str) -> PathBuf {
        let receipts = self.share.join("w").join(workload).join("receipts");
        receipts.join(format!("{drop}.{state}.json"))
    }

    /// Waits for a receipt and gives its content.
    #[track_caller]
    pub(crate) fn wait_for_receipt(&mut self, workload: &str, drop: &str, state: &str) -> Value {
        let path = self.receipt(workload, drop, state);
        let role = &mut self.role;
        let mut receipt = None;
        wait_until(&format!("drop {drop} of {workload} is {state}"), || {
            assert!(!role.has_ended(), "up ended early:\n{}", role.words());
            // It has its name before it is whole.
            receipt = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            receipt.is_some()
        });
        receipt.unwrap()
    }

    /// `outlast WORDS… --dir DIR`, for the commands that ask the vault.
    pub(crate) fn ask(&self, words: &[&str]) -> Command {
        // After the command's own words, so that a caller can end with an option without value.
        let plain = words.iter().take_while(|word| !word.starts_with("--")).count();
        let mut command = outlast();
        command.args(&words[..plain]).arg("--dir").arg(&self.dir).args(&words[plain..]);
        command
    }

    /// All incidents, open and resolved.
    #[track_caller]
    pub(crate) fn incidents(&self) -> Vec<Value> {
        let listed = succeed(&mut self.ask(&["workload", "list", "--json"]));
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["incidents"].as_array().unwrap().clone()
    }

    /// Where the drop's directory is, if it is still there.
    pub(crate) fn drop_directory(&self, workload: &str, drop: &str) -> Option<PathBuf> {
        self.drop_directories(workload).into_iter().find(|path| path.ends_with(drop))
    }

    /// The directories of all drops of a workload, sealed or not.
    pub(crate) fn drop_directories(&self, workload: &str) -> Vec<PathBuf> {
        let days = self.share.join("w").join(workload).join("drops");
        let entries = |path: &Path| {
            let listed = fs::read_dir(path).into_iter().flatten();
            listed.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        entries(&days).iter().flat_map(|day| entries(day)).collect()
    }

    /// Stock restic on the workload's repository in the vault, with the password kept there.
    pub(crate) fn restic(&self, workload: &str) -> Command {
        let vault = self.dir.join("vault");
        let mut command = Command::new("restic");
        command
            .arg("-r")
            .arg(vault.join("repos").join(workload))
            .arg("--password-file")
            .arg(vault.join("keys").join(format!("{workload}.password")))
            .args(["--no-cache", "--no-lock"]);
        command
    }
}

/// The place in a restored tree where the absolute path `original` was put.
pub(crate) fn restored(target: &Path, original: &Path) -> PathBuf {
    target.join(original.strip_prefix("/").unwrap())
}
