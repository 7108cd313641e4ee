//! Catalog rows that are the same in every database: built-in types, functions, operators, casts (`data/*.tsv`).

use std::sync::{LazyLock, OnceLock};

use heliosdb_types::{Datum, Error, Oid, Result, SqlType};

use super::table::{Rows, Source, oid};
use crate::catalog::{PG_CATALOG, POSTGRES_ROLE};

type Cells = Vec<Vec<Option<&'static str>>>;

/// A file's column names and cells.
pub(super) struct Fixed {
    pub columns: Vec<&'static str>,
    pub cells: Cells,
}

impl Fixed {
    fn read(text: &'static str) -> Fixed {
        let mut lines = text.lines();
        let columns = lines.next().unwrap_or("").split('\t').collect();
        let cell = |cell: &'static str| (cell != "\\N").then_some(cell);
        Fixed { columns, cells: lines.map(|line| line.split('\t').map(cell).collect()).collect() }
    }

    pub fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|column| *column == name).unwrap_or(usize::MAX)
    }
}

macro_rules! files {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Fixed> = LazyLock::new(|| Fixed::read(include_str!($file)));)*
    };
}

files! {
    TYPE = "data/pg_type.tsv";
    PROC = "data/pg_proc.tsv";
    OPERATOR = "data/pg_operator.tsv";
    CAST = "data/pg_cast.tsv";
    OPCLASS = "data/pg_opclass.tsv";
    OPFAMILY = "data/pg_opfamily.tsv";
    AGGREGATE = "data/pg_aggregate.tsv";
}

/// Adds a file's rows, parsed once.
fn add(
    rows: &mut Rows,
    file: &'static Fixed,
    parsed: &'static OnceLock<Vec<Vec<Datum>>>,
    same: &[(&'static str, Datum)],
) -> Result<()> {
    if parsed.get().is_none() {
        let read = file.cells.iter().map(|cells| {
            let named = file.columns.iter().zip(cells);
            let mut values = Vec::with_capacity(cells.len() + same.len());
            for (name, cell) in named {
                values.push((*name, rows.parsed(name, *cell)?));
            }
            values.extend(same.iter().cloned());
            rows.row(&values)
        });
        let read = read.collect::<Result<Vec<_>>>()?;
        let _ = parsed.set(read);
    }
    let all = parsed.get().ok_or_else(|| Error::internal("rows that were just read"))?;
    rows.extend(all);
    Ok(())
}

macro_rules! fills {
    ($($fill:ident = $file:ident, [$(($name:literal, $value:expr)),*];)*) => {
        $(pub(super) fn $fill(_source: &Source<'_>, rows: &mut Rows) -> Result<()> {
            static PARSED: OnceLock<Vec<Vec<Datum>>> = OnceLock::new();
            add(rows, &$file, &PARSED, &[$(($name, $value)),*])
        })*
    };
}

fills! {
    pg_type_builtin = TYPE, [
        ("typnamespace", oid(PG_CATALOG)), ("typowner", oid(POSTGRES_ROLE)), ("typisdefined", Datum::Bool(true)),
        ("typnotnull", Datum::Bool(false))
    ];
    pg_proc = PROC, [("pronamespace", oid(PG_CATALOG)), ("proowner", oid(POSTGRES_ROLE))];
    pg_operator = OPERATOR, [("oprnamespace", oid(PG_CATALOG)), ("oprowner", oid(POSTGRES_ROLE))];
    pg_cast = CAST, [];
    pg_opclass = OPCLASS, [("opcnamespace", oid(PG_CATALOG)), ("opcowner", oid(POSTGRES_ROLE))];
    pg_opfamily = OPFAMILY, [("opfnamespace", oid(PG_CATALOG)), ("opfowner", oid(POSTGRES_ROLE))];
    pg_aggregate = AGGREGATE, [];
}

/// A column of the function with this OID.
fn proc_cell(function: Oid, column: &str) -> Option<&'static str> {
    let (key, wanted) = (PROC.column("oid"), PROC.column(column));
    let text = function.0.to_string();
    let row = PROC.cells.iter().find(|cells| cells.get(key).copied().flatten() == Some(text.as_str()))?;
    row.get(wanted).copied().flatten()
}

pub(super) fn function_name(function: Oid) -> Option<&'static str> {
    proc_cell(function, "proname")
}

