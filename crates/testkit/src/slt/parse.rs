//! Reading a script. Records are parted by empty lines; `#` begins a comment line, and a comment behind `skipif` and `onlyif`.

/// A file's records, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub records: Vec<Record>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins, from 1.
    pub line: usize,
    /// Which of the script's connections; empty: its first.
    pub connection: String,
    /// `skipif` and `onlyif` lines in front of it: whether the server must be it, and its name.
    pub only: Vec<(bool, String)>,
    pub sql: String,
    pub want: Want,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    Ok,
    /// Part of the SQLSTATE or the message; empty: any error.
    Error(String),
    Rows {
        types: Vec<char>,
        sort: Sort,
        label: Option<String>,
        expected: Expected,
    },
    /// The rest of the file is not for this server.
    Halt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    None,
    /// Whole rows, as texts.
    Rows,
    /// All values on their own.
    Values,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Expected {
    /// One value a line, row by row.
    Values(Vec<String>),
    /// How many values, and the MD5 of them, each followed by a line's end.
    Hash(usize, String),
    /// One row a line, its values parted by blanks or tabs.
    Lines(Vec<String>),
    /// Not said in a way that is read here.
    Unread,
}

/// Reads a script; the error names its line.
pub fn parse(text: &str) -> Result<Script, String> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end())).peekable();
    let mut script = Script::default();
    let mut only: Vec<(bool, String)> = Vec::new();
    while let Some((line, text)) = lines.next() {
        let wrong = |what: &str| Err(format!("line {line}: {what}: {text}"));
        let words: Vec<&str> = text.split_whitespace().collect();
        let (verb, rest) = match words.split_first() {
            None => continue,
            Some((verb, _)) if verb.starts_with('#') => continue,
            Some((verb, rest)) => (*verb, rest),
        };
        // The SQL, up to an empty line or the results.
        let mut body = || {
            let mut sql = Vec::new();
            while let Some((_, text)) = lines.next_if(|(_, text)| !text.is_empty() && *text != "----") {
                sql.push(text);
            }
            sql.join("\n")
        };
        let mut push = |sql: String, want: Want| {
            let only = std::mem::take(&mut only);
            script.records.push(Record { line, connection: String::new(), only, sql, want });
        };
        match (verb, rest) {
            ("skipif" | "onlyif", [name, comment @ ..]) if comment.first().is_none_or(|word| word.starts_with('#')) => {
                only.push((verb == "onlyif", (*name).to_owned()))
            }
            ("halt", []) => push(String::new(), Want::Halt),
            // From how many values on results are written as a hash: both forms are read, whatever it says.
            ("hash-threshold", [count]) if count.parse::<usize>().is_ok() => {}
            ("statement", ["ok"]) => push(body(), Want::Ok),
            ("statement", ["error", part @ ..]) => push(body(), Want::Error(part.join(" "))),
            ("query", [types, rest @ ..]) if !types.is_empty() && types.chars().all(|c| "ITR".contains(c)) => {
                let (sort, label) = match rest {
                    [] => (Sort::None, None),
                    [sort, label @ ..] if label.len() <= 1 => {
                        let sort = match *sort {
                            "nosort" => Sort::None,
                            "rowsort" => Sort::Rows,
                            "valuesort" => Sort::Values,
                            _ => return wrong("not nosort, rowsort or valuesort"),
                        };
                        (sort, label.first().map(|label| (*label).to_owned()))
                    }
                    _ => return wrong("more than a label behind a query"),
                };
                let sql = body();
                if lines.next_if(|(_, text)| *text == "----").is_none() {
                    return wrong("a query without ----");
                }
                let mut values = Vec::new();
                while let Some((_, text)) = lines.next_if(|(_, text)| !text.is_empty()) {
                    values.push(text.to_owned());
                }
                let types = types.chars().collect();
                push(sql, Want::Rows { types, sort, label, expected: expected(values) });
            }
            _ => return wrong("not known"),
        }
        if let Some(record) = script.records.last()
            && record.line == line
            && record.sql.is_empty()
            && record.want != Want::Halt
        {
            return wrong("no SQL");
        }
    }
    if only.is_empty() { Ok(script) } else { Err("the last skipif or onlyif has nothing behind it".to_owned()) }
}

/// The form of a query's results: values, or how many there are and their hash.
pub(super) fn expected(values: Vec<String>) -> Expected {
    if let [one] = values.as_slice()
        && let [count, "values", "hashing", "to", hash] = one.split_whitespace().collect::<Vec<_>>().as_slice()
        && let Ok(count) = count.parse()
    {
        return Expected::Hash(count, (*hash).to_owned());
    }
    Expected::Values(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_kind() {
        let script = parse(
            "# a comment\n\nhash-threshold 8\n\nstatement ok\nCREATE TABLE t (\n  a int)\n\nonlyif mysql # why\nskipif heliosdb\n\
             statement error 42601 at or\nSELEC\n\nquery IT rowsort x-1\nSELECT 1, 'a'\n----\n1\na\n\nquery R\nSELECT 1\n----\n\
             30 values hashing to 0123\n\nonlyif postgresql\nhalt\n",
        )
        .unwrap();
        let [create, error, rows, hash, halt] = script.records.as_slice() else { panic!("{script:?}") };
        assert_eq!((create.line, create.sql.as_str()), (5, "CREATE TABLE t (\n  a int)"));
        assert_eq!(error.want, Want::Error("42601 at or".into()));
        assert_eq!(error.only, [(true, "mysql".to_owned()), (false, "heliosdb".to_owned())]);
        let expected = Expected::Values(vec!["1".into(), "a".into()]);
        let label = Some("x-1".to_owned());
        assert_eq!(rows.want, Want::Rows { types: vec!['I', 'T'], sort: Sort::Rows, label, expected });
        assert!(matches!(&hash.want, Want::Rows { expected: Expected::Hash(30, hash), .. } if hash == "0123"));
        assert_eq!((halt.want == Want::Halt, halt.only.len()), (true, 1));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        for (text, line) in [
            ("\nstatement maybe\nSELECT 1\n", "line 2: not known"),
            ("query X\nSELECT 1\n----\n", "line 1: not known"),
            ("query I sorted\nSELECT 1\n----\n", "line 1: not nosort"),
            ("query I\nSELECT 1\n\n", "line 1: a query without"),
            ("statement ok\n\n", "line 1: no SQL"),
            ("mode parallel\n", "line 1: not known"),
            ("onlyif heliosdb\n", "nothing behind it"),
            ("onlyif heliosdb mysql\nhalt\n", "line 1: not known"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(line), "{said}");
        }
    }
}
