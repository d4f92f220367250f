//! The desk: hears what opened and resolved, and says what is to be sent where.

mod due;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_types::{Owner, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::message::{Alert, Message};
use crate::page::{ACK_MAX, Acknowledged, Comment, Member, Page, Told};
use crate::route::{Kind, Route};

/// What breaks of one cause for one team within this time is one page.
const GATHER: Duration = Duration::from_secs(10);
/// The same, soon after another page of that cause for that team.
const GATHER_AGAIN: Duration = Duration::from_secs(50);
const SOON: Duration = Duration::from_secs(600);
/// How often Alertmanager hears of all that is open: it resolves what it does not hear of.
const REPOST: Duration = Duration::from_secs(60);
/// What was delivered nowhere for so long is given up: nobody would know any more what it was about.
const GIVEN_UP: Duration = Duration::from_secs(7 * 24 * 3600);
/// Lines of a note that wait for a route; beyond, they are only counted.
const NOTED_MAX: usize = 200;
const VERSION: u32 = 1;

/// What the promise ledger told: an incident opened or resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub incident: u64,
    pub key: String,
    pub code: String,
    pub owner: Owner,
    pub team: String,
    /// Who is told, too.
    pub also: Vec<String>,
    /// The route by which they are told at first, if policy names one.
    pub route: Option<String>,
    pub workload: Option<WorkloadName>,
    /// A whole sentence.
    pub words: String,
    pub opened: Timestamp,
    pub resolved: Option<Timestamp>,
}

/// Something to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    Message(Message),
    /// All that Alertmanager is to hear.
    Alerts(Vec<Alert>),
    /// A sign of life.
    Beat,
}

/// Decides what is told, and remembers what was.
#[derive(Debug)]
pub struct Desk {
    /// Who says so, in messages.
    vault: String,
    routes: Vec<Route>,
    memory: Memory,
    is_saved: bool,
    /// When each route that repeats by itself was last served, and what Alertmanager heard then.
    posted: BTreeMap<String, (Timestamp, BTreeSet<(u64, bool)>)>,
}

/// What must outlive a crash.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    version: u32,
    /// The last page's number.
    last: u64,
    pages: BTreeMap<u64, Page>,
    /// What opened and resolved untold, by route.
    #[serde(default)]
    notes: BTreeMap<String, Notes>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Notes {
    /// How many notes were delivered.
    told: u32,
    lines: Vec<NoteLine>,
    /// How many there are beside the lines.
    more: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NoteLine {
    code: String,
    owner: Owner,
    team: String,
    key: String,
    words: String,
    opened: Timestamp,
    resolved: Timestamp,
}

/// Why what is remembered cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("what was told is remembered by a newer version ({found}; this one reads {VERSION})")]
    Newer { found: u32 },
    #[error("what was told cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
}

/// That somebody is at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Of an open incident: `recovery-point/shop-db`.
    pub key: &'a str,
    pub by: &'a str,
    pub lasts: Duration,
    pub comment: Option<&'a str>,
}

/// Why something cannot be acknowledged or commented on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    #[error("no incident {key} is open")]
    Unknown { key: String },
    #[error("an acknowledgement lasts for 1 minute to 72 hours")]
    Lasts,
}

/// A page, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageView {
    pub incidents: Vec<String>,
    pub acknowledged: Option<(String, Timestamp)>,
    pub comments: Vec<Comment>,
    /// The routes that were told, and when last.
    pub told: Vec<(String, Timestamp)>,
    /// Those that are to be told now and were not.
    pub owed: Vec<String>,
}

/// How a route stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub route: String,
    /// Messages that are due and not delivered.
    pub owed: usize,
}

