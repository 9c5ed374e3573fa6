//! What series are told apart by.

use std::{collections::BTreeMap, sync::Arc};

use super::ast::Grouping;

/// The label that a series' name is kept in.
pub(crate) const NAME: &str = "__name__";

/// Labels by name; one that is empty is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels(BTreeMap<Arc<str>, Arc<str>>);

impl Labels {
    pub(crate) fn set(&mut self, name: &Arc<str>, value: &Arc<str>) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(Arc::clone(name), Arc::clone(value));
        }
    }

    /// The value of a label; empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", AsRef::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// What is left when the name is dropped: by everything that makes another value of it.
    pub(super) fn unnamed(&self) -> Labels {
        self.filtered(|name| name != NAME)
    }

    /// The labels that a grouping keeps.
    pub(super) fn grouped(&self, grouping: &Grouping) -> Labels {
        match grouping {
            Grouping::By(names) => self.filtered(|name| names.iter().any(|n| n == name)),
            Grouping::Without(names) => {
                self.filtered(|name| name != NAME && names.iter().all(|n| n != name))
            }
        }
    }

    /// What is said of two series that were compared by some labels: those alone, or all but those
    /// that were ignored. A filter keeps the name.
    pub(super) fn paired(&self, on: &Grouping, is_filter: bool) -> Labels {
        match on {
            Grouping::By(_) => self.grouped(on),
            Grouping::Without(names) => {
                self.filtered(|name| (is_filter || name != NAME) && names.iter().all(|n| n != name))
            }
        }
    }

    fn filtered(&self, is_kept: impl Fn(&str) -> bool) -> Labels {
        let kept = self.0.iter().filter(|(name, _)| is_kept(name));
        Labels(kept.map(|(name, value)| (Arc::clone(name), Arc::clone(value))).collect())
    }
}
