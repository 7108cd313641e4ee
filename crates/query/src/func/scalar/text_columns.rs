//! Functions of text that work a column at a time. What they mean is said by the functions of single values they stand for, which
//! constants still use and which a test compares them with.

use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int32Array};
use arrow_buffer::BooleanBuffer;
use datafusion::logical_expr::ColumnarValue;
use heliosdb_types::Result;
use memchr::memmem::Finder;

use super::super::columns::{Columns, Numbers, Texts, wrong};
use super::T::{self, Int4, Text};
use super::string::{field_at, lower, upper, window};
use crate::exec::LongValues;

/// The kernel over columns of a function of the tables, if it has one.
pub(super) fn kernel(name: &str, params: &[T]) -> Option<Columns> {
    let columns: Columns = match (name, params) {
        ("length" | "char_length" | "character_length", [Text]) => |args, _| numbers(args, |text| count(text) as i32),
        ("octet_length", [Text]) => |args, _| numbers(args, |text| text.len() as i32),
        ("bit_length", [Text]) => |args, _| numbers(args, |text| text.len() as i32 * 8),
        ("ascii", [Text]) => |args, _| numbers(args, |text| text.chars().next().map_or(0, |c| c as i32)),
        ("position" | "strpos", [Text, Text]) => positions,
        ("starts_with", [Text, Text]) => starts_with,
        ("lower", [Text]) => {
            |args, rows| mapped(args, rows, |text, out| cased(text, out, str::make_ascii_lowercase, lower))
        }
        ("upper", [Text]) => {
            |args, rows| mapped(args, rows, |text, out| cased(text, out, str::make_ascii_uppercase, upper))
        }
        ("reverse", [Text]) => |args, rows| mapped(args, rows, |text, out| out.extend(text.chars().rev())),
        ("btrim", [Text]) => |args, rows| cut(args, rows, |text| text.trim_matches(' ')),
        ("ltrim", [Text]) => |args, rows| cut(args, rows, |text| text.trim_start_matches(' ')),
        ("rtrim", [Text]) => |args, rows| cut(args, rows, |text| text.trim_end_matches(' ')),
        ("btrim", [Text, Text]) => |args, rows| cut_of(args, rows, |text, set| text.trim_matches(|c| set.contains(c))),
        ("ltrim", [Text, Text]) => {
            |args, rows| cut_of(args, rows, |text, set| text.trim_start_matches(|c| set.contains(c)))
        }
        ("rtrim", [Text, Text]) => {
            |args, rows| cut_of(args, rows, |text, set| text.trim_end_matches(|c| set.contains(c)))
        }
        ("left", [Text, Int4]) => |args, rows| cut_at(args, rows, |text, n| Ok(left(text, n))),
        ("right", [Text, Int4]) => |args, rows| cut_at(args, rows, |text, n| Ok(right(text, n))),
        ("substring" | "substr", [Text, Int4]) => {
            |args, rows| cut_at(args, rows, |text, start| Ok(slice(text, window(start, None)?)))
        }
        ("substring" | "substr", [Text, Int4, Int4]) => substring,
        ("replace", [Text, Text, Text]) => replace,
        ("split_part", [Text, Text, Int4]) => split_part,
        _ => return None,
    };
    Some(columns)
}

/// Characters: usually as many as bytes.
fn count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Characters `from..to`.
pub(super) fn slice(text: &str, (from, to): (usize, usize)) -> &str {
    if text.is_ascii() {
        return text.get(from.min(text.len())..to.min(text.len())).unwrap_or_default();
    }
    let at = |position: usize| text.char_indices().nth(position).map_or(text.len(), |(at, _)| at);
    text.get(at(from)..at(to)).unwrap_or_default()
}

/// A negative count drops from the other end.
fn left(text: &str, n: i64) -> &str {
    let keep = if n >= 0 { n } else { (count(text) as i64).saturating_add(n).max(0) };
    slice(text, (0, keep as usize))
}

fn right(text: &str, n: i64) -> &str {
    let all = count(text) as i64;
    let skip = if n >= 0 { (all - n).max(0) } else { n.saturating_neg().min(all) };
    slice(text, (skip as usize, usize::MAX))
}

