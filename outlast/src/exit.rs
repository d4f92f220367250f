//! The end of every command: an exit code, and an error in words or as JSON.

use std::io::Write;
use std::process::ExitCode;

use outlast_drop::fetch::FetchError;
use outlast_fs::place::PlaceError;
use outlast_repo::RepoError;
use outlast_store::StoreError;
use outlast_wire::api::client::CallError;
use serde_json::json;

use crate::output::{Closed, Output};

/// How a command ended; the numbers are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Done = 0,
    Failed = 1,
    /// What was waited for has not come (yet).
    NotYet = 3,
    /// Policy or the role forbids it.
    Refused = 4,
}

/// An error with the word what to do next, where the error itself cannot know it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Advised {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Tells how it ended and turns that into the exit code.
pub(crate) fn report(outcome: anyhow::Result<Code>, output: &Output) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code as u8),
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            let code = code_of(&error);
            let (message, hint) = (message(&error), hint(&error));
            let mut standard_error = anstream::stderr();
            // Nobody is left to hear of a failure to tell of a failure.
            let _ = if output.is_json() {
                let document = json!({
                    "error": { "message": message, "hint": hint, "code": code as u8 }
                });
                writeln!(standard_error, "{document}")
            } else {
                let hint = hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
                writeln!(standard_error, "outlast: {message}{hint}")
            };
            ExitCode::from(code as u8)
        }
    }
}

/// The error and its causes as one sentence. A cause whose words an error above it has already
/// used is not told twice.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let cause = cause.trim_end();
        if message.is_empty() {
            message.push_str(cause);
        } else if !message.contains(cause) {
            message.push_str(": ");
            message.push_str(cause);
        }
    }
    message
}

/// What to do next, where the user can do something that the message does not say.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(advised) = cause.downcast_ref::<Advised>() {
            return Some(advised.hint.clone());
        }
        let place = cause.downcast_ref::<PlaceError>().or_else(|| {
            match (cause.downcast_ref::<RepoError>(), cause.downcast_ref::<FetchError>()) {
                (Some(RepoError::Place(place)), _) | (_, Some(FetchError::Place(place))) => {
                    Some(place)
                }
                _ => None,
            }
        });
        let restores = matches!(cause.downcast_ref(), Some(RepoError::Place(_)));
        let hint = if let (Some(PlaceError::NotEmpty { .. }), true) = (place, restores) {
            "To write into it all the same, replacing entries of the same name, add --overwrite; \
             --resume goes on with a restore that was interrupted."
        } else if let Some(PlaceError::NotEmpty { .. }) = place {
            "To write into it all the same, replacing entries of the same name, add --overwrite."
        } else if let Some(FetchError::NotYet { .. }) = cause.downcast_ref() {
            "`outlast share status` tells what is there; --timeout waits for a drop to come."
        } else if let Some(RepoError::WrongPassword { .. }) = cause.downcast_ref() {
            "The password comes from OUTLAST_PASSWORD, or from the file after --password-file."
        } else if let Some(RepoError::NoRemoval { .. }) = cause.downcast_ref() {
            "A vault removes by its own policy, and only that; where the repository is a directory, \
             run this on its host."
        } else if is_refused(cause) {
            "Give an identity whose role may do this, such as operator."
        } else if let Some(CallError::Refused { status: 404, .. }) = cause.downcast_ref() {
            "`outlast workload list` names the workloads that the vault knows."
        } else if let Some("repository_missing") = code_of_call(cause) {
            "`outlast workload list` shows the incident; if the repository is lost for good, \
             `outlast workload recreate` begins a new one."
        } else if let Some(CallError::Unreachable { .. }) = cause.downcast_ref() {
            "Is the vault running? On this host, `outlast up` with the same --dir starts it."
        } else {
            return None;
        };
        Some(hint.to_owned())
    })
}

/// The code with which a vault says why it does not do what it was asked.
fn code_of_call<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    cause.downcast_ref::<CallError>()?.code()
}

/// Whether a store refused the verb to this identity.
fn is_refused(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        (cause.downcast_ref::<StoreError>(), cause.downcast_ref::<RepoError>()),
        (Some(StoreError::Refused { .. }), _)
            | (_, Some(RepoError::Store(StoreError::Refused { .. })))
            | (_, Some(RepoError::NoRemoval { .. }))
    )
}

/// The code for an error, by the typed cause in its chain.
fn code_of(error: &anyhow::Error) -> Code {
    for cause in error.chain() {
        if is_refused(cause) || matches!(cause.downcast_ref(), Some(RepoError::Locked { .. })) {
            return Code::Refused;
        }
        if let Some(CallError::Refused { status: 401 | 403, .. }) = cause.downcast_ref() {
            return Code::Refused;
        }
        if let Some(FetchError::NotYet { .. }) = cause.downcast_ref() {
            return Code::NotYet;
        }
    }
    Code::Failed
}
