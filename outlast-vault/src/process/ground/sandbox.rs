//! The place in which strangers' code runs: loading a dump does that.
//!
//! `bwrap` gives it mount, process, network, host name and IPC namespaces of its own, in which there are the
//! programs of this host, read only, one snapshot's plaintext, read only, and a directory to work in: no key,
//! no catalog, no directory of the vault, no other process, no network. A vault that is root has it become
//! a user that owns nothing else on this host, in a user namespace of its own, with `setpriv` and `unshare`;
//! one that is not gives it a user namespace, in which it is somebody else, and outside still the vault's user.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use outlast_types::{Interrupt, Timer};

/// The user that it runs as: no user of a usual host has this number, nor one of systemd's.
pub(super) const USER: u32 = 61_183;
/// What is read of what it says.
const SAID_BYTES_MAX: u64 = 1 << 20;
const LINE_BYTES_MAX: u64 = 4 << 10;
/// What is kept of the lines that are no word to the vault.
const OTHER_LINES_MAX: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After its time it ends by itself, whatever became of the vault: by so much later, because the vault's
/// word comes first.
const MARGIN: Duration = Duration::from_secs(60);
/// Processes that it may have.
const PROCESSES_MAX: u32 = 512;

/// Where everything of one drill lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) root: PathBuf,
}

impl Place {
    /// The snapshot's plaintext.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where it works.
    pub(super) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// What the vault gives it beside.
    pub(super) fn etc(&self) -> PathBuf {
        self.root.join("etc")
    }
}

/// What was said, and how it ended.
pub(super) struct Ran {
    /// Words to the vault, each with how long after the start it came.
    pub(super) words: Vec<(Duration, Word)>,
    pub(super) end: End,
    /// The last lines that are no words.
    pub(super) rest: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Phase(String),
    Count(String, u64),
    Fail(String),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this status.
    Status(i32),
    /// After as long as it may take.
    TooLong,
    /// It would have filled the disk.
    Full,
    /// The end was asked for.
    Stopped,
}

/// Why nothing can be run here, or `None` if it can.
pub(super) fn unable(is_root: bool) -> Option<String> {
    let mut command = Command::new("bwrap");
    command.args(namespaces(is_root)).args(system()).args(identity(is_root));
    command.args(["--", "/usr/bin/true"]).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "`bwrap` cannot make the namespaces in which drills run ({}): the host must allow them to the \
             user that the vault runs as",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!(
            "drills load dumps inside of `bwrap`, which cannot be started ({error}): install the package \
             bubblewrap on the vault's host"
        )),
    }
}

/// How it is kept from the rest, for the record.
pub(super) fn isolation(is_root: bool) -> &'static str {
    match is_root {
        true => "namespaces without network, as a user of its own",
        false => "namespaces without network, as the vault's user",
    }
}

/// Runs the script that lies in `etc` of the place, until it ends or has to.
pub(super) fn run(
    place: &Place,
    arguments: &[String],
    is_root: bool,
    limits: &Limits<'_>,
) -> std::io::Result<Ran> {
    let mut child = start(place, arguments, is_root, limits.time_max.saturating_add(MARGIN))?;
    let heard = listen(&mut child);
    let began = limits.timer.elapsed();
    let mut ran = Ran { words: Vec::new(), end: End::Stopped, rest: String::new() };
    let mut rest = VecDeque::new();
    let mut take = |ran: &mut Ran| {
        let at = limits.timer.elapsed().saturating_sub(began);
        for line in heard.try_iter() {
            match word_of(&line) {
                Some(word) => ran.words.push((at, word)),
                None if line.trim().is_empty() => {}
                None => {
                    rest.push_back(line);
                    if rest.len() > OTHER_LINES_MAX {
                        rest.pop_front();
                    }
                }
            }
        }
    };
    let end = loop {
        take(&mut ran);
        if let Some(status) = child.try_wait()? {
            break End::Status(status.code().unwrap_or(-1));
        }
        if limits.timer.elapsed().saturating_sub(began) >= limits.time_max {
            break End::TooLong;
        }
        if !(limits.has_room)() {
            break End::Full;
        }
        if limits.timer.pause(LOOK_EVERY, limits.stop) {
            break End::Stopped;
        }
    };
    // With it goes all that it started: its process namespace ends.
    let _gone = child.kill();
    let _status = child.wait()?;
    // What it said last.
    limits.timer.pause(LOOK_EVERY, &Interrupt::default());
    take(&mut ran);
    (ran.end, ran.rest) = (end, Vec::from(rest).join(" "));
    Ok(ran)
}

/// When it has to end.
pub(super) struct Limits<'a> {
    pub(super) timer: &'a dyn Timer,
    pub(super) stop: &'a Interrupt,
    pub(super) time_max: Duration,
    /// Whether the disk has room for others.
    pub(super) has_room: &'a dyn Fn() -> bool,
}

