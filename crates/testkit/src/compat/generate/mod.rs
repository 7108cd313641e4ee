//! Random statements over the supported surface, and simpler ones when two servers disagree.

mod expr;
mod query;
mod rules;
mod tables;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use expr::{Expr, InScope, Ty};
use query::Query;
pub use tables::SETUP;
use tables::TABLES;

/// A random statement, kept as a tree.
#[derive(Clone, Debug)]
pub enum Statement {
    Select(Query),
    Update { table: &'static str, column: &'static str, value: Expr, filter: Expr },
    Delete { table: &'static str, filter: Expr },
    Insert { table: &'static str, columns: &'static str, query: Query },
}

impl Statement {
    /// The statement of a seed; the same each time.
    pub fn of_seed(seed: u64) -> Statement {
        let mut rng = StdRng::seed_from_u64(seed);
        match rng.random_range(0..100) {
            0..3 => {
                let table = TABLES.choose(&mut rng).expect("tables");
                Statement::Delete { table: table.name, filter: Expr::random(&mut rng, Ty::Bool, &scope_of(table), 3) }
            }
            3..7 => {
                let table = TABLES.choose(&mut rng).expect("tables");
                // Any column but the key and those with a length or scale of their own.
                let plain = |(name, _): &&(&str, Ty)| !["id", "m", "v", "x"].contains(name);
                let columns: Vec<_> = table.columns.iter().filter(plain).collect();
                let (column, ty) = **columns.choose(&mut rng).expect("columns");
                let scope = scope_of(table);
                let value = Expr::random(&mut rng, ty, &scope, 3);
                Statement::Update {
                    table: table.name,
                    column,
                    value,
                    filter: Expr::random(&mut rng, Ty::Bool, &scope, 2),
                }
            }
            7..10 => {
                let mut query = Query::random(&mut rng, Some(&[Ty::Text, Ty::Int4]), &[], 2);
                (query.ordered, query.limit) = (true, Some((20, 0)));
                Statement::Insert { table: "txt", columns: "t, k, id", query }
            }
            _ => Statement::Select(Query::random(&mut rng, None, &[], 3)),
        }
    }

    pub fn sql(&self) -> String {
        match self {
            Statement::Select(query) => query.sql(),
            Statement::Update { table, column, value, filter } => {
                format!("UPDATE {table} SET {column} = {} WHERE {} RETURNING id, {column}", value.sql(), filter.sql())
            }
            Statement::Delete { table, filter } => format!("DELETE FROM {table} WHERE {} RETURNING id", filter.sql()),
            Statement::Insert { table, columns, query } => format!(
                "INSERT INTO {table} ({columns}) SELECT c1, c2, 1000 + row_number() OVER (ORDER BY c1, c2) FROM ({}) q RETURNING *",
                query.sql()
            ),
        }
    }

    /// Whether the order of rows is part of the answer.
    pub fn ordered(&self) -> bool {
        matches!(self, Statement::Select(query) if query.ordered)
    }

    /// Statements with one thing less; made as they are asked for.
    pub fn simpler(&self) -> Box<dyn Iterator<Item = Statement> + '_> {
        match self {
            Statement::Select(query) => Box::new(query.simpler().map(Statement::Select)),
            Statement::Update { table, column, value, filter } => {
                let filters = filter.simpler().map(|filter| (value.clone(), filter));
                let values = value.simpler().map(|value| (value, filter.clone()));
                Box::new(filters.chain(values).map(|(value, filter)| Statement::Update {
                    table,
                    column,
                    value,
                    filter,
                }))
            }
            Statement::Delete { table, filter } => {
                Box::new(filter.simpler().map(|filter| Statement::Delete { table, filter }))
            }
            Statement::Insert { table, columns, query } => {
                let kept = query.simpler().filter(|q| q.select.len() == 2);
                Box::new(kept.map(|query| Statement::Insert { table, columns, query }))
            }
        }
    }
}

fn scope_of(table: &tables::Table) -> Vec<InScope> {
    table.columns.iter().map(|(name, ty)| InScope { name: (*name).to_owned(), ty: *ty }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_statement_each_time() {
        for seed in 0..200 {
            assert_eq!(Statement::of_seed(seed).sql(), Statement::of_seed(seed).sql());
        }
        assert_ne!(Statement::of_seed(1).sql(), Statement::of_seed(2).sql());
    }

    #[test]
    fn templates_take_their_arguments_by_number() {
        assert_eq!(expr::fill("f($2, $1, '$')", &["a".into(), "b".into()]), "f(b, a, '$')");
    }
}
