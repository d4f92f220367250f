//! Stepping back behind what else the host does.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{getpid, getpriority_process, setpriority_process};

use crate::exit::Advised;

/// How much this process and what it starts step back; for all threads that begin after this.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct PriorityArgs {
    /// Leave the processor to others: 1 (a little) to 19 (as much as can be), for the command, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=19))]
    nice: Option<i32>,
    /// Leave the disks to others: `idle`, or `0` to `7` within the usual class; needs `ionice`, and a
    /// disk scheduler that heeds it
    #[arg(long, value_name = "CLASS", value_parser = io_class)]
    ionice: Option<IoClass>,
}

#[derive(Debug, Clone, Copy)]
enum IoClass {
    Idle,
    BestEffort(u8),
}

fn io_class(text: &str) -> Result<IoClass, String> {
    match (text, text.parse()) {
        ("idle", _) => Ok(IoClass::Idle),
        (_, Ok(level @ 0..=7)) => Ok(IoClass::BestEffort(level)),
        _ => Err("idle, or a level from 0 to 7".to_owned()),
    }
}

impl PriorityArgs {
    /// Steps back. To be called before other threads are begun.
    pub(super) fn apply(self) -> Result<()> {
        if let Some(nice) = self.nice {
            let now = getpriority_process(None).context("cannot tell the own priority")?;
            // Never more important than it was started.
            setpriority_process(None, nice.max(now)).context("cannot lower the own priority")?;
        }
        let Some(class) = self.ionice else { return Ok(()) };
        let mut command = Command::new("ionice");
        match class {
            IoClass::Idle => command.args(["-c", "3"]),
            IoClass::BestEffort(level) => command.args(["-c", "2", "-n", &level.to_string()]),
        };
        command.arg("-p").arg(getpid().as_raw_nonzero().to_string());
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        let failed = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("ionice ended with {status}"),
            Err(error) => format!("cannot start ionice: {error}"),
        };
        Err(Advised {
            message: format!("{failed}; nothing was begun"),
            hint: "--ionice needs the program `ionice` of util-linux; --nice alone needs nothing, and \
                   steps back on disks that know priorities, too."
                .to_owned(),
        }
        .into())
    }
}
