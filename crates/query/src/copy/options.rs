//! COPY's options, in the parenthesised form and the old one.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption};

use crate::bind;

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyOptions {
    pub csv: bool,
    pub header: bool,
    pub delimiter: u8,
    pub null: String,
    pub quote: u8,
    pub escape: u8,
    /// Columns always quoted on output; `*` means all.
    pub force_quote: Vec<String>,
    pub force_not_null: Vec<String>,
    pub force_null: Vec<String>,
}

#[derive(Default)]
struct Given {
    format: Option<String>,
    header: Option<bool>,
    delimiter: Option<char>,
    null: Option<String>,
    quote: Option<char>,
    escape: Option<char>,
    force_quote: Vec<String>,
    force_not_null: Vec<String>,
    force_null: Vec<String>,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
}

fn value(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Reads the options of a COPY in one direction.
pub(crate) fn read_options(options: &[CopyOption], legacy: &[CopyLegacyOption], to: bool) -> Result<CopyOptions> {
    let mut given = Given::default();
    for option in options {
        match option {
            CopyOption::Format(name) => given.format = Some(name.value.to_ascii_lowercase()),
            // Rows of a COPY are never seen before their transaction commits; freezing is storage's business.
            CopyOption::Freeze(_) if !to => {}
            CopyOption::Freeze(_) => return Err(invalid("COPY FREEZE cannot be used with COPY TO")),
            CopyOption::Delimiter(c) => given.delimiter = Some(*c),
            CopyOption::Null(text) => given.null = Some(text.clone()),
            CopyOption::Header(header) => given.header = Some(*header),
            CopyOption::Quote(c) => given.quote = Some(*c),
            CopyOption::Escape(c) => given.escape = Some(*c),
            CopyOption::ForceQuote(columns) => given.force_quote.extend(columns.iter().map(bind::fold_identifier)),
            CopyOption::ForceNotNull(columns) => {
                given.force_not_null.extend(columns.iter().map(bind::fold_identifier));
            }
            CopyOption::ForceNull(columns) => given.force_null.extend(columns.iter().map(bind::fold_identifier)),
            CopyOption::Encoding(name) => require_utf8(name)?,
        }
    }
    for option in legacy {
        read_legacy(&mut given, option)?;
    }
    finish(given, to)
}

fn require_utf8(name: &str) -> Result<()> {
    match name.to_ascii_uppercase().replace(['-', '_'], "").as_str() {
        "UTF8" | "UNICODE" => Ok(()),
        _ => Err(Error::unsupported(format!("COPY ... ENCODING '{name}'"))),
    }
}

fn read_legacy(given: &mut Given, option: &CopyLegacyOption) -> Result<()> {
    match option {
        CopyLegacyOption::Binary => given.format = Some("binary".to_owned()),
        CopyLegacyOption::Delimiter(c) => given.delimiter = Some(*c),
        CopyLegacyOption::Null(text) => given.null = Some(text.clone()),
        CopyLegacyOption::Header => given.header = Some(true),
        CopyLegacyOption::Csv(options) => {
            given.format = Some("csv".to_owned());
            for option in options {
                match option {
                    CopyLegacyCsvOption::Header => given.header = Some(true),
                    CopyLegacyCsvOption::Quote(c) => given.quote = Some(*c),
                    CopyLegacyCsvOption::Escape(c) => given.escape = Some(*c),
                    CopyLegacyCsvOption::ForceQuote(columns) => {
                        given.force_quote.extend(columns.iter().map(bind::fold_identifier));
                    }
                    CopyLegacyCsvOption::ForceNotNull(columns) => {
                        given.force_not_null.extend(columns.iter().map(bind::fold_identifier));
                    }
                }
            }
        }
        other => return Err(Error::unsupported(format!("COPY option {other}"))),
    }
    Ok(())
}

fn finish(given: Given, to: bool) -> Result<CopyOptions> {
    let csv = match given.format.as_deref() {
        None | Some("text") => false,
        Some("csv") => true,
        Some("binary") => return Err(Error::unsupported("COPY ... FORMAT binary")),
        Some(other) => return Err(value(format!("COPY format \"{other}\" not recognized"))),
    };
    let byte = |c: Option<char>, default: u8, what: &str| match c {
        None => Ok(default),
        Some(c) if c.is_ascii() => Ok(c as u8),
        Some(_) => Err(invalid(format!("COPY {what} must be a single one-byte character"))),
    };
    let delimiter = byte(given.delimiter, if csv { b',' } else { b'\t' }, "delimiter")?;
    let null = given.null.unwrap_or_else(|| (if csv { "" } else { "\\N" }).to_owned());
    if matches!(delimiter, b'\r' | b'\n') {
        return Err(value("COPY delimiter cannot be newline or carriage return"));
    }
    if null.contains(['\r', '\n']) {
        return Err(value("COPY null representation cannot use newline or carriage return"));
    }
    if !csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
        return Err(value(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
    }
    if null.as_bytes().contains(&delimiter) {
        return Err(value("COPY delimiter must not appear in the NULL specification"));
    }
    if !csv && (given.quote.is_some() || given.escape.is_some()) {
        let what = if given.quote.is_some() { "quote" } else { "escape" };
        return Err(invalid(format!("COPY {what} available only in CSV mode")));
    }
    let quote = byte(given.quote, b'"', "quote")?;
    let escape = byte(given.escape, quote, "escape")?;
    if csv && quote == delimiter {
        return Err(value("COPY delimiter and quote must be different"));
    }
    if csv && null.as_bytes().contains(&quote) {
        return Err(value("CSV quote character must not appear in the NULL specification"));
    }
    for (columns, what, only_to) in [
        (&given.force_quote, "force quote", true),
        (&given.force_not_null, "force not null", false),
        (&given.force_null, "force null", false),
    ] {
        if !columns.is_empty() && !csv {
            return Err(invalid(format!("COPY {what} available only in CSV mode")));
        }
        if !columns.is_empty() && only_to != to {
            let direction = if only_to { "COPY TO" } else { "COPY FROM" };
            return Err(invalid(format!("COPY {what} only available using {direction}")));
        }
    }
    Ok(CopyOptions {
        csv,
        header: given.header.unwrap_or(false),
        delimiter,
        null,
        quote,
        escape,
        force_quote: given.force_quote,
        force_not_null: given.force_not_null,
        force_null: given.force_null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_conflicts() {
        let text = read_options(&[], &[], false).unwrap();
        assert_eq!((text.delimiter, text.null.as_str(), text.csv), (b'\t', "\\N", false));
        let csv = read_options(&[], &[CopyLegacyOption::Csv(vec![CopyLegacyCsvOption::Header])], false).unwrap();
        assert_eq!((csv.delimiter, csv.null.as_str(), csv.header), (b',', "", true));
        assert!(read_options(&[CopyOption::Quote('x')], &[], false).is_err());
        assert!(read_options(&[CopyOption::Delimiter('a')], &[], false).is_err());
        assert!(read_options(&[CopyOption::Format("binary".into())], &[], false).is_err());
        assert!(read_options(&[CopyOption::Freeze(true)], &[], true).is_err());
    }
}
