//! `heliosdb import`: a file becomes a table.
//!
//! It is read once to learn its columns and their types (a Parquet file says them itself); the table is made, unless there is one; then it is loaded by
//! COPY, in one transaction with the creation: a mistake on any line leaves nothing behind, and names the line.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::connect::ConnectArgs;
use crate::csv::{Reader, sniff};
use crate::error::Failure;
use crate::format::csv_field;
use crate::guess::Guess;
use crate::meta::literal;
use crate::parquet::ParquetFile;
use crate::progress::Progress;
use crate::protocol::{Connection, Event};
use crate::shell::ask_password;
use crate::source::{FileReader, open_text};

/// Bytes of one COPY message.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    Csv,
    /// One JSON object a line.
    Jsonl,
    Parquet,
}

#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// The file: CSV (.csv, .tsv, .txt), JSON lines (.jsonl, .ndjson, .json) or Parquet (.parquet, .pq)
    pub file: PathBuf,

    /// Table to load into; made if it does not exist [default: the file's name]
    #[arg(long, short, value_name = "NAME")]
    pub table: Option<String>,

    /// What the file is, if its name does not say
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,

    /// The first line of a CSV file is data, not names
    #[arg(long)]
    pub no_header: bool,

    /// The character between fields; otherwise found in the first line
    #[arg(long, value_name = "CHAR")]
    pub delimiter: Option<char>,

    /// Show the CREATE TABLE statement and load nothing
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// What the first reading found.
struct Shape {
    /// Names and SQL types.
    columns: Vec<(String, String)>,
    records: u64,
    delimiter: u8,
}

pub fn import(args: &ImportArgs) -> Result<(), Failure> {
    let format = file_format(args)?;
    let table = match &args.table {
        Some(name) => name.clone(),
        None => plain_name(args.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("import"), "import"),
    };
    let mut parquet = None;
    let shape = match format {
        FileFormat::Csv => csv_shape(args)?,
        FileFormat::Jsonl => json_shape(&args.file)?,
        FileFormat::Parquet => {
            let file = parquet.insert(ParquetFile::open(&args.file)?);
            Shape { columns: file.columns(), records: file.rows, delimiter: b',' }
        }
    };
    if shape.columns.is_empty() {
        return Err(Failure::Usage(format!("{} is empty", args.file.display())));
    }
    let quoted = quoted_name(&table);
    let create = create_table(&quoted, &shape.columns);
    if args.dry_run {
        println!("{create};");
        return Ok(());
    }
    let mut connection = args.connect.connect(ask_password)?;
    simple(&mut connection, "BEGIN")?;
    let done = load(&mut connection, args, format, parquet, &quoted, &create, &shape);
    match done {
        Ok(rows) => {
            simple(&mut connection, "COMMIT")?;
            println!("{rows} rows into {table}");
            Ok(())
        }
        Err(failure) => {
            if !connection.ended() {
                simple(&mut connection, "ROLLBACK")?;
            }
            Err(failure)
        }
    }
}

fn load(
    connection: &mut Connection,
    args: &ImportArgs,
    format: FileFormat,
    parquet: Option<ParquetFile>,
    table: &str,
    create: &str,
    shape: &Shape,
) -> Result<u64, Failure> {
    if exists(connection, table)? {
        println!("loading into the existing table {table}");
    } else {
        simple(connection, create)?;
    }
    let names: Vec<String> = shape.columns.iter().map(|(name, _)| quoted_name(name)).collect();
    let (header, delimiter) = match format {
        FileFormat::Csv => (!args.no_header, char::from(shape.delimiter)),
        FileFormat::Jsonl | FileFormat::Parquet => (false, ','),
    };
    let copy = format!(
        "COPY {table} ({}) FROM STDIN (FORMAT csv, HEADER {header}, DELIMITER {})",
        names.join(", "),
        literal(&delimiter.to_string())
    );
    if let Some(file) = parquet {
        return load_parquet(connection, &copy, file);
    }
    let mut file = open_text(&args.file)?;
    let mut progress = Progress::new("loading", file.len);
    let tag = match format {
        FileFormat::Csv | FileFormat::Parquet => connection.copy_in(&copy, &mut |chunk| {
            chunk.resize(CHUNK_BYTES, 0);
            let got = file.read(chunk).map_err(|e| unreadable(&args.file, &e))?;
            chunk.truncate(got);
            progress.add(got as u64);
            Ok(())
        })?,
        FileFormat::Jsonl => {
            let mut lines = JsonLines::new(file, &args.file);
            connection.copy_in(&copy, &mut |chunk| {
                while chunk.len() < CHUNK_BYTES {
                    let Some((bytes, object)) = lines.next()? else { break };
                    progress.add(bytes);
                    let cells = shape.columns.iter().map(|(name, kind)| cell(object.get(name), kind));
                    chunk.extend_from_slice(cells.collect::<Vec<_>>().join(",").as_bytes());
                    chunk.push(b'\n');
                }
                Ok(())
            })?
        }
    };
    progress.end();
    Ok(loaded(&tag).unwrap_or(shape.records))
}

