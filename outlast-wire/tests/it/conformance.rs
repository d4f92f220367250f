use std::sync::Arc;

use outlast_store::{Kind, MemoryStore, Store, conformance};
use outlast_wire::Role;
use outlast_wire::server::Limits;

use crate::support::{World, name_of};

fn conforms(store: &dyn Store) {
    // Over the wire nobody removes anything but locks.
    let subject = conformance::Subject { store, name_of: &name_of, removable: &[Kind::Lock] };
    conformance::check(subject).unwrap();
}

#[test]
fn a_directory_behind_the_wire_keeps_the_contract() {
    let world = World::new();
    let server = world.server();
    let store = world.store(&server, Role::Operator);
    store.create_layout().unwrap();
    conforms(&store);
    store.create_layout().unwrap();
    assert!(store.size(&outlast_store::Object::Config).is_ok(), "a second create is harmless");
}

#[test]
fn memory_behind_the_wire_keeps_the_contract() {
    let world = World::new();
    let server = world.server_of(Arc::new(MemoryStore::new()), Limits::default());
    conforms(&world.store(&server, Role::Operator));
}
