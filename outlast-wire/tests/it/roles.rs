use std::sync::Arc;

use outlast_store::{Kind, MemoryStore, Object, Store, StoreError, Verb};
use outlast_wire::access::{self, Action, Reach};
use outlast_wire::server::Limits;
use outlast_wire::{RestStore, Role};

use crate::support::{World, sample};

/// Does `verb` and tells whether it was refused.
fn refused(store: &dyn Store, verb: Verb, kind: Kind, tag: &str) -> bool {
    let (object, content) = sample(kind, tag);
    let refused = |error: StoreError| match error {
        StoreError::Refused { reason, .. } => {
            // The answer to HEAD has no body that could say more.
            let said = reason.contains("may not") && reason.contains(kind.directory());
            assert!(said || reason.contains("403"), "{reason}");
            true
        }
        StoreError::List { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
        StoreError::NotFound { .. } | StoreError::AlreadyExists { .. } => false,
        error => panic!("{error}"),
    };
    match verb {
        Verb::Create => store.create(&object, content).is_err_and(refused),
        Verb::Read => store.read(&object).is_err_and(refused),
        Verb::Size => store.size(&object).is_err_and(refused),
        Verb::List if kind == Kind::Config => store.size(&Object::Config).is_err_and(refused),
        Verb::List => store.list(kind).is_err_and(refused),
        Verb::Remove => store.remove(&object).is_err_and(refused),
    }
}

/// For a host that knows no more than the table: of tickets, for one, a vault's test tells.
#[test]
fn over_the_wire_each_role_can_do_what_the_table_says_and_nothing_else() {
    let world = World::new();
    let server = world.server_of(Arc::new(MemoryStore::new()), Limits::default());
    for role in Role::ALL {
        for (pattern, is_granted) in [("shop-*", true), ("crm-*", false)] {
            let identity = world.identity_granted(role, pattern);
            let store = RestStore::open(&server.repository(), Some(&identity)).unwrap();
            for kind in Kind::LISTED.into_iter().chain([Kind::Config]) {
                for verb in Verb::ALL {
                    let reach = access::reach(role, Action::Object { verb, kind });
                    let allowed = is_granted && reach == Reach::Granted;
                    let tag = format!("{role}{kind}");
                    let refused = refused(&store, verb, kind, &tag);
                    assert_eq!(refused, !allowed, "{role} {verb} {kind} by {pattern}");
                }
            }
        }
    }
}

#[test]
fn an_agent_adds_but_cannot_read_back_remove_or_replace() {
    let world = World::new();
    let server = world.server_of(Arc::new(MemoryStore::new()), Limits::default());
    let agent = world.store(&server, Role::Agent);
    let (pack, content) = sample(Kind::Data, "pack");
    agent.create(&pack, content.clone()).unwrap();
    assert!(matches!(agent.read(&pack), Err(StoreError::Refused { .. })));
    assert!(matches!(agent.read_range(&pack, 0, 1), Err(StoreError::Refused { .. })));
    assert!(matches!(agent.remove(&pack), Err(StoreError::Refused { .. })));
    assert!(matches!(agent.create(&pack, content), Err(StoreError::AlreadyExists { .. })));
    assert_eq!(agent.size(&pack).unwrap(), 4);
    let message = agent.read(&pack).unwrap_err().to_string();
    assert!(message.contains("agent test may not read data"), "{message}");
    assert_eq!(&world.store(&server, Role::Reader).read(&pack).unwrap()[..], b"pack");
}

#[test]
fn an_unknown_workload_is_not_found() {
    let world = World::new();
    let server = world.server();
    let store = world.store(&server, Role::Operator);
    assert!(matches!(store.read(&Object::Config), Err(StoreError::NotFound { .. })));
    assert!(store.list(Kind::Data).is_err());
}
