//! What the control thread tells of itself: reloads, generations, certificates.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use super::family::Family;

/// Counts and values that change rarely: plain atomics and one lock, never on a request's path.
#[derive(Debug)]
pub struct ControlMetrics {
    reloads_applied: AtomicU64,
    reloads_refused: AtomicU64,
    last_reload: Mutex<LastReload>,
    generation: AtomicU64,
    generations_alive: Arc<AtomicU64>,
    certificates: Mutex<BTreeMap<CertificateKey, CertificateValues>>,
}

#[derive(Clone, Copy, Debug)]
struct LastReload {
    successful: bool,
    success: SystemTime,
}

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateOwner {
    /// By its name.
    Listener(String),
    /// By its name.
    Pool(String),
}

impl CertificateOwner {
    fn label(&self) -> (&str, &str) {
        match self {
            CertificateOwner::Listener(name) => ("listener", name),
            CertificateOwner::Pool(name) => ("pool", name),
        }
    }
}

/// One certificate, by the first name that it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CertificateKey {
    owner: CertificateOwner,
    certificate: String,
}

#[derive(Clone, Copy, Debug)]
struct CertificateValues {
    not_after: SystemTime,
    reload_failures: u64,
}

/// How long a certificate is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    pub owner: CertificateOwner,
    /// The certificate's first name, or its file.
    pub certificate: String,
    pub not_after: SystemTime,
}

/// Held by a snapshot, and by the requests that began under it, for as long as they live:
/// `equipoise_generations_alive` counts them.
#[derive(Debug)]
pub struct GenerationAlive(Arc<AtomicU64>);

impl Drop for GenerationAlive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ControlMetrics {
    /// The configuration read at the start counts as the first success, so that an alert on the
    /// last reload needs no exception.
    pub(super) fn new(started: SystemTime) -> Self {
        ControlMetrics {
            reloads_applied: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            last_reload: Mutex::new(LastReload { successful: true, success: started }),
            generation: AtomicU64::new(0),
            generations_alive: Arc::new(AtomicU64::new(0)),
            certificates: Mutex::new(BTreeMap::new()),
        }
    }

    /// A reload was applied at `time`.
    pub fn reload_applied(&self, time: SystemTime) {
        self.reloads_applied.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_reload) = LastReload { successful: true, success: time };
    }

    /// A reload was refused; the old generation stays.
    pub fn reload_refused(&self) {
        self.reloads_refused.fetch_add(1, Ordering::Relaxed);
        lock(&self.last_reload).successful = false;
    }

    /// The number of the generation that is published.
    pub fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// One more generation is in memory, until what is returned is dropped.
    pub fn generation_alive(&self) -> GenerationAlive {
        self.generations_alive.fetch_add(1, Ordering::Relaxed);
        GenerationAlive(self.generations_alive.clone())
    }

    /// All certificates that are in use now; others are forgotten. Of two with the same owner
    /// and name the one that expires first is told.
    pub fn set_certificates(&self, expiries: impl IntoIterator<Item = CertificateExpiry>) {
        let mut certificates = lock(&self.certificates);
        let before = std::mem::take(&mut *certificates);
        for CertificateExpiry { owner, certificate, not_after } in expiries {
            let key = CertificateKey { owner, certificate };
            let reload_failures = before.get(&key).map_or(0, |values| values.reload_failures);
            certificates
                .entry(key)
                .and_modify(|values| values.not_after = values.not_after.min(not_after))
                .or_insert(CertificateValues { not_after, reload_failures });
        }
    }

    /// A changed pair of files could not be taken; the old certificate stays. One that was never
    /// set is not counted.
    pub fn certificate_reload_failed(&self, owner: CertificateOwner, certificate: &str) {
        let key = CertificateKey { owner, certificate: certificate.into() };
        if let Some(values) = lock(&self.certificates).get_mut(&key) {
            values.reload_failures += 1;
        }
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let last_reload = *lock(&self.last_reload);
        let mut families = vec![
            Family::counter("equipoise_reloads_total", "Reloads, by result.")
                .with(&[("result", "applied")], count(&self.reloads_applied))
                .with(&[("result", "refused")], count(&self.reloads_refused)),
            Family::gauge(
                "equipoise_last_reload_successful",
                "1 if the last reload was applied, or none was tried; 0 if it was refused.",
            )
            .with(&[], f64::from(u8::from(last_reload.successful))),
            Family::gauge(
                "equipoise_last_reload_success_timestamp_seconds",
                "When the configuration that serves was read, in seconds since 1970.",
            )
            .with(&[], unix_seconds(last_reload.success)),
            Family::gauge("equipoise_generation", "The number of the snapshot that is published.")
                .with(&[], count(&self.generation)),
            Family::gauge(
                "equipoise_generations_alive",
                "Snapshots still held in memory, by requests too.",
            )
            .with(&[], count(&self.generations_alive)),
        ];
        families.extend(self.certificate_families());
        families
    }

    fn certificate_families(&self) -> [Family; 2] {
        let mut not_after = Family::gauge(
            "equipoise_certificate_not_after_timestamp_seconds",
            "When the certificate expires, in seconds since 1970.",
        );
        let mut failures = Family::counter(
            "equipoise_certificate_reload_failures_total",
            "Times that a changed certificate on disk could not be taken.",
        );
        for (key, values) in lock(&self.certificates).iter() {
            let labels = [key.owner.label(), ("certificate", key.certificate.as_str())];
            not_after.add(&labels, unix_seconds(values.not_after));
            failures.add(&labels, values.reload_failures as f64);
        }
        [not_after, failures]
    }
}

