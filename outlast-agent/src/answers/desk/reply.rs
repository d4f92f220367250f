//! New requests, and the replies to them.

use std::collections::BTreeMap;

use outlast_drop::asking::{self, AnswerState, Desk as Place, Listed, Progress, Reply, Request};
use outlast_drop::fetch::Wanted;
use outlast_drop::{Share, ShareError};
use outlast_types::WorkloadName;
use outlast_wire::CallError;
use outlast_wire::api::{AskedRequest, ErrorCode, REQUESTS_MAX, WantedBackup};
use outlast_wire::client::FetchCallError;
use outlast_wire::fetching::{self, Decided, Decision, GrantedBackup};
use outlast_wire::sealed_key::{self, BoxPublicKey};
use outlast_wire::statement::Statement;

use super::{ASK_AGAIN, Desk, PAUSE_FIRST, PAUSE_MAX, Replied};
use crate::answers::AskedBy;
use crate::answers::grants::Question;
use crate::answers::kept::{Answer, bytes_of};
use crate::problem::{Met, Problem};

/// Different wishes for one workload that are decided on in one pass.
const GROUPS_MAX: usize = 8;

/// Requests for the same.
type Asking = Vec<(Request, AskedRequest)>;

/// The reply to some requests.
enum Told {
    Decision(Box<Decided>, Statement),
    /// There is none yet, for this reason.
    Later(String),
}

impl Desk {
    /// Hears the requests that have no reply, and replies as far as it can be said.
    pub(super) fn hear(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        requests: &Place,
        asked: &Listed,
        problems: &mut Vec<Problem>,
    ) -> Result<(), ShareError> {
        let groups = self.new_ones(share, workload, requests, asked)?;
        let now = self.elapsed();
        let open = self.open.entry(workload.clone()).or_default();
        open.is_waited = !groups.is_empty();
        if groups.is_empty() {
            return self.tell_waiting(share, workload, None);
        }
        if now < open.ask_after || open.backoff.is_waiting(now) {
            return Ok(());
        }
        open.ask_after = now.saturating_add(ASK_AGAIN);
        let mut waits = None;
        for (wanted, asking) in groups.into_iter().take(GROUPS_MAX) {
            match self.decide(share, workload, wanted, &asking, problems)? {
                Told::Decision(decided, statement) => {
                    let reason = self.reply(share, &decided, &statement, &asking)?;
                    waits = waits.or(reason);
                }
                Told::Later(reason) => waits = Some(reason),
            }
        }
        self.tell_waiting(share, workload, waits)
    }

    /// The requests without a reply, by what they want.
    fn new_ones(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        requests: &Place,
        asked: &Listed,
    ) -> Result<BTreeMap<WantedBackup, Asking>, ShareError> {
        let mut groups: BTreeMap<WantedBackup, Asking> = BTreeMap::new();
        for id in asked.requests.iter().take(REQUESTS_MAX) {
            let is_replied =
                self.open.get(workload).is_some_and(|open| open.replied.contains_key(id));
            if is_replied {
                continue;
            }
            // One that is torn may be whole when it is looked at next.
            let Some((request, digest)) = requests.request(*id)? else { continue };
            let asked = AskedRequest { request: *id, digest };
            if self.take_back(share, workload, &request, asked)? {
                continue;
            }
            groups.entry(wanted_backup(request.wanted)).or_default().push((request, asked));
        }
        Ok(groups)
    }

    /// Takes over a reply that an earlier run gave; whether there is one that stands.
    fn take_back(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        request: &Request,
        asked: AskedRequest,
    ) -> Result<bool, ShareError> {
        let Some(answers) = Place::find_answers(share, workload)? else { return Ok(false) };
        let Some(reply) = answers.replied(request.id)? else { return Ok(false) };
        // Whoever may write there may have made it up.
        let statement: Option<Statement> = serde_json::from_value(reply.decision).ok();
        let decided = statement.and_then(|statement| {
            let identity = &self.parts.identity;
            let judge =
                |chain: &str, message: &[u8], proof: &[u8]| identity.judge(chain, message, proof);
            Decided::read(&statement, judge).ok()
        });
        let wanted = wanted_backup(request.wanted);
        let stands = decided.is_some_and(|decided| {
            decided.check(share.id(), workload, wanted, asked).is_ok()
                && matches!(decided.decision, Decision::Granted(_)) == reply.answer.is_some()
        });
        let answer = reply.answer.map(|(name, _)| name);
        let is_kept = answer.as_ref().is_none_or(|name| {
            self.kept.as_ref().is_some_and(|(_, kept)| kept.get(name).is_some())
        });
        if !stands || !is_kept {
            return Ok(false);
        }
        let open = self.open.entry(workload.clone()).or_default();
        open.replied.insert(request.id, Replied { asked, answer });
        Ok(true)
    }

