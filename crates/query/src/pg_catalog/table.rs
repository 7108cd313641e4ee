//! A virtual table: rows made anew from the facts of the statement that scans it.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session as DfSession, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use heliosdb_contracts::{ShardClient, arrow_type};
use heliosdb_types::{ColumnId, Datum, Error, Oid, PhysicalType, RegKind, Result, SqlType, TextContext, parse_text};

use super::Facts;
use super::shapes::Shape;
use crate::catalog::{
    Acl, Column, Identity, ObjectKind, PUBLIC, Privileges, Relation, RelationAccess, RelationKind, VirtualTable,
};
use crate::exec::{StatementScope, array_of, from_arrow, to_datafusion};

/// What a table's rows are made from.
pub(super) struct Source<'a> {
    pub facts: &'a Facts,
    pub shard: &'a dyn ShardClient,
}

/// Makes the rows of one table.
pub(super) type Fill = fn(&Source<'_>, &mut Rows) -> Result<()>;

struct Spec {
    name: &'static str,
    sql_type: SqlType,
    not_null: bool,
}

/// Rows under construction: a value per named column, the type's zero (NOT NULL) or NULL for the others.
pub(super) struct Rows {
    specs: Arc<Vec<Spec>>,
    rows: Vec<Vec<Datum>>,
}

impl Rows {
    pub fn add(&mut self, values: &[(&str, Datum)]) -> Result<()> {
        let mut row: Vec<Datum> = self.specs.iter().map(blank).collect();
        for (name, value) in values {
            let at = self.specs.iter().position(|spec| spec.name == *name);
            let slot = at.and_then(|at| row.get_mut(at));
            let slot = slot.ok_or_else(|| Error::internal(format!("no catalog column \"{name}\"")))?;
            let spec = at.and_then(|at| self.specs.get(at));
            *slot = spec.map_or_else(|| Ok(value.clone()), |spec| stored(&spec.sql_type, value))?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// A whole row, to be kept and given to [`Rows::extend`].
    pub fn row(&mut self, values: &[(&str, Datum)]) -> Result<Vec<Datum>> {
        self.add(values)?;
        self.rows.pop().ok_or_else(|| Error::internal("a row that was just added"))
    }

    pub fn extend(&mut self, rows: &[Vec<Datum>]) {
        self.rows.extend_from_slice(rows);
    }

    /// A column's value from its text.
    pub fn parsed(&self, name: &str, text: Option<&str>) -> Result<Datum> {
        let Some(text) = text else { return Ok(Datum::Null) };
        let spec = self.specs.iter().find(|spec| spec.name == name);
        let spec = spec.ok_or_else(|| Error::internal(format!("no catalog column \"{name}\"")))?;
        match &spec.sql_type {
            // Also the text of vectors, which `add` turns into arrays.
            SqlType::Array(_) => Ok(Datum::Text(text.to_owned())),
            other => parse_text(other, text, &TextContext::default()),
        }
    }
}

/// Rows give arrays as their text, vectors as PostgreSQL's text of them.
pub(super) fn stored(sql_type: &SqlType, value: &Datum) -> Result<Datum> {
    match (sql_type, value) {
        // int2vector and oidvector: numbers with blanks between them, subscripts from 0.
        (SqlType::Array(_), Datum::Text(text)) if !text.trim_start().starts_with('{') => {
            let numbers: Vec<&str> = text.split_whitespace().collect();
            let Some(upper) = numbers.len().checked_sub(1) else {
                return parse_text(sql_type, "{}", &TextContext::default());
            };
            let literal = format!("[0:{upper}]={{{}}}", numbers.join(","));
            parse_text(sql_type, &literal, &TextContext::default())
        }
        (SqlType::Array(_), Datum::Text(text)) => parse_text(sql_type, text, &TextContext::default()),
        _ => Ok(value.clone()),
    }
}

fn blank(spec: &Spec) -> Datum {
    if !spec.not_null {
        return Datum::Null;
    }
    match spec.sql_type.physical() {
        Some(PhysicalType::Bool) => Datum::Bool(false),
        Some(PhysicalType::Int16) => Datum::Int16(0),
        Some(PhysicalType::Int32) => Datum::Int32(0),
        Some(PhysicalType::Int64) => Datum::Int64(0),
        Some(PhysicalType::Float32) => Datum::Float32(0.0),
        Some(PhysicalType::Text) => Datum::Text(String::new()),
        Some(PhysicalType::Bytes) => {
            stored(&spec.sql_type, &Datum::Text("{}".to_owned())).unwrap_or(Datum::Bytes(Vec::new()))
        }
        _ => Datum::Null,
    }
}

fn sql_type(name: &str) -> SqlType {
    let array = |element: SqlType| SqlType::Array(Box::new(element));
    match name {
        "bool" => SqlType::Bool,
        "int2" => SqlType::Int2,
        "int4" | "cardinal_number" => SqlType::Int4,
        "int8" | "xid" => SqlType::Int8,
        "float4" => SqlType::Float4,
        "float8" => SqlType::Float8,
        "oid" => SqlType::Oid,
        "name" | "sql_identifier" => SqlType::Name,
        "char" => SqlType::QuotedChar,
        "timestamptz" | "time_stamp" => SqlType::Timestamptz(None),
        "bytea" => SqlType::Bytea,
        "interval" => SqlType::Interval,
        "regproc" => SqlType::Reg(RegKind::Proc),
        "regtype" => SqlType::Reg(RegKind::Type),
        "character_data" => SqlType::Varchar(None),
        "yes_or_no" => SqlType::Varchar(Some(3)),
        "_text" | "_aclitem" => array(SqlType::Text),
        "_name" => array(SqlType::Name),
        "_char" => array(SqlType::QuotedChar),
        "_oid" | "oidvector" => array(SqlType::Oid),
        "_int2" | "int2vector" => array(SqlType::Int2),
        "_bool" => array(SqlType::Bool),
        "_float8" => array(SqlType::Float8),
        // pg_node_tree, anyarray, inet, pg_lsn: shown as their text.
        _ => SqlType::Text,
    }
}

fn arrow(sql_type: &SqlType) -> DataType {
    sql_type.physical().map_or(DataType::Utf8View, arrow_type)
}

/// A virtual table's provider.
pub(super) struct PgTable {
    name: &'static str,
    specs: Arc<Vec<Spec>>,
    schema: SchemaRef,
    fill: Fill,
}

impl fmt::Debug for PgTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgTable({})", self.name)
    }
}

/// The relation of a virtual table; without a fill it has no rows, and the binder may know.
pub(super) fn relation(shape: &Shape, schema: Oid, owner: Oid, fill: Option<Fill>) -> Arc<Relation> {
    let specs: Vec<Spec> = shape
        .columns
        .split_whitespace()
        .filter_map(|column| column.split_once(':'))
        .map(|(name, type_name)| Spec {
            name,
            sql_type: sql_type(type_name.trim_end_matches('!')),
            not_null: type_name.ends_with('!'),
        })
        .collect();
    let fields: Vec<Field> = specs.iter().map(|spec| Field::new(spec.name, arrow(&spec.sql_type), true)).collect();
    let vectors: Vec<bool> = shape
        .columns
        .split_whitespace()
        .map(|column| {
            let column = column.trim_end_matches('!');
            column.ends_with("vector") || column.ends_with(":_aclitem")
        })
        .collect();
    let columns = specs.iter().zip(1i16..).map(|(spec, attribute)| Column {
        attribute,
        id: ColumnId(attribute as u32),
        name: spec.name.to_owned(),
        sql_type: match &spec.sql_type {
            SqlType::Array(element) if vectors.get(attribute as usize - 1) == Some(&true) => {
                SqlType::CatalogVector(element.clone())
            }
            other => other.clone(),
        },
        not_null: spec.not_null,
        default: None,
        identity: Identity::No,
        generated: false,
    });
    let columns = columns.collect();
    let fields = Arc::new(Schema::new(fields));
    let provider: Arc<dyn TableProvider> = match fill {
        Some(fill) => Arc::new(PgTable { name: shape.name, specs: Arc::new(specs), schema: fields, fill }),
        None => Arc::new(EmptyTable::new(fields)),
    };
    Arc::new(Relation {
        oid: Oid(shape.oid),
        schema,
        name: shape.name.to_owned(),
        owner,
        columns,
        kind: RelationKind::Virtual(VirtualTable { provider }),
        access: RelationAccess { acl: Some(access(shape, owner)), ..RelationAccess::default() },
    })
}

/// Everybody reads the catalog, but for passwords.
fn access(shape: &Shape, owner: Oid) -> Acl {
    let mut acl = Acl::default_of(ObjectKind::Table, owner);
    if shape.public {
        acl.grant(PUBLIC, owner, Privileges::SELECT, false);
    }
    acl
}

impl PgTable {
    fn batch(&self, scope: &StatementScope) -> Result<RecordBatch> {
        let facts = scope.facts.as_ref().ok_or_else(|| Error::internal("a catalog table outside of a session"))?;
        let mut rows = Rows { specs: Arc::clone(&self.specs), rows: Vec::new() };
        let source = Source { facts, shard: &*scope.shard };
        (self.fill)(&source, &mut rows)?;
        let arrays = self.specs.iter().enumerate().map(|(at, spec)| {
            let physical = spec.sql_type.physical().unwrap_or(PhysicalType::Text);
            array_of(physical, rows.rows.iter().filter_map(|row| row.get(at)).map(Datum::as_ref))
        });
        RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect::<Result<_>>()?).map_err(from_arrow)
    }
}

#[async_trait]
impl TableProvider for PgTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn DfSession,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let scope = StatementScope::of(state.config()).map_err(to_datafusion)?;
        let batch = self.batch(&scope).map_err(to_datafusion)?;
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&self.schema), projection.cloned())?;
        Ok(plan)
    }
}

pub(super) fn oid(value: Oid) -> Datum {
    Datum::Int64(i64::from(value.0))
}

pub(super) fn text(value: impl Into<String>) -> Datum {
    Datum::Text(value.into())
}

/// `{a,b}`, elements quoted where they must be.
pub(crate) fn array_text<T: AsRef<str>>(elements: impl IntoIterator<Item = T>) -> String {
    let quoted = elements.into_iter().map(|element| {
        let element = element.as_ref();
        let plain = !element.is_empty()
            && !element.eq_ignore_ascii_case("null")
            && !element.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | '"' | '\\'));
        if plain { element.to_owned() } else { format!("\"{}\"", element.replace('\\', "\\\\").replace('"', "\\\"")) }
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}
