//! The row codec: any column of a stored row in O(1), without copying.
//!
//! A row is `u16 columns | null bitmap (1 = NULL) | fixed area | variable area`, little-endian. Every column has a slot
//! of its type's width in the fixed area, NULL or not, so a column's place depends only on the types before it. A
//! variable column's slot is `u32 offset, u32 length`, counted from the row's first byte. A row may hold fewer columns
//! than its reader asks for (it was written before a column was added): the missing ones read as NULL, and the caller
//! puts the descriptor's missing value in ([`RowView::len`] tells). Reading hostile bytes fails, it never panics.

use crate::{DatumRef, Error, Interval, PhysicalType, Result};

/// The most columns a row can have.
pub const ROW_COLUMNS_MAX: usize = u16::MAX as usize;

/// Bytes of a column's slot in the fixed area.
fn slot_width(physical: PhysicalType) -> usize {
    match physical {
        PhysicalType::Bool => 1,
        PhysicalType::Int16 => 2,
        PhysicalType::Int32 | PhysicalType::Float32 | PhysicalType::Date => 4,
        PhysicalType::Int64
        | PhysicalType::Float64
        | PhysicalType::Decimal64 { .. }
        | PhysicalType::Time
        | PhysicalType::Timestamp
        | PhysicalType::TimestampTz
        | PhysicalType::Numeric
        | PhysicalType::Text
        | PhysicalType::Bytes => 8,
        PhysicalType::Decimal128 { .. } | PhysicalType::Interval | PhysicalType::Uuid => 16,
    }
}

/// Where each column's slot is; computed once per tree version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    /// Type and offset inside the fixed area.
    slots: Vec<(PhysicalType, u32)>,
}

impl RowLayout {
    pub fn new(types: &[PhysicalType]) -> RowLayout {
        let mut offset = 0u32;
        let slots = types.iter().map(|&physical| {
            let at = offset;
            offset += slot_width(physical) as u32;
            (physical, at)
        });
        RowLayout { slots: slots.collect() }
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn physical(&self, column: usize) -> Option<PhysicalType> {
        self.slots.get(column).map(|slot| slot.0)
    }

    /// Whether a column's values lie behind the fixed area.
    pub(crate) fn is_variable(&self, column: usize) -> bool {
        let variable = [PhysicalType::Numeric, PhysicalType::Text, PhysicalType::Bytes];
        self.physical(column).is_some_and(|physical| variable.contains(&physical))
    }

    /// Bytes of the fixed area of a row of all columns.
    pub(crate) fn fixed_bytes(&self) -> usize {
        self.slots.last().map_or(0, |&(physical, offset)| offset as usize + slot_width(physical))
    }
}

/// Appends the row of `values`, which must be as many as `types` and of those types, to `out`.
pub fn encode_row(types: &[PhysicalType], values: &[DatumRef<'_>], out: &mut Vec<u8>) -> Result<()> {
    if types.len() != values.len() || types.len() > ROW_COLUMNS_MAX {
        return Err(Error::internal(format!("a row of {} values for {} columns", values.len(), types.len())));
    }
    let start = out.len();
    let fixed_len: usize = types.iter().map(|&physical| slot_width(physical)).sum();
    let var_len: usize = values.iter().map(|value| var_bytes(value).map_or(0, <[u8]>::len)).sum();
    let bitmap_len = types.len().div_ceil(8);
    out.reserve(2 + bitmap_len + fixed_len + var_len);
    out.extend_from_slice(&(types.len() as u16).to_le_bytes());
    let bitmap = out.len();
    let fixed = bitmap + bitmap_len;
    out.resize(fixed + fixed_len, 0);
    if u32::try_from(out.len() - start + var_len).is_err() {
        return Err(Error::invalid(crate::SqlState::PROGRAM_LIMIT_EXCEEDED, "row is larger than 4 GB"));
    }
    let mut slot = fixed;
    for (column, (&physical, value)) in types.iter().zip(values).enumerate() {
        let width = slot_width(physical);
        if value.is_null() {
            out[bitmap + column / 8] |= 1 << (column % 8);
        } else if let Some(bytes) = var_bytes(value) {
            check_type(physical, value)?;
            let at = (out.len() - start) as u32;
            out[slot..slot + 4].copy_from_slice(&at.to_le_bytes());
            out[slot + 4..slot + 8].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        } else {
            write_fixed(&mut out[slot..slot + width], physical, value)?;
        }
        slot += width;
    }
    Ok(())
}

fn var_bytes<'a>(value: &DatumRef<'a>) -> Option<&'a [u8]> {
    match value {
        DatumRef::Text(v) => Some(v.as_bytes()),
        DatumRef::Bytes(v) | DatumRef::Numeric(v) => Some(v),
        _ => None,
    }
}

