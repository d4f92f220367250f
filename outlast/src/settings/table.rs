//! The keys that each role's configuration knows.

mod adopt;
mod evidence;
mod handover;
mod media;
mod products;
pub(crate) mod promise;
mod retention;
mod route;
mod source;

use std::time::Duration;

use super::key::{AGENTS, ANY, Default, Form, Key, Kind, RoleKeys, Section, VAULT_ROLE};

pub(crate) use media::MEDIA;

/// `agent.toml`.
pub(crate) const AGENT: RoleKeys = RoleKeys {
    name: "agent",
    sections: &[
        Section {
            name: "agent",
            form: Form::Once,
            keys: &[
                Key {
                    name: "share",
                    kind: Kind::Path,
                    default: Default::Unless("source"),
                    help: "where the share is mounted; without one, what `[[source]]` drops lies in `state` until it is vaulted",
                },
                Key {
                    name: "state",
                    kind: Kind::Path,
                    default: Default::None,
                    help: "the agent's own directory; may be lost at any time",
                },
                Key {
                    name: "upstream",
                    kind: Kind::Urls,
                    default: Default::None,
                    help: "the address of the vault, or of a media server on the way to it; several are tried in turn",
                },
                Key {
                    name: "identity",
                    kind: Kind::Path,
                    default: Default::None,
                    help: "the directory of the agent's identity",
                },
                Key {
                    name: "poll",
                    kind: Kind::Duration { min: Duration::from_millis(10), max: ANY },
                    default: Default::Value("30s"),
                    help: "the pause between two passes over the share",
                },
                Key {
                    name: "grace",
                    kind: Kind::Duration { min: Duration::ZERO, max: ANY },
                    default: Default::Value("1h"),
                    help: "how long a drop must be still before its writer counts as dead",
                },
                Key {
                    name: "keep",
                    kind: Kind::Count,
                    default: Default::Value("2"),
                    help: "how many vaulted drops of each workload stay on the share; none where it is the agent's own",
                },
                Key {
                    name: "receipts_keep",
                    kind: Kind::Duration { min: Duration::ZERO, max: ANY },
                    default: Default::Value("30d"),
                    help: "how long the receipts of a drop that has left the share stay there, after the vault has its record",
                },
                Key {
                    name: "budget",
                    kind: Kind::Size,
                    default: Default::Value("unlimited"),
                    help: "how many bytes one workload may have on the share; beyond, its writers are refused, and nothing is removed",
                },
                Key {
                    name: "share_budget",
                    kind: Kind::Size,
                    default: Default::Value("unlimited"),
                    help: "how many bytes may lie on the share; beyond, the writers of those who have most of it are refused",
                },
                Key {
                    name: "fetch_from",
                    kind: Kind::OneOf(&["owner", "anyone", "nobody"]),
                    default: Default::Value("owner"),
                    help: "who may ask for a workload's backups over the share, if the vault's policy lets them have any: `owner`, whose group or user writes to that workload's directory and not to all; `anyone` who can write there; `nobody`",
                },
                Key {
                    name: "fetch_budget",
                    kind: Kind::Size,
                    default: Default::Value("100GiB"),
                    help: "how many bytes of backups that are brought back may lie on the share; what is larger is refused",
                },
                Key {
                    name: "fetch_keep",
                    kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
                    default: Default::Value("6h"),
                    help: "how long a backup that was brought back stays on the share for those who asked for it",
                },
                Key {
                    name: "report",
                    kind: Kind::Duration { min: Duration::ZERO, max: ANY },
                    default: Default::Value("30s"),
                    help: "how often the vault hears of the agent when nothing is new",
                },
                Key {
                    name: "vault_silence",
                    kind: Kind::Duration { min: Duration::from_secs(120), max: ANY },
                    default: Default::Value("15m"),
                    help: "how long nothing may be heard from the vault before each `[[route]]` is told, once; and once when it is back. Taken over by SIGHUP",
                },
                Key {
                    name: "patience",
                    kind: Kind::Duration { min: Duration::ZERO, max: ANY },
                    default: Default::Value("15s"),
                    help: "how long a problem must last before the vault hears of it",
                },
                Key {
                    name: "loads_at_once",
                    kind: Kind::Count,
                    default: Default::Value("8"),
                    help: "how many drops are read and sent side by side, each of another workload; two at least, of which one place is for what is quick; each takes about 10 MiB of memory, beside 80 MiB for all together",
                },
                Key {
                    name: "drop_max",
                    kind: Kind::Size,
                    default: Default::Value("8TiB"),
                    help: "the most content of one drop; a larger one is rejected unread, and taken when this is raised",
                },
                Key {
                    name: "ratio_max",
                    kind: Kind::Count,
                    default: Default::Value("10000"),
                    help: "how many bytes of content may come of one byte on the share, in drops above 16 GiB: holes and what compresses absurdly are rejected unread; 0 takes any",
                },
                Key {
                    name: "seal_key",
                    kind: Kind::Path,
                    default: Default::Nothing,
                    help: "the secret keys, one on each line, for what `outlast drop --seal-to` encrypts; `outlast share key` makes one",
                },
                Key {
                    name: "sources_at_once",
                    kind: Kind::Count,
                    default: Default::Value("2"),
                    help: "how many of `[[source]]` are read side by side; the others wait for their turn",
                },
                Key {
                    name: "textfile",
                    kind: Kind::Path,
                    default: Default::Nothing,
                    help: "where to write the agent's figures for a node_exporter; the vault hears of them in any case",
                },
            ],
        },
        Section {
            name: "workloads",
            form: Form::Named,
            keys: &[
                Key {
                    name: "drop_max",
                    kind: Kind::Size,
                    default: Default::SameAs("agent.drop_max"),
                    help: "the same for one workload",
                },
                Key {
                    name: "budget",
                    kind: Kind::Size,
                    default: Default::SameAs("agent.budget"),
                    help: "the same for one workload",
                },
            ],
        },
        source::SOURCE,
        adopt::ADOPT,
        handover::HANDOVER,
        route::ROUTE,
    ],
};

