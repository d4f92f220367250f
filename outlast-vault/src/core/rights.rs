//! Who may do what here: the table, the certificate, and this vault's policy over both.

use outlast_store::{Kind, Verb};
use outlast_types::WorkloadName;
use outlast_wire::Certified;
use outlast_wire::access::{self, Action, Refused, Why};
use outlast_wire::rest::Asker;
use outlast_wire::ticket::{Ticket, may_grant};

use super::vault::Vault;

impl Vault {
    /// Whether a workload is granted to `asker`, by its name or by one of before that is accepted.
    pub(crate) fn is_granted(&self, asker: &Certified, workload: &WorkloadName) -> bool {
        let allows = |name: &WorkloadName| {
            asker.grants.allows(name) && self.policy().allows(&asker.peer, name)
        };
        let mut former = self.former.of(workload).filter(|name| self.called(name).is_ok());
        allows(workload) || former.any(allows)
    }

    /// Lets `asker` do `action` with a workload, or says why not. Nothing is looked at for it.
    pub(crate) fn permit(
        &self,
        asker: &Certified,
        action: impl Into<Action>,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        let action = action.into();
        access::check(asker, action, workload)?;
        match self.policy().allows(&asker.peer, workload) {
            true => Ok(()),
            false => Err(access::not_granted(&asker.peer, action, workload)),
        }
    }

    /// The same for objects, also of a media server that shows an agent's ticket.
    pub(crate) fn permit_object(
        &self,
        asker: Asker<'_>,
        verb: Verb,
        kind: Kind,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        let action = Action::Object { verb, kind };
        let peer = &asker.certified.peer;
        match access::check_role(peer, action) {
            Err(Refused { why: Why::Behalf(_), .. }) => {}
            Err(Refused { why: Why::NoGrant(_), .. }) => {
                return self.permit_by_grant(asker, verb, kind, workload);
            }
            _ => return self.permit(asker.certified, action, workload),
        }
        let refused = |reason: String| {
            let why = Why::Behalf(reason);
            Refused { peer: peer.clone(), action, why }
        };
        let Some(text) = asker.ticket else {
            return Err(refused("shows no ticket of one".to_owned()));
        };
        let ticket = self.ticket(text, verb, kind, workload).map_err(refused)?;
        // Policy may have changed since.
        let may_read =
            !may_grant(verb, kind) || self.policy().fetch(self.present(workload)).is_some();
        match self.is_granted(&ticket.agent, workload) && may_read {
            true => Ok(()),
            false => Err(refused(format!("workload {workload} is not granted to it any more"))),
        }
    }

    /// The same of what takes a grant of this vault: a ticket that was given to `asker`, and to nobody
    /// else.
    fn permit_by_grant(
        &self,
        asker: Asker<'_>,
        verb: Verb,
        kind: Kind,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        let peer = &asker.certified.peer;
        let action = Action::Object { verb, kind };
        let refused = |reason: String| {
            let why = Why::NoGrant(reason);
            Refused { peer: peer.clone(), action, why }
        };
        let Some(text) = asker.ticket else {
            return Err(refused("none is shown".to_owned()));
        };
        let ticket = self.ticket(text, verb, kind, workload).map_err(refused)?;
        if ticket.agent.peer != *peer {
            return Err(refused("the one that is shown is another's".to_owned()));
        }
        // Policy may have changed since, and the certificate may be another now.
        match self.is_granted(asker.certified, workload)
            && self.policy().fetch(self.present(workload)).is_some()
        {
            true => Ok(()),
            false => Err(refused(format!("workload {workload} is not granted any more"))),
        }
    }

    /// The ticket in `text`, if it is ours and allows that; else why not.
    fn ticket(
        &self,
        text: &str,
        verb: Verb,
        kind: Kind,
        workload: &WorkloadName,
    ) -> Result<Ticket, String> {
        let ticket = Ticket::read_header(text, self.identity.get().ca_pem());
        let ticket = ticket.map_err(|error| error.to_string())?;
        let now = self.environment.clock.now();
        ticket.check(workload, verb, kind, now).map_err(|error| error.to_string())?;
        // What counted when the ticket was given may not count any more.
        match self.trust.revocations().of(&ticket.agent) {
            Some(_) => Err(format!("the certificate of {} is revoked", ticket.agent.peer)),
            None => Ok(ticket),
        }
    }
}