fn count(atomic: &AtomicU64) -> f64 {
    atomic.load(Ordering::Relaxed) as f64
}

/// Negative before 1970, as a certificate may say.
fn unix_seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// What is behind these locks is whole after every line, so that a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use std::time::Duration;

    fn page(metrics: &ControlMetrics) -> String {
        encode(metrics.families().into_iter().map(Into::into).collect())
    }

    fn https() -> CertificateOwner {
        CertificateOwner::Listener("https".to_owned())
    }

    fn expiry(certificate: &str, seconds: u64) -> CertificateExpiry {
        CertificateExpiry {
            owner: https(),
            certificate: certificate.into(),
            not_after: UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_refused_reload_keeps_the_time_of_the_last_success() {
        let metrics = ControlMetrics::new(UNIX_EPOCH + Duration::from_secs(10));
        metrics.reload_applied(UNIX_EPOCH + Duration::from_secs(20));
        metrics.reload_refused();
        let page = page(&metrics);
        assert!(page.contains("equipoise_last_reload_successful 0\n"), "{page}");
        assert!(page.contains("equipoise_last_reload_success_timestamp_seconds 20\n"), "{page}");
        assert!(page.contains("equipoise_reloads_total{result=\"refused\"} 1\n"), "{page}");
    }

    #[test]
    fn a_generation_is_alive_until_dropped() {
        let metrics = ControlMetrics::new(UNIX_EPOCH);
        let first = metrics.generation_alive();
        let second = metrics.generation_alive();
        drop(first);
        assert!(page(&metrics).contains("equipoise_generations_alive 1\n"));
        drop(second);
        assert!(page(&metrics).contains("equipoise_generations_alive 0\n"));
    }

    #[test]
    fn failures_stay_with_a_certificate_and_go_with_it() {
        let metrics = ControlMetrics::new(UNIX_EPOCH);
        metrics.set_certificates([expiry("a.example", 5), expiry("b.example", 6)]);
        metrics.certificate_reload_failed(https(), "a.example");
        metrics.certificate_reload_failed(https(), "unknown.example");
        metrics.set_certificates([expiry("a.example", 7)]);
        let page = page(&metrics);
        let failures = "equipoise_certificate_reload_failures_total\
                        {listener=\"https\",certificate=\"a.example\"} 1\n";
        assert!(page.contains(failures), "{page}");
        assert!(!page.contains("b.example") && !page.contains("unknown.example"), "{page}");
    }

    #[test]
    fn two_certificates_of_one_name_are_one_series_with_the_earlier_end() {
        let metrics = ControlMetrics::new(UNIX_EPOCH);
        metrics.set_certificates([expiry("a.example", 9), expiry("a.example", 4)]);
        let page = page(&metrics);
        let series = "equipoise_certificate_not_after_timestamp_seconds\
                      {listener=\"https\",certificate=\"a.example\"} 4\n";
        assert!(page.contains(series), "{page}");
        assert_eq!(page.matches("not_after_timestamp_seconds{").count(), 1);
    }
}
