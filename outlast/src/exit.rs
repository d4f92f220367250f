//! The end of every command: an exit code, and an error in words or as JSON.

mod recovery;

use std::io::{self, Write};
use std::process::ExitCode;

use outlast_agent::answers::AskError;
use outlast_drop::fetch::FetchError;
use outlast_drop::{ShareError, WriteError};
use outlast_fs::place::PlaceError;
use outlast_handover::HandoverError;
use outlast_repo::RepoError;
use outlast_store::StoreError;
use outlast_wire::api::ErrorCode;
use outlast_wire::client::enroll::EnrollError;
use outlast_wire::client::{About, OpenError};
use outlast_wire::road::Tried;
use outlast_wire::{CallError, CertificateTrouble, RoadError};
use serde_json::json;

use crate::output::{Closed, Output, plain, plain_json};
use crate::settings::Flaws;
use crate::signals::Ended;

/// How a command ended; the numbers are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Done = 0,
    Failed = 1,
    /// The command line is not right.
    WrongUsage = 2,
    /// What was waited for has not come (yet), or what was saved has gaps that are named.
    Incomplete = 3,
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

/// A command line that does not say what is needed, where the parser cannot know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Tells how it ended and turns that into the exit code.
pub(crate) fn report(outcome: anyhow::Result<Code>, output: &Output) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code as u8),
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            let code = match error.downcast_ref::<Ended>() {
                Some(ended) => ended.caught.exit_code(),
                None => code_of(&error) as u8,
            };
            let (message, hint) = (message(&error), hint(&error));
            let mut standard_error = anstream::stderr();
            // Nobody is left to hear of a failure to tell of a failure.
            let _ = if output.is_json() {
                let document = json!({
                    "error": { "message": message, "hint": hint, "code": code }
                });
                writeln!(standard_error, "{}", plain_json(&document.to_string()))
            } else {
                let lines =
                    lines(&error, &message).chain(hint.iter().flat_map(|hint| hint.lines()));
                let lines: Vec<_> = lines.map(|line| plain(line).to_string()).collect();
                writeln!(standard_error, "outlast: {}", lines.join("\n"))
            };
            ExitCode::from(code)
        }
    }
}

/// The lines of a message. It is one, whatever a text from outside has in it, but for the mistakes of a
/// configuration, each of which has its own.
fn lines<'a>(error: &anyhow::Error, message: &'a str) -> impl Iterator<Item = &'a str> {
    let separator = if error.is::<Flaws>() { '\n' } else { '\0' };
    message.split(separator)
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
            "To write into it all the same, replacing entries of the same name, add --overwrite; --resume goes on \
             with what an earlier run left there."
        } else if let Some(ShareError::NotAShare { .. }) = share_error(cause) {
            "`outlast share init` makes a share of an empty directory, if there is none yet."
        } else if let Some(WriteError::NoRoom { .. }) = cause.downcast_ref() {
            "`outlast share status --workload W` tells what takes the room. Drops leave the share when the vault \
             holds them and the agent's `keep` allows; its `budget` and `share_budget` say how much there is."
        } else if is_full_share(cause) {
            "`outlast share clean` removes what dead writers and finished drops left behind."
        } else if let Some(hint) = fetch_hint(cause) {
            hint
        } else if cause.is::<Usage>() {
            "For more information, try '--help'."
        } else if let Some(io::ErrorKind::ReadOnlyFilesystem) = store_trouble(cause) {
            "The file system is mounted read-only: mount it writable, or look why it became so."
        } else if let Some(io::ErrorKind::PermissionDenied) = store_trouble(cause) {
            "This user may not do that there: look at the owner and mode of the repository's files."
        } else if let Some(hint) = recovery::hint(cause) {
            hint
        } else if let Some(hint) = cause.downcast_ref().and_then(repository_hint) {
            hint
        } else if call_error(cause).is_some_and(is_of_a_stranger) {
            "What answers there is no vault, or something on the way answers in its place: compare the \
             address with the vault's, and look at proxies and load balancers."
        } else if is_refused(cause) {
            "Give an identity whose role may do this, such as operator."
        } else if let Some(&ErrorCode::UnknownWorkload) =
            call_error(cause).and_then(CallError::code)
        {
            "`outlast workload list` names the workloads that the vault knows."
        } else if let Some(&ErrorCode::RepositoryMissing) =
            call_error(cause).and_then(CallError::code)
        {
            "`outlast workload list` shows the incident; if the repository is lost for good, \
             `outlast workload recreate` begins a new one."
        } else if let Some(trouble) = call_error(cause).and_then(CallError::certificate_trouble) {
            tls_hint(trouble)
        } else if let Some(road) =
            call_error(cause).and_then(CallError::road).or_else(|| road_of(cause))
        {
            road_hint(road)
        } else if let Some(CallError::Unable { .. }) = call_error(cause) {
            "The vault's log tells more; the same command may succeed later."
        } else if let Some(CallError::Unreachable { .. }) = call_error(cause) {
            "Is the vault running? On this host, `outlast up` with the same --dir starts it."
        } else {
            return None;
        };
        Some(hint.to_owned())
    })
}

