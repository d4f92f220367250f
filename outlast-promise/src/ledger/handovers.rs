//! Hand-overs to another backup product: what is heard of them, and what they explain.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::{DropId, Timestamp, WorkloadName};

use super::Ledger;
use super::explanations::OfHandover;
use crate::agenda::Matter;
use crate::cause::{Cause, Key, Topic, cut};
use crate::event::{Event, Source};
use crate::handed::{
    Delivered, FailedJob, Handed, HandoverId, Lies, ProductTrouble, Room, Withdrawn,
};
use crate::handover_state::HandoverState;
use crate::incident::Change;
use crate::promise::State;

/// Hand-overs of one agent that are told apart.
const HANDOVERS_MAX: usize = 64;
/// Workloads that a page names.
const NAMED_MAX: usize = 5;

impl Ledger {
    /// What is heard of hand-overs.
    pub(super) fn observe_handed(&mut self, event: Event, touched: &mut BTreeSet<Matter>) {
        match event {
            Event::Confirmed { workload, drop, at, vaulted } => {
                let gone = self.state.workloads.get(&workload).and_then(|it| it.withdrawn.as_ref());
                touched.extend(gone.map(|gone| Matter::Agent(gone.handover.agent.clone())));
                self.observe_confirmed(&workload, Delivered { drop, at, vaulted });
            }
            Event::Withdrawn { workload, source, handover, drop, reason } => {
                self.observe_withdrawn(&workload, (source, &handover), (drop, &reason), touched);
            }
            Event::Lying { workload, source, lies } => {
                self.observe_lying(&workload, &source, lies, touched);
            }
            Event::HandedOver { source, handovers } => {
                self.observe_handovers(source, handovers, touched);
            }
            _ => {}
        }
    }

    /// All hand-overs of an agent, as it sees them now; one that it does not name is no more.
    pub(super) fn observe_handovers(
        &mut self,
        source: Source,
        told: BTreeMap<String, Handed>,
        touched: &mut BTreeSet<Matter>,
    ) {
        let now = self.state.head.now;
        let agent = source.agent.clone();
        touched.insert(Matter::Agent(agent.clone()));
        self.hear(source);
        let told: BTreeMap<HandoverId, Handed> = told
            .into_iter()
            .take(HANDOVERS_MAX)
            .map(|(name, handed)| (HandoverId { agent: agent.clone(), name: cut(&name) }, handed))
            .collect();
        for gone in self.handovers_of(&agent).iter().filter(|id| !told.contains_key(*id)) {
            self.state.handovers.remove(gone);
        }
        for (id, handed) in told {
            let handed = bounded(handed, now);
            let state = self.state.handovers.get(&id).cloned();
            let mut next = state.clone().unwrap_or_default();
            next.hear(handed, now);
            if state.as_ref() != Some(&next) {
                self.state.handovers.insert(id, next);
            }
        }
    }

    fn handovers_of(&self, agent: &str) -> Vec<HandoverId> {
        let first = HandoverId { agent: agent.to_owned(), name: String::new() };
        let of_agent = self.state.handovers.from(&first).map(|(id, _)| id);
        of_agent.take_while(|id| id.agent == agent).cloned().collect()
    }

    /// Drops of a workload lie in a hand-over and are not confirmed, or none does.
    pub(super) fn observe_lying(
        &mut self,
        name: &WorkloadName,
        source: &Source,
        lies: Option<(String, bool)>,
        touched: &mut BTreeSet<Matter>,
    ) {
        let now = self.state.head.now;
        let Some((handover, read)) = lies else {
            let Some(known) = self.state.workloads.get(name) else { return };
            let Some(Lies { handover, unconfirmed: Some(_), .. }) = &known.lies else { return };
            // While that is in trouble, only a confirmation says that it is well: what was confirmed may be told
            // after the look that no more finds it waiting.
            let is_troubled =
                self.state.handovers.get(handover).is_some_and(|it| it.trouble().is_some());
            if handover.agent == source.agent && !is_troubled {
                self.settle_lying(name);
            }
            return;
        };
        if !self.is_noted(name, source, touched) {
            return;
        }
        let handover = HandoverId { agent: source.agent.clone(), name: cut(&handover) };
        let known = self.account(name);
        let since = known.lies.as_ref().and_then(|lies| lies.unconfirmed).unwrap_or(now);
        let lies = Some(Lies { handover, unconfirmed: Some(since), read });
        if known.lies != lies {
            known.lies = lies;
        }
        if known.source.is_none() {
            known.source = Some(source.clone());
        }
    }

    fn settle_lying(&mut self, name: &WorkloadName) {
        if let Some(known) = self.state.workloads.get_mut(name)
            && let Some(lies) = &mut known.lies
        {
            (lies.unconfirmed, lies.read) = (None, false);
        }
    }