/// `vault.toml`.
pub(crate) const VAULT: RoleKeys = RoleKeys {
    name: VAULT_ROLE,
    sections: &[
        Section {
            name: "vault",
            form: Form::Once,
            keys: &[
                Key {
                    name: "dir",
                    kind: Kind::Path,
                    default: Default::None,
                    help: "where repositories, keys and catalog are kept",
                },
                Key {
                    name: "listen",
                    kind: Kind::Listen,
                    default: Default::None,
                    help: "where the vault listens",
                },
                Key {
                    name: "identity",
                    kind: Kind::Path,
                    default: Default::None,
                    help: "the directory of the vault's identity",
                },
                Key {
                    name: "issuer",
                    kind: Kind::Path,
                    default: Default::Nothing,
                    help: "the directory of the issuer by which the vault issues certificates",
                },
                Key {
                    name: "metrics_listen",
                    kind: Kind::ListenHere,
                    default: Default::Nothing,
                    help: "where metrics are shown on this host, without TLS; behind TLS they always are",
                },
                Key {
                    name: "agent_deadline",
                    kind: Kind::Duration { min: Duration::from_secs(2), max: ANY },
                    default: Default::Value("5m"),
                    help: "how long an agent may be silent before that is an incident",
                },
                Key {
                    name: "save_state",
                    kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
                    default: Default::Value("1m"),
                    help: "how often the vault saves itself beside its repositories, if it changed",
                },
                Key {
                    name: "withhold",
                    kind: Kind::Duration { min: Duration::ZERO, max: ANY },
                    default: Default::Value("7d"),
                    help: "how long a vault that was brought back waits for silent agents",
                },
            ],
        },
        promise::PROMISE,
        promise::CLASS_SECTION,
        Section {
            name: "sanity",
            form: Form::Once,
            keys: &[
                Key {
                    name: "min_size",
                    kind: Kind::Size,
                    default: Default::Value("1B"),
                    help: "the fewest bytes that can be a backup: a smaller drop is suspect, which is kept and counts for nothing",
                },
                Key {
                    name: "shrink_max",
                    kind: Kind::Percent,
                    default: Default::Value("50"),
                    help: "by how many percent a drop may be smaller than those before it, or have fewer entries, before it is suspect",
                },
                Key {
                    name: "floor",
                    kind: Kind::Size,
                    default: Default::Value("1MiB"),
                    help: "how many bytes less are no matter, whatever part of a drop they are",
                },
                Key {
                    name: "kinds",
                    kind: Kind::Contents,
                    default: Default::Value("[]"),
                    help: "what the content of a drop can be, by itself or packed; another kind is suspect, and nothing is if this is empty",
                },
            ],
        },
        retention::RETENTION,
        Section {
            name: "limits",
            form: Form::Once,
            keys: &[
                Key {
                    name: "new_workloads",
                    kind: Kind::Count,
                    default: Default::Value("10000"),
                    help: "how many workloads an agent may begin a day",
                },
                Key {
                    name: "reported_workloads",
                    kind: Kind::Count,
                    default: Default::Value("10000"),
                    help: "how many workloads may be known by an agent's word alone, with nothing vaulted",
                },
                Key {
                    name: "received",
                    kind: Kind::Size,
                    default: Default::Value("16TiB"),
                    help: "how much an agent may send a day",
                },
                Key {
                    name: "objects",
                    kind: Kind::Count,
                    default: Default::Value("1000000"),
                    help: "how many objects an agent may send a day",
                },
                Key {
                    name: "stored",
                    kind: Kind::Size,
                    default: Default::Value("unlimited"),
                    help: "how much may be stored of all workloads that an agent began",
                },
                Key {
                    name: "requests",
                    kind: Kind::Count,
                    default: Default::Value("500"),
                    help: "how many requests an agent may make a second",
                },
                Key {
                    name: "workload_stored",
                    kind: Kind::Size,
                    default: Default::Value("unlimited"),
                    help: "how much may be stored of one workload, whoever sends it",
                },
            ],
        },
        route::ROUTE,
        products::HANDOVERS,
        products::HANDOVER_OF,
        evidence::SCRUB,
        evidence::DRILLS,
        evidence::REPORTS,
        Section {
            name: AGENTS,
            form: Form::Named,
            keys: &[
                Key {
                    name: "workloads",
                    kind: Kind::Patterns,
                    default: Default::Value("*"),
                    help: "the workloads that are left to one agent, of those that its certificate grants",
                },
                Key {
                    name: "new_workloads",
                    kind: Kind::Count,
                    default: Default::SameAs("limits.new_workloads"),
                    help: "the same for one agent, by the name in its certificate",
                },
                Key {
                    name: "reported_workloads",
                    kind: Kind::Count,
                    default: Default::SameAs("limits.reported_workloads"),
                    help: "the same for one agent",
                },
                Key {
                    name: "received",
                    kind: Kind::Size,
                    default: Default::SameAs("limits.received"),
                    help: "the same for one agent",
                },
                Key {
                    name: "objects",
                    kind: Kind::Count,
                    default: Default::SameAs("limits.objects"),
                    help: "the same for one agent",
                },
                Key {
                    name: "stored",
                    kind: Kind::Size,
                    default: Default::SameAs("limits.stored"),
                    help: "the same for one agent",
                },
                Key {
                    name: "requests",
                    kind: Kind::Count,
                    default: Default::SameAs("limits.requests"),
                    help: "the same for one agent",
                },
            ],
        },
        Section {
            name: "workloads",
            form: Form::Named,
            keys: &[
                evidence::DRILL_EVERY,
                evidence::DRILL_LEVEL,
                evidence::DRILL_PICK,
                evidence::DRILL_RECIPE,
                evidence::DRILL_CHECK,
                evidence::DRILL_COMMAND,
                Key {
                    name: "stored",
                    kind: Kind::Size,
                    default: Default::SameAs("limits.workload_stored"),
                    help: "how much may be stored of this one workload",
                },
                Key {
                    name: "members",
                    kind: Kind::Words { example: "[\"shop-db.1\", \"shop-db.2\"]" },
                    default: Default::Nothing,
                    help: "the workloads of which this one consists, such as its shards: what is said here holds for each of them, and its promise is kept while each of theirs is",
                },
                Key {
                    name: "fetch",
                    kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
                    default: Default::Nothing,
                    help: "how old a backup the instances of this workload may have back over the share, by `outlast fetch`; without it, they may have none",
                },
                Key {
                    name: "rpo",
                    kind: Kind::RPO,
                    default: Default::SameAs("promise.rpo"),
                    help: "the same for one workload, or for all that a pattern means, such as `[workloads.\"shop-*\"]`; what its share declares may tighten it",
                },
                Key {
                    name: "owner",
                    kind: Kind::Owner,
                    default: Default::SameAs("promise.owner"),
                    help: "the same for one workload, or for all that a pattern means; whom its share names is told, too",
                },
                promise::CLASS,
                promise::SCHEDULE,
                promise::DEADLINE,
                promise::ZONE,
                promise::WEEKDAYS,
                promise::HOLIDAYS,
                promise::MAINTENANCE,
                promise::SAFE,
                promise::DEPLOY_GRACE,
                promise::RESTORE_WHY,
                promise::ROUTE,
                retention::KEEP,
                retention::IMMUTABLE_FOR,
                Key {
                    name: "min_size",
                    kind: Kind::Size,
                    default: Default::SameAs("sanity.min_size"),
                    help: "the same for one workload; what its workload.toml says may tighten it",
                },
                Key {
                    name: "shrink_max",
                    kind: Kind::Percent,
                    default: Default::SameAs("sanity.shrink_max"),
                    help: "the same for one workload; what its workload.toml says may tighten it",
                },
                Key {
                    name: "floor",
                    kind: Kind::Size,
                    default: Default::SameAs("sanity.floor"),
                    help: "the same for one workload; what its workload.toml says may tighten it",
                },
                Key {
                    name: "kinds",
                    kind: Kind::Contents,
                    default: Default::SameAs("sanity.kinds"),
                    help: "the same for one workload; what its workload.toml says may tighten it",
                },
            ],
        },
    ],
};

/// Every role that has a configuration.
pub(crate) const ROLES: [&RoleKeys; 3] = [&AGENT, &MEDIA, &VAULT];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_what_its_key_takes() {
        for section in ROLES.iter().flat_map(|role| role.sections) {
            for key in section.keys {
                match key.default {
                    Default::Value(text) => drop(key.kind.read(text).unwrap()),
                    Default::SameAs(other) => {
                        let (section, key) = other.split_once('.').unwrap();
                        let sections = ROLES.iter().filter_map(|role| role.section(section));
                        let mut keys = sections.flat_map(|section| section.keys);
                        assert!(keys.any(|known| known.name == key), "{other}");
                    }
                    Default::None | Default::Unless(_) | Default::Nothing => {}
                }
            }
        }
    }
}
