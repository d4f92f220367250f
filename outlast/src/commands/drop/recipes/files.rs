//! `outlast drop files`: files and directories.

use std::path::PathBuf;

use anyhow::Result;

use super::super::attempt::Attempt;
use super::super::carry_out::carry_out;
use super::super::options::DropOptions;
use crate::commands::inputs::ExcludeArgs;
use crate::exit::Code;
use crate::output::Output;

/// Files and directories, with everything that belongs to them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The same as `outlast drop PATH…`, under a name that scripts can have for every kind of source.

Files that are written while they are read are kept as they were at some moment each. For a
database that is wrong: there is a recipe for it, or take a snapshot of its file system and drop
that.

Examples:
  outlast drop files --share /mnt/efs --workload shop-files /srv/uploads /etc/shop
  outlast drop files --share /mnt/efs --workload shop-files --exclude '*.tmp' --exclude-caches /srv"
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    options: DropOptions,
    #[command(flatten)]
    excludes: ExcludeArgs,
    /// What to back up
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    carry_out(&arguments.options, output, &mut |attempt: &Attempt<'_>| {
        attempt.tree(&arguments.paths, &arguments.excludes, attempt.claims())
    })
}
