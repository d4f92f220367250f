//! The agent itself asks a real product what it has, and frees by its word.

use outlast_handover::{State, verify};
use outlast_types::Silent;

use super::world::World;
use crate::harness::{scratch, wait_until};
use crate::products::bacula::{Bacula, Plan, is_here};
use crate::products::hooks::hooks;

#[test]
fn an_agent_asks_a_real_bacula_by_itself_and_frees_what_it_has() {
    if !is_here() {
        return;
    }
    let temporary = scratch();
    let home = temporary.path().join("bacula");
    let mut world = World::new(&format!(
        "layout = \"plain\"\n[handover.confirm]\nwith = \"bacula\"\nevery = \"5s\"\nbconsole_config = {:?}",
        home.join("outlast.conf").display().to_string()
    ));
    let first = world.drop("shop", 300_000, 1);
    world.wait_for(&first, State::Offered);
    let hooks = hooks(temporary.path(), &world.product(), "", "");
    let plan = Plan { directory: world.product(), hooks, volume: "500M", pace: "50m/s" };
    let bacula = Bacula::start(&home, &plan);
    let (_, status) = bacula.run("Handed", "Full");
    assert_eq!(status, 'T', "{}", bacula.log());
    world.wait_for(&first, State::Confirmed);
    let confirmed = world.up.wait_for_receipt("shop", &first, "confirmed");
    let evidence = &confirmed["handover"]["jobs"][0];
    assert_eq!(evidence["product"], "Bacula");
    assert!(evidence["by"].as_str().unwrap().starts_with("bconsole on "), "{evidence}");
    let second = world.drop("shop", 300_000, 2);
    world.wait_for(&second, State::Offered);
    let (_, status) = bacula.run("Handed", "Incremental");
    assert_eq!(status, 'T', "{}", bacula.log());
    wait_until("the first is freed", || {
        !world.is_on_share("shop", &first) && world.find(&first).is_none()
    });
    // Bacula brings back what has left.
    let restored = temporary.path().join("restored");
    bacula.restore(&restored);
    let found = verify::search(&restored).unwrap();
    let ids: Vec<String> =
        found.drops.iter().map(|it| it.manifest.key().drop.to_string()).collect();
    assert!(ids.contains(&first) && ids.contains(&second), "{ids:?}");
    for found in &found.drops {
        assert!(verify::verify(found, &Silent).unwrap().is_well());
    }
    world.up.role.stop();
}
