//! COPY's options as PostgreSQL spells them.

use std::sync::LazyLock;

use regex::Regex;

/// The parser knows options that are TRUE or FALSE; PostgreSQL, and pgbench's `freeze on`, know ON, OFF, 1 and 0 too.
pub(super) fn plain_booleans(copy: &str) -> std::borrow::Cow<'_, str> {
    static OPTION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)\b(freeze|header)\s+(on|off|1|0)\b").expect("a valid pattern"));
    // Options follow STDIN or STDOUT; what precedes may be a query that joins a table named header ON something.
    let Some(options) = copy.to_ascii_uppercase().rfind(" STD") else { return copy.into() };
    let (before, options) = copy.split_at(options);
    let options = OPTION.replace_all(options, |found: &regex::Captures<'_>| {
        let value = matches!(&found[2], "1") || found[2].eq_ignore_ascii_case("on");
        format!("{} {value}", &found[1])
    });
    format!("{before}{options}").into()
}
