//! What the platform itself has to answer for: media servers, and the vault's own absence.

use std::collections::{BTreeMap, BTreeSet};

use super::Ledger;
use crate::cause::{Cause, Key, Subject, Topic};
use crate::incident::Change;
use crate::promise::State;
use crate::state::{MediaTrouble, VaultOutage};

impl Ledger {
    /// A media server explains what is known to wait with it, and nothing else. Says whether any explains
    /// anything else than before.
    pub(super) fn settle_media(
        &mut self,
        known: &mut BTreeMap<String, u64>,
        changes: &mut Vec<Change>,
    ) -> bool {
        for (name, trouble) in self.state.head.media.clone() {
            let media = || name.clone();
            let silent = trouble.silent_since;
            let silent = silent.map(|last_heard| Cause::MediaSilent { media: media(), last_heard });
            self.settle_incident(&Key::of_media(Topic::Media, &name), silent, None, changes);
            let problem = trouble.problem;
            let hindered = problem.map(|problem| Cause::MediaHindered { media: media(), problem });
            self.settle_incident(&Key::of_media(Topic::Spool, &name), hindered, None, changes);
        }
        let is_open = |media: &str| {
            [Topic::Media, Topic::Spool]
                .iter()
                .any(|topic| self.state.open.contains(&Key::of_media(*topic, media)))
        };
        let well: Vec<String> = self
            .state
            .head
            .media
            .iter()
            .filter(|(media, trouble)| **trouble == MediaTrouble::default() && !is_open(media))
            .map(|(media, _)| media.clone())
            .collect();
        for media in &well {
            self.state.head.media.remove(media);
        }
        let media = self.state.head.media.keys();
        let explains = media.filter_map(|media| Some((media.clone(), self.media_explains(media)?)));
        let explains: BTreeMap<String, u64> = explains.collect();
        let has_news = *known != explains;
        *known = explains;
        has_news
    }

    /// Each way by which people cannot be told, and each that works again or is no more.
    pub(super) fn settle_routes(&mut self, changes: &mut Vec<Change>) {
        let told = self.state.open.keys().filter_map(|key| match &key.subject {
            Subject::Route(route) => Some(route.clone()),
            _ => None,
        });
        let routes: BTreeSet<String> = told.chain(self.state.head.routes.keys().cloned()).collect();
        for route in routes {
            let problem = self.state.head.routes.get(&route).cloned();
            let key = Key::of_route(&route);
            let cause = problem.map(|problem| Cause::RouteFails { route, problem });
            self.settle_incident(&key, cause, None, changes);
        }
    }

    /// An outage of the vault is told only if a promise broke in it.
    pub(super) fn settle_outage(&mut self, changes: &mut Vec<Change>) {
        let now = self.state.head.now;
        let key = Key::of_vault(Topic::Vault);
        let has_time = |outage: &&VaultOutage| now < outage.recovered;
        let cause = self.state.head.outage.as_ref().filter(has_time).and_then(|outage| {
            let broke = self.state.workloads.values().any(|workload| {
                workload.due() <= now
                    && outage.explains(workload.due(), false, now)
                    && workload.state(now) == State::Broken
            });
            broke.then_some(Cause::VaultAbsent { from: outage.from, until: outage.until })
        });
        self.settle_incident(&key, cause, None, changes);
        if !self.is_past(&key) {
            self.state.head.outage.take_if(|outage| outage.recovered <= now);
        }
    }
}
