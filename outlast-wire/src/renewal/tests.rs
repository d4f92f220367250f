use outlast_types::{Clock, SystemClock};

use super::*;
use crate::Role;
use crate::ca::tests::{authority, issue};

#[test]
fn a_certificate_is_due_from_a_third_of_its_life_on_and_not_all_at_one_moment() {
    let (_directory, authority) = authority();
    let identities: Vec<_> =
        (0..20).map(|n| issue(&authority, Role::Agent, &format!("eu-{n}"))).collect();
    let mut moments = Vec::new();
    for identity in &identities {
        let certified = identity.certified();
        let validity = certified.validity;
        let life = validity.until.since(validity.from);
        let at = |part: Duration| validity.from.saturating_add(part);
        assert!(!is_due(certified, at(life / 3 - Duration::from_secs(1))));
        assert!(is_due(certified, at(life / 3 + life / 30)), "long before two thirds are over");
        // Also when it has ended, and never before it begins.
        assert!(is_due(certified, at(2 * life)));
        assert!(!is_due(certified, validity.from.saturating_sub(life)));
        let due = (0..60).find(|n| is_due(certified, at(life / 3 + life / 30 * *n / 60)));
        moments.push(due.unwrap_or(60));
    }
    moments.sort_unstable();
    moments.dedup();
    assert!(moments.len() > 5, "{moments:?}");
    assert!(identities[0].validity().trouble(SystemClock.now()).is_none());
}
