//! Who has how much, and who is next: pure.

use std::collections::BTreeMap;

use super::holder::{Bounds, Holder};

/// The accounts of something that is shared. Whoever queues is known by a number, and told by a `T`.
pub(super) struct Book<T> {
    bounds: Bounds,
    /// What all have together, and what those who are not operators have of it.
    taken: u32,
    by_others: u32,
    by: BTreeMap<Holder, u32>,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiting<T>>,
    having: BTreeMap<u64, (Holder, u32)>,
    last: u64,
}

/// Somebody in the queue.
struct Waiting<T> {
    holder: Holder,
    amount: u32,
    turn: T,
    /// How often somebody who came later, or has more, and wants less, went before.
    overtaken: u32,
}

/// Who wants much is overtaken by those who want little so often, and then no more.
const OVERTAKEN_MAX: u32 = 32;

impl<T> Book<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (by, waiting, having) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { bounds, taken: 0, by_others: 0, by, waiting, having, last: 0 }
    }

    /// Stands in line for `amount`, or for as much as `holder` may ever have.
    pub(super) fn queue(&mut self, holder: &Holder, amount: u32, turn: T) -> u64 {
        self.last += 1;
        let amount = amount.min(self.most_of(holder));
        let waiting = Waiting { holder: holder.clone(), amount, turn, overtaken: 0 };
        self.waiting.insert(self.last, waiting);
        self.last
    }

    /// Whose turn it is, if there is enough for anybody: of those for whom there is, whoever holds least,
    /// and of those who came first. Who is passed over for want of room is so a number of times only.
    pub(super) fn next_turn(&mut self) -> Option<T> {
        let mut in_order: Vec<(u32, u64)> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| {
                self.taken_by(&waiting.holder) + waiting.amount <= self.most_of(&waiting.holder)
            })
            .map(|(number, waiting)| (self.taken_by(&waiting.holder), *number))
            .collect();
        in_order.sort_unstable();
        let mut passed = Vec::new();
        let mut is_held_up = false;
        for (_, number) in in_order {
            let Some(Waiting { holder, amount, overtaken, .. }) = self.waiting.get(&number) else {
                continue;
            };
            // What is kept for operators is held up by nobody.
            if (is_held_up && !holder.is_operator()) || !self.has_room(holder, *amount) {
                is_held_up |= *overtaken >= OVERTAKEN_MAX;
                passed.push(number);
                continue;
            }
            for number in passed {
                self.waiting.entry(number).and_modify(|waiting| waiting.overtaken += 1);
            }
            return self.give(number);
        }
        None
    }

    fn give(&mut self, number: u64) -> Option<T> {
        let Waiting { holder, amount, turn, .. } = self.waiting.remove(&number)?;
        self.taken += amount;
        if !holder.is_operator() {
            self.by_others += amount;
        }
        *self.by.entry(holder.clone()).or_default() += amount;
        self.having.insert(number, (holder, amount));
        Some(turn)
    }

    /// Gives back what was had under a number, or leaves the queue.
    pub(super) fn leave(&mut self, number: u64) {
        self.waiting.remove(&number);
        let Some((holder, amount)) = self.having.remove(&number) else { return };
        self.taken -= amount;
        if !holder.is_operator() {
            self.by_others -= amount;
        }
        if let Some(of_holder) = self.by.get_mut(&holder) {
            *of_holder -= amount;
            if *of_holder == 0 {
                self.by.remove(&holder);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_nobody_waiting(&self) -> bool {
        self.waiting.is_empty()
    }

    fn taken_by(&self, holder: &Holder) -> u32 {
        self.by.get(holder).copied().unwrap_or(0)
    }

    fn most_of(&self, holder: &Holder) -> u32 {
        let kept = if holder.is_operator() { 0 } else { self.bounds.kept };
        (self.bounds.each * holder.weight()).min(self.bounds.total - kept)
    }

    fn has_room(&self, holder: &Holder, amount: u32) -> bool {
        let is_kept =
            !holder.is_operator() && self.by_others + amount > self.bounds.total - self.bounds.kept;
        !is_kept && self.taken + amount <= self.bounds.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Peer, Role};

    fn holder(role: Role, name: &str) -> Holder {
        Holder::Peer(Peer::new(role, name).unwrap())
    }

    /// Everybody whose turn it is.
    fn served(book: &mut Book<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| book.next_turn()).collect()
    }

    #[test]
    fn one_who_floods_gets_its_bound_and_the_next_free_share_goes_to_who_has_least() {
        let mut book = Book::new(Bounds { total: 4, each: 3, kept: 0 });
        let (flood, honest) = (holder(Role::Agent, "flood"), holder(Role::Agent, "honest"));
        let first = book.queue(&flood, 1, "flood");
        for _ in 0..99 {
            book.queue(&flood, 1, "flood");
        }
        assert_eq!(served(&mut book), ["flood"; 3], "never more than its bound");
        book.queue(&honest, 1, "honest");
        assert_eq!(served(&mut book), ["honest"]);
        book.queue(&honest, 1, "honest again");
        assert!(served(&mut book).is_empty());
        book.leave(first);
        assert_eq!(served(&mut book), ["honest again"], "it holds less than the one before it");
    }

    #[test]
    fn a_part_is_kept_for_operators_who_wait_for_nobody() {
        let mut book = Book::new(Bounds { total: 4, each: 4, kept: 1 });
        let (agent, operator) = (holder(Role::Agent, "a"), holder(Role::Operator, "o"));
        for _ in 0..9 {
            book.queue(&agent, 1, "agent");
        }
        assert_eq!(served(&mut book), ["agent"; 3]);
        book.queue(&holder(Role::Agent, "b"), 1, "another");
        let number = book.queue(&operator, 1, "operator");
        assert_eq!(served(&mut book), ["operator"]);
        book.leave(number);
        assert!(served(&mut book).is_empty(), "what was kept stays kept");
    }

    #[test]
    fn a_large_share_is_overtaken_by_small_ones_and_not_for_ever() {
        let mut book = Book::new(Bounds { total: 4, each: 3, kept: 0 });
        let [a, b, c] = ["a", "b", "c"].map(|name| holder(Role::Agent, name));
        let held = book.queue(&a, 2, "small");
        assert_eq!(served(&mut book), ["small"]);
        // More than it may ever have is all that it may have.
        book.queue(&b, 99, "large");
        assert!(served(&mut book).is_empty());
        for _ in 0..OVERTAKEN_MAX {
            let number = book.queue(&c, 1, "little");
            assert_eq!(served(&mut book), ["little"], "there is room for it");
            book.leave(number);
        }
        let later = book.queue(&c, 1, "little");
        assert!(served(&mut book).is_empty(), "b waits for three, and has waited enough");
        book.leave(held);
        assert_eq!(served(&mut book), ["large", "little"]);
        book.leave(later);
        assert!(book.is_nobody_waiting());
    }

    #[test]
    fn who_leaves_the_queue_holds_up_nobody() {
        let mut book = Book::new(Bounds { total: 2, each: 2, kept: 0 });
        let [a, b, c] = ["a", "b", "c"].map(|name| holder(Role::Agent, name));
        book.queue(&a, 1, "a");
        served(&mut book);
        let large = book.queue(&b, 2, "b");
        for _ in 0..OVERTAKEN_MAX {
            let number = book.queue(&c, 1, "c");
            served(&mut book);
            book.leave(number);
        }
        book.queue(&c, 1, "c");
        assert!(served(&mut book).is_empty());
        book.leave(large);
        assert_eq!(served(&mut book), ["c"]);
    }

    #[test]
    fn a_media_server_brings_what_many_agents_send() {
        let mut book = Book::new(Bounds { total: 99, each: 2, kept: 0 });
        let media = holder(Role::Media, "m");
        for _ in 0..99 {
            book.queue(&media, 1, "media");
        }
        assert_eq!(served(&mut book).len(), 8);
    }
}
