//! Whether enough changes are noticed, and the others are those that are known.

use std::collections::BTreeMap;
use std::fmt;

use super::targets::Target;

/// The least part of the changes that the tests notice.
const KILLED_PERCENT_MIN: usize = 95;

/// What became of the changes that could be built.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Noticed by a test that failed, or never came to an end.
    killed: usize,
    /// By name, without line and column, with their places.
    survivors: BTreeMap<String, Vec<String>>,
}

impl Outcome {
    /// Reads the lists that cargo-mutants leaves.
    pub(super) fn parse(caught: &str, timeout: &str, missed: &str) -> Self {
        let mut survivors = BTreeMap::<String, Vec<String>>::new();
        for line in missed.lines().filter(|line| !line.is_empty()) {
            survivors.entry(name(line)).or_default().push(line.to_owned());
        }
        let count = |list: &str| list.lines().filter(|line| !line.is_empty()).count();
        Self { killed: count(caught) + count(timeout), survivors }
    }

    fn survived(&self) -> usize {
        self.survivors.values().map(Vec::len).sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (killed, survived) = (self.killed, self.survived());
        let percent = killed * 100 / (killed + survived).max(1);
        write!(out, "{killed} of {} killed ({percent}%)", killed + survived)
    }
}

/// The name of a change: `src/a.rs:7:3: replace > with >= in f` without the line and the column.
fn name(line: &str) -> String {
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(change)) => format!("{file}:{change}"),
        _ => line.to_owned(),
    }
}

/// What is wrong with an outcome.
pub(super) fn judge(target: &Target, outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let all = outcome.killed + outcome.survived();
    if all == 0 {
        found.push("nothing was changed: do the files still have these names?".to_owned());
    }
    if outcome.killed * 100 < all * KILLED_PERCENT_MIN {
        found.push(format!("{outcome}; at least {KILLED_PERCENT_MIN}% have to be"));
    }
    let known = |name: &str| {
        let known = target.survivors.iter().filter(|survivor| survivor.mutant == name);
        known.map(|survivor| survivor.count).sum::<usize>()
    };
    for (name, places) in &outcome.survivors {
        if places.len() > known(name) {
            found.extend(places.iter().map(|place| format!("no test notices: {place}")));
        }
    }
    for survivor in &target.survivors {
        let survived = outcome.survivors.get(&survivor.mutant).map_or(0, Vec::len);
        if survived < survivor.count {
            found.push(format!("{}: is noticed now: remove it from the list", survivor.mutant));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::targets;
    use super::*;

    const MISSED: &str = "p/src/a.rs:7:12: replace > with >= in due\n";

    fn found(caught: usize, missed: &str, survivors: &str) -> Vec<String> {
        let list = format!("[p]\npackage = \"p\"\nfiles = []\ntests = []\n{survivors}");
        let targets = targets::parse(&list).unwrap();
        let caught = "p/src/a.rs:1:1: replace f -> bool with true\n".repeat(caught);
        judge(&targets["p"], &Outcome::parse(&caught, "", missed))
    }

    #[test]
    fn a_survivor_is_accepted_wherever_it_stands_if_it_is_listed() {
        let listed =
            "[[p.survivors]]\nmutant = \"p/src/a.rs: replace > with >= in due\"\nwhy = \"x\"";
        assert!(found(40, MISSED, listed).is_empty());
        assert!(found(40, &MISSED.replace("7:12", "9:1"), listed).is_empty());
        assert_eq!(found(40, MISSED, "").len(), 1);
        let twice = MISSED.repeat(2);
        assert_eq!(found(80, &twice, listed).len(), 2, "both places are told");
        assert!(found(80, &twice, &format!("{listed}\ncount = 2")).is_empty());
        assert!(found(40, "", listed)[0].contains("is noticed now"));
    }

    #[test]
    fn too_few_killed_are_too_few_even_if_the_others_are_listed() {
        let listed =
            "[[p.survivors]]\nmutant = \"p/src/a.rs: replace > with >= in due\"\nwhy = \"x\"";
        assert!(found(19, MISSED, listed).is_empty());
        assert_eq!(found(18, MISSED, listed), ["18 of 19 killed (94%); at least 95% have to be"]);
        assert_eq!(found(0, "", "").len(), 1, "nothing is no success");
    }
}