    /// A product has a drop. The same again changes nothing.
    pub(super) fn observe_confirmed(&mut self, name: &WorkloadName, delivered: Delivered) {
        let at = delivered.at.min(self.state.head.now);
        self.account(name).confirmed(Delivered { at, ..delivered });
    }

    /// A product has a drop no more.
    pub(super) fn observe_withdrawn(
        &mut self,
        name: &WorkloadName,
        (source, handover): (Source, &str),
        (drop, reason): (DropId, &str),
        touched: &mut BTreeSet<Matter>,
    ) {
        touched.insert(Matter::Agent(source.agent.clone()));
        if !self.state.workloads.contains(name) {
            return;
        }
        let handover = HandoverId { agent: source.agent, name: cut(handover) };
        let reason = cut(reason);
        if self.account(name).withdraw(drop, handover.clone(), reason) {
            self.state.handovers.get_or_insert_with(&handover, Default::default).has_withdrawn =
                true;
        }
    }

    /// Settles the hand-overs of an agent, and says whether they explain anything else than before.
    pub(super) fn settle_handovers(
        &mut self,
        (agent, sources): (&str, &[Source]),
        known: &mut BTreeMap<HandoverId, OfHandover>,
        changes: &mut Vec<Change>,
    ) -> bool {
        let now = self.state.head.now;
        let grace = self.settings.agent_deadline;
        // Of an agent that was not heard since the vault was away, nobody knows what became of it meanwhile.
        let is_silent = sources.iter().all(|source| {
            let known = self.state.sources.get(source);
            known.is_none_or(|known| known.is_silent(grace, now) || !known.unheard.is_zero())
        });
        let open = self.state.open.keys().filter_map(|key| key.handover_of(agent).cloned());
        let ids: BTreeSet<HandoverId> = open.chain(self.handovers_of(agent)).collect();
        let mut explains = BTreeMap::new();
        for id in ids {
            let state = self.state.handovers.get(&id).cloned();
            // What a silent agent said last is no news, however old it gets: that it is silent is told.
            let state = state.map(|state| match is_silent {
                true => state,
                false => state.looked(self.settings.handover(&id.name), grace, now),
            });
            if let Some(state) =
                state.as_ref().filter(|it| self.state.handovers.get(&id) != Some(it))
            {
                self.state.handovers.insert(id.clone(), state.clone());
            }
            let (product, room) = self.settle_product_and_room(&id, state.as_ref(), changes);
            let gone = self.withdrawn_of(&id);
            let withdrawn = Key::of_handover(Topic::Withdrawn, &id);
            self.settle_incident(&withdrawn, gone, None, changes);
            let withdrawn = self.open_id(&withdrawn);
            explains.insert(id, OfHandover { product, room, withdrawn });
        }
        let of_agent = |id: &&HandoverId| id.agent == agent;
        let before: BTreeMap<_, _> =
            known.iter().filter(|(id, _)| of_agent(id)).map(|(id, of)| (id.clone(), *of)).collect();
        known.retain(|id, _| id.agent != agent);
        known.extend(explains.iter().map(|(id, of)| (id.clone(), *of)));
        let is_nothing = |of: &OfHandover| *of == OfHandover::default();
        before
            .iter()
            .filter(|(_, of)| !is_nothing(of))
            .ne(explains.iter().filter(|(_, of)| !is_nothing(of)))
    }

    /// Settles what is the matter with a product and with the directory that it reads: what is to be told of each, which
    /// may be the same.
    fn settle_product_and_room(
        &mut self,
        id: &HandoverId,
        state: Option<&HandoverState>,
        changes: &mut Vec<Change>,
    ) -> (Option<u64>, Option<u64>) {
        let keys = [Topic::Handover, Topic::HandoverRoom].map(|topic| Key::of_handover(topic, id));
        let trouble = state.and_then(|state| trouble_of(id, state));
        let room = state.and_then(|state| state.room.clone());
        if room.as_ref().is_some_and(|room| room.is_mute) {
            let room = room.map(|room| room_of(id, room));
            self.settle_incident(&keys[1], room, None, changes);
            self.settle_incident(&keys[0], trouble, None, changes);
            let room = self.open_id(&keys[1]);
            // What awaits a product that nobody can ask waits for that.
            return (self.open_id(&keys[0]).or(room), room);
        }
        self.settle_incident(&keys[0], trouble, None, changes);
        let product = self.open_id(&keys[0]);
        // What nobody confirms cannot leave.
        let explained = product.filter(|_| room.as_ref().is_some_and(|room| room.is_full));
        let room = room.map(|room| room_of(id, room));
        self.settle_incident(&keys[1], room, explained, changes);
        (product, self.open_id(&keys[1]).map(|room| explained.unwrap_or(room)))
    }

