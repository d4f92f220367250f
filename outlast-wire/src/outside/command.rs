//! Telling something by a command of policy: no shell, the message on its standard input, an end to it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use outlast_types::{Environment, Interrupt};
use rustix::process::{Pid, Signal, kill_process_group};

const LOOK: Duration = Duration::from_millis(50);

/// Runs a command to its end; why that was no success, if so.
pub(super) fn run(
    words: &[String],
    input: &[u8],
    deadline: Duration,
    environment: &Environment,
    stop: &Interrupt,
) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("there is no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // What it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    // One that does not read must not hold us up: it is the deadline's.
    let (stdin, input) = (child.stdin.take(), input.to_vec());
    let writer = std::thread::Builder::new().name("alert-input".to_owned()).spawn(move || {
        // One that does not want to know is judged by how it ends.
        stdin.map(|mut stdin| stdin.write_all(&input))
    });
    let ended = wait(&mut child, deadline, environment, stop);
    if ended.is_err() {
        kill(&mut child);
    }
    drop(writer.map(std::thread::JoinHandle::join));
    match ended? {
        status if status.success() => Ok(()),
        status => Err(format!("{program} ended with {status}")),
    }
}

fn wait(
    child: &mut Child,
    deadline: Duration,
    environment: &Environment,
    stop: &Interrupt,
) -> Result<ExitStatus, String> {
    let end = environment.timer.elapsed().saturating_add(deadline);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if stop.is_requested() => return Err("whoever tells it ends".to_owned()),
            Ok(None) if environment.timer.elapsed() >= end => {
                return Err(format!("it did not end within {} s", deadline.as_secs()));
            }
            Ok(None) => {
                environment.timer.pause(LOOK, stop);
            }
            Err(error) => return Err(error.to_string()),
        }
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

    fn words(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_command_reads_the_message_and_ends_in_time_or_is_ended() {
        let (environment, stop) = (Environment::system(), Interrupt::default());
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let long = Duration::from_secs(60);
        let script = format!("cat > {}", out.display());
        run(&words(&script), b"{\"a\":1}", long, &environment, &stop).unwrap();
        assert_eq!(std::fs::read_to_string(out).unwrap(), "{\"a\":1}");
        let said = run(&words("exit 3"), b"{}", long, &environment, &stop).unwrap_err();
        assert!(said.contains('3'), "{said}");
        // It neither reads nor ends, and neither does what it started.
        let hangs = words("sleep 1000 & sleep 1000");
        let short = Duration::from_millis(100);
        let said = run(&hangs, &vec![b'x'; 1 << 20], short, &environment, &stop).unwrap_err();
        assert!(said.contains("within"), "{said}");
        let said = run(&["/nowhere/x".to_owned()], b"", long, &environment, &stop).unwrap_err();
        assert!(said.contains("cannot start"), "{said}");
    }
}
