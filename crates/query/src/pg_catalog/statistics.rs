//! `pg_stats`: what ANALYZE found, for who may read the columns.

use heliosdb_types::{Datum, Result};

use super::relations::sorted;
use super::table::{Rows, Source, array_text, text};
use crate::access::Rights;
use crate::catalog::Privileges;

pub(super) fn pg_stats(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    for relation in sorted(&facts.catalog) {
        let Some(statistics) = relation.statistics() else { continue };
        let schema = facts.catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
        for column in &relation.columns {
            let Some(found) = statistics.column(relation, column.attribute) else { continue };
            if !rights.has_on_column(relation, column.attribute, Privileges::SELECT) {
                continue;
            }
            let list = |values: &[String]| match values {
                [] => Datum::Null,
                values => text(array_text(values)),
            };
            let numbers = |values: &[f32]| match values {
                [] => Datum::Null,
                values => text(array_text(values.iter().map(|value| {
                    let mut text = String::new();
                    heliosdb_types::write_float4(*value, &mut text);
                    text
                }))),
            };
            rows.add(&[
                ("schemaname", text(schema)),
                ("tablename", text(&relation.name)),
                ("attname", text(&column.name)),
                ("inherited", Datum::Bool(false)),
                ("null_frac", Datum::Float32(found.null_frac)),
                ("avg_width", Datum::Int32(found.width)),
                ("n_distinct", Datum::Float32(found.distinct)),
                ("most_common_vals", list(&found.common)),
                ("most_common_freqs", numbers(&found.frequencies)),
                ("histogram_bounds", list(&found.bounds)),
                ("correlation", found.correlation.map_or(Datum::Null, Datum::Float32)),
            ])?;
        }
    }
    Ok(())
}
