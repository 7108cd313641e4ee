//! Reading the dialects of DataFusion (that of the crate sqllogictest) and of DuckDB: results by row, `include`, loops,
//! connections. What a file needs that is no SQL (another format, a restart, threads) leaves the whole file out, by name.

use std::collections::HashSet;
use std::path::Path;

use super::Dialect;
use crate::slt::parse::{Expected, Record, Script, Sort, Want, expected};

/// Rounds of loops in one file; more leave it out.
const ROUNDS_MAX: usize = 2_000;

/// A file's records, or why it is not played.
pub fn read(path: &Path, dialect: Dialect) -> Result<Script, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    if dialect == Dialect::Sqlite {
        return crate::slt::parse(&text);
    }
    let mut lines = Vec::new();
    include(path, &text, &mut lines, 0)?;
    let mut reader = Reader { dialect, rounds: 0, script: Script::default(), off: false, only: Vec::new() };
    reader.block(&lines, &[])?;
    Ok(reader.script)
}

/// The file's lines with those of the files it includes; every line keeps the number it has in its own file.
fn include(path: &Path, text: &str, lines: &mut Vec<(usize, String)>, depth: usize) -> Result<(), String> {
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end();
        match line.strip_prefix("include ") {
            Some(_) if depth > 8 => return Err("includes itself".to_owned()),
            Some(name) => {
                let other = path.parent().unwrap_or(path).join(name.trim());
                let text = std::fs::read_to_string(&other).map_err(|error| format!("include {name}: {error}"))?;
                include(&other, &text, lines, depth + 1)?;
            }
            None => lines.push((at + 1, line.to_owned())),
        }
    }
    Ok(())
}

/// What DuckDB's files may require and we need not.
const NEEDLESS: &[&str] = &[
    "skip_reload",
    "noforcestorage",
    "vector_size",
    "64bit",
    "notwindows",
    "notmingw",
    "no_extension_autoloading",
    "no_alternative_verify",
    "ram",
    "strinline",
    "longdouble",
    "exact_vector_size",
];

/// Variables of the loops around a line, inner ones last.
type Variables = [(String, String)];

struct Reader {
    dialect: Dialect,
    rounds: usize,
    script: Script,
    /// Between `mode skip` and `mode unskip`.
    off: bool,
    only: Vec<(bool, String)>,
}

impl Reader {
    fn block(&mut self, lines: &[(usize, String)], variables: &Variables) -> Result<(), String> {
        let mut at = 0;
        while let Some((line, text)) = lines.get(at) {
            let text = substitute(text, variables);
            let words: Vec<&str> = text.split_whitespace().collect();
            at += 1;
            let Some((verb, rest)) = words.split_first() else { continue };
            match (*verb, rest) {
                (verb, _) if verb.starts_with('#') => {}
                ("loop" | "foreach", [name, values @ ..]) => {
                    let length = loop_length(&lines[at..]).ok_or("a loop without endloop")?;
                    for value in rounds(verb, values)? {
                        self.rounds += 1;
                        if self.rounds > ROUNDS_MAX {
                            return Err(format!("more than {ROUNDS_MAX} rounds of loops"));
                        }
                        let inner = [variables, &[((*name).to_owned(), value)]].concat();
                        self.block(&lines[at..at + length], &inner)?;
                    }
                    at += length + 1;
                }
                ("mode", ["skip"]) => self.off = true,
                ("mode", ["unskip"]) => self.off = false,
                ("mode" | "hash-threshold" | "subtest" | "sleep" | "tags" | "control", _) => {}
                ("require", [what, ..]) if NEEDLESS.contains(what) => {}
                ("skipif" | "onlyif", [name]) if !name.contains(['=', '<', '>']) => {
                    self.only.push((*verb == "onlyif", (*name).to_owned()));
                }
                ("halt", []) => {
                    self.push(*line, String::new(), String::new(), Want::Halt);
                }
                ("statement" | "query", [kind, rest @ ..]) => {
                    at = self.record(lines, at, (*line, verb, kind, rest), variables)?;
                }
                _ => return Err(format!("needs what is no SQL: {text}")),
            }
        }
        Ok(())
    }

    /// One `statement` or `query`; says where the next line after it is.
    fn record(
        &mut self,
        lines: &[(usize, String)],
        mut at: usize,
        (line, verb, kind, rest): (usize, &str, &str, &[&str]),
        variables: &Variables,
    ) -> Result<usize, String> {
        let mut until = |end: &dyn Fn(&str) -> bool| {
            let mut found = Vec::new();
            while let Some((_, text)) = lines.get(at).filter(|(_, text)| !end(text)) {
                found.push(substitute(text, variables));
                at += 1;
            }
            found
        };
        let sql = until(&|text| text.is_empty() || text == "----").join("\n");
        let results = until(&str::is_empty);
        let fails = kind == "error";
        let (mut sort, mut label, mut connection) = (Sort::None, None, String::new());
        for word in rest.iter().filter(|_| self.dialect == Dialect::Duckdb || (verb == "query" && !fails)) {
            match *word {
                "nosort" => {}
                "rowsort" | "sort" => sort = Sort::Rows,
                "valuesort" => sort = Sort::Values,
                word if verb == "statement" || word.starts_with("con") => connection = word.to_owned(),
                word => label = Some(word.to_owned()),
            }
        }
        let want = match (verb, kind) {
            // Its own engine's words are not expected of us, only that there is an error.
            (_, "error") => Want::Error(String::new()),
            ("statement", "ok" | "count") => Want::Ok,
            ("statement", "maybe") => Want::Rows { types: Vec::new(), sort, label: None, expected: Expected::Unread },
            ("query", types) => {
                let results = results.get(1..).unwrap_or_default().to_vec();
                let unread = results.iter().any(|line| line.starts_with('<') && line.contains(">:"));
                let expected = match expected(results) {
                    _ if unread => Expected::Unread,
                    Expected::Values(lines) => Expected::Lines(lines),
                    hash => hash,
                };
                Want::Rows { types: types.chars().collect(), sort, label, expected }
            }
            _ => return Err(format!("not known: {verb} {kind}")),
        };
        self.push(line, connection, sql, want);
        Ok(at)
    }