/// The functions of a name.
pub(super) fn functions_named(name: &str) -> Vec<Oid> {
    let (key, wanted) = (PROC.column("oid"), PROC.column("proname"));
    let named = PROC.cells.iter().filter(|cells| cells.get(wanted).copied().flatten() == Some(name));
    named.filter_map(|cells| cells.get(key).copied().flatten()?.parse().ok().map(Oid)).collect()
}

/// Argument types of a function as `format_type` writes them.
pub(super) fn function_arguments(function: Oid) -> Option<String> {
    let types = proc_cell(function, "proargtypes")?;
    let names = types.split_whitespace().map(|oid| type_name(Oid(oid.parse().unwrap_or(0))));
    Some(names.collect::<Vec<_>>().join(", "))
}

pub(super) fn function_result(function: Oid) -> Option<String> {
    let result = type_name(Oid(proc_cell(function, "prorettype")?.parse().ok()?));
    let set = proc_cell(function, "proretset")? == "t";
    Some(if set { format!("SETOF {result}") } else { result })
}

/// A built-in type's name as `format_type` writes it.
pub(super) fn type_name(oid: Oid) -> String {
    if let Some(sql_type) = SqlType::from_oid(oid) {
        return match sql_type {
            SqlType::Char(None) => "character".to_owned(),
            other => other.name(),
        };
    }
    let (key, wanted) = (TYPE.column("oid"), TYPE.column("typname"));
    let text = oid.to_string();
    let row = TYPE.cells.iter().find(|cells| cells.get(key).copied().flatten() == Some(text.as_str()));
    let name = row.and_then(|cells| cells.get(wanted).copied().flatten());
    match name {
        Some("char") => "\"char\"".to_owned(),
        Some(name) => match name.strip_prefix('_') {
            Some(element) => format!("{element}[]"),
            None => name.to_owned(),
        },
        None => "???".to_owned(),
    }
}

/// The default B-tree operator class of a type.
pub(super) fn btree_class(sql_type: &SqlType) -> Oid {
    let accepted = match sql_type {
        SqlType::Varchar(_) => 25,
        SqlType::Array(_) => 2277,
        SqlType::Enum(_) => 3500,
        SqlType::Reg(_) => 26,
        other => other.oid().0,
    };
    let (key, wanted, default) = (OPCLASS.column("oid"), OPCLASS.column("opcintype"), OPCLASS.column("opcdefault"));
    let text = accepted.to_string();
    let fits = |cells: &&Vec<Option<&'static str>>| {
        let cell = |at: usize| cells.get(at).copied().flatten();
        cell(wanted) == Some(text.as_str()) && cell(default) == Some("t")
    };
    let row = OPCLASS.cells.iter().find(fits);
    row.and_then(|cells| cells.get(key).copied().flatten()?.parse().ok()).map_or(Oid(0), Oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_functions_and_classes() {
        assert_eq!(function_name(Oid(31)), Some("byteaout"));
        assert_eq!(btree_class(&SqlType::Int4), Oid(1978));
        assert_eq!(btree_class(&SqlType::Varchar(Some(3))), Oid(3126));
        assert!(!functions_named("lower").is_empty());
        for file in [&*TYPE, &*PROC, &*OPERATOR, &*CAST, &*OPCLASS, &*OPFAMILY, &*AGGREGATE] {
            assert!(file.cells.iter().all(|cells| cells.len() == file.columns.len()));
        }
    }
}
