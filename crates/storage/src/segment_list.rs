//! A tree's segments, and which of them may hold a key.
//!
//! A tree of random keys has hundreds of segments of which ten may hold one key, and every uniqueness probe asks. So the
//! beginnings of their first and last keys lie side by side; only segments that pass those are looked at.

use std::ops::Deref;
use std::sync::Arc;

use crate::key_beginning::key_beginning;
use crate::segments::Segment;

/// Segments in the order they came.
#[derive(Clone, Default)]
pub(crate) struct SegmentList {
    segments: Vec<Arc<Segment>>,
    /// Of each segment.
    fences: Vec<Fence>,
}

/// The beginnings of a segment's first and last key.
#[derive(Clone, Copy)]
struct Fence {
    first: u128,
    last: u128,
}

pub(crate) static NO_SEGMENTS: SegmentList = SegmentList { segments: Vec::new(), fences: Vec::new() };

impl SegmentList {
    pub fn push(&mut self, segment: Arc<Segment>) {
        self.fences
            .push(Fence { first: key_beginning(&segment.meta.min_key), last: key_beginning(&segment.meta.max_key) });
        self.segments.push(segment);
    }

    /// Those whose range of keys has this one in it.
    pub fn holding<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Arc<Segment>> {
        let begins = key_beginning(key);
        let fences = self.fences.iter().enumerate();
        let passing = fences.filter(move |(_, fence)| fence.first <= begins && begins <= fence.last);
        passing.filter_map(|(at, _)| self.segments.get(at)).filter(|segment| segment.meta.may_hold(key))
    }
}

impl Deref for SegmentList {
    type Target = [Arc<Segment>];

    fn deref(&self) -> &[Arc<Segment>] {
        &self.segments
    }
}

impl FromIterator<Arc<Segment>> for SegmentList {
    fn from_iter<I: IntoIterator<Item = Arc<Segment>>>(segments: I) -> SegmentList {
        let mut list = SegmentList::default();
        segments.into_iter().for_each(|segment| list.push(segment));
        list
    }
}
