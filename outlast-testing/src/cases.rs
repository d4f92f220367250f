//! How often a property is tried.

use proptest::test_runner::Config;

/// A property with so many cases: few in each change's tests, and many when somebody has the time.
///
/// What `PROPTEST_CASES` asks for is asked of those that say nothing, which have 256; those that say a number of
/// their own have theirs as many times more or less. With `PROPTEST_CASES=12800`, each has fifty times its cases.
pub fn cases(usual: u32) -> Config {
    scaled(Config::default(), usual)
}

/// What properties have that say nothing, where nobody asks for more.
const USUAL: u64 = 256;

fn scaled(wanted: Config, usual: u32) -> Config {
    let times = |number: u32| {
        let number = u64::from(number) * u64::from(wanted.cases) / USUAL;
        u32::try_from(number.max(1)).unwrap_or(u32::MAX)
    };
    // Whoever tries more may also throw more away.
    let max_global_rejects = times(wanted.max_global_rejects).max(wanted.max_global_rejects);
    Config { cases: times(usual), max_global_rejects, ..wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_fifty_times_the_cases_gets_them_of_every_property() {
        let wanted = |cases| Config { cases, ..Config::default() };
        assert_eq!(scaled(wanted(256), 24).cases, 24);
        assert_eq!(scaled(wanted(12_800), 24).cases, 1200);
        assert_eq!(scaled(wanted(16), 24).cases, 1);
        assert_eq!(scaled(wanted(1), 24).cases, 1);
        let rejects = |cases| scaled(wanted(cases), 24).max_global_rejects;
        assert_eq!((rejects(1), rejects(12_800)), (rejects(256), rejects(256) * 50));
    }
}
