//! The operations of a commit record: logical (rows, not pages), so that the same stream can feed replicas and restores.
//!
//! Rows of one tree and one schema version follow a header, so that a row costs its bytes and a few more.

use bytes::Bytes;
use heliosdb_contracts::TreeDescriptorRef;
use heliosdb_types::{Result, SchemaVersion, SegmentId, SequenceId, TreeRef};
use roaring::RoaringBitmap;

use super::slab::keep;
use crate::codec::{Reader, put_bytes, put_descriptor, put_tree, put_u32, put_u64, read_descriptor};
use crate::manifest::{SegmentMeta, put_segment, read_segment};

/// A transaction's commit.
pub(crate) const KIND_COMMIT: u8 = 1;
/// A durable counter was moved, outside any transaction.
pub(crate) const KIND_COUNTER: u8 = 2;

/// Where a superseded row was. Segment 0: in the memtable, or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub segment: SegmentId,
    pub row: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LogOp {
    Insert {
        tree: TreeRef,
        schema: SchemaVersion,
        key: Bytes,
        row: Bytes,
    },
    Update {
        tree: TreeRef,
        schema: SchemaVersion,
        key: Bytes,
        row: Bytes,
        old: Position,
    },
    Delete {
        tree: TreeRef,
        key: Bytes,
        old: Position,
    },
    Define(TreeDescriptorRef),
    Drop(TreeRef),
    /// Files that were made durable before the record; their rows carry the commit's timestamp.
    AddSegments(Vec<LoadedSegment>),
    /// Deletes of many rows of a segment, by position alone: logged only while no segment can be replaced, so that the
    /// segment is either there when this is replayed or the manifest holds its effect.
    Mask {
        tree: TreeRef,
        segment: SegmentId,
        rows: RoaringBitmap,
    },
}

/// A loaded file, and the rows of it that its own transaction deleted again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoadedSegment {
    pub meta: SegmentMeta,
    pub hidden: RoaringBitmap,
}

impl LogOp {
    /// The tree it changes; a load names one per segment.
    pub fn tree(&self) -> Option<TreeRef> {
        match self {
            LogOp::Insert { tree, .. }
            | LogOp::Update { tree, .. }
            | LogOp::Delete { tree, .. }
            | LogOp::Drop(tree) => Some(*tree),
            LogOp::Mask { tree, .. } => Some(*tree),
            LogOp::Define(descriptor) => Some(descriptor.tree),
            LogOp::AddSegments(segments) => segments.first().map(|segment| segment.meta.tree),
        }
    }

    /// Tree and key of the one row it writes.
    pub fn key(&self) -> Option<(TreeRef, &Bytes)> {
        match self {
            LogOp::Insert { tree, key, .. } | LogOp::Update { tree, key, .. } | LogOp::Delete { tree, key, .. } => {
                Some((*tree, key))
            }
            _ => None,
        }
    }

    /// Bytes of the row it brings into memory.
    pub fn row_bytes(&self) -> usize {
        match self {
            LogOp::Insert { key, row, .. } | LogOp::Update { key, row, .. } => key.len() + row.len(),
            _ => 0,
        }
    }
}

const TREE: u8 = 1;
const INSERT: u8 = 2;
const UPDATE: u8 = 3;
const DELETE: u8 = 4;
const DEFINE: u8 = 5;
const DROP: u8 = 6;
const ADD_SEGMENTS: u8 = 7;
const MASK: u8 = 8;

/// Before the bytes of a key or row.
const LENGTH_BYTES: usize = 4;

/// Encodes, and has keys and rows share what was encoded: rows of a commit stay in memory in one piece, which is also freed at once.
pub(crate) fn encode_ops(ops: &mut [LogOp]) -> Bytes {
    let mut keys = Vec::with_capacity(ops.len());
    let bytes = keep(|out| encode(ops, out, |at| keys.push(at)));
    let mut keys = keys.into_iter();
    for op in ops {
        let (LogOp::Insert { key, row, .. } | LogOp::Update { key, row, .. }) = op else { continue };
        let Some(at) = keys.next() else { break };
        let row_at = at + key.len() + LENGTH_BYTES;
        *key = bytes.slice(at..at + key.len());
        *row = bytes.slice(row_at..row_at + row.len());
    }
    bytes
}

