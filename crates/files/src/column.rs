//! A column of a file: its name in SQL and its type.

use std::collections::HashMap;

use heliosdb_types::SqlType;

/// A column as SQL sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileColumn {
    pub name: String,
    /// As the file calls it.
    pub key: String,
    pub sql_type: SqlType,
    /// The type as CREATE TABLE takes it.
    pub sql_name: String,
}

/// Names of columns: lower case, of letters, digits and underscores, each once.
pub fn unique_names<'a>(found: impl Iterator<Item = &'a str>, numbered: bool) -> Vec<String> {
    let mut used: HashMap<String, usize> = HashMap::new();
    let mut given: std::collections::HashSet<String> = std::collections::HashSet::new();
    let one = |(at, field): (usize, &str)| {
        let fallback = format!("column{}", at + 1);
        let field = field.trim_start_matches('\u{feff}');
        let name = if numbered { fallback } else { plain_name(field, &fallback) };
        let mut unique = name.clone();
        while !given.insert(unique.clone()) {
            let times = used.entry(name.clone()).or_insert(1);
            *times += 1;
            unique = format!("{name}_{times}");
        }
        unique
    };
    found.enumerate().map(one).collect()
}

/// A text as a name that needs no quotes.
pub fn plain_name(text: &str, fallback: &str) -> String {
    // An underscore at either end was meant.
    let (front, back) = (if text.starts_with('_') { "_" } else { "" }, if text.ends_with('_') { "_" } else { "" });
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let name = words.join("_");
    match name.chars().next() {
        None => fallback.to_owned(),
        Some(c) if c.is_ascii_digit() => format!("_{name}{back}"),
        Some(_) => format!("{front}{name}{back}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_plain_and_unique() {
        let fields = ["Order ID", "order-id", "", "2nd", "größe", "\u{feff}x"];
        assert_eq!(
            unique_names(fields.into_iter(), false),
            ["order_id", "order_id_2", "column3", "_2nd", "größe", "x"]
        );
        assert_eq!(unique_names(fields.into_iter(), true)[1], "column2");
        assert_eq!(
            unique_names(["a", "a_2", "a", "_id", "VendorID"].into_iter(), false),
            ["a", "a_2", "a_3", "_id", "vendorid"]
        );
    }
}
