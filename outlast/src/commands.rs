//! One module for each command, named as users type it.

mod adopt;
mod approve;
pub(crate) mod audit;
mod ca;
mod cache;
mod config;
mod custody;
mod demo;
mod doctor;
mod drill;
mod drop;
mod enroll;
mod fetch;
mod gate;
mod handover;
mod incident;
mod inputs;
mod instance;
mod jobs;
mod keeping;
mod manual;
mod media;
mod plan;
mod promise;
mod repo;
mod report;
mod roles;
mod scrub;
mod share;
mod snapshots;
mod sources;
mod up;
mod vault_access;
mod workload;

use anyhow::Result;

use crate::exit::Code;
use crate::output::Output;
use crate::signals::Signals;

/// Every command, with its arguments.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Up(up::Args),
    Demo(demo::Args),
    Drop(drop::Args),
    Fetch(fetch::Args),
    Gate(gate::Args),
    #[command(subcommand)]
    Handover(handover::Command),
    #[command(subcommand)]
    Instance(instance::Command),
    #[command(subcommand)]
    Share(share::Command),
    #[command(subcommand)]
    Adopt(adopt::Command),
    #[command(subcommand)]
    Workload(workload::Command),
    #[command(subcommand)]
    Incident(incident::Command),
    #[command(subcommand)]
    Promise(promise::Command),
    Plan(plan::Args),
    Approve(approve::Args),
    Jobs(jobs::Args),
    #[command(subcommand)]
    Scrub(scrub::Command),
    #[command(subcommand)]
    Drill(drill::Command),
    Report(report::Report),
    Custody(custody::Args),
    #[command(subcommand)]
    Audit(audit::Command),
    #[command(subcommand)]
    Ca(ca::Command),
    Enroll(enroll::Args),
    Snapshots(snapshots::SnapshotsArgs),
    Ls(snapshots::LsArgs),
    Cat(snapshots::CatArgs),
    Restore(snapshots::RestoreArgs),
    #[command(subcommand)]
    Repo(repo::Command),
    #[command(subcommand)]
    Config(config::Command),
    Doctor(doctor::Args),
    Agent(roles::AgentArgs),
    Media(media::MediaArgs),
    Vault(roles::VaultArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
    /// What an instance of the demo runs to dump its SQLite database
    #[command(name = demo::DUMP_COMMAND, hide = true)]
    DemoDumpSqlite {
        path: std::path::PathBuf,
    },
}

/// Carries out a command. `whole` is the command line that it is a part of, for what describes it.
pub(crate) fn run(command: Command, whole: fn() -> clap::Command, output: &Output) -> Result<Code> {
    if !hears_signals(&command) {
        Signals::end_first_process()?;
    }
    match command {
        Command::Up(arguments) => up::run(&arguments, output),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Drop(arguments) => drop::run(&arguments, output),
        Command::Fetch(arguments) => fetch::run(&arguments, output),
        Command::Gate(arguments) => gate::run(&arguments, output),
        Command::Handover(command) => handover::run(&command, output),
        Command::Instance(command) => instance::run(&command, output),
        Command::Share(command) => share::run(command, output),
        Command::Adopt(command) => adopt::run(&command, output),
        Command::Workload(command) => workload::run(&command, output),
        Command::Incident(command) => incident::run(&command, output),
        Command::Promise(command) => promise::run(&command, output),
        Command::Plan(arguments) => plan::run(&arguments, output),
        Command::Approve(arguments) => approve::run(&arguments, output),
        Command::Jobs(arguments) => jobs::run(&arguments, output),
        Command::Report(report) => report::run(&report, output),
        Command::Drill(command) => drill::run(command, output),
        Command::Scrub(command) => scrub::run(command, output),
        Command::Custody(arguments) => custody::run(&arguments, output),
        Command::Audit(command) => audit::run(command, output),
        Command::Ca(command) => ca::run(&command, output),
        Command::Enroll(arguments) => enroll::run(&arguments, output),
        Command::Snapshots(arguments) => snapshots::snapshots(&arguments, output),
        Command::Ls(arguments) => snapshots::ls(&arguments, output),
        Command::Cat(arguments) => snapshots::cat(&arguments, output),
        Command::Restore(arguments) => snapshots::restore(&arguments, output),
        Command::Repo(command) => repo::run(command, output),
        Command::Config(command) => config::run(&command, output),
        Command::Doctor(arguments) => doctor::run(&arguments, output),
        Command::Agent(arguments) => roles::agent(&arguments),
        Command::Media(arguments) => media::run(&arguments, output),
        Command::Vault(arguments) => roles::vault(&arguments, output),
        Command::Completions(arguments) => manual::completions(&arguments, whole()),
        Command::Man(arguments) => manual::man(&arguments, whole()),
        Command::DemoDumpSqlite { path } => demo::dump_sqlite(&path),
    }
}

/// Whether a command catches signals itself, to end what it has begun.
fn hears_signals(command: &Command) -> bool {
    match command {
        Command::Up(_) | Command::Agent(_) | Command::Demo(_) => true,
        Command::Drop(_) | Command::Instance(_) => true,
        Command::Media(arguments) => arguments.is_the_role(),
        Command::Vault(arguments) => arguments.is_the_role(),
        Command::Repo(repo::Command::Backup(arguments)) => arguments.runs_a_command(),
        _ => false,
    }
}