    /// Has it decided what these requests get.
    fn decide(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        wanted: WantedBackup,
        asking: &Asking,
        problems: &mut Vec<Problem>,
    ) -> Result<Told, ShareError> {
        let rules = &self.parts.rules;
        let is_proven = match rules.asked_by {
            AskedBy::Anyone => Ok(true),
            AskedBy::Nobody => Ok(false),
            AskedBy::Owner => asking::is_of_its_own(share, workload),
        };
        if let Err(error) = is_proven {
            return Ok(Told::Later(format!(
                "the permissions of {workload} cannot be seen: {error}"
            )));
        }
        if let Ok(false) = is_proven {
            let reason = format!(
                "this share does not prove that who asks belongs to {workload}: whoever may write elsewhere \
                 on it may write there, too. Give {workload} a directory of its own group \
                 (docs/share-permissions.md)"
            );
            return Ok(self.refuse(share, workload, wanted, asking, ErrorCode::Unproven, reason));
        }
        let question = Question {
            share: share.id(),
            workload: workload.clone(),
            wanted,
            requests: asking.iter().map(|(_, asked)| *asked).collect(),
            proof: rules.asked_by.as_str(),
        };
        match self.parts.vault.ask(&question) {
            Ok((decided, answer)) => {
                self.open.entry(workload.clone()).or_default().backoff.succeeded();
                if let Decision::Granted(backup) = &decided.decision {
                    return Ok(self.take_in(share, &decided, backup, answer, asking, problems));
                }
                Ok(Told::Decision(Box::new(decided), answer.decision))
            }
            Err(FetchCallError::Call(CallError::Refused { body, .. }))
                if body.code != ErrorCode::StaleChallenge =>
            {
                let reason = format!("the vault does not let this agent ask: {}", body.message);
                Ok(self.refuse(share, workload, wanted, asking, body.code.clone(), reason))
            }
            Err(error) => {
                let (now, random) = (self.elapsed(), &*self.parts.environment.random);
                let open = self.open.entry(workload.clone()).or_default();
                open.backoff.failed(now, PAUSE_FIRST, PAUSE_MAX, random);
                Ok(Told::Later(format!("the vault cannot be asked now: {error}")))
            }
        }
    }

    /// Makes room for what was granted, unless it is there already.
    fn take_in(
        &mut self,
        share: &Share,
        decided: &Decided,
        backup: &GrantedBackup,
        given: fetching::BackupAnswer,
        asking: &Asking,
        problems: &mut Vec<Problem>,
    ) -> Told {
        let (workload, wanted) = (&decided.workload, decided.wanted);
        let decision = || Told::Decision(Box::new(decided.clone()), given.decision.clone());
        let budget = self.parts.rules.budget;
        let human = outlast_types::human::bytes;
        let needed = bytes_of(backup);
        let Some((_, kept)) = &self.kept else { return Told::Later("it begins".to_owned()) };
        let name = match kept.of(workload, backup) {
            Some(answer) => answer.name.clone(),
            None if needed > budget => {
                let reason = format!(
                    "it may take {}, and answers may take {} of this share (the agent's `fetch_budget`)",
                    human(needed),
                    human(budget)
                );
                return self.refuse(share, workload, wanted, asking, ErrorCode::OverLimit, reason);
            }
            None => {
                if let Some(reason) = self.make_room(share, needed) {
                    return Told::Later(reason);
                }
                let (now, random) =
                    (self.parts.environment.clock.now(), &*self.parts.environment.random);
                let Some((_, kept)) = &mut self.kept else {
                    return Told::Later("it begins".to_owned());
                };
                match kept.begin(share.id(), workload, backup, now, random) {
                    Ok(answer) => answer.name.clone(),
                    Err(error) => {
                        let reason =
                            format!("the agent's own directory cannot be written: {error}");
                        problems.push(Met::StateUnwritable.because(reason.clone()));
                        return Told::Later(reason);
                    }
                }
            }
        };
        self.known.entry(name).or_default().ticket.clone_from(&given.ticket);
        decision()
    }

    /// Removes answers that nobody waits for any more, the oldest first, until there is room for so many
    /// bytes; if there is not, why.
    fn make_room(&mut self, share: &Share, needed: u64) -> Option<String> {
        let named = self.named();
        loop {
            let (_, kept) = self.kept.as_ref()?;
            let (used, budget) = (kept.bytes(), self.parts.rules.budget);
            if used.saturating_add(needed) <= budget {
                return None;
            }
            let idle = kept.iter().filter(|answer| !named.contains(&answer.name));
            let Some(oldest) = idle.min_by_key(|it| (it.begun, it.name.clone())).cloned() else {
                return Some(format!(
                    "answers to others take the room that there is for answers, {} of {}",
                    outlast_types::human::bytes(used),
                    outlast_types::human::bytes(budget)
                ));
            };
            if let Err(error) = self.remove(share, &oldest) {
                return Some(error.to_string());
            }
        }
    }

