//! `heliosdb check` of a running server.

use std::io::{self, Write};

use crate::connect::ConnectArgs;
use crate::error::Failure;
use crate::format::{Format, Rows};
use crate::protocol::Event;
use crate::shell::ask_password;

/// Has the server check the whole database, or some tables; prints what it finds. Gives the number of errors found.
pub fn check(connect: &ConnectArgs, tables: &[String], format: Format) -> Result<usize, Failure> {
    let sql = match tables {
        [] => "CHECK DATABASE".to_owned(),
        tables => format!("CHECK TABLE {}", tables.join(", ")),
    };
    let mut connection = connect.connect(ask_password)?;
    let mut rows = Rows::default();
    connection.query(&sql, &mut |event| {
        match event {
            Event::Columns(columns) => rows.columns = columns,
            Event::Row(row) => rows.rows.push(row),
            Event::Notice(notice) => writeln!(io::stderr(), "{}", notice.message)?,
            _ => {}
        }
        Ok(())
    })?;
    let errors = rows.rows.iter().filter(|row| row.first().and_then(Option::as_deref) == Some("error")).count();
    if !rows.rows.is_empty() || format == Format::Json {
        rows.write(format, false, &mut io::stdout().lock())?;
    }
    Ok(errors)
}