/// Tells where each key lies whose row comes behind it.
fn encode(ops: &[LogOp], out: &mut Vec<u8>, mut key_at: impl FnMut(usize)) {
    let size = ops.iter().map(|op| match op {
        LogOp::Insert { key, row, .. } => key.len() + row.len() + 9,
        LogOp::Update { key, row, .. } => key.len() + row.len() + 21,
        LogOp::Delete { key, .. } => key.len() + 17,
        _ => 64,
    });
    out.reserve(size.sum::<usize>() + 32);
    let mut current: Option<(TreeRef, SchemaVersion)> = None;
    let mut header = |out: &mut Vec<u8>, tree: TreeRef, schema: SchemaVersion| {
        if current != Some((tree, schema)) {
            current = Some((tree, schema));
            out.push(TREE);
            put_tree(out, tree);
            put_u32(out, schema.0);
        }
    };
    for op in ops {
        match op {
            LogOp::Insert { tree, schema, key, row } => {
                header(out, *tree, *schema);
                out.push(INSERT);
                key_at(out.len() + LENGTH_BYTES);
                put_bytes(out, key);
                put_bytes(out, row);
            }
            LogOp::Update { tree, schema, key, row, old } => {
                header(out, *tree, *schema);
                out.push(UPDATE);
                put_position(out, *old);
                key_at(out.len() + LENGTH_BYTES);
                put_bytes(out, key);
                put_bytes(out, row);
            }
            LogOp::Delete { tree, key, old } => {
                header(out, *tree, SchemaVersion(0));
                out.push(DELETE);
                put_position(out, *old);
                put_bytes(out, key);
            }
            LogOp::Define(descriptor) => {
                out.push(DEFINE);
                put_descriptor(out, descriptor);
            }
            LogOp::Drop(tree) => {
                out.push(DROP);
                put_tree(out, *tree);
            }
            LogOp::AddSegments(segments) => {
                out.push(ADD_SEGMENTS);
                put_u32(out, segments.len() as u32);
                for segment in segments {
                    put_segment(out, &segment.meta);
                    put_bitmap(out, &segment.hidden);
                }
            }
            LogOp::Mask { tree, segment, rows } => {
                out.push(MASK);
                put_tree(out, *tree);
                put_u64(out, segment.0);
                put_bitmap(out, rows);
            }
        }
    }
}

fn put_bitmap(out: &mut Vec<u8>, rows: &RoaringBitmap) {
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    rows.serialize_into(&mut bytes).expect("writing to memory does not fail");
    put_bytes(out, &bytes);
}

fn read_bitmap(reader: &mut Reader<'_>) -> Result<RoaringBitmap> {
    let bytes = reader.bytes()?;
    RoaringBitmap::deserialize_from(bytes).map_err(|_| reader.corrupt("damaged bitmap"))
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    put_u64(out, position.segment.0);
    put_u32(out, position.row);
}

/// Keys and rows share `bytes`.
pub(crate) fn decode_ops(bytes: &Bytes, what: &str) -> Result<Vec<LogOp>> {
    let mut ops = Vec::new();
    decode_ops_into(&mut ops, bytes, what)?;
    Ok(ops)
}

