//! Drops that wait at media servers, and what a vault lacks of them.

use super::*;

fn waits() -> Told {
    let at = vec!["eu-1".to_owned()];
    Told::Deliver(Err(Failure::Waiting(Waiting { at, shipped: None })))
}

#[test]
fn what_waits_at_a_media_server_is_asked_for_soon_and_is_no_problem_of_anybody() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Shipped);
    for attempt in 0..ASKED_OFTEN + 3 {
        let step = dock.step(&mut drop, waits());
        assert_eq!((step.actions.len(), step.problems.len()), (0, 0));
        assert_eq!((drop.hop, step.turn), (Hop::Shipped, Some(Turn::Overtake)));
        assert_eq!(dock.is_held_up(&drop), Some(Turn::Overtake));
        assert_eq!(dock.is_held_up(&parcel(2, Hop::Sealed)), None, "the newer ones go on");
        assert_eq!(dock.shipper.in_transit(), (1, vec!["eu-1".to_owned()]));
        dock.advance(if attempt < ASKED_OFTEN { 30 } else { 600 });
        assert_eq!(dock.is_held_up(&drop), None, "attempt {attempt}");
    }
    assert_eq!(dock.shipper.failures(), 0);
    let secured = dock.secured(&drop, Role::Vault, VAULTED);
    dock.step(&mut drop, Told::Deliver(Ok(secured)));
    assert_eq!(dock.shipper.in_transit(), (0, Vec::new()));
}

#[test]
fn what_waited_for_long_at_a_media_server_that_lost_it_is_sent_again_at_once() {
    let mut dock = Dock::new();
    let mut drop = parcel(1, Hop::Shipped);
    for _ in 0..ASKED_OFTEN + 3 {
        dock.step(&mut drop, waits());
        dock.advance(600);
    }
    let lacking = Failure::Lacking("the vault lacks 3 blobs".to_owned());
    dock.step(&mut drop, Told::Deliver(Err(lacking)));
    assert!(dock.is_held_up(&drop).is_some());
    dock.advance(30);
    assert_eq!(dock.is_held_up(&drop), None, "its first failure has a short pause");
    // It is asked for as often as at first.
    dock.step(&mut drop, waits());
    dock.advance(30);
    assert_eq!(dock.is_held_up(&drop), None);
}

#[test]
fn what_a_vault_lacks_is_read_again_and_only_told_when_that_does_not_help() {
    let mut dock = Dock::new();
    for attempt in 1..=LACKING_PATIENCE + 1 {
        let mut drop = parcel(1, Hop::Shipped);
        let lacking = Failure::Lacking("the vault lacks 3 blobs".to_owned());
        let step = dock.step(&mut drop, Told::Deliver(Err(lacking)));
        let proven = Proven::Accepted { seal: seal() };
        let advance = Action::Advance { address: drop.address.clone(), proven };
        assert_eq!(
            (step.actions.as_slice(), step.turn),
            ([advance].as_slice(), Some(Turn::Overtake))
        );
        let is_told = attempt >= LACKING_PATIENCE;
        assert_eq!(step.problems.len(), usize::from(is_told), "attempt {attempt}");
        if let Some(problem) = step.problems.first() {
            let text = problem.to_string();
            assert!(text.contains(&format!("which was sent {attempt} times")), "{text}");
        }
        assert!(dock.is_held_up(&drop).is_some(), "it is never sent again at once");
        dock.advance(600);
        assert_eq!(dock.is_held_up(&drop), None);
    }
}
