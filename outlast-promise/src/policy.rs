//! Policy: classes, patterns over workloads' names, and what is said of single ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use outlast_types::{WorkloadName, WorkloadPattern};

use crate::class::{Class, ClassName, InvalidClass, Part};
use crate::origin::Origin;
use crate::promise::{Declaration, Promise};

/// What policy says of one workload, or of all that are called alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub class: Option<ClassName>,
    /// What holds whatever the class says.
    pub part: Part,
}

/// All that policy promises.
///
/// Of what is said several times, the nearest counts: of the workload by its name; then by patterns; then
/// by its class, which is the nearest that is named; then of all. Two patterns that can mean one workload
/// must not disagree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Of all workloads.
    pub default: Said,
    pub classes: BTreeMap<ClassName, Part>,
    pub workloads: BTreeMap<WorkloadName, Said>,
    pub patterns: Vec<(WorkloadPattern, Said)>,
}

/// Something in a policy that nobody can mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFlaw {
    /// `promise`, `classes.daily`, `workloads.shop-*`.
    pub section: String,
    pub key: &'static str,
    pub words: String,
}

/// What policy promises of one workload, and who in it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruled {
    pub(crate) class: Arc<Class>,
    pub(crate) point_from: Origin,
    pub(crate) owner_from: Origin,
}

/// One layer of what holds for a workload.
struct Layer<'a> {
    part: &'a Part,
    from: Origin,
}

impl Policy {
    /// The class by which a workload is kept.
    pub fn class(&self, workload: &WorkloadName) -> Arc<Class> {
        self.of(workload).class
    }

    /// The classes that workloads may be kept by, and that of all of which policy says no more.
    pub fn all_classes(&self) -> impl Iterator<Item = Class> {
        let named = self.classes.keys();
        let named = named.map(|name| self.built(Some(name), &[self.layer_of(name)]));
        named.chain([self.built(self.default.class.as_ref(), &[])])
    }

    /// What it says of a workload by the name that it had before is said of it by its present one, unless
    /// something is.
    pub fn carry_over(&mut self, from: &WorkloadName, to: &WorkloadName) {
        if let Some(said) = self.workloads.remove(from) {
            self.workloads.entry(to.clone()).or_insert(said);
        }
    }

    /// Whether policy says anything of this very workload, or of those that are called like it.
    pub fn declares(&self, workload: &WorkloadName) -> bool {
        self.workloads.contains_key(workload)
            || self.patterns.iter().any(|(pattern, _)| pattern.matches(workload))
    }

    /// Whether it names any workload at all; one that does not leaves all to the default.
    pub fn declares_any(&self) -> bool {
        !self.workloads.is_empty() || !self.patterns.is_empty()
    }

    /// All that nobody can mean.
    pub fn judge(&self) -> Vec<PolicyFlaw> {
        let mut flaws = Vec::new();
        let mut judge = |section: String, class: Option<&ClassName>, built: Class| {
            if let Some(unknown) = class.filter(|class| !self.classes.contains_key(*class)) {
                let words = format!("there is no class {unknown}: write [classes.{unknown}]");
                flaws.push(PolicyFlaw { section: section.clone(), key: "class", words });
            }
            if let Err(InvalidClass { key, words }) = built.judge() {
                flaws.push(PolicyFlaw { section, key, words });
            }
        };
        let default = self.default.class.as_ref();
        judge("promise".to_owned(), default, self.built(default, &[]));
        for name in self.classes.keys() {
            let built = self.built(Some(name), &[self.layer_of(name)]);
            judge(format!("classes.{name}"), Some(name), built);
        }
        let exact = self.workloads.iter().map(|(name, said)| (name.to_string(), said));
        let patterns = self.patterns.iter().map(|(pattern, said)| (pattern.to_string(), said));
        for (name, said) in exact.chain(patterns) {
            let layers = [Layer { part: &said.part, from: Origin::Policy }];
            let class = said.class.as_ref();
            judge(format!("workloads.{name}"), class, self.built(class, &layers));
        }
        flaws
    }

    /// What holds for one workload.
    pub(crate) fn of(&self, workload: &WorkloadName) -> Ruled {
        let exact = self.workloads.get(workload);
        let patterns = self.patterns.iter().filter(|(pattern, _)| pattern.matches(workload));
        let patterns: Vec<_> = patterns.collect();
        let class = exact.and_then(|said| said.class.as_ref());
        let class = class.or_else(|| patterns.iter().find_map(|(_, said)| said.class.as_ref()));
        let class = class.or(self.default.class.as_ref());
        let own = exact.map(|said| Layer { part: &said.part, from: Origin::Policy });
        let alike = patterns.iter().map(|(pattern, said)| Layer {
            part: &said.part,
            from: Origin::Pattern(pattern.clone()),
        });
        let of_class = class.map(|name| self.layer_of(name));
        let default = Layer { part: &self.default.part, from: Origin::Default };
        let layers: Vec<Layer<'_>> =
            own.into_iter().chain(alike).chain(of_class).chain([default]).collect();
        let from = |says: fn(&Part) -> bool| {
            let first = layers.iter().find(|layer| says(layer.part));
            first.map_or(Origin::Default, |layer| layer.from.clone())
        };
        let point_from = from(|part| part.rpo.is_some() || part.schedule.is_some());
        let owner_from = from(|part| part.owner.is_some());
        let parts = layers.into_iter().map(|layer| layer.part);
        let class = Arc::new(Class::of(class.cloned(), put_together(parts)));
        Ruled { class, point_from, owner_from }
    }

    fn layer_of(&self, class: &ClassName) -> Layer<'_> {
        static NOTHING: Part = Part::NOTHING;
        let part = self.classes.get(class).unwrap_or(&NOTHING);
        Layer { part, from: Origin::Class(class.to_string()) }
    }

    /// What `layers` make of a class and of the default.
    fn built(&self, class: Option<&ClassName>, layers: &[Layer<'_>]) -> Class {
        let class = class.or(self.default.class.as_ref());
        let of_class = class.map(|name| self.layer_of(name).part);
        let parts = layers.iter().map(|layer| layer.part).chain(of_class);
        Class::of(class.cloned(), put_together(parts.chain([&self.default.part])))
    }
}

/// Parts, the nearest first.
fn put_together<'a>(parts: impl Iterator<Item = &'a Part>) -> Part {
    parts.fold(Part::default(), |all, part| all.over(part))
}

/// One promise for all workloads.
impl From<Promise> for Policy {
    fn from(promise: Promise) -> Self {
        Self { default: Declaration::from(promise).into(), ..Self::default() }
    }
}

impl From<Promise> for Said {
    fn from(promise: Promise) -> Self {
        Declaration::from(promise).into()
    }
}

impl From<Declaration> for Said {
    fn from(said: Declaration) -> Self {
        let owner = said.owner().map(str::to_owned);
        Self { class: None, part: Part { rpo: said.rpo(), owner, ..Part::default() } }
    }
}
