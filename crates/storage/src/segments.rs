//! Segments as a version holds them: the file's facts and the rows of it that were deleted.

use crate::delete_vector::DeleteVector;
use crate::manifest::SegmentMeta;

/// A segment some version reads.
pub(crate) struct Segment {
    pub meta: SegmentMeta,
    pub deletes: DeleteVector,
}
