//! Prometheus' text format: a few lines, not worth a library.

use std::fmt::Write;

/// Gathers samples as text.
#[derive(Default)]
pub(crate) struct Encoder {
    text: String,
}

impl Encoder {
    /// Goes up only; `_total` is appended, as the format's convention has it.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.sample(&format!("{name}_total"), "counter", help, value);
    }

    /// Goes up and down.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.sample(name, "gauge", help, value);
    }

    /// Goes up and down, one sample for each value of a label.
    pub(crate) fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(String, u64)]) {
        let text = &mut self.text;
        let _ = writeln!(text, "# HELP heliosdb_{name} {help}\n# TYPE heliosdb_{name} gauge");
        for (of, value) in values {
            let _ = writeln!(text, "heliosdb_{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    /// Counts by upper bound, in seconds; `counts` has one more than `bounds_micros`, for the rest.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, bounds_micros: &[u64], counts: &[u64], sum_micros: u64) {
        let text = &mut self.text;
        let _ = writeln!(text, "# HELP heliosdb_{name} {help}\n# TYPE heliosdb_{name} histogram");
        let mut total = 0;
        for (at, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds_micros.get(at).map_or("+Inf".to_owned(), |micros| (*micros as f64 / 1e6).to_string());
            let _ = writeln!(text, "heliosdb_{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let sum = sum_micros as f64 / 1e6;
        let _ = writeln!(text, "heliosdb_{name}_sum {sum}\nheliosdb_{name}_count {total}");
    }

    /// Names come from this crate: letters and underscores. Help texts hold neither backslash nor line break.
    fn sample(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        let name = format!("heliosdb_{name}");
        let text = &mut self.text;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_lines_with_help_and_type() {
        let mut encoder = Encoder::default();
        encoder.counter("commits", "Transactions committed", 7);
        encoder.gauge("segments", "Segment files", 2);
        let expected = "# HELP heliosdb_commits_total Transactions committed\n\
                        # TYPE heliosdb_commits_total counter\n\
                        heliosdb_commits_total 7\n\
                        # HELP heliosdb_segments Segment files\n\
                        # TYPE heliosdb_segments gauge\n\
                        heliosdb_segments 2\n";
        assert_eq!(encoder.finish(), expected);
    }

    #[test]
    fn histograms_add_up_and_labels_are_quoted() {
        let mut encoder = Encoder::default();
        encoder.histogram("sync_seconds", "Syncs", &[500, 1_000_000], &[3, 2, 1], 1_500_000);
        encoder.gauges("tier_segments", "Segments", "tier", &[("0".into(), 4), ("1".into(), 2)]);
        let expected = "# HELP heliosdb_sync_seconds Syncs\n\
                        # TYPE heliosdb_sync_seconds histogram\n\
                        heliosdb_sync_seconds_bucket{le=\"0.0005\"} 3\n\
                        heliosdb_sync_seconds_bucket{le=\"1\"} 5\n\
                        heliosdb_sync_seconds_bucket{le=\"+Inf\"} 6\n\
                        heliosdb_sync_seconds_sum 1.5\n\
                        heliosdb_sync_seconds_count 6\n\
                        # HELP heliosdb_tier_segments Segments\n\
                        # TYPE heliosdb_tier_segments gauge\n\
                        heliosdb_tier_segments{tier=\"0\"} 4\n\
                        heliosdb_tier_segments{tier=\"1\"} 2\n";
        assert_eq!(encoder.finish(), expected);
    }
}
