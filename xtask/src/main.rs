//! Developer chores: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask mutants`,
//! `cargo xtask bench`, `cargo xtask lab`, `cargo xtask dist`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for terminals")]

mod bench;
mod cargo;
mod dist;
mod lab;
mod mutants;
mod peers;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "Usage:
  cargo xtask test [ARGUMENTS…]   install the peers that are missing, and run all tests
  cargo xtask tidy                check the rules of the house
  cargo xtask tidy --circles      show the modules that import from each other in a circle
  cargo xtask tidy --floors       show the lowest order of modules that imports allow";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("test") => test(&arguments.collect::<Vec<_>>()),
        Some("tidy") => match arguments.next().as_deref() {
            None => tidy(),
            Some("--circles") => circles(),
            Some("--floors") => floors(),
            Some(_) => Err(anyhow::anyhow!("{USAGE}")),
        },
        Some("bench") => root().and_then(|root| bench::run(root, &arguments.collect::<Vec<_>>())),
        Some("dist") => root().and_then(|root| dist::run(root, &arguments.collect::<Vec<_>>())),
        Some("lab") => root().and_then(|root| lab::run(root, &arguments.collect::<Vec<_>>())),
        Some("mutants") => {
            root().and_then(|root| mutants::run(root, &arguments.collect::<Vec<_>>()))
        }
        _ => {
            let (of_drop, of_lab) = (bench::DROP_USAGE, lab::USAGE);
            let (of_mutants, of_bench, of_dist) = (mutants::USAGE, bench::USAGE, dist::USAGE);
            Err(anyhow::anyhow!(
                "{USAGE}\n{of_dist}\n{of_mutants}\n{of_bench}\n{of_drop}\n{of_lab}"
            ))
        }
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
    peers::install_missing(root()?)?;
    say_what_is_skipped();
    let nextest = cargo::cargo().args(["nextest", "--version"]).output();
    let mut command = cargo::cargo();
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

/// What this machine, or this container, has no right to do. Tests that pass say nothing.
fn say_what_is_skipped() {
    if let Some(obstacle) = outlast_testing::lab::obstacle() {
        println!("SKIPPED, REAL NFS AND SMB ARE NOT TESTED: {obstacle}");
    }
    if let Some(obstacle) = outlast_testing::hostile::obstacle() {
        println!("SKIPPED, NO HOSTILE FILE SERVER IS TRIED: {obstacle}");
    }
}

/// The checkout.
fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("find the checkout")
}

fn tidy() -> Result<()> {
    let found = tidy::violations(root()?)?;
    if found.is_empty() {
        return Ok(());
    }
    bail!("{} things are not tidy:\n{}", found.len(), found.join("\n"));
}

fn circles() -> Result<()> {
    let found = tidy::circles(root()?)?;
    for circle in &found {
        println!("{circle}\n");
    }
    println!("{} circles", found.len());
    Ok(())
}

fn floors() -> Result<()> {
    for floors in tidy::floors(root()?)? {
        println!("{floors}");
    }
    Ok(())
}