impl Desk {
    /// Goes on from what is remembered, if anything is.
    pub fn open(vault: &str, routes: Vec<Route>, memory: Option<&[u8]>) -> Result<Self, DeskError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let mut desk = Self::new(vault, routes);
        if let Some(text) = memory {
            let Versioned { version } = serde_json::from_slice(text)?;
            if version > VERSION {
                return Err(DeskError::Newer { found: version });
            }
            desk.memory = serde_json::from_slice(text)?;
        }
        Ok(desk)
    }

    /// Begins anew.
    pub fn new(vault: &str, routes: Vec<Route>) -> Self {
        let (vault, posted) = (vault.to_owned(), BTreeMap::new());
        let memory = Memory { version: VERSION, ..Memory::default() };
        Self { vault, routes, memory, is_saved: true, posted }
    }

    /// What is to be remembered, if that changed since it was last asked for.
    pub fn unsaved(&mut self) -> Option<Vec<u8>> {
        if std::mem::replace(&mut self.is_saved, true) {
            return None;
        }
        // Texts, numbers and times: nothing that JSON cannot say.
        serde_json::to_vec(&self.memory).ok()
    }

    /// What was to be remembered could not be: it is asked for again.
    pub fn not_saved(&mut self) {
        self.is_saved = false;
    }

    /// Takes other routes. What is owed on those that are no more is owed nobody, and a new one hears of all
    /// that is open.
    pub fn reroute(&mut self, routes: Vec<Route>) {
        let is_known = |name: &str| routes.iter().any(|route| route.name == name);
        self.memory.notes.retain(|route, _| is_known(route));
        for page in self.memory.pages.values_mut() {
            // Nobody would be told by it.
            page.route.take_if(|route| !is_known(route));
        }
        let is_same = |name: &str| {
            let find = |all: &[Route]| all.iter().find(|route| route.name == name).cloned();
            find(&routes).is_some_and(|route| find(&self.routes) == Some(route))
        };
        self.posted.retain(|name, _| is_same(name));
        self.routes = routes;
        self.is_saved = false;
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Hears that an incident opened or resolved; heard before, it changes nothing.
    pub fn hear(&mut self, news: News, now: Timestamp) {
        let known =
            self.memory.pages.values_mut().find_map(|page| page.members.get_mut(&news.incident));
        match (known, news.resolved) {
            (Some(member), Some(resolved)) if member.resolved.is_none() => {
                member.resolved = Some(resolved);
                self.is_saved = false;
            }
            // Told again, or an end of what nobody here heard begin.
            (Some(_), _) | (None, Some(_)) => {}
            (None, None) => {
                self.join(news, now);
                self.is_saved = false;
            }
        }
    }

    /// Hears of all that is open now, for a desk that may have lost something: what it did not know is
    /// new, and what it knows and is not among them has resolved meanwhile.
    pub fn agree(&mut self, open: Vec<News>, now: Timestamp) {
        let ids: BTreeSet<u64> = open.iter().map(|news| news.incident).collect();
        for page in self.memory.pages.values_mut() {
            let gone = page
                .members
                .iter_mut()
                .filter(|(id, member)| member.resolved.is_none() && !ids.contains(id));
            for (_, member) in gone {
                member.resolved = Some(now);
                self.is_saved = false;
            }
        }
        for news in open {
            self.hear(news, now);
        }
    }

    fn join(&mut self, news: News, now: Timestamp) {
        let News {
            incident,
            key,
            code,
            owner,
            team,
            also,
            route,
            workload,
            words,
            opened,
            resolved,
        } = news;
        // A route that is none any more is nobody's.
        let route = route.filter(|name| self.routes.iter().any(|route| route.name == *name));
        let member = Member { key, workload, words, opened, resolved };
        let of_cause = |page: &Page| {
            page.code == code
                && page.team == team
                && page.owner == owner
                && page.route == route
                && page.also == also
        };
        let mut last = None;
        for page in self.memory.pages.values_mut().filter(|page| of_cause(page)) {
            if now < page.gathers_until && !page.is_acknowledged(now) {
                page.members.insert(incident, member);
                return;
            }
            last = last.max(Some(page.opened));
        }
        let is_soon = last.is_some_and(|last| now.since(last) < SOON);
        let gathers = if is_soon { GATHER_AGAIN } else { GATHER };
        self.memory.last += 1;
        let page = Page {
            code,
            owner,
            team,
            also,
            route,
            opened: now,
            gathers_until: now.saturating_add(gathers),
            members: [(incident, member)].into(),
            ack: None,
            round: 0,
            reached: Duration::ZERO,
            comments: Vec::new(),
            told: BTreeMap::new(),
        };
        self.memory.pages.insert(self.memory.last, page);
    }

    /// Time passes: acknowledgements end, and what is over and told is forgotten.
    pub fn tick(&mut self, now: Timestamp) {
        for page in self.memory.pages.values_mut() {
            let lapsed = page.ack.take_if(|ack| ack.until <= now).is_some();
            if lapsed && page.resolved().is_none() {
                let steps = self.routes.iter().filter(|route| route_is_for(route, page));
                let steps: BTreeSet<Duration> = steps.map(|route| route.after).collect();
                let reached = steps.iter().filter(|step| page.has_reached(**step, now));
                let reached = reached.max().copied().unwrap_or_default();
                // The next step, or, where there is none, all of them again.
                page.reached = steps.into_iter().find(|step| *step > reached).unwrap_or(reached);
                page.round += 1;
                self.is_saved = false;
            }
        }
        self.clear(now);
    }

    /// Moves what resolved untold into notes, and forgets what has nobody to be told.
    fn clear(&mut self, now: Timestamp) {
        let mut over = Vec::new();
        for (number, page) in &mut self.memory.pages {
            let Some(resolved) = page.resolved() else { continue };
            let mut is_owed = false;
            for route in self.routes.iter().filter(|route| sends_messages(route)) {
                match page.told.get(&route.name) {
                    Some(told) => is_owed |= told.open_round().is_some(),
                    None if route_is_for(route, page)
                        && page.has_reached(route.after, resolved) =>
                    {
                        let notes = self.memory.notes.entry(route.name.clone()).or_default();
                        notes.add(page);
                        // That is all that it will be told of this.
                        page.told.insert(route.name.clone(), Told::default());
                        self.is_saved = false;
                    }
                    None => {}
                }
            }
            // Alertmanager hears of an end with the next post, and else by itself within minutes.
            let is_posted = now.since(resolved) >= REPOST;
            if (!is_owed && is_posted) || now.since(resolved) >= GIVEN_UP {
                over.push(*number);
            }
        }
        for number in over {
            self.memory.pages.remove(&number);
            self.is_saved = false;
        }
    }

    /// Somebody is at an incident, and at all that was told with it. Returns until when that counts.
    pub fn acknowledge(&mut self, ack: &Ack<'_>, now: Timestamp) -> Result<Timestamp, AckError> {
        if !(Duration::from_secs(60)..=ACK_MAX).contains(&ack.lasts) {
            return Err(AckError::Lasts);
        }
        let until = now.saturating_add(ack.lasts);
        let page = self.page_mut(ack.key)?;
        page.ack = Some(Acknowledged { by: ack.by.to_owned(), at: now, until });
        if let Some(text) = ack.comment {
            page.say(Comment { by: ack.by.to_owned(), at: now, text: text.to_owned() });
        }
        self.is_saved = false;
        Ok(until)
    }

    /// Somebody says something of an incident.
    pub fn comment(&mut self, key: &str, comment: Comment) -> Result<(), AckError> {
        self.page_mut(key)?.say(comment);
        self.is_saved = false;
        Ok(())
    }

    fn page_mut(&mut self, key: &str) -> Result<&mut Page, AckError> {
        let is_open = |member: &Member| member.key == key && member.resolved.is_none();
        let mut pages = self.memory.pages.values_mut();
        let page = pages.find(|page| page.members.values().any(is_open));
        page.ok_or_else(|| AckError::Unknown { key: key.to_owned() })
    }

    fn key(&self, number: u64) -> String {
        format!("outlast/{}/{number}", self.vault)
    }
}

impl Notes {
    fn add(&mut self, page: &Page) {
        for member in page.members.values() {
            if self.lines.len() >= NOTED_MAX {
                self.more += 1;
                continue;
            }
            self.lines.push(NoteLine {
                code: page.code.clone(),
                owner: page.owner,
                team: page.team.clone(),
                key: member.key.clone(),
                words: member.words.clone(),
                opened: member.opened,
                resolved: member.resolved.unwrap_or(member.opened),
            });
        }
    }
}

fn route_is_for(route: &Route, page: &Page) -> bool {
    route.is_for(page)
}

/// Whether a route is told page by page.
fn sends_messages(route: &Route) -> bool {
    !matches!(route.kind, Kind::Alertmanager | Kind::Heartbeat)
}
