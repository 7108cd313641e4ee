//! The 22 TPC-H queries bind and run.

use heliosdb_types::SqlType;

use super::bench::Sql;
use crate::catalog::Relation;
use crate::testing::relation;

const SCHEMA: &str = include_str!("../../../../testkit/tpch/schema.sql");

/// The tables of the schema file.
fn tables() -> Vec<Relation> {
    let mut tables = Vec::new();
    for statement in crate::bind::parse(SCHEMA).unwrap() {
        let sqlparser::ast::Statement::CreateTable(table) = statement.statement else { continue };
        let (_, name) = crate::bind::object_name(&table.name).unwrap();
        let columns: Vec<(String, SqlType)> = table
            .columns
            .iter()
            .map(|column| {
                (
                    column.name.value.clone(),
                    crate::func::type_from_ast(&column.data_type, &crate::func::NoNames).unwrap(),
                )
            })
            .collect();
        let columns: Vec<(&str, SqlType)> = columns.iter().map(|(name, t)| (name.as_str(), t.clone())).collect();
        let key = if name == "lineitem" || name == "partsupp" { vec![] } else { vec![columns[0].0] };
        let mut table = relation(&name, &columns, &key);
        table.columns.iter_mut().for_each(|column| column.not_null = true);
        tables.push(table);
    }
    tables
}

fn query(number: usize) -> String {
    let path = format!("{}/../testkit/tpch/q{number:02}.sql", env!("CARGO_MANIFEST_DIR"));
    #[allow(clippy::disallowed_methods)]
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn all_queries_bind_and_run() {
    let sql = Sql::new(tables());
    let mut failed = Vec::new();
    for number in 1..=22 {
        let text = query(number);
        let plan =
            sql.bind(text.trim().trim_end_matches(';'), &[]).map(|bound| bound.plan.display_indent().to_string());
        if plan.is_ok_and(|plan| plan.contains("__domain")) {
            failed.push(format!("q{number:02}: a plain subquery is unnested the general, dearer way"));
        }
        if let Err(error) = sql.run(text.trim().trim_end_matches(';'), Vec::new()) {
            failed.push(format!("q{number:02}: {}", super::bench::error_text(&error)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
