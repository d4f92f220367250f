//! The book of what is lent: who has how much of one thing, who waits for more, and who gets it next.
//!
//! Of a total, each party has a part of its own, which is never lent to others, and the rest is common.
//! Whoever asks for no more than what is left of its own part gets it at once. Of the common part, whoever
//! has least gets more first, and of those who have as much, whoever got something longest ago; nobody
//! overtakes there, so that one that wants much at a time is not put off for ever by those who want little.

use std::collections::BTreeMap;

/// A party, until it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Party(pub(super) u64);

/// Something that was asked for and is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub(super) struct Book {
    /// What each party has of its own.
    each: usize,
    common: usize,
    common_used: usize,
    accounts: BTreeMap<Party, Account>,
    waiting: Vec<Ask>,
    /// Counts asks, and what was lent.
    asks: u64,
    loans: u64,
}

#[derive(Debug, Default)]
struct Account {
    used: usize,
    /// The number of the last loan.
    served: u64,
}

#[derive(Debug)]
struct Ask {
    ticket: Ticket,
    party: Party,
    amount: usize,
}

impl Book {
    /// A book of `total`, of which each of `parties` has `each` of its own.
    pub(super) fn new(total: usize, parties: usize, each: usize) -> Self {
        let common = total.saturating_sub(parties.saturating_mul(each));
        let (accounts, waiting) = (BTreeMap::new(), Vec::new());
        Self { each, common, common_used: 0, accounts, waiting, asks: 0, loans: 0 }
    }

    /// The most that can be asked for at once: what a party gets whatever others do. If none has
    /// anything of its own, it is all that is common.
    pub(super) fn ask_max(&self) -> usize {
        if self.each > 0 { self.each } else { self.common.max(1) }
    }

    /// Asks for something; a ticket if that has to wait. Without `may_wait` it is refused then.
    pub(super) fn ask(
        &mut self,
        party: Party,
        amount: usize,
        may_wait: bool,
    ) -> Result<(), Option<Ticket>> {
        let is_first = !self.waiting.iter().any(|ask| self.goes_before(ask.party, party));
        if self.fits(party, amount) && (is_first || self.common_part(party, amount) == 0) {
            self.lend(party, amount);
            return Ok(());
        }
        if !may_wait {
            return Err(None);
        }
        let ticket = Ticket(self.asks);
        self.asks += 1;
        self.waiting.push(Ask { ticket, party, amount });
        Err(Some(ticket))
    }

    /// Takes something back that was lent.
    pub(super) fn give_back(&mut self, party: Party, amount: usize) {
        let each = self.each;
        let Some(account) = self.accounts.get_mut(&party) else { return };
        let before = account.used.saturating_sub(each);
        account.used = account.used.saturating_sub(amount);
        self.common_used -= before - account.used.saturating_sub(each);
    }

