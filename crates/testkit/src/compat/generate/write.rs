//! INSERT, UPDATE, DELETE with RETURNING.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::expr::{Expr, Gen, InScope, in_place};
use super::query::{Order, Query, ties};
use super::tables::{SMALL, TABLES, Table};
use super::ty::Ty;

#[derive(Clone, Debug)]
pub enum Write {
    Update { table: &'static Table, other: Option<&'static Table>, set: Vec<(&'static str, Expr)>, filter: Expr },
    Delete { table: &'static Table, other: Option<&'static Table>, filter: Expr },
    InsertQuery { query: Box<Query> },
    InsertValues { table: &'static Table, columns: Vec<&'static str>, rows: Vec<Vec<Expr>>, conflict: Conflict },
}

#[derive(Clone, Debug)]
pub enum Conflict {
    Fails,
    Nothing,
    Update(&'static str, Expr),
}

impl Write {
    pub fn random(g: &mut Gen) -> Write {
        let table = TABLES.choose(&mut g.rng).expect("tables");
        let other = if g.rng.random_bool(0.25) { SMALL.iter().find(|other| other.name != table.name) } else { None };
        let mut scope = scope_of(table, table.name);
        match g.rng.random_range(0..10) {
            0..2 => {
                scope.extend(other.iter().flat_map(|other| scope_of(other, "o")));
                Write::Delete { table, other, filter: Expr::random(g, Ty::Bool, &scope, 3) }
            }
            2..5 => {
                scope.extend(other.iter().flat_map(|other| scope_of(other, "o")));
                let columns: Vec<_> = table.columns.iter().filter(|(name, _)| *name != "id").collect();
                let count = g.rng.random_range(1..=2);
                let chosen: Vec<_> = columns.choose_multiple(&mut g.rng, count).copied().collect();
                let set = chosen.iter().map(|(name, ty)| (*name, value(g, *ty, &scope))).collect();
                Write::Update { table, other, set, filter: Expr::random(g, Ty::Bool, &scope, 2) }
            }
            5..7 => {
                let mut query = Query::random(g, Some(&[Ty::Text, Ty::Int4]), &[], 2);
                // Which rows are the first is for an order to say.
                let total = query.select.iter().all(|expr| expr.ty().sorts()) && !ties(&query);
                query.order = if total { Order::Output(vec!["", " DESC"], Vec::new()) } else { Order::None };
                query.limit = total.then_some((Some(20), 0));
                Write::InsertQuery { query: Box::new(query) }
            }
            _ => insert_values(g, table),
        }
    }

    pub fn sql(&self) -> String {
        match self {
            Write::Update { table, other, set, filter } => {
                let list: Vec<String> = set.iter().map(|(name, value)| format!("{name} = {}", value.sql())).collect();
                let (from, and) = beside(table, *other, " FROM ");
                let name = table.name;
                let changed: Vec<String> = set.iter().map(|(column, _)| format!("{name}.{column}")).collect();
                format!(
                    "UPDATE {name} SET {}{from} WHERE {and}{} RETURNING {name}.id, {}",
                    list.join(", "),
                    filter.sql(),
                    changed.join(", ")
                )
            }
            Write::Delete { table, other, filter } => {
                let (using, and) = beside(table, *other, " USING ");
                format!("DELETE FROM {0}{using} WHERE {and}{1} RETURNING {0}.id", table.name, filter.sql())
            }
            Write::InsertQuery { query } => format!(
                "INSERT INTO txt (t, k, id) SELECT c1, c2, 1000 + row_number() OVER (ORDER BY c1, c2) FROM ({}) q RETURNING *",
                query.sql()
            ),
            Write::InsertValues { table, columns, rows, conflict } => {
                let row = |row: &Vec<Expr>| format!("({})", row.iter().map(Expr::sql).collect::<Vec<_>>().join(", "));
                let rows: Vec<String> = rows.iter().map(row).collect();
                let conflict = match conflict {
                    Conflict::Fails => String::new(),
                    Conflict::Nothing => " ON CONFLICT DO NOTHING".into(),
                    Conflict::Update(column, value) => {
                        format!(" ON CONFLICT (id) DO UPDATE SET {column} = {}", value.sql())
                    }
                };
                let list = columns.join(", ");
                let name = table.name;
                format!("INSERT INTO {name} ({list}) VALUES {}{conflict} RETURNING {list}", rows.join(", "))
            }
        }
    }

    /// Every expression as a query of its own, see [`super::Statement::pieces`].
    pub fn pieces(&self, out: &mut Vec<String>) {
        let over = |table: &Table, other: Option<&Table>| {
            let other = other.map(|other| format!(" CROSS JOIN {} o", other.name)).unwrap_or_default();
            format!(" FROM {}{other}", table.name)
        };
        match self {
            Write::Update { table, other, set, filter } => {
                let from = over(table, *other);
                set.iter().map(|(_, value)| value).chain([filter]).for_each(|expr| expr.pieces(&from, out));
                set.iter().for_each(|(name, value)| stored(table, name, value, &from, out));
                let from = other.map(|other| format!(" FROM {} o", other.name)).unwrap_or_default();
                set.iter().for_each(|(name, value)| assigned(table, name, value, &from, out));
            }
            Write::Delete { table, other, filter } => filter.pieces(&over(table, *other), out),
            Write::InsertQuery { query } => query.pieces(out),
            Write::InsertValues { table, rows, conflict, columns } => {
                rows.iter().flatten().for_each(|expr| expr.pieces("", out));
                for row in rows {
                    columns.iter().zip(row).for_each(|(name, value)| stored(table, name, value, "", out));
                    columns.iter().zip(row).for_each(|(name, value)| assigned(table, name, value, "", out));
                }
                if let Conflict::Update(name, value) = conflict {
                    let from = format!(" FROM {0} CROSS JOIN {0} excluded", table.name);
                    value.pieces(&from, out);
                    stored(table, name, value, &from, out);
                }
            }
        }
    }

    pub fn simpler(&self) -> Box<dyn Iterator<Item = Write> + '_> {
        match self {
            Write::Update { table, other, set, filter } => {
                let of = move |other, set, filter| Write::Update { table, other, set, filter };
                let alone = other.iter().map(move |_| of(None, set.clone(), filter.clone()));
                let fewer = (set.len() > 1).then(|| set.iter().cloned()).into_iter().flatten();
                let fewer = fewer.map(move |one| of(*other, vec![one], filter.clone()));
                let filters = filter.simpler().map(move |filter| of(*other, set.clone(), filter));
                let names: Vec<&'static str> = set.iter().map(|(name, _)| *name).collect();
                let values: Vec<Expr> = set.iter().map(|(_, value)| value.clone()).collect();
                let simpler: Vec<Vec<Expr>> = in_place(&values).collect();
                let values = simpler
                    .into_iter()
                    .map(move |values| of(*other, names.iter().copied().zip(values).collect(), filter.clone()));
                Box::new(alone.chain(fewer).chain(filters).chain(values))
            }
            Write::Delete { table, other, filter } => {
                let alone = other.iter().map(|_| Write::Delete { table, other: None, filter: filter.clone() });
                let filters = filter.simpler().map(|filter| Write::Delete { table, other: *other, filter });
                Box::new(alone.chain(filters))
            }
            Write::InsertQuery { query } => {
                let kept = query.simpler().filter(|q| q.select.len() == query.select.len());
                Box::new(kept.map(|query| Write::InsertQuery { query: Box::new(query) }))
            }
            Write::InsertValues { table, columns, rows, conflict } => {
                let of = move |columns, rows, conflict| Write::InsertValues { table, columns, rows, conflict };
                let plain =
                    (!matches!(conflict, Conflict::Fails)).then(|| of(columns.clone(), rows.clone(), Conflict::Fails));
                let fewer_rows = (rows.len() > 1).then(|| rows.iter()).into_iter().flatten();
                let fewer_rows = fewer_rows.map(move |row| of(columns.clone(), vec![row.clone()], conflict.clone()));
                let fewer_columns = (1..columns.len()).map(move |at| {
                    let mut columns = columns.clone();
                    columns.remove(at);
                    let without = |row: &Vec<Expr>| {
                        let mut row = row.clone();
                        row.remove(at);
                        row
                    };
                    of(columns, rows.iter().map(without).collect(), conflict.clone())
                });
                let values = rows.iter().enumerate().flat_map(move |(at, row)| {
                    in_place(row).map(move |row| {
                        let mut rows = rows.clone();
                        if let Some(place) = rows.get_mut(at) {
                            *place = row;
                        }
                        of(columns.clone(), rows, conflict.clone())
                    })
                });
                Box::new(plain.into_iter().chain(fewer_rows).chain(fewer_columns).chain(values))
            }
        }
    }
}

fn insert_values(g: &mut Gen, table: &'static Table) -> Write {
    let rest: Vec<&'static str> = table.columns.iter().map(|(name, _)| *name).filter(|name| *name != "id").collect();
    let count = g.rng.random_range(1..=3);
    let mut columns = vec!["id"];
    columns.extend(rest.choose_multiple(&mut g.rng, count).copied());
    let types: Vec<Ty> = columns.iter().filter_map(|name| ty_of(table, name)).collect();
    let mut rows = Vec::new();
    for n in 0..g.rng.random_range(1..=3) {
        // Some ids are taken.
        let id = if g.rng.random_bool(0.3) { 5 + n } else { 2000 + n };
        let mut row = vec![Expr::Leaf(Ty::Int4, id.to_string().into())];
        row.extend(
            types
                .iter()
                .skip(1)
                .map(|ty| if g.rng.random_bool(0.1) { Expr::Leaf(*ty, "DEFAULT".into()) } else { value(g, *ty, &[]) }),
        );
        rows.push(row);
    }
    let conflict = match g.rng.random_range(0..4) {
        0 => Conflict::Fails,
        1 => Conflict::Nothing,
        _ => {
            let column = columns.get(1).copied().unwrap_or("id");
            let ty = ty_of(table, column).unwrap_or(Ty::Int4);
            let mut scope = scope_of(table, table.name);
            scope.extend(scope_of(table, "excluded"));
            Conflict::Update(column, value(g, ty, &scope))
        }
    };
    Write::InsertValues { table, columns, rows, conflict }
}

/// A value as a column of numbers takes it.
fn stored(table: &Table, column: &str, value: &Expr, from: &str, out: &mut Vec<String>) {
    let typed = match (column, ty_of(table, column)) {
        ("m", _) => "numeric(12,2)",
        ("x", _) => "numeric(10,3)",
        (_, Some(ty @ (Ty::Int2 | Ty::Int4 | Ty::Int8 | Ty::Float4))) => ty.sql(),
        _ => return,
    };
    let value = value.sql();
    if value != "DEFAULT" {
        out.push(format!("SELECT ({value})::{typed}{from}"));
    }
}

/// A value as a column of characters takes it: a cast would cut what an assignment refuses.
fn assigned(table: &Table, column: &str, value: &Expr, from: &str, out: &mut Vec<String>) {
    let value = value.sql();
    if matches!(ty_of(table, column), Some(Ty::Varchar | Ty::Bpchar)) && value != "DEFAULT" {
        out.push(format!("UPDATE {} SET {column} = {value}{from}", table.name));
    }
}

/// A value to be stored in a column of the type, of another one now and then.
fn value(g: &mut Gen, ty: Ty, scope: &[InScope]) -> Expr {
    let ty = if g.rng.random_bool(0.15) { ty.neighbour(&mut g.rng) } else { ty };
    Expr::random(g, ty, scope, 2)
}

/// A second table, joined by its key so that each row meets one at most.
fn beside(table: &Table, other: Option<&Table>, word: &str) -> (String, String) {
    match other {
        Some(other) => (format!("{word}{} o", other.name), format!("{}.id = o.id AND ", table.name)),
        None => (String::new(), String::new()),
    }
}

fn ty_of(table: &Table, name: &str) -> Option<Ty> {
    table.columns.iter().find(|(column, _)| *column == name).map(|(_, ty)| *ty)
}

fn scope_of(table: &Table, alias: &str) -> Vec<InScope> {
    table.columns.iter().map(|(name, ty)| InScope { name: format!("{alias}.{name}"), ty: *ty }).collect()
}
