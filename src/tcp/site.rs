//! What a listener relays, as one snapshot knows it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    config::HostMatch,
    observe::metrics::{ListenerMetrics, TcpMetrics},
};

/// Immutable; the same for every worker.
pub struct Site {
    /// The listener's name.
    pub listener: Arc<str>,
    pub leads: Leads,
    /// How long a client may take for its first words, where they are read.
    pub patience: Duration,
    pub metrics: Arc<ListenerMetrics>,
}

/// Where a connection goes.
#[derive(Clone)]
pub struct Lead {
    /// Of the pools, in their order.
    pub pool: usize,
    pub metrics: Arc<TcpMetrics>,
}

/// The leads of a listener, by the name that a TLS client asks for.
#[derive(Default)]
pub struct Leads {
    exact: HashMap<String, Lead>,
    /// By what a name ends in: `.example.com`.
    wildcard: HashMap<String, Lead>,
    /// Of all others.
    rest: Option<Lead>,
}

impl Leads {
    pub fn new(rest: Option<Lead>, names: impl IntoIterator<Item = (HostMatch, Lead)>) -> Leads {
        let mut leads = Leads { rest, ..Leads::default() };
        for (name, lead) in names {
            match name {
                HostMatch::Exact(name) => leads.exact.insert(name, lead),
                HostMatch::Wildcard(end) => leads.wildcard.insert(end, lead),
                HostMatch::Any => leads.rest.replace(lead),
            };
        }
        leads
    }

    /// Whether a name has to be read before it is known where a connection goes.
    pub fn wants_name(&self) -> bool {
        !self.exact.is_empty() || !self.wildcard.is_empty()
    }

    /// As routes find their host: the exact name, else the wildcard that says most of it, else what
    /// takes all others. `name` is in lower case.
    pub fn find(&self, name: Option<&str>) -> Option<&Lead> {
        let named = name.and_then(|name| {
            let ends = name.match_indices('.').map(|(dot, _)| &name[dot..]);
            let wildcard = || ends.filter(|end| end.len() < name.len());
            let by_end = || wildcard().find_map(|end| self.wildcard.get(end));
            self.exact.get(name).or_else(by_end)
        });
        named.or(self.rest.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    fn lead(pool: usize) -> Lead {
        Lead { pool, metrics: Metrics::new(1).tcp("listener", "pool") }
    }

    fn leads(rest: Option<usize>) -> Leads {
        let names = [
            (HostMatch::Exact("a.example.com".to_owned()), lead(1)),
            (HostMatch::Wildcard(".example.com".to_owned()), lead(2)),
            (HostMatch::Wildcard(".b.example.com".to_owned()), lead(3)),
        ];
        Leads::new(rest.map(lead), names)
    }

    #[test]
    fn the_name_that_says_most_leads() {
        let check = |name: &str, expected: Option<usize>| {
            let name = Some(name).filter(|name| !name.is_empty());
            let found = leads(Some(9)).find(name).map(|lead| lead.pool);
            assert_eq!(found, expected, "{name:?}");
            let found = leads(None).find(name).map(|lead| lead.pool);
            assert_eq!(found, expected.filter(|pool| *pool != 9), "{name:?}");
        };
        check("a.example.com", Some(1));
        check("c.example.com", Some(2));
        check("d.c.example.com", Some(2));
        check("c.b.example.com", Some(3));
        check("b.example.com", Some(2));
        check("example.com", Some(9));
        check("", Some(9));
        check("xexample.com", Some(9));
        check(".example.com", Some(9));
    }

    #[test]
    fn a_name_is_read_only_where_it_leads_somewhere() {
        assert!(leads(None).wants_name());
        assert!(!Leads::new(Some(lead(1)), []).wants_name());
    }
}
