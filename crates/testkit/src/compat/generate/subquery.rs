//! Subqueries as expressions.

use std::borrow::Cow;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::expr::{Expr, Gen, InScope, column};
use super::from::from_clause;
use super::query::{Order, Query};
use super::rules::AGGREGATES;
use super::ty::Ty;

/// A subquery of a type: EXISTS, IN, ANY, ALL for conditions; ARRAY(); else one value by an aggregate. It may look outside.
pub fn subquery(g: &mut Gen, ty: Ty, scope: &[InScope]) -> Option<Expr> {
    // Looking outside is the rarer case.
    let outer: &[InScope] = if g.rng.random_bool(0.5) { scope } else { &[] };
    match ty {
        Ty::Bool => Some(condition(g, scope, outer)),
        Ty::IntArray if g.rng.random_bool(0.5) => {
            let mut query = Query::random(g, Some(&[Ty::Int4]), outer, 1);
            query.order = Order::Output(vec![""], Vec::new());
            Some(Expr::Sub(ty, "ARRAY($1)", Vec::new(), Box::new(query)))
        }
        _ => scalar(g, ty, outer),
    }
}

fn condition(g: &mut Gen, scope: &[InScope], outer: &[InScope]) -> Expr {
    let plain = |g: &mut Gen, types: &[Ty]| {
        let mut query = Query::random(g, Some(types), outer, 1);
        (query.order, query.limit) = (Order::None, None);
        Box::new(query)
    };
    let choice = g.rng.random_range(0..8);
    let ty = *[Ty::Int4, Ty::Int8, Ty::Text, Ty::Date, Ty::Numeric].choose(&mut g.rng).expect("types");
    let compared = Expr::random(g, ty, scope, 1);
    let (template, types): (_, &[Ty]) = match choice {
        0 => ("EXISTS ($1)", &[Ty::Text, Ty::Int4]),
        1 => ("(NOT EXISTS ($1))", &[Ty::Int4]),
        2 => ("($1 IN ($2))", &[ty]),
        3 => ("($1 NOT IN ($2))", &[ty]),
        4 => ("($1 = ANY ($2))", &[ty]),
        5 => ("($1 < ALL ($2))", &[ty]),
        6 => ("($1 >= ANY ($2))", &[ty]),
        _ => ("(($1, 1) IN ($2))", &[ty, Ty::Int4]),
    };
    let query = plain(g, types);
    let arguments = if choice < 2 { Vec::new() } else { vec![compared] };
    Expr::Sub(Ty::Bool, template, arguments, query)
}

fn scalar(g: &mut Gen, ty: Ty, outer: &[InScope]) -> Option<Expr> {
    let fitting: Vec<_> = AGGREGATES.iter().filter(|rule| rule.0 == ty).collect();
    let (_, template, arguments) = fitting.choose(&mut g.rng)?;
    let (from, mut scope) = from_clause(g, 1, &[]);
    if from.is_empty() {
        return None;
    }
    let arguments = arguments.iter().map(|ty| column(g, *ty, &scope)).collect::<Option<Vec<_>>>()?;
    scope.extend_from_slice(outer);
    let filter = g.rng.random_bool(0.7).then(|| Expr::random(g, Ty::Bool, &scope, 1));
    let select = vec![Expr::Op(ty, Cow::Borrowed(template), arguments)];
    let query = Query { select, from, filter, ..Query::default() };
    Some(Expr::Sub(ty, "($1)", Vec::new(), Box::new(query)))
}
