//! GROUP BY: expressions, output names and numbers, GROUPING SETS, ROLLUP, CUBE.

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{Expr, ExprSchemable};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Spanned};

use super::aggregate::{contains_aggregate, contains_window};
use super::binder::Binder;
use super::from::refuse;
use super::plan::Item;
use super::unnest::free_references;
use crate::func::{self, FuncContext, Typed};

/// What GROUP BY says; empty when there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Grouping {
    /// GROUP BY was written, perhaps as `GROUP BY ()`.
    pub present: bool,
    /// As DataFusion's Aggregate takes them: plain expressions and grouping sets.
    pub exprs: Vec<Expr>,
    /// Every distinct plain expression, also those inside sets.
    pub keys: Vec<Expr>,
    /// Keys that are grouped by what they compare by (numeric with display scale, interval).
    pub shown: Vec<Shown>,
}

/// A key that is grouped by another expression.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub key: Expr,
    /// What is grouped by.
    pub compared: Expr,
    /// The aggregate that picks the value of the group to show.
    pub value: Expr,
    /// Only grouping sets have it, so that some may leave it out.
    pub in_sets: bool,
}

impl Grouping {
    fn key(&mut self, value: Typed) {
        if !self.keys.contains(&value.expr) {
            self.keys.push(value.expr);
        }
    }

    /// What to group by for a key.
    fn compared(&mut self, value: Typed, in_sets: bool, ctx: &FuncContext) -> Result<Expr> {
        func::check_comparable(&value, false)?;
        let compared = func::sort_key(&value);
        if compared != value.expr {
            match self.shown.iter_mut().find(|shown| shown.key == value.expr) {
                Some(shown) => shown.in_sets &= in_sets,
                None => {
                    let (key, smallest) = (value.expr.clone(), func::one_of_equals(value.clone(), ctx)?.expr);
                    self.shown.push(Shown { key, compared: compared.clone(), value: smallest, in_sets });
                }
            }
        }
        self.key(value);
        Ok(compared)
    }

    fn plain(&mut self, value: Typed, ctx: &FuncContext) -> Result<()> {
        let compared = self.compared(value, false, ctx)?;
        if !self.exprs.contains(&compared) {
            self.exprs.push(compared);
        }
        Ok(())
    }
}

impl Binder<'_> {
    pub fn bind_group_by(&mut self, group_by: &ast::GroupByExpr, items: &[Item]) -> Result<Grouping> {
        let ast::GroupByExpr::Expressions(exprs, modifiers) = group_by else {
            return Err(Error::unsupported("GROUP BY ALL"));
        };
        refuse(!modifiers.is_empty(), "GROUP BY ... WITH")?;
        let mut grouping = Grouping { present: !exprs.is_empty(), ..Grouping::default() };
        let mut pending = exprs.iter().collect::<std::collections::VecDeque<_>>();
        while let Some(expr) = pending.pop_front() {
            match expr {
                ast::Expr::GroupingSets(sets) => {
                    let mut all = Vec::with_capacity(sets.len());
                    for set in sets {
                        let within = nested(set);
                        let lists = within.as_ref().map_or(std::slice::from_ref(set), |(_, lists)| lists.as_slice());
                        let lists = self.grouping_lists(&mut grouping, lists, items)?;
                        all.extend(match within {
                            Some((Nested::Rollup, _)) => rollup(&lists),
                            Some((Nested::Cube, _)) => cube(&lists)?,
                            None => lists,
                        });
                    }
                    grouping.exprs.push(Expr::GroupingSet(GroupingSet::GroupingSets(all)));
                }
                ast::Expr::Rollup(lists) => {
                    let lists = self.grouping_lists(&mut grouping, lists, items)?;
                    grouping.exprs.push(Expr::GroupingSet(GroupingSet::GroupingSets(rollup(&lists))));
                }
                ast::Expr::Cube(lists) => {
                    let lists = self.grouping_lists(&mut grouping, lists, items)?;
                    grouping.exprs.push(Expr::GroupingSet(GroupingSet::GroupingSets(cube(&lists)?)));
                }
                // GROUP BY (a, b) is GROUP BY a, b; GROUP BY () is one group.
                ast::Expr::Tuple(parts) => parts.iter().rev().for_each(|part| pending.push_front(part)),
                other => {
                    let value = self.bind_group_key(other, items)?;
                    grouping.plain(value, self.func())?;
                }
            }
        }
        Ok(grouping)
    }

    fn grouping_lists(
        &mut self,
        grouping: &mut Grouping,
        lists: &[Vec<ast::Expr>],
        items: &[Item],
    ) -> Result<Vec<Vec<Expr>>> {
        let mut bound = Vec::with_capacity(lists.len());
        for list in lists {
            let mut exprs = Vec::with_capacity(list.len());
            for expr in list {
                let parts: &[ast::Expr] = match expr {
                    ast::Expr::Tuple(parts) => parts,
                    other => std::slice::from_ref(other),
                };
                for part in parts {
                    let value = self.bind_group_key(part, items)?;
                    // Another text of it elsewhere would not be known for the same.
                    let constant = has_constant_subquery(&value.expr);
                    refuse(constant, "a subquery without outer columns in ROLLUP, CUBE or GROUPING SETS")?;
                    refuse(has_outer(&value.expr), "a column of an outer query in ROLLUP, CUBE or GROUPING SETS")?;
                    exprs.push(grouping.compared(value, true, self.func())?);
                }
            }
            bound.push(exprs);
        }
        Ok(bound)
    }

    /// A name is an input column first and an output name second; a number is a position in the list.
    fn bind_group_key(&mut self, expr: &ast::Expr, items: &[Item]) -> Result<Typed> {
        let outputs: Vec<_> = items.iter().map(|item| item.name.clone()).collect();
        let input_column = match expr {
            ast::Expr::Identifier(ident) => {
                let name = super::names::fold_identifier(ident);
                self.level().scope.visible.iter().any(|column| column.name == name)
            }
            _ => false,
        };
        let output = if input_column { None } else { self.output_reference(expr, &outputs, "GROUP BY")? };
        let value = match output.and_then(|at| items.get(at)) {
            Some(item) => item.value.clone(),
            None => {
                let value = self.bind_expr(expr)?;
                self.settle(value)?
            }
        };
        if contains_aggregate(&value.expr) {
            let message = "aggregate functions are not allowed in GROUP BY";
            return Err(self.error_at(expr.span(), SqlState::GROUPING_ERROR, message));
        }
        if contains_window(&value.expr) {
            let message = "window functions are not allowed in GROUP BY";
            return Err(self.error_at(expr.span(), SqlState::WINDOWING_ERROR, message));
        }
        Ok(value)
    }
}

