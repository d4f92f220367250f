//! Completions for shells and manual pages, made from the same definitions as `--help`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Command;

use crate::exit::Code;
use crate::output::not_written;

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast completions bash > /etc/bash_completion.d/outlast
  outlast completions zsh > /usr/local/share/zsh/site-functions/_outlast
  outlast completions fish > ~/.config/fish/completions/outlast.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell that completes
    shell: clap_complete::Shell,
}

/// Write the manual pages into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast man /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Where to; made if missing
    dir: PathBuf,
}

pub(crate) fn completions(arguments: &CompletionsArgs, mut whole: Command) -> Result<Code> {
    // Made in memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut whole, "outlast", &mut script);
    std::io::stdout().lock().write_all(&script).map_err(|error| not_written(&error))?;
    Ok(Code::Done)
}

pub(crate) fn man(arguments: &ManArgs, whole: Command) -> Result<Code> {
    let dir = &arguments.dir;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(whole, dir)
        .with_context(|| format!("cannot write manual pages into {}", dir.display()))?;
    Ok(Code::Done)
}
