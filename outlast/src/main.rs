//! Outlast: backups that outlast the servers that made them.
//!
//! The binary is thin: it reads the command line and configuration, wires the crates together and
//! turns what they answer into words, JSON and exit codes. It is the only place that looks at the
//! environment, the terminal and the process's signals.

mod cli;
mod commands;
mod dump;
mod exit;
mod home;
mod log;
mod notify;
mod output;
mod passphrase;
mod paths;
mod processes;
mod prompt;
mod proxies;
mod settings;
mod signals;
mod snapshots;

use std::process::ExitCode;

use clap::CommandFactory;

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(ended) => return ended,
    };
    let output = output::Output::new(arguments.json, arguments.quiet);
    let outcome = commands::run(arguments.command, cli::Arguments::command, &output);
    exit::report(outcome, &output)
}