fn numbers(args: &[ColumnarValue], of: impl Fn(&str) -> i32) -> Result<ArrayRef> {
    let texts = Texts::of(args, 0)?;
    let column = texts.column().ok_or_else(wrong)?;
    // What stands where a value is missing is an empty text.
    let values = (0..column.len()).map(|row| of(column.value(row))).collect();
    Ok(Arc::new(Int32Array::new(values, column.nulls().cloned())))
}

fn positions(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let (texts, parts) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
    let found = |text: &str, at: Option<usize>| at.map_or(0, |at| count(text.get(..at).unwrap_or(text)) as i32 + 1);
    if let Texts::One(Some(part)) = parts {
        let finder = Finder::new(part.as_bytes());
        let of = |row| texts.at(row).map(|text| found(text, finder.find(text.as_bytes())));
        return Ok(Arc::new((0..rows).map(of).collect::<Int32Array>()));
    }
    let of = |row| texts.at(row).zip(parts.at(row)).map(|(text, part)| found(text, text.find(part)));
    Ok(Arc::new((0..rows).map(of).collect::<Int32Array>()))
}

fn starts_with(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let (texts, prefixes) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
    if let (Some(column), Texts::One(Some(prefix))) = (texts.column(), &prefixes) {
        let starts = BooleanBuffer::collect_bool(column.len(), |row| column.value(row).starts_with(prefix));
        return Ok(Arc::new(BooleanArray::new(starts, column.nulls().cloned())));
    }
    let of = |row| texts.at(row).zip(prefixes.at(row)).map(|(text, prefix)| text.starts_with(prefix));
    Ok(Arc::new((0..rows).map(of).collect::<BooleanArray>()))
}

/// Letter for letter, by bytes where all are ASCII. `out` is empty.
fn cased(text: &str, out: &mut String, ascii: fn(&mut str), letter: fn(char) -> char) {
    if text.is_ascii() {
        out.push_str(text);
        ascii(out);
    } else {
        out.extend(text.chars().map(letter));
    }
}

/// Texts made anew, in one buffer after the other.
fn mapped(args: &[ColumnarValue], rows: usize, write: impl Fn(&str, &mut String)) -> Result<ArrayRef> {
    let texts = Texts::of(args, 0)?;
    made(rows, |row, out| {
        let Some(text) = texts.at(row) else { return Ok(false) };
        write(text, out);
        Ok(true)
    })
}

/// Builds a column of texts from what `write` appends for each row; false is NULL.
pub(in crate::func) fn made(rows: usize, write: impl Fn(usize, &mut String) -> Result<bool>) -> Result<ArrayRef> {
    let mut built = StringViewBuilder::with_capacity(rows);
    let (mut out, mut long) = (String::new(), LongValues::default());
    for row in 0..rows {
        out.clear();
        match write(row, &mut out)? {
            true => {
                long.made(out.len())?;
                built.try_append_value(&out).map_err(crate::exec::from_arrow)?;
            }
            false => built.append_null(),
        }
    }
    Ok(Arc::new(built.finish()))
}

/// Parts of the first argument.
fn parts<'a>(rows: usize, of: impl Fn(usize) -> Result<Option<&'a str>>) -> Result<ArrayRef> {
    let mut built = StringViewBuilder::with_capacity(rows);
    for row in 0..rows {
        match of(row)? {
            Some(part) => built.try_append_value(part).map_err(crate::exec::from_arrow)?,
            None => built.append_null(),
        }
    }
    Ok(Arc::new(built.finish()))
}

fn cut(args: &[ColumnarValue], rows: usize, of: impl Fn(&str) -> &str) -> Result<ArrayRef> {
    let texts = Texts::of(args, 0)?;
    parts(rows, |row| Ok(texts.at(row).map(&of)))
}

fn cut_of(args: &[ColumnarValue], rows: usize, of: impl for<'a> Fn(&'a str, &str) -> &'a str) -> Result<ArrayRef> {
    let (texts, others) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
    parts(rows, |row| Ok(texts.at(row).zip(others.at(row)).map(|(text, other)| of(text, other))))
}