    fn push(&mut self, line: usize, connection: String, sql: String, want: Want) {
        let only = std::mem::take(&mut self.only);
        // A plan is its engine's own, and a setting of another engine is none of ours.
        let words: Vec<String> = sql.split_whitespace().take(2).map(str::to_ascii_lowercase).collect();
        let foreign = match words.first().map(String::as_str) {
            Some("explain" | "pragma") => true,
            Some("set" | "reset") => words.get(1).is_some_and(|name| name.starts_with("datafusion.")),
            _ => false,
        };
        if !self.off && !foreign {
            self.script.records.push(Record { line, connection, only, sql, want });
        }
    }
}

fn substitute(text: &str, variables: &Variables) -> String {
    let mut text = text.to_owned();
    for (name, value) in variables {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    text
}

/// Lines up to the `endloop` of a loop whose lines begin here.
fn loop_length(lines: &[(usize, String)]) -> Option<usize> {
    let mut depth = 0;
    for (at, (_, text)) in lines.iter().enumerate() {
        match text.split_whitespace().next() {
            Some("loop" | "foreach" | "concurrentloop" | "concurrentforeach") => depth += 1,
            Some("endloop") if depth == 0 => return Some(at),
            Some("endloop") => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What the variable of a loop is, round by round.
fn rounds(verb: &str, values: &[&str]) -> Result<Vec<String>, String> {
    if verb == "foreach" {
        let mut seen = HashSet::new();
        let all = values.iter().flat_map(|value| named(value).unwrap_or(std::slice::from_ref(value)));
        return Ok(all.filter(|value| seen.insert(**value)).map(|value| (*value).to_owned()).collect());
    }
    match values {
        [from, to] => match (from.parse::<i64>(), to.parse::<i64>()) {
            (Ok(from), Ok(to)) => Ok((from..to).map(|at| at.to_string()).collect()),
            _ => Err(format!("a loop from {from} to {to}")),
        },
        _ => Err("a loop without its ends".to_owned()),
    }
}

/// DuckDB's names for lists of types.
fn named(list: &str) -> Option<&'static [&'static str]> {
    Some(match list {
        "<signed>" => &["tinyint", "smallint", "integer", "bigint", "hugeint"],
        "<unsigned>" => &["utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"],
        "<integral>" => {
            &["tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint"]
        }
        "<numeric>" => &["tinyint", "smallint", "integer", "bigint", "hugeint", "float", "double"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, dialect: Dialect) -> Result<Script, String> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.test");
        std::fs::write(place.path().join("part"), "statement ok\nCREATE TABLE part(a int)\n").unwrap();
        std::fs::write(&path, text).unwrap();
        read(&path, dialect)
    }

    #[test]
    fn loops_connections_and_results_by_row() {
        let script = read_text(
            "# name\nrequire vector_size 2\n\nloop i 1 3\n\nforeach type <signed> int\n\nstatement ok con2\nSELECT ${i}::${type}\n\n\
             endloop\n\nendloop\n\nquery II rowsort con1\nSELECT 1, 'a b'\n----\n1\ta b\n2\tc\n\nstatement error\nSELEC\n----\n\
             <REGEX>:.*x.*\n\nquery T\nSELECT 1\n----\n<REGEX>:.*1\n",
            Dialect::Duckdb,
        );
        let records = script.unwrap().records;
        assert_eq!(records.len(), 2 * 6 + 3);
        assert_eq!((records[6].sql.as_str(), records[6].connection.as_str()), ("SELECT 2::tinyint", "con2"));
        let Want::Rows { sort: Sort::Rows, expected, .. } = &records[12].want else { panic!("{:?}", records[12]) };
        assert_eq!(*expected, Expected::Lines(vec!["1\ta b".into(), "2\tc".into()]));
        assert_eq!(records[13].want, Want::Error(String::new()));
        assert!(matches!(&records[14].want, Want::Rows { expected: Expected::Unread, .. }));
    }

    #[test]
    fn datafusions_includes_and_errors() {
        let script = read_text(
            "include ./part\n\nskipif postgres\nquery TI rowsort\nSELECT 'a', 1\n----\na 1\n\nquery error not found: con1\nSELECT x\n\n\
             query T\nEXPLAIN SELECT 1\n----\nplan\n\nstatement ok\nset datafusion.x = 1\n",
            Dialect::Datafusion,
        );
        let records = script.unwrap().records;
        let [part, rows, error] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((part.sql.as_str(), part.line), ("CREATE TABLE part(a int)", 1));
        assert_eq!(rows.only, [(false, "postgres".to_owned())]);
        assert_eq!((&error.want, error.connection.as_str()), (&Want::Error(String::new()), ""));
    }

    #[test]
    fn what_is_no_sql_leaves_the_file_out() {
        for text in
            ["require parquet\n", "restart\n", "concurrentloop i 0 2\nendloop\n", "onlyif i=1\nstatement ok\nX\n"]
        {
            assert!(read_text(text, Dialect::Duckdb).unwrap_err().contains("no SQL"), "{text}");
        }
        assert!(read_text("loop i 0 2\n", Dialect::Duckdb).is_err());
        assert!(read_text("loop i 0 9999\nendloop\n", Dialect::Duckdb).unwrap_err().contains("rounds"));
    }
}
