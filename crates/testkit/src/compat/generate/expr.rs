//! Typed random expressions: trees of SQL templates, so that any subtree can be replaced by another of its type.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::query::Query;
use super::rules::{LITERALS, RULES};

/// The types the generator knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ty {
    Bool,
    Int2,
    Int4,
    Int8,
    Float8,
    Numeric,
    Text,
    Date,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Bytea,
    Jsonb,
    IntArray,
    TextArray,
}

impl Ty {
    pub const ALL: &'static [Ty] = &[
        Ty::Bool,
        Ty::Int2,
        Ty::Int4,
        Ty::Int8,
        Ty::Float8,
        Ty::Numeric,
        Ty::Text,
        Ty::Date,
        Ty::Timestamp,
        Ty::Timestamptz,
        Ty::Interval,
        Ty::Uuid,
        Ty::Bytea,
        Ty::Jsonb,
        Ty::IntArray,
        Ty::TextArray,
    ];

    pub fn sql(self) -> &'static str {
        match self {
            Ty::Bool => "boolean",
            Ty::Int2 => "smallint",
            Ty::Int4 => "integer",
            Ty::Int8 => "bigint",
            Ty::Float8 => "double precision",
            Ty::Numeric => "numeric",
            Ty::Text => "text",
            Ty::Date => "date",
            Ty::Timestamp => "timestamp",
            Ty::Timestamptz => "timestamptz",
            Ty::Interval => "interval",
            Ty::Uuid => "uuid",
            Ty::Bytea => "bytea",
            Ty::Jsonb => "jsonb",
            Ty::IntArray => "integer[]",
            Ty::TextArray => "text[]",
        }
    }

    pub fn random(rng: &mut StdRng) -> Ty {
        // Numbers and text carry most statements; the rest get their share.
        let common = [Ty::Bool, Ty::Int4, Ty::Int8, Ty::Numeric, Ty::Text, Ty::Float8];
        *if rng.random_bool(0.5) { common.choose(rng) } else { Ty::ALL.choose(rng) }.expect("types")
    }
}

/// An expression tree.
#[derive(Clone, Debug)]
pub enum Expr {
    Leaf(Ty, String),
    /// A template with `$1`, `$2`... for its arguments.
    Op(Ty, &'static str, Vec<Expr>),
    /// A template with `$1` for the subquery.
    Sub(Ty, &'static str, Box<Query>),
}

/// A column that may be named, e.g. `a.i4`.
#[derive(Clone, Debug)]
pub struct InScope {
    pub name: String,
    pub ty: Ty,
}

impl Expr {
    pub fn ty(&self) -> Ty {
        match self {
            Expr::Leaf(ty, _) | Expr::Op(ty, ..) | Expr::Sub(ty, ..) => *ty,
        }
    }

    pub fn sql(&self) -> String {
        match self {
            Expr::Leaf(_, text) => text.clone(),
            Expr::Op(_, template, arguments) => fill(template, &arguments.iter().map(Expr::sql).collect::<Vec<_>>()),
            Expr::Sub(_, template, query) => fill(template, &[query.sql()]),
        }
    }

    /// A random expression of a type. `depth` bounds the tree; leaves are columns in scope or literals.
    pub fn random(rng: &mut StdRng, ty: Ty, scope: &[InScope], depth: u32) -> Expr {
        if depth == 0 || rng.random_bool(0.2) {
            return leaf(rng, ty, scope);
        }
        if depth > 1
            && rng.random_bool(0.04)
            && let Some(sub) = super::query::subquery(rng, ty, scope)
        {
            return sub;
        }
        let fitting: Vec<_> = RULES.iter().filter(|rule| rule.0 == ty).collect();
        match fitting.choose(rng) {
            Some((_, template, arguments)) => {
                let arguments = arguments.iter().map(|ty| Expr::random(rng, *ty, scope, depth - 1)).collect();
                Expr::Op(ty, template, arguments)
            }
            None => leaf(rng, ty, scope),
        }
    }

    /// Simpler trees of the same type, the simplest first; made as they are asked for.
    pub fn simpler(&self) -> Box<dyn Iterator<Item = Expr> + '_> {
        match self {
            Expr::Leaf(..) => Box::new(std::iter::empty()),
            Expr::Op(ty, template, arguments) => {
                let literal =
                    LITERALS.iter().find(|(of, _)| of == ty).map(|(_, text)| Expr::Leaf(*ty, (*text).to_owned()));
                let same_type = arguments.iter().filter(|argument| argument.ty() == *ty).cloned();
                let inner = arguments.iter().enumerate().flat_map(move |(at, argument)| {
                    argument.simpler().map(move |simpler| {
                        let mut arguments = arguments.clone();
                        if let Some(place) = arguments.get_mut(at) {
                            *place = simpler;
                        }
                        Expr::Op(*ty, template, arguments)
                    })
                });
                Box::new(std::iter::once(null(*ty)).chain(literal).chain(same_type).chain(inner))
            }
            Expr::Sub(ty, template, query) => {
                let inner = query.simpler().map(move |query| Expr::Sub(*ty, template, Box::new(query)));
                Box::new(std::iter::once(null(*ty)).chain(inner))
            }
        }
    }
}

fn null(ty: Ty) -> Expr {
    Expr::Leaf(ty, format!("NULL::{}", ty.sql()))
}

fn leaf(rng: &mut StdRng, ty: Ty, scope: &[InScope]) -> Expr {
    let columns: Vec<&InScope> = scope.iter().filter(|column| column.ty == ty).collect();
    if !columns.is_empty() && rng.random_bool(0.75) {
        return Expr::Leaf(ty, columns.choose(rng).expect("not empty").name.clone());
    }
    let literals: Vec<&str> = LITERALS.iter().filter(|(of, _)| *of == ty).map(|(_, text)| *text).collect();
    Expr::Leaf(ty, (*literals.choose(rng).unwrap_or(&"NULL")).to_owned())
}

/// Puts `values` where `$1`, `$2`... stand.
pub fn fill(template: &str, values: &[String]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let digit = after.chars().nth(1).and_then(|c| c.to_digit(10));
        match digit.and_then(|d| values.get((d as usize).wrapping_sub(1))) {
            Some(value) => {
                out.push_str(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('$');
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}
