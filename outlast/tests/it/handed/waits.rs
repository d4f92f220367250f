//! Drops that still wait for their way to the vault when the product has them.

use outlast_handover::State;

use super::world::World;
use crate::harness::{document, wait_until};

#[test]
fn i1_what_waits_to_be_shipped_and_need_not_be_leaves_the_share_when_it_and_a_newer_one_are_confirmed()
 {
    // The vault takes nothing of it, and hears all the same what the product has.
    let settings = [("OUTLAST_PROMISE_SAFE", "either"), ("OUTLAST_LIMITS_WORKLOAD_STORED", "1KiB")];
    let mut world = World::with("frees = \"either\"", &settings);
    let first = world.drop("shop", 100_000, 1);
    world.wait_for(&first, State::Offered);
    let second = world.drop("shop", 100_000, 2);
    let offered = world.wait_for(&second, State::Offered);
    let before = world.passes();
    wait_until("some passes go by", || world.passes() >= before + 8);
    assert!(world.is_on_share("shop", &first) && world.is_on_share("shop", &second));
    // The newer one alone frees nothing.
    world.run_job_of("host_1", &offered.path);
    world.up.wait_for_receipt("shop", &second, "confirmed");
    let before = world.passes();
    wait_until("some passes go by", || world.passes() >= before + 8);
    assert!(world.is_on_share("shop", &first));
    world.run_job("host_2");
    wait_until("the first is freed", || {
        !world.is_on_share("shop", &first) && world.find(&first).is_none()
    });
    assert!(world.up.receipt("shop", &first, "released").exists());
    assert!(world.is_on_share("shop", &second) && world.find(&second).is_some());
    for drop in [&first, &second] {
        assert!(!world.up.receipt("shop", drop, "vaulted").exists());
    }
    let shown = document(&mut world.up.ask(&["workload", "show", "shop", "--json"]));
    assert_eq!(shown["workloads"][0]["state"], "fresh", "{shown}");
    world.up.role.stop();
}
