//! From counts to the page: families of the `prometheus` crate and their text.

use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::observe::counter::{BOUNDS_SECONDS, DurationTotals};

/// One metric under one name, while its series are put in.
///
/// ```
/// use equipoise::observe::metrics::{Family, encode};
/// let up = Family::gauge("equipoise_pool_backends_up", "Backends held to be up.")
///     .with(&[("pool", "app")], 3.0);
/// assert!(encode(vec![up.into()]).contains("equipoise_pool_backends_up{pool=\"app\"} 3\n"));
/// ```
#[derive(Debug)]
pub struct Family(MetricFamily);

impl Family {
    /// A value that goes up and down.
    pub fn gauge(name: &str, help: &str) -> Family {
        Family::new(MetricType::GAUGE, name, help)
    }

    /// A value that only grows; its name ends in `_total`.
    pub fn counter(name: &str, help: &str) -> Family {
        Family::new(MetricType::COUNTER, name, help)
    }

    /// Durations in buckets; its name ends in `_seconds`.
    pub fn histogram(name: &str, help: &str) -> Family {
        Family::new(MetricType::HISTOGRAM, name, help)
    }

    /// With one more series of a gauge or counter. Labels are told in one order throughout.
    pub fn with(mut self, labels: &[(&str, &str)], value: f64) -> Family {
        self.add(labels, value);
        self
    }

    /// As [`Family::with`], for loops.
    pub fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let mut metric = Metric::from_label(label_pairs(labels));
        if self.0.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.0.mut_metric().push(metric);
    }

    /// One more series of a histogram.
    pub fn add_durations(&mut self, labels: &[(&str, &str)], totals: &DurationTotals) {
        let counts = totals.cumulative_counts();
        let buckets = BOUNDS_SECONDS.iter().zip(counts).map(|(&bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts[BOUNDS_SECONDS.len()]);
        histogram.set_sample_sum(totals.sum_seconds());
        let mut metric = Metric::from_label(label_pairs(labels));
        metric.set_histogram(histogram);
        self.0.mut_metric().push(metric);
    }

    fn new(kind: MetricType, name: &str, help: &str) -> Family {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Family(family)
    }
}

impl From<Family> for MetricFamily {
    fn from(family: Family) -> MetricFamily {
        family.0
    }
}

/// The text of the page (format 0.0.4), sorted by name. A family without a series is left out.
/// Each name may be there once.
pub fn encode(mut families: Vec<MetricFamily>) -> String {
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new()
        .encode_to_string(&families)
        .expect("families have a name and a series, and a String takes all")
}

fn label_pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_sorted_and_the_empty_left_out() {
        let page = encode(vec![
            Family::gauge("b", "Second.").with(&[], 1.5).into(),
            Family::counter("nothing_total", "None.").into(),
            Family::counter("a_total", "First.").with(&[], 2.0).into(),
        ]);
        assert_eq!(
            page,
            "# HELP a_total First.\n# TYPE a_total counter\na_total 2\n\
             # HELP b Second.\n# TYPE b gauge\nb 1.5\n"
        );
    }

    #[test]
    fn label_values_are_escaped() {
        let family = Family::gauge("a", "A.").with(&[("route", "x\"y\\z\n")], 1.0);
        assert!(encode(vec![family.into()]).contains("a{route=\"x\\\"y\\\\z\\n\"} 1\n"));
    }
}
