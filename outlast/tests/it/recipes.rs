//! Recipes on real servers: drop → vault → restore → load → compare, and what is refused.

mod mysql;
mod postgres;
mod redis;
mod sqlite;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Up, document, outlast, succeed};

/// `outlast drop RECIPE` to a share.
fn recipe(share: &Path, name: &str) -> Command {
    let mut command = outlast();
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if ["PG", "MYSQL", "REDIS"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    command.args(["drop", name, "--workload", "db", "--share"]).arg(share);
    command
}

/// An empty share.
fn share(directory: &Path) -> PathBuf {
    let share = directory.join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    share
}

/// What came back from the vault.
struct Back {
    target: PathBuf,
    /// The drop's source, as the vault recorded it.
    source: Value,
    /// What the command said of the drop.
    said: Value,
}

impl Back {
    /// A file or directory of the restored tree, wherever it was put.
    #[track_caller]
    fn find(&self, name: &str) -> PathBuf {
        let found = succeed(Command::new("find").arg(&self.target).args(["-name", name]));
        let mut lines = found.lines();
        let path = lines.next().unwrap_or_else(|| panic!("no {name} in {:?}", self.target));
        assert_eq!(lines.next(), None, "{name} is there twice");
        PathBuf::from(path)
    }
}

/// Drops by `command`, waits for the vault and restores from there.
#[track_caller]
fn there_and_back(up: &mut Up, command: &mut Command) -> Back {
    let said = document(command.arg("--json"));
    let drop = said["drop"].as_str().unwrap().to_owned();
    let receipt = up.wait_for_receipt("db", &drop, "vaulted");
    let target = up.dir.with_file_name(format!("back-{drop}"));
    let snapshot = receipt["snapshot"].as_str().unwrap();
    let restore = ["restore", "db", "--snapshot", snapshot, "--into"];
    succeed(up.ask(&restore).arg(&target));
    let snapshots = document(up.ask(&["snapshots", "db", "--json"]).args::<[&str; 0], _>([]));
    let snapshots = snapshots.as_array().or_else(|| snapshots["snapshots"].as_array()).unwrap();
    let of_drop = |it: &&Value| it["drop"] == drop.as_str();
    let source = snapshots.iter().find(of_drop).unwrap()["claims"]["source"].clone();
    Back { target, source, said }
}
