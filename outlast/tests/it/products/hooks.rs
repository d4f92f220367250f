//! The hooks of a Bacula job, and the command that asks its director.

use std::path::Path;
use std::process::Command;

use outlast_fs::durable;

use super::desk::World;
use crate::harness::outlast;

/// `outlast handover confirm` with an agent.toml.
pub(crate) fn confirm(config: &Path) -> Command {
    let mut command = outlast();
    command.args(["handover", "confirm", "product", "--config"]).arg(config);
    command
}

/// Writes the scripts and gives the job's lines that name them. After its own work, each does what the test adds.
pub(crate) fn hooks(world: &World, after_begin: &str, after_end: &str) -> String {
    let scripts = world.path().join("hooks");
    durable::create_directories(&scripts, 0o755).unwrap();
    let (outlast, directory) = (env!("CARGO_BIN_EXE_outlast"), world.directory());
    let (scripts, directory) = (scripts.display(), directory.display());
    let write = |name: &str, text: String| {
        let path = format!("{scripts}/{name}");
        durable::replace(Path::new(&path), text.as_bytes(), 0o755).unwrap();
    };
    write(
        "begin",
        format!(
            "#!/bin/sh\n'{outlast}' handover begin --directory '{directory}' --job \"$1\" --policy \"$2\" --type \"$3\" \
             --client \"$4\" || exit 1\n{after_begin}\nexit 0\n"
        ),
    );
    write(
        "end",
        format!(
            "#!/bin/sh\nstatus=2\n[ \"$2\" = OK ] && status=0\n\
             '{outlast}' handover end --directory '{directory}' --job \"$1\" --status $status\n{after_end}\nexit 0\n"
        ),
    );
    format!(
        "Client Run Before Job = \"{scripts}/begin %i %n %l %c\"\nClient Run After Job = \"{scripts}/end %i %e\"\n\
         RunScript {{\nRunsWhen = After\nRunsOnClient = yes\nRunsOnSuccess = no\nRunsOnFailure = yes\n\
         Command = \"{scripts}/end %i %e\"\n}}"
    )
}
