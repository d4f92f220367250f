//! The roles of the rehearsal get their certificates as hosts do: by a token each.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::stage::{Stage, words};

/// Those that ask the vault; the vault itself issues.
const ROLES: [&str; 2] = ["agent", "operator"];

/// Has a token made for each role of the `up` in this directory, and enrols it in place of what `up`
/// issued by itself. What runs takes the new identity up by itself.
pub(super) fn by_token(stage: &Stage, up: &Path) -> Result<()> {
    for role in ROLES {
        let token = stage.path(&format!("{role}.token"));
        let identity = up.join("identity").join(role);
        let mut make = words(&["ca", "token", "--name", "up", "--ttl", "10m", "--role", role]);
        make.extend([OsStr::new("--out"), token.as_os_str(), OsStr::new("--dir"), up.as_os_str()]);
        stage.run(&make)?;
        let mut enroll = words(&["enroll", "--replace", "--token-file"]);
        enroll.extend([token.as_os_str(), OsStr::new("--identity"), identity.as_os_str()]);
        stage.run(&enroll)?;
        fs::remove_file(&token).with_context(|| format!("remove {}", token.display()))?;
    }
    Ok(())
}