/// As `decode_ops`, behind the operations that are there already. After an error some may have been added.
pub(crate) fn decode_ops_into(ops: &mut Vec<LogOp>, bytes: &Bytes, what: &str) -> Result<()> {
    let mut reader = Reader::new(bytes, what);
    let (mut tree, mut schema) = (TreeRef::default(), SchemaVersion(0));
    while !reader.is_empty() {
        match reader.u8()? {
            TREE => (tree, schema) = (reader.tree()?, SchemaVersion(reader.u32()?)),
            INSERT => {
                ops.push(LogOp::Insert { tree, schema, key: reader.shared_bytes()?, row: reader.shared_bytes()? })
            }
            UPDATE => {
                let old = read_position(&mut reader)?;
                ops.push(LogOp::Update { tree, schema, key: reader.shared_bytes()?, row: reader.shared_bytes()?, old });
            }
            DELETE => {
                let old = read_position(&mut reader)?;
                ops.push(LogOp::Delete { tree, key: reader.shared_bytes()?, old });
            }
            DEFINE => ops.push(LogOp::Define(read_descriptor(&mut reader)?)),
            DROP => ops.push(LogOp::Drop(reader.tree()?)),
            ADD_SEGMENTS => {
                let count = reader.count(16)?;
                let mut segments = Vec::with_capacity(count);
                for _ in 0..count {
                    let meta = read_segment(&mut reader)?;
                    let hidden = reader.bytes()?;
                    let hidden =
                        RoaringBitmap::deserialize_from(hidden).map_err(|_| reader.corrupt("damaged bitmap"))?;
                    segments.push(LoadedSegment { meta, hidden });
                }
                ops.push(LogOp::AddSegments(segments));
            }
            MASK => {
                let (tree, segment) = (reader.tree()?, SegmentId(reader.u64()?));
                ops.push(LogOp::Mask { tree, segment, rows: read_bitmap(&mut reader)? });
            }
            _ => return Err(reader.corrupt("unknown operation")),
        }
    }
    Ok(())
}

fn read_position(reader: &mut Reader<'_>) -> Result<Position> {
    Ok(Position { segment: SegmentId(reader.u64()?), row: reader.u32()? })
}

/// A counter's new value.
pub(crate) fn encode_counter(sequence: SequenceId, value: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    put_u32(&mut out, sequence.0);
    put_u64(&mut out, value);
    out
}

pub(crate) fn decode_counter(bytes: &Bytes, what: &str) -> Result<(SequenceId, u64)> {
    let mut reader = Reader::new(bytes, what);
    Ok((SequenceId(reader.u32()?), reader.u64()?))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // fixtures are files of the source tree
mod tests {
    use heliosdb_types::{DatabaseId, TreeId};

    use super::*;

    fn example() -> Vec<LogOp> {
        let (a, b) = (TreeRef::new(DatabaseId(1), TreeId(7)), TreeRef::new(DatabaseId(1), TreeId(8)));
        let schema = SchemaVersion(2);
        let (key, row) = (Bytes::from_static(b"key"), Bytes::from_static(b"row bytes"));
        let old = Position { segment: SegmentId(9), row: 3 };
        vec![
            LogOp::Insert { tree: a, schema, key: key.clone(), row: row.clone() },
            LogOp::Update { tree: b, schema, key: key.clone(), row: row.clone(), old },
            LogOp::Delete { tree: b, key: key.clone(), old },
            LogOp::Insert { tree: b, schema, key, row },
            LogOp::Mask { tree: a, segment: SegmentId(5), rows: (3..90).collect() },
            LogOp::Drop(a),
        ]
    }

    /// Logs written by this version must stay readable. Rewrite with HELIOSDB_REWRITE=1 only before a release.
    #[test]
    fn operations_of_the_first_format_are_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/log-ops-v1.bin");
        if std::env::var_os("HELIOSDB_REWRITE").is_some() {
            std::fs::write(path, encode_ops(&mut example())).unwrap();
        }
        assert_eq!(decode_ops(&std::fs::read(path).unwrap().into(), path).unwrap(), example());
    }

    #[test]
    fn operations_round_trip_and_hostile_bytes_do_not_panic() {
        let mut ops = example();
        let bytes = encode_ops(&mut ops);
        assert_eq!(ops, example(), "what shares the record is what it was");
        let shared = bytes.as_ptr_range();
        let kept = ops.iter().filter(|op| op.row_bytes() > 0).filter_map(|op| Some(op.key()?.1.as_ptr()));
        assert!(kept.filter(|key| shared.contains(key)).count() == 3);
        assert_eq!(decode_ops(&bytes, "test").unwrap(), ops);
        for at in 0..bytes.len() {
            let _ = decode_ops(&bytes.slice(..at), "test");
            let mut hostile = bytes.to_vec();
            hostile[at] ^= 0xff;
            let _ = decode_ops(&Bytes::from(hostile), "test");
        }
        let counter = Bytes::from(encode_counter(SequenceId(4), 77));
        assert_eq!(decode_counter(&counter, "test").unwrap(), (SequenceId(4), 77));
    }
}
