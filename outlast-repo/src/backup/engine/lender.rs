//! Lending: the book behind a lock, and waiting for what it does not give at once.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::book::{Book, Party, Ticket};
use crate::backup::stop::{Halt, Stop};

/// Lends some amount of one thing to several parties.
#[derive(Debug)]
pub(super) struct Lender {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: Book,
    /// Who waits, each with what wakes it.
    waiting: Vec<(Ticket, Arc<Condvar>)>,
}

/// Something that was lent; goes back when dropped.
#[derive(Debug)]
pub(in crate::backup) struct Loan {
    lender: Arc<Lender>,
    party: Party,
    amount: usize,
}

impl Lender {
    pub(super) fn new(total: usize, parties: usize, each: usize) -> Arc<Self> {
        let state = State { book: Book::new(total, parties, each), waiting: Vec::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends `amount`, or what can be had at once of more than that, if it need not be waited for.
    pub(super) fn try_lend(self: &Arc<Self>, party: Party, amount: usize) -> Option<Loan> {
        let mut state = self.state();
        let amount = amount.min(state.book.ask_max());
        state.book.ask(party, amount, false).ok()?;
        Some(self.loan(party, amount))
    }

    /// The same, waiting for it until `stop` is thrown.
    pub(super) fn lend(
        self: &Arc<Self>,
        party: Party,
        amount: usize,
        stop: &Stop,
    ) -> Result<Loan, Halt> {
        let mut state = self.state();
        let amount = amount.min(state.book.ask_max());
        let ticket = match state.book.ask(party, amount, true) {
            Ok(()) | Err(None) => return Ok(self.loan(party, amount)),
            Err(Some(ticket)) => ticket,
        };
        let served = Arc::new(Condvar::new());
        state.waiting.push((ticket, Arc::clone(&served)));
        loop {
            let Some(position) = state.waiting.iter().position(|(it, _)| *it == ticket) else {
                return Ok(self.loan(party, amount));
            };
            if stop.is_thrown() {
                state.waiting.swap_remove(position);
                state.book.withdraw(ticket);
                // Whoever was behind it may go first now.
                state.serve();
                return Err(Halt::Stopped);
            }
            state = served.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn loan(self: &Arc<Self>, party: Party, amount: usize) -> Loan {
        Loan { lender: Arc::clone(self), party, amount }
    }

    fn give_back(&self, party: Party, amount: usize) {
        let mut state = self.state();
        state.book.give_back(party, amount);
        state.serve();
    }

    pub(super) fn leave(&self, party: Party) {
        self.state().book.leave(party);
    }

    /// Whether nothing is lent, and nobody waits.
    #[cfg(test)]
    pub(super) fn is_whole(&self) -> bool {
        let state = self.state();
        state.book.is_whole() && state.waiting.is_empty()
    }

    /// Wakes all who wait, to see whether they are to stop.
    pub(super) fn wake(&self) {
        self.state().waiting.iter().for_each(|(_, waiting)| waiting.notify_all());
    }
}

impl State {
    fn serve(&mut self) {
        for ticket in self.book.serve() {
            if let Some(position) = self.waiting.iter().position(|(it, _)| *it == ticket) {
                self.waiting.swap_remove(position).1.notify_all();
            }
        }
    }
}

impl Loan {
    /// Puts another one of the same party and thing to it.
    pub(in crate::backup) fn join(&mut self, mut other: Self) {
        self.amount += std::mem::take(&mut other.amount);
    }

    /// Gives back what is more than `amount`.
    pub(in crate::backup) fn keep(&mut self, amount: usize) {
        if let Some(excess @ 1..) = self.amount.checked_sub(amount) {
            self.amount = amount;
            self.lender.give_back(self.party, excess);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.lender.give_back(self.party, self.amount);
        }
    }
}
