//! `outlast handover`: what a backup product's hooks run, and people who look after it.

mod confirm;
mod facts;
mod hooks;
mod import;
mod lease;
mod release;
mod status;
mod verify;
mod which;

use anyhow::Result;
use clap::Subcommand;

use crate::exit::Code;
use crate::output::Output;

/// Hand drops over to a backup product that is there already
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast handover status
  outlast handover begin netbackup --policy apps --schedule daily --type INCR
  outlast handover end netbackup --policy apps --schedule daily --type INCR --status 0")]
pub(crate) enum Command {
    Begin(lease::BeginArgs),
    End(lease::EndArgs),
    Status(status::StatusArgs),
    Confirm(confirm::ConfirmArgs),
    Release(release::ReleaseArgs),
    Hooks(hooks::HooksArgs),
    Verify(verify::VerifyArgs),
    Import(import::ImportArgs),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::Begin(arguments) => lease::begin(arguments, output),
        Command::End(arguments) => lease::end(arguments, output),
        Command::Status(arguments) => status::run(arguments, output),
        Command::Confirm(arguments) => confirm::run(arguments, output),
        Command::Release(arguments) => release::run(arguments, output),
        Command::Hooks(arguments) => hooks::run(arguments, output),
        Command::Verify(arguments) => verify::run(arguments, output),
        Command::Import(arguments) => import::run(arguments, output),
    }
}