/// What to do where no backup was to be had.
fn fetch_hint(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    match cause.downcast_ref() {
        Some(FetchError::NotYet { .. }) => {
            return Some(
                "`outlast share status` tells what is there; --timeout waits for a drop to come. With --ca, \
                 the vault is asked through the agent for what has left the share, if its policy lets it be \
                 had.",
            );
        }
        Some(FetchError::OnlySuspect { .. }) => {
            return Some(
                "--drop takes one of them all the same; `outlast share status` tells what is there. With \
                 --ca, the vault is asked through the agent for a better one, if its policy lets it be had.",
            );
        }
        _ => {}
    }
    match cause.downcast_ref()? {
        AskError::Refused { code: ErrorCode::FetchOff, .. } => Some(
            "`fetch = \"7d\"` in [workloads.NAME] of vault.toml lets instances of a workload have backups \
             back that are no older. An operator can restore it: `outlast restore`.",
        ),
        AskError::NotInTime { .. } => Some(
            "Does the agent run, and does it reach the vault? The same command goes on where this one \
             ended, with --resume; --timeout waits longer.",
        ),
        _ => None,
    }
}

/// What to do about a certificate that one side does not take.
pub(crate) fn tls_hint(trouble: &CertificateTrouble) -> &'static str {
    match trouble.about {
        About::Server => {
            "Compare the address with the vault's, and `ca.pem` of the identity with its authority."
        }
        About::Host => {
            "Use a name that the certificate has, or have it issued again with this name among its hosts."
        }
        About::Time => {
            "`timedatectl` shows and sets the clock; `outlast doctor` tells how it differs from the \
             vault's. On this host, `outlast up` renews its own certificates when it starts."
        }
        About::Ours => {
            "Use an identity that this vault's authority issued. On this host, `outlast up` renews its own \
             certificates when it starts."
        }
    }
}

/// What to do about a road that leads nowhere.
pub(crate) fn road_hint(error: &RoadError) -> &'static str {
    match error {
        RoadError::Name { .. } => {
            "Is the name spelled right, and does this host's name service know it? `getent ahosts NAME` asks \
             it; /etc/hosts can name it, too."
        }
        RoadError::Route { tried, .. } => match tried.first() {
            Some(tried) => tried_hint(tried),
            None => "Look at this host's network.",
        },
        RoadError::Proxy { status: Some(407), .. } => {
            "Put user and password into HTTPS_PROXY: http://user:password@proxy:3128"
        }
        RoadError::Proxy { .. } => {
            "The proxy must allow CONNECT to that host and port; NO_PROXY names what is reached without it."
        }
        RoadError::Handshake { .. } => {
            "Something on the way, or another program at that port, takes connections and is no vault: check \
             the port, and what stands between."
        }
    }
}

/// What to do about an address that gives no connection.
pub(crate) fn tried_hint(tried: &Tried) -> &'static str {
    match tried.kind {
        io::ErrorKind::ConnectionRefused => {
            "Nothing listens at that port, or a firewall says so: is the vault running, is it the right port? \
             On this host, `outlast up` with the same --dir starts it."
        }
        io::ErrorKind::TimedOut => {
            "Packets get lost: firewalls and security groups between must let this host reach that port, and \
             the vault's host must be up."
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "This host has no way there: look at its network, routes and VPN."
        }
        _ => "Look at this host's network and at the address.",
    }
}

/// Why there was no way to a repository.
fn road_of<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a RoadError> {
    let source = match (cause.downcast_ref::<StoreError>(), cause.downcast_ref::<RepoError>()) {
        (Some(StoreError::Io { source, .. } | StoreError::List { source, .. }), _)
        | (
            _,
            Some(RepoError::Store(StoreError::Io { source, .. } | StoreError::List { source, .. })),
        ) => source,
        _ => return None,
    };
    source.get_ref()?.downcast_ref()
}

/// What to do about a failure of the engine.
fn repository_hint(error: &RepoError) -> Option<&'static str> {
    if error.cache().is_some() {
        return Some("Free or repair that disk, or choose another directory with --cache-dir.");
    }
    Some(match error {
        RepoError::NotARepository { .. } => {
            "Check the address, or make a repository there with `outlast repo init`."
        }
        RepoError::WrongPassword { .. } => {
            "The password comes from --password-file or --password-command, else from the variables \
             of OUTLAST_PASSWORD, else from those of RESTIC_PASSWORD."
        }
        RepoError::NotWhole { .. } => "`outlast repo check` tells all that is wrong with it.",
        RepoError::Locked { .. } => {
            "If its holder is surely dead, `outlast repo unlock` removes the lock."
        }
        RepoError::CheckState { .. } => {
            "Name another file with --state, or check without --resume."
        }
        RepoError::NoRemoval { .. } => {
            "A vault removes by its own policy, and only that; where the repository is a directory, \
             run this on its host."
        }
        _ => return None,
    })
}

