//! Backends by name: one task a name looks it up, again and again, on the control thread.
//!
//! - `answer`: what a look-up came to; pure.
//! - `held`: what is held of each name; pure.
//! - `listed`: the backends of a pool, once its names are looked up; pure.
//! - `lookup`: one look-up: hosts file, search list, both families, SRV.
//! - `servers`: the name servers and the hosts file, read again when the system changes them.

pub mod answer;
pub mod held;
pub mod listed;
mod lookup;
mod servers;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    config::{Config, Name, Resolver},
    control::names::{
        answer::Answer,
        held::{Names, Standing},
        servers::Servers,
    },
    observe::metrics::{LookupEnd, Metrics, NameMetrics},
    units::duration_text,
};

/// How many names a configuration has to be looked up.
pub fn names_of(config: &Config) -> usize {
    held::wanted(config).len()
}

/// Look-ups under way at once; more wait.
const MAX_AT_ONCE: usize = 64;

/// Reports that may wait; look-ups wait then too.
pub const MAX_LOOKED_UP: usize = 256;

/// How long after its first failure a name is looked up again.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// A name was looked up.
pub struct LookedUp {
    pub name: Name,
    pub answer: Answer,
    /// Which task asked.
    task: u64,
}

/// The tasks that look names up. Dropping it ends them.
pub struct Lookups {
    running: HashMap<Name, Running>,
    rules: Resolver,
    servers: Arc<Servers>,
    reports: mpsc::Sender<LookedUp>,
    slots: Arc<Semaphore>,
    next_task: u64,
    /// The slot in which the control thread counts.
    metrics_slot: usize,
}

struct Running {
    task: u64,
    handle: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Lookups {
    pub fn new(reports: mpsc::Sender<LookedUp>, metrics_slot: usize) -> Lookups {
        Lookups {
            running: HashMap::new(),
            rules: Resolver::default(),
            servers: Arc::default(),
            reports,
            slots: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            next_task: 0,
            metrics_slot,
        }
    }

    /// Brings the tasks in line with a configuration: those whose rules stay go on undisturbed.
    /// Needs the runtime.
    pub fn follow(&mut self, config: &Config, names: &Names, metrics: &Metrics) {
        // What others said is not waited for: the answer is wanted of those who are asked now.
        let asks_others = self.next_task > 0 && self.rules != config.resolver;
        if self.rules != config.resolver {
            self.rules = config.resolver.clone();
            self.servers = Arc::default();
            self.running.clear();
        }
        let wanted = held::wanted(config);
        self.running.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if !self.running.contains_key(&name) {
                let resolved = |held: &held::Held| held.standing == Standing::Resolved;
                let known = names.get(&name).is_some_and(resolved);
                let delay = if known && !asks_others { self.rules.min_ttl } else { Duration::ZERO };
                let metrics = metrics.name(&name.to_string());
                self.start(name, metrics, delay);
            }
        }
    }

    /// Whether a report is of a task that still runs.
    pub fn stands(&self, report: &LookedUp) -> bool {
        self.running.get(&report.name).is_some_and(|running| running.task == report.task)
    }

    fn start(&mut self, name: Name, metrics: Arc<NameMetrics>, delay: Duration) {
        self.next_task += 1;
        let task = Task {
            name: name.clone(),
            rules: self.rules.clone(),
            servers: self.servers.clone(),
            slots: self.slots.clone(),
            reports: self.reports.clone(),
            task: self.next_task,
            metrics,
            metrics_slot: self.metrics_slot,
        };
        let handle = tokio::spawn(task.run(delay)).abort_handle();
        self.running.insert(name, Running { task: self.next_task, handle });
    }
}

/// The look-ups of one name.
struct Task {
    name: Name,
    rules: Resolver,
    servers: Arc<Servers>,
    slots: Arc<Semaphore>,
    reports: mpsc::Sender<LookedUp>,
    task: u64,
    metrics: Arc<NameMetrics>,
    metrics_slot: usize,
}

impl Task {
    async fn run(self, delay: Duration) {
        sleep(delay).await;
        let mut failures = 0;
        loop {
            let Ok(slot) = self.slots.acquire().await else {
                return;
            };
            let begun = Instant::now();
            let answer = lookup::look_up(&self.name, &self.rules, &self.servers).await;
            drop(slot);
            self.metrics.looked_up(self.metrics_slot, end(&answer), begun.elapsed());
            let wait = wait(&answer, &mut failures, &self.rules);
            let name = self.name.clone();
            let report = LookedUp { name, answer, task: self.task };
            if self.reports.send(report).await.is_err() {
                return;
            }
            sleep(stretched(wait, failures, fastrand::f64())).await;
        }
    }
}

