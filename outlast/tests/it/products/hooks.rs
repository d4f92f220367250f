//! The hooks of a Bacula job, and the command that asks its director.

use std::path::Path;
use std::process::Command;

use crate::harness::{outlast, succeed};

/// `outlast handover confirm` with an agent.toml.
pub(crate) fn confirm(config: &Path) -> Command {
    let mut command = outlast();
    command.args(["handover", "confirm", "product", "--config"]).arg(config);
    command
}

/// Has the scripts of a product written that reads `directory`.
pub(crate) fn write_hooks(product: &str, directory: &Path, into: &Path, more: &[&str]) {
    let mut command = outlast();
    command.args(["handover", "hooks", product, "--directory"]).arg(directory);
    succeed(command.arg("--into").arg(into).args(more));
}

/// The lines of a job of Bacula that name the scripts, and after them what a test runs besides at the beginning and the end,
/// each in a line of a shell.
pub(crate) fn hooks(temporary: &Path, directory: &Path, begin: &str, end: &str) -> String {
    let scripts = temporary.join("hooks");
    write_hooks("bacula", directory, &scripts, &[]);
    let mut lines = std::fs::read_to_string(scripts.join("outlast-bacula-job.conf")).unwrap();
    for (when, more) in [("Before", begin), ("After", end)] {
        let name = format!("{}/test-{when}", scripts.display());
        let text = format!("#!/bin/sh\n{more}\nexit 0\n");
        outlast_fs::durable::replace(Path::new(&name), text.as_bytes(), 0o755).unwrap();
        lines.push_str(&format!(
            "RunScript {{\nRunsWhen = {when}\nRunsOnClient = yes\nFailJobOnError = yes\nCommand = \"{name}\"\n}}\n"
        ));
    }
    lines
}
