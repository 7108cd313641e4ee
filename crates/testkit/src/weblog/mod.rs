//! A wide web log in the style of ClickBench: one row a page view, 88 columns, most of them mostly zero or empty, and 43 queries.

mod data;

pub use data::Log;

/// CREATE TABLE of `hits`. The key is the order of arrival, which is nearly that of time.
pub const SCHEMA: &str = include_str!("../../weblog/schema.sql");

/// The queries: (name, SQL text). Every one has an answer that does not depend on how ties are broken.
pub fn queries() -> Vec<(&'static str, &'static str)> {
    let parts = include_str!("../../weblog/queries.sql").split("-- ").skip(1);
    let query = |part: &'static str| {
        let (title, sql) = part.split_once('\n').expect("a title has a line of its own");
        let name = title.split(' ').next().expect("a title starts with a name");
        (name, sql.trim_end().trim_end_matches(';'))
    };
    parts.map(query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_43_queries_of_one_statement() {
        let queries = queries();
        let names: Vec<String> = queries.iter().map(|(name, _)| (*name).to_owned()).collect();
        let expected: Vec<String> = (1..=43).map(|number| format!("W{number:02}")).collect();
        assert_eq!(names, expected);
        assert!(queries.iter().all(|(_, sql)| sql.starts_with("SELECT") && !sql.contains(';')));
    }
}