fn cut_at(
    args: &[ColumnarValue],
    rows: usize,
    of: impl for<'a> Fn(&'a str, i64) -> Result<&'a str>,
) -> Result<ArrayRef> {
    let (texts, places) = (Texts::of(args, 0)?, Numbers::<Int32Type>::of(args, 1)?);
    parts(rows, |row| texts.at(row).zip(places.at(row)).map(|(text, n)| of(text, i64::from(n))).transpose())
}

fn substring(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let texts = Texts::of(args, 0)?;
    let (starts, lengths) = (Numbers::<Int32Type>::of(args, 1)?, Numbers::<Int32Type>::of(args, 2)?);
    parts(rows, |row| {
        let (Some(text), Some(start), Some(length)) = (texts.at(row), starts.at(row), lengths.at(row)) else {
            return Ok(None);
        };
        Ok(Some(slice(text, window(i64::from(start), Some(i64::from(length)))?)))
    })
}

fn replace(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let (texts, from, to) = (Texts::of(args, 0)?, Texts::of(args, 1)?, Texts::of(args, 2)?);
    let fixed = match &from {
        Texts::One(Some(from)) => Some(Finder::new(from.as_bytes())),
        _ => None,
    };
    made(rows, |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.at(row), from.at(row), to.at(row)) else { return Ok(false) };
        if from.is_empty() {
            out.push_str(text);
            return Ok(true);
        }
        let own;
        let finder = match &fixed {
            Some(finder) => finder,
            None => {
                own = Finder::new(from.as_bytes());
                &own
            }
        };
        let mut done = 0;
        for at in finder.find_iter(text.as_bytes()) {
            out.push_str(text.get(done..at).unwrap_or_default());
            out.push_str(to);
            done = at + from.len();
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Ok(true)
    })
}

fn split_part(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let (texts, delimiters) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
    let places = Numbers::<Int32Type>::of(args, 2)?;
    parts(rows, |row| {
        let (Some(text), Some(delimiter), Some(n)) = (texts.at(row), delimiters.at(row), places.at(row)) else {
            return Ok(None);
        };
        field_at(text, delimiter, i64::from(n)).map(Some)
    })
}

/// `||` of two texts.
pub(in crate::func) fn concat(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let (left, right) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
    made(rows, |row, out| {
        let (Some(left), Some(right)) = (left.at(row), right.at(row)) else { return Ok(false) };
        out.push_str(left);
        out.push_str(right);
        Ok(true)
    })
}

/// `concat` of any number of texts, NULL being none.
pub(super) fn concat_all(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let texts = (0..args.len()).map(|at| Texts::of(args, at)).collect::<Result<Vec<_>>>()?;
    made(rows, |row, out| {
        texts.iter().filter_map(|text| text.at(row)).for_each(|text| out.push_str(text));
        Ok(true)
    })
}

/// Without trailing blanks.
pub(in crate::func) fn without_blanks(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    cut(args, rows, |text| text.trim_end_matches(' '))
}

#[cfg(test)]
mod tests {
    use arrow_array::StringViewArray;
    use datafusion::common::ScalarValue;
    use heliosdb_types::{Datum, DatumRef, PhysicalType, TextContext};

    use super::super::string::FUNCTIONS;
    use super::*;
    use crate::exec::array_of;

    const TEXTS: [Option<&str>; 16] = [
        Some(""),
        None,
        Some("a"),
        Some("  padded  "),
        Some("The quick brown fox jumps"),
        Some("a.b.c"),
        Some("ab.ab.ab"),
        Some("ÄÖÜ straße"),
        Some("İstanbul ŉ ǆ"),
        Some("дом.кот"),
        Some("日本語テキスト"),
        Some("🦀🦀 crabs"),
        Some("ﬁne ﬂow"),
        Some("xyxyx"),
        Some("\u{3c2}\u{3c3} ΑΣ"),
        Some("https://example.org/path?x=1"),
    ];
    const OTHERS: [Option<&str>; 8] =
        [Some("."), Some("ab"), Some(""), None, Some(" "), Some("x"), Some("кот"), Some("🦀")];
    const NUMBERS: [Option<i32>; 9] =
        [Some(1), Some(-1), Some(2), None, Some(-3), Some(40), Some(i32::MAX), Some(i32::MIN), Some(5)];

