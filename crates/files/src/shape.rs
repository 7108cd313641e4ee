//! A look at a file of text: which columns it has, and of which types.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};

use heliosdb_types::{Error, Result, SqlState, SqlType};
use serde_json::Value;

use crate::column::{FileColumn, unique_names};
use crate::csv::{Reader, sniff};
use crate::guess::{Guess, type_of};
use crate::input::{in_file, open_text, unreadable};
use crate::json::{JsonObject, JsonObjects};

const BUFFER_BYTES: usize = 256 << 10;
/// More columns than a table can have.
const COLUMNS_MAX: usize = 1600;
/// Rows between two calls of `progress`.
const ROWS_BETWEEN: u64 = 256;

/// How a CSV file is to be taken; what is not said is found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CsvOptions {
    /// Whether the first line has the names.
    pub header: Option<bool>,
    pub delimiter: Option<u8>,
    /// What stands for NULL where it is not quoted.
    pub null: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub columns: Vec<FileColumn>,
    /// Rows looked at.
    pub records: u64,
    pub delimiter: u8,
    pub header: bool,
    /// All rows were looked at.
    pub complete: bool,
    /// The first line was taken for names though all of it looks like values.
    pub doubtful: bool,
}

/// Told how many bytes of the file have been read; an error ends the look.
pub type Looked<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

fn in_time(records: u64) -> bool {
    records.is_multiple_of(ROWS_BETWEEN)
}

fn malformed(path: &str, what: impl std::fmt::Display) -> Error {
    Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("{path}{what}"))
}

fn check_count(path: &str, columns: usize) -> Result<()> {
    match columns <= COLUMNS_MAX {
        true => Ok(()),
        false => Err(Error::invalid(
            SqlState::TOO_MANY_COLUMNS,
            format!("{path}: more than {COLUMNS_MAX} columns; is the delimiter right?"),
        )),
    }
}

/// Looks at no more than `rows` rows, or at all of them.
pub fn csv_shape(path: &str, options: &CsvOptions, rows: Option<u64>, looked: Looked<'_>) -> Result<Shape> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, open_text(path)?);
    let head = input.fill_buf().map_err(|error| unreadable(path, &error))?;
    let head = String::from_utf8_lossy(head).into_owned();
    if head.contains('\r') && !head.contains('\n') {
        let what = format!(": its lines end in carriage returns alone; convert it first: tr '\\r' '\\n' < {path}");
        return Err(malformed(path, what));
    }
    let delimiter = options.delimiter.unwrap_or_else(|| sniff(&head));
    let mut reader = Reader::new(input, delimiter);
    let placed = |error| in_file(path, error);
    let Some(first) = reader.next().map_err(placed)? else {
        return Ok(Shape {
            columns: Vec::new(),
            records: 0,
            delimiter,
            header: false,
            complete: true,
            doubtful: false,
        });
    };
    check_count(path, first.fields.len())?;
    let data = first.fields.iter().all(|(field, _)| is_data(field));
    let header = options.header.unwrap_or(!data);
    let keys: Vec<String> = first.fields.iter().map(|(field, _)| field.clone()).collect();
    let names = unique_names(keys.iter().map(String::as_str), !header);
    let mut guesses: Vec<Guess> = vec![Guess::default(); names.len()];
    let (mut records, mut complete) = (0, true);
    let mut next = if header { reader.next().map_err(placed)? } else { Some(first) };
    while let Some(record) = next {
        if record.fields.len() != names.len() {
            let (found, expected) = (record.fields.len(), names.len());
            let what = format!(", line {}: {found} fields where the first line has {expected}", record.line);
            return Err(malformed(path, what));
        }
        for ((value, quoted), guess) in record.fields.iter().zip(&mut guesses) {
            match value.is_empty() {
                _ if !quoted && *value == options.null => {}
                true => guess.see_text(),
                false => guess.see(value),
            }
        }
        records += 1;
        if in_time(records) {
            looked(reader.input().get_ref().consumed())?;
        }
        if rows.is_some_and(|rows| records >= rows) {
            complete = false;
            break;
        }
        next = reader.next().map_err(placed)?;
    }
    let columns = columns(keys.into_iter().zip(names).zip(guesses), complete);
    Ok(Shape { columns, records, delimiter, header, complete, doubtful: header && data })
}

/// Whether a field of the first line looks like a value rather than a name.
fn is_data(field: &str) -> bool {
    let mut guess = Guess::default();
    guess.see(field);
    guess.name() != "text"
}

