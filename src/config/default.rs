//! The defaults that a careful operator would choose, where a whole table has one.

use std::{path::PathBuf, time::Duration};

use super::model::{
    Admin, Breaker, Family, Hedge, Limits, ListenerTimeouts, Passive, PoolTimeouts, Queue,
    Resolver, Retry,
};

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_request_line: 8 << 10,
            max_header: 16 << 10,
            max_headers_size: 64 << 10,
            max_headers: 100,
            max_body: 100 << 20,
            max_requests: 100_000,
            max_streams: 128,
            max_control_frames: 2_000,
            max_resets: 500,
        }
    }
}

impl Default for ListenerTimeouts {
    fn default() -> ListenerTimeouts {
        ListenerTimeouts {
            header: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            body_idle: Duration::from_secs(30),
        }
    }
}

impl Default for Passive {
    fn default() -> Passive {
        Passive { fall: 3, count_5xx: false, retry_after: Duration::from_secs(10) }
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts: 3, budget: 0.2 }
    }
}

impl Default for PoolTimeouts {
    fn default() -> PoolTimeouts {
        PoolTimeouts {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            whole: None,
            keep_alive: Duration::from_secs(30),
            tunnel_idle: Duration::from_secs(60 * 60),
        }
    }
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { max: 100, timeout: Duration::from_secs(5) }
    }
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker {
            failures: 0.5,
            count_5xx: true,
            window: Duration::from_secs(10),
            min_requests: 20,
            open: Duration::from_secs(10),
            longest: Duration::from_secs(300),
            trials: 3,
            max_open: 0.5,
        }
    }
}

impl Default for Hedge {
    fn default() -> Hedge {
        Hedge { percentile: 95, at_least: Duration::from_millis(10), min_requests: 100 }
    }
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver {
            servers: Vec::new(),
            family: Family::Both,
            timeout: Duration::from_secs(5),
            start_wait: Duration::from_secs(2),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(5 * 60),
            max_retry: Duration::from_secs(30),
            hold: Duration::from_secs(30),
            max_addresses: 64,
        }
    }
}

impl Default for Admin {
    fn default() -> Admin {
        Admin { socket: PathBuf::from("/run/equipoise/admin.sock") }
    }
}
