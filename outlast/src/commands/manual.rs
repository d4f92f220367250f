//! Completions for shells and manual pages, made from the same definitions as `--help`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::Arguments;
use crate::exit::Code;

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast completions bash > /etc/bash_completion.d/outlast")]
pub(crate) struct CompletionsArgs {
    shell: clap_complete::Shell,
}

/// Write the manual pages into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast man /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    dir: PathBuf,
}

pub(crate) fn completions(arguments: &CompletionsArgs) -> Code {
    let mut out = std::io::stdout().lock();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "outlast", &mut out);
    Code::Done
}

pub(crate) fn man(arguments: &ManArgs) -> Result<Code> {
    let dir = &arguments.dir;
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    clap_mangen::generate_to(Arguments::command(), dir)
        .with_context(|| format!("write manual pages into {}", dir.display()))?;
    Ok(Code::Done)
}
