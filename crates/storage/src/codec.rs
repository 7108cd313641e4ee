//! Little-endian bytes of persisted structures: a bounds-checked reader, and forms of descriptors and values.
//!
//! Reading hostile bytes fails with `Corrupt`, never panics, and never reserves memory for a count the bytes cannot hold.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{ColumnDescriptor, TreeDescriptor, TreeKey};
use heliosdb_types::{
    ColumnId, DatabaseId, Datum, Error, Interval, Numeric, PhysicalType, Result, SchemaVersion, TreeId, TreeRef,
};

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A length (u32) and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_u32(out, u32::try_from(value.len()).expect("keys and rows are below 4 GB"));
    out.extend_from_slice(value);
}

pub(crate) fn put_tree(out: &mut Vec<u8>, tree: TreeRef) {
    put_u32(out, tree.database.0);
    put_u64(out, tree.tree.0);
}

/// Reads from the front of shared bytes; slices it gives out share them.
pub(crate) struct Reader<'a> {
    all: &'a Bytes,
    at: usize,
    /// Names the bytes in errors.
    what: &'a str,
}

impl<'a> Reader<'a> {
    pub fn new(all: &'a Bytes, what: &'a str) -> Reader<'a> {
        Reader { all, at: 0, what }
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    pub fn corrupt(&self, why: &str) -> Error {
        Error::corrupt(format!("{}: {why} at offset {}", self.what, self.at))
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let part = self.all.get(self.at..).and_then(|rest| rest.get(..len)).ok_or_else(|| self.corrupt("cut off"))?;
        self.at += len;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("take gave N bytes"))
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    pub fn shared_bytes(&mut self) -> Result<Bytes> {
        let all = self.all;
        let part = self.bytes()?;
        Ok(all.slice_ref(part))
    }

    /// A count of items of at least `item_bytes` each: more than the bytes left could hold is damage.
    pub fn count(&mut self, item_bytes: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count > (self.all.len() - self.at) / item_bytes.max(1) {
            return Err(self.corrupt("a count exceeds the bytes that follow"));
        }
        Ok(count)
    }

    pub fn tree(&mut self) -> Result<TreeRef> {
        Ok(TreeRef::new(DatabaseId(self.u32()?), TreeId(self.u64()?)))
    }

    pub fn string(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        Ok(std::str::from_utf8(bytes).map_err(|_| self.corrupt("text is not UTF-8"))?.to_owned())
    }
}

fn physical_tag(physical: PhysicalType) -> (u8, u8, i8) {
    match physical {
        PhysicalType::Bool => (1, 0, 0),
        PhysicalType::Int16 => (2, 0, 0),
        PhysicalType::Int32 => (3, 0, 0),
        PhysicalType::Int64 => (4, 0, 0),
        PhysicalType::Float32 => (5, 0, 0),
        PhysicalType::Float64 => (6, 0, 0),
        PhysicalType::Decimal64 { precision, scale } => (7, precision, scale),
        PhysicalType::Decimal128 { precision, scale } => (8, precision, scale),
        PhysicalType::Numeric => (9, 0, 0),
        PhysicalType::Text => (10, 0, 0),
        PhysicalType::Bytes => (11, 0, 0),
        PhysicalType::Date => (12, 0, 0),
        PhysicalType::Time => (13, 0, 0),
        PhysicalType::Timestamp => (14, 0, 0),
        PhysicalType::TimestampTz => (15, 0, 0),
        PhysicalType::Interval => (16, 0, 0),
        PhysicalType::Uuid => (17, 0, 0),
    }
}

