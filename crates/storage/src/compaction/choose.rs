//! Which segments to merge next.
//!
//! Segments of a tree lie in tiers: 0 as they were frozen or loaded, then 1 and 2 as merges made them. Within a tier what
//! costs readers is overlap: how many segments may hold one key. Merging a tier's overlapping segments moves them one tier
//! up, so a row is rewritten a few times in its life, and a probe meets at most `8 + 3 + 3` bloom filters. Where those are more rows
//! than one merge should hold up others with, only the segments of the most crowded place are merged: which segments are merged
//! together is a matter of cost alone, as each row version knows by itself when it begins and ends. Small neighbours
//! that do not overlap are merged by number, and a segment with many deleted rows is rewritten alone: a large part of them, and enough
//! to pay for a manifest, for a table of ten rows that is updated all the time has such segments all the time. When nothing else is
//! due, a segment that was frozen long ago and never merged is rewritten with the encodings for data that stays.

use bytes::Bytes;
use heliosdb_types::SegmentId;

/// What the decision needs to know of a segment.
#[derive(Clone, Debug)]
pub(crate) struct SegmentView {
    pub id: SegmentId,
    pub level: u8,
    pub rows: u64,
    /// Rows deleted for every snapshot.
    pub dead_rows: u64,
    /// Whether its encodings were chosen to last.
    pub settled: bool,
    pub min_key: Bytes,
    pub max_key: Bytes,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Rows of a full segment.
    pub segment_rows: u64,
    /// Overlapping segments a tier 0 may have.
    pub young_max: usize,
    /// As above, of the tiers over it.
    pub runs_max: usize,
    /// Small segments a tier may have.
    pub small_max: usize,
    /// Dead rows that pay for rewriting a segment some of whose rows live.
    pub dead_min: u64,
}

/// Segments to merge into the tier `level`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub inputs: Vec<SegmentId>,
    pub level: u8,
}

const TIERS: u8 = 3;

impl Limits {
    /// Fewer than one segment cannot be had: merging towards it would never end.
    fn reachable(self) -> Limits {
        Limits {
            young_max: self.young_max.max(1),
            runs_max: self.runs_max.max(1),
            small_max: self.small_max.max(1),
            ..self
        }
    }
}

/// The next merge of one tree's segments that pays, if any.
pub(crate) fn choose(segments: &[SegmentView], limits: Limits) -> Option<Job> {
    let limits = limits.reachable();
    let due = (0..TIERS).find_map(|tier| {
        let in_tier = |segment: &&SegmentView| segment.level == tier || (segment.level > tier && tier + 1 == TIERS);
        let mut members: Vec<&SegmentView> = segments.iter().filter(in_tier).collect();
        members.sort_by(|a, b| (&a.min_key, a.id).cmp(&(&b.min_key, b.id)));
        let depth_max = if tier == 0 { limits.young_max } else { limits.runs_max };
        overlapping(&members, limits, depth_max, tier)
            .or_else(|| small(&members, limits, tier))
            .or_else(|| dead(&members, limits))
    });
    due.or_else(|| unsettled(segments, limits))
}

/// The oldest segment that was never merged, if there are as many newer ones as a tree may have young ones: age is counted in
/// segments, so that a quiet table is left alone.
fn unsettled(segments: &[SegmentView], limits: Limits) -> Option<Job> {
    let oldest = segments.iter().filter(|segment| !segment.settled).min_by_key(|segment| segment.id)?;
    let newer = segments.iter().filter(|segment| !segment.settled && segment.id > oldest.id).count();
    (newer >= limits.young_max).then(|| Job { inputs: vec![oldest.id], level: oldest.level.max(1) })
}

/// What to merge where more than `depth_max` segments cover a key: the first such cluster of segments that overlap one another,
/// or, where that is too much at once, the segments that cover its most crowded place.
fn overlapping(members: &[&SegmentView], limits: Limits, depth_max: usize, tier: u8) -> Option<Job> {
    let mut cluster: Vec<&SegmentView> = Vec::new();
    let mut end: Option<&Bytes> = None;
    // The cluster's members up to the one where most others overlap, and how many.
    let (mut deepest, mut depth) = (0, 0);
    for member in members {
        if end.is_some_and(|end| *end < member.min_key) {
            if depth > depth_max {
                break;
            }
            cluster.clear();
            (end, depth) = (None, 0);
        }
        cluster.push(member);
        end = Some(end.map_or(&member.max_key, |end| end.max(&member.max_key)));
        let covering = 1 + covering(&cluster).count();
        if covering > depth {
            (deepest, depth) = (cluster.len(), covering);
        }
    }
    if depth <= depth_max {
        return None;
    }
    let rows: u64 = cluster.iter().map(|segment| segment.rows).sum();
    if rows > limits.segment_rows.saturating_mul(JOB_SEGMENTS) {
        cluster.truncate(deepest);
        let mut there: Vec<&SegmentView> = covering(&cluster).copied().chain(cluster.last().copied()).collect();
        // The oldest first: what has waited longest has most that died.
        there.sort_by_key(|segment| segment.id);
        there.truncate(2 * (depth_max + 1));
        cluster = there;
    }
    let inputs = cluster.iter().map(|segment| segment.id).collect();
    Some(Job { inputs, level: (tier + 1).min(TIERS - 1) })
}

