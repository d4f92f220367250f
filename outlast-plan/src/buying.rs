//! How much is bought of a share whose throughput is bought by the amount, in whole units.
//!
//! More throughput costs more, and what leaves earlier lies there for less: the cheapest amount need not be the
//! least that will do.

use crate::flaw::Flaw;

/// Amounts that are tried for one share, once one will do. Far more than it takes: what cannot be cheaper than
/// the best one is not tried.
const TRIED_MAX: usize = 1_000;

/// An amount that was tried, and what the share costs with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Offer<T> {
    pub(crate) amount: f64,
    /// What lies there, in a month: no more with a larger amount.
    pub(crate) lying: f64,
    pub(crate) of: T,
}

/// What is known before an amount is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// What one unit costs in a month.
    pub(crate) unit: f64,
    /// What lies there costs so much at least, with whatever amount.
    pub(crate) lying_least: f64,
    /// Units that can be bought.
    pub(crate) most: f64,
}

/// The least amount after `too_little`, up to `most`, that will do, if every larger one will do, too; else what
/// came of `most`.
pub(crate) fn least<T>(
    mut too_little: f64,
    most: f64,
    mut attempt: impl FnMut(f64) -> T,
    will_do: impl Fn(&T) -> bool,
) -> (f64, T) {
    let mut next = too_little * 2.0;
    let mut found = loop {
        let amount = next.min(most);
        let tried = attempt(amount);
        if will_do(&tried) {
            break (amount, tried);
        }
        if next >= most {
            return (amount, tried);
        }
        (too_little, next) = (next, next * 2.0);
    };
    while found.0 - too_little > 1.0 {
        let middle = ((found.0 + too_little) / 2.0).floor();
        let tried = attempt(middle);
        if will_do(&tried) {
            found = (middle, tried);
        } else {
            too_little = middle;
        }
    }
    found
}

/// The cheapest of all amounts from that of `first` on, which will do.
///
/// Between two amounts, units cost no less than those of the smaller one, and what lies there no less than with
/// the larger one: if that is more than the best offer, nothing between them is tried.
pub(crate) fn cheapest<T>(
    first: Offer<T>,
    terms: Terms,
    mut attempt: impl FnMut(f64) -> Result<Offer<T>, Flaw>,
) -> Result<Offer<T>, Flaw> {
    let cost = |offer: &Offer<T>| offer.amount * terms.unit + offer.lying;
    let mut best_cost = cost(&first);
    // Beyond that, units alone cost more. Where they cost nothing, it is no number.
    let end = ((best_cost - terms.lying_least) / terms.unit).floor().min(terms.most);
    let mut open = vec![(first.amount, end + 1.0, terms.lying_least)];
    let (mut best, mut tried) = (first, 0);
    while let Some((low, high, lying)) = open.pop() {
        let is_hopeless = (low + 1.0) * terms.unit + lying >= best_cost;
        if high - low <= 1.0 || is_hopeless || tried == TRIED_MAX {
            continue;
        }
        tried += 1;
        let offer = attempt(((low + high) / 2.0).floor())?;
        open.push((offer.amount, high, lying));
        open.push((low, offer.amount, offer.lying));
        if cost(&offer) < best_cost {
            (best_cost, best) = (cost(&offer), offer);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(amount: f64, load: f64) -> Offer<()> {
        Offer { amount, lying: load / amount + 3.0, of: () }
    }

    #[test]
    fn what_leaves_earlier_pays_for_throughput_up_to_the_best_amount() {
        let terms = Terms { unit: 6.0, lying_least: 3.0, most: 3072.0 };
        let mut tried = Vec::new();
        let found = cheapest(offer(10.0, 60_000.0), terms, |amount| {
            tried.push(amount);
            Ok(offer(amount, 60_000.0))
        });
        // 6 a + 60,000 / a is least at a = 100.
        assert_eq!(found.unwrap().amount, 100.0);
        assert!(tried.len() < 80, "{} amounts were tried", tried.len());
        // 6 more a month for nothing that leaves earlier: nothing is tried at all.
        let none = cheapest(offer(10.0, 0.0), terms, |_| panic!("nothing can be cheaper"));
        assert_eq!(none.unwrap().amount, 10.0);
        // For nothing, the most is the best.
        let free = Terms { unit: 0.0, ..terms };
        assert_eq!(
            cheapest(offer(10.0, 9.0), free, |it| Ok(offer(it, 9.0))).unwrap().amount,
            3072.0
        );
    }

    #[test]
    fn the_least_amount_that_will_do_is_found_or_the_most_that_does_not() {
        for wanted in 2..200 {
            let found = least(1.0, 150.0, |amount| amount, |amount| *amount >= f64::from(wanted));
            assert_eq!(found.0, f64::from(wanted).min(150.0));
        }
    }

    proptest! {
        #[test]
        fn no_amount_is_cheaper_than_the_cheapest(
            falls in proptest::collection::vec(0u32..40, 1..60), unit in 0u32..20, least in 0u32..50,
        ) {
            // What lies there falls in steps of any height.
            let all: u32 = falls.iter().sum();
            let lying = |amount: f64| {
                let passed = falls.iter().enumerate().filter(|(n, _)| (*n as f64) < amount);
                f64::from(all + least) - passed.map(|(_, fall)| f64::from(*fall)).sum::<f64>()
            };
            let of = |amount: f64| Offer { amount, lying: lying(amount), of: () };
            let terms =
                Terms { unit: unit.into(), lying_least: least.into(), most: falls.len() as f64 };
            let found = cheapest(of(1.0), terms, |amount| Ok(of(amount))).unwrap();
            let cost = |it: &Offer<()>| it.amount * terms.unit + it.lying;
            let best = (1..=falls.len()).map(|amount| cost(&of(amount as f64)));
            prop_assert_eq!(cost(&found), best.fold(f64::MAX, f64::min));
        }
    }
}
