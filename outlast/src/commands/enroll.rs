//! `outlast enroll`: a host gets its first certificate, by a token.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use outlast_fs::durable;
use outlast_types::{Clock as _, SystemClock, SystemRandom};
use outlast_wire::client::enroll::enroll;
use outlast_wire::enrollment::Token;
use outlast_wire::identity::IDENTITY_FILE;
use outlast_wire::trust::RENEWABLE;
use outlast_wire::{Identity, waiting_keys};
use serde_json::json;
use zeroize::Zeroizing;

use crate::exit::{Advised, Code};
use crate::output::{Output, whole_seconds};
use crate::proxies::roads;

/// A longer file is no token.
const TOKEN_BYTES_MAX: u64 = 64 << 10;
const STANDARD_INPUT: &str = "-";

/// Get this host's first certificate, by a token of an operator
///
/// Makes the keys, which never leave this host, and asks the vault for a certificate. The token's secret
/// is not sent: it proves the request. The vault is believed only if it shows the authority that the
/// token names. Run it again if the answer was lost: the same keys get the same certificate.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A directory that holds an identity already is left as it is. If that identity is good, or can
still be renewed, this ends well without asking for anything, so it may stand in a script that runs at
each boot. --replace gets a new one in its place; with a reusable token, that revokes the one before.

Examples:
  outlast enroll --token-file /run/secrets/outlast-token --identity /etc/outlast/agent
  ssh operator@admin 'outlast ca token --role agent --name eu-1 …' | outlast enroll --token-file - --identity id"
)]
pub(crate) struct Args {
    /// The file with the token, or - for standard input
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The directory of the identity; made if missing
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
    /// Ask the vault, or the media server, at this address instead of those in the token
    #[arg(long, value_name = "URL")]
    vault: Option<String>,
    /// Replace the identity that is there
    #[arg(long)]
    replace: bool,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let directory = &arguments.identity;
    let before = present(directory)?;
    if let Some(before) = before.as_ref().filter(|_| !arguments.replace) {
        let now = SystemClock.now();
        // Its role renews one that ended not long ago.
        if now >= before.validity().from && now.since(before.validity().until) <= RENEWABLE {
            tell(before, directory, "has an identity already", output)?;
            return Ok(Code::Done);
        }
        let (peer, until) = (before.peer(), before.validity().until);
        return Err(Advised {
            message: format!(
                "there is an identity of {peer} in {}, valid until {until}, and it is not replaced",
                directory.display()
            ),
            hint: "To get another one in its place, add --replace.".to_owned(),
        }
        .into());
    }
    let token = token(&arguments.token_file)?;
    let token = match &arguments.vault {
        Some(address) => token.at(vec![address.clone()]),
        None => token,
    };
    let pending = waiting_keys::take_up(directory, before.as_ref(), &SystemRandom)?;
    let roads = roads()?;
    let whom = token.addresses().join(", ");
    let identity = output.patiently(&whom, || enroll(&token, pending, &SystemClock, &roads))?;
    identity.save(directory)?;
    waiting_keys::forget(directory);
    tell(&identity, directory, "is enrolled", output)?;
    Ok(Code::Done)
}

/// The identity that is there; what is there and cannot be read is not taken for nothing.
fn present(directory: &Path) -> Result<Option<Identity>> {
    let path = directory.join(IDENTITY_FILE);
    match path.try_exists() {
        Ok(true) => Ok(Some(Identity::load(directory)?)),
        Ok(false) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

fn token(path: &Path) -> Result<Token> {
    let content = if path == Path::new(STANDARD_INPUT) {
        let mut content = Zeroizing::new(Vec::new());
        io::stdin()
            .take(TOKEN_BYTES_MAX)
            .read_to_end(&mut content)
            .context("cannot read the token from standard input")?;
        content
    } else {
        let content = durable::read_bounded(path, TOKEN_BYTES_MAX).map(Zeroizing::new);
        content.with_context(|| format!("cannot read the token in {}", path.display()))?
    };
    let shown = if path == Path::new(STANDARD_INPUT) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let Ok(text) = std::str::from_utf8(&content) else { bail!("{shown} holds no token") };
    Token::from_text(text).with_context(|| format!("{shown} holds no good token"))
}

fn tell(identity: &Identity, directory: &Path, what: &str, output: &Output) -> Result<()> {
    let (peer, until) = (identity.peer(), identity.validity().until);
    if output.is_json() {
        return output.json(&json!({
            "identity": directory,
            "role": peer.role(),
            "name": peer.name(),
            "until": until,
            "workloads": identity.grants(),
        }));
    }
    output.line(format_args!(
        "{} {what}: {peer}, {}, until {}",
        directory.display(),
        identity.grants(),
        whole_seconds(until)
    ))
}
