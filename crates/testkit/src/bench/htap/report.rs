//! The table, the history's entry and the plots.

use serde_json::{Value, json};

use super::phase::Measured;
use super::{Figures, HtapOptions};
use crate::bench::stats::at_share;
use crate::htap::QUERIES;
use crate::plot::{Plot, Series, write};

/// A figure that is judged.
struct Judged {
    what: &'static str,
    value: f64,
    must: f64,
    aim: f64,
    /// Larger is better.
    least: bool,
    /// The pace it was measured at was kept: nothing is held beside transactions that did not happen.
    kept: bool,
}

impl Judged {
    fn holds(&self) -> bool {
        self.kept && if self.least { self.value >= self.must } else { self.value <= self.must }
    }
}

fn judged(ours: &Figures, theirs: &Figures) -> [Judged; 5] {
    let most = |what, value, must, aim| Judged { what, value, must, aim, least: false, kept: true };
    let least = |what, value, must, aim| Judged { what, value, must, aim, least: true, kept: true };
    let at_pace = |judged: Judged| Judged { kept: ours.both.kept_pace(), ..judged };
    [
        at_pace(most(
            "p99 at half the peak, beside a stream / alone",
            ours.both.percentile(0.99) / ours.paced.percentile(0.99),
            2.0,
            1.2,
        )),
        at_pace(least(
            "queries an hour beside half the peak / alone",
            ours.both.queries_per_hour() / ours.stream.queries_per_hour(),
            0.4,
            0.6,
        )),
        least("transactions unthrottled beside a stream / alone", ours.unthrottled.tps() / ours.peak.tps(), 0.6, 0.8),
        at_pace(least(
            "queries an hour at that rate / PostgreSQL's",
            ours.both.queries_per_hour() / theirs.both.queries_per_hour(),
            10.0,
            30.0,
        )),
        most(
            "time of the 22 queries after the writes / over the same rows loaded anew",
            total(&ours.after) / ours.anew.as_deref().map_or(f64::NAN, total),
            1.3,
            1.1,
        ),
    ]
}

fn total(seconds: &[f64]) -> f64 {
    seconds.iter().sum()
}

