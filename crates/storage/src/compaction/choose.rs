//! Which segments to merge next.
//!
//! Segments of a tree lie in tiers: 0 as they were frozen or loaded, then 1 and 2 as merges made them. Within a tier what
//! costs readers is overlap: how many segments may hold one key. Merging a tier's overlapping segments moves them one tier
//! up, so a row is rewritten a few times in its life, and a probe meets at most `8 + 3 + 3` bloom filters. Small neighbours
//! that do not overlap are merged by number, and a segment with many deleted rows is rewritten alone. When nothing else is
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
        overlapping(&members, depth_max, tier).or_else(|| small(&members, limits, tier)).or_else(|| dead(&members))
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

/// The keys' most crowded place, if more than `depth_max` segments cover it, and all that overlap it.
fn overlapping(members: &[&SegmentView], depth_max: usize, tier: u8) -> Option<Job> {
    let mut cluster: Vec<&SegmentView> = Vec::new();
    let mut end: Option<&Bytes> = None;
    let mut crowded = false;
    for member in members {
        if end.is_some_and(|end| *end < member.min_key) {
            if crowded {
                break;
            }
            cluster.clear();
            end = None;
        }
        cluster.push(member);
        end = Some(end.map_or(&member.max_key, |end| end.max(&member.max_key)));
        // Neighbours that a merge cut between the versions of one key only touch: merging them again changes nothing.
        let covering = 1 + cluster.iter().rev().skip(1).filter(|other| other.max_key > member.min_key).count();
        crowded |= covering > depth_max;
    }
    let inputs = cluster.iter().map(|segment| segment.id).collect();
    crowded.then(|| Job { inputs, level: (tier + 1).min(TIERS - 1) })
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

/// The segment with the largest share of dead rows, if that is more than a fifth.
fn dead(members: &[&SegmentView]) -> Option<Job> {
    let mut dead: Vec<&&SegmentView> = members.iter().filter(|segment| segment.dead_rows * 5 > segment.rows).collect();
    dead.sort_by_key(|segment| std::cmp::Reverse(segment.dead_rows * 1000 / segment.rows.max(1)));
    dead.first().map(|segment| Job { inputs: vec![segment.id], level: segment.level })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { segment_rows: 1000, young_max: 8, runs_max: 3, small_max: 8 };

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
    fn merging_ends() {
        // What a merge of small or overlapping segments leaves must not be chosen again for the same reason.
        let merged: Vec<_> = (0..3).map(|n| segment(n, 2, 100, (n as u8 * 10, n as u8 * 10 + 5))).collect();
        assert_eq!(choose(&merged, LIMITS), None);
    }
}