#[derive(Clone, Copy)]
enum Nested {
    Rollup,
    Cube,
}

/// ROLLUP or CUBE as an element of GROUPING SETS, which the parser takes for a function.
fn nested(set: &[ast::Expr]) -> Option<(Nested, Vec<Vec<ast::Expr>>)> {
    let [ast::Expr::Function(function)] = set else { return None };
    let [ast::ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    let kind = match name.value.to_ascii_lowercase().as_str() {
        "rollup" if name.quote_style.is_none() => Nested::Rollup,
        "cube" if name.quote_style.is_none() => Nested::Cube,
        _ => return None,
    };
    let ast::FunctionArguments::List(arguments) = &function.args else { return None };
    let list = |argument: &ast::FunctionArg| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Tuple(parts))) => Some(parts.clone()),
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(vec![expr.clone()]),
        _ => None,
    };
    Some((kind, arguments.args.iter().map(list).collect::<Option<_>>()?))
}

/// A composite element rolls up as one: the prefixes of whole elements.
fn rollup(lists: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=lists.len()).rev().map(|n| lists.iter().take(n).flatten().cloned().collect()).collect()
}

fn cube(lists: &[Vec<Expr>]) -> Result<Vec<Vec<Expr>>> {
    if lists.len() > 12 {
        return Err(Error::invalid(SqlState::STATEMENT_TOO_COMPLEX, "CUBE is limited to 12 elements"));
    }
    let subset = |bits: u32| {
        let chosen = lists.iter().enumerate().filter(move |(at, _)| bits & (1 << at) != 0);
        chosen.flat_map(|(_, list)| list.iter().cloned()).collect()
    };
    Ok((0..1u32 << lists.len()).rev().map(subset).collect())
}

fn has_constant_subquery(expr: &Expr) -> bool {
    let constant = |node: &Expr| match node {
        Expr::ScalarSubquery(subquery) => free_references(&subquery.subquery).is_empty(),
        _ => false,
    };
    expr.exists(|node| Ok(constant(node))).unwrap_or(true)
}

fn has_outer(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::OuterReferenceColumn(..)))).unwrap_or(true)
}

/// Whether an expression over a plan's columns can be NULL; unknown counts as yes.
pub(super) fn may_be_null(expr: &Expr, schema: &datafusion::common::DFSchema) -> bool {
    expr.nullable(schema).unwrap_or(true)
}
