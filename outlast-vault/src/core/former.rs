//! The names that workloads had before: by which they are called now, and until when the former name is
//! accepted.
//!
//! They follow from the orders alone, which are on disk, in the audit log and in what the vault saves of
//! itself. They are worked out when a vault opens and stay as they are until it ends: a renaming takes a new
//! beginning (`renaming`).

use std::collections::BTreeMap;

use outlast_types::{Timestamp, WorkloadName};

/// All of a vault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FormerNames(BTreeMap<WorkloadName, Former>);

/// What became of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    /// By which the workload is called now.
    pub(crate) present: WorkloadName,
    /// Until when the former name is taken for it.
    pub(crate) until: Timestamp,
}

impl FormerNames {
    /// A workload is called `to` from now on. A name that it had before is its own again, if it gets that.
    pub(crate) fn rename(&mut self, from: &WorkloadName, to: &WorkloadName, until: Timestamp) {
        let present = self.present(from).clone();
        if present != *to {
            self.0.remove(to);
            for former in self.0.values_mut().filter(|former| former.present == present) {
                former.present.clone_from(to);
            }
        }
        self.0.insert(from.clone(), Former { present: to.clone(), until });
    }

    /// What became of a name, if it is a former one.
    pub(crate) fn get(&self, name: &WorkloadName) -> Option<&Former> {
        self.0.get(name)
    }

    /// By which name the workload is known that is or was called so, whether that is accepted or not.
    pub(crate) fn present<'a>(&'a self, name: &'a WorkloadName) -> &'a WorkloadName {
        self.0.get(name).map_or(name, |former| &former.present)
    }

    /// Whether both are, or were, names of one workload.
    pub(crate) fn is_same(&self, one: &WorkloadName, other: &WorkloadName) -> bool {
        self.present(one) == self.present(other)
    }

    /// The former names, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&WorkloadName, &Former)> {
        self.0.iter()
    }

    /// The former names of a workload.
    pub(crate) fn of<'a>(
        &'a self,
        workload: &'a WorkloadName,
    ) -> impl Iterator<Item = &'a WorkloadName> {
        let its = self.0.iter().filter(move |(_, former)| former.present == *workload);
        its.map(|(name, _)| name)
    }

    /// What is said of a workload by a former name is said of it by its present one, unless something is.
    pub(crate) fn carry_over<T>(&self, said: &mut BTreeMap<WorkloadName, T>) {
        for (name, Former { present, .. }) in &self.0 {
            if let Some(it) = said.remove(name) {
                said.entry(present.clone()).or_insert(it);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> WorkloadName {
        WorkloadName::new(text).unwrap()
    }

    #[test]
    fn a_chain_of_names_leads_to_the_present_one_and_one_that_is_given_back_is_no_former_one() {
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let at = |second| Timestamp::from_unix(second, 0).unwrap();
        let mut names = FormerNames::default();
        names.rename(&a, &b, at(10));
        names.rename(&b, &c, at(20));
        assert_eq!(names.present(&a), &c);
        assert_eq!(names.get(&a), Some(&Former { present: c.clone(), until: at(10) }));
        assert_eq!(names.get(&b), Some(&Former { present: c.clone(), until: at(20) }));
        assert_eq!(names.of(&c).collect::<Vec<_>>(), [&a, &b]);
        // Accepted for longer.
        names.rename(&a, &c, at(30));
        assert_eq!(names.get(&a).unwrap().until, at(30));
        assert_eq!(names.get(&b).unwrap().until, at(20));
        // Back, in a round.
        names.rename(&c, &a, at(40));
        assert_eq!(names.get(&a), None);
        assert!([&b, &c].into_iter().all(|name| names.present(name) == &a));
        let mut said = BTreeMap::from([(b.clone(), 2), (c, 3), (name("other"), 4)]);
        names.carry_over(&mut said);
        assert_eq!(said, BTreeMap::from([(a, 2), (name("other"), 4)]));
    }
}