fn mismatch(physical: PhysicalType, value: &DatumRef<'_>) -> Error {
    Error::internal(format!("a {physical:?} column cannot hold {value:?}"))
}

fn check_type(physical: PhysicalType, value: &DatumRef<'_>) -> Result<()> {
    match (physical, value) {
        (PhysicalType::Text, DatumRef::Text(_))
        | (PhysicalType::Bytes, DatumRef::Bytes(_))
        | (PhysicalType::Numeric, DatumRef::Numeric(_)) => Ok(()),
        _ => Err(mismatch(physical, value)),
    }
}

fn write_fixed(slot: &mut [u8], physical: PhysicalType, value: &DatumRef<'_>) -> Result<()> {
    match (physical, *value) {
        (PhysicalType::Bool, DatumRef::Bool(v)) => slot.copy_from_slice(&[u8::from(v)]),
        (PhysicalType::Int16, DatumRef::Int16(v)) => slot.copy_from_slice(&v.to_le_bytes()),
        (PhysicalType::Int32, DatumRef::Int32(v)) => slot.copy_from_slice(&v.to_le_bytes()),
        (PhysicalType::Date, DatumRef::Date(v)) => slot.copy_from_slice(&v.to_le_bytes()),
        (PhysicalType::Float32, DatumRef::Float32(v)) => slot.copy_from_slice(&v.to_le_bytes()),
        (PhysicalType::Float64, DatumRef::Float64(v)) => slot.copy_from_slice(&v.to_le_bytes()),
        (PhysicalType::Int64, DatumRef::Int64(v))
        | (PhysicalType::Time, DatumRef::Time(v))
        | (PhysicalType::Timestamp, DatumRef::Timestamp(v))
        | (PhysicalType::TimestampTz, DatumRef::TimestampTz(v)) => slot.copy_from_slice(&v.to_le_bytes()),
        (PhysicalType::Decimal64 { scale, .. }, DatumRef::Decimal { unscaled, scale: given }) if scale == given => {
            let v = i64::try_from(unscaled).map_err(|_| mismatch(physical, value))?;
            slot.copy_from_slice(&v.to_le_bytes());
        }
        (PhysicalType::Decimal128 { scale, .. }, DatumRef::Decimal { unscaled, scale: given }) if scale == given => {
            slot.copy_from_slice(&unscaled.to_le_bytes());
        }
        (PhysicalType::Interval, DatumRef::Interval(v)) => {
            slot[..8].copy_from_slice(&v.micros.to_le_bytes());
            slot[8..12].copy_from_slice(&v.days.to_le_bytes());
            slot[12..].copy_from_slice(&v.months.to_le_bytes());
        }
        (PhysicalType::Uuid, DatumRef::Uuid(v)) => slot.copy_from_slice(&v),
        _ => return Err(mismatch(physical, value)),
    }
    Ok(())
}

/// An encoded row, read in place.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    layout: &'a RowLayout,
    bytes: &'a [u8],
    columns: usize,
}

