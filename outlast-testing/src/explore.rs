//! A small checker of models: every state that can be reached, the shortest way to one that must not
//! be, and whether the good end can be reached from everywhere.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// A model: states, and what can happen in each.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;

    /// Where it begins.
    fn start(&self) -> Self::State;

    /// All that can happen next, in words, and where it leads.
    fn next(&self, state: &Self::State) -> Vec<(String, Self::State)>;

    /// What must never be, and is.
    fn broken(&self, state: &Self::State) -> Option<String>;

    /// Whether all has come to its good end. It must be possible to get there from every state.
    fn is_well(&self, state: &Self::State) -> bool;
}

/// Explores all states; how many there are.
///
/// # Errors
/// The shortest way to a state that is broken, or from which there is no good end; and where there are
/// more than `max` states.
pub fn explore<M: Model>(model: &M, max: usize) -> Result<usize, String> {
    let mut found = Found { states: Vec::new(), index: HashMap::new() };
    found.add(model.start(), None);
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut at = 0;
    while at < found.states.len() {
        let state = found.states[at].0.clone();
        if let Some(why) = model.broken(&state) {
            return Err(found.way(at, &why));
        }
        for (event, next) in model.next(&state) {
            let number = match found.index.get(&next) {
                Some(number) => *number,
                None => {
                    before.push(Vec::new());
                    found.add(next, Some((at, event)))
                }
            };
            before[number].push(at);
        }
        if found.states.len() > max {
            return Err(format!("there are more than {max} states"));
        }
        at += 1;
    }
    let mut is_well: Vec<bool> =
        found.states.iter().map(|(state, _)| model.is_well(state)).collect();
    let mut queue: VecDeque<usize> = (0..is_well.len()).filter(|at| is_well[*at]).collect();
    while let Some(at) = queue.pop_front() {
        for earlier in &before[at] {
            if !std::mem::replace(&mut is_well[*earlier], true) {
                queue.push_back(*earlier);
            }
        }
    }
    match is_well.iter().position(|is_well| !is_well) {
        Some(stuck) => Err(found.way(stuck, "there is no good end from here")),
        None => Ok(found.states.len()),
    }
}

/// The states in the order in which they were found, each with how it was reached first.
struct Found<S> {
    states: Vec<(S, Option<(usize, String)>)>,
    index: HashMap<S, usize>,
}

impl<S: Clone + Eq + Hash + Debug> Found<S> {
    fn add(&mut self, state: S, from: Option<(usize, String)>) -> usize {
        let number = self.states.len();
        self.index.insert(state.clone(), number);
        self.states.push((state, from));
        number
    }

    /// How a state is reached, in words.
    fn way(&self, end: usize, why: &str) -> String {
        let mut events = Vec::new();
        let mut at = end;
        while let Some((earlier, event)) = &self.states[at].1 {
            events.push(event.as_str());
            at = *earlier;
        }
        events.reverse();
        format!("{why}:\n  {}\n{:#?}", events.join("\n  "), self.states[end].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A glass that is filled and emptied, and may be dropped when it is full.
    struct Glass {
        breaks: bool,
        is_heavy: bool,
    }

    impl Model for Glass {
        type State = u32;

        fn start(&self) -> u32 {
            0
        }

        fn next(&self, fill: &u32) -> Vec<(String, u32)> {
            match fill {
                0..3 => vec![("pour".to_owned(), fill + 1)],
                3 if self.breaks => vec![("drop".to_owned(), 9), ("drink".to_owned(), 0)],
                3 if !self.is_heavy => vec![("drink".to_owned(), 0)],
                _ => Vec::new(),
            }
        }

        fn broken(&self, fill: &u32) -> Option<String> {
            (*fill == 9).then(|| "it broke".to_owned())
        }

        fn is_well(&self, fill: &u32) -> bool {
            *fill == 0
        }
    }

    #[test]
    fn what_must_not_be_and_what_has_no_end_are_found_with_the_way_there() {
        let explored = |breaks, is_heavy| explore(&Glass { breaks, is_heavy }, 10);
        assert_eq!(explored(false, false), Ok(4));
        let broken = explored(true, false).unwrap_err();
        assert!(broken.contains("it broke:\n  pour\n  pour\n  pour\n  drop"), "{broken}");
        let stuck = explored(false, true).unwrap_err();
        assert!(stuck.contains("no good end") && stuck.contains("pour"), "{stuck}");
        assert!(explore(&Glass { breaks: false, is_heavy: false }, 3).is_err());
    }
}
