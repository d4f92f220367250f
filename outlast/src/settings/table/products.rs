//! What a vault expects of backup products to which agents hand drops over.

use outlast_promise::HandoverRule;

use super::super::key::{Default, Form, HANDOVER, Key, Kind, Section};

const WITHIN: Kind =
    Kind::Duration { min: HandoverRule::WITHIN_MIN, max: HandoverRule::WITHIN_MAX };

pub(super) const HANDOVERS: Section = Section {
    name: "handovers",
    form: Form::Once,
    keys: &[
        Key {
            name: "owner",
            kind: Kind::Owner,
            default: Default::Value(HandoverRule::OWNER_DEFAULT),
            help: "the team that runs the backup product: it is asked when that does not read, or does not confirm",
        },
        Key {
            name: "route",
            kind: Kind::Text { example: "backup-pager" },
            default: Default::Nothing,
            help: "the name of a `[[route]]` by which it is told, whatever else the routes say",
        },
        Key {
            name: "read_within",
            kind: WITHIN,
            default: Default::Value("26h"),
            help: "how long a drop may lie in a hand-over before a job of the product has read it",
        },
        Key {
            name: "confirm_within",
            kind: WITHIN,
            default: Default::Value("26h"),
            help: "how long after that the product may take to confirm that it has it",
        },
    ],
};

pub(super) const HANDOVER_OF: Section = Section {
    name: HANDOVER,
    form: Form::Named,
    keys: &[
        Key {
            name: "owner",
            kind: Kind::Owner,
            default: Default::SameAs("handovers.owner"),
            help: "the same for one hand-over, by its name",
        },
        Key {
            name: "route",
            kind: Kind::Text { example: "backup-pager" },
            default: Default::SameAs("handovers.route"),
            help: "the same for one hand-over",
        },
        Key {
            name: "read_within",
            kind: WITHIN,
            default: Default::SameAs("handovers.read_within"),
            help: "the same for one hand-over",
        },
        Key {
            name: "confirm_within",
            kind: WITHIN,
            default: Default::SameAs("handovers.confirm_within"),
            help: "the same for one hand-over",
        },
    ],
};
