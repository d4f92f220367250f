//! Tickets that agents show: judged, and the newest of each kept, since what was taken under one is
//! forwarded under it for as long as that takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_store::{Kind, Verb};
use outlast_types::{Environment, WorkloadName};
use outlast_wire::access::{Action, Refused, Why};
use outlast_wire::rest::Asker;
use outlast_wire::ticket::Ticket;
use outlast_wire::{IdentityHandle, Peer, Role, Trust};

use crate::error::MediaError;
use crate::files::Documents;

/// How old a ticket may be under which anything new is taken or handed out, by our own clock: a
/// vault that is away for a day can give no newer one.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);
/// The longest that is kept, in bytes.
const BYTES_MAX: u64 = 32 << 10;
/// More workloads and agents are an attack on our memory.
const KEPT_MAX: usize = 20_000;
/// Grants to bring backups back that are known at one time.
const GRANTS_MAX: usize = 1000;

/// A workload, and the agent for which something is done with it.
type For = (WorkloadName, String);

/// The tickets that are known.
pub(crate) struct Tickets {
    documents: Documents,
    identity: IdentityHandle,
    trust: Trust,
    environment: Environment,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest that lets an agent add.
    kept: BTreeMap<For, Known>,
    /// The newest that lets an agent read a backup, as it was shown.
    grants: BTreeMap<For, (Known, String)>,
}

#[derive(Clone)]
struct Known {
    ticket: Ticket,
    /// Of its text.
    hash: [u8; 32],
}

impl Tickets {
    pub(crate) fn open(
        directory: &Path,
        identity: &IdentityHandle,
        trust: &Trust,
        environment: &Environment,
    ) -> Result<Self, MediaError> {
        let documents = Documents::open(directory.join("tickets"), BYTES_MAX)?;
        let mut kept = BTreeMap::new();
        for name in documents.names()? {
            let [workload, agent] = &name[..] else { continue };
            let Ok(of) = WorkloadName::new(workload) else { continue };
            let Some(text) = documents.read(&[workload, agent])? else { continue };
            let text = String::from_utf8_lossy(&text).into_owned();
            // Of an authority that is believed no more, it serves nobody.
            match Ticket::read_header(&text, identity.get().ca_pem()) {
                Ok(ticket) => {
                    let hash = outlast_format::sha256(text.as_bytes());
                    kept.insert((of, agent.clone()), Known { ticket, hash });
                }
                Err(error) => tracing::warn!(workload, agent, %error, "a ticket is of no use"),
            }
        }
        let (identity, trust, environment) = (identity.clone(), trust.clone(), environment.clone());
        let state = Mutex::new(State { kept, ..State::default() });
        Ok(Self { documents, identity, trust, environment, state })
    }

    /// Lets an agent do `verb` with objects of `kind` of a workload by the ticket that it shows, or says
    /// why not. A ticket that is newer than what is known is kept.
    pub(crate) fn permit(
        &self,
        asker: Asker<'_>,
        action: Action,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        let peer = &asker.certified.peer;
        let refused = |why: Why| Refused { peer: peer.clone(), action, why };
        let Action::Object { verb, kind } = action else { return Err(refused(Why::Role)) };
        if peer.role() != Role::Agent {
            return Err(refused(Why::Role));
        }
        if !asker.certified.grants.allows(workload) {
            return Err(refused(Why::Workload(workload.clone())));
        }
        let is_grant = (verb, kind) == (Verb::Read, Kind::Data);
        let why = |reason: String| match is_grant {
            true => refused(Why::NoGrant(reason)),
            false => refused(Why::Behalf(reason)),
        };
        let Some(text) = asker.ticket else {
            return Err(why("it shows no ticket to this media server".to_owned()));
        };
        self.judge(text, peer, workload, (verb, kind), is_grant).map_err(why)
    }

