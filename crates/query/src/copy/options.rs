//! COPY's options.

use heliosdb_files::ParquetCompression;
use heliosdb_types::{Error, Result, SqlState};

use crate::session::{CopyOption, CopyValue};

/// What the rows look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Csv,
    Binary,
    /// Only files of the server.
    Parquet,
}

/// What is done about the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    No,
    Yes,
    /// It must name the columns.
    Match,
}

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyOptions {
    pub format: Format,
    /// `format` is [`Format::Csv`].
    pub csv: bool,
    pub header: Header,
    pub delimiter: u8,
    pub null: String,
    pub quote: u8,
    pub escape: u8,
    /// Columns always quoted on output; `*` means all.
    pub force_quote: Vec<String>,
    pub force_not_null: Vec<String>,
    pub force_null: Vec<String>,
    /// Of a Parquet file.
    pub compression: ParquetCompression,
}

impl CopyOptions {
    /// A CSV file's rows.
    pub fn csv(delimiter: u8, null: String) -> CopyOptions {
        CopyOptions {
            format: Format::Csv,
            csv: true,
            header: Header::No,
            delimiter,
            null,
            quote: b'"',
            escape: b'"',
            force_quote: Vec::new(),
            force_not_null: Vec::new(),
            force_null: Vec::new(),
            compression: ParquetCompression::default(),
        }
    }
}

#[derive(Default)]
struct Given {
    format: Option<String>,
    freeze: Option<bool>,
    header: Option<Header>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    encoding: Option<String>,
    force_quote: Option<Vec<String>>,
    force_not_null: Option<Vec<String>>,
    force_null: Option<Vec<String>>,
    compression: Option<(String, Option<u32>)>,
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
}

