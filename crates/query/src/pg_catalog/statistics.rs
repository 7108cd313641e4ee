//! `pg_stats` and `pg_stats_ext`: what ANALYZE found, for who may read the columns; what CREATE STATISTICS asks for.

use std::fmt::Write;

use heliosdb_types::{Datum, Oid, Result};

use super::relations::sorted;
use super::table::{Rows, Source, array_text, text};
use super::{Facts, quote_identifier};
use crate::access::Rights;
use crate::catalog::{CombinedStatistics, ExtendedStatistics, Privileges, Relation, StatisticsKind};

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

/// Every object with its table, oldest first.
fn objects<'a>(facts: &'a Facts) -> Vec<(&'a Relation, &'a ExtendedStatistics)> {
    let of = |relation: &'a std::sync::Arc<Relation>| {
        let all = relation.table().map_or(&[][..], |table| &table.extended);
        all.iter().map(move |extended| (&**relation, extended))
    };
    let mut found: Vec<_> = facts.catalog.relations.values().flat_map(of).collect();
    found.sort_by_key(|(_, extended)| extended.oid);
    found
}

fn letters(extended: &ExtendedStatistics) -> Datum {
    text(array_text(extended.kinds.iter().map(|kind| kind.letter())))
}

pub(super) fn pg_statistic_ext(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (relation, extended) in objects(source.facts) {
        let keys: Vec<String> = extended.attributes.iter().map(ToString::to_string).collect();
        rows.add(&[
            ("oid", oid(extended.oid)),
            ("stxrelid", oid(relation.oid)),
            ("stxname", text(&extended.name)),
            ("stxnamespace", oid(extended.schema)),
            ("stxowner", oid(extended.owner)),
            ("stxstattarget", Datum::Int32(extended.target.unwrap_or(-1))),
            ("stxkeys", text(keys.join(" "))),
            ("stxkind", letters(extended)),
        ])?;
    }
    Ok(())
}

fn oid(value: Oid) -> Datum {
    Datum::Int64(i64::from(value.0))
}

pub(super) fn pg_statistic_ext_data(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for (relation, extended) in objects(source.facts) {
        let Some(found) = found(relation, extended) else { continue };
        rows.add(&[
            ("stxoid", oid(extended.oid)),
            ("stxdinherit", Datum::Bool(false)),
            ("stxdndistinct", distinct_text(found)),
            ("stxddependencies", dependencies_text(found)),
        ])?;
    }
    Ok(())
}

fn found<'a>(relation: &'a Relation, extended: &ExtendedStatistics) -> Option<&'a CombinedStatistics> {
    relation.statistics()?.combined(relation, extended)
}

/// `{"1, 2": 11}`
fn distinct_text(found: &CombinedStatistics) -> Datum {
    let item = |(columns, count): &(Vec<i16>, f64)| format!("\"{}\": {count:.0}", listed(columns));
    braced(found.distinct.iter().map(item).collect())
}

/// `{"1 => 2": 1.000000}`
fn dependencies_text(found: &CombinedStatistics) -> Datum {
    let item = |(columns, decided, degree): &(Vec<i16>, i16, f64)| {
        format!("\"{} => {decided}\": {degree:.6}", listed(columns))
    };
    braced(found.dependencies.iter().map(item).collect())
}

