//! The command line as a whole; each command's arguments are beside the command.

use std::io::Write as _;
use std::process::ExitCode;

use anstream::adapter::strip_str;
use clap::Parser;
use clap::error::ErrorKind;
use serde_json::json;

use crate::commands::Command;
use crate::exit::Code;
use crate::output::{plain, plain_json};

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

/// Reads the command line; else how the process ends: with usage on standard error and exit code 2,
/// or after the help that was asked for.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let error = match Arguments::try_parse() {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .take_while(|word| word != "--")
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    // Nobody is left to hear of it if it cannot be printed.
    let _ = if !error.use_stderr() {
        error.print()
    } else if words.iter().any(|word| word == "--json") {
        writeln!(anstream::stderr(), "{}", document(&error))
    } else if words.iter().all(|word| plain(word) == word.as_str()) {
        error.print()
    } else {
        write!(anstream::stderr(), "{}", harmless(&error.render().to_string(), &words))
    };
    Err(ExitCode::from(if error.use_stderr() { Code::WrongUsage as u8 } else { Code::Done as u8 }))
}

/// A usage error as the JSON document that every other error is, too.
fn document(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Without a command, all that is said is the help.
    let (message, hint) = match text.split_once("Usage:") {
        Some((message, usage))
            if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            (one_line(message), format!("Usage: {}", one_line(usage)))
        }
        Some(_) => ("no command was given".to_owned(), "See --help.".to_owned()),
        None => (one_line(text), "See --help.".to_owned()),
    };
    let error = json!({ "message": message, "hint": hint, "code": Code::WrongUsage as u8 });
    plain_json(&json!({ "error": error }).to_string()).into_owned()
}

/// What the parser says, with the words of the command line that it quotes made harmless: a script
/// may have them from anywhere.
fn harmless(text: &str, words: &[String]) -> String {
    let values =
        words.iter().flat_map(|word| [Some(word.as_str()), word.split_once('=').map(|w| w.1)]);
    let text = values
        .flatten()
        .filter(|value| plain(value) != *value)
        // The parser takes escape codes out of what it quotes.
        .fold(text.to_owned(), |text, value| {
            text.replace(&strip_str(value).to_string(), &plain(value))
        });
    text.lines().map(|line| format!("{}\n", plain(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_command_line_cannot_forge_a_line() {
        let words = ["--color=x\nerror: all is well\u{1b}[8m".to_owned()];
        let said = harmless("error: 'x\nerror: all is well' is bad\n\nUsage: …\n", &words);
        assert_eq!(said, "error: 'x\\nerror: all is well\\u{1b}[8m' is bad\n\nUsage: …\n");
    }
}
