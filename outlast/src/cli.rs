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
  outlast up                                     all roles and a share on this host
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

    /// The words of a line as a shell takes them, without anything that it would fill in.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), letter) if open == letter => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (None, ' ') => words.extend(word.take()),
                (None, '#') if word.is_none() => break,
                (_, letter) => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word);
        words
    }

    /// The command lines of ours in a page: in blocks of shell, in units and in manifests.
    fn command_lines(page: &str) -> Vec<Vec<String>> {
        let joined = page.replace("\\\n", " ");
        let mut found = Vec::new();
        let mut is_block = false;
        for line in joined.lines() {
            let line = line.trim().trim_start_matches("- ");
            if line.starts_with("```") {
                is_block = !is_block;
            } else if let Some(list) = line.strip_prefix("command: [outlast, ") {
                let list = list.trim_end_matches(']').split(", ").map(str::to_owned);
                found.push(std::iter::once("outlast".to_owned()).chain(list).collect());
            } else {
                let line = line.strip_prefix("ExecStart=/usr/bin/").unwrap_or(line);
                if is_block && line.starts_with("outlast ") {
                    found.push(words(line));
                }
            }
        }
        found
    }

    #[test]
    fn every_command_line_that_instances_are_told_to_run_is_understood() {
        let lines = command_lines(include_str!("../../docs/instances.md"));
        assert!(lines.len() >= 12, "{lines:?}");
        for line in lines {
            // What the shell fills in.
            let id = "019c1234-5678-7abc-8def-0123456789ab";
            let filled = line.iter().map(|word| word.replace("$POD", "shop-0").replace("$id", id));
            if let Err(error) = Arguments::try_parse_from(filled) {
                panic!("{line:?}: {error}");
            }
        }
    }

    #[test]
    fn every_example_of_a_recipe_is_understood() {
        let mut all = <Arguments as clap::CommandFactory>::command();
        let drop = all.find_subcommand_mut("drop").unwrap();
        for recipe in drop.get_subcommands() {
            let help = recipe.get_after_help().unwrap().to_string().replace("\\\n", " ");
            let lines: Vec<&str> = help
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with("outlast drop"))
                .collect();
            assert!(!lines.is_empty(), "{} has no example", recipe.get_name());
            for line in lines {
                if let Err(error) = Arguments::try_parse_from(words(line)) {
                    panic!("{line}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_recipe_is_the_first_word_and_a_path_of_its_name_is_written_as_one() {
        let parse = |line: &str| Arguments::try_parse_from(words(line));
        assert!(parse("outlast drop postgres --share s --workload w").is_ok());
        assert!(parse("outlast drop --share s --workload w ./postgres").is_ok());
        assert!(parse("outlast drop postgres").is_err(), "share and workload are required");
        assert!(parse("outlast drop --share s --workload w").is_err());
    }

    #[test]
    fn a_word_of_the_command_line_cannot_forge_a_line() {
        let words = ["--color=x\nerror: all is well\u{1b}[8m".to_owned()];
        let said = harmless("error: 'x\nerror: all is well' is bad\n\nUsage: …\n", &words);
        assert_eq!(said, "error: 'x\\nerror: all is well\\u{1b}[8m' is bad\n\nUsage: …\n");
    }
}
