//! The parts of the surface that are counted on their own, and the habits of their statements.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::expr::{Gen, Habits};
use super::rules::FAMILIES;

pub struct Area {
    pub name: &'static str,
    weight: u32,
    habits: Habits,
}

/// A simple query.
const PLAIN: Habits =
    Habits { joins: false, filter: 0.4, group: 0.08, window: 0.02, combine: 0.02, cte: 0.0, subquery: 0.01 };

pub const AREAS: &[Area] = &[
    Area { name: "logic", weight: 8, habits: PLAIN },
    Area { name: "numbers", weight: 9, habits: PLAIN },
    Area { name: "text", weight: 9, habits: PLAIN },
    Area { name: "dates", weight: 9, habits: PLAIN },
    Area { name: "json", weight: 7, habits: PLAIN },
    Area { name: "arrays", weight: 7, habits: PLAIN },
    Area { name: "casts", weight: 7, habits: PLAIN },
    // Arguments of types the templates do not have: overloads, implicit casts, what does not exist.
    Area { name: "mixed types", weight: 7, habits: Habits { combine: 0.15, ..PLAIN } },
    Area { name: "parameters", weight: 6, habits: PLAIN },
    Area { name: "joins", weight: 6, habits: Habits { joins: true, filter: 0.7, subquery: 0.03, ..PLAIN } },
    Area { name: "grouping", weight: 7, habits: Habits { group: 0.95, filter: 0.4, ..PLAIN } },
    Area { name: "windows", weight: 6, habits: Habits { window: 0.6, ..PLAIN } },
    Area { name: "set operations", weight: 4, habits: Habits { combine: 0.9, ..PLAIN } },
    Area { name: "subqueries", weight: 5, habits: Habits { subquery: 0.25, filter: 0.9, ..PLAIN } },
    Area { name: "common tables", weight: 3, habits: Habits { cte: 1.0, group: 0.2, ..PLAIN } },
    Area { name: "writes", weight: 8, habits: Habits { subquery: 0.04, ..PLAIN } },
];

/// An area, and what generates its statements.
pub fn choose(mut rng: StdRng) -> (&'static str, Gen) {
    let area = AREAS.choose_weighted(&mut rng, |area| area.weight).expect("weights");
    let named = FAMILIES.iter().find(|(name, _)| *name == area.name);
    let family = match area.name {
        "mixed types" | "parameters" => FAMILIES.choose(&mut rng),
        _ => named,
    };
    // Small lapses and parameters turn up elsewhere too.
    let loose = area.name == "mixed types" || rng.random_bool(0.02);
    let parameters = area.name == "parameters" || rng.random_bool(0.03);
    let family = family.map(|(_, rules)| *rules);
    (area.name, Gen { rng, habits: area.habits, family, loose, casts: area.name == "casts", parameters })
}
