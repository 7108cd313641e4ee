//! Random queries over the tables of [`super::tables`].

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::expr::{Expr, InScope, Ty};
use super::rules::{AGGREGATES, WINDOWS};
use super::tables::{TABLES, Table};

/// A SELECT, clause by clause, so that each can be left out when a difference is shrunk.
#[derive(Clone, Debug)]
pub struct Query {
    pub distinct: bool,
    pub select: Vec<Expr>,
    pub from: Vec<FromItem>,
    pub filter: Option<Expr>,
    pub group: Vec<Expr>,
    pub having: Option<Expr>,
    /// By every output column: a total order, up to equal rows.
    pub ordered: bool,
    pub limit: Option<(u32, u32)>,
    pub combined: Option<(&'static str, Box<Query>)>,
}

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
}

impl Query {
    pub fn sql(&self) -> String {
        let mut out = String::from(if self.distinct { "SELECT DISTINCT " } else { "SELECT " });
        let list = |all: &[Expr]| all.iter().map(Expr::sql).collect::<Vec<_>>().join(", ");
        let named: Vec<String> =
            self.select.iter().enumerate().map(|(n, e)| format!("{} AS c{}", e.sql(), n + 1)).collect();
        out.push_str(&named.join(", "));
        for (n, item) in self.from.iter().enumerate() {
            out.push_str(if n == 0 { " FROM " } else { item.join });
            match &item.source {
                Source::Table(table) => out.push_str(&format!("{} {}", table.name, item.alias)),
                Source::Derived(query) => out.push_str(&format!("({}) {}", query.sql(), item.alias)),
            }
            if let (Some(on), true) = (&item.on, n > 0) {
                out.push_str(&format!(" ON {}", on.sql()));
            }
        }
        if let Some(filter) = &self.filter {
            out.push_str(&format!(" WHERE {}", filter.sql()));
        }
        if !self.group.is_empty() {
            out.push_str(&format!(" GROUP BY {}", list(&self.group)));
        }
        if let Some(having) = &self.having {
            out.push_str(&format!(" HAVING {}", having.sql()));
        }
        if let Some((kind, other)) = &self.combined {
            out.push_str(&format!(" {kind} {}", other.sql()));
        }
        if self.ordered {
            let columns: Vec<String> = (1..=self.select.len()).map(|n| n.to_string()).collect();
            out.push_str(&format!(" ORDER BY {}", columns.join(", ")));
        }
        if let Some((limit, offset)) = self.limit {
            out.push_str(&format!(" LIMIT {limit} OFFSET {offset}"));
        }
        out
    }

    /// A random query whose columns have the given types (any, if `None`).
    pub fn random(rng: &mut StdRng, types: Option<&[Ty]>, outer: &[InScope], depth: u32) -> Query {
        let (from, mut scope) = from_clause(rng, depth);
        scope.extend_from_slice(outer);
        let types: Vec<Ty> = match types {
            Some(types) => types.to_vec(),
            None => (0..rng.random_range(1..=4)).map(|_| Ty::random(rng)).collect(),
        };
        let filter = rng.random_bool(0.6).then(|| Expr::random(rng, Ty::Bool, &scope, depth));
        let grouped = !from.is_empty() && rng.random_bool(0.3);
        let mut query = Query {
            distinct: false,
            select: Vec::new(),
            from,
            filter,
            group: Vec::new(),
            having: None,
            ordered: false,
            limit: None,
            combined: None,
        };
        if grouped {
            group(rng, &mut query, &types, &scope, depth);
        } else {
            query.select = types.iter().map(|ty| item(rng, *ty, &scope, depth)).collect();
            query.distinct = rng.random_bool(0.1);
        }
        if depth > 1 && rng.random_bool(0.08) {
            let kind = ["UNION ALL", "UNION", "INTERSECT", "EXCEPT"].choose(rng).expect("kinds");
            let mut other = Query::random(rng, Some(&types), outer, 1);
            (other.ordered, other.limit, other.combined) = (false, None, None);
            query.combined = Some((kind, Box::new(other)));
        }
        query.ordered = rng.random_bool(0.4);
        if query.ordered && rng.random_bool(0.4) {
            query.limit = Some((rng.random_range(0..20), rng.random_range(0..5)));
        }
        query
    }

