//! The verdict of a gate, from what is known of its drops. Pure.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::layout::DropAddress;
use crate::proven::PolicyWord;
use crate::receipt::ReceiptState;

/// How far a drop must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It is complete on the share.
    Sealed,
    /// An agent has verified every hash.
    Accepted,
    /// A tier on the way holds it durably.
    Shipped,
    /// The vault has published its snapshot.
    Vaulted,
    /// An existing backup product has confirmed that it has it.
    Confirmed,
    /// Whatever the vault's policy counts for this workload, by the vault's own word in the drop's receipts.
    Safe,
}

const WORDS: [(Until, &str); 6] = [
    (Until::Sealed, "sealed"),
    (Until::Accepted, "accepted"),
    (Until::Shipped, "shipped"),
    (Until::Vaulted, "vaulted"),
    (Until::Confirmed, "confirmed"),
    (Until::Safe, "safe"),
];

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORDS.iter().find(|(until, _)| until == self).map_or("", |(_, word)| word))
    }
}

/// Why a text says nothing that a gate can wait for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a gate waits until sealed, accepted, shipped, vaulted, confirmed or safe")]
pub struct UnknownUntil;

impl FromStr for Until {
    type Err = UnknownUntil;

    fn from_str(text: &str) -> Result<Self, UnknownUntil> {
        let found = WORDS.iter().find(|(_, word)| *word == text);
        found.map(|(until, _)| *until).ok_or(UnknownUntil)
    }
}

impl Until {
    /// The states that prove it, any of them. A sealed drop needs no proof but its seal.
    pub(super) fn proofs(self) -> &'static [ReceiptState] {
        use ReceiptState::{Accepted, Confirmed, HandedOver, Shipped, Vaulted};
        match self {
            Self::Sealed | Self::Accepted => &[Accepted, Shipped, Vaulted, HandedOver, Confirmed],
            Self::Shipped => &[Shipped, Vaulted],
            Self::Vaulted => &[Vaulted],
            Self::Confirmed => &[Confirmed],
            // Which of them it takes, the vault's word in them says.
            Self::Safe => &[Vaulted, Confirmed],
        }
    }
}

/// What lies on the share of a drop, and how it ended if it came to a bad end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its writer is at work, or died.
    Open,
    /// Its seal is no good as it looks; whether that is so, its agent decides.
    Doubtful(String),
    Sealed,
    /// Nothing lies there any more.
    Gone,
    /// Its writer gave up.
    Failed {
        exit_status: Option<i32>,
    },
    /// An agent refused it.
    Rejected {
        reason: String,
    },
    /// An agent gave it up, since its writer was still for too long.
    Abandoned {
        reason: String,
    },
}

/// A drop for which a gate waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatedDrop {
    pub address: DropAddress,
    /// Who wrote it, as it says itself.
    pub instance: Option<String>,
    pub release: Option<String>,
    pub standing: Standing,
    /// What receipts that count say of it.
    pub proved: BTreeSet<ReceiptState>,
    /// The newest word of the vault in those receipts, of what policy counts.
    pub policy: Option<PolicyWord>,
}

impl GatedDrop {
    /// Whether it has come so far.
    pub fn has_reached(&self, until: Until) -> bool {
        if until == Until::Safe {
            let has = |state| self.proved.contains(&state);
            let (vaulted, confirmed) = (has(ReceiptState::Vaulted), has(ReceiptState::Confirmed));
            let is_met = |word: PolicyWord| word.counts && word.safe.is_met(vaulted, confirmed);
            return self.policy.is_some_and(is_met);
        }
        let is_proved = until.proofs().iter().any(|state| self.proved.contains(state));
        is_proved || (until == Until::Sealed && self.standing == Standing::Sealed)
    }

