//! What the desk shows.

use outlast_types::{Owner, Timestamp};

use super::{Desk, PageView, Standing, route_is_for, sends_messages};
use crate::message::{Line, Message, What, teller};
use crate::page::Page;
use crate::route::Route;
use crate::severity::Severity;

impl Desk {
    /// All pages of which something is open.
    pub fn pages(&self, now: Timestamp) -> Vec<PageView> {
        let open = self.memory.pages.values().filter(|page| page.resolved().is_none());
        let view = |page: &Page| {
            let open = page.members.values().filter(|member| member.resolved.is_none());
            let owed = self.routes.iter().filter(|route| {
                sends_messages(route)
                    && route_is_for(route, page)
                    && page.has_reached(route.after, now)
                    && page.gathers_until <= now
                    && page.told.get(&route.name).is_none_or(|told| told.last.is_none())
            });
            PageView {
                incidents: open.map(|member| member.key.clone()).collect(),
                acknowledged: page
                    .ack
                    .as_ref()
                    .filter(|ack| now < ack.until)
                    .map(|ack| (ack.by.clone(), ack.until)),
                comments: page.comments.clone(),
                told: page
                    .told
                    .iter()
                    .filter_map(|(route, told)| Some((route.clone(), told.last?)))
                    .collect(),
                owed: owed.map(|route| route.name.clone()).collect(),
            }
        };
        open.map(view).collect()
    }

    /// How each route stands.
    pub fn standings(&self, now: Timestamp) -> Vec<Standing> {
        let owed = |route: &Route| {
            let pages = self.memory.pages.values().filter(|page| {
                let told = page.told.get(&route.name);
                match page.resolved() {
                    Some(_) => told.is_some_and(|told| told.open_round().is_some()),
                    None => {
                        route_is_for(route, page)
                            && page.gathers_until <= now
                            && page.has_reached(route.after, now)
                            && !page.is_acknowledged(now)
                            && route.is_open(now)
                            && told.is_none_or(|told| !told.rounds.contains(&page.round))
                    }
                }
            });
            if sends_messages(route) { pages.count() } else { 0 }
        };
        let standing = |route: &Route| Standing { route: route.name.clone(), owed: owed(route) };
        self.routes.iter().map(standing).collect()
    }

    /// A message that tries out a route, and pages nobody who reads it.
    pub fn test_message(vault: &str, route: &str, now: Timestamp) -> Message {
        let key = format!("outlast/{vault}/test/{route}/{}", now.unix_millis());
        Message {
            id: key.clone(),
            key,
            what: What::Test,
            vault: vault.to_owned(),
            code: "test".to_owned(),
            severity: Severity::Warning,
            owner: Owner::Platform,
            team: Owner::Platform.as_str().to_owned(),
            since: now,
            resolved: None,
            count: 1,
            incidents: vec![Line {
                key: "test".to_owned(),
                workload: None,
                cause: format!(
                    "a test of route {route} by {}, asked for by `outlast doctor alerts`",
                    teller(vault)
                ),
                opened: now,
                resolved: None,
            }],
        }
    }
}