    /// Queries with one thing less, whole clauses first; made as they are asked for.
    pub fn simpler(&self) -> Box<dyn Iterator<Item = Query> + '_> {
        let with = |change: &dyn Fn(&mut Query)| {
            let mut query = self.clone();
            change(&mut query);
            query
        };
        let mut clauses = Vec::new();
        if self.combined.is_some() {
            clauses.push(with(&|q| q.combined = None));
        }
        if !self.from.is_empty() {
            clauses.push(with(&|q| {
                q.from.pop();
            }));
        }
        if self.filter.is_some() {
            clauses.push(with(&|q| q.filter = None));
        }
        if self.having.is_some() {
            clauses.push(with(&|q| q.having = None));
        }
        if self.limit.is_some() {
            clauses.push(with(&|q| q.limit = None));
        } else if self.ordered {
            clauses.push(with(&|q| q.ordered = false));
        }
        if self.distinct {
            clauses.push(with(&|q| q.distinct = false));
        }
        if self.combined.is_none() && self.select.len() > 1 {
            for n in 0..self.select.len() {
                clauses.push(with(&|q| {
                    q.select.remove(n);
                }));
            }
        }
        let derived = self.from.iter().enumerate().flat_map(move |(n, item)| item.simpler().map(move |item| (n, item)));
        let derived = derived
            .map(|(n, item)| self.with(|q| q.from.get_mut(n).into_iter().for_each(|place| *place = item.clone())));
        let select = self.select.iter().enumerate().flat_map(|(n, e)| e.simpler().map(move |e| (n, e)));
        let select =
            select.map(|(n, e)| self.with(|q| q.select.get_mut(n).into_iter().for_each(|place| *place = e.clone())));
        let filter = self.filter.iter().flat_map(Expr::simpler).map(|e| self.with(|q| q.filter = Some(e.clone())));
        Box::new(clauses.into_iter().chain(derived).chain(filter).chain(select))
    }

    fn with(&self, change: impl Fn(&mut Query)) -> Query {
        let mut query = self.clone();
        change(&mut query);
        query
    }
}

impl FromItem {
    /// A simpler condition, or a simpler derived table with as many columns.
    fn simpler(&self) -> Box<dyn Iterator<Item = FromItem> + '_> {
        let on = self.on.iter().flat_map(Expr::simpler).map(|on| FromItem { on: Some(on), ..self.clone() });
        match &self.source {
            Source::Table(_) => Box::new(on),
            Source::Derived(query) => {
                let inner = query.simpler().filter(|simpler| simpler.select.len() == query.select.len());
                let inner = inner.map(|query| FromItem { source: Source::Derived(Box::new(query)), ..self.clone() });
                Box::new(inner.chain(on))
            }
        }
    }
}

fn item(rng: &mut StdRng, ty: Ty, scope: &[InScope], depth: u32) -> Expr {
    let fitting: Vec<_> = WINDOWS.iter().filter(|rule| rule.0 == ty).collect();
    match fitting.choose(rng) {
        Some((_, template, arguments)) if rng.random_bool(0.08) => {
            // A constant in a window's ORDER BY means something else to each reader; columns only.
            let arguments = arguments.iter().map(|ty| column(rng, *ty, scope)).collect::<Option<Vec<_>>>();
            arguments.map_or_else(|| Expr::random(rng, ty, scope, depth), |arguments| Expr::Op(ty, template, arguments))
        }
        _ => Expr::random(rng, ty, scope, depth),
    }
}

fn column(rng: &mut StdRng, ty: Ty, scope: &[InScope]) -> Option<Expr> {
    let columns: Vec<&InScope> = scope.iter().filter(|column| column.ty == ty).collect();
    columns.choose(rng).map(|column| Expr::Leaf(ty, column.name.clone()))
}

/// GROUP BY columns; every output is a group column or an aggregate.
fn group(rng: &mut StdRng, query: &mut Query, types: &[Ty], scope: &[InScope], depth: u32) {
    for ty in types {
        let fitting: Vec<_> = AGGREGATES.iter().filter(|rule| rule.0 == *ty).collect();
        let aggregate = fitting.choose(rng).filter(|_| rng.random_bool(0.6));
        let output = match (aggregate, column(rng, *ty, scope)) {
            (Some((_, template, arguments)), _) => {
                let arguments = arguments.iter().map(|ty| Expr::random(rng, *ty, scope, depth - 1)).collect();
                Expr::Op(*ty, template, arguments)
            }
            (None, Some(column)) => {
                query.group.push(column.clone());
                column
            }
            (None, None) => Expr::random(rng, *ty, &[], 1),
        };
        query.select.push(output);
    }
    if query.group.is_empty()
        && let Some(column) = column(rng, Ty::Int4, scope)
    {
        query.group.push(column);
    }
    if !query.group.is_empty() && rng.random_bool(0.2) {
        query.having = Some(Expr::Op(Ty::Bool, "(count(*) > $1)", vec![Expr::Leaf(Ty::Int4, "1".into())]));
    }
}

