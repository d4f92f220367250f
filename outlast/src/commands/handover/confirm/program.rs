//! Programs of a product: run without a shell, with an end in time and a bound on what they say.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use outlast_handover::product::ANSWER_BYTES_MAX;
use rustix::process::{Pid, Signal, kill_process_group};

const LOOK: Duration = Duration::from_millis(20);
/// As much of its complaints as a person reads.
const WORDS_MAX: u64 = 4096;

/// What a program said, and how it ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) said: String,
    /// The last line of its complaints.
    pub(super) complaint: String,
}

/// Runs a program until `end`. It prints dates in UTC and in the words that everybody's does.
pub(super) fn run(
    program: &Path,
    arguments: &[String],
    variables: &[(&str, String)],
    input: &str,
    end: Instant,
) -> Result<Ended> {
    let name = program.display();
    let mut child = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What it starts ends with it.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = input.to_owned();
    // One that does not read is the deadline's; how it ends tells the rest.
    let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        let read = stdout.map(|stdout| stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut said));
        read.transpose().map(|_| said)
    });
    let complaints = thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.by_ref().take(WORDS_MAX).read_to_end(&mut said);
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        }
        said
    });
    let status = wait(&mut child, &reader, end);
    // What it started and left behind would hold its output open.
    kill(&mut child);
    let (_, said, complaints) = (writer.join(), reader.join(), complaints.join());
    let said = said.map_err(|_| anyhow::anyhow!("reading {name} ended in a panic"))?;
    let said = said.with_context(|| format!("cannot read what {name} says"))?;
    if said.len() as u64 > ANSWER_BYTES_MAX {
        bail!("{name} says more than {ANSWER_BYTES_MAX} bytes");
    }
    let Some(status) = status? else {
        bail!(
            "{name} did not end in time, and was ended; confirm.deadline says how long it may take"
        );
    };
    let complaints = String::from_utf8_lossy(&complaints.unwrap_or_default()).into_owned();
    let complaint = complaints.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Ok(Ended {
        status,
        said: String::from_utf8_lossy(&said).into_owned(),
        complaint: complaint.trim().to_owned(),
    })
}

/// How it ended; `None` if it did not until `end`, or says more than anybody reads.
fn wait<T>(
    child: &mut Child,
    reader: &thread::JoinHandle<T>,
    end: Instant,
) -> Result<Option<ExitStatus>> {
    let mut is_read_since = None;
    loop {
        if let Some(status) = child.try_wait().context("ask whether it ended")? {
            return Ok(Some(status));
        }
        // One that has closed its output ends soon; one that is not read any more never would.
        if reader.is_finished() {
            is_read_since.get_or_insert_with(Instant::now);
        }
        let is_stuck = is_read_since.is_some_and(|since: Instant| since.elapsed() > 50 * LOOK);
        if is_stuck && Instant::now() < end {
            kill(child);
            continue;
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // One that is gone already needs no killing.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &str, patience: Duration) -> Result<Ended> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        run(Path::new("/bin/sh"), &arguments, &[], input, Instant::now() + patience)
    }

    #[test]
    fn a_program_is_heard_to_its_end_and_one_that_never_ends_is_ended_with_all_it_started() {
        let patience = Duration::from_secs(120);
        let heard = sh("cat; echo $TZ; echo why >&2; exit 3", "in\n", patience).unwrap();
        assert_eq!((heard.said.as_str(), heard.complaint.as_str()), ("in\nUTC\n", "why"));
        assert_eq!(heard.status.code(), Some(3));
        let began = Instant::now();
        let endless = sh("sleep 300 & sleep 300", "", Duration::from_millis(300));
        let said = endless.err().unwrap().to_string();
        assert!(said.contains("did not end in time"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(120));
        // One that leaves something behind which holds its output is not waited for.
        assert_eq!(sh("sleep 300 & echo done", "", patience).unwrap().said, "done\n");
        assert!(began.elapsed() < Duration::from_secs(120));
    }
}
