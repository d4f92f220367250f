//! `[[source]]`: what the agent backs up itself. The keys are the words of `outlast drop`.

use std::time::Duration;

use super::super::key::{ANY, Default, Form, Key, Kind, Section};

/// How often there may be a drop.
const EVERY: Kind =
    Kind::Duration { min: Duration::from_secs(60), max: Duration::from_secs(366 * 86_400) };

pub(super) const SOURCE: Section = Section {
    name: "source",
    form: Form::Listed,
    keys: &[
        Key {
            name: "workload",
            kind: Kind::Workload,
            default: Default::None,
            help: "the workload that this is a backup of",
        },
        Key {
            name: "recipe",
            kind: Kind::OneOf(&["postgres", "mysql", "sqlite", "redis", "files"]),
            default: Default::Nothing,
            help: "how it is read, as `outlast drop RECIPE` does; without one, `paths` or `exec` says what it is",
        },
        Key {
            name: "paths",
            kind: Kind::Words { example: "[\"/etc\", \"/srv/uploads\"]" },
            default: Default::Nothing,
            help: "files and directories, with everything that belongs to them; with `sqlite`, the databases' files",
        },
        Key {
            name: "exec",
            kind: Kind::Words { example: "[\"mongodump\", \"--archive\"]" },
            default: Default::Nothing,
            help: "a command and its arguments: what it prints is the drop, if it ends with 0; no place for a password, since everybody on the host can read it",
        },
        Key {
            name: "name",
            kind: Kind::Text { example: "shop.archive" },
            default: Default::Nothing,
            help: "the name of the file that the output of `exec` becomes, which is the workload's otherwise",
        },
        Key {
            name: "options",
            kind: Kind::Words { example: "[\"--method\", \"directory\"]" },
            default: Default::Nothing,
            help: "more words for `outlast drop`, such as the options of the recipe",
        },
        Key {
            name: "every",
            kind: EVERY,
            default: Default::Value("24h"),
            help: "how often it is dropped: a part of a day that divides it, such as 15m or 6h, or days",
        },
        Key {
            name: "at",
            kind: Kind::Text { example: "02:00" },
            default: Default::Nothing,
            help: "the time of day from which `every` is counted; midnight otherwise",
        },
        Key {
            name: "timezone",
            kind: Kind::Text { example: "Europe/Berlin" },
            default: Default::Nothing,
            help: "the time zone of `at`; the host's otherwise",
        },
        Key {
            name: "jitter",
            kind: Kind::Duration { min: Duration::ZERO, max: ANY },
            default: Default::Nothing,
            help: "begin up to so much later, at random",
        },
        Key {
            name: "exclude",
            kind: Kind::Words { example: "[\"*.tmp\", \"cache/*\"]" },
            default: Default::Nothing,
            help: "leave out what matches one of these patterns",
        },
        Key {
            name: "exclude_from",
            kind: Kind::Words { example: "[\"/etc/outlast/exclude\"]" },
            default: Default::Nothing,
            help: "files with such patterns, one on each line",
        },
        Key {
            name: "exclude_caches",
            kind: Kind::Flag,
            default: Default::Value("false"),
            help: "leave out what directories hold that a file CACHEDIR.TAG marks as caches",
        },
        Key {
            name: "one_file_system",
            kind: Kind::Flag,
            default: Default::Value("false"),
            help: "stay on the file systems of the paths",
        },
        Key {
            name: "environment",
            kind: Kind::Path,
            default: Default::Nothing,
            help: "a file of variables for what reads it, NAME=VALUE on each line, such as a password in PGPASSWORD; only the agent's user may read it",
        },
        Key {
            name: "rpo",
            kind: Kind::RPO,
            default: Default::Nothing,
            help: "how old its newest recovery point may be; policy says that otherwise, and this may only tighten it",
        },
        Key {
            name: "owner",
            kind: Kind::Owner,
            default: Default::Nothing,
            help: "the team that is asked when it is older, unless policy names one",
        },
    ],
};
