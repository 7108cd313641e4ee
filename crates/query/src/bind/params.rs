//! Parameters `$1`, `$2`, ...: typed by their first context, as PostgreSQL does.
//!
//! A decided type travels in the placeholder's field metadata, because an Arrow type alone does not say which SQL type it is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use heliosdb_contracts::arrow_type;
use heliosdb_types::{Error, Result, SqlState, SqlType};

use super::plan::from_datafusion;
use crate::func::Typed;

const SQL_TYPE: &str = "heliosdb.sql_type";

/// The Arrow type a SQL type's values have in plans.
pub(crate) fn arrow_of(sql_type: &SqlType) -> DataType {
    sql_type.physical().map_or(DataType::Utf8View, arrow_type)
}

/// A placeholder (`$1`, or a reserved one such as `$__now`) whose type is decided.
pub fn placeholder(id: &str, sql_type: &SqlType) -> Typed {
    let sql_type = without_modifier(sql_type);
    let arrow = arrow_of(&sql_type);
    let encoded = serde_json::to_string(&sql_type).expect("a SqlType is plain data");
    let field = Field::new(id, arrow.clone(), true).with_metadata(HashMap::from([(SQL_TYPE.to_owned(), encoded)]));
    let expr = Expr::Placeholder(Placeholder { id: id.to_owned(), field: Some(Arc::new(field)) });
    Typed { expr, sql_type, arrow }
}

/// The type decided for a placeholder; `None` while it is open.
pub fn placeholder_type(placeholder: &Placeholder) -> Option<SqlType> {
    let encoded = placeholder.field.as_ref()?.metadata().get(SQL_TYPE)?;
    serde_json::from_str(encoded).ok()
}

/// A parameter has no length or precision: values are checked where they are assigned.
fn without_modifier(sql_type: &SqlType) -> SqlType {
    match sql_type {
        SqlType::Numeric(_) => SqlType::Numeric(None),
        SqlType::Varchar(_) => SqlType::Varchar(None),
        SqlType::Char(_) => SqlType::Char(None),
        SqlType::Time(_) => SqlType::Time(None),
        SqlType::Timestamp(_) => SqlType::Timestamp(None),
        SqlType::Timestamptz(_) => SqlType::Timestamptz(None),
        SqlType::Array(element) => SqlType::Array(Box::new(without_modifier(element))),
        other => other.clone(),
    }
}

/// The parameters of the statement being bound.
#[derive(Debug)]
pub(super) struct Params {
    types: Vec<Option<SqlType>>,
    /// How many of `types` are named in the text or declared.
    used: usize,
}

impl Params {
    pub fn new(types: Vec<Option<SqlType>>) -> Params {
        Params { used: types.len(), types }
    }

    /// The expression for `$n`.
    pub fn reference(&mut self, id: &str) -> Result<Typed> {
        let number = id
            .strip_prefix('$')
            .and_then(|digits| digits.parse::<usize>().ok())
            .filter(|number| (1..=65535).contains(number))
            .ok_or_else(|| Error::invalid(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {id}")))?;
        self.used = self.used.max(number);
        if self.types.len() < number {
            self.types.resize(number, None);
        }
        Ok(match self.types.get(number - 1) {
            Some(Some(sql_type)) => placeholder(id, sql_type),
            _ => Typed {
                expr: Expr::Placeholder(Placeholder { id: id.to_owned(), field: None }),
                sql_type: SqlType::Unknown,
                arrow: DataType::Utf8View,
            },
        })
    }

    /// Takes the types that a bound part of the statement decided for all that comes after it.
    pub fn learn(&mut self, plan: &LogicalPlan) -> Result<()> {
        learn(plan, &mut self.types)
    }

    pub fn into_types(mut self) -> Vec<Option<SqlType>> {
        self.types.truncate(self.used);
        self.types
    }
}

/// Fills open types with those the contexts of a bound plan decided.
pub(super) fn learn(plan: &LogicalPlan, types: &mut [Option<SqlType>]) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(write) = extension.node.as_any().downcast_ref::<crate::exec::RowWriteNode>()
        {
            for expr in write.other_expressions() {
                learn_from(expr, types)?;
            }
            if let Some(program) = write.conflict_program() {
                learn(program, types).map_err(crate::exec::to_datafusion)?;
            }
        }
        node.apply_expressions(|expr| learn_from(expr, types))
    })
    .map_err(from_datafusion)?;
    Ok(())
}

fn learn_from(expr: &Expr, types: &mut [Option<SqlType>]) -> datafusion::common::Result<TreeNodeRecursion> {
    expr.apply(|expr| {
        if let Expr::Placeholder(found) = expr
            && let Some(number) = found.id.strip_prefix('$').and_then(|n| n.parse::<usize>().ok())
            && let Some(slot @ None) = types.get_mut(number.wrapping_sub(1))
        {
            *slot = placeholder_type(found);
        }
        Ok(TreeNodeRecursion::Continue)
    })
}

/// Gives a type to a parameter (`None`: to each) that a plan leaves open: a select list whose columns something outside decides.
pub(super) fn decide(plan: LogicalPlan, id: Option<&str>, sql_type: &SqlType) -> Result<LogicalPlan> {
    let decided = |expr: Expr| {
        expr.transform_up(|expr| {
            Ok(match &expr {
                Expr::Placeholder(open) if open.field.is_none() && id.is_none_or(|id| *id == open.id) => {
                    Transformed::yes(placeholder(&open.id, sql_type).expr)
                }
                _ => Transformed::no(expr),
            })
        })
    };
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            decided(expr).map(|expr| expr.update_data(|expr| name.restore(expr)))
        })?;
        if node.transformed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
    });
    plan.map(|plan| plan.data).map_err(from_datafusion)
}

pub(super) fn all_known(types: &[Option<SqlType>]) -> Result<Vec<SqlType>> {
    let known = |(at, sql_type): (usize, &Option<SqlType>)| {
        sql_type.clone().ok_or_else(|| {
            let message = format!("could not determine data type of parameter ${}", at + 1);
            Error::invalid(SqlState::INDETERMINATE_DATATYPE, message)
        })
    };
    types.iter().enumerate().map(known).collect()
}
