//! The table with its bars, and the line in the history.

use serde_json::{Map, Value, json};

/// What a figure has to be.
#[derive(Clone, Copy)]
pub enum Bar {
    /// Ours over the peer's.
    RatioAtMost(f64),
    RatioAtLeast(f64),
    /// Ours by itself.
    AtMost(f64),
}

impl Bar {
    fn holds(self, ours: f64, peer: f64) -> bool {
        match self {
            Bar::RatioAtMost(limit) => ours <= peer * limit,
            Bar::RatioAtLeast(limit) => ours >= peer * limit,
            Bar::AtMost(limit) => ours <= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Bar::RatioAtMost(limit) if limit < 0.1 => format!("<= 1/{:.0}", 1.0 / limit),
            Bar::RatioAtMost(limit) => format!("<= {limit:.2}x"),
            Bar::RatioAtLeast(limit) => format!(">= {limit:.2}x"),
            Bar::AtMost(limit) => format!("<= {limit}"),
        }
    }
}

struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    peer_name: String,
    peer: f64,
    must: Bar,
    aim: Bar,
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    all: Map<String, Value>,
    missing: Vec<String>,
}

impl Report {
    /// A figure beside a peer's, with what it must and should be.
    pub fn compare(&mut self, what: &str, unit: &'static str, ours: f64, peer: (&str, f64), must: Bar, aim: Bar) {
        let (peer_name, peer) = (peer.0.to_owned(), peer.1);
        self.rows.push(Row { what: what.to_owned(), unit, ours, peer_name, peer, must, aim });
    }

    /// Any other figure; printed at once and kept in the history.
    pub fn note(&mut self, group: &str, name: &str, unit: &str, value: f64) {
        println!("  {group:<24} {name:<22} {value:>12.3} {unit}");
        let group = self.all.entry(group).or_insert_with(|| json!({}));
        if let Value::Object(group) = group {
            group.insert(name.to_owned(), json!(value));
        }
    }

    pub fn missing(&mut self, what: &str) {
        println!("  {what}: left out");
        self.missing.push(what.to_owned());
    }

    /// Prints the table; whether every must holds.
    pub fn print(&self) -> bool {
        println!(
            "\n| what | unit | ours | peer | its figure | ratio | must | | aim | |\n|---|---|---|---|---|---|---|---|---|---|"
        );
        let mut held = true;
        for Row { what, unit, ours, peer_name, peer, must, aim } in &self.rows {
            let verdict = |bar: &Bar| if bar.holds(*ours, *peer) { "yes" } else { "NO" };
            held &= must.holds(*ours, *peer);
            println!(
                "| {what} | {unit} | {ours:.2} | {peer_name} | {peer:.2} | {:.3} | {} | {} | {} | {} |",
                ours / peer,
                must.text(),
                verdict(must),
                aim.text(),
                verdict(aim)
            );
        }
        self.missing.iter().for_each(|what| println!("left out: {what}"));
        held && self.missing.is_empty()
    }

    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "what": row.what, "unit": row.unit, "ours": row.ours, "peer": row.peer_name, "its": row.peer,
                "must": row.must.holds(row.ours, row.peer), "aim": row.aim.holds(row.ours, row.peer),
            })
        };
        json!({"bars": self.rows.iter().map(row).collect::<Vec<_>>(), "all": self.all, "left_out": self.missing})
    }
}
