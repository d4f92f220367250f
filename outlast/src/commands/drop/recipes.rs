//! Drops that know their subject: how a database is read so that it can be loaded again.
//!
//! A recipe asks the server what it is, refuses what would be no backup, and lets the product's own
//! programs do the reading. It guesses nothing: what a recipe cannot do, `--exec` can.

mod advice;
mod feed;
mod files;
mod mysql;
mod postgres;
mod program;
mod redis;
mod scratch;
mod secrets;
mod sqlite;
mod version;

use anyhow::Result;

use crate::exit::Code;
use crate::output::Output;

/// The recipes, named as users type them.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Recipe {
    Postgres(Box<postgres::Args>),
    Mysql(Box<mysql::Args>),
    Sqlite(Box<sqlite::Args>),
    Redis(Box<redis::Args>),
    Files(Box<files::Args>),
}

/// Makes a drop by a recipe.
pub(super) fn run(recipe: &Recipe, output: &Output) -> Result<Code> {
    match recipe {
        Recipe::Postgres(arguments) => postgres::run(arguments, output),
        Recipe::Mysql(arguments) => mysql::run(arguments, output),
        Recipe::Sqlite(arguments) => sqlite::run(arguments, output),
        Recipe::Redis(arguments) => redis::run(arguments, output),
        Recipe::Files(arguments) => files::run(arguments, output),
    }
}
