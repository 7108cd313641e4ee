//! generate_series whose bounds are known only when it runs: parameters, columns of an outer query.
//!
//! The table is the whole range of integers in one direction; the bounds are a filter on it, which it takes back from the plan.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::functions_table::generate_series::{GenSeriesArgs, GenerateSeriesTable};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use heliosdb_types::Error;

use crate::exec::to_datafusion;

pub(super) const VALUE: &str = "value";
const NAME: &str = "generate_series";

/// Every bigint, one by one upwards or downwards, between the bounds a filter sets.
pub(super) struct OpenSeries {
    schema: SchemaRef,
    step: i64,
}

impl fmt::Debug for OpenSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenSeries({})", self.step)
    }
}

impl OpenSeries {
    /// `step` is 1 or -1.
    pub fn new(step: i64) -> OpenSeries {
        OpenSeries { schema: schema(), step }
    }
}

/// The schema of any series: one bigint.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Int64, true)]))
}

/// A series with known bounds; a NULL among them gives no rows.
pub(super) fn closed(start: Option<i64>, end: Option<i64>, step: Option<i64>) -> GenerateSeriesTable {
    let args = match (start, end, step) {
        (Some(start), Some(end), Some(step)) => {
            GenSeriesArgs::Int64Args { start, end, step, include_end: true, name: NAME }
        }
        _ => GenSeriesArgs::ContainsNull { name: NAME },
    };
    GenerateSeriesTable::new(schema(), args)
}

/// What one filter says of the bounds.
enum Bound {
    Least(i64),
    Most(i64),
    /// A comparison with NULL: no rows.
    Nothing,
}

fn bound(filter: &Expr) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    let (op, value) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) if column.name == VALUE => (*op, value),
        (Expr::Literal(value, _), Expr::Column(column)) if column.name == VALUE => (op.swap()?, value),
        _ => return None,
    };
    match (op, value) {
        (Operator::GtEq, ScalarValue::Int64(Some(value))) => Some(Bound::Least(*value)),
        (Operator::LtEq, ScalarValue::Int64(Some(value))) => Some(Bound::Most(*value)),
        (Operator::GtEq | Operator::LtEq, ScalarValue::Int64(None)) => Some(Bound::Nothing),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for OpenSeries {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match bound(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let (mut least, mut most, mut nothing): (Option<i64>, Option<i64>, bool) = (None, None, false);
        for bound in filters.iter().filter_map(bound) {
            match bound {
                Bound::Least(value) => least = Some(least.map_or(value, |before| before.max(value))),
                Bound::Most(value) => most = Some(most.map_or(value, |before| before.min(value))),
                Bound::Nothing => nothing = true,
            }
        }
        let series = match (least, most) {
            _ if nothing => closed(None, None, None),
            (Some(least), Some(most)) if self.step > 0 => closed(Some(least), Some(most), Some(1)),
            (Some(least), Some(most)) => closed(Some(most), Some(least), Some(-1)),
            _ => return Err(to_datafusion(Error::unsupported("generate_series of another relation's columns"))),
        };
        series.scan(session, projection, &[], limit).await
    }
}

/// Whether a provider never has rows, so that its scan can be planned as nothing.
pub(super) fn is_empty(provider: &Arc<dyn TableProvider>) -> bool {
    let provider: &dyn Any = provider.as_ref();
    provider.is::<datafusion::datasource::empty::EmptyTable>()
}