    /// Replies to requests; why some have no reply yet, if so.
    fn reply(
        &mut self,
        share: &Share,
        decided: &Decided,
        statement: &Statement,
        asking: &Asking,
    ) -> Result<Option<String>, ShareError> {
        let workload = &decided.workload;
        let answers = Place::of_answers(share, workload)?;
        let decision = serde_json::to_value(statement).unwrap_or_default();
        let answer = match &decided.decision {
            Decision::Granted(backup) => {
                let kept = self.kept.as_ref().and_then(|(_, kept)| kept.of(workload, backup));
                match kept.cloned() {
                    Some(answer) => Some(answer),
                    None => return Ok(Some("it begins".to_owned())),
                }
            }
            Decision::None { .. } | Decision::Refused { .. } => None,
        };
        for (request, asked) in asking {
            let named = match &answer {
                None => None,
                Some(answer) => match self.wrapped(share, answer, request) {
                    Some(wrapped) => Some((answer.name.clone(), wrapped)),
                    None => {
                        self.refuse_key(share, &answers, decided, request, *asked)?;
                        continue;
                    }
                },
            };
            let name = named.as_ref().map(|(name, _)| name.clone());
            let (request, decision) = (request.id, decision.clone());
            answers.reply(&Reply { request, decision, answer: named })?;
            let open = self.open.entry(workload.clone()).or_default();
            open.replied.insert(request, Replied { asked: *asked, answer: name });
        }
        Ok(None)
    }

    /// Refuses a request to whose key nothing can be sealed.
    fn refuse_key(
        &mut self,
        share: &Share,
        answers: &Place,
        decided: &Decided,
        request: &Request,
        asked: AskedRequest,
    ) -> Result<(), ShareError> {
        let (workload, wanted) = (&decided.workload, decided.wanted);
        let reason = "the public key in the request is none".to_owned();
        let one = vec![(request.clone(), asked)];
        let told = self.refuse(share, workload, wanted, &one, ErrorCode::BadRequest, reason);
        if let Told::Decision(_, statement) = told {
            let decision = serde_json::to_value(&statement).unwrap_or_default();
            answers.reply(&Reply { request: request.id, decision, answer: None })?;
        }
        let open = self.open.entry(workload.clone()).or_default();
        open.replied.insert(request.id, Replied { asked, answer: None });
        Ok(())
    }

    /// The key of an answer, sealed to the key of a request; `None` if that is none.
    fn wrapped(&self, share: &Share, answer: &Answer, request: &Request) -> Option<String> {
        let reader = BoxPublicKey::try_from(request.key.clone()).ok()?;
        let purpose = fetching::purpose(share.id(), &answer.workload, request.id, &answer.name);
        let key = zeroize::Zeroizing::new(answer.key.to_bytes());
        let random = &*self.parts.environment.random;
        sealed_key::seal_text(&reader, &purpose, &*key, random).ok()
    }

    /// Our own word that these requests get nothing.
    fn refuse(
        &self,
        share: &Share,
        workload: &WorkloadName,
        wanted: WantedBackup,
        asking: &Asking,
        code: ErrorCode,
        reason: String,
    ) -> Told {
        tracing::warn!(%workload, requests = asking.len(), "refused to bring a backup back: {reason}");
        let decided = Decided {
            share: share.id(),
            workload: workload.clone(),
            wanted,
            requests: asking.iter().map(|(_, asked)| *asked).collect(),
            at: self.parts.environment.clock.now(),
            decision: Decision::Refused { code, reason },
        };
        match decided.sign(&self.parts.identity.get()) {
            Ok(statement) => Told::Decision(Box::new(decided), statement),
            Err(error) => Told::Later(format!("the refusal cannot be written: {error}")),
        }
    }

    /// Tells those who have no reply why, or takes that back.
    fn tell_waiting(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        reason: Option<String>,
    ) -> Result<(), ShareError> {
        let beat = self.beat;
        let open = self.open.entry(workload.clone()).or_default();
        if reason.is_none() && !open.is_told {
            return Ok(());
        }
        open.is_told = reason.is_some();
        let answers = Place::of_answers(share, workload)?;
        match reason {
            Some(_) => {
                let state = AnswerState::Waiting;
                answers.tell(None, &Progress { state, bytes: 0, total: 0, reason, beat })
            }
            None => answers.tell_nothing(),
        }
    }
}

fn wanted_backup(wanted: Wanted) -> WantedBackup {
    match wanted {
        Wanted::Newest => WantedBackup::Latest,
        Wanted::Drop(drop) => WantedBackup::Drop(drop),
        Wanted::At(at) => WantedBackup::At(at),
    }
}