/// How many rows COPY says it took.
fn loaded(tag: &str) -> Option<u64> {
    tag.rsplit(' ').next().and_then(|rows| rows.parse().ok())
}

fn load_parquet(connection: &mut Connection, copy: &str, mut file: ParquetFile) -> Result<u64, Failure> {
    let mut progress = Progress::new("loading", file.bytes);
    let mut read = 0;
    let tag = connection.copy_in(copy, &mut |chunk| {
        while chunk.len() < CHUNK_BYTES {
            let rows = file.next(chunk)? as u64;
            if rows == 0 {
                break;
            }
            // The rows' share of the file stands for the bytes.
            let share = |rows: u64| u128::from(file.bytes) * u128::from(rows) / u128::from(file.rows.max(1));
            progress.add((share(read + rows) - share(read)) as u64);
            read += rows;
        }
        Ok(())
    })?;
    progress.end();
    Ok(loaded(&tag).unwrap_or(read))
}

fn file_format(args: &ImportArgs) -> Result<FileFormat, Failure> {
    let ending = args.file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    match (args.format, ending.as_str()) {
        (Some(format), _) => Ok(format),
        (None, "csv" | "tsv" | "txt") => Ok(FileFormat::Csv),
        (None, "jsonl" | "ndjson" | "json") => Ok(FileFormat::Jsonl),
        (None, "parquet" | "pq") => Ok(FileFormat::Parquet),
        // One that is packed says so.
        _ => open_text(&args.file).and(Err(Failure::Usage(format!(
            "what is {}? Say it with --format csv, --format jsonl or --format parquet",
            args.file.display()
        )))),
    }
}

fn csv_shape(args: &ImportArgs) -> Result<Shape, Failure> {
    let unreadable = |e: io::Error| unreadable(&args.file, &e);
    let mut input = BufReader::with_capacity(CHUNK_BYTES, open_text(&args.file)?);
    let head = String::from_utf8_lossy(input.fill_buf().map_err(unreadable)?).into_owned();
    if head.contains('\r') && !head.contains('\n') {
        let path = args.file.display();
        let message =
            format!("{path}: its lines end in carriage returns alone; convert it first: tr '\\r' '\\n' < {path}");
        return Err(Failure::Usage(message));
    }
    let delimiter = match args.delimiter {
        Some(given) => u8::try_from(given).map_err(|_| Failure::Usage("the delimiter must be one byte".to_owned()))?,
        None => sniff(&head),
    };
    let mut progress = Progress::new("reading", input.get_ref().len);
    let mut reader = Reader::new(input, delimiter);
    let Some(first) = reader.next().map_err(unreadable)? else {
        return Ok(Shape { columns: Vec::new(), records: 0, delimiter });
    };
    if !args.no_header && first.fields.iter().all(|(field, _)| is_data(field)) {
        let first: Vec<&str> = first.fields.iter().map(|(field, _)| field.as_str()).collect();
        eprintln!("note: the first line is taken for names: {}; if it is data, say --no-header", first.join(", "));
    }
    let names = unique_names(first.fields.iter().map(|(field, _)| field.as_str()), args.no_header);
    let mut columns: Vec<(String, Guess)> = names.into_iter().map(|name| (name, Guess::default())).collect();
    let mut records = 0;
    let mut next = if args.no_header { Some(first) } else { reader.next().map_err(unreadable)? };
    while let Some(record) = next {
        if record.fields.len() != columns.len() {
            let (path, line) = (args.file.display(), record.line);
            let (found, expected) = (record.fields.len(), columns.len());
            return Err(Failure::Usage(format!(
                "{path}, line {line}: {found} fields where the first line has {expected}"
            )));
        }
        for ((value, quoted), (_, guess)) in record.fields.iter().zip(&mut columns) {
            progress.add(value.len() as u64 + 1);
            if !value.is_empty() {
                guess.see(value);
            } else if *quoted {
                guess.see_text();
            }
        }
        records += 1;
        next = reader.next().map_err(unreadable)?;
    }
    progress.end();
    Ok(Shape { columns: types(columns), records, delimiter })
}

/// Whether a field of the first line looks like a value rather than a name.
fn is_data(field: &str) -> bool {
    let mut guess = Guess::default();
    guess.see(field);
    guess.name() != "text"
}

fn types(columns: Vec<(String, Guess)>) -> Vec<(String, String)> {
    columns.into_iter().map(|(name, guess)| (name, guess.name().to_owned())).collect()
}

/// Names of columns: lower case, of letters, digits and underscores, each once.
pub(crate) fn unique_names<'a>(found: impl Iterator<Item = &'a str>, numbered: bool) -> Vec<String> {
    let mut used: HashMap<String, usize> = HashMap::new();
    let one = |(at, field): (usize, &str)| {
        let fallback = format!("column{}", at + 1);
        let field = field.trim_start_matches('\u{feff}');
        let name = if numbered { fallback } else { plain_name(field, &fallback) };
        let times = used.entry(name.clone()).or_insert(0);
        *times += 1;
        if *times > 1 { format!("{name}_{times}") } else { name }
    };
    found.enumerate().map(one).collect()
}

