//! Rules broken on purpose, to prove that the tests notice.
//!
//! A simulator is as good as what it catches, so it is also run on shards that each break one rule; a run of a given
//! number of seeds that passes then is a failing test. A product cannot be broken this way: no setting, environment
//! variable or cargo feature leads here, only Rust code that fills in an option by hand; and without debug assertions,
//! as in every release build, [`Canary::sings`] is `false` at compile time and the broken ways are not in the binary.

/// One rule, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Canary {
    /// Commits are acknowledged before the log is synced.
    AckBeforeSync,
    /// A log sync that failed is tried again, and believed when it succeeds.
    RetryFailedSync,
    /// Commits become visible before they are durable.
    VisibleBeforeDurable,
    /// A manifest is swapped in before the segments it names are synced.
    ManifestBeforeSegment,
    /// Deletes that land while a segment is being written are not carried over to it.
    LoseLateDelete,
    /// Log files that a restart still has to replay are recycled.
    RecycleNeededLog,
    /// What is read of a segment is not compared with its checksum.
    TrustSegments,
    /// A delete vector forgets when rows were deleted, though an older snapshot is open.
    PruneOpenSnapshot,
    /// A restart removes files before the manifest that gave them up is durable.
    SweepBeforeSync,
    /// A restart believes that what it read of the log's end is on the disk once it has synced the file.
    TrustPageCache,
}

impl Canary {
    pub const ALL: [Canary; 10] = [
        Canary::AckBeforeSync,
        Canary::RetryFailedSync,
        Canary::VisibleBeforeDurable,
        Canary::ManifestBeforeSegment,
        Canary::LoseLateDelete,
        Canary::RecycleNeededLog,
        Canary::TrustSegments,
        Canary::PruneOpenSnapshot,
        Canary::SweepBeforeSync,
        Canary::TrustPageCache,
    ];

    /// Whether `broken`, the option of what is being tested, breaks this rule.
    #[inline]
    pub fn sings(self, broken: Option<Canary>) -> bool {
        cfg!(debug_assertions) && broken == Some(self)
    }
}
