//! The manifest's bytes: `magic | version u32 | length u32 | crc32c u32 | body`, little-endian.

use bytes::Bytes;
use heliosdb_types::{BranchId, CommitTs, Error, Lsn, Result, SchemaVersion, SegmentId, SequenceId};

use super::{Branch, DeletesPlace, Manifest, SegmentEntry, SegmentMeta, TreeEntry};
use crate::codec::{Reader, put_bytes, put_descriptor, put_tree, put_u32, put_u64, read_descriptor};

const MAGIC: &[u8; 8] = b"HELIOSMF";
const VERSION: u32 = 1;
const HEADER: usize = 20;

pub(crate) fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut body = Vec::new();
    for value in [
        manifest.number,
        manifest.replay_lsn.0,
        manifest.captured_lsn.0,
        manifest.last_ts.0,
        manifest.catalog_ts.0,
        manifest.next_segment,
        manifest.next_deletes,
        manifest.next_tree,
    ] {
        put_u64(&mut body, value);
    }
    put_list(&mut body, &manifest.branches, |out, branch| {
        put_u32(out, branch.id.0);
        out.push(u8::from(branch.parent.is_some()));
        if let Some((parent, ceiling)) = branch.parent {
            put_u32(out, parent.0);
            put_u64(out, ceiling.0);
        }
    });
    put_list(&mut body, &manifest.trees, |out, entry| {
        put_u32(out, entry.branch.0);
        put_tree(out, entry.tree);
        put_list(out, &entry.descriptors, |out, descriptor| put_descriptor(out, descriptor));
        put_optional_ts(out, entry.dropped);
    });
    put_list(&mut body, &manifest.segments, |out, entry| {
        put_segment(out, &entry.meta);
        out.push(u8::from(entry.deletes.is_some()));
        if let Some(place) = entry.deletes {
            put_u64(out, place.file);
            put_u64(out, place.offset);
            put_u32(out, place.len);
            put_u32(out, place.checksum);
        }
    });
    put_list(&mut body, &manifest.counters, |out, &(sequence, value)| {
        put_u32(out, sequence.0);
        put_u64(out, value);
    });
    put_list(&mut body, &manifest.row_ids, |out, &(tree, next)| {
        put_tree(out, tree);
        put_u64(out, next);
    });
    put_list(&mut body, &manifest.installed_loads, |out, lsn| put_u64(out, lsn.0));
    let mut file = Vec::with_capacity(HEADER + body.len());
    file.extend_from_slice(MAGIC);
    put_u32(&mut file, VERSION);
    put_u32(&mut file, body.len() as u32);
    put_u32(&mut file, crc32c::crc32c(&body));
    file.extend_from_slice(&body);
    file
}

/// `path` names the file in errors.
pub(super) fn decode(file: Vec<u8>, path: &str) -> Result<Manifest> {
    let file = Bytes::from(file);
    let what = format!("manifest \"{path}\"");
    let mut reader = Reader::new(&file, &what);
    if reader.take(8)? != MAGIC {
        return Err(Error::corrupt(format!("{what} does not begin as a manifest does, at offset 0")));
    }
    let version = reader.u32()?;
    if version != VERSION {
        return Err(Error::corrupt(format!("{what} has version {version}, this program knows {VERSION}, at offset 8")));
    }
    let (len, checksum) = (reader.u32()? as usize, reader.u32()?);
    let body = file.slice(HEADER..);
    if body.len() != len || crc32c::crc32c(&body) != checksum {
        return Err(Error::corrupt(format!("{what} fails its checksum at offset {HEADER}")));
    }
    decode_body(&mut Reader::new(&body, &what))
}

fn decode_body(reader: &mut Reader<'_>) -> Result<Manifest> {
    let manifest = Manifest {
        number: reader.u64()?,
        replay_lsn: Lsn(reader.u64()?),
        captured_lsn: Lsn(reader.u64()?),
        last_ts: CommitTs(reader.u64()?),
        catalog_ts: CommitTs(reader.u64()?),
        next_segment: reader.u64()?,
        next_deletes: reader.u64()?,
        next_tree: reader.u64()?,
        branches: list(reader, 5, |reader| {
            let id = BranchId(reader.u32()?);
            let parent = match reader.u8()? {
                0 => None,
                _ => Some((BranchId(reader.u32()?), CommitTs(reader.u64()?))),
            };
            Ok(Branch { id, parent })
        })?,
        trees: list(reader, 21, |reader| {
            Ok(TreeEntry {
                branch: BranchId(reader.u32()?),
                tree: reader.tree()?,
                descriptors: list(reader, 22, read_descriptor)?,
                dropped: optional_ts(reader)?,
            })
        })?,
        segments: list(reader, 60, |reader| {
            let meta = read_segment(reader)?;
            let deletes = match reader.u8()? {
                0 => None,
                _ => Some(DeletesPlace {
                    file: reader.u64()?,
                    offset: reader.u64()?,
                    len: reader.u32()?,
                    checksum: reader.u32()?,
                }),
            };
            Ok(SegmentEntry { meta, deletes })
        })?,
        counters: list(reader, 12, |reader| Ok((SequenceId(reader.u32()?), reader.u64()?)))?,
        row_ids: list(reader, 20, |reader| Ok((reader.tree()?, reader.u64()?)))?,
        installed_loads: list(reader, 8, |reader| Ok(Lsn(reader.u64()?)))?,
    };
    if reader.is_empty() { Ok(manifest) } else { Err(reader.corrupt("bytes follow the manifest")) }
}

pub(crate) fn put_segment(out: &mut Vec<u8>, meta: &SegmentMeta) {
    put_u64(out, meta.id.0);
    put_u32(out, meta.branch.0);
    put_tree(out, meta.tree);
    out.push(meta.level);
    put_u32(out, meta.schema.0);
    put_u32(out, meta.rows);
    put_u64(out, meta.file_bytes);
    put_u64(out, meta.file_checksum);
    put_bytes(out, &meta.min_key);
    put_bytes(out, &meta.max_key);
    put_u64(out, meta.min_ts.0);
    put_u64(out, meta.max_ts.0);
    put_optional_ts(out, meta.stamp);
}

pub(crate) fn read_segment(reader: &mut Reader<'_>) -> Result<SegmentMeta> {
    Ok(SegmentMeta {
        id: SegmentId(reader.u64()?),
        branch: BranchId(reader.u32()?),
        tree: reader.tree()?,
        level: reader.u8()?,
        schema: SchemaVersion(reader.u32()?),
        rows: reader.u32()?,
        file_bytes: reader.u64()?,
        file_checksum: reader.u64()?,
        min_key: Bytes::copy_from_slice(reader.bytes()?),
        max_key: Bytes::copy_from_slice(reader.bytes()?),
        min_ts: CommitTs(reader.u64()?),
        max_ts: CommitTs(reader.u64()?),
        stamp: optional_ts(reader)?,
    })
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_u32(out, items.len() as u32);
    items.iter().for_each(|item| put(out, item));
}

fn list<T>(reader: &mut Reader<'_>, item_bytes: usize, read: impl Fn(&mut Reader<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = reader.count(item_bytes)?;
    (0..count).map(|_| read(reader)).collect()
}

fn put_optional_ts(out: &mut Vec<u8>, ts: Option<CommitTs>) {
    out.push(u8::from(ts.is_some()));
    if let Some(ts) = ts {
        put_u64(out, ts.0);
    }
}

fn optional_ts(reader: &mut Reader<'_>) -> Result<Option<CommitTs>> {
    Ok(if reader.u8()? == 0 { None } else { Some(CommitTs(reader.u64()?)) })
}
