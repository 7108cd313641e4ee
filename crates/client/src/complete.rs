//! Completion of keywords, commands, tables and columns.

use crate::editor::Complete;
use crate::meta::COMMANDS;

const KEYWORDS: &str = "ALL ALTER ANALYZE AND ANY AS ASC BEGIN BETWEEN BY CASCADE CASE CAST CHECK COALESCE COLUMN COMMENT COMMIT \
    CONSTRAINT COPY COUNT CREATE CROSS DATABASE DEFAULT DELETE DESC DISTINCT DROP ELSE END EXCEPT EXISTS EXPLAIN EXTRACT \
    FALSE FETCH FILTER FOREIGN FROM FULL GRANT GROUP HAVING IF ILIKE IN INDEX INNER INSERT INTERSECT INTERVAL INTO IS JOIN \
    KEY LEFT LIKE LIMIT NOT NULL OFFSET ON OR ORDER OUTER OVER PARTITION PRIMARY REFERENCES RETURNING REVOKE RIGHT ROLE \
    ROLLBACK SAVEPOINT SCHEMA SELECT SEQUENCE SET SHOW TABLE THEN TO TRUE TRUNCATE UNION UNIQUE UPDATE USING VACUUM VALUES \
    VIEW WHEN WHERE WITH";

/// Most proposals a terminal is asked to show.
const PROPOSALS_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct SqlHelper {
    /// Tables, views and columns.
    pub names: Vec<String>,
}

impl SqlHelper {
    /// Where the word before `at` begins, and what it may become.
    fn proposals(&self, line: &str, at: usize) -> (usize, Vec<String>) {
        let before = line.get(..at).unwrap_or(line);
        if before.starts_with('\\') && !before.contains(char::is_whitespace) {
            return (
                0,
                COMMANDS.iter().filter(|command| command.starts_with(before)).map(ToString::to_string).collect(),
            );
        }
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
        let start = before
            .rfind(|c| !part_of_word(c))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = before.get(start..).unwrap_or_default();
        if word.is_empty() {
            return (start, Vec::new());
        }
        let lower = word.to_lowercase();
        let mut found: Vec<String> =
            self.names.iter().filter(|name| name.to_lowercase().starts_with(&lower)).cloned().collect();
        // In the case the word was begun in.
        let shout = word.chars().next().is_some_and(char::is_uppercase);
        let keywords = KEYWORDS.split_whitespace().filter(|keyword| keyword.to_lowercase().starts_with(&lower));
        found.extend(keywords.map(|keyword| if shout { keyword.to_owned() } else { keyword.to_lowercase() }));
        found.dedup();
        found.truncate(PROPOSALS_MAX);
        (start, found)
    }
}

impl Complete for SqlHelper {
    fn complete(&self, line: &str, at: usize) -> (usize, Vec<String>) {
        self.proposals(line, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_where_they_begin() {
        let helper = SqlHelper { names: vec!["orders".into(), "o_orderkey".into()] };
        assert_eq!(helper.proposals("select * from ord", 17), (14, vec!["orders".into(), "order".into()]));
        assert_eq!(helper.proposals("SEL", 3), (0, vec!["SELECT".into()]));
        assert_eq!(helper.proposals("select o.o_", 11), (9, vec!["o_orderkey".into()]));
        assert_eq!(helper.proposals("\\dt", 3).1, ["\\dt"]);
        assert!(helper.proposals("é ", 3).1.is_empty() && helper.proposals("", 0).1.is_empty());
    }
}
