//! `[[adopt]]`: which files on the share become drops.

use std::time::Duration;

use super::super::key::{Default, Form, Key, Kind, Section};
use super::ANY;

pub(super) const ADOPT: Section = Section {
    name: "adopt",
    form: Form::Listed,
    keys: &[
        Key {
            name: "glob",
            kind: Kind::Text { example: "dumps/{workload}/*.dump" },
            default: Default::None,
            help: "which files on the share become drops: a path from its root; `*` stands for any part of a name, `{word}` for one that is captured",
        },
        Key {
            name: "workload",
            kind: Kind::Text { example: "{workload}-db" },
            default: Default::Nothing,
            help: "the workload of the files, made of what the glob captures; `{workload}` if it is not set",
        },
        Key {
            name: "settle",
            kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
            default: Default::Value("10m"),
            help: "how long a file must not have changed before it is believed",
        },
        Key {
            name: "group",
            kind: Kind::Words { example: "[\"{base}.md5\"]" },
            default: Default::Nothing,
            help: "the names of other files beside that of the glob which belong to it: all together are one drop",
        },
        Key {
            name: "max_age",
            kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
            default: Default::Nothing,
            help: "files that were last changed before that are left alone",
        },
        Key {
            name: "remove_after",
            kind: Kind::OneOf(&["never", "vaulted"]),
            default: Default::Value("never"),
            help: "when a file that was adopted is removed: never, or when the vault says that it holds it",
        },
        Key {
            name: "workloads",
            kind: Kind::Count,
            default: Default::Value("1000"),
            help: "the most workloads that the files may be of",
        },
    ],
};
