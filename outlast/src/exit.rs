//! The end of every command: an exit code, and an error in words or as JSON.

use std::io::Write;
use std::process::ExitCode;

use outlast_drop::fetch::FetchError;
use outlast_repo::RepoError;
use outlast_store::StoreError;
use outlast_wire::api::client::CallError;
use serde_json::json;

use crate::output::Output;

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
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let code = code_of(&error);
            let hint = error.chain().find_map(|cause| Some(&cause.downcast_ref::<Advised>()?.hint));
            let mut standard_error = anstream::stderr();
            // Nobody is left to hear of a failure to tell of a failure.
            let _ = if output.is_json() {
                let document = json!({
                    "error": { "message": format!("{error:#}"), "hint": hint, "code": code as u8 }
                });
                writeln!(standard_error, "{document}")
            } else {
                let hint = hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
                writeln!(standard_error, "outlast: {error:#}{hint}")
            };
            ExitCode::from(code as u8)
        }
    }
}

/// The code for an error, by the typed cause in its chain.
fn code_of(error: &anyhow::Error) -> Code {
    for cause in error.chain() {
        let store = cause.downcast_ref::<StoreError>().or_else(|| {
            match cause.downcast_ref::<RepoError>() {
                Some(RepoError::Store(store)) => Some(store),
                _ => None,
            }
        });
        if let Some(StoreError::Refused { .. }) = store {
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

/// Whether the reader of our output went away (`outlast ls … | head`), which is its right.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
