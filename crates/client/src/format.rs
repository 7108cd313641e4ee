//! Results as text: psql's table, one record after another, CSV, JSON.

use std::io::{self, Write};

use heliosdb_files::csv_field;
use serde_json::Value;

use crate::protocol::Column;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// As psql aligns it.
    #[default]
    Table,
    Csv,
    /// An array of objects.
    Json,
}

/// Types whose values stand to the right: numbers, oid, money.
fn is_number(oid: u32) -> bool {
    matches!(oid, 20 | 21 | 23 | 26 | 700 | 701 | 790 | 1700)
}

/// A whole result.
#[derive(Default)]
pub(crate) struct Rows {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    pub fn write(&self, format: Format, expanded: bool, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Table if expanded => self.expanded(out),
            Format::Table => self.table(out),
            Format::Csv => self.csv(out),
            Format::Json => self.json(out),
        }
    }

    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let lines = |text: &str| text.split('\n').map(width).max().unwrap_or(0);
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let cells = self.rows.iter().map(|row| row.get(at).and_then(Option::as_deref).map_or(0, lines));
                cells.max().unwrap_or(0).max(width(&column.name))
            })
            .collect();
        let centred: Vec<String> = self
            .columns
            .iter()
            .zip(&widths)
            .map(|(column, &most)| {
                let room = most - width(&column.name);
                format!("{}{}{}", " ".repeat(room / 2), column.name, " ".repeat(room - room / 2))
            })
            .collect();
        writeln!(out, " {} ", centred.join(" | "))?;
        let rules: Vec<String> = widths.iter().map(|&most| "-".repeat(most + 2)).collect();
        writeln!(out, "{}", rules.join("+"))?;
        for row in &self.rows {
            let cells: Vec<Vec<&str>> =
                row.iter().map(|cell| cell.as_deref().unwrap_or("").split('\n').collect()).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(1);
            for line in 0..height {
                let mut text = String::new();
                for (at, (cell, &most)) in cells.iter().zip(&widths).enumerate() {
                    let part = cell.get(line).copied().unwrap_or("");
                    let more = cell.len() > line + 1;
                    let room = " ".repeat(most - width(part));
                    let right = self.columns.get(at).is_some_and(|column| is_number(column.type_oid));
                    let last = at + 1 == widths.len();
                    let shown = match (right, last && !more) {
                        (true, _) => format!(" {room}{part}"),
                        (false, true) => format!(" {part}"),
                        (false, false) => format!(" {part}{room}"),
                    };
                    text.push_str(&shown);
                    text.push_str(if more {
                        "+"
                    } else if last {
                        ""
                    } else {
                        " "
                    });
                    text.push_str(if last { "" } else { "|" });
                }
                writeln!(out, "{text}")?;
            }
        }
        writeln!(out, "({} row{})\n", self.rows.len(), if self.rows.len() == 1 { "" } else { "s" })
    }

    fn expanded(&self, out: &mut dyn Write) -> io::Result<()> {
        let label = self.columns.iter().map(|column| width(&column.name)).max().unwrap_or(0);
        if self.rows.is_empty() {
            return writeln!(out, "(0 rows)\n");
        }
        for (number, row) in self.rows.iter().enumerate() {
            let head = format!("-[ RECORD {} ]", number + 1);
            let wide = label + 10;
            writeln!(out, "{head:-<wide$}")?;
            for (column, cell) in self.columns.iter().zip(row) {
                let room = " ".repeat(label - width(&column.name));
                writeln!(out, "{}{room} | {}", column.name, cell.as_deref().unwrap_or(""))?;
            }
        }
        writeln!(out)
    }

    fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let names: Vec<Option<String>> = self.columns.iter().map(|column| Some(column.name.clone())).collect();
        for row in std::iter::once(&names).chain(&self.rows) {
            let cells: Vec<String> = row.iter().map(|cell| csv_field(cell.as_deref())).collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        Ok(())
    }

    fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "[")?;
        for (number, row) in self.rows.iter().enumerate() {
            let object = self.columns.iter().zip(row).map(|(column, cell)| {
                format!("{}:{}", Value::String(column.name.clone()), json_value(column.type_oid, cell.as_deref()))
            });
            write!(out, "{}\n  {{{}}}", if number > 0 { "," } else { "" }, object.collect::<Vec<_>>().join(","))?;
        }
        writeln!(out, "{}]", if self.rows.is_empty() { "" } else { "\n" })
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn json_value(oid: u32, cell: Option<&str>) -> String {
    let Some(text) = cell else { return "null".to_owned() };
    let parsed = || serde_json::from_str::<Value>(text).is_ok();
    match oid {
        16 => if text == "t" { "true" } else { "false" }.to_owned(),
        // NaN and the infinities are no JSON.
        oid if is_number(oid) && parsed() => text.to_owned(),
        114 | 3802 if parsed() => text.to_owned(),
        _ => Value::String(text.to_owned()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let column = |name: &str, type_oid| Column { name: name.into(), type_oid };
        let text = |text: &str| Some(text.to_owned());
        Rows {
            columns: vec![column("id", 23), column("name", 25), column("j", 3802)],
            rows: vec![vec![text("1"), text("a\nb"), text("{\"x\": 1}")], vec![text("20"), None, None]],
        }
    }

    fn shown(format: Format, expanded: bool) -> String {
        let mut out = Vec::new();
        rows().write(format, expanded, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_looks_as_in_psql() {
        let expected = " id | name |    j     \n----+------+----------\n  1 | a   +| {\"x\": 1}\n    | b    | \n 20 |      | \n(2 rows)\n\n";
        assert_eq!(shown(Format::Table, false), expected);
    }

    #[test]
    fn other_formats() {
        assert_eq!(shown(Format::Csv, false), "id,name,j\n1,\"a\nb\",\"{\"\"x\"\": 1}\"\n20,,\n");
        let json: Value = serde_json::from_str(&shown(Format::Json, false)).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{"id": 1, "name": "a\nb", "j": {"x": 1}}, {"id": 20, "name": null, "j": null}])
        );
        assert!(shown(Format::Table, true).starts_with("-[ RECORD 1 ]-\nid   | 1\nname | a"));
    }
}