/// Why a call of a vault failed, also where it was to open a workload.
fn call_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a CallError> {
    let of_open = || match cause.downcast_ref()? {
        OpenError::Call(error) => Some(error),
        _ => None,
    };
    let of_enroll = || match cause.downcast_ref()? {
        EnrollError::Call(error) => Some(error),
        _ => None,
    };
    cause.downcast_ref().or_else(of_open).or_else(of_enroll)
}

/// Whether an answer is not in the words of a vault.
fn is_of_a_stranger(call: &CallError) -> bool {
    matches!(call, CallError::Unintelligible { .. }) || call.code().is_some_and(ErrorCode::is_none)
}

/// What is wrong with a share.
fn share_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a ShareError> {
    let of_write = || match cause.downcast_ref()? {
        WriteError::Share(error) => Some(error),
        _ => None,
    };
    let of_fetch = || match cause.downcast_ref()? {
        FetchError::Share(error) => Some(error),
        _ => None,
    };
    cause.downcast_ref().or_else(of_write).or_else(of_fetch)
}

/// Whether a share has no room left.
fn is_full_share(cause: &(dyn std::error::Error + 'static)) -> bool {
    share_error(cause).is_some_and(ShareError::is_full)
        || cause.downcast_ref().is_some_and(WriteError::is_full)
}

/// What a store's disk has against it.
fn store_trouble(cause: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    match (cause.downcast_ref::<StoreError>(), cause.downcast_ref::<RepoError>()) {
        (Some(StoreError::Io { source, .. }), _)
        | (_, Some(RepoError::Store(StoreError::Io { source, .. }))) => Some(source.kind()),
        _ => None,
    }
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
        if let Some(CallError::Refused { status: 401 | 403, .. }) = call_error(cause) {
            return Code::Refused;
        }
        if let Some(WriteError::NoRoom { .. }) = cause.downcast_ref() {
            return Code::Refused;
        }
        if let Some(FetchError::NotYet { .. } | FetchError::OnlySuspect { .. }) =
            cause.downcast_ref()
        {
            return Code::Incomplete;
        }
        if let Some(HandoverError::NotOffered { .. }) = cause.downcast_ref() {
            return Code::Incomplete;
        }
        match cause.downcast_ref() {
            Some(AskError::NoBackup { .. } | AskError::NotInTime { .. }) => {
                return Code::Incomplete;
            }
            Some(AskError::Refused { .. }) => return Code::Refused,
            _ => {}
        }
        if cause.is::<Usage>() {
            return Code::WrongUsage;
        }
    }
    Code::Failed
}

#[cfg(test)]
mod tests {
    use outlast_wire::api::ErrorBody;

    use super::*;

    #[test]
    fn a_share_that_is_missing_or_full_comes_with_the_command_that_helps() {
        let missing = || ShareError::NotAShare { path: "/mnt/share".into() };
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let full_share =
            || ShareError::Io { action: "write", path: "/mnt/share".into(), source: full() };
        let full_segment =
            WriteError::Io { action: "write", path: "/mnt/share".into(), source: full() };
        let told = |error: anyhow::Error| hint(&error).unwrap_or_default();
        assert!(told(missing().into()).contains("outlast share init"));
        assert!(told(WriteError::Share(missing()).into()).contains("outlast share init"));
        assert!(told(FetchError::Share(missing()).into()).contains("outlast share init"));
        assert!(told(full_share().into()).contains("outlast share clean"));
        assert!(told(WriteError::Share(full_share()).into()).contains("outlast share clean"));
        assert!(told(full_segment.into()).contains("outlast share clean"));
        // The libraries do not know the command line.
        assert!(![missing(), full_share()].iter().any(|error| error.to_string().contains('`')));
    }

    #[test]
    fn what_a_vault_refuses_when_a_workload_is_opened_counts_as_any_call() {
        let answer = |code| {
            let message = "no".to_owned();
            let (hint, request_id, missing) = Default::default();
            let body = ErrorBody { code, message, hint, request_id, missing };
            (String::from("https://vault/"), Box::new(body))
        };
        let (location, body) = answer(ErrorCode::RepositoryMissing);
        let missing = OpenError::Call(CallError::Unable { location, status: 503, body });
        assert!(hint(&missing.into()).unwrap_or_default().contains("outlast workload recreate"));
        let (location, body) = answer(ErrorCode::default());
        let foreign = CallError::Refused { location, status: 404, body };
        assert!(hint(&foreign.into()).unwrap_or_default().contains("no vault"));
        let (location, body) = answer(ErrorCode::Refused);
        let refused = OpenError::Call(CallError::Refused { location, status: 403, body });
        assert_eq!(code_of(&refused.into()), Code::Refused);
    }
}
