//! Rows that know what changed in them since they were last saved.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Rows by key. Each row that is touched keeps what was last saved of it beside it, so that the
/// changes can be told row by row, and taken back if they could not be saved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    /// What was last saved of the rows that were touched since; `None` if there was no such row.
    saved: BTreeMap<K, Option<V>>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), saved: BTreeMap::new() }
    }
}

/// A table of rows that are saved as they are.
impl<K: Ord, V> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Self {
        Self { rows: rows.into_iter().collect(), saved: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> Table<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    /// The rows from `first` on, in order.
    pub(crate) fn from(&self, first: &K) -> impl Iterator<Item = (&K, &V)> {
        self.rows.range(first..)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.rows.keys()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.values()
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        if !self.saved.contains_key(key) {
            self.saved.insert(key.clone(), Some(row.clone()));
        }
        Some(row)
    }

    pub(crate) fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        let entry = self.rows.entry(key.clone());
        if !self.saved.contains_key(key) {
            let saved = match &entry {
                Entry::Occupied(row) => Some(row.get().clone()),
                Entry::Vacant(_) => None,
            };
            self.saved.insert(key.clone(), saved);
        }
        entry.or_insert_with(make)
    }

    pub(crate) fn insert(&mut self, key: K, row: V) {
        let before = self.rows.insert(key.clone(), row);
        self.saved.entry(key).or_insert(before);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let row = self.rows.remove(key)?;
        self.saved.entry(key.clone()).or_insert_with(|| Some(row.clone()));
        Some(row)
    }

    /// Removes all rows of which `is_kept` does not hold.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&K, &V) -> bool) {
        let gone = self.rows.iter().filter(|(key, row)| !is_kept(key, row));
        let gone: Vec<K> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// Changes every row.
    pub(crate) fn update_all(&mut self, change: impl Fn(&mut V)) {
        let keys: Vec<K> = self.rows.keys().cloned().collect();
        for key in keys {
            self.get_mut(&key).map(&change);
        }
    }

    /// Fills in the parts of rows that are never stored, but follow from what is.
    pub(crate) fn work_out(&mut self, fill: impl Fn(&K, &mut V)) {
        self.rows.iter_mut().for_each(|(key, row)| fill(key, row));
        for (key, saved) in &mut self.saved {
            saved.iter_mut().for_each(|row| fill(key, row));
        }
    }

    /// The rows that differ from what was last saved; `None` for those that are gone.
    pub(crate) fn unsaved(&self) -> impl Iterator<Item = (&K, Option<&V>)> {
        let rows = self.saved.iter().map(|(key, saved)| (key, saved.as_ref(), self.rows.get(key)));
        rows.filter(|(_, saved, row)| saved != row).map(|(key, _, row)| (key, row))
    }

    /// All changes were saved.
    pub(crate) fn mark_saved(&mut self) {
        self.saved.clear();
    }

    /// Takes back all changes that were not saved.
    pub(crate) fn restore_saved(&mut self) {
        for (key, saved) in std::mem::take(&mut self.saved) {
            match saved {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
        }
    }
}