impl<'a> RowView<'a> {
    /// `bytes` is exactly one row; `layout` that of the descriptor version it was written with, or of a later one.
    pub fn new(layout: &'a RowLayout, bytes: &'a [u8]) -> Result<RowView<'a>> {
        let head = bytes.first_chunk::<2>().ok_or_else(|| damaged("no header"))?;
        let columns = usize::from(u16::from_le_bytes(*head));
        if bytes.len() < 2 + columns.div_ceil(8) {
            return Err(damaged("header is cut off"));
        }
        Ok(RowView { layout, bytes, columns })
    }

    /// Number of columns stored; later ones read as NULL.
    pub fn len(&self) -> usize {
        self.columns
    }

    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The value of a column; NULL for a column this row does not store.
    #[inline]
    pub fn get(&self, column: usize) -> Result<DatumRef<'a>> {
        let (Some(&(physical, offset)), true) = (self.layout.slots.get(column), column < self.columns) else {
            return Ok(DatumRef::Null);
        };
        if self.is_null(column) {
            return Ok(DatumRef::Null);
        }
        let at = 2 + self.columns.div_ceil(8) + offset as usize;
        let slot = self.bytes.get(at..).ok_or_else(|| damaged("fixed area is cut off"))?;
        self.read(physical, slot)
    }

    /// Whether a column's bit says NULL; so do bits that are not there.
    pub(crate) fn is_null(&self, column: usize) -> bool {
        self.bytes.get(2 + column / 8).is_none_or(|byte| byte >> (column % 8) & 1 == 1)
    }

    /// Where a stored column's slot is in the row.
    pub(crate) fn slot(&self, column: usize) -> Option<std::ops::Range<usize>> {
        let &(physical, offset) = self.layout.slots.get(column).filter(|_| column < self.columns)?;
        let at = 2 + self.columns.div_ceil(8) + offset as usize;
        Some(at..at + slot_width(physical)).filter(|slot| slot.end <= self.bytes.len())
    }

    /// The bytes of a variable column; `None`: it is NULL.
    pub(crate) fn variable_bytes(&self, column: usize) -> Result<Option<&'a [u8]>> {
        if self.is_null(column) {
            return Ok(None);
        }
        let slot = self.slot(column).and_then(|slot| self.bytes.get(slot));
        self.variable(slot.ok_or_else(|| damaged("fixed area is cut off"))?).map(Some)
    }

    fn read(&self, physical: PhysicalType, slot: &'a [u8]) -> Result<DatumRef<'a>> {
        Ok(match physical {
            PhysicalType::Bool => match fixed::<1>(slot)? {
                [0] => DatumRef::Bool(false),
                [1] => DatumRef::Bool(true),
                _ => return Err(damaged("not a boolean")),
            },
            PhysicalType::Int16 => DatumRef::Int16(i16::from_le_bytes(fixed(slot)?)),
            PhysicalType::Int32 => DatumRef::Int32(i32::from_le_bytes(fixed(slot)?)),
            PhysicalType::Date => DatumRef::Date(i32::from_le_bytes(fixed(slot)?)),
            PhysicalType::Int64 => DatumRef::Int64(i64::from_le_bytes(fixed(slot)?)),
            PhysicalType::Time => DatumRef::Time(i64::from_le_bytes(fixed(slot)?)),
            PhysicalType::Timestamp => DatumRef::Timestamp(i64::from_le_bytes(fixed(slot)?)),
            PhysicalType::TimestampTz => DatumRef::TimestampTz(i64::from_le_bytes(fixed(slot)?)),
            PhysicalType::Float32 => DatumRef::Float32(f32::from_le_bytes(fixed(slot)?)),
            PhysicalType::Float64 => DatumRef::Float64(f64::from_le_bytes(fixed(slot)?)),
            PhysicalType::Decimal64 { scale, .. } => {
                DatumRef::Decimal { unscaled: i128::from(i64::from_le_bytes(fixed(slot)?)), scale }
            }
            PhysicalType::Decimal128 { scale, .. } => {
                DatumRef::Decimal { unscaled: i128::from_le_bytes(fixed(slot)?), scale }
            }
            PhysicalType::Interval => {
                let v = u128::from_le_bytes(fixed(slot)?);
                let (micros, days, months) = (v as i64, (v >> 64) as i32, (v >> 96) as i32);
                DatumRef::Interval(Interval { months, days, micros })
            }
            PhysicalType::Uuid => DatumRef::Uuid(fixed(slot)?),
            PhysicalType::Numeric => DatumRef::Numeric(self.variable(slot)?),
            PhysicalType::Bytes => DatumRef::Bytes(self.variable(slot)?),
            PhysicalType::Text => {
                DatumRef::Text(std::str::from_utf8(self.variable(slot)?).map_err(|_| damaged("text is not UTF-8"))?)
            }
        })
    }

    fn variable(&self, slot: &'a [u8]) -> Result<&'a [u8]> {
        let place = u64::from_le_bytes(fixed(slot)?);
        let (offset, len) = (place as u32 as usize, (place >> 32) as usize);
        self.bytes.get(offset..).and_then(|tail| tail.get(..len)).ok_or_else(|| damaged("a value is cut off"))
    }
}

fn fixed<const N: usize>(slot: &[u8]) -> Result<[u8; N]> {
    slot.first_chunk::<N>().copied().ok_or_else(|| damaged("fixed area is cut off"))
}

pub(crate) fn damaged(what: &str) -> Error {
    Error::corrupt(format!("damaged row: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Datum;

    const TYPES: [PhysicalType; 9] = [
        PhysicalType::Bool,
        PhysicalType::Text,
        PhysicalType::Int16,
        PhysicalType::Decimal64 { precision: 10, scale: 2 },
        PhysicalType::Interval,
        PhysicalType::Bytes,
        PhysicalType::Uuid,
        PhysicalType::Float64,
        PhysicalType::Decimal128 { precision: 30, scale: 4 },
    ];

    fn row() -> Vec<Datum> {
        vec![
            Datum::Bool(true),
            Datum::Text("héllo".into()),
            Datum::Null,
            Datum::Decimal { unscaled: -12345, scale: 2 },
            Datum::Interval(Interval { months: -1, days: 2, micros: -3 }),
            Datum::Bytes(vec![0, 255]),
            Datum::Uuid([7; 16]),
            Datum::Float64(-1.5),
            Datum::Decimal { unscaled: i128::from(i64::MAX) * 4, scale: 4 },
        ]
    }

    fn encoded() -> Vec<u8> {
        let row = row();
        let mut out = b"before".to_vec();
        encode_row(&TYPES, &row.iter().map(Datum::as_ref).collect::<Vec<_>>(), &mut out).unwrap();
        out.split_off(6)
    }

    #[test]
    fn every_column_is_read_in_place() {
        let (layout, bytes) = (RowLayout::new(&TYPES), encoded());
        let view = RowView::new(&layout, &bytes).unwrap();
        let read: Vec<Datum> = (0..view.len()).map(|i| view.get(i).unwrap().to_owned()).collect();
        assert_eq!(read, row());
    }

    #[test]
    fn a_shorter_row_reads_null_beyond_its_end() {
        let mut bytes = Vec::new();
        encode_row(&TYPES[..2], &[DatumRef::Bool(false), DatumRef::Text("x")], &mut bytes).unwrap();
        let layout = RowLayout::new(&TYPES);
        let view = RowView::new(&layout, &bytes).unwrap();
        assert_eq!(view.len(), 2);
        assert_eq!(view.get(1).unwrap(), DatumRef::Text("x"));
        assert_eq!(view.get(8).unwrap(), DatumRef::Null);
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let mut out = Vec::new();
        assert!(encode_row(&TYPES[..1], &[DatumRef::Text("x")], &mut out).is_err());
        assert!(encode_row(&TYPES[3..4], &[DatumRef::Decimal { unscaled: 1, scale: 3 }], &mut out).is_err());
        assert!(encode_row(&TYPES[..1], &[], &mut out).is_err());
    }

    proptest! {
        #[test]
        fn damaged_rows_never_panic(at in 0usize..200, byte in any::<u8>(), len in 0usize..200) {
            let mut bytes = encoded();
            let position = at % bytes.len();
            bytes[position] = byte;
            bytes.truncate(len);
            let layout = RowLayout::new(&TYPES);
            if let Ok(view) = RowView::new(&layout, &bytes) {
                for column in 0..layout.len() + 2 {
                    let _ = view.get(column);
                }
            }
        }
    }
}
