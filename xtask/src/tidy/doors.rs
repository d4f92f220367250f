//! Time and randomness are passed in: who takes them from the system cannot be simulated or tested.

use super::modules::Tree;

/// What only the doors themselves may touch, and what to do instead.
const CLOSED: [(&[&str], &str); 9] = [
    (&["std", "time", "SystemTime", "now"], "take a `Clock`"),
    (&["std", "time", "Instant", "now"], "take a `Timer`"),
    (&["std", "thread", "sleep"], "take a `Timer`"),
    (&["getrandom"], "take a `Random`"),
    (&["ring", "rand", "SystemRandom"], "take a `Random`"),
    (&["outlast_types", "SystemClock"], "take a `Clock`"),
    (&["outlast_types", "SystemRandom"], "take a `Random`"),
    (&["outlast_types", "SystemTimer"], "take a `Timer`"),
    (&["outlast_types", "Environment", "system"], "take an `Environment`"),
];

/// The programs, which open the doors, and what is for development.
const OUTSIDE: [&str; 4] = ["outlast", "outlast-testing", "outlast-fuzz", "xtask"];

/// Where ring signs with ECDSA: nobody else can implement its source of randomness, and nothing is
/// decided by the bytes of a signature.
const SIGNS: &str = "outlast-wire/src/key.rs";

/// The doors.
const DOORS: [&str; 3] =
    ["outlast-types/src/clock.rs", "outlast-types/src/random.rs", "outlast-types/src/timer.rs"];

/// Where the modules of a crate take time or randomness from the system.
pub(super) fn violations(tree: &Tree) -> Vec<String> {
    let package = tree.name.split('/').next().unwrap_or_default();
    if OUTSIDE.contains(&package) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for used in tree.outside() {
        let file = tree.modules[used.from].file.to_string_lossy();
        if DOORS.contains(&file.as_ref())
            || (file == SIGNS && used.path.first().is_some_and(|name| name == "ring"))
        {
            continue;
        }
        for (closed, instead) in CLOSED {
            if matches(&used.path, closed) {
                found.push(format!("{file}:{}: {}: {instead}", used.line, used.path.join("::")));
            }
        }
    }
    found
}

/// Whether a path leads through what is closed. A crate may show it in a module or in its root.
fn matches(path: &[String], closed: &[&str]) -> bool {
    let ([krate, rest @ ..], [first, closed @ ..]) = (path, closed) else { return false };
    krate == first
        && (closed.is_empty() || rest.windows(closed.len()).any(|window| window == closed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        violations(&Tree::of(&[("lib.rs", text)]))
    }

    #[test]
    fn time_and_randomness_of_the_system_are_found_under_any_name() {
        for text in [
            "fn f() { std::time::SystemTime::now(); }",
            "use std::time::{Duration, Instant}; fn f() { vec![Instant::now()]; }",
            "use std::time::Instant as Moment; fn f() { x.get_or_insert_with(Moment::now); }",
            "use std::thread; fn f() { thread::sleep(x); }",
            "use std::thread::sleep;",
            "fn f() { getrandom::fill(&mut x); }",
            "use ring::rand::{self, SecureRandom}; fn f() { rand::SystemRandom::new(); }",
            "use outlast_types::{Clock, SystemClock};",
            "use outlast_types::random::SystemRandom;",
            "use outlast_types::Environment; fn f() { Environment::system(); }",
        ] {
            assert_eq!(found(text).len(), 1, "{text}: {:?}", found(text));
        }
        assert_eq!(
            found("fn f() {\nstd::thread::sleep(x) }"),
            ["src/lib.rs:2: std::thread::sleep: take a `Timer`"]
        );
    }

    #[test]
    fn what_is_passed_in_and_what_tests_do_is_not() {
        for text in [
            "use std::time::{Instant, SystemTime}; fn f(at: Instant, now: SystemTime) {}",
            "use outlast_types::Environment; fn f(environment: &Environment) {}",
            "use std::thread; fn f() { thread::spawn(x); }",
            "#[cfg(test)] mod tests { use outlast_types::SystemClock; }",
            "#[test] fn t() { std::thread::sleep(x); }",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn programs_open_the_doors() {
        let mut tree = Tree::of(&[("main.rs", ""), ("lib.rs", "use outlast_types::SystemClock;")]);
        tree.name = "outlast".to_owned();
        assert!(violations(&tree).is_empty());
    }
}
