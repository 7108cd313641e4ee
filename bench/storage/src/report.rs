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
    AtLeast(f64),
}

impl Bar {
    fn holds(self, ours: f64, peer: f64) -> bool {
        match self {
            Bar::RatioAtMost(limit) => ours <= peer * limit,
            Bar::RatioAtLeast(limit) => ours >= peer * limit,
            Bar::AtMost(limit) => ours <= limit,
            Bar::AtLeast(limit) => ours >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Bar::RatioAtMost(limit) => format!("<= {limit:.1}x"),
            Bar::RatioAtLeast(limit) => format!(">= {limit:.1}x"),
            Bar::AtMost(limit) => format!("<= {limit}"),
            Bar::AtLeast(limit) => format!(">= {limit}"),
        }
    }
}

struct Row {
    cell: &'static str,
    what: String,
    unit: &'static str,
    ours: f64,
    peer: Option<(String, f64)>,
    bar: Bar,
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    notes: Map<String, Value>,
}

impl Report {
    /// A figure beside a peer's, with its bar.
    pub fn compare(
        &mut self,
        cell: &'static str,
        what: &str,
        unit: &'static str,
        ours: f64,
        peer: (&str, f64),
        bar: Bar,
    ) {
        self.push(Row { cell, what: what.to_owned(), unit, ours, peer: Some((peer.0.to_owned(), peer.1)), bar });
    }

    /// A figure that has a bar by itself.
    pub fn judge(&mut self, cell: &'static str, what: &str, unit: &'static str, ours: f64, bar: Bar) {
        self.push(Row { cell, what: what.to_owned(), unit, ours, peer: None, bar });
    }

    fn push(&mut self, row: Row) {
        println!("{}", row.text());
        self.rows.push(row);
    }

    /// Any other figure; printed at once and kept in the history.
    pub fn note(&mut self, cell: &'static str, what: &str, unit: &str, value: f64) {
        println!("  {cell:<8} {what:<58} {value:>14.3} {unit}");
        let cell = self.notes.entry(cell).or_insert_with(|| json!({}));
        if let Value::Object(cell) = cell {
            cell.insert(format!("{what} [{unit}]"), json!(value));
        }
    }

    /// Prints the table; whether every bar holds.
    pub fn print(&self) -> bool {
        println!(
            "\n| cell | what | unit | ours | beside | its figure | ratio | bar | |\n|---|---|---|---|---|---|---|---|---|"
        );
        self.rows.iter().for_each(|row| println!("{}", row.text()));
        self.rows.iter().all(Row::holds)
    }

    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "cell": row.cell, "what": row.what, "unit": row.unit, "ours": row.ours,
                "peer": row.peer.as_ref().map(|peer| &peer.0), "its": row.peer.as_ref().map(|peer| peer.1),
                "bar": row.bar.text(), "holds": row.holds(),
            })
        };
        json!({"bars": self.rows.iter().map(row).collect::<Vec<_>>(), "notes": self.notes})
    }
}

impl Row {
    fn holds(&self) -> bool {
        self.bar.holds(self.ours, self.peer.as_ref().map_or(f64::NAN, |peer| peer.1))
    }

    fn text(&self) -> String {
        let Row { cell, what, unit, ours, peer, bar } = self;
        let (name, its, ratio) = match peer {
            Some((name, its)) => (name.as_str(), format!("{its:.2}"), format!("{:.2}x", ours / its)),
            None => ("", String::new(), String::new()),
        };
        let verdict = if self.holds() { "holds" } else { "MISSES" };
        format!("| {cell} | {what} | {unit} | {ours:.2} | {name} | {its} | {ratio} | {} | {verdict} |", bar.text())
    }
}
