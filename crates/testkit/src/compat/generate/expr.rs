//! Typed random expressions: trees of SQL templates, so that any subtree can be replaced by another of its type.

use std::borrow::Cow;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::query::Query;
use super::rules::{self, Rule};
use super::ty::Ty;

/// What decides: the random numbers, and the habits of this statement.
pub struct Gen {
    pub rng: StdRng,
    pub habits: Habits,
    /// Rules preferred over others.
    pub family: Option<&'static [Rule]>,
    /// Arguments of other types than the template has.
    pub loose: bool,
    /// Casts of anything to anything.
    pub casts: bool,
    /// Literals as parameters.
    pub parameters: bool,
}

/// How often a query has what.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub joins: bool,
    pub filter: f64,
    pub group: f64,
    pub window: f64,
    pub combine: f64,
    pub cte: f64,
    pub subquery: f64,
}

/// An expression tree.
#[derive(Clone, Debug)]
pub enum Expr {
    Leaf(Ty, Cow<'static, str>),
    /// A parameter of the extended protocol, with its value as text; `true`: its type is left to the server.
    Param(Ty, &'static str, bool),
    /// A template with `$1`, `$2`... for its arguments.
    Op(Ty, Cow<'static, str>, Vec<Expr>),
    /// A template with `$1`... for the arguments and, after them, the subquery.
    Sub(Ty, &'static str, Vec<Expr>, Box<Query>),
}

/// A column that may be named, e.g. `a.i4`.
#[derive(Clone, Debug)]
pub struct InScope {
    pub name: String,
    pub ty: Ty,
}

/// Of a piece over several tables no more rows are asked for.
const PIECE_ROWS_MAX: u32 = 5000;

impl Expr {
    pub fn ty(&self) -> Ty {
        match self {
            Expr::Leaf(ty, _) | Expr::Param(ty, ..) | Expr::Op(ty, ..) | Expr::Sub(ty, ..) => *ty,
        }
    }

    /// Parameters stand between two marks, see [`super::params`].
    pub fn sql(&self) -> String {
        match self {
            Expr::Leaf(_, text) => text.to_string(),
            Expr::Param(ty, value, open) => super::params::mark(*ty, value, *open),
            Expr::Op(_, template, arguments) => fill(template, &arguments.iter().map(Expr::sql).collect::<Vec<_>>()),
            Expr::Sub(_, template, arguments, query) => {
                let mut all: Vec<String> = arguments.iter().map(Expr::sql).collect();
                all.push(query.sql());
                fill(template, &all)
            }
        }
    }

    /// A random expression of a type. `depth` bounds the tree; leaves are columns in scope or literals.
    pub fn random(g: &mut Gen, ty: Ty, scope: &[InScope], depth: u32) -> Expr {
        if depth == 0 || g.rng.random_bool(0.2) {
            return leaf(g, ty, scope);
        }
        if depth > 1
            && g.rng.random_bool(g.habits.subquery)
            && let Some(sub) = super::subquery::subquery(g, ty, scope)
        {
            return sub;
        }
        let of_type = |rules: &'static [Rule]| rules.iter().filter(|rule| rule.0 == ty).collect::<Vec<_>>();
        let preferred = g.family.filter(|_| g.rng.random_bool(0.6)).map(of_type).filter(|found| !found.is_empty());
        let fitting = preferred.unwrap_or_else(|| rules::of_type(ty));
        match fitting.choose(&mut g.rng) {
            Some(rule) => Expr::of_rule(g, rule, scope, depth),
            None => leaf(g, ty, scope),
        }
    }

    /// A rule with random arguments.
    pub fn of_rule(g: &mut Gen, rule: &Rule, scope: &[InScope], depth: u32) -> Expr {
        let (ty, template, types) = rule;
        let arguments = types.iter().map(|ty| argument(g, *ty, scope, depth.saturating_sub(1))).collect();
        Expr::Op(*ty, Cow::Borrowed(template), arguments)
    }

    /// A random cast, of whatever to whatever.
    pub fn cast(g: &mut Gen, scope: &[InScope], depth: u32) -> Expr {
        let (to, template, from) = rules::pair(&mut g.rng);
        let inner = match from {
            // Text that is an input of the type, mostly.
            Ty::Text if g.rng.random_bool(0.7) => {
                let text = format!("'{}'::text", to.input(&mut g.rng).replace('\'', "''"));
                Expr::Leaf(Ty::Text, Cow::Owned(text))
            }
            from => Expr::random(g, from, scope, depth.saturating_sub(1)),
        };
        Expr::Op(to, Cow::Borrowed(template), vec![inner])
    }

    /// This tree and all below it as queries over `from`, the smallest first.
    pub fn pieces(&self, from: &str, out: &mut Vec<String>) {
        match self {
            Expr::Leaf(..) | Expr::Param(..) => {}
            Expr::Op(_, _, arguments) => arguments.iter().for_each(|argument| argument.pieces(from, out)),
            Expr::Sub(_, _, arguments, query) => {
                arguments.iter().for_each(|argument| argument.pieces(from, out));
                query.pieces(out);
                query.pieces_below(from, out);
            }
        }
        out.push(format!("SELECT {}", self.sql()));
        if !from.is_empty() {
            out.push(format!("SELECT {}{from} LIMIT {PIECE_ROWS_MAX}", self.sql()));
            // Without rows, what a planner would make of columns that it knows to be NULL.
            let rest = from.strip_prefix(" FROM ").unwrap_or(from);
            let rows = format!("(SELECT 1) no_row LEFT JOIN ((SELECT 1) one_row CROSS JOIN {rest}) ON true");
            out.push(format!("SELECT {} FROM {rows} LIMIT {PIECE_ROWS_MAX}", self.sql()));
        }
    }

    /// Simpler trees of the same type, the simplest first; made as they are asked for.
    pub fn simpler(&self) -> Box<dyn Iterator<Item = Expr> + '_> {
        match self {
            Expr::Leaf(..) => Box::new(std::iter::empty()),
            Expr::Param(ty, ..) => Box::new(std::iter::once(plain(*ty))),
            Expr::Op(ty, template, arguments) => {
                let same_type = arguments.iter().filter(|argument| argument.ty() == *ty).cloned();
                let inner = in_place(arguments).map(|arguments| Expr::Op(*ty, template.clone(), arguments));
                Box::new([null(*ty), plain(*ty)].into_iter().chain(same_type).chain(inner))
            }
            Expr::Sub(ty, template, arguments, query) => {
                let width = query.select.len();
                let inner = query.simpler().filter(move |query| query.select.len() == width);
                let inner = inner.map(move |query| Expr::Sub(*ty, template, arguments.clone(), Box::new(query)));
                let outside = in_place(arguments).map(|all| Expr::Sub(*ty, template, all, query.clone()));
                Box::new([null(*ty), plain(*ty)].into_iter().chain(inner).chain(outside))
            }
        }
    }
}

/// The list with one element made simpler.
pub fn in_place(all: &[Expr]) -> impl Iterator<Item = Vec<Expr>> + '_ {
    all.iter().enumerate().flat_map(move |(at, one)| {
        one.simpler().map(move |simpler| {
            let mut changed = all.to_vec();
            if let Some(place) = changed.get_mut(at) {
                *place = simpler;
            }
            changed
        })
    })
}

fn argument(g: &mut Gen, ty: Ty, scope: &[InScope], depth: u32) -> Expr {
    let ty = if g.loose && g.rng.random_bool(0.2) { ty.neighbour(&mut g.rng) } else { ty };
    Expr::random(g, ty, scope, depth)
}

fn null(ty: Ty) -> Expr {
    Expr::Leaf(ty, Cow::Owned(format!("NULL::{}", ty.sql())))
}

fn plain(ty: Ty) -> Expr {
    Expr::Leaf(ty, Cow::Borrowed(ty.plain()))
}

fn leaf(g: &mut Gen, ty: Ty, scope: &[InScope]) -> Expr {
    let columns: Vec<&InScope> = scope.iter().filter(|column| column.ty == ty).collect();
    if !columns.is_empty() && g.rng.random_bool(0.75) {
        let column = columns.choose(&mut g.rng).expect("not empty");
        return Expr::Leaf(ty, Cow::Owned(column.name.clone()));
    }
    if g.parameters && g.rng.random_bool(0.5) {
        return Expr::Param(ty, ty.input(&mut g.rng), g.rng.random_bool(0.3));
    }
    Expr::Leaf(ty, Cow::Borrowed(ty.literal(&mut g.rng)))
}

/// A random column of a type.
pub fn column(g: &mut Gen, ty: Ty, scope: &[InScope]) -> Option<Expr> {
    let columns: Vec<&InScope> = scope.iter().filter(|column| column.ty == ty).collect();
    columns.choose(&mut g.rng).map(|column| named(column))
}

pub fn named(column: &InScope) -> Expr {
    Expr::Leaf(column.ty, Cow::Owned(column.name.clone()))
}

/// Puts `values` where `$1`, `$2`... stand.
pub fn fill(template: &str, values: &[String]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let digits = after.chars().skip(1).take_while(char::is_ascii_digit).count();
        let number = after.get(1..=digits).and_then(|digits| digits.parse::<usize>().ok());
        match number.and_then(|n| values.get(n.wrapping_sub(1))) {
            Some(value) => {
                out.push_str(value);
                rest = after.get(1 + digits..).unwrap_or_default();
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
