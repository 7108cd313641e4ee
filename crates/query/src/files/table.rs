//! Files as DataFusion sees a table.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use heliosdb_contracts::arrow_type;
use heliosdb_files::{FileColumn, plain_name};
use heliosdb_types::{ColumnId, Error, Oid, Result};

use super::look::FileRequest;
use super::rights::FileRights;
use super::scan::FileScanExec;
use super::source::FileSource;
use crate::catalog::{Column, Identity, Relation, RelationAccess, RelationKind, VirtualTable};
use crate::exec::{StatementScope, to_datafusion, translate};

/// How the text was found to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub delimiter: u8,
    pub header: bool,
    /// The types are those of all rows.
    pub complete: bool,
}

/// Files with the columns found in them.
pub(crate) struct FileTable {
    pub request: FileRequest,
    pub rights: FileRights,
    pub columns: Vec<FileColumn>,
    pub text: Option<Text>,
    pub schema: SchemaRef,
    /// A guess, for the order of joins.
    pub rows: u64,
}

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileTable({})", self.request.pattern)
    }
}

impl FileTable {
    pub fn new(
        request: FileRequest,
        rights: FileRights,
        columns: Vec<FileColumn>,
        text: Option<Text>,
        rows: u64,
    ) -> Result<FileTable> {
        let field = |column: &FileColumn| {
            let physical = column.sql_type.physical().ok_or_else(|| Error::internal("a type without storage"))?;
            Ok(Field::new(&column.name, arrow_type(physical), true))
        };
        let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
        Ok(FileTable { request, rights, columns, text, schema: Arc::new(Schema::new(fields)), rows })
    }

    /// What the table is called where it has no alias: after the file.
    pub fn name(&self) -> String {
        let name = self.request.pattern.rsplit('/').next().unwrap_or_default();
        plain_name(name.split('.').next().unwrap_or_default(), "file")
    }

    /// The columns as a relation's, numbered from 0, for whoever translates conditions on them.
    fn relation(&self) -> Relation {
        let column = |(at, column): (usize, &FileColumn)| Column {
            attribute: i16::try_from(at + 1).unwrap_or(i16::MAX),
            id: ColumnId(u32::try_from(at).unwrap_or(u32::MAX)),
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            not_null: false,
            default: None,
            identity: Identity::No,
            generated: false,
        };
        Relation {
            oid: Oid(0),
            schema: Oid(0),
            name: self.name(),
            owner: Oid(0),
            columns: self.columns.iter().enumerate().map(column).collect(),
            kind: RelationKind::Virtual(VirtualTable {
                provider: Arc::new(datafusion::datasource::empty::EmptyTable::new(Arc::clone(&self.schema))),
            }),
            access: RelationAccess::default(),
        }
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// What can be said of row groups is said there; the rows are tested above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let relation = self.relation();
        let support = |filter: &&Expr| match translate(filter, &relation) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let scope = StatementScope::of(state.config()).map_err(to_datafusion)?;
        let relation = self.relation();
        let tests = filters.iter().filter_map(|filter| translate(filter, &relation)).flatten().collect();
        let shown = filters.iter().map(|filter| filter.human_display().to_string()).collect();
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let partitions = if scope.in_order { 1 } else { state.config().target_partitions().max(1) };
        let source = FileSource {
            name: self.name(),
            request: self.request.clone(),
            columns: self.columns.clone(),
            text: self.text,
            projection: projection.unwrap_or(&all).clone(),
            tests,
            filters: shown,
            limit,
            batch_rows: state.config().batch_size(),
            scope,
        };
        let stop = source.scope.cancel.clone();
        let files = self.request.files(&self.rights, &|| stop.check()).map_err(to_datafusion)?;
        Ok(Arc::new(FileScanExec::open(source, &self.schema, &files, partitions).map_err(to_datafusion)?))
    }
}
