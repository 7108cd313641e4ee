//! What a sample says of one column: PostgreSQL's figures by PostgreSQL's rules, so that a small table gives the same in both.

use heliosdb_types::{Datum, DatumRef, SqlType, TextContext, text_of};

use crate::catalog::{ColumnStatistics, order_key, type_name};

/// Values wider than this are counted and not kept: nobody compares with them.
pub(super) const WIDE_BYTES: usize = 1024;

/// A value of a sampled row.
#[derive(Clone, Debug, Default)]
pub(super) enum Cell {
    #[default]
    Null,
    /// Too wide to be kept: its width.
    Wide(usize),
    Value(Datum),
}

/// The sample beside the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub table_rows: f64,
    /// The sample is the whole table.
    pub complete: bool,
    /// Different values in the whole table, if more than the sample has been looked at.
    pub distinct: Option<f64>,
    /// No two rows have the same value: a key of the table says so.
    pub unique: bool,
}

/// A value with its key and where it was in the sample.
struct Valued<'a> {
    key: Vec<u8>,
    at: usize,
    value: &'a Datum,
}

/// A value that came more than once.
struct Repeated {
    count: usize,
    /// Where its first is among the sorted values.
    first: usize,
}

/// `cells` are in the order of the table's rows; `target` is how many common values and groups there may be.
pub(super) fn column(sql_type: &SqlType, cells: &[Cell], size: Size, target: usize) -> Option<ColumnStatistics> {
    if cells.is_empty() {
        return None;
    }
    let rows = cells.len() as f64;
    let (mut nulls, mut wide, mut bytes) = (0usize, 0usize, 0f64);
    let mut values = Vec::with_capacity(cells.len());
    for cell in cells {
        match cell {
            Cell::Null => nulls += 1,
            Cell::Wide(width) => {
                wide += 1;
                bytes += *width as f64;
            }
            Cell::Value(value) => {
                bytes += width(sql_type, value.as_ref()) as f64;
                let (key, at) = (order_key(sql_type, value.as_ref()), values.len());
                values.push(Valued { key, at, value });
            }
        }
    }
    let present = cells.len() - nulls;
    let null_frac = nulls as f64 / rows;
    let mut found = ColumnStatistics {
        sql_type: type_name(sql_type),
        null_frac: null_frac as f32,
        width: match present {
            0 => fixed_width(sql_type).unwrap_or(0) as i32,
            present => (bytes / present as f64) as i32,
        },
        ..ColumnStatistics::default()
    };
    // json has no equality; of NULLs alone there is nothing more to say.
    if present == 0 || *sql_type == SqlType::Json {
        return Some(found);
    }
    if values.is_empty() {
        found.distinct = -(1.0 - null_frac) as f32;
        return Some(found);
    }
    // Equal values stay in the order of their rows.
    values.sort_by(|a, b| a.key.cmp(&b.key).then(a.at.cmp(&b.at)));
    let (different, repeated, common) = repeats(&values, target);
    let distinct = distinct(different, repeated, wide, (nulls, cells.len()), size);
    found.distinct = match distinct {
        // All different, however few there are.
        d if d >= size.table_rows * (1.0 - null_frac) => -(1.0 - null_frac) as f32,
        d if d > 0.1 * size.table_rows => -(d / size.table_rows) as f32,
        d => d as f32,
    };
    let whole = common.len() == different && wide == 0 && found.distinct > 0.0 && common.len() <= target;
    let counts: Vec<usize> = common.iter().map(|value| value.count).collect();
    let kept = match whole {
        true => common.len(),
        false => worth_keeping(&counts, distinct, null_frac, cells.len(), size),
    };
    let context = TextContext::default();
    let text = |valued: &Valued<'_>| text_of(valued.value.as_ref(), sql_type, &context);
    for value in common.iter().take(kept) {
        if let Some(valued) = values.get(value.first) {
            found.common.push(text(valued));
            found.frequencies.push((value.count as f64 / rows) as f32);
        }
    }
    let mut left_out = vec![false; values.len()];
    for value in common.iter().take(kept) {
        left_out.iter_mut().skip(value.first).take(value.count).for_each(|out| *out = true);
    }
    let others: Vec<&Valued<'_>> = values.iter().zip(&left_out).filter(|(_, out)| !**out).map(|(v, _)| v).collect();
    let bounds = (different - kept).min(target + 1);
    if bounds >= 2 && others.len() >= 2 {
        let at = |n: usize| n * (others.len() - 1) / (bounds - 1);
        found.bounds = (0..bounds).filter_map(|n| others.get(at(n))).map(|valued| text(valued)).collect();
    }
    found.correlation = correlation(&values);
    Some(found)
}

