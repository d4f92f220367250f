//! Advice for whoever brings a vault back.

use outlast_vault::{KitError, RecoverError, StartError};

/// What to do where a kit cannot be used, or a vault cannot be brought back.
pub(super) fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let of_start = |error: &StartError| {
        let is_begun = matches!(error, StartError::BeingRecovered { .. });
        is_begun.then_some("Run the same `outlast vault recover` again: it begins anew by itself.")
    };
    let of_kit = |error: &KitError| match error {
        KitError::WrongPassphrase { .. } => {
            Some("It is the passphrase with which `outlast ca kit` made this kit; blanks count.")
        }
        KitError::NotAKit { .. } => Some("`outlast ca kit` makes one; --kit names its directory."),
        KitError::Vault(error) => of_start(error),
        _ => None,
    };
    if let Some(error) = cause.downcast_ref::<StartError>() {
        return of_start(error);
    }
    if let Some(error) = cause.downcast_ref::<KitError>() {
        return of_kit(error);
    }
    match cause.downcast_ref::<RecoverError>()? {
        RecoverError::Kit(error) => of_kit(error),
        RecoverError::Vault(error) => of_start(error),
        RecoverError::OtherVault { .. } => Some(
            "Look for the newest kit; its page says of which vault it is, and when it was made.",
        ),
        RecoverError::Missing { .. } => Some(
            "Mount or copy them there. --accept-missing goes on without them: the vault then has an \
             incident for each, until it is there again.",
        ),
        RecoverError::Misfits { .. } => Some(
            "They are of another vault, or damaged: move them elsewhere, and look at them with \
             `outlast repo check`.",
        ),
        RecoverError::NoState { .. } => Some(
            "It is the directory .vault beside the others. --without-state goes on with the kit alone: \
             when drops came, what operators ordered and the audit log are lost then.",
        ),
        _ => None,
    }
}
