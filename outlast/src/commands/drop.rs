//! `outlast drop`: what an instance runs to write its backup to the share.
//!
//! [`DropOptions`] are what every kind of drop takes. [`carry_out()`] does what they ask for, with an
//! [`Attempt`] for each drop that is begun; what the drop is made of says whoever calls
//! [`Attempt::stream`] or [`Attempt::tree`].

mod attempt;
mod carry_out;
mod keep;
mod options;
mod pace;
mod priority;
mod recipes;
mod room;
mod round;
mod status;
mod supervised;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use clap::{Args as _, FromArgMatches as _, Subcommand as _};

use super::inputs::{ExcludeArgs, Stream};
use crate::exit::{Code, Usage};
use crate::output::Output;
use crate::signals::Ended;
use attempt::{Attempt, Sealed};
use carry_out::carry_out;
use options::DropOptions;
use recipes::Recipe;
use words::Words;

pub(crate) use status::{DROPPING, Status};
pub(crate) use supervised::status_file;

/// Write one backup to the share and seal it; prints the drop's id
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_help_heading = "Recipes",
    disable_help_subcommand = true,
    after_help = "A recipe knows its subject, and is the first word: `outlast drop postgres --help`. A path of such a
name is written ./postgres.

Nothing is a backup before it is sealed: a writer that is killed, a command that fails, or a
share that is full leaves no seal, and the agent cleans up after it.

A tree of which something could not be read is sealed all the same, because the rest is worth
having; each thing that is missing is named, the seal says so, and the exit code is 3. If nothing at
all could be read, nothing is sealed, and the exit code is 1. Sockets are skipped: they hold no data.

A pipe hides whether the program on its left failed: `pg_dump | outlast drop --stdin` seals what
came before the failure. With --exec the command's exit status counts; where it is a pipeline
itself, let the shell tell of any part that failed: bash -o pipefail. A stream without a single
byte is refused, and so are directories without anything in them (is it mounted?), unless
--allow-empty says that nothing is what there is.

SIGTERM, SIGINT and SIGHUP end the command with all that it started, and give the drop up, at once or
after --deadline; the exit code is 128 and the signal's number, or 0 if it was sealed by then.

With --every it goes on running, drops at each due time, and at its start if nobody has sealed a drop
since the last one. A drop that fails is logged and tried again; only a signal ends it. Hours that the
clocks skip are due when the gap ends, those that they repeat once.

With --once-per only one of several instances drops; the others wait for its seal and print its id. One
that dies is replaced within a minute or so; in doubt there are two drops. Data that an instance has of
its own, such as a shard, is a workload of its own.

Examples:
  outlast drop postgres --share /mnt/efs --workload shop-db
  outlast drop --share /mnt/efs --workload shop-files --exclude '*.tmp' --exclude-caches /srv/uploads
  outlast drop --share /mnt/efs --workload shop-db --exec shop.sql -- pg_dump shop
  outlast drop --share /mnt/efs --workload shop-db --exec shop.sql.age -- \\
    bash -o pipefail -c 'pg_dump shop | age -R /etc/backup.pub'
  outlast drop --share /mnt/efs --workload shop-db --final --deadline 4m --exec shop.sql -- pg_dump shop
  outlast drop --share /mnt/efs --workload shop-db --every 24h --at 02:00 --jitter 30m \\
    --timezone Europe/Berlin --once-per 24h --exec shop.sql -- pg_dump shop"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    recipe: Option<Recipe>,
    #[command(flatten)]
    options: DropOptions,
    /// Back up standard input as a file of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["exec", "paths", "every"])]
    stdin: Option<String>,
    /// Back up what COMMAND prints as a file of this name; sealed only if it exits with 0
    #[arg(long, value_name = "NAME", conflicts_with = "paths", requires = "command")]
    exec: Option<String>,
    #[command(flatten)]
    excludes: ExcludeArgs,
    /// Files and directories to back up, with everything that belongs to them
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "exec"])]
    paths: Vec<PathBuf>,
    /// The command for --exec and its arguments
    #[arg(last = true, value_name = "COMMAND", requires = "exec")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    if let Some(recipe) = &arguments.recipe {
        return recipes::run(recipe, output);
    }
    refuse_other_than_paths(&arguments.paths)?;
    carry_out(&arguments.options, output, &mut |attempt: &Attempt<'_>| {
        let claims = attempt.claims();
        match (&arguments.stdin, &arguments.exec) {
            (Some(name), _) => attempt.stream(name, Stream::StandardInput, claims),
            (None, Some(name)) => exec(arguments, name, attempt, output),
            (None, None) => attempt.tree(&arguments.paths, &arguments.excludes, claims),
        }
    })
}

/// Drops what the command prints. On a schedule nobody sits before it, and its last words are the reason if it
/// fails.
fn exec(arguments: &Args, name: &str, attempt: &Attempt<'_>, output: &Output) -> Result<Sealed> {
    let (program, rest) = arguments
        .command
        .split_first()
        .ok_or_else(|| Usage("name the command whose output is to be backed up".to_owned()))?;
    let mut command = Command::new(program);
    command.args(rest);
    if !arguments.options.schedule.is_kept() {
        return attempt.stream(name, Stream::Command(command), attempt.claims());
    }
    let (words, way) = Words::listen(*output).context("cannot make a pipe")?;
    command.stderr(way);
    let sealed = attempt.stream(name, Stream::Command(command), attempt.claims());
    let said = words.last(sealed.is_ok()).replace('\n', "; ");
    sealed.map_err(|error| match said.is_empty() || error.is::<Ended>() {
        true => error,
        false => anyhow!("{error:#}; its last words: {said}"),
    })
}

/// Whether `words` are a drop on a schedule that can be made of themselves: what the parser says if not.
pub(crate) fn judge_words(words: &[OsString]) -> Result<(), String> {
    let command = Args::augment_args(clap::Command::new("drop").no_binary_name(true));
    let matches = command.try_get_matches_from(words);
    let parsed = matches.and_then(|matches| Args::from_arg_matches(&matches));
    let arguments = parsed.map_err(|error| {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let text = text.split("\n\n").next().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    })?;
    match refuse_other_than_paths(&arguments.paths) {
        Ok(()) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The name of a recipe behind options, or the mark for what is piped in elsewhere, is a path to the parser,
/// and hardly meant as one.
fn refuse_other_than_paths(paths: &[PathBuf]) -> Result<()> {
    if paths.iter().any(|path| path.as_os_str() == "-") {
        let text = "what is piped in needs a name, under which it is restored: --stdin NAME (as in \
                    pg_dump shop | outlast drop … --stdin shop.sql); a file of that name is written ./-";
        return Err(Usage(text.to_owned()).into());
    }
    let named =
        paths.first().and_then(|path| path.to_str()).filter(|name| Recipe::has_subcommand(name));
    match named {
        Some(name) => Err(Usage(format!(
            "{name} is a recipe and stands before all options: outlast drop {name} …; a path of that \
             name is written ./{name}"
        ))
        .into()),
        None => Ok(()),
    }
}
