//! Replies made from the contract's data: errors, notices, row descriptions.

use bytes::{BufMut, BytesMut};
use heliosdb_contracts::{Notice, ResultColumn, RowsTag, TransactionStatus};
use heliosdb_types::{Error, SqlType};
use pgwire::messages::data::{MESSAGE_TYPE_BYTE_ROW_DESCRITION, ParameterDescription};
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

/// Appends a RowDescription: drivers ask for one with each execution, so nothing is made for it but its bytes. `formats` says how each
/// column will travel; columns beyond it travel as text.
pub(crate) fn put_row_description(columns: &[ResultColumn], formats: &[Format], out: &mut BytesMut) {
    let start = out.len();
    out.put_u8(MESSAGE_TYPE_BYTE_ROW_DESCRITION);
    out.put_i32(0);
    out.put_i16(columns.len() as i16);
    for (at, column) in columns.iter().enumerate() {
        // Strings of the protocol end at the first zero byte.
        column.name.split('\0').for_each(|part| out.put_slice(part.as_bytes()));
        out.put_u8(0);
        out.put_u32(column.table_oid.0);
        out.put_i16(column.attribute);
        out.put_u32(column.sql_type.oid().0);
        out.put_i16(column.sql_type.wire_len());
        out.put_i32(column.sql_type.typmod());
        out.put_i16(formats.get(at).map_or(0, |format| format.code()));
    }
    let length = (out.len() - start - 1) as u32;
    out.get_mut(start + 1..start + 5).expect("written before").copy_from_slice(&length.to_be_bytes());
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

#[cfg(test)]
mod tests {
    use heliosdb_types::Oid;
    use pgwire::messages::Message;
    use pgwire::messages::data::{FieldDescription, RowDescription};

    use super::*;

    #[test]
    fn row_descriptions_are_what_the_protocol_says() {
        let column = |name: &str, sql_type, table_oid, attribute| ResultColumn {
            name: name.to_owned(),
            sql_type,
            table_oid: Oid(table_oid),
            attribute,
        };
        let columns = [
            column("id", SqlType::Int8, 16_384, 1),
            column("", SqlType::Text, 0, 0),
            column("a\0b", SqlType::Bool, u32::MAX, -7),
        ];
        let formats = [Format::Binary, Format::Text];
        for columns in [&columns[..], &columns[..1], &[]] {
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
            let (mut ours, mut theirs) = (BytesMut::from("before"), BytesMut::from("before"));
            put_row_description(columns, &formats, &mut ours);
            let message = RowDescription::new(columns.iter().enumerate().map(describe).collect());
            message.encode(&mut theirs).unwrap();
            assert_eq!(ours, theirs);
        }
    }
}
