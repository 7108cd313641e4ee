//! pg_prepared_statements: what the session keeps by name.

use heliosdb_types::{Datum, Result};

use super::table::{Rows, Source, array_text};

pub(super) fn pg_prepared_statements(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let text = |text: &str| Datum::Text(text.to_owned());
    for (name, named) in source.facts.named.lock().iter() {
        let types = named.prepared.parameters().iter().map(|sql_type| sql_type.name());
        rows.add(&[
            ("name", text(name)),
            ("statement", text(&named.sql)),
            ("prepare_time", Datum::TimestampTz(named.prepare_micros)),
            ("parameter_types", Datum::Text(array_text(types))),
            ("from_sql", Datum::Bool(named.from_sql)),
            // Plans are made without parameters and kept; there are no custom ones.
            ("generic_plans", Datum::Int64(0)),
            ("custom_plans", Datum::Int64(0)),
        ])?;
    }
    Ok(())
}
