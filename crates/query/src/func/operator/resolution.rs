//! Which operator PostgreSQL would take where ours does not know one: its rules (`oper` and `func_select_candidate` in its
//! parser) over its own table of operators, so that an untyped literal gets the type it has there, and a wrong or ambiguous
//! pair the same error. Asked only after our own rules have found nothing.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use heliosdb_types::SqlType;

use crate::func::types::named_type;

const TEXT: &str = include_str!("operators.txt");
const UNKNOWN: &str = "unknown";
/// How the names of enums begin here; nothing in the table does.
const ENUM: &str = "enum ";

/// What the rules come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No operator takes these operands: 42883.
    None,
    /// Several do, none better than the others: 42725.
    Several,
    /// PostgreSQL's names of the operand types; an empty left one for a prefix operator.
    One(&'static str, &'static str),
}

type Pair = (&'static str, &'static str);

struct Table {
    /// Category and whether preferred.
    types: HashMap<&'static str, (char, bool)>,
    casts: HashSet<Pair>,
    operators: HashMap<&'static str, Vec<Pair>>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table { types: HashMap::new(), casts: HashSet::new(), operators: HashMap::new() };
        for line in TEXT.lines().filter(|line| !line.starts_with("-- ")) {
            let mut words = line.split(' ');
            match (words.next(), words.clone().next(), words.clone().nth(1)) {
                (Some("type"), Some(name), Some(category)) => {
                    let kind = category.chars().next().unwrap_or('U');
                    table.types.insert(name, (kind, category.ends_with('!')));
                }
                (Some("cast"), Some(from), Some(to)) => {
                    table.casts.insert((from, to));
                }
                (Some(symbol), Some(_), _) => {
                    table.operators.insert(symbol, words.filter_map(|pair| pair.split_once(',')).collect());
                }
                _ => {}
            }
        }
        table
    })
}

/// PostgreSQL's name of a type, as its `pg_type` has it.
fn name_of(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Array(element) => format!("_{}", name_of(element)),
        SqlType::Enum(_) => format!("{ENUM}{}", sql_type.oid().0),
        SqlType::Int2 => "int2".to_owned(),
        SqlType::Int4 => "int4".to_owned(),
        SqlType::Int8 => "int8".to_owned(),
        SqlType::Float4 => "float4".to_owned(),
        SqlType::Float8 => "float8".to_owned(),
        SqlType::Numeric(_) => "numeric".to_owned(),
        SqlType::Bool => "bool".to_owned(),
        SqlType::QuotedChar => "char".to_owned(),
        SqlType::Char(_) => "bpchar".to_owned(),
        SqlType::Varchar(_) => "varchar".to_owned(),
        SqlType::Time(_) => "time".to_owned(),
        SqlType::Timestamp(_) => "timestamp".to_owned(),
        SqlType::Timestamptz(_) => "timestamptz".to_owned(),
        other => other.name(),
    }
}

/// The type of that name, if there is one here.
pub(super) fn type_named(name: &str) -> Option<SqlType> {
    if let Some(element) = name.strip_prefix('_') {
        return type_named(element).map(|element| element.array_of());
    }
    named_type(name, &[])?.ok()
}

impl Table {
    fn kind(&self, name: &str) -> (char, bool) {
        match name.strip_prefix('_') {
            Some(_) => ('A', false),
            None if name.starts_with(ENUM) => ('E', false),
            None => self.types.get(name).copied().unwrap_or(('U', false)),
        }
    }

    /// Whether an operand may stand where `to` is asked for.
    fn becomes(&self, from: &str, to: &str) -> bool {
        if from == UNKNOWN || from == to {
            return true;
        }
        let is_array = from.starts_with('_');
        match to {
            "any" | "anyelement" | "anycompatible" => true,
            "anyarray" | "anycompatiblearray" => is_array,
            "anynonarray" | "anycompatiblenonarray" => !is_array,
            "anyenum" => from.starts_with(ENUM),
            _ => match (from.strip_prefix('_'), to.strip_prefix('_')) {
                (Some(from), Some(to)) => self.casts.iter().any(|pair| *pair == (from, to)),
                _ => self.casts.iter().any(|pair| *pair == (from, to)),
            },
        }
    }

    fn fits(&self, operands: &[String; 2], candidate: Pair) -> bool {
        let [left, right] = operands;
        let known = left != UNKNOWN && right != UNKNOWN;
        let agree = match candidate {
            (l, r) if known && l.starts_with("anycompatible") && r.starts_with("anycompatible") => {
                // One type must do for both, or for the elements of both.
                let (left, right) = (element_of(l, left), element_of(r, right));
                self.becomes(left, right) || self.becomes(right, left)
            }
            (l, r) if known && l == r && l.starts_with("any") => left == right,
            _ => true,
        };
        agree && self.becomes(left, candidate.0) && self.becomes(right, candidate.1)
    }
}

fn element_of<'n>(slot: &str, operand: &'n str) -> &'n str {
    if slot == "anycompatiblearray" { operand.strip_prefix('_').unwrap_or(operand) } else { operand }
}

