//! Instances that are told to end, withdrawn, told again, and left alone, in every order.

use proptest::prelude::*;

use super::*;

struct Always(u8);

impl Random for Always {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

const MOST: Always = Always(255);
const WAITED_FOR: Sign = Sign::Given { waits: true };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ending() -> Ending {
    Ending::new(EndingLimits { drop: at(60), tidy: at(10), answer: at(30) })
}

#[test]
fn a_notice_makes_one_drop_and_is_answered_after_it() {
    let mut ending = ending();
    assert_eq!(ending.next(at(0), Sign::Quiet, false), Step::Rest);
    assert_eq!(ending.next(at(5), WAITED_FOR, false), Step::Drop);
    assert_eq!(ending.next(at(10), WAITED_FOR, false), Step::Rest);
    ending.drop_ended(at(12), Made::Whole, &MOST);
    // The service goes first when a host ends; that takes nothing back.
    assert_eq!(ending.next(at(13), Sign::Unknown, false), Step::Answer);
    ending.answered(at(14), false, &MOST);
    assert_eq!(ending.next(at(14), Sign::Unknown, false), Step::Rest);
    assert_eq!(ending.next(at(15), Sign::Unknown, false), Step::Answer);
    ending.answered(at(16), true, &MOST);
    assert_eq!(ending.next(at(16), Sign::Unknown, false), Step::End);
    assert_eq!((ending.made(), ending.was_answered()), (Some(Made::Whole), Some(true)));
}

#[test]
fn a_withdrawn_notice_is_not_answered_and_the_next_one_makes_a_drop_of_its_own() {
    let mut ending = ending();
    assert_eq!(ending.next(at(0), WAITED_FOR, false), Step::Drop);
    assert_eq!(ending.next(at(1), Sign::Quiet, false), Step::Rest);
    ending.drop_ended(at(9), Made::Whole, &MOST);
    assert_eq!(ending.next(at(10), Sign::Quiet, false), Step::Rest);
    assert!(ending.is_watching());
    assert_eq!(ending.next(at(99), WAITED_FOR, false), Step::Drop);
}

#[test]
fn a_notice_that_nobody_waits_for_is_watched_until_the_end() {
    let mut ending = ending();
    let spot = Sign::Given { waits: false };
    assert_eq!(ending.next(at(0), spot, false), Step::Drop);
    ending.drop_ended(at(1), Made::WithGaps, &MOST);
    assert_eq!(ending.next(at(2), spot, false), Step::Rest);
    // The group that it belongs to may begin to wait meanwhile.
    assert_eq!(ending.next(at(3), WAITED_FOR, false), Step::Answer);
    assert_eq!(ending.next(at(4), spot, true), Step::End);
    assert_eq!((ending.made(), ending.was_answered()), (Some(Made::WithGaps), None));
}

#[test]
fn a_drop_that_fails_is_tried_again_and_whoever_waits_is_told_in_the_end() {
    let mut ending = ending();
    assert_eq!(ending.next(at(0), WAITED_FOR, false), Step::Drop);
    ending.drop_ended(at(1), Made::Failed, &MOST);
    assert_eq!(ending.next(at(1), WAITED_FOR, false), Step::Rest);
    assert_eq!(ending.next(at(2), WAITED_FOR, false), Step::Drop);
    assert_eq!(ending.next(at(60), WAITED_FOR, false), Step::Stop);
    assert_eq!(ending.next(at(61), WAITED_FOR, false), Step::Rest);
    assert_eq!(ending.next(at(70), WAITED_FOR, false), Step::Kill);
    ending.drop_ended(at(71), Made::Failed, &MOST);
    assert_eq!(ending.next(at(71), WAITED_FOR, false), Step::Answer);
    ending.answered(at(72), false, &MOST);
    assert_eq!(ending.next(at(101), WAITED_FOR, false), Step::End);
    assert_eq!((ending.made(), ending.was_answered()), (Some(Made::Failed), Some(false)));
}

proptest! {
    #[test]
    fn an_ending_is_bounded_and_never_answers_before_its_drop(
        events in prop::collection::vec((0..4_u8, any::<bool>(), 0..3_u8, 1..20_u64), 1..200),
    ) {
        let mut ending = ending();
        let (mut now, mut running, mut ended, mut asked) = (0, false, false, false);
        for (sign, signal, outcome, pause) in events {
            now += pause;
            asked |= signal && outcome == 0;
            let sign = match sign {
                0 => Sign::Unknown,
                1 => Sign::Quiet,
                2 => WAITED_FOR,
                _ => Sign::Given { waits: false },
            };
            let step = ending.next(at(now), sign, asked);
            match step {
                Step::Drop => {
                    prop_assert!(!running, "two at once");
                    (running, ended) = (true, false);
                }
                Step::Stop | Step::Kill => prop_assert!(running),
                Step::Answer => {
                    prop_assert!(ended && !running);
                    ending.answered(at(now), outcome == 1, &MOST);
                }
                Step::End => {
                    prop_assert!(ended && !running && ending.made().is_some());
                    break;
                }
                Step::Rest => {}
            }
            if running && (step == Step::Kill || signal) {
                let made = [Made::Whole, Made::WithGaps, Made::Failed][usize::from(outcome)];
                ending.drop_ended(at(now), made, &MOST);
                (running, ended) = (false, true);
            }
        }
        // Whatever came before: asked to end and never broken, it comes to its end.
        if running {
            ending.drop_ended(at(now), Made::Whole, &MOST);
        }
        let mut steps = 0;
        while ending.next(at(now), Sign::Given { waits: true }, true) != Step::End {
            ending.drop_ended(at(now), Made::Failed, &MOST);
            now += 1;
            steps += 1;
            prop_assert!(steps < 250, "{ending:?}");
        }
    }
}