fn columns(found: impl Iterator<Item = ((String, String), Guess)>, complete: bool) -> Vec<FileColumn> {
    let column = |((key, name), guess): ((String, String), Guess)| {
        let sql_name = match guess.name() {
            // Numbers only grow: what was not looked at may be larger.
            "integer" if !complete => "bigint",
            name => name,
        };
        FileColumn { name, key, sql_type: type_of(sql_name), sql_name: sql_name.to_owned() }
    };
    found.map(column).collect()
}

/// Looks at no more than `rows` objects, or at all of them.
pub fn json_shape(path: &str, rows: Option<u64>, looked: Looked<'_>) -> Result<Shape> {
    let input = open_text(path)?;
    let mut objects = JsonObjects::new(BufReader::with_capacity(BUFFER_BYTES, input));
    let mut at: HashMap<String, usize> = HashMap::new();
    let mut found: Vec<(String, Guess)> = Vec::new();
    let (mut records, mut complete) = (0, true);
    while let Some(JsonObject(fields)) = objects.next_object().map_err(|error| in_file(path, error))? {
        for (name, value) in &fields {
            let column = match at.get(name) {
                Some(&column) => column,
                None => {
                    at.insert(name.clone(), found.len());
                    found.push((name.clone(), Guess::default()));
                    check_count(path, found.len())?;
                    found.len() - 1
                }
            };
            let Some((_, guess)) = found.get_mut(column) else { continue };
            match value {
                Value::Null => {}
                Value::Bool(value) => guess.see(&value.to_string()),
                Value::Number(number) => guess.see(&number.to_string()),
                // Text that looks like a number was meant as text; a date has no other way to be written.
                Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('-') => {
                    guess.see(text)
                }
                Value::String(_) => guess.see_text(),
                Value::Array(_) | Value::Object(_) => guess.see_json(),
            }
        }
        records += 1;
        if in_time(records) {
            looked(objects.input().get_ref().consumed())?;
        }
        if rows.is_some_and(|rows| records >= rows) {
            complete = false;
            break;
        }
    }
    let names = unique_names(found.iter().map(|(name, _)| name.as_str()), false);
    let columns = columns(found.into_iter().zip(names).map(|((key, guess), name)| ((key, name), guess)), complete);
    Ok(Shape { columns, records, delimiter: b',', header: false, complete, doubtful: false })
}

impl Shape {
    /// All columns as text.
    #[must_use]
    pub fn as_text(mut self) -> Shape {
        for column in &mut self.columns {
            (column.sql_type, column.sql_name) = (SqlType::Text, "text".to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use heliosdb_runtime::HostFiles;

    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x").to_str().unwrap().to_owned();
        let mut file = HostFiles.create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.keep().unwrap();
        (dir, path)
    }

    fn shown(shape: &Shape) -> String {
        let columns = shape.columns.iter().map(|column| format!("{} {}", column.name, column.sql_name));
        columns.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn names_and_types_of_csv() {
        let look = |text: &str, options: &CsvOptions, rows| {
            let (_dir, path) = written(text);
            csv_shape(&path, options, rows, &mut |_| Ok(()))
        };
        let any = CsvOptions::default();
        let shape = look("id;Order Date;note\n1;2026-01-02;\n2;2026-01-03;\"\"\n", &any, None).unwrap();
        assert_eq!(shown(&shape), "id integer, order_date date, note text");
        assert_eq!((shape.records, shape.delimiter, shape.header, shape.complete), (2, b';', true, true));
        let shape = look("1,2.5\n2,3\n", &any, None).unwrap();
        assert_eq!((shown(&shape).as_str(), shape.header), ("column1 integer, column2 numeric", false));
        let named = CsvOptions { header: Some(true), ..CsvOptions::default() };
        assert_eq!(shown(&look("1,2.5\n2,3\n", &named, None).unwrap()), "_1 integer, _2_5 integer");
        let shape = look("id\n1\n2\nx\n", &any, Some(2)).unwrap();
        assert_eq!((shown(&shape).as_str(), shape.complete), ("id bigint", false));
        let error = look("a,b\n1\n", &any, None).unwrap_err();
        assert!(error.message().ends_with("line 2: 1 fields where the first line has 2"), "{error}");
        assert_eq!(look("", &any, None).unwrap().columns, []);
    }

    #[test]
    fn names_and_types_of_json() {
        let (_dir, path) = written("{\"userId\":1,\"at\":\"2026-01-01T10:00:00Z\"}\n{\"tags\":[1],\"userId\":null}");
        let shape = json_shape(&path, None, &mut |_| Ok(())).unwrap();
        assert_eq!(shown(&shape), "userid integer, at timestamp with time zone, tags jsonb");
        assert_eq!(shape.columns[0].key, "userId");
    }
}