/// The operator `symbol` for operands of these types; `None` on the left of a prefix operator.
pub(super) fn resolve(symbol: &str, left: Option<&SqlType>, right: &SqlType) -> Found {
    let table = table();
    let Some(all) = table.operators.get(symbol) else { return Found::None };
    let operands = [left.map(name_of).unwrap_or_default(), name_of(right)];
    let candidates: Vec<Pair> = all.iter().copied().filter(|pair| pair.0.is_empty() == left.is_none()).collect();
    // An untyped operand first counts as one of the other's type.
    let assumed = match &operands {
        [left, right] if left == UNKNOWN && !right.is_empty() => [right.clone(), right.clone()],
        [left, right] if right == UNKNOWN && !left.is_empty() => [left.clone(), left.clone()],
        other => other.clone(),
    };
    if let Some(exact) = candidates.iter().find(|pair| [pair.0, pair.1] == [&assumed[0], &assumed[1]]) {
        return Found::One(exact.0, exact.1);
    }
    let fitting: Vec<Pair> = candidates.into_iter().filter(|pair| table.fits(&operands, *pair)).collect();
    match fitting.as_slice() {
        [] => Found::None,
        [one] => Found::One(one.0, one.1),
        _ => match select(table, operands, fitting) {
            Some(one) => Found::One(one.0, one.1),
            None => Found::Several,
        },
    }
}

/// PostgreSQL's `func_select_candidate`: the best of several that fit.
fn select(table: &Table, operands: [String; 2], candidates: Vec<Pair>) -> Option<Pair> {
    let slots = |pair: Pair| [pair.0, pair.1].into_iter().zip(&operands).filter(|(_, operand)| !operand.is_empty());
    let exact = |pair: &Pair| slots(*pair).filter(|(slot, operand)| *slot == operand.as_str()).count();
    let candidates = best(candidates, exact);
    let preferred = |pair: &Pair| {
        let fits = |slot: &str, operand: &str| {
            operand != UNKNOWN && (slot == operand || table.kind(slot) == (table.kind(operand).0, true))
        };
        slots(*pair).filter(|(slot, operand)| fits(slot, operand)).count()
    };
    let candidates = best(candidates, preferred);
    if let [one] = candidates.as_slice() {
        return Some(*one);
    }
    if !operands.iter().any(|operand| operand == UNKNOWN) {
        return None;
    }
    // The category of each untyped operand: the one all candidates agree on, or text's.
    let kinds = |at: usize| candidates.iter().map(move |pair| table.kind([pair.0, pair.1][at]));
    let mut wanted = [None; 2];
    let mut agreed = true;
    for (at, _) in operands.iter().enumerate().filter(|(_, operand)| operand.as_str() == UNKNOWN) {
        let first = kinds(at).next().map_or('U', |kind| kind.0);
        let one = kinds(at).all(|kind| kind.0 == first);
        let category = if !one && kinds(at).any(|kind| kind.0 == 'S') { 'S' } else { first };
        agreed &= one || category == 'S';
        wanted[at] = Some((category, kinds(at).any(|kind| kind == (category, true))));
    }
    if agreed {
        let keeps = |pair: &&Pair| {
            [pair.0, pair.1].iter().zip(wanted).all(|(slot, wanted)| {
                let kind = table.kind(slot);
                wanted.is_none_or(|(category, preferred)| kind.0 == category && (kind.1 || !preferred))
            })
        };
        let kept: Vec<Pair> = candidates.iter().filter(keeps).copied().collect();
        if let [one] = kept.as_slice() {
            return Some(*one);
        }
    }
    // Last, untyped operands as the known one's type.
    let known = operands.iter().find(|operand| !operand.is_empty() && operand.as_str() != UNKNOWN)?.clone();
    let both = if operands[0].is_empty() { [String::new(), known] } else { [known.clone(), known] };
    let mut fitting = candidates.into_iter().filter(|pair| table.fits(&both, *pair));
    let one = fitting.next();
    one.filter(|_| fitting.next().is_none())
}

/// Those with the highest count.
fn best(candidates: Vec<Pair>, count: impl Fn(&Pair) -> usize) -> Vec<Pair> {
    let most = candidates.iter().map(&count).max().unwrap_or_default();
    candidates.into_iter().filter(|pair| count(pair) == most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 answers them.
    #[test]
    fn chooses_as_postgres() {
        use SqlType::{Char, Int4, Json, Jsonb, Text, Time, Timestamp, Unknown};
        let texts = Text.array_of();
        for (symbol, left, right, found) in [
            ("#>>", Unknown, texts.clone(), Found::Several),
            ("#-", Unknown, texts, Found::One("jsonb", "_text")),
            ("->", Unknown, Int4, Found::Several),
            ("?", Unknown, Char(Some(4)), Found::One("jsonb", "text")),
            ("+", Time(None), Time(None), Found::Several),
            ("+", Timestamp(None), Time(None), Found::One("timestamp", "interval")),
            ("+", Json, Jsonb, Found::None),
            ("=", Json, Json, Found::None),
            ("||", Int4, Int4, Found::None),
            ("||", Int4.array_of(), Text, Found::None),
        ] {
            assert_eq!(resolve(symbol, Some(&left), &right), found, "{left:?} {symbol} {right:?}");
        }
        assert_eq!(resolve("~", None, &Unknown), Found::Several);
        assert_eq!(resolve("-", None, &Text), Found::None);
    }
}
