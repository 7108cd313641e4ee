//! FROM: tables, derived tables, functions, CTEs, and how they are joined.

use std::borrow::Cow;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::expr::{Expr, Gen, InScope, named};
use super::query::{Cte, Query};
use super::rules::{SOURCES, TextSource};
use super::tables::{SMALL, TABLES, Table};
use super::ty::Ty;

/// A table, or a derived table, and how it is joined to those before it.
#[derive(Clone, Debug)]
pub struct FromItem {
    pub join: &'static str,
    pub source: Source,
    pub alias: String,
    pub on: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum Source {
    Table(&'static Table),
    Derived(Box<Query>),
    Text(&'static TextSource),
    /// A CTE by name.
    Named(String),
}

impl FromItem {
    /// The item without its join.
    pub fn factor(&self) -> String {
        let alias = &self.alias;
        match &self.source {
            Source::Table(table) => format!("{} {alias}", table.name),
            Source::Derived(query) => format!("({}) {alias}", query.sql()),
            Source::Named(name) => format!("{name} {alias}"),
            Source::Text(source) => {
                let names: Vec<&str> = source.columns.iter().map(|(name, _)| *name).collect();
                format!("{} {alias}({})", source.sql, names.join(", "))
            }
        }
    }

    pub fn sql(&self, first: bool) -> String {
        let mut out = format!("{}{}", if first { "" } else { self.join }, self.factor());
        if let (Some(on), false) = (&self.on, first) {
            out.push_str(&format!(" ON {}", on.sql()));
        }
        out
    }

    /// The item with all rows that a derived table's WHERE, HAVING and LIMIT leave out.
    pub fn unfiltered(&self) -> FromItem {
        let Source::Derived(query) = &self.source else { return self.clone() };
        FromItem { source: Source::Derived(Box::new(query.unfiltered())), ..self.clone() }
    }

    /// A simpler condition, or a simpler derived table with as many columns.
    pub fn simpler(&self) -> Box<dyn Iterator<Item = FromItem> + '_> {
        let on = self.on.iter().flat_map(Expr::simpler).map(|on| FromItem { on: Some(on), ..self.clone() });
        match &self.source {
            Source::Derived(query) => {
                let inner = query.simpler().filter(|simpler| simpler.select.len() == query.select.len());
                let inner = inner.map(|query| FromItem { source: Source::Derived(Box::new(query)), ..self.clone() });
                Box::new(inner.chain(on))
            }
            _ => Box::new(on),
        }
    }
}

/// Items and what they put in scope. `ctes` may be named.
pub fn from_clause(g: &mut Gen, depth: u32, ctes: &[Cte]) -> (Vec<FromItem>, Vec<InScope>) {
    let counts: &[usize] = match (g.habits.joins, g.family) {
        (true, _) => &[2, 2, 2, 3, 3, 4],
        (false, Some(_)) => &[0, 1, 1, 1, 1, 1],
        (false, None) => &[0, 1, 1, 1, 1, 2, 2, 3],
    };
    let count = *counts.choose(&mut g.rng).expect("counts");
    items(g, depth, ctes, count)
}

/// `count` items, joined.
pub fn items(g: &mut Gen, depth: u32, ctes: &[Cte], count: usize) -> (Vec<FromItem>, Vec<InScope>) {
    let mut items: Vec<FromItem> = Vec::new();
    let mut scope: Vec<InScope> = Vec::new();
    for _ in 0..count {
        let alias = format!("t{}", scope.len());
        let first = items.is_empty();
        // The one table with many rows stands first or not at all: products stay small.
        let (source, columns) = source(g, depth, ctes, if first { TABLES } else { SMALL });
        scope.extend(columns.into_iter().map(|(name, ty)| InScope { name: format!("{alias}.{name}"), ty }));
        let join = [" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ", " CROSS JOIN "];
        let mut join = *join.choose(&mut g.rng).expect("joins");
        let mut on = match join {
            " CROSS JOIN " => None,
            _ if first => None,
            _ => equality(g, &scope, &alias),
        };
        // Any other condition beside the equality, but for FULL JOIN, which PostgreSQL cannot do with all of them.
        if join != " FULL JOIN " && g.rng.random_bool(0.2) {
            on = on.map(|on| {
                let other = Expr::random(g, Ty::Bool, &scope, 1);
                Expr::Op(Ty::Bool, Cow::Borrowed("($1 AND $2)"), vec![on, other])
            });
        }
        if on.is_none() {
            join = " CROSS JOIN ";
        }
        items.push(FromItem { join, source, alias, on });
    }
    (items, scope)
}

/// `old.column = new.column` of the same type: FULL JOIN needs a condition that can be merged or hashed.
fn equality(g: &mut Gen, scope: &[InScope], alias: &str) -> Option<Expr> {
    let mine = format!("{alias}.");
    let (new, old): (Vec<&InScope>, Vec<&InScope>) = scope.iter().partition(|column| column.name.starts_with(&mine));
    let left = old.choose(&mut g.rng)?;
    let same: Vec<&&InScope> = new.iter().filter(|column| column.ty == left.ty && left.ty.sorts()).collect();
    let right = same.choose(&mut g.rng)?;
    Some(Expr::Op(Ty::Bool, Cow::Borrowed("($1 = $2)"), vec![named(left), named(right)]))
}

fn source(g: &mut Gen, depth: u32, ctes: &[Cte], tables: &'static [Table]) -> (Source, Vec<(String, Ty)>) {
    if let Some(cte) = ctes.choose(&mut g.rng)
        && g.rng.random_bool(0.6)
    {
        return (Source::Named(cte.name.clone()), output(&cte.query));
    }
    if depth > 1 && g.rng.random_bool(0.15) {
        let types: Vec<Ty> = (0..g.rng.random_range(1..=3)).map(|_| Ty::random(&mut g.rng)).collect();
        let query = Query::random(g, Some(&types), &[], depth - 1);
        let columns = output(&query);
        return (Source::Derived(Box::new(query)), columns);
    }
    if g.rng.random_bool(0.12) {
        let source = SOURCES.choose(&mut g.rng).expect("sources");
        return (Source::Text(source), source.columns.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect());
    }
    let table = tables.choose(&mut g.rng).expect("tables");
    (Source::Table(table), table.columns.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect())
}

/// The columns of a query: `c1`, `c2`...
fn output(query: &Query) -> Vec<(String, Ty)> {
    query.select.iter().enumerate().map(|(n, expr)| (format!("c{}", n + 1), expr.ty())).collect()
}
