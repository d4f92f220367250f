//! What the vault does to know that backups can be had.

use std::time::Duration;

use super::super::key::{ANY, Default, Form, Key, Kind, Section};

pub(super) const SCRUB: Section = Section {
    name: "scrub",
    form: Form::Once,
    keys: &[
        Key {
            name: "period",
            kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
            default: Default::Value("30d"),
            help: "all data of every repository is read and verified within this time",
        },
        Key {
            name: "rate",
            kind: Kind::Size,
            default: Default::Value("32MiB"),
            help: "how much is read for that in a second, at most",
        },
    ],
};
