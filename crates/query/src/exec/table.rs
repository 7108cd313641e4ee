//! A table as DataFusion sees it. Holds no snapshot: that comes with the statement that scans.

use std::any::Any;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraint, Constraints, DFSchema, Result as DfResult};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use heliosdb_contracts::{ROW_REF_COLUMN, arrow_type};
use heliosdb_types::{Error, Result};

use super::cardinality::over;
use super::error::to_datafusion;
use super::index::{IndexWrite, TableKeys, bare, split};
use super::pushdown::translate;
use super::scan::{HeliosScanExec, ScanSource};
use super::scope::StatementScope;
use crate::catalog::Relation;

/// The provider of a table's live columns, named by column name.
#[derive(Debug)]
pub struct HeliosTable {
    relation: Arc<Relation>,
    schema: SchemaRef,
    constraints: Constraints,
    keys: Arc<TableKeys>,
}

impl HeliosTable {
    pub fn new(relation: Arc<Relation>) -> Result<HeliosTable> {
        if relation.table().is_none() {
            return Err(Error::internal(format!("\"{}\" is not a table", relation.name)));
        }
        let field = |column: &crate::catalog::Column| {
            let physical = column.sql_type.physical();
            let physical = physical.ok_or_else(|| Error::internal(format!("column {} has no storage", column.name)))?;
            Ok(Field::new(&column.name, arrow_type(physical), !column.not_null))
        };
        let fields = relation.columns.iter().map(field).collect::<Result<Vec<_>>>()?;
        let constraints = constraints(&relation);
        let keys = Arc::new(TableKeys::new(&relation, &[]));
        Ok(HeliosTable { schema: Arc::new(Schema::new(fields)), relation, constraints, keys })
    }

    /// The same, to be found through indexes on expressions and partial ones too.
    pub fn with_indexes(mut self, bound: &[IndexWrite]) -> HeliosTable {
        if !bound.is_empty() {
            self.keys = Arc::new(TableKeys::new(&self.relation, bound));
        }
        self
    }

    pub(crate) fn keys(&self) -> &TableKeys {
        &self.keys
    }

    /// The same with the hidden row reference (`contracts::ROW_REF_COLUMN`) as the last column.
    pub fn with_row_ref(mut self) -> HeliosTable {
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        if fields.len() == self.relation.columns.len() {
            fields.push(Arc::new(Field::new(ROW_REF_COLUMN, DataType::BinaryView, false)));
        }
        self.schema = Arc::new(Schema::new(fields));
        self
    }

    /// What a scan reads, if it is one of our tables.
    pub(super) fn relation_of(scan: &TableScan) -> Option<Arc<Relation>> {
        let provider = source_as_provider(&scan.source).ok()?;
        let table = (provider.as_ref() as &dyn Any).downcast_ref::<HeliosTable>()?;
        Some(Arc::clone(table.relation()))
    }

    pub fn relation(&self) -> &Arc<Relation> {
        &self.relation
    }
}

/// Only what is enforced: the primary key.
fn constraints(relation: &Relation) -> Constraints {
    let key = relation.table().and_then(|table| table.primary_key.as_ref());
    let positions = key.map(|key| {
        let position = |attribute: &i16| relation.columns.iter().position(|c| c.attribute == *attribute);
        key.attributes.iter().filter_map(position).collect::<Vec<_>>()
    });
    match positions {
        Some(positions) if !positions.is_empty() => {
            Constraints::new_unverified(vec![Constraint::PrimaryKey(positions)])
        }
        _ => Constraints::default(),
    }
}

#[async_trait]
impl TableProvider for HeliosTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match translate(filter, &self.relation) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None if self.keys.can_use(&self.relation, filter) => TableProviderFilterPushDown::Inexact,
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
        let (mut predicates, mut shown, mut conjuncts, mut exact) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for filter in filters {
            let mut parts = Vec::new();
            split(filter, &mut parts);
            conjuncts.extend(parts.into_iter().map(|part| bare(part.clone())));
            match translate(filter, &self.relation) {
                Some(translated) => {
                    predicates.extend(translated);
                    shown.push(filter.human_display().to_string());
                    exact.push(bare(filter.clone()));
                }
                // It stays above.
                None if self.keys.can_use(&self.relation, filter) => {}
                // Unsupported filters never arrive; a dropped one would be a wrong answer.
                None => return Err(to_datafusion(Error::internal(format!("a scan cannot evaluate {filter}")))),
            }
        }
        let conditions = self.keys.conditions(&self.relation, &conjuncts);
        let mut estimated_by = Vec::with_capacity(exact.len());
        // Only what ANALYZE has looked at is estimated so.
        if self.relation.table().is_some_and(|table| table.statistics.is_some()) {
            let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
            estimated_by.extend(exact.iter().filter_map(|filter| over(filter, &schema)));
        }
        let target_partitions = if scope.in_order { 1 } else { state.config().target_partitions() };
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let source = ScanSource {
            scope,
            relation: Arc::clone(&self.relation),
            schema: Arc::clone(&self.schema),
            projection: projection.unwrap_or(&all).clone(),
            predicates,
            keys: Arc::clone(&self.keys),
            conjuncts: Arc::new(conjuncts),
            conditions,
            exact: estimated_by,
            filters: shown,
            limit,
            target_partitions,
            batch_rows: state.config().batch_size(),
        };
        Ok(Arc::new(HeliosScanExec::open(source).map_err(to_datafusion)?))
    }
}
