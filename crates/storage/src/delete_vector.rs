//! Which rows of a segment are deleted, for every snapshot somebody may still hold.
//!
//! `latest` masks for snapshots at or after the newest delete; `tail` lists the recent deletes in commit order, and only
//! older snapshots consult it. Invariants: every row of the tail is in `latest`; the tail's timestamps never decrease; a
//! row is deleted once. Deletes are added under the shard's commit mutex, so their order is the log's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use heliosdb_types::{CommitTs, Result};
use parking_lot::RwLock;
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use crate::codec::{Reader, put_bytes, put_u32, put_u64};
use crate::dead_rows::DeadRows;

#[derive(Default)]
pub(crate) struct DeleteVector {
    state: RwLock<State>,
    /// Whether any row was ever deleted: of most segments none is, and then readers of rows write to nothing they share.
    any: AtomicBool,
}

#[derive(Default)]
struct State {
    latest: Arc<DeadRows>,
    tail: Vec<(CommitTs, u32)>,
    /// The tail by row, but for what is in `many`; rows that have just left the tail may still be here.
    ends: FxHashMap<u32, CommitTs>,
    /// Rows of the tail that one commit deleted together, oldest first: a commit that deletes millions holds up others no
    /// longer than it takes to unite two bitmaps.
    many: Vec<(CommitTs, RoaringBitmap)>,
    newest: CommitTs,
    /// Deletes up to here are in the file the manifest names.
    saved: CommitTs,
}

/// What is persisted: every delete up to a timestamp.
pub(crate) struct DeleteImage {
    pub rows: RoaringBitmap,
    pub tail: Vec<(CommitTs, u32)>,
}

/// From so many rows of one commit on they are kept as a bitmap.
const MANY: u64 = 256;
/// Rows whose ends are forgotten while the lock is held: some ten microseconds.
const FORGOTTEN_AT_ONCE: usize = 256;

impl State {
    /// When a row of the tail was deleted.
    fn end_of(&self, row: u32) -> Option<CommitTs> {
        let among_many = || self.many.iter().find(|(_, rows)| rows.contains(row)).map(|(ts, _)| *ts);
        self.ends.get(&row).copied().or_else(among_many)
    }
}

impl DeleteVector {
    /// Marks a row. False when it was deleted already (a replay).
    pub fn delete(&self, row: u32, ts: CommitTs) -> bool {
        let mut state = self.state.write();
        if state.latest.contains(row) {
            return false;
        }
        assert!(ts >= state.newest, "deletes come in commit order");
        self.any.store(true, Ordering::Release);
        Arc::make_mut(&mut state.latest).insert(row);
        state.tail.push((ts, row));
        state.ends.insert(row, ts);
        state.newest = ts;
        true
    }

    /// As [`DeleteVector::delete`], of many rows. Says whether none of them was deleted before.
    pub fn delete_all(&self, rows: &RoaringBitmap, ts: CommitTs) -> bool {
        if rows.len() < MANY {
            return rows.iter().filter(|row| !self.delete(*row, ts)).count() == 0;
        }
        let mut state = self.state.write();
        let known = &state.latest;
        let fresh = match known.contains_any(rows) {
            false => rows.clone(),
            true => rows.iter().filter(|row| !known.contains(*row)).collect(),
        };
        let all = fresh.len() == rows.len();
        if fresh.is_empty() {
            // A replay of what the manifest's file holds, and later deletes with it.
            return all;
        }
        assert!(ts >= state.newest, "deletes come in commit order");
        self.any.store(true, Ordering::Release);
        Arc::make_mut(&mut state.latest).extend(&fresh);
        state.tail.extend(fresh.iter().map(|row| (ts, row)));
        state.many.push((ts, fresh));
        state.newest = ts;
        all
    }

    /// Who sees a commit, or has its locks after it, sees this with it.
    fn has_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether `snapshot` sees the row as deleted.
    pub fn is_deleted(&self, row: u32, snapshot: CommitTs) -> bool {
        if !self.has_any() {
            return false;
        }
        let state = self.state.read();
        state.latest.contains(row) && (snapshot >= state.newest || state.end_of(row).is_none_or(|end| end <= snapshot))
    }

    /// When the row was deleted: `ZERO` means before anything that can still ask.
    pub fn deleted_at(&self, row: u32) -> Option<CommitTs> {
        if !self.has_any() {
            return None;
        }
        let state = self.state.read();
        state.latest.contains(row).then(|| state.end_of(row).unwrap_or(CommitTs::ZERO))
    }

    /// The rows `snapshot` must not see; `None` when there are none.
    pub fn mask(&self, snapshot: CommitTs) -> Option<Arc<DeadRows>> {
        let state = self.state.read();
        if state.latest.is_empty() {
            return None;
        }
        if snapshot >= state.newest {
            return Some(state.latest.clone());
        }
        let later = state.tail.partition_point(|&(ts, _)| ts <= snapshot);
        let mut mask = DeadRows::clone(&state.latest);
        for &(_, row) in &state.tail[later..] {
            mask.remove(row);
        }
        (!mask.is_empty()).then(|| Arc::new(mask))
    }

