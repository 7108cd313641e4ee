//! `a + b - c * ...` with hundreds of operators, as one flat call.
//!
//! Nested calls are as deep as such a chain is long, and what names and rewrites plans takes time that grows much faster than
//! that depth. Here each operator is a step over two columns, what came of the steps before and its right operand; the
//! call's arguments are the operands that are no literals.
//! Invariants: a step holds no parameter, no subquery and nothing volatile - those are arguments, where plans look for them;
//! literals are folded as in nested calls, so that a chain of constants is a constant.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use heliosdb_types::{Error, Result};
use sha2::{Digest, Sha256};
use sqlparser::ast::BinaryOperator;

use super::udf::Function;
use super::{FuncContext, Typed, binary};
use crate::exec::{from_arrow, from_datafusion};

/// What came of the steps before.
const BEFORE: &str = "\u{1}before";

/// A chain that grows to the right.
pub struct Chain {
    /// What it gives so far: an expression until the first step, then a column of the next one.
    value: Typed,
    /// The call's arguments: the value before the first step, then operands; and their types.
    arguments: Vec<(Expr, DataType)>,
    steps: Vec<Step>,
    /// Tells this chain from every other of the same arguments.
    key: String,
}

/// One operator.
struct Step {
    computes: Arc<dyn PhysicalExpr>,
    schema: Arc<Schema>,
    /// Arguments by number, the columns after [`BEFORE`].
    arguments: Vec<usize>,
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

impl Chain {
    pub fn new(first: Typed) -> Chain {
        Chain { value: first, arguments: Vec::new(), steps: Vec::new(), key: String::new() }
    }

    /// One operator more.
    pub fn push(&mut self, op: &BinaryOperator, right: Typed, ctx: &FuncContext) -> Result<()> {
        if self.steps.is_empty() {
            if self.value.is_unknown() || self.value.is_literal() {
                // Literals fold; a parameter gets its type from here.
                self.value = binary(op, self.value.clone(), right, ctx)?;
                return Ok(());
            }
            self.arguments.push((self.value.expr.clone(), self.value.arrow.clone()));
        }
        let before = Typed { expr: column(BEFORE), ..self.value.clone() };
        let mut fields = vec![Field::new(BEFORE, before.arrow.clone(), true)];
        let mut taken = Vec::new();
        let inline = right.is_unknown() || right.is_literal();
        let right = if inline { right } else { self.argument(right, &mut fields, &mut taken) };
        let result = binary(op, before, right, ctx)?;
        let computed = self.without_parameters(result.expr, &mut fields, &mut taken)?;
        // Writing to a String cannot fail.
        let _ = write!(self.key, "{computed:?};");
        let schema = Arc::new(Schema::new(fields));
        let described = DFSchema::try_from(Arc::clone(&schema)).map_err(from_datafusion)?;
        let planning = PhysicalPlanningContext::default();
        let computes = create_physical_expr(&computed, &described, &ExecutionProps::new(), &planning);
        self.steps.push(Step { computes: computes.map_err(from_datafusion)?, schema, arguments: taken });
        self.value = Typed { expr: column(BEFORE), sql_type: result.sql_type, arrow: result.arrow };
        Ok(())
    }

    /// An operand as the step's next column.
    fn argument(&mut self, operand: Typed, fields: &mut Vec<Field>, taken: &mut Vec<usize>) -> Typed {
        let Typed { expr, sql_type, arrow } = operand;
        let name = self.take(expr, arrow.clone(), fields, taken);
        Typed { expr: column(&name), sql_type, arrow }
    }

    fn take(&mut self, expr: Expr, arrow: DataType, fields: &mut Vec<Field>, taken: &mut Vec<usize>) -> String {
        let name = format!("\u{1}{}", fields.len());
        fields.push(Field::new(&name, arrow.clone(), true));
        taken.push(self.arguments.len());
        self.arguments.push((expr, arrow));
        name
    }

    /// Parameters, whose values come later, and the statement's time as arguments.
    fn without_parameters(&mut self, expr: Expr, fields: &mut Vec<Field>, taken: &mut Vec<usize>) -> Result<Expr> {
        let lifted = expr.transform_up(|expr| {
            let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
            let Some(arrow) = placeholder.field.as_ref().map(|field| field.data_type().clone()) else {
                let error = Error::internal("a parameter without a type beside an operator");
                return Err(crate::exec::to_datafusion(error));
            };
            Ok(Transformed::yes(column(&self.take(expr, arrow, fields, taken))))
        });
        lifted.map(|lifted| lifted.data).map_err(from_datafusion)
    }

    /// The whole chain.
    pub fn finish(self) -> Typed {
        let Chain { value, arguments, steps, key } = self;
        if steps.is_empty() {
            return value;
        }
        let digest = Sha256::digest(key.as_bytes());
        let mut name = format!("{} ", steps.len());
        for byte in digest.as_slice() {
            let _ = write!(name, "{byte:02x}");
        }
        let (arguments, types): (Vec<Expr>, Vec<DataType>) = arguments.into_iter().unzip();
        let function =
            Function::arrays("chain", name, value.arrow.clone(), move |arrays, rows| run(&steps, &types, arrays, rows));
        Typed { expr: function.call(arguments), ..value }
    }
}

fn run(steps: &[Step], types: &[DataType], arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let argument = |at: usize| match (arrays.get(at), types.get(at)) {
        // Optimiser rules try columns of no type, to see what NULL gives.
        (Some(array), Some(wanted)) if array.data_type() == &DataType::Null => Ok(new_null_array(wanted, rows)),
        (Some(array), Some(_)) => Ok(Arc::clone(array)),
        _ => Err(Error::internal("a chain of operators lacks an operand")),
    };
    let mut before = argument(0)?;
    for step in steps {
        let mut columns = vec![before];
        for at in &step.arguments {
            columns.push(argument(*at)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&step.schema), columns, &options);
        let value = step.computes.evaluate(&batch.map_err(from_arrow)?).map_err(from_datafusion)?;
        before = value.into_array(rows).map_err(from_datafusion)?;
    }
    Ok(before)
}
