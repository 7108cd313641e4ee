//! Merging segments: deciding (a pure function of what the manifest says) apart from doing.

mod choose;
mod merge;
mod run;

pub(crate) use choose::{Job, Limits, SegmentView, choose};