    /// All combinations of values for a function's parameters.
    fn rows_of(params: &[T]) -> Vec<Vec<Datum>> {
        let mut rows = vec![Vec::new()];
        for (at, param) in params.iter().enumerate() {
            let values: Vec<Datum> = match (param, at) {
                (Int4, _) => NUMBERS.iter().map(|n| n.map_or(Datum::Null, Datum::Int32)).collect(),
                (_, 0) => TEXTS.iter().map(|t| t.map_or(Datum::Null, |t| Datum::Text(t.into()))).collect(),
                _ => OTHERS.iter().map(|t| t.map_or(Datum::Null, |t| Datum::Text(t.into()))).collect(),
            };
            let with = |row: &Vec<Datum>| {
                values.iter().map(|v| [row.as_slice(), std::slice::from_ref(v)].concat()).collect::<Vec<_>>()
            };
            rows = rows.iter().flat_map(with).collect();
        }
        rows
    }

    fn physical(param: &T) -> PhysicalType {
        if *param == Int4 { PhysicalType::Int32 } else { PhysicalType::Text }
    }

    /// What the function of single values gives, NULL if any argument is; errors by their state.
    fn alone(run: super::super::Run, row: &[Datum]) -> std::result::Result<Datum, String> {
        let values: Vec<DatumRef<'_>> = row.iter().map(Datum::as_ref).collect();
        if values.iter().any(DatumRef::is_null) {
            return Ok(Datum::Null);
        }
        run(&values, &TextContext::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_give_what_single_values_give() {
        let mut compared = 0;
        for (name, params, result, run) in FUNCTIONS {
            let Some(kernel) = kernel(name, params) else { continue };
            let returns = super::super::physical_of_type(&result.sql());
            let rows = rows_of(params);
            // Rows that fail fail alone; the others are compared together, with each argument a column or a constant.
            let (fine, failing): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| alone(*run, row).is_ok());
            for row in &failing {
                let arrays = columns(params, std::slice::from_ref(row));
                let error = kernel(&arrays, 1).expect_err("an error by itself is one in a column").to_string();
                assert_eq!(Err(error), alone(*run, row), "{name} {row:?}");
            }
            let expected = |rows: &[Vec<Datum>]| {
                let values: Vec<Datum> = rows.iter().map(|row| alone(*run, row).unwrap()).collect();
                array_of(returns, values.iter().map(Datum::as_ref)).unwrap()
            };
            assert_eq!(&kernel(&columns(params, &fine), fine.len()).unwrap(), &expected(&fine), "{name} {params:?}");
            for fixed in 1..params.len() {
                for row in &fine {
                    let same: Vec<Vec<Datum>> =
                        fine.iter().filter(|other| other[fixed..] == row[fixed..]).cloned().collect();
                    let mut args = columns(params, &same);
                    for arg in &mut args[fixed..] {
                        let ColumnarValue::Array(array) = &*arg else { panic!("a column") };
                        *arg = ColumnarValue::Scalar(ScalarValue::try_from_array(array, 0).unwrap());
                    }
                    assert_eq!(&kernel(&args, same.len()).unwrap(), &expected(&same), "{name} {row:?}");
                    compared += same.len();
                }
            }
        }
        assert!(compared > 10_000, "{compared}");
    }

    fn columns(params: &[T], rows: &[Vec<Datum>]) -> Vec<ColumnarValue> {
        let column = |(at, param): (usize, &T)| {
            let array = array_of(physical(param), rows.iter().map(|row| row[at].as_ref())).unwrap();
            ColumnarValue::Array(array)
        };
        params.iter().enumerate().map(column).collect()
    }

    #[test]
    fn what_lies_under_a_null_is_not_looked_at() {
        let texts = StringViewArray::from_iter([Some("a"), None, Some("straße")]);
        let args = [ColumnarValue::Array(Arc::new(texts))];
        let lengths = kernel("length", &[Text]).unwrap()(&args, 3).unwrap();
        assert_eq!(lengths.as_ref(), &Int32Array::from(vec![Some(1), None, Some(6)]) as &dyn Array);
        let joined = concat_all(&[args[0].clone(), args[0].clone()], 3).unwrap();
        let expected = StringViewArray::from_iter([Some("aa"), Some(""), Some("straßestraße")]);
        assert_eq!(joined.as_ref(), &expected as &dyn Array);
    }
}
