//! A map that can tell what was touched in it, so that only that is saved.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// Reads go to the map itself; writes are noted, once somebody saves what is noted.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "a slot has five of them, and mostly nobody notes anything")]
pub(crate) struct Tracked<K, V> {
    map: BTreeMap<K, V>,
    touched: Option<Box<BTreeSet<K>>>,
}

impl<K, V> Default for Tracked<K, V> {
    fn default() -> Self {
        Tracked { map: BTreeMap::new(), touched: None }
    }
}

impl<K, V> Deref for Tracked<K, V> {
    type Target = BTreeMap<K, V>;
    fn deref(&self) -> &BTreeMap<K, V> {
        &self.map
    }
}

impl<K: Ord + Copy, V> Tracked<K, V> {
    /// From now on what is touched is noted.
    pub(crate) fn track(&mut self) {
        self.touched.get_or_insert_default();
    }
    /// The same, and all that is there counts as touched.
    pub(crate) fn track_all(&mut self) {
        self.touched = Some(Box::new(self.map.keys().copied().collect()));
    }
    /// Whether somebody saves it.
    pub(crate) fn is_tracked(&self) -> bool {
        self.touched.is_some()
    }
    fn touch(&mut self, key: K) {
        if let Some(touched) = &mut self.touched {
            touched.insert(key);
        }
    }
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.touch(key);
        self.map.insert(key, value);
    }
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.map.remove(key)?;
        self.touch(*key);
        Some(removed)
    }
    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        let (key, value) = self.map.pop_first()?;
        self.touch(key);
        Some((key, value))
    }
    pub(crate) fn or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.touch(key);
        self.map.entry(key).or_insert_with(make)
    }
    pub(crate) fn extend(&mut self, more: impl IntoIterator<Item = (K, V)>) {
        more.into_iter().for_each(|(key, value)| self.insert(key, value));
    }
    pub(crate) fn clear(&mut self) {
        while self.pop_first().is_some() {}
    }
    pub(crate) fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        let gone: Vec<K> =
            self.map.iter().filter(|(key, value)| !keep(key, value)).map(|(key, _)| *key).collect();
        gone.iter().for_each(|key| drop(self.remove(key)));
    }
    /// What was touched since the last call, each once.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<K> {
        self.touched.as_deref_mut().map(std::mem::take).unwrap_or_default()
    }
}
