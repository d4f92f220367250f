//! Developer chores: `cargo xtask test`.

mod peers;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "Usage: cargo xtask test [ARGUMENTS FOR THE TEST RUNNER…]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("test") => test(&arguments.collect::<Vec<_>>()),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Installs the peers that tests run against, then runs all tests.
///
/// Always of the whole workspace: building packages one by one would build their dependencies
/// again with other features.
fn test(arguments: &[String]) -> Result<()> {
    peers::install_missing()?;
    let nextest = Command::new("cargo").args(["nextest", "--version"]).output();
    let mut command = Command::new("cargo");
    match nextest {
        Ok(output) if output.status.success() => command.args(["nextest", "run", "--workspace"]),
        _ => command.args(["test", "--workspace"]),
    };
    let status = command.args(arguments).status().context("start cargo")?;
    if !status.success() {
        bail!("some tests failed");
    }
    Ok(())
}
