//! An identity: whose it is, until when, and who can read its key.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use outlast_types::{Clock as _, SystemClock, human};
use outlast_wire::identity::IDENTITY_FILE;
use outlast_wire::names::Names;
use outlast_wire::{Identity, Role, Validity};

use super::finding::Finding;

/// Looks at the identity in `directory`, which should be of `role`, by `names` if its certificate names
/// nobody of ours.
pub(super) fn look(
    directory: &Path,
    names: &Names,
    role: Option<Role>,
    found: &mut Vec<Finding>,
) -> Option<Identity> {
    let identity = match Identity::load_by(directory, names) {
        Ok(identity) => identity,
        Err(error) => {
            let fix = "the directory of an identity has identity.pem, ca.pem and box.key; correct \
                       `identity`, or have one issued again";
            found.push(Finding::bad("certificate", error.to_string()).fix(fix));
            return None;
        }
    };
    let peer = identity.peer();
    if role.is_some_and(|role| role != peer.role()) {
        let wanted = role.map_or("", Role::as_str);
        let words = format!("{} is of {peer}, and this is the {wanted}'s", directory.display());
        let fix = format!("give it an identity of the role {wanted}, or correct `identity`");
        found.push(Finding::bad("role", words).fix(fix));
    }
    let validity = identity.validity();
    let mut finding = judged(&format!("the certificate of {peer}"), validity);
    if validity.trouble(SystemClock.now()).is_some() {
        finding = finding.fix(issued_again(directory, &identity));
    }
    found.push(finding);
    let file = directory.join(IDENTITY_FILE);
    let mode = std::fs::metadata(&file).map_or(0, |metadata| metadata.mode());
    if mode & 0o077 != 0 {
        let words = format!("{} is readable by others than its owner", file.display());
        found.push(
            Finding::warning("certificate", words).fix(format!("chmod 600 {}", file.display())),
        );
    }
    Some(identity)
}

/// How an identity of this host gets another certificate.
fn issued_again(directory: &Path, identity: &Identity) -> String {
    let (role, name) = (identity.peer().role(), identity.peer().name());
    format!(
        "set this host's clock if that is what is wrong (`timedatectl`). What ended less than 90 days ago is renewed as soon as \
         the vault is reached; else `outlast ca token --role {role} --name {name} --out FILE` where the vault is asked, and here \
         `outlast enroll --replace --token-file FILE --identity {}`: it is taken over without a restart",
        directory.display()
    )
}

/// How a certificate stands now.
pub(super) fn judged(whose: &str, validity: Validity) -> Finding {
    let now = SystemClock.now();
    let Validity { from, until } = validity;
    if let Some(trouble) = validity.trouble(now) {
        return Finding::bad("certificate", format!("{whose} {trouble}")).fix(
            "set this host's clock if that is what is wrong (`timedatectl`); else have the certificate \
             issued again",
        );
    }
    let left = until.since(now);
    let said = format!("{whose} is valid until {until}, for {} more", human::duration(left));
    if left < until.since(from) / 3 {
        return Finding::warning("certificate", said)
            .fix("less than a third of its life is left: renew it");
    }
    Finding::good("certificate", said)
}
