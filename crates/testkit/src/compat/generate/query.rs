//! Random queries over the tables of [`super::tables`].

use std::borrow::Cow;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::expr::{Expr, Gen, InScope, column, named};
use super::from::{FromItem, Source, from_clause};
use super::group;
use super::ty::Ty;
use super::window;

/// A SELECT, clause by clause, so that each can be left out when a difference is shrunk.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub ctes: Vec<Cte>,
    pub distinct: bool,
    pub distinct_on: Option<Expr>,
    pub select: Vec<Expr>,
    pub from: Vec<FromItem>,
    pub filter: Option<Expr>,
    pub group: Vec<Expr>,
    /// `ROLLUP`, `CUBE`, `GROUPING SETS`, or nothing.
    pub sets: &'static str,
    pub having: Option<Expr>,
    pub combined: Option<(&'static str, Box<Query>)>,
    pub order: Order,
    pub limit: Option<(Option<u32>, u32)>,
}

#[derive(Clone, Debug)]
pub struct Cte {
    pub name: String,
    pub materialized: &'static str,
    pub query: Query,
}

#[derive(Clone, Debug, Default)]
pub enum Order {
    #[default]
    None,
    /// By every output column, each with `DESC`, `NULLS FIRST`..., and where outputs may be equal and look otherwise by columns that
    /// make the order total.
    Output(Vec<&'static str>, Vec<String>),
    /// By columns that make a total order; for DISTINCT ON.
    Columns(Vec<String>),
}

const DIRECTIONS: &[&str] = &["", "", "", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST", " NULLS LAST"];
const COMBINE: &[&str] = &["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"];

impl Query {
    pub fn sql(&self) -> String {
        let mut out = self.with_clause();
        out.push_str("SELECT ");
        if self.distinct {
            out.push_str("DISTINCT ");
        }
        if let Some(on) = &self.distinct_on {
            out.push_str(&format!("DISTINCT ON ({}) ", on.sql()));
        }
        let list = |all: &[Expr]| all.iter().map(Expr::sql).collect::<Vec<_>>().join(", ");
        let named: Vec<String> =
            self.select.iter().enumerate().map(|(n, e)| format!("{} AS c{}", e.sql(), n + 1)).collect();
        out.push_str(&named.join(", "));
        for (n, item) in self.from.iter().enumerate() {
            out.push_str(if n == 0 { " FROM " } else { "" });
            out.push_str(&item.sql(n == 0));
        }
        if let Some(filter) = &self.filter {
            out.push_str(&format!(" WHERE {}", filter.sql()));
        }
        if !self.group.is_empty() {
            out.push_str(&format!(" GROUP BY {}", group::clause(self.sets, &list(&self.group), &self.group)));
        }
        if let Some(having) = &self.having {
            out.push_str(&format!(" HAVING {}", having.sql()));
        }
        if let Some((kind, other)) = &self.combined {
            out.push_str(&format!(" {kind} {}", other.sql()));
        }
        match &self.order {
            Order::None => {}
            Order::Output(directions, rest) => {
                let key = |n: usize| format!("{}{}", n + 1, directions.get(n).copied().unwrap_or_default());
                let keys: Vec<String> = (0..self.select.len()).map(key).chain(rest.iter().cloned()).collect();
                out.push_str(&format!(" ORDER BY {}", keys.join(", ")));
            }
            Order::Columns(columns) => out.push_str(&format!(" ORDER BY {}", columns.join(", "))),
        }
        match self.limit {
            Some((Some(limit), offset)) => out.push_str(&format!(" LIMIT {limit} OFFSET {offset}")),
            Some((None, offset)) => out.push_str(&format!(" OFFSET {offset} ROWS")),
            None => {}
        }
        out
    }

    /// Whether the order of rows is part of the answer.
    pub fn ordered(&self) -> bool {
        !matches!(self.order, Order::None)
    }

    /// A random query whose columns have the given types (any, if `None`).
    pub fn random(g: &mut Gen, types: Option<&[Ty]>, outer: &[InScope], depth: u32) -> Query {
        let mut query = Query::default();
        if depth > 2 && g.rng.random_bool(g.habits.cte) {
            for n in 0..g.rng.random_range(1..=2) {
                let materialized = *["", "MATERIALIZED ", "NOT MATERIALIZED "].choose(&mut g.rng).expect("kinds");
                let inner = Query::random(g, None, &[], 2);
                query.ctes.push(Cte { name: format!("q{n}"), materialized, query: inner });
            }
        }
        let (from, mut scope) = from_clause(g, depth, &query.ctes);
        query.from = from;
        let total = total_order(&query.from, &scope);
        scope.extend_from_slice(outer);
        let count = g.rng.random_range(1..=4);
        let wanted: Vec<Option<Ty>> = match types {
            Some(types) => types.iter().copied().map(Some).collect(),
            None => (0..count).map(|_| g.family.is_none().then(|| Ty::random(&mut g.rng))).collect(),
        };
        query.filter = g.rng.random_bool(g.habits.filter).then(|| Expr::random(g, Ty::Bool, &scope, depth));
        if !query.from.is_empty() && g.rng.random_bool(g.habits.group) {
            let types: Vec<Ty> = wanted.iter().map(|ty| ty.unwrap_or_else(|| Ty::random(&mut g.rng))).collect();
            group::group(g, &mut query, &types, &scope, depth);
        } else {
            // Rows of anything but tables may be the same: which of them is first is for each window to say.
            let unique = query.from.iter().all(|item| matches!(item.source, Source::Table(_)));
            for ty in &wanted {
                let windows = query.select.iter().any(|expr| expr.sql().contains(" OVER ("));
                let item = item(g, *ty, &scope, if windows && !unique { &[] } else { &total }, depth);
                query.select.push(item);
            }
            query.distinct =
                g.rng.random_bool(0.1) && query.select.iter().all(|expr| expr.ty().sorts()) && !ties(&query);
        }
        let sortable = query.select.iter().all(|expr| expr.ty().sorts());
        if depth > 1 && g.rng.random_bool(g.habits.combine) {
            let kind =
                if sortable && !ties(&query) { *COMBINE.choose(&mut g.rng).expect("kinds") } else { "UNION ALL" };
            let mut types: Vec<Ty> = query.select.iter().map(Expr::ty).collect();
            if g.loose {
                types = types.into_iter().map(|ty| ty.neighbour(&mut g.rng)).collect();
            }
            let mut other = Query::random(g, Some(&types), outer, 1);
            (other.order, other.limit, other.distinct_on) = (Order::None, None, None);
            query.combined = Some((kind, Box::new(other)));
        }
        order(g, &mut query, &scope, &total, sortable);
        query
    }

    /// Every expression as a query of its own, see [`super::Statement::pieces`].
    pub fn pieces(&self, out: &mut Vec<String>) {
        self.ctes.iter().for_each(|cte| cte.query.pieces(out));
        let mut from = String::new();
        for (n, item) in self.from.iter().enumerate() {
            if let Source::Derived(query) = &item.source {
                query.pieces(out);
            }
            from.push_str(if n == 0 { " FROM " } else { " CROSS JOIN " });
            from.push_str(&item.factor());
        }
        let with = self.with_clause();
        let mut mine = Vec::new();
        let list = |with: &str, pieces: Vec<String>| {
            pieces.into_iter().map(|piece| format!("{with}{piece}")).collect::<Vec<_>>()
        };
        // A planner that moves a derived table's constants outwards computes them although the table has no rows.
        let open = |(n, item): (usize, &FromItem)| {
            let join = if n == 0 { " FROM " } else { " CROSS JOIN " };
            format!("{join}{}", item.unfiltered().factor())
        };
        let open: String = self.from.iter().enumerate().map(open).collect();
        let mut froms = vec![from];
        // Derived tables in derived tables make long texts, and a piece for each expression has one.
        let long = open.len() > LONG_FROM;
        froms.extend((!long && !froms.contains(&open)).then_some(open));
        let exprs = || {
            let conditions =
                self.from.iter().filter_map(|item| item.on.as_ref()).chain(&self.filter).chain(&self.having);
            conditions.chain(&self.select).chain(&self.group)
        };
        for from in &froms {
            exprs().for_each(|expr| expr.pieces(from, &mut mine));
        }
        // Of a product of tables only so many rows are asked for: alone, those an expression is about are seen whole.
        for expr in exprs() {
            let text = expr.sql();
            let named = |item: &&FromItem| text.contains(&format!("{}.", item.alias));
            let about: Vec<&FromItem> = self.from.iter().filter(named).collect();
            if !about.is_empty() && about.len() < self.from.len() {
                let items = about.iter().map(|item| item.factor()).collect::<Vec<_>>().join(" CROSS JOIN ");
                expr.pieces(&format!(" FROM {items}"), &mut mine);
            }
        }
        out.extend(list(&with, mine));
        // The same of CTEs: the constants of one without rows are computed where it is put into the query.
        let unfiltered: Vec<Cte> =
            self.ctes.iter().map(|cte| Cte { query: cte.query.unfiltered(), ..cte.clone() }).collect();
        let with_open = with_clause(&unfiltered);
        if with_open != with && with_open.len() < LONG_FROM {
            let mut mine = Vec::new();
            froms.last().into_iter().for_each(|from| exprs().for_each(|expr| expr.pieces(from, &mut mine)));
            out.extend(list(&with_open, mine));
        }
        if let Some((_, other)) = &self.combined {
            other.pieces(out);
        }
    }

    /// The expressions of a subquery that looks outside, over the rows outside and its own.
    pub fn pieces_below(&self, outside: &str, out: &mut Vec<String>) {
        if outside.is_empty() || outside.len() > LONG_FROM || !self.ctes.is_empty() {
            return;
        }
        let inside: String = self.from.iter().map(|item| format!(" CROSS JOIN {}", item.factor())).collect();
        let from = format!("{outside}{inside}");
        let exprs = self.filter.iter().chain(&self.having).chain(&self.select).chain(&self.group);
        exprs.for_each(|expr| expr.pieces(&from, out));
    }

    fn with_clause(&self) -> String {
        with_clause(&self.ctes)
    }

    /// The query with all rows that WHERE, HAVING and LIMIT leave out, and conditions of joins.
    pub fn unfiltered(&self) -> Query {
        let mut query = self.clone();
        (query.filter, query.having, query.limit) = (None, None, None);
        let open = |item: &FromItem| FromItem { join: " CROSS JOIN ", on: None, ..item.unfiltered() };
        query.from = query.from.iter().map(open).collect();
        query
    }

    /// Queries with one thing less, whole clauses first; made as they are asked for.
    pub fn simpler(&self) -> Box<dyn Iterator<Item = Query> + '_> {
        let mut clauses = Vec::new();
        if let Some((_, other)) = &self.combined {
            clauses.push(self.with(|q| q.combined = None));
            clauses.push((**other).clone());
        }
        for n in 0..self.ctes.len() {
            clauses.push(self.with(|q| {
                q.ctes.remove(n);
            }));
        }
        if self.from.len() == 1 {
            clauses.push(self.with(|q| (q.from, q.distinct_on, q.order) = (Vec::new(), None, q.order.by_output())));
        } else if self.from.len() > 1 {
            clauses.push(self.with(|q| {
                q.from.pop();
            }));
            clauses.push(self.with(|q| {
                q.from.remove(0);
            }));
        }
        if self.filter.is_some() {
            clauses.push(self.with(|q| q.filter = None));
        }
        if self.having.is_some() {
            clauses.push(self.with(|q| q.having = None));
        }
        if !self.sets.is_empty() {
            clauses.push(self.with(|q| q.sets = ""));
        }
        if self.limit.is_some() {
            clauses.push(self.with(|q| q.limit = None));
        } else if self.distinct_on.is_some() {
            clauses.push(self.with(|q| (q.distinct_on, q.order) = (None, Order::None)));
        } else if self.ordered() {
            clauses.push(self.with(|q| q.order = Order::None));
        }
        if self.distinct {
            clauses.push(self.with(|q| q.distinct = false));
        }
        if self.group.len() > 1 {
            clauses.extend((0..self.group.len()).map(|n| {
                self.with(|q| {
                    q.group.remove(n);
                })
            }));
        }
        if self.combined.is_none() && self.select.len() > 1 {
            clauses.extend((0..self.select.len()).map(|n| {
                self.with(|q| {
                    q.select.remove(n);
                })
            }));
        }
        let ctes = self.ctes.iter().enumerate().flat_map(|(n, cte)| {
            let kept = cte.query.simpler().filter(|q| q.select.len() == cte.query.select.len());
            kept.map(move |query| (n, query))
        });
        let ctes = ctes.map(|(n, query)| self.with(|q| set(q.ctes.get_mut(n).map(|cte| &mut cte.query), &query)));
        let from = self.from.iter().enumerate().flat_map(|(n, item)| item.simpler().map(move |item| (n, item)));
        let from = from.map(|(n, item)| self.with(|q| set(q.from.get_mut(n), &item)));
        let select = self.select.iter().enumerate().flat_map(|(n, e)| e.simpler().map(move |e| (n, e)));
        let select = select.map(|(n, e)| self.with(|q| set(q.select.get_mut(n), &e)));
        let filter = self.filter.iter().flat_map(Expr::simpler).map(|e| self.with(|q| q.filter = Some(e.clone())));
        let having = self.having.iter().flat_map(Expr::simpler).map(|e| self.with(|q| q.having = Some(e.clone())));
        let combined = self.combined.iter().flat_map(|(kind, other)| {
            let kept = other.simpler().filter(|q| q.select.len() == other.select.len());
            kept.map(|query| self.with(|q| q.combined = Some((kind, Box::new(query.clone())))))
        });
        Box::new(clauses.into_iter().chain(ctes).chain(from).chain(filter).chain(having).chain(select).chain(combined))
    }

    fn with(&self, change: impl Fn(&mut Query)) -> Query {
        let mut query = self.clone();
        change(&mut query);
        query
    }
}

fn with_clause(ctes: &[Cte]) -> String {
    let cte = |Cte { name, materialized, query }: &Cte| format!("{name} AS {materialized}({})", query.sql());
    let all: Vec<String> = ctes.iter().map(cte).collect();
    if all.is_empty() { String::new() } else { format!("WITH {} ", all.join(", ")) }
}

impl Order {
    fn by_output(&self) -> Order {
        match self {
            Order::Columns(_) => Order::None,
            Order::Output(directions, _) => Order::Output(directions.clone(), Vec::new()),
            Order::None => Order::None,
        }
    }
}

fn set<T: Clone>(place: Option<&mut T>, value: &T) {
    place.into_iter().for_each(|place| *place = value.clone());
}

/// An output column: of the family's rules, a window function, or anything of the type.
fn item(g: &mut Gen, ty: Option<Ty>, scope: &[InScope], total: &[String], depth: u32) -> Expr {
    if g.rng.random_bool(g.habits.window)
        && let Some(window) = window::window(g, ty, scope, total)
    {
        return window;
    }
    match (ty, g.family) {
        (Some(ty), _) => Expr::random(g, ty, scope, depth),
        (None, Some(_)) if g.casts && g.rng.random_bool(0.7) => Expr::cast(g, scope, 2),
        (None, Some(family)) => {
            let rule = family.choose(&mut g.rng).expect("rules");
            Expr::of_rule(g, rule, scope, 2)
        }
        (None, None) => {
            let ty = Ty::random(&mut g.rng);
            Expr::random(g, ty, scope, depth)
        }
    }
}

/// Columns that tell every row of a FROM clause from every other: keys of tables, all columns of anything else.
fn total_order(from: &[FromItem], scope: &[InScope]) -> Vec<String> {
    let keys = from.iter().flat_map(|item| {
        let mine = format!("{}.", item.alias);
        let key = format!("{mine}id");
        let is_table = matches!(item.source, Source::Table(_));
        scope.iter().filter(move |column| {
            if is_table { column.name == key } else { column.name.starts_with(&mine) && column.ty.sorts() }
        })
    });
    keys.map(|column| column.name.clone()).collect()
}

fn order(g: &mut Gen, query: &mut Query, scope: &[InScope], total: &[String], sortable: bool) {
    let plain = query.combined.is_none() && query.group.is_empty() && !query.distinct;
    if plain && !total.is_empty() && g.rng.random_bool(0.06) {
        let ty = Ty::random(&mut g.rng);
        if let Some(on) = column(g, ty, scope).filter(|on| on.ty().sorts()) {
            let mut columns = vec![on.sql()];
            columns.extend_from_slice(total);
            (query.distinct_on, query.order) = (Some(on), Order::Columns(columns));
        }
    } else if sortable && (!ties(query) || (plain && !total.is_empty())) && g.rng.random_bool(0.4) {
        let direction = |_| *DIRECTIONS.choose(&mut g.rng).expect("directions");
        let directions = (0..query.select.len()).map(direction).collect();
        let look_alike = [Ty::Interval, Ty::NumArray, Ty::Numeric, Ty::Float4, Ty::Float8, Ty::Jsonb, Ty::Bpchar];
        let rest = plain && query.select.iter().any(|expr| look_alike.contains(&expr.ty()));
        query.order = Order::Output(directions, if rest { total.to_vec() } else { Vec::new() });
    }
    if query.ordered() && g.rng.random_bool(0.4) {
        let count = g.rng.random_bool(0.9).then(|| g.rng.random_range(0..20));
        query.limit = Some((count, g.rng.random_range(0..5)));
    }
}

/// A column in scope as an expression, for those who need its name only.
pub fn any_column(g: &mut Gen, scope: &[InScope]) -> Option<Expr> {
    let sortable: Vec<&InScope> = scope.iter().filter(|column| column.ty.sorts()).collect();
    sortable.choose(&mut g.rng).map(|column| named(column))
}

/// Beyond it a FROM clause is looked at in one form only.
const LONG_FROM: usize = 10_000;

/// Whether outputs may be equal and look otherwise, as 30 days and a month do, or `{42}` and `{42.0}`: no order of them is total.
/// (What shows of equal numerics is listed.)
pub fn ties(query: &Query) -> bool {
    query.select.iter().any(|expr| matches!(expr.ty(), Ty::Interval | Ty::NumArray))
}

/// A constant, for outputs no clause can give.
pub fn constant(g: &mut Gen, ty: Ty) -> Expr {
    Expr::Leaf(ty, Cow::Borrowed(ty.literal(&mut g.rng)))
}