fn read_physical(reader: &mut Reader<'_>) -> Result<PhysicalType> {
    let (tag, precision, scale) = (reader.u8()?, reader.u8()?, reader.u8()? as i8);
    Ok(match tag {
        1 => PhysicalType::Bool,
        2 => PhysicalType::Int16,
        3 => PhysicalType::Int32,
        4 => PhysicalType::Int64,
        5 => PhysicalType::Float32,
        6 => PhysicalType::Float64,
        7 => PhysicalType::Decimal64 { precision, scale },
        8 => PhysicalType::Decimal128 { precision, scale },
        9 => PhysicalType::Numeric,
        10 => PhysicalType::Text,
        11 => PhysicalType::Bytes,
        12 => PhysicalType::Date,
        13 => PhysicalType::Time,
        14 => PhysicalType::Timestamp,
        15 => PhysicalType::TimestampTz,
        16 => PhysicalType::Interval,
        17 => PhysicalType::Uuid,
        _ => return Err(reader.corrupt("unknown physical type")),
    })
}

fn put_datum(out: &mut Vec<u8>, datum: &Datum) {
    match datum {
        Datum::Null => out.push(0),
        Datum::Bool(v) => out.extend_from_slice(&[1, u8::from(*v)]),
        Datum::Int16(v) => put_tagged(out, 2, &v.to_le_bytes()),
        Datum::Int32(v) => put_tagged(out, 3, &v.to_le_bytes()),
        Datum::Int64(v) => put_tagged(out, 4, &v.to_le_bytes()),
        Datum::Float32(v) => put_tagged(out, 5, &v.to_le_bytes()),
        Datum::Float64(v) => put_tagged(out, 6, &v.to_le_bytes()),
        Datum::Decimal { unscaled, scale } => {
            put_tagged(out, 7, &unscaled.to_le_bytes());
            out.push(*scale as u8);
        }
        Datum::Numeric(v) => {
            out.push(8);
            put_bytes(out, v.as_bytes());
        }
        Datum::Text(v) => {
            out.push(9);
            put_bytes(out, v.as_bytes());
        }
        Datum::Bytes(v) => {
            out.push(10);
            put_bytes(out, v);
        }
        Datum::Date(v) => put_tagged(out, 11, &v.to_le_bytes()),
        Datum::Time(v) => put_tagged(out, 12, &v.to_le_bytes()),
        Datum::Timestamp(v) => put_tagged(out, 13, &v.to_le_bytes()),
        Datum::TimestampTz(v) => put_tagged(out, 14, &v.to_le_bytes()),
        Datum::Interval(v) => {
            put_tagged(out, 15, &v.months.to_le_bytes());
            out.extend_from_slice(&v.days.to_le_bytes());
            out.extend_from_slice(&v.micros.to_le_bytes());
        }
        Datum::Uuid(v) => put_tagged(out, 16, v),
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn read_datum(reader: &mut Reader<'_>) -> Result<Datum> {
    Ok(match reader.u8()? {
        0 => Datum::Null,
        1 => Datum::Bool(reader.u8()? != 0),
        2 => Datum::Int16(i16::from_le_bytes(reader.array()?)),
        3 => Datum::Int32(i32::from_le_bytes(reader.array()?)),
        4 => Datum::Int64(i64::from_le_bytes(reader.array()?)),
        5 => Datum::Float32(f32::from_le_bytes(reader.array()?)),
        6 => Datum::Float64(f64::from_le_bytes(reader.array()?)),
        7 => Datum::Decimal { unscaled: i128::from_le_bytes(reader.array()?), scale: reader.u8()? as i8 },
        8 => Datum::Numeric(Numeric::from_bytes_unchecked(reader.bytes()?)),
        9 => Datum::Text(reader.string()?),
        10 => Datum::Bytes(reader.bytes()?.to_vec()),
        11 => Datum::Date(i32::from_le_bytes(reader.array()?)),
        12 => Datum::Time(i64::from_le_bytes(reader.array()?)),
        13 => Datum::Timestamp(i64::from_le_bytes(reader.array()?)),
        14 => Datum::TimestampTz(i64::from_le_bytes(reader.array()?)),
        15 => Datum::Interval(Interval {
            months: i32::from_le_bytes(reader.array()?),
            days: i32::from_le_bytes(reader.array()?),
            micros: i64::from_le_bytes(reader.array()?),
        }),
        16 => Datum::Uuid(reader.array()?),
        _ => return Err(reader.corrupt("unknown value tag")),
    })
}

pub(crate) fn put_descriptor(out: &mut Vec<u8>, descriptor: &TreeDescriptor) {
    put_tree(out, descriptor.tree);
    put_u32(out, descriptor.version.0);
    put_u32(out, descriptor.columns.len() as u32);
    for column in &descriptor.columns {
        put_u32(out, column.id.0);
        let (tag, precision, scale) = physical_tag(column.physical);
        out.extend_from_slice(&[tag, precision, scale as u8, u8::from(column.nullable)]);
        out.push(u8::from(column.missing.is_some()));
        if let Some(missing) = &column.missing {
            put_datum(out, missing);
        }
    }
    match &descriptor.key {
        TreeKey::RowId => out.push(0),
        TreeKey::Columns(columns) => {
            out.push(1);
            put_columns(out, columns);
        }
    }
    out.push(u8::from(descriptor.sort.is_some()));
    if let Some(sort) = &descriptor.sort {
        put_columns(out, sort);
    }
}

pub(crate) fn read_descriptor(reader: &mut Reader<'_>) -> Result<Arc<TreeDescriptor>> {
    let tree = reader.tree()?;
    let version = SchemaVersion(reader.u32()?);
    let count = reader.count(9)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let id = ColumnId(reader.u32()?);
        let physical = read_physical(reader)?;
        let nullable = reader.u8()? != 0;
        let missing = if reader.u8()? != 0 { Some(read_datum(reader)?) } else { None };
        columns.push(ColumnDescriptor { id, physical, nullable, missing });
    }
    let key = match reader.u8()? {
        0 => TreeKey::RowId,
        1 => TreeKey::Columns(read_columns(reader)?),
        _ => return Err(reader.corrupt("unknown kind of key")),
    };
    let sort = if reader.u8()? != 0 { Some(read_columns(reader)?) } else { None };
    Ok(Arc::new(TreeDescriptor { tree, version, columns, key, sort }))
}

fn put_columns(out: &mut Vec<u8>, columns: &[ColumnId]) {
    put_u32(out, columns.len() as u32);
    for column in columns {
        put_u32(out, column.0);
    }
}

fn read_columns(reader: &mut Reader<'_>) -> Result<Vec<ColumnId>> {
    let count = reader.count(4)?;
    (0..count).map(|_| Ok(ColumnId(reader.u32()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> TreeDescriptor {
        let column = |id, physical, missing| ColumnDescriptor { id: ColumnId(id), physical, nullable: true, missing };
        TreeDescriptor {
            tree: TreeRef::new(DatabaseId(1), TreeId(2000)),
            version: SchemaVersion(3),
            columns: vec![
                column(1, PhysicalType::Int64, None),
                column(2, PhysicalType::Decimal64 { precision: 12, scale: -2 }, Some(Datum::Null)),
                column(5, PhysicalType::Float64, Some(Datum::Float64(f64::INFINITY))),
                column(7, PhysicalType::Text, Some(Datum::Text("x".into()))),
            ],
            key: TreeKey::Columns(vec![ColumnId(1), ColumnId(7)]),
            sort: None,
        }
    }

    #[test]
    fn descriptors_round_trip_and_cut_ones_are_refused() {
        let mut out = Vec::new();
        put_descriptor(&mut out, &descriptor());
        let whole = Bytes::from(out);
        assert_eq!(*read_descriptor(&mut Reader::new(&whole, "test")).unwrap(), descriptor());
        for cut in 0..whole.len() {
            let part = whole.slice(..cut);
            assert!(read_descriptor(&mut Reader::new(&part, "test")).is_err(), "cut at {cut}");
        }
    }
}