/// Different values, those that came more than once, and the `target` most common of these; equally common ones in their order.
fn repeats(values: &[Valued<'_>], target: usize) -> (usize, usize, Vec<Repeated>) {
    let (mut different, mut repeated) = (0, 0);
    let mut common: Vec<Repeated> = Vec::new();
    let mut first = 0;
    while let Some(start) = values.get(first) {
        let count = values.iter().skip(first).take_while(|value| value.key == start.key).count();
        different += 1;
        if count > 1 {
            repeated += 1;
            common.push(Repeated { count, first });
        }
        first += count;
    }
    common.sort_by(|a, b| b.count.cmp(&a.count).then(a.first.cmp(&b.first)));
    common.truncate(target);
    (different, repeated, common)
}

/// Different values in the whole table. From a sample alone by Haas and Stokes' Duj1 (as PostgreSQL does).
fn distinct(different: usize, repeated: usize, wide: usize, nulls: (usize, usize), size: Size) -> f64 {
    let (nulls, rows) = (nulls.0 as f64, nulls.1 as f64);
    let present = size.table_rows * (1.0 - nulls / rows);
    if size.unique || repeated == 0 && (size.complete || size.distinct.is_none()) {
        return present;
    }
    if let Some(counted) = size.distinct.filter(|_| !size.complete) {
        // What is nearly all different is.
        return if counted > 0.97 * present { present } else { counted.max(different as f64).round() };
    }
    if wide == 0 && repeated == different {
        return different as f64;
    }
    let once = (different - repeated + wide) as f64;
    let seen = once + repeated as f64;
    let drawn = rows - nulls;
    let estimate = match present > 0.0 {
        true => drawn * seen / ((drawn - once) + once * drawn / present),
        false => 0.0,
    };
    (estimate.clamp(seen, present.max(seen)) + 0.5).floor()
}

/// How many of the counts (the largest first) are surely larger than what values not in the list have on average: by two
/// standard deviations of the count of a value in a sample drawn without putting back.
fn worth_keeping(counts: &[usize], distinct: f64, null_frac: f64, sampled: usize, size: Size) -> usize {
    if size.complete || size.table_rows <= 1.0 {
        return counts.len();
    }
    let (sample, table) = (sampled as f64, size.table_rows);
    let mut kept = counts.len();
    let mut before: f64 = counts.iter().take(kept.saturating_sub(1)).map(|count| *count as f64).sum();
    while let Some(least) = kept.checked_sub(1).and_then(|at| counts.get(at)) {
        let least = *least as f64;
        let mut share = (1.0 - before / sample - null_frac).clamp(0.0, 1.0);
        let others = distinct - (kept - 1) as f64;
        if others > 1.0 {
            share /= others;
        }
        let inside = table * least / sample;
        let variance = sample * inside * (table - inside) * (table - sample) / (table * table * (table - 1.0));
        if least > share * sample + 2.0 * variance.max(0.0).sqrt() + 0.5 {
            break;
        }
        kept -= 1;
        before -= kept.checked_sub(1).and_then(|at| counts.get(at)).map_or(0.0, |count| *count as f64);
    }
    kept
}

/// Between the place of a value among the sorted ones and its row's place.
fn correlation(values: &[Valued<'_>]) -> Option<f32> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let together: f64 = values.iter().enumerate().map(|(place, value)| place as f64 * value.at as f64).sum();
    let sum = n * (n - 1.0) / 2.0;
    let squares = n * (n - 1.0) * (2.0 * n - 1.0) / 6.0;
    Some(((n * together - sum * sum) / (n * squares - sum * sum)) as f32)
}

/// Bytes of a type whose values all take as many in PostgreSQL.
fn fixed_width(sql_type: &SqlType) -> Option<usize> {
    Some(match sql_type {
        SqlType::Bool | SqlType::QuotedChar => 1,
        SqlType::Int2 => 2,
        SqlType::Int4 | SqlType::Float4 | SqlType::Date | SqlType::Oid | SqlType::Reg(_) | SqlType::Enum(_) => 4,
        SqlType::Int8 | SqlType::Float8 | SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::Timestamptz(_) => 8,
        SqlType::Interval | SqlType::Uuid => 16,
        SqlType::Name => 64,
        _ => return None,
    })
}

/// Bytes a value takes in a row of PostgreSQL.
pub(super) fn width(sql_type: &SqlType, value: DatumRef<'_>) -> usize {
    if let Some(width) = fixed_width(sql_type) {
        return width;
    }
    let bytes = match (sql_type, value) {
        (SqlType::Numeric(_), value) => 2 + 2 * numeric_groups(&text_of(value, sql_type, &TextContext::default())),
        (SqlType::Char(Some(length)), DatumRef::Text(text)) => {
            text.len() + (*length as usize).saturating_sub(text.chars().count())
        }
        (_, DatumRef::Text(text)) => text.len(),
        (_, DatumRef::Bytes(bytes)) => bytes.len(),
        _ => 8,
    };
    // A short header, or a long one.
    if bytes < 127 { bytes + 1 } else { bytes + 4 }
}

/// Groups of four digits, counted from the point, but for zeros at both ends.
fn numeric_groups(text: &str) -> usize {
    let digits = text.trim_start_matches('-');
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padding = (4 - whole.len() % 4) % 4;
    let all: Vec<u8> = std::iter::repeat_n(b'0', padding).chain(whole.bytes()).chain(fraction.bytes()).collect();
    let groups: Vec<bool> = all.chunks(4).map(|group| group.iter().any(|digit| *digit != b'0')).collect();
    let first = groups.iter().position(|group| *group);
    let last = groups.iter().rposition(|group| *group);
    match (first, last) {
        (Some(first), Some(last)) => last - first + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(values: impl IntoIterator<Item = Option<i32>>) -> Vec<Cell> {
        values.into_iter().map(|value| value.map_or(Cell::Null, |value| Cell::Value(Datum::Int32(value)))).collect()
    }

    fn whole(cells: &[Cell]) -> Size {
        Size { table_rows: cells.len() as f64, complete: true, distinct: None, unique: false }
    }

    #[test]
    fn a_whole_table_is_counted_exactly() {
        // 1 five times, 2 three times, 10..20 once, two NULLs.
        let values = [1; 5].into_iter().chain([2; 3]).chain(10..20).map(Some).chain([None, None]);
        let cells = ints(values);
        let found = column(&SqlType::Int4, &cells, whole(&cells), 100).unwrap();
        assert_eq!((found.null_frac, found.width), (0.1, 4));
        assert_eq!(found.distinct, -0.6, "12 of 20");
        assert_eq!((found.common, found.frequencies), (vec!["1".to_owned(), "2".into()], vec![0.25, 0.15]));
        assert_eq!(found.bounds.first().zip(found.bounds.last()), Some((&"10".to_owned(), &"19".to_owned())));
        assert_eq!((found.bounds.len(), found.correlation), (10, Some(1.0)));
        let few = ints([3, 3, 4, 4].map(Some));
        let found = column(&SqlType::Int4, &few, Size { table_rows: 4.0, ..whole(&few) }, 100).unwrap();
        assert_eq!((found.distinct, found.common.len(), found.bounds.len()), (-0.5, 2, 0));
    }

    #[test]
    fn a_sample_keeps_only_what_is_surely_common() {
        // Of a million rows 3,000: a third are 7, the others from 500 values, each six times but for chance.
        let cells = ints((0..3000).map(|n| Some(if n % 3 == 0 { 7 } else { 100 + n % 500 })));
        let size = Size { table_rows: 1e6, complete: false, distinct: Some(501.0), unique: false };
        let found = column(&SqlType::Int4, &cells, size, 100).unwrap();
        assert_eq!((found.common, found.frequencies), (vec!["7".to_owned()], vec![1000.0 / 3000.0]));
        assert_eq!((found.distinct, found.bounds.len()), (501.0, 101));
        // Nothing seen twice and nothing counted: all different.
        let once = ints((0..3000).map(Some));
        let size = Size { distinct: None, ..size };
        assert_eq!(column(&SqlType::Int4, &once, size, 100).unwrap().distinct, -1.0);
        // Half of the sampled values are seen once: Duj1.
        let mixed = ints((0..3000).map(|n| Some(if n < 1500 { n } else { 5000 + n / 2 })));
        let found = column(&SqlType::Int4, &mixed, size, 100).unwrap();
        let expected = 3000.0 * 2250.0 / (1500.0 + 1500.0 * 3000.0 / 1e6);
        assert!((f64::from(found.distinct) - expected).abs() < 1.0, "{} and {expected}", found.distinct);
    }

    #[test]
    fn widths_are_postgresqls() {
        let numeric = |text: &str| {
            let sql_type = SqlType::Numeric(None);
            width(&sql_type, heliosdb_types::parse_text(&sql_type, text, &TextContext::default()).unwrap().as_ref())
        };
        // pg_column_size less what is only in memory: 3 bytes and 2 for each four digits.
        assert_eq!([numeric("0"), numeric("1"), numeric("12345.678"), numeric("10000")], [3, 5, 9, 5]);
        assert_eq!(width(&SqlType::Text, DatumRef::Text("abc")), 4);
        assert_eq!(width(&SqlType::Text, DatumRef::Text(&"x".repeat(200))), 204);
        assert_eq!(width(&SqlType::Char(Some(10)), DatumRef::Text("abc")), 11);
    }

    #[test]
    fn wide_values_count_and_are_not_kept() {
        let cells = vec![Cell::Wide(5000), Cell::Wide(5000), Cell::Value(Datum::Text("a".into())), Cell::Null];
        let found = column(&SqlType::Text, &cells, whole(&cells), 100).unwrap();
        assert_eq!((found.distinct, found.width, found.common.len()), (-0.75, 3334, 0));
    }
}
