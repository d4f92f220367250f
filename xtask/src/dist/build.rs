//! The program that is handed out: built the same way wherever the checkout and cargo's directory lie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cargo::cargo;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds it, and says where it is.
pub(super) fn release(root: &Path) -> Result<PathBuf> {
    let directory = root.join("target/dist/build");
    let cargo_home = cargo_home().context("there is neither CARGO_HOME nor HOME")?;
    // Paths stand in messages of panics and in lines of backtraces, whose names stay in the program: a report from
    // somebody's night is of use then. What debuggers want besides is left out.
    let places = [(cargo_home.as_path(), "/cargo"), (root, "/outlast")];
    let shown = |option: &str| -> Vec<String> {
        let each = places.iter().map(|(from, to)| format!("{option}={}={to}", from.display()));
        each.collect()
    };
    let mut command = cargo();
    command
        .args(["build", "--release", "--locked", "--package", "outlast", "--bin", "outlast"])
        .args(["--target", TARGET, "--config", "profile.release.strip='debuginfo'"])
        .arg("--target-dir")
        .arg(&directory)
        .current_dir(root)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", shown("--remap-path-prefix").join("\u{1f}"))
        .env("CFLAGS", shown("-ffile-prefix-map").join(" "))
        .env("CARGO_INCREMENTAL", "0");
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "cargo could not build the release");
    Ok(directory.join(TARGET).join("release/outlast"))
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}
