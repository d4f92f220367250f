//! One watch on a host: of two, each would make a drop, and the first to end would let the instance end under the other.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use outlast_fs::lock::DirectoryLock;

use crate::output::Output;

/// Where the lock is if nobody says otherwise: gone after a reboot, and root's alone.
const USUAL: &str = "/run/outlast-instance.lock";

/// Takes the lock of this host's watch. It is given back when it goes out of scope, also by kill -9.
///
/// # Errors
/// If another watch has it, or if the file that was named cannot be one. Where the usual one cannot be made, as for
/// users that are not root, nothing but a remark tells so: a final drop is worth more.
pub(super) fn take(named: Option<&Path>, output: &Output) -> Result<Option<DirectoryLock>> {
    let path = named.map_or_else(|| PathBuf::from(USUAL), Path::to_owned);
    let (Some(directory), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(anyhow!("--lock {} is no name of a file", path.display()));
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    match DirectoryLock::take(directory, name) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(anyhow!(
            "another `outlast instance watch` runs on this host ({} is taken): one makes all final drops, since the \
             platform is told once; let its command make both",
            path.display()
        )),
        Err(error) if named.is_some() => Err(error.into()),
        Err(error) => {
            output.remark(format_args!(
                "{error}: a second watch on this host would not be noticed; --lock FILE names another place"
            ));
            Ok(None)
        }
    }
}
