//! What is counted of a name that is looked up.

use std::time::Duration;

use super::family::Family;
use crate::observe::counter::{Durations, Slots, Tally};

/// The counts of one name. Each method is for the thread that owns `slot`.
#[derive(Debug)]
pub struct NameMetrics {
    slots: Slots<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    lookups: [Tally; LookupEnd::ALL.len()],
    durations: Durations,
}

/// How a look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupEnd {
    Found,
    /// There is nothing, the name servers say.
    Absent,
    /// They say nothing.
    Failed,
}

impl LookupEnd {
    const ALL: [LookupEnd; 3] = [LookupEnd::Found, LookupEnd::Absent, LookupEnd::Failed];

    fn word(self) -> &'static str {
        match self {
            LookupEnd::Found => "found",
            LookupEnd::Absent => "absent",
            LookupEnd::Failed => "failed",
        }
    }
}

impl NameMetrics {
    pub(super) fn new(slots: usize) -> Self {
        NameMetrics { slots: Slots::new(slots) }
    }

    pub fn looked_up(&self, slot: usize, end: LookupEnd, took: Duration) {
        let cells = self.slots.slot(slot);
        cells.lookups[end as usize].add(1);
        cells.durations.observe(took);
    }
}

/// The families of all names, while they are put together.
pub(super) struct NameFamilies {
    lookups: Family,
    durations: Family,
}

impl NameFamilies {
    pub(super) fn new() -> Self {
        NameFamilies {
            lookups: Family::counter(
                "equipoise_name_lookups_total",
                "Look-ups of a name that backends have, by how they ended.",
            ),
            durations: Family::histogram(
                "equipoise_name_lookup_seconds",
                "How long look-ups of a name took, failed ones included.",
            ),
        }
    }

    pub(super) fn add(&mut self, name: &str, metrics: &NameMetrics) {
        for end in LookupEnd::ALL {
            let count = metrics.slots.sum(|cells| &cells.lookups[end as usize]);
            self.lookups.add(&[("name", name), ("result", end.word())], count as f64);
        }
        let durations = metrics.slots.durations(|cells| &cells.durations);
        self.durations.add_durations(&[("name", name)], &durations);
    }

    pub(super) fn into_families(self) -> [Family; 2] {
        [self.lookups, self.durations]
    }
}
