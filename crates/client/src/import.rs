//! `heliosdb import`: a file becomes a table.
//!
//! It is read once to learn its columns and their types (a Parquet file says them itself); the table is made, unless there is one; then it is loaded by
//! COPY, in one transaction with the creation: a mistake on any line leaves nothing behind, and names the line.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use heliosdb_files::{
    CsvOptions, FileColumn, Form, JsonObject, JsonObjects, ParquetFile, Shape, csv_field, csv_shape, json_shape,
    open_text, plain_name,
};
use serde_json::Value;

use crate::connect::ConnectArgs;
use crate::error::Failure;
use crate::meta::literal;
use crate::progress::Progress;
use crate::protocol::{Connection, Event};
use crate::shell::ask_password;

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
    /// The file: CSV (.csv, .tsv, .txt), JSON (.jsonl, .ndjson, .json), either also packed (.gz), or Parquet (.parquet, .pq)
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

pub fn import(args: &ImportArgs) -> Result<(), Failure> {
    let path = path_of(args)?;
    let format = file_format(args, path)?;
    let table = match &args.table {
        Some(name) => name.clone(),
        None => plain_name(stem(path), "import"),
    };
    let mut parquet = None;
    let shape = match format {
        FileFormat::Csv => {
            let (header, delimiter) = (Some(!args.no_header), delimiter(args)?);
            let options = CsvOptions { header, delimiter, null: String::new() };
            let shape = looked_at(path, |look| csv_shape(path, &options, None, look))?;
            if shape.doubtful {
                let first: Vec<&str> = shape.columns.iter().map(|column| column.key.as_str()).collect();
                let first = first.join(", ");
                eprintln!("note: the first line is taken for names: {first}; if it is data, say --no-header");
            }
            shape
        }
        FileFormat::Jsonl => looked_at(path, |look| json_shape(path, None, look))?,
        FileFormat::Parquet => {
            let file = parquet.insert(ParquetFile::open(path).map_err(unusable)?);
            let (columns, records) = (file.columns(), file.rows);
            Shape { columns, records, delimiter: b',', header: false, complete: true, doubtful: false }
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
    let names: Vec<String> = shape.columns.iter().map(|column| quoted_name(&column.name)).collect();
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
    let path = path_of(args)?;
    let mut file = open_text(path).map_err(unusable)?;
    let mut progress = Progress::new("loading", file.len);
    let tag = match format {
        FileFormat::Csv | FileFormat::Parquet => connection.copy_in(&copy, &mut |chunk| {
            chunk.resize(CHUNK_BYTES, 0);
            let got = file.read(chunk).map_err(|error| Failure::Usage(format!("{path}: {error}")))?;
            chunk.truncate(got);
            progress.reached(file.consumed());
            Ok(())
        })?,
        FileFormat::Jsonl => {
            let mut objects = JsonObjects::new(BufReader::with_capacity(CHUNK_BYTES, file));
            let at: HashMap<&str, usize> =
                shape.columns.iter().enumerate().map(|(at, column)| (column.key.as_str(), at)).collect();
            connection.copy_in(&copy, &mut |chunk| {
                while chunk.len() < CHUNK_BYTES {
                    let object =
                        objects.next_object().map_err(|e| Failure::Usage(format!("{path}, {}", e.message())))?;
                    let Some(JsonObject(fields)) = object else { break };
                    let mut cells = vec![String::new(); shape.columns.len()];
                    for (name, value) in &fields {
                        let place = at.get(name.as_str()).copied();
                        let (Some(column), Some(slot)) =
                            (place.and_then(|at| shape.columns.get(at)), place.and_then(|at| cells.get_mut(at)))
                        else {
                            continue;
                        };
                        *slot = cell(Some(value), &column.sql_name);
                    }
                    chunk.extend_from_slice(cells.join(",").as_bytes());
                    chunk.push(b'\n');
                }
                progress.reached(objects.input().get_ref().consumed());
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
            let rows = file.next(chunk).map_err(unusable)? as u64;
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

fn path_of(args: &ImportArgs) -> Result<&str, Failure> {
    args.file.to_str().ok_or_else(|| Failure::Usage(format!("the path {} is not UTF-8", args.file.display())))
}

fn unusable(error: heliosdb_types::Error) -> Failure {
    Failure::Usage(error.message().to_owned())
}

/// A file's name without its endings.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Looks at a file, with a bar.
fn looked_at(
    path: &str,
    look: impl FnOnce(&mut dyn FnMut(u64) -> heliosdb_types::Result<()>) -> heliosdb_types::Result<Shape>,
) -> Result<Shape, Failure> {
    let mut progress = Progress::new("reading", open_text(path).map_err(unusable)?.len);
    let shape = look(&mut |bytes| {
        progress.reached(bytes);
        Ok(())
    });
    progress.end();
    shape.map_err(unusable)
}

fn delimiter(args: &ImportArgs) -> Result<Option<u8>, Failure> {
    let byte = |given| u8::try_from(given).map_err(|_| Failure::Usage("the delimiter must be one byte".to_owned()));
    args.delimiter.map(byte).transpose()
}

fn file_format(args: &ImportArgs, path: &str) -> Result<FileFormat, Failure> {
    let by_name = match Form::of(path) {
        Some(Form::Csv) => Some(FileFormat::Csv),
        Some(Form::Json) => Some(FileFormat::Jsonl),
        Some(Form::Parquet) => Some(FileFormat::Parquet),
        None => path.to_ascii_lowercase().ends_with(".txt").then_some(FileFormat::Csv),
    };
    match args.format.or(by_name) {
        Some(format) => Ok(format),
        // One that is packed in a way nobody reads here says so.
        None => open_text(path).map_err(unusable).and(Err(Failure::Usage(format!(
            "what is {path}? Say it with --format csv, --format jsonl or --format parquet"
        )))),
    }
}

/// Quoted, which spares knowing the keywords; a schema may stand in front.
fn quoted_name(name: &str) -> String {
    let one = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    name.split('.').map(one).collect::<Vec<_>>().join(".")
}

fn create_table(table: &str, columns: &[FileColumn]) -> String {
    let column = |column: &FileColumn| format!("    {} {}", quoted_name(&column.name), column.sql_name);
    let columns: Vec<String> = columns.iter().map(column).collect();
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
    fn names_are_quoted() {
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
