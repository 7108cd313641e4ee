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
}
