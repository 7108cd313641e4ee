//! What is measured, a file each.

mod commit;
mod keys;
mod points;
mod recover;
mod scans;
mod upserts;

use crate::Options;
use crate::report::Report;

type Cell = fn(&Options, &mut Report);

pub const CELLS: [(&str, Cell); 6] = [
    ("commit", commit::run),
    ("recover", recover::run),
    ("points", points::run),
    ("scans", scans::run),
    ("upserts", upserts::run),
    ("keys", keys::run),
];
