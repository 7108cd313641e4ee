//! Replies made from the contract's data: errors, notices, row descriptions.

use heliosdb_contracts::{Notice, ResultColumn, RowsTag, TransactionStatus};
use heliosdb_types::{Error, SqlType};
use pgwire::messages::data::{FieldDescription, ParameterDescription, RowDescription};
use pgwire::messages::response::{ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus as StatusByte};

/// How a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

impl Format {
    pub(crate) fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

fn fields(severity: &str, error: &Error) -> Vec<(u8, String)> {
    // Strings of the protocol end at the first zero byte.
    let clean = |text: &str| text.replace('\0', "");
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', error.state().as_str().to_owned()),
        (b'M', clean(error.message())),
    ];
    let position = error.position().map(|position| position.to_string());
    let optional = [
        (b'D', error.detail()),
        (b'H', error.hint()),
        (b'P', position.as_deref()),
        (b's', error.schema()),
        (b't', error.table()),
        (b'c', error.column()),
        (b'd', error.data_type()),
        (b'n', error.constraint()),
        (b'W', error.traceback()),
    ];
    fields.extend(optional.into_iter().filter_map(|(code, text)| text.map(|text| (code, clean(text)))));
    fields
}

pub(crate) fn error_response(severity: &str, error: &Error) -> ErrorResponse {
    ErrorResponse::new(fields(severity, error))
}

pub(crate) fn notice_response(notice: &Notice) -> NoticeResponse {
    NoticeResponse::new(fields(notice.severity, &notice.error))
}

pub(crate) fn ready_for_query(status: TransactionStatus) -> ReadyForQuery {
    ReadyForQuery::new(match status {
        TransactionStatus::Idle => StatusByte::Idle,
        TransactionStatus::InTransaction => StatusByte::Transaction,
        TransactionStatus::Failed => StatusByte::Error,
    })
}

/// `formats` says how each column will travel; columns beyond it travel as text.
pub(crate) fn row_description(columns: &[ResultColumn], formats: &[Format]) -> RowDescription {
    let describe = |(at, column): (usize, &ResultColumn)| {
        FieldDescription::new(
            column.name.replace('\0', ""),
            column.table_oid.0 as i32,
            column.attribute,
            column.sql_type.oid().0,
            column.sql_type.wire_len(),
            column.sql_type.typmod(),
            formats.get(at).map_or(0, |format| format.code()),
        )
    };
    RowDescription::new(columns.iter().enumerate().map(describe).collect())
}

pub(crate) fn parameter_description(types: &[SqlType]) -> ParameterDescription {
    ParameterDescription::new(types.iter().map(|sql_type| sql_type.oid().0).collect())
}

pub(crate) fn rows_tag(tag: &RowsTag, rows: u64) -> String {
    match tag {
        RowsTag::Counted(verb) => format!("{verb} {rows}"),
        RowsTag::Fixed(tag) => (*tag).to_owned(),
    }
}
