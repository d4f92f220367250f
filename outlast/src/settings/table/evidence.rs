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

/// How far a drill goes, and which snapshot it takes.
const LEVELS: Kind = Kind::OneOf(&["load", "stream"]);
const PICKS: Kind = Kind::OneOf(&["newest", "random"]);
const EVERY: Kind = Kind::Duration { min: Duration::from_secs(1), max: ANY };

pub(super) const DRILLS: Section = Section {
    name: "drills",
    form: Form::Once,
    keys: &[
        Key {
            name: "every",
            kind: EVERY,
            default: Default::Nothing,
            help: "a good drill of each workload within this time; without it, drills are done when somebody asks",
        },
        Key {
            name: "level",
            kind: LEVELS,
            default: Default::Value("load"),
            help: "`load` restores, loads and asks; `stream` reads, verifies and parses",
        },
        Key {
            name: "pick",
            kind: PICKS,
            default: Default::Value("newest"),
            help: "which snapshot is brought back: the `newest` good one, or a `random` one",
        },
        Key {
            name: "scratch",
            kind: Kind::Path,
            default: Default::Nothing,
            help: "space for drills; else `scratch` in `vault.dir`",
        },
        Key {
            name: "rate",
            kind: Kind::Size,
            default: Default::Value("64MiB"),
            help: "how much is read for drills in a second, at most",
        },
        Key {
            name: "time_max",
            kind: EVERY,
            default: Default::Value("6h"),
            help: "a drill that takes longer is ended, and has failed",
        },
    ],
};

pub(super) const DRILL_EVERY: Key = Key {
    name: "drill_every",
    kind: EVERY,
    default: Default::Nothing,
    help: "a good drill within this time; else as its class, or `drills.every`",
};
pub(super) const DRILL_LEVEL: Key = Key {
    name: "drill_level",
    kind: LEVELS,
    default: Default::SameAs("drills.level"),
    help: "how far its drills go",
};
pub(super) const DRILL_PICK: Key = Key {
    name: "drill_pick",
    kind: PICKS,
    default: Default::SameAs("drills.pick"),
    help: "which of its snapshots is brought back",
};
/// The same of classes, where nothing stands for what is not said.
pub(super) const CLASS_DRILL_LEVEL: Key = Key { default: Default::Nothing, ..DRILL_LEVEL };
pub(super) const CLASS_DRILL_PICK: Key = Key { default: Default::Nothing, ..DRILL_PICK };
pub(super) const DRILL_RECIPE: Key = Key {
    name: "drill_recipe",
    kind: Kind::OneOf(&["postgresql", "mariadb", "sqlite", "files"]),
    default: Default::Nothing,
    help: "what is done with it; else what its first bytes say",
};
pub(super) const DRILL_CHECK: Key = Key {
    name: "drill_check",
    kind: Kind::Text { example: "SELECT count(*) FROM orders" },
    default: Default::Nothing,
    help: "what the loaded database is asked; an answer that is empty, 0 or false fails the drill",
};
pub(super) const DRILL_COMMAND: Key = Key {
    name: "drill_command",
    kind: Kind::Words { example: "[\"/usr/local/bin/check-shop\"]" },
    default: Default::Nothing,
    help: "a program of the vault's host that looks at the restored files in its working directory, in place of a recipe",
};

pub(super) const REPORTS: Section = Section {
    name: "reports",
    form: Form::Once,
    keys: &[Key {
        name: "zone",
        kind: Kind::Text { example: "Europe/Berlin" },
        default: Default::Value("UTC"),
        help: "the time zone in which months begin",
    }],
};
