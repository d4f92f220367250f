//! The fate of each pack: a pure function of what is in it and of the limits.

/// A pack as the plan sees it; sizes in bytes of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate<I> {
    pub(super) id: I,
    pub(super) size: u64,
    /// Bytes that snapshots need.
    pub(super) used: u64,
    /// Whether it is not what a pack should be, so that what is needed of it is to be copied.
    pub(super) is_odd: bool,
}

impl<I> Candidate<I> {
    fn unused(&self) -> u64 {
        self.size.saturating_sub(self.used)
    }
}

/// How much may stay, and how much may be written for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// The part of what stays that nobody needs, from 0 to 1.
    pub(super) max_unused: f64,
    /// Bytes of used blobs that are copied.
    pub(super) max_repack: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan<I> {
    /// Packs that hold nothing that anybody needs.
    pub(super) unused: Vec<I>,
    /// Packs whose used blobs are to be copied into new ones, those with the least use first.
    pub(super) repack: Vec<I>,
    /// Bytes that nobody needs in the packs that stay.
    pub(super) unused_left: u64,
}

/// The plan for `packs`. Whatever the limits, no more is copied than is needed to keep them.
pub(super) fn plan<I: Copy + Ord>(packs: &[Candidate<I>], limits: Limits) -> Plan<I> {
    let mut plan = Plan { unused: Vec::new(), repack: Vec::new(), unused_left: 0 };
    let mut partly: Vec<&Candidate<I>> = Vec::new();
    let mut used_total = 0;
    for pack in packs {
        if pack.used == 0 {
            plan.unused.push(pack.id);
            continue;
        }
        used_total += pack.used;
        plan.unused_left += pack.unused();
        if pack.unused() > 0 || pack.is_odd {
            partly.push(pack);
        }
    }
    // What is no good pack goes first. Most is gained for each byte copied where the share of
    // unused bytes is the largest. Compared as products, which are exact.
    partly.sort_by(|one, other| {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let (mine, theirs) = (product(one.unused(), other.size), product(other.unused(), one.size));
        (other.is_odd, theirs).cmp(&(one.is_odd, mine)).then(one.id.cmp(&other.id))
    });
    let mut copied: u64 = 0;
    for pack in partly {
        if !pack.is_odd && is_little(plan.unused_left, used_total, limits.max_unused) {
            break;
        }
        if copied.saturating_add(pack.used) > limits.max_repack {
            continue;
        }
        copied += pack.used;
        plan.unused_left -= pack.unused();
        plan.repack.push(pack.id);
    }
    plan
}

/// Whether so many unused bytes beside so many used ones are within the limit.
#[expect(clippy::cast_precision_loss, reason = "a limit in percent")]
fn is_little(unused: u64, used: u64, max_unused: f64) -> bool {
    unused as f64 <= (unused as f64 + used as f64) * max_unused
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packs() -> impl Strategy<Value = Vec<Candidate<usize>>> {
        let pack = (1..1000_u64, prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64]);
        prop::collection::vec(pack, 0..40).prop_map(|packs| {
            let packs = packs.into_iter().enumerate();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            #[expect(clippy::cast_precision_loss, reason = "small")]
            packs
                .map(|(id, (size, share))| Candidate {
                    id,
                    size,
                    used: (size as f64 * share) as u64,
                    is_odd: false,
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn what_nobody_needs_goes_and_what_somebody_needs_is_kept_or_copied(
            packs in packs(),
            max_unused in 0.0..1.0_f64,
            max_repack in 0..20_000_u64,
        ) {
            let plan = plan(&packs, Limits { max_unused, max_repack });
            let is = |list: &[usize], id| list.contains(&id);
            let (mut copied, mut left, mut used) = (0, 0, 0);
            for pack in &packs {
                prop_assert_eq!(is(&plan.unused, pack.id), pack.used == 0);
                prop_assert!(!(is(&plan.repack, pack.id) && pack.used == 0));
                prop_assert!(!(is(&plan.repack, pack.id) && pack.unused() == 0));
                used += pack.used;
                if is(&plan.repack, pack.id) {
                    copied += pack.used;
                } else if pack.used > 0 {
                    left += pack.unused();
                }
            }
            prop_assert!(copied <= max_repack);
            prop_assert_eq!(plan.unused_left, left);
            // Too much is left only where the limit forbids to copy more.
            if !is_little(left, used, max_unused) {
                for pack in packs.iter().filter(|pack| pack.used > 0 && pack.unused() > 0) {
                    let stays = !is(&plan.repack, pack.id);
                    prop_assert!(!stays || copied + pack.used > max_repack);
                }
            }
        }

        #[test]
        fn no_limits_leave_nothing_unused(packs in packs()) {
            let plan = plan(&packs, Limits { max_unused: 0.0, max_repack: u64::MAX });
            prop_assert_eq!(plan.unused_left, 0);
        }
    }

    #[test]
    fn the_emptiest_pack_is_copied_first_and_no_more_than_needed() {
        let pack = |id, used| Candidate { id, size: 100, used, is_odd: false };
        let packs = [pack(1, 90), pack(2, 10), pack(3, 50), pack(4, 0)];
        let plan = |max_unused, max_repack| plan(&packs, Limits { max_unused, max_repack });
        assert_eq!(plan(0.0, 1000).repack, [2, 3, 1]);
        // 150 bytes are needed, and 60 that nobody needs are less than a third of the rest.
        assert_eq!(plan(0.3, 1000).repack, [2]);
        assert_eq!(plan(0.0, 60).repack, [2, 3]);
        assert_eq!(plan(0.0, 59).repack, [2]);
        assert_eq!(plan(1.0, 1000).repack, [0; 0]);
        assert_eq!(plan(1.0, 1000).unused, [4]);
    }

    #[test]
    fn a_pack_that_is_none_is_copied_though_all_of_it_is_needed() {
        let pack = |id, used, is_odd| Candidate { id, size: 100, used, is_odd };
        let packs = [pack(1, 10, false), pack(2, 100, true), pack(3, 0, true)];
        let plan = |max_repack| plan(&packs, Limits { max_unused: 1.0, max_repack });
        assert_eq!((plan(1000).repack, plan(1000).unused), (vec![2], vec![3]));
        assert_eq!(plan(99).repack, [0; 0]);
    }
}