/// A merge of more rows than so many full segments have is cut to one place.
const JOB_SEGMENTS: u64 = 8;

/// The segments of a cluster that cover the last one's first key, without that one. Neighbours that a merge cut between the
/// versions of one key only touch: merging them again changes nothing.
fn covering<'a, 'b>(cluster: &'b [&'a SegmentView]) -> impl Iterator<Item = &'b &'a SegmentView> {
    let (last, others) = cluster.split_last().map_or((None, cluster), |(last, others)| (Some(last), others));
    others.iter().filter(move |other| last.is_some_and(|last| other.max_key > last.min_key))
}

/// Neighbours far from full, if there are many.
fn small(members: &[&SegmentView], limits: Limits, tier: u8) -> Option<Job> {
    let is_small = |segment: &SegmentView| segment.rows.saturating_mul(4) < limits.segment_rows;
    let mut run: Vec<&SegmentView> = Vec::new();
    for member in members {
        if is_small(member) {
            run.push(member);
        } else if run.len() > limits.small_max {
            break;
        } else {
            run.clear();
        }
    }
    let enough = run.len() > limits.small_max;
    enough.then(|| Job { inputs: run.iter().map(|segment| segment.id).collect(), level: (tier + 1).min(TIERS - 1) })
}

/// All segments whose rows are all dead, or the one with the largest share of dead rows, if that is more than a fifth.
fn dead(members: &[&SegmentView], limits: Limits) -> Option<Job> {
    let gone: Vec<&&SegmentView> = members.iter().filter(|segment| segment.dead_rows == segment.rows).collect();
    if let Some(first) = gone.first() {
        return Some(Job { inputs: gone.iter().map(|segment| segment.id).collect(), level: first.level });
    }
    let pays = |segment: &&&SegmentView| segment.dead_rows >= limits.dead_min && segment.dead_rows * 5 > segment.rows;
    let worst = members.iter().filter(pays).max_by_key(|segment| segment.dead_rows * 1000 / segment.rows.max(1));
    worst.map(|segment| Job { inputs: vec![segment.id], level: segment.level })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { segment_rows: 1000, young_max: 8, runs_max: 3, small_max: 8, dead_min: 3 };

    fn segment(id: u64, level: u8, rows: u64, keys: (u8, u8)) -> SegmentView {
        let key = |byte: u8| Bytes::copy_from_slice(&[byte]);
        SegmentView {
            id: SegmentId(id),
            level,
            rows,
            dead_rows: 0,
            settled: true,
            min_key: key(keys.0),
            max_key: key(keys.1),
        }
    }

    fn ids(job: Option<Job>) -> Option<(Vec<u64>, u8)> {
        job.map(|job| (job.inputs.iter().map(|id| id.0).collect(), job.level))
    }

    #[test]
    fn overlap_is_merged_only_beyond_the_limit_and_only_where_it_is() {
        let mut segments: Vec<_> = (0..8).map(|n| segment(n, 0, 900, (10, 20))).collect();
        segments.push(segment(50, 0, 900, (30, 40)));
        assert_eq!(choose(&segments, LIMITS), None);
        segments.push(segment(9, 0, 900, (15, 25)));
        assert_eq!(ids(choose(&segments, LIMITS)), Some((vec![0, 1, 2, 3, 4, 5, 6, 7, 9], 1)));
    }

    #[test]
    fn sorted_full_segments_are_left_alone() {
        let segments: Vec<_> = (0..100).map(|n| segment(n, 0, 900, (n as u8 * 2, n as u8 * 2 + 1))).collect();
        assert_eq!(choose(&segments, LIMITS), None);
    }

    #[test]
    fn small_segments_are_merged_by_number_and_dead_rows_by_share() {
        let mut segments: Vec<_> = (0..9).map(|n| segment(n, 0, 10, (n as u8 * 2, n as u8 * 2 + 1))).collect();
        assert_eq!(ids(choose(&segments, LIMITS)), Some(((0..9).collect(), 1)));
        segments.truncate(8);
        assert_eq!(choose(&segments, LIMITS), None);
        segments[3].dead_rows = 3;
        assert_eq!(ids(choose(&segments, LIMITS)), Some((vec![3], 0)));
        assert_eq!(choose(&segments, Limits { dead_min: 4, ..LIMITS }), None, "too few to pay for a manifest");
        for gone in [1, 5] {
            segments[gone].dead_rows = segments[gone].rows;
        }
        let gone = ids(choose(&segments, Limits { dead_min: 1000, ..LIMITS }));
        assert_eq!(gone, Some((vec![1, 5], 0)), "segments of dead rows alone go at once");
        let runs: Vec<_> = (0..4).map(|n| segment(n, 1, 900, (0, 200))).collect();
        assert_eq!(ids(choose(&runs, LIMITS)), Some((vec![0, 1, 2, 3], 2)));
        let top: Vec<_> = (0..4).map(|n| segment(n, 2, 900, (0, 200))).collect();
        assert_eq!(ids(choose(&top, LIMITS)), Some((vec![0, 1, 2, 3], 2)));
    }

    #[test]
    fn old_young_segments_are_settled_one_at_a_time() {
        let young = |n: u64| SegmentView { settled: false, ..segment(n, 0, 900, (n as u8 * 2, n as u8 * 2 + 1)) };
        let mut segments: Vec<_> = (0..8).map(young).collect();
        assert_eq!(choose(&segments, LIMITS), None);
        segments.push(young(8));
        assert_eq!(ids(choose(&segments, LIMITS)), Some((vec![0], 1)));
        segments[0] = segment(9, 1, 900, (0, 1));
        assert_eq!(choose(&segments, LIMITS), None);
    }

    #[test]
    fn limits_of_nothing_ask_for_one_segment() {
        let none = Limits { young_max: 0, runs_max: 0, small_max: 0, ..LIMITS };
        for level in 0..TIERS {
            for rows in [10, 900] {
                assert_eq!(choose(&[segment(1, level, rows, (10, 20))], none), None, "one segment of tier {level}");
                let two = [segment(1, level, rows, (10, 20)), segment(2, level, rows, (15, 30))];
                assert_eq!(ids(choose(&two, none)), Some((vec![1, 2], (level + 1).min(TIERS - 1))));
            }
        }
    }

    #[test]
    fn segments_cut_between_versions_of_a_key_are_left_alone() {
        let merged = [segment(1, 2, 900, (10, 20)), segment(2, 2, 900, (20, 30)), segment(3, 2, 900, (30, 40))];
        let one = Limits { runs_max: 1, ..LIMITS };
        assert_eq!(choose(&merged, one), None);
    }

    #[test]
    fn a_large_merge_is_cut_to_the_most_crowded_place() {
        // Four runs of ten full segments each, shifted against one another.
        let runs = (0..4_u64).flat_map(|run| (0..10_u64).map(move |n| (run * 10 + n, run as u8, n as u8)));
        let mut segments: Vec<_> =
            runs.map(|(id, run, n)| segment(id, 2, 1000, (n * 20 + run * 5, n * 20 + run * 5 + 19))).collect();
        let mut merges = 0;
        while let Some(job) = choose(&segments, LIMITS) {
            assert!(job.inputs.len() > LIMITS.runs_max && job.inputs.len() <= 8, "{} at once", job.inputs.len());
            let (inputs, others): (Vec<_>, Vec<_>) =
                segments.into_iter().partition(|segment| job.inputs.contains(&segment.id));
            let low = inputs.iter().map(|segment| segment.min_key[0]).min().unwrap();
            let high = inputs.iter().map(|segment| segment.max_key[0]).max().unwrap();
            let step = (high - low) / inputs.len() as u8;
            segments = others;
            for n in 0..inputs.len() as u8 {
                let keys =
                    (low + n * step, if n as usize + 1 == inputs.len() { high } else { low + (n + 1) * step - 1 });
                segments.push(segment(1000 + segments.len() as u64 + 100 * merges, job.level, 1000, keys));
            }
            merges += 1;
            assert!(merges < 40, "merging ends");
        }
        for key in 0..=255_u8 {
            let deep = segments.iter().filter(|segment| segment.min_key[0] <= key && key <= segment.max_key[0]).count();
            assert!(deep <= LIMITS.runs_max + 1, "{deep} segments cover {key}");
        }
    }

    #[test]
    fn merging_ends() {
        // What a merge of small or overlapping segments leaves must not be chosen again for the same reason.
        let merged: Vec<_> = (0..3).map(|n| segment(n, 2, 100, (n as u8 * 10, n as u8 * 10 + 5))).collect();
        assert_eq!(choose(&merged, LIMITS), None);
    }
}