    /// Whether any of these rows is deleted.
    pub fn any_deleted(&self, rows: &RoaringBitmap) -> bool {
        self.state.read().latest.contains_any(rows)
    }

    pub fn count(&self) -> u64 {
        self.state.read().latest.len()
    }

    /// Memory it takes, about.
    pub fn memory_bytes(&self) -> u64 {
        let state = self.state.read();
        let tail = state.tail.capacity() * 16 + state.ends.capacity() * 24;
        let many: usize = state.many.iter().map(|(_, rows)| rows.serialized_size()).sum();
        (state.latest.memory_bytes() + tail + many) as u64
    }

    /// Deletes after `ts`, in order. Complete as long as a snapshot at `ts` is registered, for that keeps the tail.
    pub fn since(&self, ts: CommitTs) -> Vec<(CommitTs, u32)> {
        let state = self.state.read();
        let from = state.tail.partition_point(|&(at, _)| at <= ts);
        state.tail[from..].to_vec()
    }

    /// Forgets when rows were deleted that no snapshot at or after `horizon` sees. What no file holds yet stays: the
    /// tail is also how [`DeleteVector::is_dirty`] knows of it.
    pub fn prune(&self, horizon: CommitTs) {
        let forgotten: Vec<(CommitTs, u32)> = {
            let mut state = self.state.write();
            let horizon = horizon.min(state.saved);
            let keep = state.tail.partition_point(|&(ts, _)| ts <= horizon);
            if keep == 0 {
                return;
            }
            state.many.retain(|(ts, _)| *ts > horizon);
            state.tail.drain(..keep).collect()
        };
        // Commits wait for this lock under the commit mutex, so it is held for a few rows at a time. Until its turn comes a row has an
        // end that is before everything that can still ask, which says the same as none.
        for few in forgotten.chunks(FORGOTTEN_AT_ONCE) {
            let ends = &mut self.state.write().ends;
            if ends.is_empty() {
                return;
            }
            few.iter().for_each(|(_, row)| _ = ends.remove(row));
        }
    }

    /// Everything up to `ts`, to be written.
    pub fn image(&self, ts: CommitTs) -> DeleteImage {
        let (latest, mut tail) = {
            let state = self.state.read();
            (state.latest.clone(), state.tail.clone())
        };
        let mut rows = latest.to_roaring();
        let upto = tail.partition_point(|&(at, _)| at <= ts);
        tail.drain(upto..).for_each(|(_, row)| _ = rows.remove(row));
        DeleteImage { rows, tail }
    }

    /// Whether there are deletes up to `ts` that no file holds.
    pub fn is_dirty(&self, ts: CommitTs) -> bool {
        let state = self.state.read();
        let from = state.tail.partition_point(|&(at, _)| at <= state.saved);
        state.tail.get(from).is_some_and(|&(at, _)| at <= ts)
    }

    pub fn mark_saved(&self, ts: CommitTs) {
        let mut state = self.state.write();
        state.saved = state.saved.max(ts);
    }

    pub fn from_image(image: DeleteImage) -> DeleteVector {
        let newest = image.tail.last().map_or(CommitTs::ZERO, |&(ts, _)| ts);
        let (mut ends, mut many) = (FxHashMap::default(), Vec::new());
        for commit in image.tail.chunk_by(|a, b| a.0 == b.0) {
            match commit {
                [(ts, _), ..] if commit.len() as u64 >= MANY => {
                    many.push((*ts, commit.iter().map(|&(_, row)| row).collect::<RoaringBitmap>()));
                }
                few => ends.extend(few.iter().map(|&(ts, row)| (row, ts))),
            }
        }
        let any = AtomicBool::new(!image.rows.is_empty());
        let state = State {
            latest: Arc::new(image.rows.iter().collect()),
            tail: image.tail,
            ends,
            many,
            newest,
            saved: newest,
        };
        DeleteVector { state: RwLock::new(state), any }
    }
}

