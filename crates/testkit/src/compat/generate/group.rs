//! GROUP BY, grouping sets, HAVING: every output is a group expression, an aggregate, or made of these.

use std::borrow::Cow;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::expr::{Expr, Gen, InScope, column};
use super::query::{Query, any_column, constant};
use super::rules::{self, AGGREGATES};
use super::ty::Ty;

/// The text of GROUP BY.
pub fn clause(sets: &str, list: &str, group: &[Expr]) -> String {
    match sets {
        "" => list.to_owned(),
        "GROUPING SETS" => {
            let first = group.first().map(Expr::sql).unwrap_or_default();
            format!("GROUPING SETS (({first}), ({list}), ())")
        }
        kind => format!("{kind} ({list})"),
    }
}

/// Fills in outputs of the types, and the group.
pub fn group(g: &mut Gen, query: &mut Query, types: &[Ty], scope: &[InScope], depth: u32) {
    for _ in 0..g.rng.random_range(0..=2) {
        let key = any_column(g, scope);
        // An expression now and then; what it computes is not a constant.
        let key = key.map(|key| match rules_of_one(g, key.ty()) {
            Some((ty, template)) if g.rng.random_bool(0.3) && ty.sorts() => {
                Expr::Op(ty, Cow::Borrowed(template), vec![key])
            }
            _ => key,
        });
        query.group.extend(key);
    }
    for ty in types {
        let output = output(g, query, *ty, scope, depth);
        query.select.push(output);
    }
    if !query.group.is_empty() && g.rng.random_bool(0.25) {
        query.sets = ["ROLLUP", "CUBE", "GROUPING SETS"].choose(&mut g.rng).expect("kinds");
        if g.rng.random_bool(0.5) {
            let first = query.group.first().map(Expr::sql).unwrap_or_default();
            query.select.push(Expr::Leaf(Ty::Int4, Cow::Owned(format!("GROUPING({first})"))));
        }
    }
    if g.rng.random_bool(0.25) {
        query.having = Some(if g.rng.random_bool(0.5) {
            Expr::Op(Ty::Bool, Cow::Borrowed("(count(*) > $1)"), vec![Expr::Leaf(Ty::Int4, Cow::Borrowed("1"))])
        } else {
            let left = aggregate(g, Ty::Int4, scope, 1).unwrap_or_else(|| constant(g, Ty::Int4));
            Expr::Op(Ty::Bool, Cow::Borrowed("($1 > $2)"), vec![left, constant(g, Ty::Int4)])
        });
    }
}

fn output(g: &mut Gen, query: &mut Query, ty: Ty, scope: &[InScope], depth: u32) -> Expr {
    let known: Vec<Expr> = query.group.iter().filter(|key| key.ty() == ty).cloned().collect();
    match g.rng.random_range(0..10) {
        0..3 if !known.is_empty() => known.choose(&mut g.rng).expect("not empty").clone(),
        3 => {
            // Something computed from group expressions and aggregates.
            let fitting: Vec<_> = rules::of_type(ty).into_iter().filter(|rule| rule.2.len() <= 2).collect();
            let Some((_, template, types)) = fitting.choose(&mut g.rng) else { return constant(g, ty) };
            let mut piece = |ty: &Ty| {
                let key = query.group.iter().find(|key| key.ty() == *ty).cloned();
                key.or_else(|| aggregate(g, *ty, scope, 1)).unwrap_or_else(|| constant(g, *ty))
            };
            let arguments = types.iter().map(&mut piece).collect();
            Expr::Op(ty, Cow::Borrowed(template), arguments)
        }
        4 => match column(g, ty, scope) {
            Some(column) if ty.sorts() => {
                query.group.push(column.clone());
                column
            }
            _ => constant(g, ty),
        },
        _ => aggregate(g, ty, scope, depth - 1).unwrap_or_else(|| constant(g, ty)),
    }
}

fn aggregate(g: &mut Gen, ty: Ty, scope: &[InScope], depth: u32) -> Option<Expr> {
    let fitting: Vec<_> = AGGREGATES.iter().filter(|rule| rule.0 == ty).collect();
    let (_, template, types) = fitting.choose(&mut g.rng)?;
    let mut arguments: Vec<Expr> = types.iter().map(|ty| Expr::random(g, *ty, scope, depth.min(2))).collect();
    let mut template = Cow::Borrowed(*template);
    if g.rng.random_bool(0.15) {
        arguments.push(Expr::random(g, Ty::Bool, scope, 1));
        template = Cow::Owned(format!("{template} FILTER (WHERE ${})", arguments.len()));
    }
    Some(Expr::Op(ty, template, arguments))
}

/// A rule with one argument, of this type.
fn rules_of_one(g: &mut Gen, argument: Ty) -> Option<(Ty, &'static str)> {
    let families = rules::FAMILIES.iter().flat_map(|(_, rules)| rules.iter());
    let fitting: Vec<_> = families.filter(|rule| rule.2 == [argument]).collect();
    fitting.choose(&mut g.rng).map(|(ty, template, _)| (*ty, *template))
}
