//! When a failed try may be made again (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1). Pure.

/// One try that failed before the head of an answer had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedTry {
    /// How far it came.
    pub reached: Reached,
    /// GET, HEAD, OPTIONS, TRACE, PUT or DELETE (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// Every byte of the request is still at hand.
    pub replayable: bool,
    /// The request has a body: a stale connection may have swallowed a part of it.
    pub has_body: bool,
}

/// How far a try came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// No connection, or a new one on which the backend refuses at once: it knows nothing of the
    /// request.
    Nothing,
    /// A connection that serves others, or has: the backend says that it did not begin on this one
    /// (RFC 9113, section 8.7).
    Unread,
    /// A reused connection that the backend closed without a byte of an answer: most likely it
    /// closed while idle, and the request crossed that on the wire.
    Stale,
    /// The backend may have acted on the request.
    Sent,
    /// The time for an answer ran out: another try would double the wait and the work.
    TimedOut,
}

impl Reached {
    /// Whether a connection alone was at fault, which says nothing of the backend: the next one to it
    /// may do.
    pub fn is_of_connection(self) -> bool {
        match self {
            Reached::Stale | Reached::Unread => true,
            Reached::Nothing | Reached::Sent | Reached::TimedOut => false,
        }
    }
}

/// Whether the request itself allows another try; attempts and budget are counted elsewhere.
pub fn may_retry(failed: FailedTry) -> bool {
    failed.replayable
        && match failed.reached {
            Reached::Nothing | Reached::Unread => true,
            Reached::Stale => failed.idempotent || !failed.has_body,
            Reached::Sent => failed.idempotent,
            Reached::TimedOut => false,
        }
}

/// Retries as a share of requests: each request earns a share of a retry, each retry costs a whole
/// one. It starts with what two hundred requests earn and never holds more: enough to bridge a
/// backend that dies under load, too little to ask a pool that is ill as a whole twice as much.
#[derive(Debug)]
pub struct Budget {
    share: f64,
    saved: f64,
}

/// How many requests' worth of retries can be saved up.
const SAVED_REQUESTS: f64 = 200.0;

impl Budget {
    pub fn new(share: f64) -> Budget {
        Budget { share, saved: share * SAVED_REQUESTS }
    }

    /// The share may change by a reload; what is saved stays within the new bound.
    pub fn set_share(&mut self, share: f64) {
        self.share = share;
        self.saved = self.saved.min(share * SAVED_REQUESTS);
    }

    pub fn request(&mut self) {
        self.saved = (self.saved + self.share).min(self.share * SAVED_REQUESTS);
    }

    /// Takes one retry out of the budget; `false` when there is none left.
    #[must_use]
    pub fn spend(&mut self) -> bool {
        if self.saved < 1.0 {
            return false;
        }
        self.saved -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_tries_may_be_made_again() {
        use Reached::*;
        // (reached, idempotent, replayable, has a body) -> may be made again
        let cases = [
            ((Nothing, false, true, true), true),
            ((Nothing, false, false, true), false),
            ((Unread, false, true, true), true),
            ((Unread, true, false, true), false),
            ((Stale, false, true, false), true),
            ((Stale, false, true, true), false),
            ((Stale, true, true, true), true),
            ((Sent, false, true, false), false),
            ((Sent, true, true, true), true),
            ((Sent, true, false, true), false),
            ((TimedOut, true, true, false), false),
        ];
        for ((reached, idempotent, replayable, has_body), expected) in cases {
            let failed = FailedTry { reached, idempotent, replayable, has_body };
            assert_eq!(may_retry(failed), expected, "{failed:?}");
        }
    }

    #[test]
    fn the_budget_is_a_share_of_the_requests() {
        let mut budget = Budget::new(0.2);
        let burst = std::iter::from_fn(|| budget.spend().then_some(())).count();
        assert_eq!(burst, 40);
        (0..50).for_each(|_| budget.request());
        let earned = std::iter::from_fn(|| budget.spend().then_some(())).count();
        assert!((9..=10).contains(&earned), "{earned} of 50 requests at 20 %");
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        let mut budget = Budget::new(0.0);
        budget.request();
        assert!(!budget.spend());
    }
}
