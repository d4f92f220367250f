//! Who ends instances here, and how it is told that an instance is ready.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use outlast_drop::ending::{Made, Sign};
use outlast_types::{Interrupt, Timer};
use outlast_wire::outside::metadata::{Cloud, Metadata, Notice, Whereabouts};

use super::child::Child;
use crate::output::{Output, whole_seconds};

/// How long a command that completes may take; one that hangs is begun anew.
const COMPLETE_MAX: Duration = Duration::from_secs(30);

/// Who ends instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Platform {
    /// EC2: Auto Scaling lifecycle state and spot notices
    Aws,
    /// Azure: scheduled events
    Azure,
    /// Whoever sends SIGTERM: Kubernetes, systemd
    Signal,
}

/// What ends this instance, as far as it can be asked.
pub(super) struct Platforms {
    metadata: Option<Metadata>,
    complete_with: Option<String>,
    answers_itself: bool,
    notice: Option<Notice>,
    whereabouts: Option<Whereabouts>,
    /// The last trouble that was told.
    trouble: Option<String>,
}

impl Platforms {
    pub(super) fn new(
        platform: Platform,
        address: &str,
        complete_with: Option<String>,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let cloud = match platform {
            Platform::Aws => Some(Cloud::Aws),
            Platform::Azure => Some(Cloud::Azure),
            Platform::Signal => None,
        };
        let mut metadata = cloud.map(|cloud| Metadata::new(cloud, address)).transpose()?;
        if let Some(metadata) = &mut metadata {
            metadata.heed(interrupt);
        }
        Ok(Self {
            metadata,
            complete_with,
            answers_itself: platform == Platform::Azure,
            notice: None,
            whereabouts: None,
            trouble: None,
        })
    }

    /// Asks; tells what is new.
    pub(super) fn look(&mut self, output: &Output) -> Sign {
        let Some(metadata) = &mut self.metadata else { return Sign::Quiet };
        let looked = metadata.look();
        if self.whereabouts.is_none() && looked.is_ok() {
            // Only words for a command that completes; asked while there is time.
            self.whereabouts = metadata.whereabouts().ok();
        }
        match looked {
            Ok(found) => {
                if self.trouble.take().is_some() {
                    output.remark("the metadata service answers again");
                }
                self.heard(found, output)
            }
            Err(error) => {
                let words = error.to_string();
                if self.trouble.as_ref() != Some(&words) {
                    output.warn(&format!("{words}; notices are not seen meanwhile, SIGTERM is"));
                }
                self.trouble = Some(words);
                Sign::Unknown
            }
        }
    }

    fn heard(&mut self, found: Option<Notice>, output: &Output) -> Sign {
        match (&self.notice, &found) {
            (Some(_), None) => output.remark("the notice was withdrawn"),
            (old, Some(new)) if old.as_ref().is_none_or(|old| old.id != new.id) => {
                let due = new.due.map(|due| format!(", at {}", whole_seconds(due)));
                output.remark(format_args!("notice: {}{}", new.what, due.unwrap_or_default()));
            }
            _ => {}
        }
        self.notice = found;
        match &self.notice {
            Some(notice) => Sign::Given { waits: notice.waits && self.can_answer() },
            None => Sign::Quiet,
        }
    }

    fn can_answer(&self) -> bool {
        self.answers_itself || self.complete_with.is_some()
    }

    /// Whether somebody waits for this instance who can be told.
    pub(super) fn waits(&self) -> bool {
        self.notice.as_ref().is_some_and(|notice| notice.waits)
    }

    /// A command of the user's, with what it may need in its environment.
    pub(super) fn shell(&self, command: &str, making: Making) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command).stdin(Stdio::null());
        shell.env("OUTLAST_ENDING_RESULT", making.word());
        if let Some(whereabouts) = &self.whereabouts {
            shell.env("OUTLAST_ENDING_INSTANCE", &whereabouts.instance);
            shell.env("OUTLAST_ENDING_REGION", &whereabouts.region);
        }
        shell
    }

    /// Says that this instance need not be waited for.
    pub(super) fn answer(&mut self, made: Made, timer: &dyn Timer) -> Result<()> {
        let notice = self.notice.as_ref().ok_or_else(|| anyhow!("there is no notice"))?;
        // The platform last: once it knows, this machine may be gone.
        if let Some(command) = &self.complete_with {
            complete(&mut self.shell(command, Making::Over(made)), timer)?;
        }
        if self.answers_itself
            && let Some(metadata) = &mut self.metadata
        {
            metadata.answer(notice)?;
        }
        Ok(())
    }
}

/// Runs the command that tells it.
fn complete(shell: &mut Command, timer: &dyn Timer) -> Result<()> {
    let mut child = Child::start(shell).context("cannot start /bin/sh")?;
    match child.finish(COMPLETE_MAX, timer) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(anyhow!("the command of --complete-with ended with {status}")),
        None => {
            let seconds = COMPLETE_MAX.as_secs();
            Err(anyhow!("the command of --complete-with did not end within {seconds} s"))
        }
    }
}

/// How far the final drop is, as commands of the user's are told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Making {
    Still,
    Over(Made),
}

impl Making {
    fn word(self) -> &'static str {
        match self {
            Self::Still => "making",
            Self::Over(made) => word(made),
        }
    }
}

/// How a drop ended, in the word that scripts get.
pub(super) fn word(made: Made) -> &'static str {
    match made {
        Made::Whole => "sealed",
        Made::WithGaps => "gaps",
        Made::Failed => "failed",
    }
}
