//! Backslash commands: what they mean, and the catalog queries behind them.

pub(crate) enum Meta {
    Quit,
    Help,
    Timing,
    Expanded,
    ConnInfo,
    Format(String),
    File(String),
    Connect(String),
    /// Queries to show, each with a heading; the last argument says what to print when the first finds nothing.
    Describe {
        queries: Vec<(String, String)>,
        nothing: Option<String>,
    },
    Wrong(String),
}

pub(crate) const HELP: &str = r"\?                 this help
\q                 quit
\d [NAME]          tables and views; a table's columns, indexes and constraints
\dt \dv \di \ds    tables, views, indexes, sequences
\dn \du \l \df     schemas, roles, databases, functions
\x                 records one below the other: on, off
\timing            show how long statements take: on, off
\format FORMAT     table, csv or json
\i FILE            run a file
\c DATABASE        connect to another database
\conninfo          where we are connected
Statements end with a semicolon. Ctrl-C cancels what runs, Ctrl-D quits.";

/// All of them, for completion.
pub(crate) const COMMANDS: [&str; 18] = [
    r"\?",
    r"\c",
    r"\conninfo",
    r"\d",
    r"\df",
    r"\di",
    r"\dn",
    r"\ds",
    r"\dt",
    r"\du",
    r"\dv",
    r"\format",
    r"\i",
    r"\l",
    r"\q",
    r"\quit",
    r"\timing",
    r"\x",
];

const USERS_SCHEMAS: &str = "n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_t'";

pub(crate) fn parse(line: &str) -> Meta {
    let mut words = line.trim().trim_end_matches(';').splitn(2, char::is_whitespace);
    let command = words.next().unwrap_or_default();
    let argument = words.next().map(str::trim).filter(|word| !word.is_empty());
    let one = |title: &str, sql: String| Meta::Describe { queries: vec![(title.to_owned(), sql)], nothing: None };
    match (command, argument) {
        (r"\q" | r"\quit", _) => Meta::Quit,
        (r"\?" | r"\h" | r"\help", _) => Meta::Help,
        (r"\timing", _) => Meta::Timing,
        (r"\x", _) => Meta::Expanded,
        (r"\conninfo", _) => Meta::ConnInfo,
        (r"\format", Some(name)) => Meta::Format(name.to_owned()),
        (r"\i", Some(path)) => Meta::File(path.to_owned()),
        (r"\c" | r"\connect", Some(name)) => Meta::Connect(name.to_owned()),
        (r"\d" | r"\d+", Some(name)) => describe(name),
        (r"\d" | r"\d+", None) => one("List of relations", relations("'r','p','v','m','S','f'", None)),
        (r"\dt" | r"\dt+", name) => one("List of tables", relations("'r','p'", name)),
        (r"\dv" | r"\dv+", name) => one("List of views", relations("'v','m'", name)),
        (r"\di" | r"\di+", name) => one("List of indexes", relations("'i','I'", name)),
        (r"\ds" | r"\ds+", name) => one("List of sequences", relations("'S'", name)),
        (r"\dn" | r"\dn+", _) => one(
            "List of schemas",
            format!(
                "SELECT n.nspname AS \"Name\", pg_get_userbyid(n.nspowner) AS \"Owner\" FROM pg_namespace n \
             WHERE {USERS_SCHEMAS} ORDER BY 1"
            ),
        ),
        (r"\du" | r"\du+", _) => one(
            "List of roles",
            "SELECT rolname AS \"Role name\", \
             rolsuper AS \"Superuser\", rolcanlogin AS \"May log in\", rolcreatedb AS \"May create databases\" \
             FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
                .to_owned(),
        ),
        (r"\l" | r"\l+", _) => one(
            "List of databases",
            "SELECT datname AS \"Name\", pg_get_userbyid(datdba) AS \"Owner\" \
             FROM pg_database ORDER BY 1"
                .to_owned(),
        ),
        (r"\df" | r"\df+", name) => one(
            "List of functions",
            format!(
                "SELECT n.nspname AS \"Schema\", p.proname AS \"Name\", count(*) AS \"Variants\" FROM pg_proc p \
             JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {} GROUP BY 1, 2 ORDER BY 1, 2",
                name.map_or_else(|| USERS_SCHEMAS.to_owned(), |name| format!("p.proname LIKE {}", pattern(name)))
            ),
        ),
        (r"\format" | r"\i" | r"\c" | r"\connect", None) => Meta::Wrong(format!("{command} needs an argument")),
        _ => Meta::Wrong(format!("invalid command {command}; try \\? for help")),
    }
}

fn relations(kinds: &str, name: Option<&str>) -> String {
    let condition = match name {
        None => USERS_SCHEMAS.to_owned(),
        Some(name) => match name.split_once('.') {
            Some((schema, name)) => {
                format!("n.nspname LIKE {} AND c.relname LIKE {}", pattern(schema), pattern(name))
            }
            None => format!("c.relname LIKE {}", pattern(name)),
        },
    };
    format!(
        "SELECT n.nspname AS \"Schema\", c.relname AS \"Name\", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN \
         'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' \
         THEN 'sequence' WHEN 'f' THEN 'foreign table' END AS \"Type\", pg_get_userbyid(c.relowner) AS \"Owner\" \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ({kinds}) AND {condition} \
         ORDER BY 1, 2"
    )
}

fn describe(name: &str) -> Meta {
    // to_regclass folds and quotes as SQL does.
    let table = literal(name);
    let oid = format!("CAST({table} AS regclass)");
    let queries = vec![
        (
            format!("\"{name}\""),
            format!(
                "SELECT a.attname AS \"Column\", format_type(a.atttypid, a.atttypmod) AS \"Type\", \
             CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS \"Nullable\", \
             coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS \"Default\" FROM pg_attribute a \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
            ),
        ),
        (
            "Indexes".to_owned(),
            format!(
                "SELECT c.relname AS \"Name\", pg_get_indexdef(i.indexrelid) AS \"Definition\" FROM pg_index i \
             JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = {oid} ORDER BY i.indisprimary DESC, 1"
            ),
        ),
        (
            "Constraints".to_owned(),
            format!(
                "SELECT conname AS \"Name\", pg_get_constraintdef(oid) AS \"Definition\" FROM pg_constraint \
             WHERE conrelid = {oid} AND contype <> 'n' ORDER BY 1"
            ),
        ),
    ];
    Meta::Describe { queries, nothing: Some(format!("Did not find any relation named \"{name}\".")) }
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// psql's patterns: `*` and `?`.
fn pattern(name: &str) -> String {
    literal(
        &name
            .to_lowercase()
            .replace('\\', "\\\\")
            .replace('_', "\\_")
            .replace('%', "\\%")
            .replace('*', "%")
            .replace('?', "_"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_offered_is_understood() {
        for command in COMMANDS {
            let line = format!("{command} x");
            assert!(!matches!(parse(&line), Meta::Wrong(_)), "{command}");
        }
        assert!(matches!(parse(r"\nonsense"), Meta::Wrong(_)));
        assert!(matches!(parse(r"\i"), Meta::Wrong(_)));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(pattern("Or_d*"), r"'or\_d%'");
    }
}