    /// Waits no more for a ticket; `false` if it was served already.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> bool {
        let position = self.waiting.iter().position(|ask| ask.ticket == ticket);
        position.map(|position| self.waiting.swap_remove(position)).is_some()
    }

    /// Serves who waits, as far as that is possible now.
    pub(super) fn serve(&mut self) -> Vec<Ticket> {
        let mut served = Vec::new();
        loop {
            let own =
                self.waiting.iter().position(|ask| self.common_part(ask.party, ask.amount) == 0);
            let order = |ask: &Ask| (self.order(ask.party), ask.ticket.0);
            let first = self.waiting.iter().enumerate().min_by_key(|(_, ask)| order(ask));
            let first = first.filter(|(_, ask)| self.fits(ask.party, ask.amount));
            let Some(position) = own.or(first.map(|(position, _)| position)) else { return served };
            let ask = self.waiting.swap_remove(position);
            self.lend(ask.party, ask.amount);
            served.push(ask.ticket);
        }
    }

    /// Forgets a party that has given everything back.
    pub(super) fn leave(&mut self, party: Party) {
        self.accounts.remove(&party);
    }

    /// Whether nothing is lent, and nobody waits.
    #[cfg(test)]
    pub(super) fn is_whole(&self) -> bool {
        self.common_used == 0 && self.accounts.is_empty() && self.waiting.is_empty()
    }

    fn lend(&mut self, party: Party, amount: usize) {
        self.common_used += self.common_part(party, amount);
        self.loans += 1;
        let served = self.loans;
        let account = self.accounts.entry(party).or_default();
        account.used += amount;
        account.served = served;
    }

    fn used(&self, party: Party) -> usize {
        self.accounts.get(&party).map_or(0, |account| account.used)
    }

    /// How much of `amount` a party would have of the common part.
    fn common_part(&self, party: Party, amount: usize) -> usize {
        let used = self.used(party);
        (used + amount).saturating_sub(self.each) - used.saturating_sub(self.each)
    }

    fn fits(&self, party: Party, amount: usize) -> bool {
        self.common_used + self.common_part(party, amount) <= self.common
    }

    /// Who gets something of the common part first.
    fn order(&self, party: Party) -> (usize, u64) {
        self.accounts.get(&party).map_or((0, 0), |account| (account.used, account.served))
    }

    fn goes_before(&self, party: Party, other: Party) -> bool {
        party == other || self.order(party) <= self.order(other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HUGE: Party = Party(1);
    const SMALL: Party = Party(2);
    const LATE: Party = Party(3);

    fn waits(book: &mut Book, party: Party, amount: usize) -> Ticket {
        book.ask(party, amount, true).unwrap_err().unwrap()
    }

    #[test]
    fn one_alone_has_all_but_what_is_the_others_own() {
        let mut book = Book::new(10, 3, 2);
        for _ in 0..6 {
            book.ask(HUGE, 1, false).unwrap();
        }
        assert_eq!(book.ask(HUGE, 1, false), Err(None), "the other four are of those who may come");
        for party in [SMALL, LATE] {
            book.ask(party, 2, false).unwrap();
            assert_eq!(book.ask(party, 1, false), Err(None));
        }
    }

    #[test]
    fn who_has_least_gets_more_first_and_nobody_overtakes_there() {
        let mut book = Book::new(8, 2, 1);
        (0..7).for_each(|_| book.ask(HUGE, 1, false).unwrap());
        book.ask(SMALL, 1, false).unwrap();
        let (huge, small) = (waits(&mut book, HUGE, 1), waits(&mut book, SMALL, 3));
        book.give_back(HUGE, 1);
        assert!(book.serve().is_empty(), "one is too little for who is first");
        assert_eq!(book.ask(HUGE, 1, false), Err(None), "and nobody else gets it");
        book.give_back(HUGE, 2);
        assert_eq!(book.serve(), [small]);
        book.give_back(HUGE, 1);
        assert_eq!(book.serve(), [huge]);
        let again = waits(&mut book, HUGE, 1);
        assert!(book.withdraw(again) && !book.withdraw(again) && !book.withdraw(huge));
    }

    #[test]
    fn of_those_who_have_as_much_each_has_its_turn() {
        let mut book = Book::new(1, 3, 0);
        book.ask(HUGE, 1, true).unwrap();
        let mut order = Vec::new();
        let mut tickets = BTreeMap::new();
        for party in [HUGE, HUGE, SMALL, LATE, SMALL] {
            tickets.insert(waits(&mut book, party, 1).0, party);
        }
        let mut holder = HUGE;
        for _ in 0..5 {
            book.give_back(holder, 1);
            let served = book.serve();
            assert_eq!(served.len(), 1);
            holder = tickets[&served[0].0];
            order.push(holder);
        }
        assert_eq!(order, [SMALL, LATE, HUGE, SMALL, HUGE]);
    }

    proptest! {
        /// Whatever is asked for and given back in whatever order, no more is lent than there is,
        /// everybody gets its own at once, and who is first gets it as soon as there is enough.
        #[test]
        fn no_more_is_lent_than_there_is_and_nobody_waits_for_its_own(
            (parties, each, common) in (1_u64..6, 0_usize..5, 1_usize..12),
            steps in prop::collection::vec((0_u64..6, 1_usize..6, any::<bool>()), 1..120),
        ) {
            let total = usize::try_from(parties).unwrap() * each + common;
            let mut book = Book::new(total, usize::try_from(parties).unwrap(), each);
            let mut lent = BTreeMap::<Party, usize>::new();
            let mut waiting = BTreeMap::<u64, (Party, usize)>::new();
            for (party, amount, gives) in steps {
                let party = Party(party % parties);
                let amount = amount.min(book.ask_max());
                let has = lent.entry(party).or_default();
                if gives {
                    let amount = amount.min(*has);
                    *has -= amount;
                    book.give_back(party, amount);
                } else {
                    let is_own = *has + amount <= each;
                    match book.ask(party, amount, true) {
                        Ok(()) => *has += amount,
                        Err(ticket) => {
                            prop_assert!(!is_own, "it waits for its own");
                            waiting.insert(ticket.unwrap().0, (party, amount));
                        }
                    }
                }
                for ticket in book.serve() {
                    let (party, amount) = waiting.remove(&ticket.0).unwrap();
                    *lent.get_mut(&party).unwrap() += amount;
                }
                let common_used: usize = lent.values().map(|has| has.saturating_sub(each)).sum();
                prop_assert_eq!(common_used, book.common_used);
                prop_assert!(common_used <= common && lent.values().sum::<usize>() <= total);
                for (party, amount) in waiting.values() {
                    prop_assert!(lent[party] + amount > each, "it waits for its own");
                }
            }
            // When all is given back, all who wait are served: one after the other, as each gives back.
            while !waiting.is_empty() {
                for (party, has) in &mut lent {
                    book.give_back(*party, std::mem::take(has));
                }
                let served = book.serve();
                prop_assert!(!served.is_empty(), "{:?}", book);
                for ticket in served {
                    let (party, amount) = waiting.remove(&ticket.0).unwrap();
                    *lent.get_mut(&party).unwrap() += amount;
                }
            }
        }
    }
}