/// Starts it. A vault that dies takes it with it (`--die-with-parent`), but for one that dies in the moment
/// before that is agreed: therefore it holds its own time, too, rounded up to seconds.
pub(super) fn start(
    place: &Place,
    arguments: &[String],
    is_root: bool,
    time_max: Duration,
) -> std::io::Result<Child> {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nproc={PROCESSES_MAX}")).args(["--core=0", "--", "bwrap"]);
    command.args(namespaces(is_root)).args(system());
    let etc = place.etc();
    let bind = |how: &str, from: PathBuf, to: &str| -> [OsString; 3] {
        [how.into(), from.into(), to.into()]
    };
    command
        .args(bind("--ro-bind", etc.join("passwd"), "/etc/passwd"))
        .args(bind("--ro-bind", etc.join("group"), "/etc/group"))
        .args(bind("--ro-bind", etc, "/drill/etc"))
        .args(bind("--ro-bind", place.data(), "/drill/data"))
        .args(bind("--bind", place.work(), "/drill/space"))
        .args(["--symlink", "drill/space", "/tmp", "--chdir", "/"]);
    // A command of policy may lie beside the programs of the host.
    if let Some(program) = arguments.first().map(Path::new)
        && program.is_absolute()
        && !program.starts_with("/usr")
    {
        command.arg("--ro-bind-try").arg(program).arg(program);
    }
    command.args(identity(is_root));
    let seconds = time_max.as_secs().saturating_add(1).to_string();
    command.args(["--", "/usr/bin/timeout", "-s", "KILL", &seconds]);
    command.args(["/bin/sh", "/drill/etc/run.sh"]).args(arguments);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn namespaces(is_root: bool) -> Vec<String> {
    let common = "--unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try \
                  --die-with-parent --new-session --clearenv --hostname drill \
                  --setenv PATH /usr/sbin:/usr/bin --setenv LC_ALL C --setenv HOME /drill/space";
    let mut words: Vec<String> = common.split_whitespace().map(str::to_owned).collect();
    if !is_root {
        let user = USER.to_string();
        words.extend(["--unshare-user", "--uid", &user, "--gid", &user].map(str::to_owned));
    }
    words
}

/// The programs of this host.
fn system() -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut add = |text: &str| words.extend(text.split_whitespace().map(OsString::from));
    add("--ro-bind /usr /usr");
    for name in ["bin", "sbin", "lib", "lib32", "lib64"] {
        let path = format!("/{name}");
        match std::fs::read_link(&path) {
            Ok(target) => {
                let target = target.display().to_string();
                add(&format!("--symlink {} {path}", target.trim_start_matches('/')));
            }
            Err(_) => add(&format!("--ro-bind-try {path} {path}")),
        }
    }
    add("--perms 0755 --dir /etc --perms 0755 --dir /drill");
    add("--ro-bind-try /etc/ld.so.cache /etc/ld.so.cache");
    add("--ro-bind-try /etc/alternatives /etc/alternatives");
    // What is written there is memory.
    add("--proc /proc --dev /dev --size 16777216 --perms 1777 --tmpfs /dev/shm");
    words
}

/// What becomes somebody else.
fn identity(is_root: bool) -> Vec<String> {
    if !is_root {
        return Vec::new();
    }
    let text = format!(
        "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP -- \
         /usr/bin/setpriv --reuid {USER} --regid {USER} --clear-groups --inh-caps=-all \
         --bounding-set=-all --no-new-privs -- /usr/bin/unshare --user --map-current-user"
    );
    text.split_whitespace().map(str::to_owned).collect()
}

/// The lines that it says, and the end of its complaints.
fn listen(child: &mut Child) -> Receiver<String> {
    let (tell, heard) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let tell = tell.clone();
        // It ends when the stream does: nobody inside outlives the kill.
        drop(thread::spawn(move || {
            let mut reader = BufReader::new(stream.take(SAID_BYTES_MAX));
            loop {
                let mut line = Vec::new();
                match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                    Ok(1..) => {}
                    _ => break,
                }
                if tell.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    break;
                }
            }
            // Whoever says more must not wait for us.
            let _more = std::io::copy(&mut reader.into_inner().into_inner(), &mut std::io::sink());
        }));
    }
    heard
}

/// A word to the vault.
fn word_of(line: &str) -> Option<Word> {
    let (word, rest) = line.strip_prefix('@')?.split_once(' ').unwrap_or((&line[1..], ""));
    match word {
        "phase" => Some(Word::Phase(rest.to_owned())),
        "count" => {
            let (name, number) = rest.split_once(' ')?;
            Some(Word::Count(name.to_owned(), number.trim().parse().ok()?))
        }
        "fail" => Some(Word::Fail(rest.trim().to_owned())),
        "done" => Some(Word::Done),
        _ => None,
    }
}
