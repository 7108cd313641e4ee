//! Which row groups cannot have a row that passes, by the smallest and largest values the file gives of them.

use std::cmp::Ordering;

use arrow_array::{Array, ArrayRef};
use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp, arrow_type, datum_at};
use heliosdb_types::{Datum, DatumRef, PhysicalType, TextContext, compare};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use super::kind::Kind;
use super::typed::typed;

/// False only if the statistics of a group rule out every row.
pub(super) fn may_match(
    metadata: &ArrowReaderMetadata,
    kinds: &[(String, Kind)],
    group: usize,
    tests: &[ColumnPredicate],
) -> bool {
    tests.iter().all(|test| passes(metadata, kinds, group, test).unwrap_or(true))
}

fn passes(
    metadata: &ArrowReaderMetadata,
    kinds: &[(String, Kind)],
    group: usize,
    test: &ColumnPredicate,
) -> Option<bool> {
    let at = usize::try_from(test.column.0).ok()?;
    let (_, kind) = kinds.get(at)?;
    let physical = kind.sql_type().physical()?;
    let found = metadata.metadata().row_groups().get(group)?;
    let field = metadata.schema().fields().get(at)?;
    let converter = StatisticsConverter::try_new(field.name(), metadata.schema(), metadata.parquet_schema()).ok()?;
    // Two columns of one name: the statistics found may be the other's.
    if metadata.schema().fields().iter().filter(|other| other.name() == field.name()).count() > 1 {
        return None;
    }
    let leaf = found.columns().get(converter.parquet_column_index()?)?;
    let statistics = leaf.statistics()?;
    match &test.op {
        PredicateOp::IsNull => return Some(statistics.null_count_opt()? > 0),
        PredicateOp::IsNotNull => return Some(statistics.null_count_opt()? < u64::try_from(found.num_rows()).ok()?),
        _ => {}
    }
    // Texts were once ordered by signed bytes.
    if statistics.is_min_max_deprecated() && matches!(physical, PhysicalType::Text | PhysicalType::Bytes) {
        return None;
    }
    if statistics.null_count_opt() == u64::try_from(found.num_rows()).ok() && found.num_rows() > 0 {
        return Some(false);
    }
    let target = arrow_type(physical);
    let context = TextContext::default();
    let own = |array: ArrayRef| typed(kind, &array, &target, &context).ok().filter(|array| array.is_valid(0));
    let least = own(converter.row_group_mins([found]).ok()?)?;
    let most = own(converter.row_group_maxes([found]).ok()?)?;
    let (least, most) = (datum_at(&least, 0, physical).ok()?, datum_at(&most, 0, physical).ok()?);
    // Bounds leave NaN out, which is larger than anything.
    let unbounded = matches!(physical, PhysicalType::Float32 | PhysicalType::Float64);
    let one = |op: CompareOp, value: &Datum| -> Option<bool> {
        let (low, high) = (order(least, value)?, order(most, value)?);
        Some(match op {
            CompareOp::Eq => low != Ordering::Greater && high != Ordering::Less,
            CompareOp::NotEq => unbounded || low != Ordering::Equal || high != Ordering::Equal,
            CompareOp::Lt => low == Ordering::Less,
            CompareOp::LtEq => low != Ordering::Greater,
            CompareOp::Gt => unbounded || high == Ordering::Greater,
            CompareOp::GtEq => unbounded || high != Ordering::Less,
        })
    };
    match &test.op {
        // A text's bounds may be cut, so being equal to both says nothing.
        PredicateOp::Compare(CompareOp::NotEq, _) if physical == PhysicalType::Text => None,
        PredicateOp::Compare(op, value) => one(*op, value),
        PredicateOp::In(values) => Some(values.iter().any(|value| one(CompareOp::Eq, value).unwrap_or(true))),
        PredicateOp::StartsWith(prefix) => {
            let (DatumRef::Text(least), DatumRef::Text(most)) = (least, most) else { return None };
            let cut = |text: &str| text.as_bytes().get(..prefix.len()).map_or(text.as_bytes().to_vec(), <[u8]>::to_vec);
            Some(cut(least).as_slice() <= prefix.as_bytes() && cut(most).as_slice() >= prefix.as_bytes())
        }
        _ => None,
    }
}

/// The order of two values of one type; `None` if they are not of one.
fn order(bound: DatumRef<'_>, value: &Datum) -> Option<Ordering> {
    let value = value.as_ref();
    (std::mem::discriminant(&bound) == std::mem::discriminant(&value)).then(|| compare(bound, value))
}