impl DeleteImage {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut bitmap = Vec::with_capacity(self.rows.serialized_size());
        self.rows.serialize_into(&mut bitmap).expect("writing to memory does not fail");
        put_bytes(out, &bitmap);
        put_u32(out, self.tail.len() as u32);
        for &(ts, row) in &self.tail {
            put_u64(out, ts.0);
            put_u32(out, row);
        }
    }

    pub fn decode(bytes: &Bytes, what: &str) -> Result<DeleteImage> {
        let mut reader = Reader::new(bytes, what);
        let bitmap = reader.bytes()?;
        let rows = RoaringBitmap::deserialize_from(bitmap).map_err(|_| reader.corrupt("damaged bitmap"))?;
        let count = reader.count(12)?;
        let mut tail = Vec::with_capacity(count);
        let mut last = CommitTs::ZERO;
        for _ in 0..count {
            let (ts, row) = (CommitTs(reader.u64()?), reader.u32()?);
            if ts < last || !rows.contains(row) {
                return Err(reader.corrupt("delete entries are out of order"));
            }
            last = ts;
            tail.push((ts, row));
        }
        Ok(DeleteImage { rows, tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_snapshots_keep_seeing_rows_deleted_later() {
        let deletes = DeleteVector::default();
        assert!(deletes.mask(CommitTs(100)).is_none());
        assert!(deletes.delete(3, CommitTs(10)) && deletes.delete(4, CommitTs(20)) && !deletes.delete(3, CommitTs(30)));
        assert!(!deletes.is_deleted(3, CommitTs(9)) && deletes.is_deleted(3, CommitTs(10)));
        assert_eq!(deletes.mask(CommitTs(15)).unwrap().iter().collect::<Vec<_>>(), [3]);
        assert_eq!(deletes.mask(CommitTs(20)).unwrap().len(), 2);
        assert!(deletes.mask(CommitTs(9)).is_none());
        assert_eq!(deletes.deleted_at(4), Some(CommitTs(20)));
        assert_eq!(deletes.since(CommitTs(10)), [(CommitTs(20), 4)]);
        deletes.prune(CommitTs(10));
        assert_eq!(deletes.deleted_at(3), Some(CommitTs(10)), "kept until a file holds it");
        assert!(deletes.is_dirty(CommitTs(10)));
        deletes.mark_saved(CommitTs(10));
        deletes.prune(CommitTs(10));
        assert_eq!((deletes.deleted_at(3), deletes.count()), (Some(CommitTs::ZERO), 2));
    }

    #[test]
    fn many_rows_of_one_commit_are_as_many_deletes() {
        let (one_by_one, together) = (DeleteVector::default(), DeleteVector::default());
        for (first, ts) in [(0, 10), (500, 20), (1200, 30)] {
            let rows: RoaringBitmap = (first..first + MANY as u32 * 2).collect();
            let fresh = rows.iter().filter(|row| !one_by_one.delete(*row, CommitTs(ts))).count() == 0;
            assert_eq!(together.delete_all(&rows, CommitTs(ts)), fresh);
            assert!(together.delete_all(&RoaringBitmap::from_iter([5000 + first]), CommitTs(ts)));
            assert!(one_by_one.delete(5000 + first, CommitTs(ts)));
        }
        let mut bytes = Vec::new();
        together.image(CommitTs(30)).encode(&mut bytes);
        let back = DeleteVector::from_image(DeleteImage::decode(&Bytes::from(bytes), "test").unwrap());
        let check = |other: &DeleteVector| {
            for snapshot in [5, 10, 15, 20, 29, 30].map(CommitTs) {
                let dead = |deletes: &DeleteVector| deletes.mask(snapshot).map(|mask| mask.to_roaring());
                assert_eq!(dead(&one_by_one), dead(other));
                assert_eq!(one_by_one.since(snapshot), other.since(snapshot));
            }
            for row in 0..6300 {
                assert_eq!(one_by_one.deleted_at(row), other.deleted_at(row), "row {row}");
                assert_eq!(one_by_one.is_deleted(row, CommitTs(15)), other.is_deleted(row, CommitTs(15)));
            }
        };
        [&together, &back].into_iter().for_each(check);
        let first: RoaringBitmap = (0..MANY as u32 * 2).collect();
        assert!(!back.delete_all(&first, CommitTs(10)), "the log is replayed over what a file holds");
        [&together, &back].into_iter().for_each(check);
        for deletes in [&one_by_one, &together, &back] {
            deletes.mark_saved(CommitTs(30));
            deletes.prune(CommitTs(20));
        }
        [&together, &back].into_iter().for_each(check);
        assert_eq!(together.deleted_at(3), Some(CommitTs::ZERO));
    }

    #[test]
    fn images_hold_what_was_deleted_up_to_a_moment() {
        let deletes = DeleteVector::default();
        deletes.delete(1, CommitTs(10));
        deletes.delete(2, CommitTs(20));
        assert!(deletes.is_dirty(CommitTs(10)) && !deletes.is_dirty(CommitTs(9)));
        let mut bytes = Vec::new();
        deletes.image(CommitTs(15)).encode(&mut bytes);
        deletes.mark_saved(CommitTs(15));
        assert!(deletes.is_dirty(CommitTs(20)) && !deletes.is_dirty(CommitTs(15)));
        let bytes = Bytes::from(bytes);
        let back = DeleteVector::from_image(DeleteImage::decode(&bytes, "test").unwrap());
        assert_eq!((back.count(), back.deleted_at(1)), (1, Some(CommitTs(10))));
        for at in 0..bytes.len() {
            assert!(DeleteImage::decode(&bytes.slice(..at), "test").is_err());
            let mut hostile = bytes.to_vec();
            hostile[at] ^= 0x41;
            let _ = DeleteImage::decode(&Bytes::from(hostile), "test");
        }
    }
}
