//! Random statements over the supported surface, and simpler ones when two servers disagree.

mod area;
mod expr;
mod from;
mod group;
mod params;
mod query;
mod rules;
mod subquery;
mod tables;
mod ty;
mod window;
mod write;

use rand::SeedableRng;
use rand::rngs::StdRng;

#[cfg(test)]
use area::AREAS;
pub use params::Param;
use query::Query;
pub use tables::SETUP;
use write::Write;

/// A random statement, kept as a tree.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Which part of the surface it is about.
    pub area: &'static str,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Select(Box<Query>),
    Write(Write),
}

impl Statement {
    /// The statement of a seed; the same each time.
    pub fn of_seed(seed: u64) -> Statement {
        let (area, mut g) = area::choose(StdRng::seed_from_u64(seed));
        let kind = match area {
            "writes" => Kind::Write(Write::random(&mut g)),
            _ => Kind::Select(Box::new(Query::random(&mut g, None, &[], 3))),
        };
        Statement { area, kind }
    }

    /// The text, with `$1`... where it has parameters.
    pub fn sql(&self) -> (String, Vec<Param>) {
        params::number(&match &self.kind {
            Kind::Select(query) => query.sql(),
            Kind::Write(write) => write.sql(),
        })
    }

    /// The text with its parameters' values, for people.
    pub fn shown(&self) -> String {
        let (sql, params) = self.sql();
        let values: Vec<String> = params.iter().map(|param| format!("'{}' ({})", param.value, param.oid)).collect();
        if values.is_empty() { sql } else { format!("{sql}  -- {}", values.join(", ")) }
    }

    /// What shrinking makes less.
    pub fn length(&self) -> usize {
        self.shown().len()
    }

    pub fn writes(&self) -> bool {
        matches!(self.kind, Kind::Write(_))
    }

    /// Whether the order of rows is part of the answer.
    pub fn ordered(&self) -> bool {
        matches!(&self.kind, Kind::Select(query) if query.ordered())
    }

    /// Its expressions, each on its own over all rows it could see: what one server need not compute, the other may.
    pub fn pieces(&self) -> Vec<(String, Vec<Param>)> {
        let mut all = Vec::new();
        match &self.kind {
            Kind::Select(query) => query.pieces(&mut all),
            Kind::Write(write) => write.pieces(&mut all),
        }
        all.iter().map(|text| params::number(text)).collect()
    }

    /// Statements with one thing less; made as they are asked for.
    pub fn simpler(&self) -> Box<dyn Iterator<Item = Statement> + '_> {
        let of = |kind| Statement { area: self.area, kind };
        match &self.kind {
            Kind::Select(query) => Box::new(query.simpler().map(move |query| of(Kind::Select(Box::new(query))))),
            Kind::Write(write) => Box::new(write.simpler().map(move |write| of(Kind::Write(write)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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

    #[test]
    fn every_area_and_clause_is_generated() {
        let mut areas = BTreeMap::new();
        let mut text = String::new();
        for seed in 0..4000 {
            let statement = Statement::of_seed(seed);
            *areas.entry(statement.area).or_insert(0) += 1;
            text.push_str(&statement.sql().0);
            text.push('\n');
        }
        assert!(AREAS.iter().all(|area| areas.get(area.name).is_some_and(|times| *times > 50)), "{areas:?}");
        for clause in [
            "WITH q0 AS MATERIALIZED",
            "WITH RECURSIVE",
            "DISTINCT ON",
            "FULL JOIN",
            "ROLLUP (",
            "CUBE (",
            "GROUPING SETS (",
            "GROUPING(",
            "HAVING",
            "FILTER (WHERE",
            "GROUPS BETWEEN",
            "RANGE BETWEEN",
            "INTERSECT ALL",
            "NOT IN (SELECT",
            "ALL (SELECT",
            "EXISTS (SELECT",
            "ARRAY(SELECT",
            "OFFSET",
            "NULLS FIRST",
            "ON CONFLICT (id) DO UPDATE",
            "USING",
            "DEFAULT",
            "RETURNING",
            "$2",
        ] {
            assert!(text.contains(clause), "no statement has {clause}");
        }
    }
}
