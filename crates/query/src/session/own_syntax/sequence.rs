//! CREATE SEQUENCE with its options in any order, and ALTER SEQUENCE.

use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::{OwnStatement, near, table_list, word};

/// What ALTER SEQUENCE changes.
#[derive(Clone, Debug)]
pub(crate) enum SequenceChange {
    /// RESTART, perhaps WITH a value.
    Restart(Option<i64>),
    /// OWNED BY a column, or (`None`) NONE.
    OwnedBy(Option<ast::ObjectName>),
    OwnerTo(ast::Ident),
}

/// `ALTER SEQUENCE [IF EXISTS] name RESTART [WITH n] | OWNED BY column | OWNER TO role`.
pub(super) fn alter_sequence(tokens: &[Token]) -> Result<OwnStatement> {
    let words: Vec<String> = tokens.iter().map(|token| word(Some(token)).unwrap_or_default()).collect();
    let if_exists = words.get(2).is_some_and(|w| w == "IF") && words.get(3).is_some_and(|w| w == "EXISTS");
    let start = if if_exists { 4 } else { 2 };
    let is_change =
        |w: &String| matches!(w.as_str(), "RESTART" | "OWNED" | "OWNER") || KNOWN_CHANGES.contains(&w.as_str());
    let at = words.iter().skip(start + 1).position(is_change).map(|at| at + start + 1);
    let at = at.ok_or_else(|| near(tokens.get(start + 1)))?;
    let names = |range: std::ops::Range<usize>| table_list("ALTER SEQUENCE", tokens.get(range).unwrap_or(&[]));
    let name = names(start..at)?.into_iter().next().ok_or_else(|| near(tokens.get(start)))?;
    let rest: Vec<&str> = words.iter().skip(at).map(String::as_str).collect();
    let number = |from: usize| {
        let text: String = tokens.iter().skip(from).map(ToString::to_string).collect();
        text.parse::<i64>().map_err(|_| near(tokens.get(from)))
    };
    let change = match rest.as_slice() {
        ["RESTART"] => SequenceChange::Restart(None),
        ["RESTART", "WITH", ..] => SequenceChange::Restart(Some(number(at + 2)?)),
        ["RESTART", ..] => SequenceChange::Restart(Some(number(at + 1)?)),
        ["OWNED", "BY", "NONE"] => SequenceChange::OwnedBy(None),
        ["OWNED", "BY", ..] => SequenceChange::OwnedBy(names(at + 2..tokens.len())?.into_iter().next()),
        ["OWNER", "TO", _] => match names(at + 2..tokens.len())?.pop().and_then(|mut name| name.0.pop()) {
            Some(ast::ObjectNamePart::Identifier(ident)) => SequenceChange::OwnerTo(ident),
            _ => return Err(near(tokens.get(at + 2))),
        },
        _ => return Err(Error::unsupported(format!("ALTER SEQUENCE ... {}", rest.first().unwrap_or(&"")))),
    };
    Ok(OwnStatement::AlterSequence { name, if_exists, change })
}

/// Changes PostgreSQL knows and we refuse.
const KNOWN_CHANGES: &[&str] =
    &["AS", "INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "NO", "CYCLE", "SET", "RENAME"];

/// CREATE SEQUENCE with its options in the one order the parser takes them; `None` if they are not plain options.
pub(super) fn ordered_sequence(tokens: &[Token]) -> Option<String> {
    const ORDER: [&str; 8] = ["AS", "INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "CYCLE", "OWNED"];
    let starts = |token: &Token| word(Some(token)).is_some_and(|w| w == "NO" || ORDER.contains(&w.as_str()));
    let first = tokens.iter().skip(2).position(starts)? + 2;
    let (head, options) = tokens.split_at_checked(first)?;
    let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
    let mut after_no = false;
    for token in options {
        let option = word(Some(token)).and_then(|w| ORDER.iter().position(|known| *known == w));
        match option {
            Some(at) if after_no => groups.last_mut()?.0 = at,
            Some(at) => groups.push((at, Vec::new())),
            None if word(Some(token)).as_deref() == Some("NO") => groups.push((0, Vec::new())),
            None => {}
        }
        after_no = word(Some(token)).as_deref() == Some("NO");
        groups.last_mut()?.1.push(token.to_string());
    }
    groups.sort_by_key(|(at, _)| *at);
    let head = head.iter().map(ToString::to_string);
    let words: Vec<String> = head.chain(groups.into_iter().flat_map(|(_, words)| words)).collect();
    Some(words.join(" ").replace(" . ", ".").replace("- ", "-"))
}
