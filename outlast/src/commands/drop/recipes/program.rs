//! The client programs of databases: how they are called, and what they say when they are asked.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use outlast_types::human;

use crate::signals::Caught;

/// How long an answer may take, which is a few rows.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// How often a silent program is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The longest answer that is taken, and the most that is kept of complaints.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const SAID_BYTES_MAX: u64 = 64 << 10;

/// Tells whether the end was asked for.
pub(super) type Stop<'a> = &'a dyn Fn() -> Option<Caught>;

/// A client program with its arguments. None of them is a secret: whoever is on the host can read
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{program} is not installed, or not in PATH")]
    Missing { program: String },
    #[error("cannot start {program}: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("{program} failed with {status}: {said}")]
    Failed { program: String, status: ExitStatus, said: String },
    #[error("{program} gave no answer within {}", human::duration(ANSWER_MAX))]
    Silent { program: String },
    #[error("{caught} came")]
    Ended { caught: Caught },
    #[error("{program} gave an answer that cannot be understood: {what}")]
    Odd { program: String, what: String },
}

impl Call {
    pub(super) fn of(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The program's name, for people.
    pub(super) fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// All that it is started with but where its output goes. It talks English, so that what it
    /// says can be explained.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(n, v)| (*n, v.as_os_str())));
        command.env("LC_ALL", "C").env_remove("LANGUAGE").stdin(Stdio::null());
        command
    }

    /// What it prints, when it ends well. It gets a bounded time, and none once it is to stop.
    pub(super) fn ask(&self, stop: Stop<'_>) -> Result<String, CallError> {
        self.ask_all(stop).map(|(answer, _)| answer)
    }

    /// The same with what it says beside that.
    pub(super) fn ask_all(&self, stop: Stop<'_>) -> Result<(String, String), CallError> {
        let program = self.name();
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| not_started(&program, source))?;
        let (answer, said) = match listen(&mut child, stop) {
            Ok(Some(heard)) => heard,
            broken_off => {
                // It may not heed a wish.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match broken_off {
                    Err(caught) => CallError::Ended { caught },
                    Ok(_) => CallError::Silent { program },
                });
            }
        };
        let failed = |source| CallError::NotStarted { program: program.clone(), source };
        let status = child.wait().map_err(failed)?;
        if !status.success() {
            return Err(CallError::Failed { program, status, said: one_line(&said) });
        }
        Ok((answer, said))
    }

    /// Its version, in its own words.
    pub(super) fn version(program: &OsStr, stop: Stop<'_>) -> Result<String, CallError> {
        Ok(Self::of(program).arg("--version").ask(stop)?.trim().to_owned())
    }
}

/// Why a program could not be started.
fn not_started(program: &str, source: io::Error) -> CallError {
    let program = program.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => CallError::Missing { program },
        _ => CallError::NotStarted { program, source },
    }
}

/// What `child` says on both ways, to the end; `None` if that does not come in time.
fn listen(child: &mut Child, stop: Stop<'_>) -> Result<Option<(String, String)>, Caught> {
    let (sender, heard) = mpsc::channel();
    let ways: [(Option<Box<dyn Read + Send>>, u64); 2] = [
        (child.stdout.take().map(|way| Box::new(way) as _), ANSWER_BYTES_MAX),
        (child.stderr.take().map(|way| Box::new(way) as _), SAID_BYTES_MAX),
    ];
    for (number, (way, most)) in ways.into_iter().enumerate() {
        let (sender, Some(mut way)) = (sender.clone(), way) else { return Ok(None) };
        // Ends with the child, which is killed if it does not end.
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = way.by_ref().take(most).read_to_end(&mut bytes);
            // The rest is for nobody, but must not keep the program from its end.
            let read = read.and_then(|_| io::copy(&mut way, &mut io::sink()));
            let _ = sender.send((number, read.map(|_| bytes)));
        });
    }
    let until = Instant::now() + ANSWER_MAX;
    let (mut texts, mut heard_of) = ([String::new(), String::new()], 0);
    while heard_of < texts.len() {
        if let Some(caught) = stop() {
            return Err(caught);
        }
        match heard.recv_timeout(LOOK) {
            Ok((number, bytes)) => {
                texts[number] = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
                heard_of += 1;
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
            Err(_) => return Ok(None),
        }
    }
    let [answer, said] = texts;
    Ok(Some((answer, said)))
}

/// The last lines of what a program said, as one.
pub(super) fn one_line(said: &str) -> String {
    const LINES: usize = 6;
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.len() {
        0 => "it did not say why".to_owned(),
        count => lines[count.saturating_sub(LINES)..].join("; "),
    }
}

/// Which of `names` are in PATH, with where they are.
pub(super) fn installed(names: &[&str], path: Option<&OsStr>) -> Vec<PathBuf> {
    let directories: Vec<PathBuf> = path.map(std::env::split_paths).into_iter().flatten().collect();
    let find = |name: &&str| {
        directories.iter().map(|directory| directory.join(name)).find(|file| file.is_file())
    };
    names.iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Call {
        Call::of("sh").args(["-c", script])
    }

    #[test]
    fn an_answer_counts_only_if_the_program_ended_well() {
        assert_eq!(shell("echo yes; echo aside >&2").ask(&|| None).unwrap(), "yes\n");
        assert_eq!(shell("echo $LC_ALL $X").env("X", "1").ask(&|| None).unwrap(), "C 1\n");
        let error =
            shell("echo half; echo first >&2; echo then >&2; exit 3").ask(&|| None).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("exit status: 3") && words.contains("first; then"), "{words}");
        let missing = Call::of("no-such-program-of-any-kind").ask(&|| None).unwrap_err();
        assert!(matches!(missing, CallError::Missing { .. }), "{missing}");
    }

    #[test]
    fn a_program_that_says_much_is_not_kept_and_does_not_keep_us() {
        let (answer, said) = shell("head -c 20000000 /dev/zero; head -c 200000 /dev/zero >&2")
            .ask_all(&|| None)
            .unwrap();
        assert_eq!(answer.len() as u64, ANSWER_BYTES_MAX);
        assert_eq!(said.len() as u64, SAID_BYTES_MAX);
    }

    #[test]
    fn programs_are_found_where_path_leads() {
        let found = installed(&["no-such-program", "sh"], Some(OsStr::new("/nowhere:/bin")));
        assert_eq!(found, [PathBuf::from("/bin/sh")]);
        assert!(installed(&["sh"], None).is_empty());
    }
}
