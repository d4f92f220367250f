//! What the oracle reckons with, checked against other ways of reckoning.

use outlast_types::Timestamp;
use proptest::prelude::*;

use crate::class::Class;
use crate::simulate::dice::Dice;
use crate::simulate::pact::{self, Pact};
use crate::simulate::spans::{Span, Spans};
use crate::simulate::zone::{self, day_of};

fn spans() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec((0..60_u64, 0..60_u64), 0..8)
}

fn all(spans: &Spans) -> Vec<bool> {
    (0..64).map(|moment| spans.contains(moment)).collect()
}

proptest! {
    #[test]
    fn sets_of_spans_are_sets_of_moments(one in spans(), two in spans(), from in 0..60_u64, width in 0..60_u64) {
        let (a, b): (Spans, Spans) = (one.iter().copied().collect(), two.iter().copied().collect());
        let holds = |spans: &[Span], at: u64| spans.iter().any(|(from, until)| (*from..*until).contains(&at));
        let judged = |both: fn(bool, bool) -> bool| -> Vec<bool> {
            (0..64).map(|at| both(holds(&one, at), holds(&two, at))).collect()
        };
        prop_assert_eq!(all(&a.or(&b)), judged(|a, b| a || b));
        prop_assert_eq!(all(&a.and(&b)), judged(|a, b| a && b));
        prop_assert_eq!(all(&a.without(&b)), judged(|a, b| a && !b));
        let within = (from..from + width).filter(|at| holds(&one, *at)).count() as u64;
        prop_assert_eq!(a.length_within(from, from + width), within);
        let outside = (from..).find(|at| !holds(&one, *at)).unwrap();
        prop_assert_eq!(a.first_outside(from), outside);
    }

    /// The laws as they are written here, beside the library that the ledger goes by.
    #[test]
    fn clocks_show_what_the_library_says(unix in 1_700_000_000_i64..2_000_000_000) {
        let at = Timestamp::from_unix(unix, 0).unwrap();
        for zone in zone::Zone::ALL {
            let civil = outlast_civil::Zone::named(zone.as_str()).unwrap().civil(at);
            let shown = unix + zone.offset(unix);
            prop_assert_eq!(shown.div_euclid(86_400), day_of(
                i64::from(civil.year()), i64::from(civil.month()), i64::from(civil.day())
            ));
            let of_day = shown.rem_euclid(86_400);
            prop_assert_eq!((of_day / 3600, of_day / 60 % 60), (i64::from(civil.hour()), i64::from(civil.minute())));
        }
    }

    #[test]
    fn a_moment_is_found_by_what_clocks_show(day in 19_000_i64..24_000, second in 0..86_400_i64) {
        for zone in zone::Zone::ALL {
            let at = zone.instant(day, second);
            let shown = at + zone.offset(at) - day * 86_400;
            // What clocks skip comes an hour later.
            prop_assert!(shown == second || shown == second + 3600, "{zone:?}: {shown}");
            prop_assert!(zone.offset(at - 3600) + at - 3600 != day * 86_400 + second, "the first of two");
        }
    }

    /// Turns, days off and windows, as they are reckoned here and as a class reckons them.
    #[test]
    fn what_is_promised_is_what_a_class_promises(
        seed in any::<u64>(), hour in 0..86_400_i64, unix in 1_740_000_000_i64..1_890_000_000, zone in 0..4_usize,
    ) {
        let day = unix / 86_400;
        let near = (u64::try_from(day - 3).unwrap(), u64::try_from(day + 3).unwrap());
        let mut dice = Dice::of(seed, 0, 0);
        let pact = Pact::of(&mut dice, zone::Zone::ALL[zone], hour, 86_400, near);
        let Some(pact) = pact else { return Ok(()) };
        let class = Class::of(None, pact.part(93_600, 0, &pact::holidays(day - 100, day + 100)));
        class.judge().unwrap();
        let at = Timestamp::from_unix(unix, 0).unwrap();
        if let Some(due) = pact.due_after(unix) {
            prop_assert_eq!(class.due_after(at).unix_seconds(), due, "{:?} {:?}", &pact, at);
        } else {
            prop_assert_eq!(class.due_after(at).unix_seconds(), unix + 93_600);
        }
        let quiet = pact::received(&pact.quiet(day - 9, day + 40), 0, &[], u64::MAX / 2);
        let until = quiet.at(u64::try_from(unix).unwrap()).map(|(_, until)| until);
        let waits = class.quiet(at).map(|quiet| quiet.until.unix_seconds());
        prop_assert_eq!(waits, until.map(|until| i64::try_from(until).unwrap()), "{:?} {:?}", &pact, at);
    }
}