    /// What was confirmed by a hand-over and is not any more. All workloads are looked at only if there is such.
    fn withdrawn_of(&mut self, id: &HandoverId) -> Option<Cause> {
        let state = self.state.handovers.get(id).filter(|state| state.has_withdrawn)?;
        let product = state.product.clone();
        let now = self.state.head.now;
        let all = self.state.workloads.iter();
        let all = all.filter_map(|(name, known)| Some((name, known, known.withdrawn.as_ref()?)));
        let all = all.filter(|(_, _, gone)| gone.handover == *id);
        // Of what is retired, nobody waits for another one. To say so takes a thousand times as long as the rest.
        let all = all.filter(|(_, known, _)| known.state(now) != State::Retired);
        let mut all = all.peekable();
        let Some((_, _, Withdrawn { reason, .. })) = all.peek() else {
            let mut any = self.state.workloads.values().filter_map(|it| it.withdrawn.as_ref());
            let is_any = any.any(|gone| gone.handover == *id);
            self.state.handovers.get_mut(id)?.has_withdrawn = is_any;
            return None;
        };
        let reason = reason.clone();
        let names: Vec<&WorkloadName> = all.map(|(name, _, _)| name).collect();
        let (handover, count) = (id.clone(), names.len());
        let workloads = names.into_iter().take(NAMED_MAX).cloned().collect();
        Some(Cause::HandoverWithdrawn { handover, product, count, workloads, reason })
    }

    pub(super) fn handover_deadlines(&self, agent: &str) -> impl Iterator<Item = Timestamp> {
        let grace = self.settings.agent_deadline;
        let states = self.handovers_of(agent).into_iter();
        states.flat_map(move |id| {
            let state = self.state.handovers.get(&id);
            let rule = self.settings.handover(&id.name);
            state.into_iter().flat_map(move |state| state.deadlines(rule, grace))
        })
    }

    /// The incident of a hand-over that explains why a workload has no recovery point.
    pub(super) fn handover_explains(
        &self,
        name: &WorkloadName,
        of: &BTreeMap<HandoverId, OfHandover>,
    ) -> Option<u64> {
        let workload = self.state.workloads.get(name)?;
        let safe = workload.promise().class().safe;
        let withdrawn = workload.withdrawn.as_ref().filter(|_| safe.counts_confirmed());
        if let Some(withdrawn) = withdrawn
            && let Some(incident) = of.get(&withdrawn.handover).and_then(|of| of.withdrawn)
        {
            return Some(incident);
        }
        let lies = workload.lies.as_ref().filter(|_| safe.counts_confirmed())?;
        let of = of.get(&lies.handover)?;
        let product = of.product.filter(|_| workload.awaits_confirmation());
        // What the product does not have finds no room, whether it waits on the share or the vault has it.
        let waiting = workload.waiting_since.filter(|_| self.waits(name, workload));
        let is_outside = waiting.max(workload.last_vaulted) > workload.last_delivered();
        product.or(of.room.filter(|_| is_outside && safe.needs_confirmed()))
    }
}

/// What is wrong with the product that reads a hand-over.
fn trouble_of(id: &HandoverId, state: &HandoverState) -> Option<Cause> {
    let (handover, product) = (id.clone(), state.product.clone());
    Some(match state.trouble()?.clone() {
        ProductTrouble::Failed(failed) => Cause::HandoverJobFailed { handover, product, failed },
        ProductTrouble::Unread { since, within } => {
            Cause::HandoverUnread { handover, product, since, within }
        }
        ProductTrouble::Unconfirmed { since, within } => {
            Cause::HandoverUnconfirmed { handover, product, since, within }
        }
    })
}

/// What is wrong with its directory.
fn room_of(id: &HandoverId, Room { is_full, text: problem, .. }: Room) -> Cause {
    let handover = id.clone();
    match is_full {
        true => Cause::HandoverFull { handover, problem },
        false => Cause::HandoverUnusable { handover, problem },
    }
}

/// Texts from outside are short, and nothing is of the future.
fn bounded(handed: Handed, now: Timestamp) -> Handed {
    let past = |at: Option<Timestamp>| at.map(|at| at.min(now));
    let short = |text: Option<String>| text.as_deref().map(cut);
    Handed {
        product: short(handed.product),
        unread: past(handed.unread),
        unconfirmed: past(handed.unconfirmed),
        failed: handed.failed.map(|failed| FailedJob {
            job: cut(&failed.job),
            at: failed.at.min(now),
            status: failed.status,
            meaning: short(failed.meaning),
            advice: short(failed.advice),
        }),
        room: handed.room.map(|room| Room { text: cut(&room.text), ..room }),
    }
}
