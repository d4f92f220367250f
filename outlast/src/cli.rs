//! The command line as a whole; each command's arguments are beside the command.

use clap::{Parser, Subcommand};

use crate::commands;

/// Backups that outlast the servers that made them
#[derive(Debug, Parser)]
#[command(name = "outlast", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  outlast demo                                   see a blue/green release rehearsed
  outlast up                                     agent, vault and share on this host
  outlast drop --share S --workload shop-db --exec shop.sql -- pg_dump shop
  outlast restore shop-db --dir ./outlast-data --into ./restored

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not yet, 4 refused by policy or role.")]
pub(crate) struct Arguments {
    /// Print results as JSON on standard output, and errors as JSON on standard error
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Print no progress and no remarks
    #[arg(long, short, global = true, display_order = 901)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Args),
    Demo(commands::demo::Args),
    Drop(commands::drop::Args),
    Fetch(commands::fetch::Args),
    #[command(subcommand)]
    Share(commands::share::Command),
    #[command(subcommand)]
    Workload(commands::workload::Command),
    Snapshots(commands::vault_reading::SnapshotsArgs),
    Ls(commands::vault_reading::LsArgs),
    Cat(commands::vault_reading::CatArgs),
    Restore(commands::vault_reading::RestoreArgs),
    #[command(subcommand)]
    Repo(commands::repo::Command),
    Agent(commands::roles::AgentArgs),
    Vault(commands::roles::VaultArgs),
    Completions(commands::manual::CompletionsArgs),
    Man(commands::manual::ManArgs),
    /// What an instance of the demo runs to dump its SQLite database
    #[command(name = commands::demo::DUMP_COMMAND, hide = true)]
    DemoDumpSqlite {
        path: std::path::PathBuf,
    },
}

/// Reads the command line; ends the process with usage on standard error and exit code 2, or with
/// the help that was asked for.
pub(crate) fn parse() -> Arguments {
    Arguments::parse()
}
