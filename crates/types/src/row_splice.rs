//! Some columns of a stored row replaced by others, the rest copied as it is: no value is decoded.

use crate::row::damaged;
use crate::{Error, Result, RowLayout, RowView, SqlState};

/// Appends row `base` with the values of row `patch` in the places `columns`, which ascend. `base` holds every column of its
/// layout; `patch` is a row of those columns alone. The outcome is what encoding all values would give.
pub fn splice_row(
    layout: &RowLayout,
    base: &[u8],
    columns: &[usize],
    patch_layout: &RowLayout,
    patch: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    let (old, new) = (RowView::new(layout, base)?, RowView::new(patch_layout, patch)?);
    let ascend = columns.is_sorted_by(|a, b| a < b);
    if old.len() != layout.len() || new.len() != columns.len() || patch_layout.len() != columns.len() || !ascend {
        return Err(Error::internal(format!("{} columns of a patch for {}", new.len(), columns.len())));
    }
    let start = out.len();
    let fixed_end = 2 + layout.len().div_ceil(8) + layout.fixed_bytes();
    // Without a new value behind the fixed area all of that area stays as it is.
    let moves = columns.iter().any(|&at| layout.is_variable(at));
    let copied = base.get(..if moves { fixed_end } else { base.len() });
    out.reserve(base.len() + if moves { patch.len() } else { 0 });
    out.extend_from_slice(copied.ok_or_else(|| damaged("fixed area is cut off"))?);
    let cut_off = || damaged("fixed area is cut off");
    for (from, &to) in columns.iter().enumerate() {
        if patch_layout.physical(from) != layout.physical(to) {
            return Err(Error::internal(format!("a patch of another type for column {to}")));
        }
        let bit = 1u8 << (to % 8);
        let bits = out.get_mut(start + 2 + to / 8).ok_or_else(cut_off)?;
        *bits = if new.is_null(from) { *bits | bit } else { *bits & !bit };
        let value = new.slot(from).and_then(|slot| patch.get(slot)).ok_or_else(cut_off)?;
        let slot = old.slot(to).and_then(|slot| out.get_mut(start + slot.start..start + slot.end));
        slot.ok_or_else(cut_off)?.copy_from_slice(value);
    }
    if !moves {
        return Ok(());
    }
    let mut changed = columns.iter().enumerate().peekable();
    for at in 0..layout.len() {
        let from = changed.next_if(|(_, to)| **to == at).map(|(from, _)| from);
        if !layout.is_variable(at) {
            continue;
        }
        let bytes = match from {
            Some(from) => new.variable_bytes(from)?,
            None => old.variable_bytes(at)?,
        };
        let Some(bytes) = bytes else { continue };
        let (offset, len) = (u32::try_from(out.len() - start), u32::try_from(bytes.len()));
        let (Ok(offset), Ok(len)) = (offset, len) else {
            return Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "row is larger than 4 GB"));
        };
        let slot = old.slot(at).and_then(|slot| out.get_mut(start + slot.start..start + slot.end));
        slot.ok_or_else(cut_off)?.copy_from_slice(&(u64::from(offset) | u64::from(len) << 32).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Datum, PhysicalType, encode_row};

    const TYPES: [PhysicalType; 10] = [
        PhysicalType::Int32,
        PhysicalType::Text,
        PhysicalType::Bool,
        PhysicalType::Bytes,
        PhysicalType::Decimal64 { precision: 12, scale: 2 },
        PhysicalType::Text,
        PhysicalType::Uuid,
        PhysicalType::Int16,
        PhysicalType::Numeric,
        PhysicalType::Int64,
    ];

    fn value(physical: PhysicalType, seed: u16) -> Datum {
        let text = "x".repeat(usize::from(seed % 40));
        match physical {
            _ if seed.is_multiple_of(5) => Datum::Null,
            PhysicalType::Int32 => Datum::Int32(i32::from(seed)),
            PhysicalType::Bool => Datum::Bool(seed.is_multiple_of(2)),
            PhysicalType::Bytes => Datum::Bytes(text.into_bytes()),
            PhysicalType::Numeric => Datum::Numeric(crate::Numeric::from_bytes_unchecked(text.as_bytes())),
            PhysicalType::Decimal64 { scale, .. } => Datum::Decimal { unscaled: -i128::from(seed), scale },
            PhysicalType::Text => Datum::Text(text),
            PhysicalType::Uuid => Datum::Uuid([seed as u8; 16]),
            PhysicalType::Int16 => Datum::Int16(seed as i16),
            _ => Datum::Int64(i64::from(seed)),
        }
    }

    fn encoded(types: &[PhysicalType], row: &[Datum]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_row(types, &row.iter().map(Datum::as_ref).collect::<Vec<_>>(), &mut out).unwrap();
        out
    }

    fn row(seeds: &[u16]) -> Vec<Datum> {
        TYPES.iter().zip(seeds).map(|(physical, seed)| value(*physical, *seed)).collect()
    }

    proptest! {
        #[test]
        fn a_spliced_row_is_the_row_encoded_anew(
            old in prop::collection::vec(any::<u16>(), TYPES.len()),
            new in prop::collection::vec(any::<u16>(), TYPES.len()),
            which in 0u16..1 << TYPES.len(),
        ) {
            let columns: Vec<usize> = (0..TYPES.len()).filter(|at| which >> at & 1 == 1).collect();
            let (old, new) = (row(&old), row(&new));
            let types: Vec<PhysicalType> = columns.iter().map(|at| TYPES[*at]).collect();
            let values: Vec<Datum> = columns.iter().map(|at| new[*at].clone()).collect();
            let mut out = b"before".to_vec();
            let (base, patch) = (encoded(&TYPES, &old), encoded(&types, &values));
            splice_row(&RowLayout::new(&TYPES), &base, &columns, &RowLayout::new(&types), &patch, &mut out).unwrap();
            let mixed = (0..TYPES.len()).map(|at| if columns.contains(&at) { &new[at] } else { &old[at] });
            prop_assert_eq!(out.split_off(6), encoded(&TYPES, &mixed.cloned().collect::<Vec<_>>()));
        }

        #[test]
        fn damaged_rows_never_panic(at in 0usize..300, byte in any::<u8>(), len in 0usize..300, of_patch in any::<bool>()) {
            let columns = [0, 1, 4, 8];
            let types: Vec<PhysicalType> = columns.iter().map(|at| TYPES[*at]).collect();
            let seeds = [31, 32, 33, 34, 36, 37, 38, 39, 41, 42];
            let mut rows = [encoded(&TYPES, &row(&seeds)), encoded(&types, &columns.map(|at| value(TYPES[at], 39)))];
            let damaged = &mut rows[usize::from(of_patch)];
            let place = at % damaged.len();
            damaged[place] = byte;
            damaged.truncate(len);
            let _ = splice_row(
                &RowLayout::new(&TYPES), &rows[0], &columns, &RowLayout::new(&types), &rows[1], &mut Vec::new(),
            );
        }
    }

    #[test]
    fn a_row_of_other_columns_is_refused() {
        let layout = RowLayout::new(&TYPES[..2]);
        let row = encoded(&TYPES[..2], &[Datum::Int32(1), Datum::Text("a".into())]);
        let one = RowLayout::new(&TYPES[..1]);
        let patch = encoded(&TYPES[..1], &[Datum::Int32(2)]);
        let spliced =
            |base: &[u8], columns: &[usize]| splice_row(&layout, base, columns, &one, &patch, &mut Vec::new());
        assert!(spliced(&row, &[0]).is_ok());
        assert!(spliced(&row, &[1]).is_err());
        assert!(spliced(&row, &[0, 1]).is_err());
        assert!(spliced(&patch, &[0]).is_err());
    }
}