    /// Why it will never get there, if so.
    fn end(&self) -> Option<String> {
        let of =
            |reason: &str| if reason.is_empty() { String::new() } else { format!(": {reason}") };
        match &self.standing {
            Standing::Failed { exit_status: Some(status) } => {
                Some(format!("failed: its command ended with {status}"))
            }
            Standing::Failed { exit_status: None } => Some("failed: its writer gave up".to_owned()),
            Standing::Rejected { reason } => Some(format!("was rejected{}", of(reason))),
            Standing::Abandoned { reason } => Some(format!("was abandoned{}", of(reason))),
            _ => None,
        }
    }

    /// The last that is known of it, in one word.
    pub fn state(&self) -> String {
        let last = self.proved.iter().next_back();
        match (&self.standing, last) {
            (Standing::Failed { .. }, _) => "failed".to_owned(),
            (Standing::Rejected { .. }, _) => "rejected".to_owned(),
            (Standing::Abandoned { .. }, _) => "abandoned".to_owned(),
            (_, Some(state)) => state.to_string(),
            (Standing::Open, None) => "open".to_owned(),
            (Standing::Doubtful(_), None) => "doubtful".to_owned(),
            (Standing::Sealed, None) => "sealed".to_owned(),
            (Standing::Gone, None) => "gone".to_owned(),
        }
    }

    /// What is missing, as a clause that follows its name.
    fn lacks(&self, until: Until) -> String {
        if until == Until::Safe {
            return self.lacks_safety();
        }
        match &self.standing {
            Standing::Open => "is not sealed yet".to_owned(),
            Standing::Doubtful(reason) => format!("has no good seal yet ({reason})"),
            Standing::Gone => {
                format!("is gone from the share, and no receipt says that it is {until}")
            }
            _ => format!("is {}, and not {until} yet", self.state()),
        }
    }
}

impl GatedDrop {
    /// What is missing for policy.
    fn lacks_safety(&self) -> String {
        let state = self.state();
        match self.policy {
            Some(PolicyWord { counts: false, .. }) => format!(
                "is {state}, and looks like no backup to the vault, so it counts for nothing"
            ),
            Some(PolicyWord { safe, .. }) => {
                format!("is {state}, and policy wants it {}", safe.done())
            }
            None if !self.proved.is_empty() => format!(
                "is {state}, and its receipts, of an older vault, do not say what policy counts: wait for \
                 vaulted or confirmed"
            ),
            None => match &self.standing {
                Standing::Open => "is not sealed yet".to_owned(),
                Standing::Doubtful(reason) => format!("has no good seal yet ({reason})"),
                _ => format!("is {state}, and the vault has signed nothing about it yet"),
            },
        }
    }
}

impl fmt::Display for GatedDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drop {}", self.address.drop)?;
        match &self.instance {
            Some(instance) => write!(f, " of {instance}"),
            None => Ok(()),
        }
    }
}

/// Whether the gate opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Reached,
    /// It never will: why.
    Failed(String),
    /// Not yet: what it waits for.
    Waiting(String),
}

/// The verdict about `drops`. The newest drop of each instance decides about it, or the newest of all; of
/// older ones, those that are sealed must get there, too. What an instance tried before and began anew
/// is past.
pub(super) fn judge(until: Until, each_instance: bool, drops: &[&GatedDrop]) -> Verdict {
    let mut groups: BTreeMap<Option<&str>, Vec<&GatedDrop>> = BTreeMap::new();
    for drop in drops {
        let group = drop.instance.as_deref().filter(|_| each_instance);
        groups.entry(group).or_default().push(drop);
    }
    let (mut failed, mut waiting) = (Vec::new(), Vec::new());
    for group in groups.values_mut() {
        group.sort_by_key(|drop| (drop.address.drop, drop.address.day));
        let Some((newest, older)) = group.split_last() else { continue };
        if !newest.has_reached(until) {
            match newest.end() {
                Some(end) => failed.push(format!("{newest} {end}")),
                None => waiting.push(format!("{newest} {}", newest.lacks(until))),
            }
        }
        let is_wanting =
            |drop: &&&GatedDrop| drop.standing == Standing::Sealed && !drop.has_reached(until);
        let wanting = older.iter().filter(is_wanting);
        waiting.extend(wanting.map(|drop| format!("{drop} {}", drop.lacks(until))));
    }
    match (failed.is_empty(), waiting.is_empty()) {
        (false, _) => Verdict::Failed(told(&failed)),
        (true, false) => Verdict::Waiting(told(&waiting)),
        (true, true) => Verdict::Reached,
    }
}

