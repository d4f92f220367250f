//! Cargo, called from within cargo.

use std::ffi::OsStr;
use std::process::Command;

/// What cargo tells a program that it runs of that program's package. Build scripts of other packages
/// say that they read variables of these names: whoever hands them on has those packages, and all that
/// stand on them, built again at each change between `cargo` and `cargo xtask`.
const OF_THE_CALLER: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];

/// The cargo that runs this program, as if it were called by hand.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let of_the_caller = |name: &OsStr| OF_THE_CALLER.iter().any(|of| begins_with(name, of));
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_the_caller(name)) {
        command.env_remove(name);
    }
    command
}

fn begins_with(name: &OsStr, beginning: &str) -> bool {
    name.as_encoded_bytes().starts_with(beginning.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_cargo_hears_nothing_of_the_package_that_calls_it() {
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "tests run by cargo");
        let command = cargo();
        let handed_on =
            |name: &str| command.get_envs().all(|(it, value)| it != name || value.is_some());
        assert!(!handed_on("CARGO_PKG_NAME") && !handed_on("CARGO_MANIFEST_DIR"));
        assert!(handed_on("CARGO_TARGET_DIR") && handed_on("CARGO_PROFILE_DEV_DEBUG"));
    }
}
