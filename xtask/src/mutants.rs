//! `cargo xtask mutants`: whether the tests notice when what decides is changed.
//!
//! cargo-mutants changes one operator or one return value at a time and runs the tests; what no test
//! notices survives. Code that decides what is kept, published or paged for has next to no survivors,
//! and each of them is listed with its reason in `xtask/mutants.toml`.

mod judge;
mod targets;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::cargo;
use judge::{Outcome, judge};
use targets::Target;

pub(crate) const USAGE: &str = "\
  cargo xtask mutants [TARGET…]   change what decides, and see that the tests notice (all targets of
                                  xtask/mutants.toml; --jobs N for more than one at a time)";

/// How long one changed program is tested: it may wait for what never comes.
const TEST_SECONDS: &str = "120";

/// Runs the targets that are named, or all.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut jobs = "1".to_owned();
    let mut wanted = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--jobs" => jobs = arguments.next().context("--jobs needs a number")?.clone(),
            name => wanted.push(name),
        }
    }
    let list = root.join(targets::LIST);
    let list = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    let targets = targets::parse(&list)?;
    if let Some(name) = wanted.iter().find(|name| !targets.contains_key(**name)) {
        let known: Vec<_> = targets.keys().map(String::as_str).collect();
        bail!("there is no target {name}; there are {}", known.join(", "));
    }
    install_missing(root)?;
    let mut found = Vec::new();
    for (name, target) in &targets {
        if wanted.is_empty() || wanted.contains(&name.as_str()) {
            println!("\n== {name}");
            let outcome = measure(root, name, target, &jobs)?;
            println!("{name}: {outcome}");
            found.extend(judge(target, &outcome).into_iter().map(|line| format!("{name}: {line}")));
        }
    }
    ensure!(found.is_empty(), "{} things are not right:\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// Runs cargo-mutants over the files of a target.
fn measure(root: &Path, name: &str, target: &Target, jobs: &str) -> Result<Outcome> {
    let output = root.join("target/mutants").join(name);
    fs::create_dir_all(&output).context("make a directory for the results")?;
    let mut command = cargo_mutants(root)?;
    command.args(["mutants", "--no-shuffle", "--colors", "never", "--test-tool", "nextest"]);
    command.args(["--jobs", jobs, "--timeout", TEST_SECONDS, "--package", &target.package]);
    command.arg("--output").arg(&output);
    for file in &target.files {
        command.args(["--file", file]);
    }
    for file in &target.exclude {
        command.args(["--exclude", file]);
    }
    // It is built again for each change, which takes longer than its tests save by being fast.
    let quick_to_build = format!("--config=profile.dev.package.{}.opt-level=0", target.package);
    command.arg("--cargo-arg").arg(quick_to_build);
    if jobs == "1" {
        // Each run works in a copy of the checkout; what others wrote is built once for all runs.
        command.env("CARGO_TARGET_DIR", root.join("target/mutants/build"));
    }
    command.arg("--").args(&target.tests);
    let status = command.current_dir(root).status().context("start cargo mutants")?;
    // Survivors and changes that never came to an end are judged later, by the lists.
    ensure!(matches!(status.code(), Some(0 | 2 | 3)), "cargo mutants failed: {status}");
    let read = |kind: &str| {
        let path = output.join("mutants.out").join(kind);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    Ok(Outcome::parse(&read("caught.txt")?, &read("timeout.txt")?, &read("missed.txt")?))
}

/// Builds cargo-mutants into the target folder, where it is the next time, too.
fn install_missing(root: &Path) -> Result<()> {
    let version = cargo_mutants(root)?.args(["mutants", "--version"]).output();
    if version.context("start cargo")?.status.success() {
        return Ok(());
    }
    println!("installing cargo-mutants");
    let tools = root.join("target/tools");
    let status = cargo()
        .args(["install", "--quiet", "--locked", "cargo-mutants", "--root"])
        .arg(&tools)
        .arg("--target-dir")
        .arg(tools.join("build"))
        .status()
        .context("start cargo install")?;
    ensure!(status.success(), "cargo-mutants could not be installed");
    fs::remove_dir_all(tools.join("build")).context("remove what was built on the way")
}

/// `cargo` that finds the tools of the target folder.
fn cargo_mutants(root: &Path) -> Result<Command> {
    let tools = root.join("target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(tools).chain(std::env::split_paths(&path));
    let mut command = cargo();
    command.env("PATH", std::env::join_paths(paths).context("set the search path")?);
    Ok(command)
}