/// The first few, and how many others.
fn told(all: &[String]) -> String {
    const TOLD: usize = 3;
    let first = all.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(TOLD) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::{Safe, Timestamp, WorkloadName};

    use super::*;

    fn drop(number: u8, instance: &str, standing: Standing, proved: &[ReceiptState]) -> GatedDrop {
        GatedDrop {
            address: DropAddress {
                workload: WorkloadName::new("shop").unwrap(),
                day: Timestamp::EPOCH.day(),
                drop: format!("01a2066b-8649-78cb-a8bc-a5af000000{number:02x}").parse().unwrap(),
            },
            instance: (!instance.is_empty()).then(|| instance.to_owned()),
            release: None,
            standing,
            proved: proved.iter().copied().collect(),
            policy: None,
        }
    }

    fn verdict(until: Until, each: bool, drops: &[GatedDrop]) -> Verdict {
        judge(until, each, &drops.iter().collect::<Vec<_>>())
    }

    fn is_waiting(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Waiting(_))
    }

    #[test]
    fn each_state_is_reached_by_its_proofs_and_by_no_others() {
        use ReceiptState::{Accepted, Confirmed, HandedOver, Released, Shipped, Vaulted};
        let all = [Accepted, Shipped, Vaulted, HandedOver, Confirmed, Released];
        for (until, by) in [
            (Until::Accepted, &[Accepted, Shipped, Vaulted, HandedOver, Confirmed][..]),
            (Until::Shipped, &[Shipped, Vaulted]),
            (Until::Vaulted, &[Vaulted]),
            (Until::Confirmed, &[Confirmed]),
        ] {
            for state in all {
                let drops = [drop(1, "", Standing::Sealed, &[state])];
                let reached = verdict(until, false, &drops) == Verdict::Reached;
                assert_eq!(reached, by.contains(&state), "{until} by {state}");
                assert_eq!(until.to_string().parse(), Ok(until));
            }
        }
        let sealed = [drop(1, "", Standing::Sealed, &[])];
        assert_eq!(verdict(Until::Sealed, false, &sealed), Verdict::Reached);
        assert!(is_waiting(&verdict(Until::Accepted, false, &sealed)));
        let released = [drop(1, "", Standing::Gone, &[Vaulted, Released])];
        assert_eq!(verdict(Until::Vaulted, false, &released), Verdict::Reached);
        assert!("released".parse::<Until>().is_err());
    }

    #[test]
    fn what_policy_counts_is_the_vaults_word_and_without_it_nothing_is_safe() {
        use ReceiptState::{Accepted, Confirmed, Vaulted};
        let word = |safe, counts| Some(PolicyWord { at: Timestamp::EPOCH, safe, counts });
        let met = [
            (Safe::Vaulted, [false, true, false, true]),
            (Safe::Confirmed, [false, false, true, true]),
            (Safe::Either, [false, true, true, true]),
            (Safe::Both, [false, false, false, true]),
        ];
        let proofs =
            [&[Accepted][..], &[Accepted, Vaulted], &[Accepted, Confirmed], &[Vaulted, Confirmed]];
        for (safe, reached) in met {
            for (proved, reached) in proofs.into_iter().zip(reached) {
                let mut one = drop(1, "", Standing::Sealed, proved);
                assert!(!one.has_reached(Until::Safe), "the vault has not said what counts");
                one.policy = word(safe, true);
                assert_eq!(one.has_reached(Until::Safe), reached, "{safe} by {proved:?}");
                one.policy = word(safe, false);
                assert!(!one.has_reached(Until::Safe), "what is in doubt counts nowhere");
                let told = verdict(Until::Safe, false, &[one]);
                let Verdict::Waiting(told) = told else { panic!("{told:?}") };
                assert!(told.contains("looks like no backup"), "{told}");
            }
        }
        let vaulted = GatedDrop {
            policy: word(Safe::Both, true),
            ..drop(1, "blue-1", Standing::Gone, &[Vaulted])
        };
        let Verdict::Waiting(told) = verdict(Until::Safe, false, &[vaulted]) else { panic!() };
        assert!(
            told.contains("policy wants it vaulted and confirmed by the backup product"),
            "{told}"
        );
        let of_before = drop(1, "", Standing::Sealed, &[Vaulted]);
        let Verdict::Waiting(told) = verdict(Until::Safe, false, &[of_before]) else { panic!() };
        assert!(told.contains("of an older vault"), "{told}");
        let sealed = drop(1, "", Standing::Sealed, &[]);
        let Verdict::Waiting(told) = verdict(Until::Safe, false, &[sealed]) else { panic!() };
        assert!(told.contains("the vault has signed nothing about it yet"), "{told}");
        assert_eq!("safe".parse(), Ok(Until::Safe));
    }

    #[test]
    fn a_bad_end_is_told_at_once_unless_the_instance_has_begun_anew() {
        let rejected = || Standing::Rejected { reason: "0001.seg has another hash".to_owned() };
        for (end, words) in [
            (rejected(), "was rejected: 0001.seg has another hash"),
            (Standing::Abandoned { reason: String::new() }, "was abandoned"),
            (Standing::Failed { exit_status: Some(3) }, "its command ended with 3"),
        ] {
            let told = verdict(Until::Accepted, false, &[drop(1, "blue-1", end.clone(), &[])]);
            let Verdict::Failed(told) = told else { panic!("{told:?}") };
            assert!(told.contains(words) && told.contains("of blue-1"), "{told}");
            let again = drop(2, "blue-1", Standing::Sealed, &[ReceiptState::Accepted]);
            let drops = [drop(1, "blue-1", end, &[]), again];
            assert_eq!(verdict(Until::Accepted, false, &drops), Verdict::Reached);
        }
        // What was taken before it was refused elsewhere has been taken.
        let drops = [drop(1, "", rejected(), &[ReceiptState::Vaulted])];
        assert_eq!(verdict(Until::Accepted, false, &drops), Verdict::Reached);
    }

    #[test]
    fn every_instance_of_a_release_must_get_there() {
        let good = |number, of| drop(number, of, Standing::Sealed, &[ReceiptState::Accepted]);
        let waiting = drop(2, "blue-2", Standing::Open, &[]);
        let drops = [good(1, "blue-1"), waiting.clone(), good(3, "blue-3")];
        assert!(is_waiting(&verdict(Until::Accepted, true, &drops)));
        assert_eq!(verdict(Until::Accepted, false, &drops), Verdict::Reached, "the newest decides");
        let failed = drop(2, "blue-2", Standing::Failed { exit_status: None }, &[]);
        let drops = [good(1, "blue-1"), failed, good(3, "blue-3")];
        assert!(matches!(verdict(Until::Accepted, true, &drops), Verdict::Failed(_)));
        assert_eq!(verdict(Until::Accepted, true, &[good(1, "blue-1")]), Verdict::Reached);
        // An older one that is complete must not be left behind.
        let drops = [drop(1, "blue-1", Standing::Sealed, &[]), good(2, "blue-1")];
        assert!(is_waiting(&verdict(Until::Accepted, true, &drops)));
        let many: Vec<_> = (1..9).map(|n| drop(n, &n.to_string(), Standing::Open, &[])).collect();
        let Verdict::Waiting(words) = verdict(Until::Sealed, true, &many) else { panic!() };
        assert!(words.contains("and 5 more"), "{words}");
    }
}