fn listed(columns: &[i16]) -> String {
    columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn braced(items: Vec<String>) -> Datum {
    if items.is_empty() { Datum::Null } else { text(format!("{{{}}}", items.join(", "))) }
}

pub(super) fn pg_stats_ext(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    let rights = Rights::of(&facts.catalog, facts.user.oid);
    let schema = |oid: Oid| facts.catalog.schemas.get(&oid).map_or("", |schema| schema.name.as_str());
    for (relation, extended) in objects(facts) {
        let Some(found) = found(relation, extended) else { continue };
        let readable = |attribute: &i16| rights.has_on_column(relation, *attribute, Privileges::SELECT);
        if !extended.attributes.iter().all(readable) {
            continue;
        }
        let names = column_names(relation, extended);
        let owner = facts.catalog.roles.get(&extended.owner).map_or("", |role| role.name.as_str());
        let (mut values, mut nulls, mut frequencies, mut bases) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for one in &found.common {
            values.push(array_of(one.values.iter().map(Option::as_deref)));
            nulls.push(array_of(one.values.iter().map(|value| Some(if value.is_none() { "t" } else { "f" }))));
            frequencies.push(float_text(one.frequency));
            bases.push(float_text(one.base));
        }
        let list = |items: &[String]| match items {
            [] => Datum::Null,
            items => text(format!("{{{}}}", items.join(","))),
        };
        rows.add(&[
            ("schemaname", text(schema(relation.schema))),
            ("tablename", text(&relation.name)),
            ("statistics_schemaname", text(schema(extended.schema))),
            ("statistics_name", text(&extended.name)),
            ("statistics_owner", text(owner)),
            ("attnames", text(array_text(&names))),
            ("kinds", letters(extended)),
            ("inherited", Datum::Bool(false)),
            ("n_distinct", distinct_text(found)),
            ("dependencies", dependencies_text(found)),
            ("most_common_vals", list(&values)),
            ("most_common_val_nulls", list(&nulls)),
            ("most_common_freqs", list(&frequencies)),
            ("most_common_base_freqs", list(&bases)),
        ])?;
    }
    Ok(())
}

fn float_text(value: f64) -> String {
    let mut text = String::new();
    heliosdb_types::write_float8(value, &mut text);
    text
}

/// An array's text, NULLs among its items.
fn array_of<'a>(items: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut out = String::from("{");
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        match item {
            None => out.push_str("NULL"),
            Some(item) => {
                let plain = array_text([item]);
                out.push_str(plain.get(1..plain.len().saturating_sub(1)).unwrap_or_default());
            }
        }
    }
    out.push('}');
    out
}

fn column_names(relation: &Relation, extended: &ExtendedStatistics) -> Vec<String> {
    let name = |attribute: &i16| {
        let column = relation.columns.iter().find(|column| column.attribute == *attribute);
        column.map_or_else(String::new, |column| column.name.clone())
    };
    extended.attributes.iter().map(name).collect()
}

/// `a, b`
pub(super) fn columns_definition(facts: &Facts, object: Oid) -> Option<String> {
    let (relation, extended) = facts.catalog.extended(object)?;
    let names = column_names(relation, extended);
    Some(names.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", "))
}

/// The statement that makes it.
pub(super) fn definition(facts: &Facts, object: Oid) -> Option<String> {
    let (relation, extended) = facts.catalog.extended(object)?;
    let schema = facts.catalog.schemas.get(&extended.schema).map_or("", |schema| schema.name.as_str());
    let mut out = format!("CREATE STATISTICS {}.{}", quote_identifier(schema), quote_identifier(&extended.name));
    // All kinds are what no kind stands for.
    if extended.kinds.len() < StatisticsKind::ALL.len() {
        let kinds: Vec<&str> = extended.kinds.iter().map(|kind| kind.name()).collect();
        let _ = write!(out, " ({})", kinds.join(", "));
    }
    let table = facts.shown_name(relation.oid)?;
    let _ = write!(out, " ON {} FROM {table}", columns_definition(facts, object)?);
    Some(out)
}

/// Whether its name alone finds it; NULL: there is no such object.
pub(super) fn is_visible(facts: &Facts, object: Oid) -> Datum {
    let Some((_, extended)) = facts.catalog.extended(object) else { return Datum::Null };
    let schemas = facts.search_path.iter().filter_map(|schema| facts.catalog.schema_named(schema));
    let mut named = schemas.filter_map(|schema| facts.catalog.extended_names.get(&(schema.oid, extended.name.clone())));
    Datum::Bool(named.next() == Some(&object))
}