fn plain_name(text: &str, fallback: &str) -> String {
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let name = words.join("_");
    match name.chars().next() {
        None => fallback.to_owned(),
        Some(c) if c.is_ascii_digit() => format!("_{name}"),
        Some(_) => name,
    }
}

/// Quoted, which spares knowing the keywords; a schema may stand in front.
fn quoted_name(name: &str) -> String {
    let one = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    name.split('.').map(one).collect::<Vec<_>>().join(".")
}

fn create_table(table: &str, columns: &[(String, String)]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|(name, sql_type)| format!("    {} {sql_type}", quoted_name(name))).collect();
    format!("CREATE TABLE {table} (\n{}\n)", columns.join(",\n"))
}

fn exists(connection: &mut Connection, table: &str) -> Result<bool, Failure> {
    let mut found = false;
    connection.query(&format!("SELECT to_regclass({}) IS NOT NULL", literal(table)), &mut |event| {
        if let Event::Row(row) = event {
            found = row.first().and_then(Option::as_deref) == Some("t");
        }
        Ok(())
    })?;
    Ok(found)
}

fn simple(connection: &mut Connection, sql: &str) -> Result<(), Failure> {
    connection.query(sql, &mut |_| Ok(()))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{}, {error}", path.display()))
}

type Object = serde_json::Map<String, Value>;

/// Objects of a file, one a line; empty lines are skipped.
struct JsonLines<'a> {
    input: BufReader<FileReader>,
    path: &'a Path,
    line: u64,
}

impl<'a> JsonLines<'a> {
    fn new(file: FileReader, path: &'a Path) -> JsonLines<'a> {
        JsonLines { input: BufReader::with_capacity(CHUNK_BYTES, file), path, line: 0 }
    }

    /// The next object and how many bytes it took.
    fn next(&mut self) -> Result<Option<(u64, Object)>, Failure> {
        let mut text = String::new();
        loop {
            text.clear();
            self.line += 1;
            let wrong = |what: &dyn std::fmt::Display| {
                Failure::Usage(format!("{}, line {}: {what}", self.path.display(), self.line))
            };
            match self.input.read_line(&mut text).map_err(|e| wrong(&e))? {
                0 => return Ok(None),
                _ if text.trim().is_empty() => {}
                bytes => match serde_json::from_str(&text) {
                    Ok(Value::Object(object)) => return Ok(Some((bytes as u64, object))),
                    Ok(_) => return Err(wrong(&"not a JSON object")),
                    Err(error) => return Err(wrong(&error)),
                },
            }
        }
    }
}

fn json_shape(path: &Path) -> Result<Shape, Failure> {
    let file = open_text(path)?;
    let mut progress = Progress::new("reading", file.len);
    let mut lines = JsonLines::new(file, path);
    let mut at: HashMap<String, usize> = HashMap::new();
    let mut columns: Vec<(String, Guess)> = Vec::new();
    let mut records = 0;
    while let Some((bytes, object)) = lines.next()? {
        progress.add(bytes);
        for (name, value) in &object {
            let column = *at.entry(name.clone()).or_insert_with(|| {
                columns.push((name.clone(), Guess::default()));
                columns.len() - 1
            });
            let Some((_, guess)) = columns.get_mut(column) else { continue };
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
    }
    progress.end();
    Ok(Shape { columns: types(columns), records, delimiter: b',' })
}

/// A JSON value as a field of CSV, for a column of a type.
fn cell(value: Option<&Value>, sql_type: &str) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if sql_type != "jsonb" => csv_field(Some(text)),
        Some(other) => csv_field(Some(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_plain_and_unique() {
        let fields = ["Order ID", "order-id", "", "2nd", "größe", "\u{feff}x"];
        assert_eq!(
            unique_names(fields.into_iter(), false),
            ["order_id", "order_id_2", "column3", "_2nd", "größe", "x"]
        );
        assert_eq!(unique_names(fields.into_iter(), true)[1], "column2");
        assert_eq!(quoted_name("public.order"), "\"public\".\"order\"");
        assert_eq!(quoted_name("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn json_values_become_fields() {
        assert_eq!(cell(None, "text"), "");
        assert_eq!(cell(Some(&serde_json::json!("")), "text"), "\"\"");
        assert_eq!(cell(Some(&serde_json::json!({"a": "x,y"})), "jsonb"), "\"{\"\"a\"\":\"\"x,y\"\"}\"");
        assert_eq!(cell(Some(&serde_json::json!(1.5)), "numeric"), "1.5");
        assert_eq!(cell(Some(&serde_json::json!("x")), "jsonb"), "\"\"\"x\"\"\"");
    }
}
