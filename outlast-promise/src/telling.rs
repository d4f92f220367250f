//! How a workload stands, in one sentence with human times; and what to do next.

use outlast_types::{Safe, Timestamp, human};

use crate::class::Freshness;
use crate::handed::HandoverId;
use crate::promise::State;
use crate::status::WorkloadStatus;

impl WorkloadStatus {
    /// `shop-db is broken: last vaulted drop received 26 h 10 min ago, promise 24 h; …`.
    pub fn sentence(&self, now: Timestamp) -> String {
        let Self { workload, state, .. } = self;
        let state_word = match state {
            State::NeverSeen => "was never seen",
            state => &format!("is {}", state.as_str()),
        };
        let mut parts = vec![format!("{workload} {state_word}: {}", self.facts(now))];
        parts.extend(self.reason(now));
        if let (State::Broken, Some(quiet)) = (state, &self.quiet) {
            parts.push(format!("pages wait until {} ({})", self.shown(quiet.until), quiet.why));
        }
        parts.join("; ")
    }

    /// What was promised and what is there.
    fn facts(&self, now: Timestamp) -> String {
        let ago = |at: Timestamp| format!("{} ago", human::duration(now.since(at)));
        let (safe, known) = (self.promise.class().safe, self.known_since);
        let last = match (safe, self.last_safe) {
            (Safe::Vaulted, Some(at)) => format!("last vaulted drop received {}", ago(at)),
            (safe, Some(at)) => format!("the newest drop that is {} came {}", safe.done(), ago(at)),
            (safe, None) => {
                format!("nothing was {} since it became known {}", safe.done(), ago(known))
            }
        };
        let until = |what: &str| match self.until {
            Some(until) => format!("{what} until {}, {last}", self.shown(until)),
            None => last.clone(),
        };
        match self.state {
            State::Paused => until("its promise does not count"),
            State::Retiring => until("drops that were under way are no surprise"),
            State::Retired => match self.retired {
                Some(at) => format!("it drops no more since {}, {last}", ago(at)),
                None => last,
            },
            State::Undeclared => format!(
                "{last}, and nobody has declared it, so it is kept by the default: {}",
                self.promised()
            ),
            State::Broken => format!("{last}, promise {}", self.promised()),
            State::NeverSeen | State::Fresh | State::Late => {
                let left = human::duration(self.due.since(now));
                format!("{last}, promise {}, the next is due in {left}", self.promised())
            }
        }
    }

    fn promised(&self) -> String {
        let class = self.promise.class();
        match (&class.freshness, self.promise.rpo()) {
            (Freshness::Rpo(_), Some(rpo)) => human::duration(rpo),
            (Freshness::Schedule { .. }, _) => {
                format!("one by {} ({})", self.shown(self.due), self.promise)
            }
            (Freshness::Rpo(rpo), None) => human::duration(*rpo),
        }
    }

    /// Why there is nothing newer, as far as that is known.
    fn reason(&self, now: Timestamp) -> Option<String> {
        let is_asked = matches!(self.state, State::Broken | State::Late | State::NeverSeen);
        if let Some(missing) = &self.missing {
            return Some(format!("its repository is not whole: {missing}"));
        }
        if !is_asked {
            return self.content_problem.clone();
        }
        if let Some(why) = self.lies(now) {
            return Some(why);
        }
        if let Some(since) = self.waiting_since {
            let waits = human::duration(now.since(since));
            return Some(format!("a sealed drop waits on its share for {waits}"));
        }
        if let Some(rejected) = &self.rejected {
            return Some(format!("its newest drop was rejected: {rejected}"));
        }
        if let Some((drop, at, why)) = &self.suspect {
            let ago = human::duration(now.since(*at));
            return Some(format!("drop {drop} came {ago} ago and does not count: {why}"));
        }
        if let Some(stopped) = &self.stopped {
            return Some(stopped.sentence(|at| self.shown(at)));
        }
        let failing = self.failing.as_ref().map(|why| format!("its agent cannot make one: {why}"));
        failing.or_else(|| self.content_problem.clone())
    }

    /// What keeps a backup product from confirming it, where that counts.
    fn lies(&self, now: Timestamp) -> Option<String> {
        let safe = self.promise.class().safe;
        let handover = self.handover.as_ref().filter(|_| safe.counts_confirmed())?;
        if let Some(withdrawn) = &self.withdrawn {
            return Some(format!("the backup product has what it confirmed no more: {withdrawn}"));
        }
        let (since, read) = self.unconfirmed?;
        let HandoverId { agent, name } = handover;
        let lies = human::duration(now.since(since));
        let read = if read { "read, and not confirmed" } else { "and no job has read it" };
        Some(format!("a drop lies in the hand-over {name} of agent {agent} for {lies}, {read}"))
    }

    /// What somebody can do about it; nothing if all is well.
    pub fn next_step(&self) -> Option<String> {
        let Self { workload, .. } = self;
        if self.missing.is_some() {
            return Some(format!(
                "put its repository back; if it is lost for good, `outlast workload recreate {workload}`"
            ));
        }
        match self.state {
            State::Undeclared => Some(format!(
                "declare it: write [workloads.{workload}] or a pattern into the vault's policy, or let \
                 its team write a workload.toml"
            )),
            State::Retired if self.last_vaulted > self.retired => {
                Some(format!("`outlast workload resume {workload}`, if it lives"))
            }
            State::Broken | State::Late | State::NeverSeen => Some(self.remedy()),
            State::Fresh | State::Paused | State::Retiring | State::Retired => None,
        }
    }

    fn remedy(&self) -> String {
        let Self { workload, .. } = self;
        let safe = self.promise.class().safe;
        if let (Some(handover), Some(_), true) =
            (&self.handover, &self.unconfirmed, safe.counts_confirmed())
        {
            return format!(
                "ask the backup team for its jobs; on the agent's host, `outlast handover status {}` tells \
                 what it is waiting for",
                handover.name
            );
        }
        if self.waiting_since.is_some() {
            return "look at the agent's log and its way to the vault: the application has done its part"
                .to_owned();
        }
        if self.rejected.is_some() || self.suspect.is_some() {
            return format!(
                "look at that drop; if it is right as it is, `outlast share accept DROP`; else let \
                 {workload} drop again"
            );
        }
        if let Some(stopped) = &self.stopped {
            return format!(
                "look at what ended the backup on {}, and drop again: `outlast drop --share S \
                 --workload {workload} …`",
                stopped.instance
            );
        }
        match (&self.failing, self.last_vaulted) {
            (Some(_), _) => "mend what the agent names: it tries again by itself".to_owned(),
            (None, None) => format!(
                "check that an instance of {workload} mounts the share and drops: `outlast drop --share \
                 S --workload {workload} …`"
            ),
            (None, Some(_)) => format!(
                "check that the instances of {workload} still drop and seal; if it ended for good, \
                 `outlast workload retire {workload}`"
            ),
        }
    }

    /// A moment in the time zone of its class.
    fn shown(&self, at: Timestamp) -> String {
        self.promise.class().zone.show(at)
    }
}