pub fn print(options: &HtapOptions, peer_version: &str, ours: &Figures, theirs: &Figures) {
    println!(
        "\nboth at once, {} warehouses of {} items, {} terminals, READ COMMITTED: HeliosDB beside PostgreSQL {peer_version}, both \
         durable; {} s at least a measurement",
        options.scale.warehouses, options.scale.items, options.clients, options.seconds
    );
    println!(
        "| query | ours fresh ms | after the writes | these rows loaded anew | PostgreSQL fresh ms | after its writes |"
    );
    println!("|---|---|---|---|---|---|");
    let nothing = Vec::new();
    let times = [&ours.fresh, &ours.after, ours.anew.as_ref().unwrap_or(&nothing), &theirs.fresh, &theirs.after];
    for (at, (name, _)) in QUERIES.iter().enumerate() {
        let cells = times.map(|times| times.get(at).map_or(String::new(), |seconds| format!("{:.1}", seconds * 1e3)));
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!("| all | {} |", times.map(|times| format!("{:.0}", total(times) * 1e3)).join(" | "));
    println!("\n| | transactions/s | p50 ms | p99 ms | not begun | queries an hour |");
    println!("|---|---|---|---|---|---|");
    for (name, side) in [("HeliosDB", ours), ("PostgreSQL", theirs)] {
        let pace = format!("at {:.0} a second", side.rate);
        for (what, measured) in [
            ("unthrottled", &side.peak),
            (pace.as_str(), &side.paced),
            ("one stream alone", &side.stream),
            (format!("{pace} beside one stream").as_str(), &side.both),
            ("unthrottled beside one stream", &side.unthrottled),
        ] {
            println!("| {name} {what} | {} |", cells(measured));
        }
        for (streams, measured) in &side.by_streams {
            println!("| {name} unthrottled beside {streams} streams | {} |", cells(measured));
        }
    }
    println!("\n| what | measured | must | aim | |");
    println!("|---|---|---|---|---|");
    for judged in judged(ours, theirs) {
        let sign = if judged.least { ">=" } else { "<=" };
        println!(
            "| {} | {:.2}x | {sign} {}x | {}x | {} |",
            judged.what,
            judged.value,
            judged.must,
            judged.aim,
            match judged.kept {
                _ if judged.holds() => "holds",
                true => "misses",
                false => "misses, the pace was not kept",
            }
        );
    }
    println!(
        "| commit acknowledged, seen by the next statement | {} of {} | all | | holds |",
        ours.freshness, ours.freshness
    );
    println!(
        "order lines: ours {} then {}, PostgreSQL {} then {}",
        ours.lines[0], ours.lines[1], theirs.lines[0], theirs.lines[1]
    );
}

fn cells(measured: &Measured) -> String {
    let queries = match measured.streams[..] {
        [] => String::new(),
        _ => format!("{:.0}", measured.queries_per_hour()),
    };
    if measured.latencies.is_empty() {
        return format!("| | | | {queries}");
    }
    let [p50, p99] = [0.5, 0.99].map(|share| measured.percentile(share));
    format!("{:.0} | {p50:.2} | {p99:.2} | {} | {queries}", measured.tps(), measured.left)
}

pub fn to_json(ours: &Figures, theirs: &Figures) -> Value {
    let entry = |one: &Judged| json!({"what": one.what, "value": one.value, "must": one.must, "holds": one.holds()});
    Value::Array(judged(ours, theirs).iter().map(entry).collect())
}

impl Figures {
    pub fn to_json(&self) -> Value {
        let by_streams: Vec<Value> = self
            .by_streams
            .iter()
            .map(|(streams, measured)| json!({"streams": streams, "measured": measured.to_json()}))
            .collect();
        json!({"fresh_seconds": self.fresh, "after_seconds": self.after, "anew_seconds": self.anew, "order_lines": self.lines, "rate": self.rate,
            "peak": self.peak.to_json(), "paced": self.paced.to_json(), "stream": self.stream.to_json(),
            "both": self.both.to_json(), "unthrottled": self.unthrottled.to_json(), "by_streams": by_streams,
            "freshness_tries": self.freshness, "long": self.long.as_ref().map(Measured::to_json)})
    }
}

impl Measured {
    fn to_json(&self) -> Value {
        let transactions = match self.latencies[..] {
            [] => Value::Null,
            _ => json!({"a_second": self.tps(), "p50_ms": self.percentile(0.5), "p99_ms": self.percentile(0.99),
                "not_begun": self.left}),
        };
        let queries = (!self.streams.is_empty()).then(|| self.queries_per_hour());
        json!({"seconds": self.seconds, "transactions": transactions, "queries_per_hour": queries,
            "invariants": self.invariants()})
    }

    /// Of each second, or of each of so many longer spans that a line stays readable.
    fn readable(&self) -> [Vec<(f64, f64)>; 2] {
        self.over_time((self.seconds / 120.0).ceil().max(1.0))
    }

    /// Of each span of so many seconds, at its middle: transactions a second, and p99.
    pub(super) fn over_time(&self, span: f64) -> [Vec<(f64, f64)>; 2] {
        let mut spans = vec![Vec::new(); (self.seconds / span) as usize];
        for (at, latency) in &self.moments {
            if let Some(in_span) = spans.get_mut((f64::from(*at) / span) as usize) {
                in_span.push(f64::from(*latency));
            }
        }
        let mut lines = [Vec::new(), Vec::new()];
        for (at, mut latencies) in spans.into_iter().enumerate() {
            latencies.sort_by(f64::total_cmp);
            let middle = (at as f64 + 0.5) * span;
            lines[0].push((middle, latencies.len() as f64 / span));
            lines[1].push((middle, at_share(&latencies, 0.99)));
        }
        lines
    }
}

/// Writes the plots into `docs/plots`.
pub fn draw(ours: &Figures, theirs: &Figures) -> Result<(), String> {
    let over_time = |line: usize, of: [(&str, &Measured); 4]| -> Vec<Series> {
        of.map(|(name, measured)| Series { name: name.into(), points: measured.readable()[line].clone() }).into()
    };
    let peaks = [
        ("ours alone", &ours.peak),
        ("ours beside a stream", &ours.unthrottled),
        ("PostgreSQL alone", &theirs.peak),
        ("PostgreSQL beside a stream", &theirs.unthrottled),
    ];
    let paced = [
        ("ours alone", &ours.paced),
        ("ours beside a stream", &ours.both),
        ("PostgreSQL alone", &theirs.paced),
        ("PostgreSQL beside a stream", &theirs.both),
    ];
    let by_streams = |name: &str, side: &Figures, figure: fn(&Measured) -> f64, first: usize| Series {
        name: name.into(),
        points: [(0, &side.peak), (1, &side.unthrottled)]
            .into_iter()
            .chain(side.by_streams.iter().map(|(streams, measured)| (*streams, measured)))
            .filter(|(streams, _)| *streams >= first)
            .map(|(streams, measured)| (streams as f64, figure(measured)))
            .collect(),
    };
    let both = |figure: fn(&Measured) -> f64, first: usize| {
        vec![by_streams("ours", ours, figure, first), by_streams("PostgreSQL", theirs, figure, first)]
    };
    let rate = format!("p99 at {:.0} transactions a second", ours.rate);
    let mut plots = vec![
        ("throughput", plot("Transactions a second, unthrottled", "seconds", "a second", over_time(0, peaks))),
        ("p99", plot(&rate, "seconds", "ms", over_time(1, paced))),
        ("streams-throughput", plot("Unthrottled terminals", "streams", "a second", both(Measured::tps, 0))),
        ("streams-p99", plot("p99 of unthrottled terminals", "streams", "ms", both(|of| of.percentile(0.99), 0))),
        ("streams-queries", plot("Queries an hour", "streams", "an hour", both(Measured::queries_per_hour, 1))),
    ];
    if let Some(long) = &ours.long {
        let series =
            |name: &str, line: usize| vec![Series { name: name.into(), points: long.readable()[line].clone() }];
        plots.push(("long-throughput", plot("The long run", "seconds", "a second", series("ours beside a stream", 0))));
        plots.push(("long-p99", plot("p99 of the long run", "seconds", "ms", series("ours beside a stream", 1))));
    }
    for (name, plot) in plots {
        write(&format!("htap-{name}"), &plot)?;
    }
    println!("plots: docs/plots/htap-*.svg");
    Ok(())
}

fn plot(title: &str, x: &'static str, y: &'static str, series: Vec<Series>) -> Plot {
    Plot { title: title.into(), x, y, series }
}
