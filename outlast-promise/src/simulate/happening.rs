//! What can happen to whom, and how often it does.

use std::collections::BTreeMap;
use std::time::Duration;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Happening {
    /// Seconds after the beginning.
    pub at: u64,
    pub what: What,
    pub whom: Whom,
    /// How long it lasts, in seconds; of a clock that is set, by how much.
    pub lasts: u64,
}

/// Whom it befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    Vault,
    Agent(u32),
    Workload(u32),
}

/// The kinds of whom something befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Vault,
    Agent,
    Workload,
}

macro_rules! whats {
    ($($(#[$doc:meta])* $what:ident $code:literal $kind:ident every $every:literal lasts $least:literal - $most:literal;)*) => {
        /// What can happen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum What {
            $($(#[$doc])* $what,)*
        }

        impl What {
            pub const ALL: &[Self] = &[$(Self::$what,)*];

            /// As scenarios call it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$what => $code,)*
                }
            }

            /// Whom it befalls.
            pub fn kind(self) -> Kind {
                match self {
                    $(Self::$what => Kind::$kind,)*
                }
            }

            /// After how many hours it befalls one of its kind again, about, if nothing else is said.
            pub(crate) fn usual_hours(self) -> u64 {
                match self {
                    $(Self::$what => $every,)*
                }
            }

            /// How long it lasts by chance, in seconds: at least, and less than.
            pub(crate) fn usual_length(self) -> (u64, u64) {
                match self {
                    $(Self::$what => ($least, $most),)*
                }
            }
        }
    };
}

whats! {
    /// The vault is started anew at once.
    VaultRestart "vault-restart" Vault every 336 lasts 1 - 120;
    /// The vault is down.
    VaultDown "vault-down" Vault every 2160 lasts 600 - 100000;
    /// What arrives is published when it is over.
    VaultSlow "vault-slow" Vault every 1440 lasts 1800 - 72000;
    /// The vault's clock is set back, by as much.
    ClockBack "clock-back" Vault every 2880 lasts 2 - 10000;
    /// The vault's clock is set forward, by as much, and nobody can tell that from a sleep.
    ClockForward "clock-forward" Vault every 2880 lasts 61 - 20000;
    /// The agent's host is down.
    AgentDown "agent-down" Agent every 1440 lasts 60 - 43200;
    /// Another host takes over, under the same name.
    AgentReplaced "agent-replaced" Agent every 2880 lasts 120 - 2400;
    /// The agent does not reach the vault; drops are made and wait.
    LinkDown "link-down" Agent every 1440 lasts 60 - 259200;
    /// The share is not mounted: not for the agent, and not for instances.
    ShareOut "share-out" Agent every 1440 lasts 60 - 43200;
    /// The backup product begins no job.
    ProductIdle "product-idle" Agent every 2880 lasts 3600 - 400000;
    /// Jobs of the backup product that begin fail.
    JobsFail "jobs-fail" Agent every 2160 lasts 3600 - 300000;
    /// The backup product does not say that it has what it read; afterwards it does.
    NeverConfirms "never-confirms" Agent every 2880 lasts 3600 - 300000;
    /// The directory in which drops are handed over is full, or does not work.
    HandoverFull "handover-full" Agent every 2880 lasts 3600 - 200000;
    HandoverBroken "handover-broken" Agent every 5000 lasts 600 - 100000;
    /// The agent's clock is ahead by twenty minutes.
    AgentClock "agent-clock" Agent every 2160 lasts 3600 - 172800;
    /// A release: green comes up beside blue, both drop, blue vanishes.
    Release "release" Workload every 336 lasts 1 - 2;
    /// The instance vanishes in mid-drop; another one tries again soon, or nobody before the next time.
    Crash "crash" Workload every 480 lasts 1 - 2;
    /// More instances, each of which drops.
    ScaleOut "scale-out" Workload every 960 lasts 3600 - 400000;
    /// Each instance dies in mid-drop, and so does the next.
    CrashLoop "crash-loop" Workload every 6000 lasts 3600 - 400000;
    /// The application makes no drops, and says nothing.
    Stopped "stopped" Workload every 6000 lasts 3600 - 400000;
    /// The next drop does not have the hashes of its seal.
    BadDrop "bad-drop" Workload every 9000 lasts 1 - 2;
    /// Drops are suspiciously small.
    Suspect "suspect" Workload every 9000 lasts 3600 - 200000;
    /// An operator pauses it for as long.
    Pause "pause" Workload every 6000 lasts 3600 - 1700000;
    /// An operator retires it; drops may come for as long. Sometimes it drops on all the same.
    Retire "retire" Workload every 30000 lasts 3600 - 250000;
    /// An operator says that its promise counts.
    Resume "resume" Workload every 20000 lasts 1 - 2;
    /// The backup product has the newest of its drops no more that it had.
    Withdrawn "withdrawn" Workload every 9000 lasts 1 - 2;
    /// The vault does not find its repository.
    RepositoryLost "repository-lost" Workload every 60000 lasts 60 - 170000;
    /// Its team declares half the recovery point objective.
    Tighten "tighten" Workload every 15000 lasts 900000 - 5000000;
    /// An operator gives it another name. Nothing else is another.
    Rename "rename" Workload every 20000 lasts 1 - 2;
    /// Whoever releases says that a release begins, and mostly that it is over after so long.
    Deploy "deploy" Workload every 700 lasts 600 - 40000;
}

impl What {
    /// Whether it is over as soon as it happened.
    pub fn is_momentary(self) -> bool {
        self.usual_length() == (1, 2)
    }

    /// That of which scenarios speak so.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|what| what.as_str() == code)
    }
}

/// After how long each thing befalls one of its kind again, about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chances(BTreeMap<What, Duration>);

impl Chances {
    /// Nothing happens by chance.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything that can happen.
    pub fn usual() -> Self {
        let hours = |what: &What| Duration::from_secs(what.usual_hours() * 3600);
        Self(What::ALL.iter().map(|what| (*what, hours(what))).collect())
    }

    /// One thing comes as often; never if there is no time given.
    pub fn set(&mut self, what: What, every: Option<Duration>) {
        match every {
            Some(every) => drop(self.0.insert(what, every)),
            None => drop(self.0.remove(&what)),
        }
    }

    /// All that comes by chance, and after how long again.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (What, Duration)> + '_ {
        self.0.iter().map(|(what, every)| (*what, *every))
    }
}
