//! One module for each command, named as users type it.

mod cache;
pub(crate) mod demo;
pub(crate) mod drop;
pub(crate) mod fetch;
mod inputs;
pub(crate) mod manual;
pub(crate) mod repo;
pub(crate) mod roles;
pub(crate) mod share;
pub(crate) mod up;
mod vault_access;
pub(crate) mod vault_reading;
pub(crate) mod workload;

use anyhow::Result;

use crate::cli::Command;
use crate::exit::Code;
use crate::output::Output;
use crate::signals::Signals;

/// Carries out a command.
pub(crate) fn run(command: Command, output: &Output) -> Result<Code> {
    if !hears_signals(&command) {
        Signals::end_first_process()?;
    }
    match command {
        Command::Up(arguments) => up::run(&arguments, output),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Drop(arguments) => drop::run(&arguments, output),
        Command::Fetch(arguments) => fetch::run(&arguments, output),
        Command::Share(command) => share::run(command, output),
        Command::Workload(command) => workload::run(&command, output),
        Command::Snapshots(arguments) => vault_reading::snapshots(&arguments, output),
        Command::Ls(arguments) => vault_reading::ls(&arguments, output),
        Command::Cat(arguments) => vault_reading::cat(&arguments, output),
        Command::Restore(arguments) => vault_reading::restore(&arguments, output),
        Command::Repo(command) => repo::run(command, output),
        Command::Agent(arguments) => roles::agent(&arguments),
        Command::Vault(arguments) => roles::vault(&arguments, output),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
        Command::DemoDumpSqlite { path } => demo::dump_sqlite(&path),
    }
}

/// Whether a command catches signals itself, to end what it has begun.
fn hears_signals(command: &Command) -> bool {
    match command {
        Command::Up(_) | Command::Agent(_) | Command::Vault(_) | Command::Demo(_) => true,
        Command::Drop(arguments) => arguments.runs_a_command(),
        Command::Repo(repo::Command::Backup(arguments)) => arguments.runs_a_command(),
        _ => false,
    }
}