    fn judge(
        &self,
        text: &str,
        agent: &Peer,
        workload: &WorkloadName,
        (verb, kind): (Verb, Kind),
        is_grant: bool,
    ) -> Result<(), String> {
        let (hash, of) =
            (outlast_format::sha256(text.as_bytes()), (workload.clone(), agent.name().to_owned()));
        let known = {
            let state = self.lock();
            let known = match is_grant {
                true => state.grants.get(&of).map(|(known, _)| known),
                false => state.kept.get(&of),
            };
            known.filter(|known| known.hash == hash).map(|known| known.ticket.clone())
        };
        let is_known = known.is_some();
        let ticket = match known {
            Some(ticket) => ticket,
            None => Ticket::read_header(text, self.identity.get().ca_pem())
                .map_err(|error| error.to_string())?,
        };
        if ticket.agent.peer != *agent {
            return Err("the ticket that is shown is another's".to_owned());
        }
        if self.trust.revocations().of(&ticket.agent).is_some() {
            return Err(format!("the certificate of {agent} is revoked"));
        }
        // Its hour is the vault's business; ours is a day.
        ticket.check(workload, verb, kind, ticket.issued).map_err(|error| error.to_string())?;
        let age = self.environment.clock.now().since(ticket.issued);
        if age > GOOD_FOR {
            return Err(format!(
                "the ticket that is shown is of {}, a day or more ago",
                ticket.issued
            ));
        }
        if is_known {
            return Ok(());
        }
        let known = Known { ticket, hash };
        match is_grant {
            true => self.note_grant(of, known, text),
            false => self.keep(of, known, text),
        }
    }

    fn note_grant(&self, of: For, known: Known, text: &str) -> Result<(), String> {
        let mut state = self.lock();
        if state.grants.len() >= GRANTS_MAX && !state.grants.contains_key(&of) {
            let now = self.environment.clock.now();
            state.grants.retain(|_, (known, _)| now < known.ticket.until);
            if state.grants.len() >= GRANTS_MAX {
                return Err("too many backups are being brought back".to_owned());
            }
        }
        state.grants.insert(of, (known, text.to_owned()));
        Ok(())
    }

    fn keep(&self, of: For, known: Known, text: &str) -> Result<(), String> {
        let mut state = self.lock();
        if state.kept.get(&of).is_some_and(|kept| kept.ticket.issued > known.ticket.issued) {
            return Ok(());
        }
        if state.kept.len() >= KEPT_MAX && !state.kept.contains_key(&of) {
            return Err("this media server keeps tickets of too many workloads".to_owned());
        }
        let kept = self.documents.write(&[of.0.as_str(), &of.1], text.as_bytes());
        kept.map_err(|error| {
            tracing::error!(%error, "cannot keep a ticket");
            "its ticket cannot be kept here; this media server's log says why".to_owned()
        })?;
        state.kept.insert(of, known);
        Ok(())
    }

    /// The ticket that an agent showed last, to add or to read a backup.
    pub(crate) fn of_agent(
        &self,
        workload: &WorkloadName,
        agent: &str,
        is_grant: bool,
    ) -> Option<String> {
        let of = (workload.clone(), agent.to_owned());
        if is_grant {
            return self.lock().grants.get(&of).map(|(_, text)| text.clone());
        }
        self.text(&of)
    }

    /// The tickets under which objects of a workload can be forwarded, the newest first. Whoever added
    /// them: the vault proves each object by itself.
    pub(crate) fn of_workload(&self, workload: &WorkloadName) -> Vec<String> {
        let revocations = self.trust.revocations();
        let mut found: Vec<(For, Ticket)> = {
            let state = self.lock();
            let from = (workload.clone(), String::new());
            let known = state.kept.range(from..).take_while(|((of, _), _)| of == workload);
            known.map(|(of, known)| (of.clone(), known.ticket.clone())).collect()
        };
        found.retain(|(_, ticket)| revocations.of(&ticket.agent).is_none());
        found.sort_by_key(|(_, ticket)| std::cmp::Reverse(ticket.issued));
        found.iter().filter_map(|(of, _)| self.text(of)).collect()
    }

    /// Lets go of tickets that are of no use any more: old, and of workloads of which nothing `waits`.
    pub(crate) fn tidy(&self, waits: impl Fn(&WorkloadName) -> bool) {
        let now = self.environment.clock.now();
        let mut state = self.lock();
        let is_over =
            |of: &For, known: &Known| now.since(known.ticket.issued) > GOOD_FOR && !waits(&of.0);
        let over = state.kept.iter().filter(|(of, known)| is_over(of, known));
        for of in over.map(|(of, _)| of.clone()).collect::<Vec<For>>() {
            state.kept.remove(&of);
            if let Err(error) = self.documents.remove(&[of.0.as_str(), &of.1]) {
                tracing::warn!(%error, "cannot remove a ticket");
            }
        }
        state.grants.retain(|_, (known, _)| now < known.ticket.until);
    }

    fn text(&self, of: &For) -> Option<String> {
        let text = self.documents.read(&[of.0.as_str(), &of.1]).inspect_err(|error| {
            tracing::error!(%error, "cannot read a ticket");
        });
        String::from_utf8(text.ok()??).ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
