//! Rows for people and for machines, on standard output.

use std::io::Write;

use serde_json::{Map, Value};

/// Named columns; what is `None` is empty in a table and absent from an object.
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// Prints a table, or an array of objects.
pub(crate) fn print(table: &Table, json: bool) {
    let text = if json { format!("{:#}\n", table.json()) } else { table.text() };
    // Whoever does not read it does not want it.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

impl Table {
    pub(crate) fn json(&self) -> Value {
        let object = |row: &Vec<Option<String>>| {
            let pairs = self.columns.iter().zip(row);
            let set = pairs.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
            Value::Object(set.map(|(name, value)| (name, json_value(value))).collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    /// Columns as wide as they must be; numbers to the right.
    pub(crate) fn text(&self) -> String {
        let cell = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let columns = 0..self.columns.len();
        let widths: Vec<usize> = columns
            .clone()
            .map(|at| {
                let cells = self.rows.iter().map(|row| cell(row, at).chars().count());
                cells.chain(self.columns.get(at).map(|name| name.chars().count())).max().unwrap_or(0)
            })
            .collect();
        let numeric: Vec<bool> = columns
            .map(|at| {
                let cells = || self.rows.iter().map(|row| cell(row, at)).filter(|cell| !cell.is_empty());
                cells().next().is_some() && cells().all(|cell| cell.parse::<f64>().is_ok())
            })
            .collect();
        let line = |cells: Vec<String>| {
            let mut out = String::new();
            for (at, text) in cells.iter().enumerate() {
                let room = widths.get(at).copied().unwrap_or(0).saturating_sub(text.chars().count());
                let gap = if at == 0 { "" } else { "  " };
                match numeric.get(at) {
                    Some(true) => out.push_str(&format!("{gap}{}{text}", " ".repeat(room))),
                    _ => out.push_str(&format!("{gap}{text}{}", " ".repeat(room))),
                }
            }
            format!("{}\n", out.trim_end())
        };
        let mut out = line(self.columns.clone());
        out.push_str(&line(widths.iter().map(|width| "-".repeat(*width)).collect()));
        for row in &self.rows {
            out.push_str(&line((0..self.columns.len()).map(|at| cell(row, at)).collect()));
        }
        out
    }
}

/// Whole numbers and fractions as such.
fn json_value(text: String) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    match text.parse::<f64>() {
        Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => number.into(),
        _ => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_objects_typed() {
        let some = |text: &str| Some(text.to_owned());
        let table = Table {
            columns: vec!["name".into(), "rows".into(), "ratio".into()],
            rows: vec![vec![some("orders"), some("12"), some("3.5")], vec![some("t"), some("1000"), None]],
        };
        assert_eq!(table.text(), "name    rows  ratio\n------  ----  -----\norders    12    3.5\nt       1000\n");
        assert_eq!(table.json().to_string(), r#"[{"name":"orders","ratio":3.5,"rows":12},{"name":"t","rows":1000}]"#);
    }
}