fn from_clause(rng: &mut StdRng, depth: u32) -> (Vec<FromItem>, Vec<InScope>) {
    let mut items: Vec<FromItem> = Vec::new();
    let mut scope: Vec<InScope> = Vec::new();
    let count = *[0, 1, 1, 1, 1, 2, 2, 3].choose(rng).expect("counts");
    for _ in 0..count {
        let alias = format!("t{}", scope.len());
        let first = items.is_empty();
        let (source, columns) = source(rng, depth);
        scope.extend(columns.into_iter().map(|(name, ty)| InScope { name: format!("{alias}.{name}"), ty }));
        let join = [" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ", " CROSS JOIN "];
        let mut join = *join.choose(rng).expect("joins");
        let on = match join {
            " CROSS JOIN " => None,
            _ if first => None,
            _ => equality(rng, &scope, &alias),
        };
        if on.is_none() {
            join = " CROSS JOIN ";
        }
        items.push(FromItem { join, source, alias, on });
    }
    (items, scope)
}

/// `old.column = new.column` of the same type: FULL JOIN needs a condition that can be merged or hashed.
fn equality(rng: &mut StdRng, scope: &[InScope], alias: &str) -> Option<Expr> {
    let mine = format!("{alias}.");
    let (new, old): (Vec<&InScope>, Vec<&InScope>) = scope.iter().partition(|column| column.name.starts_with(&mine));
    let left = old.choose(rng)?;
    let same: Vec<&&InScope> = new.iter().filter(|column| column.ty == left.ty && left.ty != Ty::Jsonb).collect();
    let right = same.choose(rng)?;
    let leaf = |column: &InScope| Expr::Leaf(column.ty, column.name.clone());
    Some(Expr::Op(Ty::Bool, "($1 = $2)", vec![leaf(left), leaf(right)]))
}

fn source(rng: &mut StdRng, depth: u32) -> (Source, Vec<(String, Ty)>) {
    if depth > 1 && rng.random_bool(0.15) {
        let types: Vec<Ty> = (0..rng.random_range(1..=3)).map(|_| Ty::random(rng)).collect();
        let query = Query::random(rng, Some(&types), &[], depth - 1);
        let columns = types.iter().enumerate().map(|(n, ty)| (format!("c{}", n + 1), *ty)).collect();
        return (Source::Derived(Box::new(query)), columns);
    }
    let table = TABLES.choose(rng).expect("tables");
    (Source::Table(table), table.columns.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect())
}

/// A subquery as an expression of a type: EXISTS and IN, or one value by an aggregate; it may look outside.
pub fn subquery(rng: &mut StdRng, ty: Ty, outer: &[InScope]) -> Option<Expr> {
    // Looking outside is the rarer case.
    let outer: &[InScope] = if rng.random_bool(0.5) { outer } else { &[] };
    let plain = |mut query: Query| {
        (query.ordered, query.limit, query.distinct) = (false, None, false);
        Box::new(query)
    };
    if ty == Ty::Bool {
        let query = Query::random(rng, Some(&[Ty::Int4]), outer, 1);
        return Some(if rng.random_bool(0.5) {
            Expr::Sub(ty, "EXISTS ($1)", plain(query))
        } else {
            Expr::Sub(ty, "(42 IN ($1))", plain(query))
        });
    }
    let fitting: Vec<_> = AGGREGATES.iter().filter(|rule| rule.0 == ty).collect();
    let (_, template, arguments) = fitting.choose(rng)?;
    let (from, mut scope) = from_clause(rng, 1);
    if from.is_empty() {
        return None;
    }
    let arguments = arguments.iter().map(|ty| column(rng, *ty, &scope)).collect::<Option<Vec<_>>>()?;
    scope.extend_from_slice(outer);
    let filter = rng.random_bool(0.7).then(|| Expr::random(rng, Ty::Bool, &scope, 1));
    let query = Query {
        distinct: false,
        select: vec![Expr::Op(ty, template, arguments)],
        from,
        filter,
        group: Vec::new(),
        having: None,
        ordered: false,
        limit: None,
        combined: None,
    };
    Some(Expr::Sub(ty, "($1)", Box::new(query)))
}
