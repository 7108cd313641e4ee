//! VALUES lists.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use heliosdb_types::{Error, Result};
use sqlparser::ast;

use super::binder::{Binder, BoundQuery, OutputColumn};
use super::from::refuse;
use super::plan::{from_datafusion, one_row};
use super::scope::{Clause, Scope};
use super::subquery::has_subquery;
use crate::func::{self, Typed};

impl Binder<'_> {
    pub fn bind_values(&mut self, values: &ast::Values) -> Result<BoundQuery> {
        let ast::Values { explicit_row, value_keyword, rows } = values;
        refuse(*explicit_row || *value_keyword, "ROW(...) in VALUES")?;
        let mut columns: Vec<Vec<Typed>> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let row = self.bind_values_row(&row.content)?;
            if at == 0 {
                columns.resize_with(row.len(), Vec::new);
            }
            if row.len() != columns.len() {
                return Err(Error::syntax("VALUES lists must all be the same length"));
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let mut unified = Vec::with_capacity(columns.len());
        for column in columns {
            let column = func::unify(column, "VALUES", self.func())?;
            unified.push(column.into_iter().map(|value| self.settle(value)).collect::<Result<Vec<_>>>()?);
        }
        self.values_plan(unified)
    }

    pub fn bind_values_row(&mut self, row: &[ast::Expr]) -> Result<Vec<Typed>> {
        self.in_level(Scope::default(), Clause::Values, |binder| {
            row.iter().map(|expr| binder.bind_expr(expr)).collect()
        })
    }

    /// Columns of equal length and type as a plan of rows named `column1`, `column2`, ...
    pub fn values_plan(&mut self, columns: Vec<Vec<Typed>>) -> Result<BoundQuery> {
        let outputs: Vec<_> = columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| {
                let first = column.first()?;
                let name = format!("column{}", at + 1);
                let expr = Expr::Column(Column::new_unqualified(name.clone()));
                Some(OutputColumn { name, value: Typed { expr, ..first.clone() }, origin: None })
            })
            .collect();
        let fields: Vec<Field> = columns
            .iter()
            .zip(&outputs)
            .map(|(column, output)| {
                let known = column.iter().map(|value| &value.arrow).find(|arrow| **arrow != DataType::Null);
                Field::new(&output.name, known.cloned().unwrap_or(DataType::Null), true)
            })
            .collect();
        let rows = columns.first().map_or(0, Vec::len);
        let mut exprs: Vec<Vec<Expr>> = (0..rows).map(|_| Vec::with_capacity(columns.len())).collect();
        for column in columns {
            for (row, value) in exprs.iter_mut().zip(column) {
                row.push(value.expr);
            }
        }
        if rows == 1 || exprs.iter().flatten().any(has_subquery) {
            return self.union_of_rows(exprs, outputs);
        }
        let parameter = |expr: &Expr| expr.exists(|node| Ok(matches!(node, Expr::Placeholder(_)))).unwrap_or(true);
        let values = match exprs.iter().flatten().any(parameter) {
            // A parameter's field says more than a literal's, and the fields of a column must be alike.
            true => {
                let schema = DFSchema::from_unqualified_fields(fields.into(), HashMap::new());
                schema.and_then(|schema| LogicalPlanBuilder::values_with_schema(exprs, &Arc::new(schema)))
            }
            false => LogicalPlanBuilder::values(exprs),
        };
        let plan = values.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        Ok(BoundQuery { plan, columns: outputs })
    }

    /// Rows as projections of one empty row: what a Values node cannot hold (subqueries), and the cheap form of one row.
    fn union_of_rows(&mut self, rows: Vec<Vec<Expr>>, outputs: Vec<OutputColumn>) -> Result<BoundQuery> {
        let mut plan = None;
        for row in rows {
            let exprs = row.into_iter().zip(&outputs).map(|(expr, output)| expr.alias(&output.name));
            let one = LogicalPlanBuilder::new(one_row()).project(exprs).and_then(LogicalPlanBuilder::build);
            let one = one.map_err(from_datafusion)?;
            plan = Some(match plan {
                None => LogicalPlanBuilder::new(one),
                Some(before) => LogicalPlanBuilder::union(before, one).map_err(from_datafusion)?,
            });
        }
        let plan = plan.ok_or_else(|| Error::internal("VALUES without rows"))?;
        Ok(BoundQuery { plan: plan.build().map_err(from_datafusion)?, columns: outputs })
    }
}