fn value(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Reads the options of a COPY in one direction.
pub(crate) fn read_options(options: &[CopyOption], to: bool) -> Result<CopyOptions> {
    let mut given = Given::default();
    for option in options {
        let at = |error: Error| match option.position {
            Some(position) => error.with_position(position),
            None => error,
        };
        let again = match option.name.as_str() {
            "format" => {
                let name = text(option)?;
                let known = matches!(name.as_str(), "text" | "csv" | "binary" | "parquet");
                if !known && given.format.is_none() {
                    return Err(at(value(format!("COPY format \"{name}\" not recognized"))));
                }
                given.format.replace(name).is_some()
            }
            "freeze" => given.freeze.replace(boolean(option)?).is_some(),
            "header" => given.header.replace(header(option, to)?).is_some(),
            "delimiter" => given.delimiter.replace(text(option)?).is_some(),
            "null" => given.null.replace(text(option)?).is_some(),
            "quote" => given.quote.replace(text(option)?).is_some(),
            "escape" => given.escape.replace(text(option)?).is_some(),
            "encoding" => given.encoding.replace(text(option)?).is_some(),
            "force_quote" => given.force_quote.replace(columns(option, true).map_err(at)?).is_some(),
            "force_not_null" => given.force_not_null.replace(columns(option, false).map_err(at)?).is_some(),
            "force_null" => given.force_null.replace(columns(option, false).map_err(at)?).is_some(),
            "compression" => given.compression.replace((text(option)?, option.position)).is_some(),
            other => return Err(at(Error::syntax(format!("option \"{other}\" not recognized")))),
        };
        if again {
            return Err(at(Error::syntax("conflicting or redundant options")));
        }
    }
    finish(given, to)
}

fn text(option: &CopyOption) -> Result<String> {
    match &option.value {
        CopyValue::Text(text) => Ok(text.clone()),
        CopyValue::None => Err(Error::syntax(format!("{} requires a parameter", option.name))),
        CopyValue::Star | CopyValue::Columns(_) => Err(Error::syntax(format!("{} requires a parameter", option.name))),
    }
}

fn boolean(option: &CopyOption) -> Result<bool> {
    let wrong = || Error::syntax(format!("{} requires a Boolean value", option.name));
    match &option.value {
        CopyValue::None => Ok(true),
        CopyValue::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

fn header(option: &CopyOption, to: bool) -> Result<Header> {
    if matches!(&option.value, CopyValue::Text(text) if text.eq_ignore_ascii_case("match")) {
        if to {
            return Err(unsupported("cannot use \"match\" with HEADER in COPY TO"));
        }
        return Ok(Header::Match);
    }
    match boolean(option) {
        Ok(true) => Ok(Header::Yes),
        Ok(false) => Ok(Header::No),
        Err(_) => Err(Error::syntax("header requires a Boolean value or \"match\"")),
    }
}

fn columns(option: &CopyOption, star: bool) -> Result<Vec<String>> {
    match &option.value {
        CopyValue::Columns(names) => Ok(names.clone()),
        CopyValue::Star if star => Ok(vec!["*".to_owned()]),
        _ => Err(value(format!("argument to option \"{}\" must be a list of column names", option.name))),
    }
}

fn finish(given: Given, to: bool) -> Result<CopyOptions> {
    let format = match given.format.as_deref() {
        None | Some("text") => Format::Text,
        Some("csv") => Format::Csv,
        Some("binary") => Format::Binary,
        Some("parquet") => Format::Parquet,
        Some(other) => return Err(value(format!("COPY format \"{other}\" not recognized"))),
    };
    if let Some(name) = &given.encoding {
        match name.to_ascii_uppercase().replace(['-', '_'], "").as_str() {
            "UTF8" | "UNICODE" => {}
            _ => return Err(Error::unsupported(format!("COPY ... ENCODING '{name}'"))),
        }
    }
    // Rows of a COPY are never seen before their transaction commits; freezing is storage's business.
    if given.freeze == Some(true) && to {
        return Err(unsupported("COPY FREEZE cannot be used with COPY TO"));
    }
    let compression = match &given.compression {
        None => ParquetCompression::default(),
        // PostgreSQL has no such option.
        Some((_, position)) if format != Format::Parquet => {
            let error = Error::syntax("option \"compression\" not recognized");
            return Err(match position {
                Some(position) => error.with_position(*position),
                None => error,
            });
        }
        Some(_) if !to => return Err(unsupported("COPY COMPRESSION only available using COPY TO")),
        Some((name, _)) => match name.to_ascii_lowercase().as_str() {
            "zstd" => ParquetCompression::Zstd,
            "snappy" => ParquetCompression::Snappy,
            "none" | "uncompressed" => ParquetCompression::None,
            _ => {
                return Err(value(format!("COPY compression \"{name}\" not recognized"))
                    .with_hint("Known are zstd, snappy and none."));
            }
        },
    };
    if format == Format::Parquet {
        let refused = [
            ("DELIMITER", given.delimiter.is_some()),
            ("NULL", given.null.is_some()),
            ("HEADER", given.header.is_some()),
            ("QUOTE", given.quote.is_some()),
            ("ESCAPE", given.escape.is_some()),
            ("ENCODING", given.encoding.is_some()),
            ("FORCE_QUOTE", given.force_quote.is_some()),
            ("FORCE_NOT_NULL", given.force_not_null.is_some()),
            ("FORCE_NULL", given.force_null.is_some()),
        ];
        if let Some((name, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(Error::syntax(format!("cannot specify {name} in PARQUET mode")));
        }
        return Ok(CopyOptions { format, compression, csv: false, ..CopyOptions::csv(b'\t', String::new()) });
    }
    let csv = format == Format::Csv;
    let header = given.header.unwrap_or(Header::No);
    if format == Format::Binary {
        if given.delimiter.is_some() {
            return Err(Error::syntax("cannot specify DELIMITER in BINARY mode"));
        }
        if given.null.is_some() {
            return Err(Error::syntax("cannot specify NULL in BINARY mode"));
        }
        if header != Header::No {
            return Err(unsupported("cannot specify HEADER in BINARY mode"));
        }
    }
    let byte = |text: &Option<String>, default: u8, what: &str| match text.as_deref().map(str::as_bytes) {
        None => Ok(default),
        Some([byte]) => Ok(*byte),
        Some(_) if what == "delimiter" => Err(unsupported("COPY delimiter must be a single one-byte character")),
        Some(_) => Err(unsupported(format!("COPY {what} must be a single one-byte character"))),
    };
    let delimiter = byte(&given.delimiter, if csv { b',' } else { b'\t' }, "delimiter")?;
    let null = given.null.unwrap_or_else(|| (if csv { "" } else { "\\N" }).to_owned());
    if matches!(delimiter, b'\r' | b'\n') {
        return Err(value("COPY delimiter cannot be newline or carriage return"));
    }
    if null.contains(['\r', '\n']) {
        return Err(value("COPY null representation cannot use newline or carriage return"));
    }
    if format == Format::Text && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
        return Err(value(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
    }
    if !csv && given.quote.is_some() {
        return Err(unsupported("COPY quote available only in CSV mode"));
    }
    let quote = byte(&given.quote, b'"', "quote")?;
    if csv && quote == delimiter {
        return Err(value("COPY delimiter and quote must be different"));
    }
    if !csv && given.escape.is_some() {
        return Err(unsupported("COPY escape available only in CSV mode"));
    }
    let escape = byte(&given.escape, quote, "escape")?;
    for (columns, what, only_to) in [
        (&given.force_quote, "force quote", true),
        (&given.force_not_null, "force not null", false),
        (&given.force_null, "force null", false),
    ] {
        if columns.is_some() && !csv {
            return Err(unsupported(format!("COPY {what} available only in CSV mode")));
        }
        if columns.is_some() && only_to != to {
            let direction = if only_to { "COPY TO" } else { "COPY FROM" };
            return Err(unsupported(format!("COPY {what} only available using {direction}")));
        }
    }
    if null.as_bytes().contains(&delimiter) {
        return Err(value("COPY delimiter must not appear in the NULL specification"));
    }
    if csv && null.as_bytes().contains(&quote) {
        return Err(value("CSV quote character must not appear in the NULL specification"));
    }
    Ok(CopyOptions {
        format,
        csv,
        header,
        delimiter,
        null,
        quote,
        escape,
        force_quote: given.force_quote.unwrap_or_default(),
        force_not_null: given.force_not_null.unwrap_or_default(),
        force_null: given.force_null.unwrap_or_default(),
        compression,
    })
}

/// Options of a format, for tests.
#[cfg(test)]
pub(crate) fn options_of(format: &str) -> CopyOptions {
    let option = CopyOption { name: "format".into(), value: CopyValue::Text(format.into()), position: None };
    read_options(&[option], false).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)], to: bool) -> Result<CopyOptions> {
        let options = options.iter().map(|(name, value)| CopyOption {
            name: (*name).to_owned(),
            value: if value.is_empty() { CopyValue::None } else { CopyValue::Text((*value).to_owned()) },
            position: None,
        });
        read_options(&options.collect::<Vec<_>>(), to)
    }

    #[test]
    fn defaults_and_conflicts() {
        let text = read(&[], false).unwrap();
        assert_eq!((text.delimiter, text.null.as_str(), text.format), (b'\t', "\\N", Format::Text));
        let csv = read(&[("format", "csv"), ("header", "")], false).unwrap();
        assert_eq!((csv.delimiter, csv.null.as_str(), csv.header), (b',', "", Header::Yes));
        assert_eq!(read(&[("format", "csv"), ("header", "match")], false).unwrap().header, Header::Match);
        assert!(read(&[("quote", "x")], false).is_err());
        assert!(read(&[("delimiter", "a")], false).is_err());
        assert!(read(&[("format", "binary"), ("null", "x")], false).is_err());
        assert!(read(&[("freeze", "")], true).is_err());
        assert!(read(&[("nope", "x")], true).is_err());
        assert!(read(&[("null", "x"), ("null", "y")], true).is_err());
    }
}
