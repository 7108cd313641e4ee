//! The supported surface as data: templates with the types of their result and arguments, one file a family.
//!
//! Left out: what PostgreSQL itself does not fix (random, clocks, identifiers, the order of unordered aggregates); the
//! test below says which functions those are, and that every other function of `docs/sql-functions.md` is here.

mod aggregates;
mod arrays;
mod conversions;
mod dates;
mod documents;
mod logic;
mod numbers;
mod sources;
mod text;

pub use aggregates::{AGGREGATES, WINDOW_FUNCTIONS};
pub use conversions::pair;
pub use sources::{SOURCES, TextSource};

use super::ty::Ty;

/// (result, template, arguments): `$1` stands for the first argument.
pub type Rule = (Ty, &'static str, &'static [Ty]);

/// Families of expressions by name; each is an area of its own in the report.
pub const FAMILIES: &[(&str, &[Rule])] = &[
    ("logic", logic::RULES),
    ("numbers", numbers::RULES),
    ("text", text::RULES),
    ("dates", dates::RULES),
    ("json", documents::RULES),
    ("arrays", arrays::RULES),
    ("casts", conversions::CASTS),
];

/// Every rule of a result type.
pub fn of_type(ty: Ty) -> Vec<&'static Rule> {
    FAMILIES.iter().flat_map(|(_, rules)| rules.iter()).filter(|rule| rule.0 == ty).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Functions whose answer differs from run to run, or that say something about the server itself; with them in
    /// a statement two servers could not be compared.
    const NOT_COMPARABLE: &[&str] = &[
        "random",
        "pg_notify",
        "pg_listening_channels",
        "clock_timestamp",
        "current_date",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "now",
        "statement_timestamp",
        "transaction_timestamp",
        "timeofday",
        "gen_random_uuid",
        "nextval",
        "currval",
        "lastval",
        "setval",
        "current_database",
        "current_schema",
        "current_schemas",
        "current_user",
        "session_user",
        "current_setting",
        "set_config",
        "version",
        "pg_backend_pid",
        "pg_get_expr",
        "pg_get_constraintdef",
        "pg_get_indexdef",
        "pg_get_viewdef",
        "obj_description",
        "col_description",
        "shobj_description",
        "pg_relation_size",
        "pg_table_size",
        "pg_total_relation_size",
        "pg_database_size",
        "pg_sleep",
        "has_table_privilege",
        "has_schema_privilege",
        "has_database_privilege",
        "to_regclass",
    ];

    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
    }

    #[test]
    fn every_published_function_is_generated() {
        let page = std::fs::read_to_string(crate::tidy::root().join("docs/sql-functions.md")).unwrap();
        let templates = FAMILIES.iter().flat_map(|(_, rules)| rules.iter()).chain(AGGREGATES).chain(WINDOW_FUNCTIONS);
        let mut all: String = templates.map(|rule| format!("{} ", rule.1)).collect();
        all.extend(SOURCES.iter().map(|source| format!("{} ", source.sql)));
        let known: std::collections::HashSet<&str> = words(&all).chain(NOT_COMPARABLE.iter().copied()).collect();
        let mut missing = Vec::new();
        for line in page.lines().filter_map(|line| line.strip_prefix("- `")) {
            // `a(x), b(y) → z`, `a, b(x) → z`, `name [(n)]`: names stand before a bracket, a comma or the arrow.
            let mut depth = 0;
            let mut name = String::new();
            for c in line.split('→').next().unwrap_or_default().chars() {
                match c {
                    '(' | '[' => depth += 1,
                    ')' | ']' => depth -= 1,
                    _ if depth > 0 => {}
                    c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' => name.push(c),
                    _ => name.push(' '),
                }
            }
            for word in words(&name).filter(|word| word.len() > 1 && !word.starts_with('_') && !word.ends_with('_')) {
                if !known.contains(word) && !["of", "in", "bigint", "integer", "numeric", "text"].contains(&word) {
                    missing.push(word.to_owned());
                }
            }
        }
        assert!(missing.is_empty(), "not reachable by the generator: {missing:?}");
    }

    #[test]
    fn templates_name_all_their_arguments() {
        let all = FAMILIES.iter().flat_map(|(_, rules)| rules.iter()).chain(AGGREGATES).chain(WINDOW_FUNCTIONS);
        for (_, template, arguments) in all {
            for n in 1..=arguments.len() {
                assert!(template.contains(&format!("${n}")), "{template} has no ${n}");
            }
            assert!(!template.contains(&format!("${}", arguments.len() + 1)), "{template} has no type for an argument");
        }
    }
}