fn end(answer: &Answer) -> LookupEnd {
    match answer {
        Answer::Found(_) => LookupEnd::Found,
        Answer::Absent(_) => LookupEnd::Absent,
        Answer::Failed(_) => LookupEnd::Failed,
    }
}

/// How long an answer holds; after failures in a row, each time twice as long.
fn wait(answer: &Answer, failures: &mut u32, rules: &Resolver) -> Duration {
    let Answer::Found(found) = answer else {
        let doubled = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(*failures));
        *failures = failures.saturating_add(1);
        return doubled.min(rules.max_retry);
    };
    *failures = 0;
    let ttl = found.ttl.clamp(rules.min_ttl, rules.max_ttl);
    // What could not be had is not left alone for as long as what was.
    if found.gaps.is_empty() { ttl } else { ttl.min(rules.max_retry) }
}

/// Those who fail together don't all come back together; `random` is from 0 to 1.
fn stretched(wait: Duration, failures: u32, random: f64) -> Duration {
    const JITTER: f64 = 0.2;
    if failures == 0 { wait } else { wait.mul_f64(1.0 - JITTER * random) }
}

/// The first answers for names that nothing is held of, within `start_wait`: what is lost of a start
/// or a reload that waits a little is nothing, and requests for a pool without backends are.
pub async fn first(wanted: BTreeSet<Name>, rules: &Resolver) -> Vec<(Name, Answer)> {
    let deadline = Instant::now() + rules.start_wait;
    let (servers, rules) = (Arc::new(Servers::default()), Arc::new(rules.clone()));
    let slots = Arc::new(Semaphore::new(MAX_AT_ONCE));
    let mut asked = JoinSet::new();
    for name in wanted.clone() {
        let (servers, rules, slots) = (servers.clone(), rules.clone(), slots.clone());
        asked.spawn(async move {
            let _slot = slots.acquire().await;
            let answer = lookup::look_up(&name, &rules, &servers).await;
            (name, answer)
        });
    }
    let mut answers = HashMap::new();
    while let Ok(Some(joined)) = timeout_at(deadline, asked.join_next()).await {
        answers.extend(joined.ok());
    }
    let late = || format!("no answer within the start_wait of {}", duration_text(rules.start_wait));
    let answer = |name: Name| {
        let answer = answers.remove(&name).unwrap_or_else(|| Answer::Failed(late()));
        (name, answer)
    };
    wanted.into_iter().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::names::answer::{Found, Gap, IpFamily};

    fn found(seconds: u64, gaps: Vec<Gap>) -> Answer {
        let ttl = Duration::from_secs(seconds);
        Answer::Found(Found { destinations: Vec::new(), gaps, ttl })
    }

    #[test]
    fn an_answer_holds_for_its_time_within_the_bounds() {
        let rules = Resolver::default();
        let mut failures = 3;
        let mut check = |answer, expected| {
            assert_eq!(wait(&answer, &mut failures, &rules), Duration::from_secs(expected));
        };
        check(found(60, Vec::new()), 60);
        check(found(0, Vec::new()), 1);
        check(found(86_400, Vec::new()), 300);
        let gap = Gap { target: None, family: IpFamily::V6 };
        check(found(60, vec![gap.clone()]), 30);
        check(found(5, vec![gap]), 5);
        assert_eq!(failures, 0);
    }

    #[test]
    fn failures_in_a_row_are_asked_less_and_less_often() {
        let rules = Resolver::default();
        let mut failures = 0;
        let mut next = |answer: Answer| wait(&answer, &mut failures, &rules).as_secs();
        let failed = || Answer::Failed("no answer".to_owned());
        let waits: Vec<u64> = (0..7).map(|_| next(failed())).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        next(found(5, Vec::new()));
        assert_eq!(next(Answer::Absent("no such name".to_owned())), 1);
        failures = u32::MAX;
        assert_eq!(wait(&failed(), &mut failures, &rules), rules.max_retry);
    }

    #[test]
    fn only_failures_are_spread() {
        let wait = Duration::from_secs(10);
        assert_eq!(stretched(wait, 0, 1.0), wait);
        assert_eq!(stretched(wait, 1, 0.0), wait);
        assert_eq!(stretched(wait, 1, 1.0), Duration::from_secs(8));
    }
}
