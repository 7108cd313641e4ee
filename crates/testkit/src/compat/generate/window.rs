//! Window functions: function, partition, order, frame. The order is total wherever the answer depends on it.

use std::borrow::Cow;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::expr::{Expr, Gen, InScope, column};
use super::query::any_column;
use super::rules::{AGGREGATES, Rule, WINDOW_FUNCTIONS};
use super::ty::Ty;

const FRAMES: &[&str] = &[
    "",
    "",
    " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    " ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING",
    " ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
    " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    " ROWS 2 PRECEDING",
    " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    " RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
];

/// Frames by distance, over one sort key of the type.
const DISTANCES: &[(Ty, &str)] = &[
    (Ty::Int4, " RANGE BETWEEN 5 PRECEDING AND 10 FOLLOWING"),
    (Ty::Int4, " RANGE BETWEEN 100 PRECEDING AND CURRENT ROW"),
    (Ty::Int8, " RANGE BETWEEN 50 PRECEDING AND 50 FOLLOWING"),
    (Ty::Numeric, " RANGE BETWEEN 1.5 PRECEDING AND CURRENT ROW"),
    (Ty::Float8, " RANGE BETWEEN 1.5 PRECEDING AND 1.5 FOLLOWING"),
    (Ty::Date, " RANGE BETWEEN '40 days' PRECEDING AND '1 year' FOLLOWING"),
    (Ty::Timestamp, " RANGE BETWEEN '1 month' PRECEDING AND CURRENT ROW"),
];

/// A window function of a type (any, if `None`). `total` makes an order total.
pub fn window(g: &mut Gen, ty: Option<Ty>, scope: &[InScope], total: &[String]) -> Option<Expr> {
    let plain = |rule: &&Rule| !rule.1.contains("DISTINCT") && !rule.1.contains("ORDER BY");
    let aggregates = AGGREGATES.iter().filter(plain);
    let ordinary: Vec<&Rule> = aggregates.filter(|rule| ty.is_none_or(|ty| rule.0 == ty)).collect();
    let special: Vec<&Rule> = WINDOW_FUNCTIONS.iter().filter(|rule| ty.is_none_or(|ty| rule.0 == ty)).collect();
    let is_special = !special.is_empty() && (ordinary.is_empty() || g.rng.random_bool(0.6));
    let (ty, call, types) = if is_special { special.choose(&mut g.rng)? } else { ordinary.choose(&mut g.rng)? };
    let mut arguments: Vec<Expr> = types.iter().map(|ty| Expr::random(g, *ty, scope, 1)).collect();
    let mut template = (*call).to_owned();
    if !is_special && g.rng.random_bool(0.15) {
        arguments.push(Expr::random(g, Ty::Bool, scope, 1));
        template.push_str(&format!(" FILTER (WHERE ${})", arguments.len()));
    }
    template.push_str(" OVER (");
    if g.rng.random_bool(0.5)
        && let Some(key) = any_column(g, scope)
    {
        arguments.push(key);
        template.push_str(&format!("PARTITION BY ${} ", arguments.len()));
    }
    let distance = if is_special { None } else { DISTANCES.choose(&mut g.rng) };
    let by_distance =
        distance.filter(|_| g.rng.random_bool(0.2)).and_then(|(ty, frame)| Some((column(g, *ty, scope)?, frame)));
    if let Some((key, frame)) = by_distance {
        arguments.push(key);
        template.push_str(&format!("ORDER BY ${}{frame}", arguments.len()));
    } else if !total.is_empty() && (is_special || g.rng.random_bool(0.7)) {
        template.push_str("ORDER BY ");
        if g.rng.random_bool(0.7)
            && let Some(key) = any_column(g, scope)
        {
            arguments.push(key);
            let direction = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"].choose(&mut g.rng).expect("directions");
            template.push_str(&format!("${}{direction}, ", arguments.len()));
        }
        template.push_str(&total.join(", "));
        template.push_str(FRAMES.choose(&mut g.rng).expect("frames"));
    } else if is_special {
        return None;
    }
    template.push(')');
    Some(Expr::Op(*ty, Cow::Owned(template), arguments))
}
