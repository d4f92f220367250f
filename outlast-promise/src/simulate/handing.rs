//! What becomes of a workload's drops in the directory that its agent hands over in.

use outlast_types::Safe;

use super::dice::Dice;
use super::happening::{Happening, What};
use super::life::{Life, Mark, World};
use super::product::{Given, Lying};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// One of them in the directory: how it lies there at first, and after it was withdrawn.
struct Handed {
    given: Given,
    at_first: Lying,
    again: Option<Lying>,
}

impl Handed {
    fn stays(&self) -> impl Iterator<Item = Lying> + '_ {
        [self.at_first].into_iter().chain(self.again)
    }

    /// Whether the product is known to have it.
    fn is_held(&self, at: u64) -> bool {
        self.stays().any(|it| it.confirmed <= at)
            && self.again.is_none_or(|again| !(again.from..again.confirmed).contains(&at))
    }
}

impl World<'_> {
    /// What counts of a workload that drops once a day at an `hour`, and how old that may be: who counts what is
    /// confirmed waits for the next job, too.
    pub(crate) fn safe(
        &self,
        (number, agent): (u32, usize),
        hour: u64,
        rpo: u64,
    ) -> (Option<Safe>, u64) {
        let mut dice = Dice::of(self.scenario.seed, 5, number.into());
        let until_job = (DAY + self.products[agent].hour - hour) % DAY;
        let with_job = DAY + until_job + 8 * HOUR;
        match dice.within(0, 100) {
            0..8 => (Some(Safe::Confirmed), with_job),
            8..12 => (Some(Safe::Either), rpo),
            12..18 => (Some(Safe::Both), with_job),
            18..22 => (Some(Safe::Vaulted), rpo),
            _ => (None, rpo),
        }
    }

    /// What the vault hears of drops that are handed over, beside that they are vaulted.
    pub(crate) fn hand_over(&self, life: &mut Life, given: &[Given], happenings: &[Happening]) {
        let Some(safe) = life.safe else { return };
        let it = self.infrastructure;
        let product = &self.products[life.agent];
        let mut handed: Vec<Handed> = Vec::new();
        for given in given {
            let appeared = product.appears(it, given.seen);
            if appeared > given.seen {
                life.roomless.push((given.seen, appeared));
            }
            let at_first = product.takes(it, (appeared, appeared), appeared);
            handed.push(Handed { given: *given, at_first, again: None });
        }
        for happening in happenings.iter().filter(|it| it.what == What::Withdrawn) {
            let at = it.next_report(life.agent, it.heard_at(happening.at));
            let newest = handed.iter_mut().rev();
            let newest = newest.filter(|one| one.again.is_none() && one.at_first.confirmed < at);
            if let Some(one) = newest.max_by_key(|one| one.given.seen) {
                let again = product.takes(it, (at, one.at_first.appeared), at);
                one.again = Some(Lying { read: at, is_again: true, ..again });
                life.marks.push((at, Mark::Withdrawn { drop: one.given.drop }));
            }
        }
        for one in &handed {
            let Given { drop, seen, vaulted } = one.given;
            for stay in one.stays().filter(|stay| stay.confirmed < it.end) {
                let at = stay.confirmed;
                let is_vaulted = vaulted <= at;
                life.marks.push((at, Mark::Confirmed { seen, drop, vaulted: is_vaulted }));
                // The next report says so again.
                let told = it.next_report(life.agent, at + 1);
                if told < vaulted && safe != Safe::Both {
                    life.marks.push((told, Mark::Waiting));
                }
            }
            if safe != Safe::Vaulted && one.is_held(vaulted) && one.at_first.confirmed < vaulted {
                life.marks.push((vaulted, Mark::Confirmed { seen, drop, vaulted: true }));
            }
        }
        let stays: Vec<Lying> = handed.iter().flat_map(Handed::stays).collect();
        let mut turns: Vec<u64> =
            stays.iter().flat_map(|it| [it.from, it.read, it.confirmed]).collect();
        turns.retain(|at| *at < it.end);
        turns.sort_unstable();
        turns.dedup();
        for at in turns {
            let mut here = stays.iter().filter(|it| (it.from..it.confirmed).contains(&at));
            let first = here.next().map(|it| it.read <= at);
            let read = first.map(|first| first && here.all(|it| it.read <= at));
            life.marks.push((at, Mark::Lies { read }));
        }
        life.lying = stays;
    }
}
