//! Directories that take nothing, and products that nobody can ask.

use super::*;

#[test]
fn a_directory_that_is_full_is_the_platforms_unless_nobody_confirms_what_lies_in_it() {
    let full = |handed: Handed| Handed {
        room: Some(Room {
            is_full: true,
            is_mute: false,
            text: "its budget of 10 GiB is used up".to_owned(),
        }),
        ..handed
    };
    let mut ledger = ledger_of(Safe::Confirmed);
    let lies = lie(Some(1), Some(1));
    ledger.apply_all([confirmed(shop(), 1, 0, false), lying(shop(), Some(false))], at(0));
    let told = ledger.apply(handed(full(lies.clone())), at(5));
    assert_eq!(keys(&told), ["+handover-room/road-1/nbu"]);
    assert_eq!(told[0].incident().owner(), Owner::Platform);
    // The product does not read either: that is another's trouble, and told.
    let mut told = Vec::new();
    for second in (10..110).step_by(10) {
        let report = [waiting(shop()), lying(shop(), Some(false)), handed(full(lies.clone()))];
        told.extend(keys(&ledger.apply_all(report, at(second))));
    }
    assert_eq!(told, ["+handover/road-1/nbu"]);
    // Where that is known first, it explains that nothing leaves.
    let mut ledger = ledger_of(Safe::Confirmed);
    let mut told = Vec::new();
    for second in (2..=62).step_by(10) {
        told.extend(keys(&ledger.apply(handed(lies.clone()), at(second))));
    }
    assert_eq!(told, ["+handover/road-1/nbu"]);
    assert_eq!(keys(&ledger.apply(handed(full(lies)), at(63))), [""; 0]);
}

#[test]
fn i3_a_drop_of_long_before_that_is_confirmed_now_makes_up_for_none_that_was_rejected() {
    let mut settings = settings_of(Safe::Confirmed);
    settings.agent_deadline = Duration::from_secs(20_000);
    settings.policy.default.part.rpo = Some(settings.agent_deadline);
    let mut ledger = Ledger::new(settings, 0, at(0));
    ledger.apply_all([spoke(), confirmed(shop(), 1, 0, false)], at(0));
    assert_eq!(keys(&ledger.apply(rejected(7), at(9000))), ["+rejected-drop/shop-db"]);
    // The next job has a drop of two hours before.
    assert_eq!(keys(&ledger.apply(confirmed(shop(), 2, 1800, false), at(9010))), [""; 0]);
    // What was dropped beside it, or after it, does.
    let told = ledger.apply(confirmed(shop(), 3, 8999, false), at(9015));
    assert_eq!(keys(&told), ["-rejected-drop/shop-db"]);
}

/// Its directory takes nothing from 40 on; the story is of a drop of 50, and the promise breaks at 100.
fn told_beside_a_full_directory(safe: Safe, story: Vec<Event>) -> Vec<String> {
    let mut ledger = ledger_of(safe);
    ledger.apply_all([spoke(), lying(shop(), Some(false))], at(0));
    ledger.apply_all([vaulted(shop(), 0), confirmed(shop(), 1, 0, true)], at(0));
    alive(&mut ledger, 10, 40);
    let room = Some(Room {
        is_full: true,
        is_mute: false,
        text: "its budget of 10 GiB is used up".to_owned(),
    });
    let mut told = keys(&ledger.apply(handed(Handed { room, ..lie(None, None) }), at(40)));
    let story = story.into_iter().chain([heard()]);
    told.extend(keys(&ledger.apply_all(story.collect::<Vec<_>>(), at(50))));
    told.extend(alive(&mut ledger, 60, 110));
    told
}

#[test]
fn one_cause_a_directory_that_takes_nothing_explains_drops_that_the_vault_has() {
    for safe in [Safe::Confirmed, Safe::Both] {
        let told = told_beside_a_full_directory(safe, vec![vaulted(shop(), 50)]);
        assert_eq!(told, ["+handover-room/road-1/nbu"], "{safe}");
    }
}

#[test]
fn i3_a_directory_that_takes_nothing_explains_no_drop_that_the_product_has_and_the_vault_waits_for()
{
    let story = vec![waiting(shop()), confirmed(shop(), 2, 50, false)];
    let told = told_beside_a_full_directory(Safe::Both, story);
    assert_eq!(told, ["+handover-room/road-1/nbu", "+recovery-point/shop-db"]);
}

#[test]
fn i2_a_product_that_nobody_can_ask_is_one_page_of_the_platform_until_it_can_be_asked_again() {
    let mute = |handed: Handed| Handed {
        room: Some(Room {
            is_full: false,
            is_mute: true,
            text: "the product cannot be asked".to_owned(),
        }),
        ..handed
    };
    for lies in [lie(None, Some(1)), lie(Some(1), Some(1))] {
        let mut ledger = ledger_of(Safe::Confirmed);
        ledger.apply_all([confirmed(shop(), 1, 0, false), lying(shop(), Some(true))], at(0));
        let report = |handed_over: Handed| [lying(shop(), Some(true)), handed(handed_over)];
        let mut told = Vec::new();
        for second in (5..160).step_by(10) {
            told.extend(keys(&ledger.apply_all(report(mute(lies.clone())), at(second))));
        }
        // The promise breaks meanwhile, and that is the same cause.
        assert_eq!(told, ["+handover-room/road-1/nbu"]);
        // It can be asked, and has it.
        let mut told = keys(
            &ledger
                .apply_all([confirmed(shop(), 2, 150, false), handed(Handed::default())], at(165)),
        );
        for second in (166..200).step_by(10) {
            told.extend(keys(&ledger.apply(handed(Handed::default()), at(second))));
        }
        assert_eq!(told, ["-handover-room/road-1/nbu"]);
    }
    // One that can be asked, and has it not, is asked for it then.
    let mut ledger = ledger_of(Safe::Confirmed);
    ledger.apply_all([confirmed(shop(), 1, 0, false), lying(shop(), Some(true))], at(0));
    let mut told = Vec::new();
    for second in (5..100).step_by(10) {
        let handed_over = if second < 65 { mute(lie(None, Some(1))) } else { lie(None, Some(1)) };
        let report = [lying(shop(), Some(true)), handed(handed_over)];
        told.extend(keys(&ledger.apply_all(report, at(second))));
    }
    let expected =
        ["+handover-room/road-1/nbu", "+handover/road-1/nbu", "-handover-room/road-1/nbu"];
    assert_eq!(told, expected);
}
