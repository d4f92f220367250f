//! `outlast instance …`: what runs on an instance beside its application.

mod alone;
mod child;
mod heartbeat;
mod platform;
mod watch;

use anyhow::Result;

use crate::exit::Code;
use crate::output::Output;

/// Watch over the end of an instance
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:
  outlast instance watch --platform aws -- outlast drop --share /mnt/share --workload shop-db --final \\
      --exec shop.sql -- pg_dump shop")]
pub(crate) enum Command {
    Watch(watch::Args),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::Watch(arguments) => watch::run(arguments, output),
    }
}
