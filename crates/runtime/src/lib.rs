//! The outside world, injected: disk, clock, randomness, threads and tasks, listening sockets, failpoints.
//!
//! Does: gives every other crate one seam per kind of effect, with a real implementation and, where tests need one, a
//! simulated one driven by a seed ([`SimDisk`], [`SimClock`], [`SeededEntropy`]). Does not: know records, rows, SQL or
//! protocols. Invariants: nothing outside this crate names the originals in std or tokio (clippy's
//! `disallowed-methods`); a [`SimDisk`] keeps nothing through a crash that was not synced, except by chance; a switched-off
//! failpoint costs one relaxed load. May depend on: types.
//!
//! ```
//! use heliosdb_runtime::{Disk, OpenMode, SimDisk};
//! let disk = SimDisk::new(7);
//! let file = disk.open("note", OpenMode::CreateNew).unwrap();
//! file.write_at(b"kept", 0).unwrap();
//! file.sync_all().unwrap();
//! disk.sync_dir("").unwrap();
//! let disk = disk.crash();
//! assert_eq!(disk.read("note").unwrap(), b"kept");
//! ```

mod allocator;
mod canary;
mod clock;
mod disk;
mod entropy;
mod failpoints;
mod machine;
mod net;
mod program;
mod spawn;
mod steward;

pub use allocator::{Allocator, release_memory};
pub use canary::Canary;
pub use clock::{Clock, RealClock, SimClock};
pub use disk::{
    Access, Disk, DiskFile, DiskLock, Fault, FaultKind, FaultOp, FlippedBit, HostFiles, HostKind, Interruption, IoRate,
    NewFile, OpenMode, RealDisk, ScratchDisk, SimDisk, ThrottledDisk, read_large,
};
pub use entropy::{Entropy, RealEntropy, SeededEntropy};
pub use failpoints::{
    FailAction, clear_failpoints, failpoint, failpoint_hits, failpoints_from_env, set_failpoint, set_failpoints,
};
pub use machine::{cores, give_way, memory_bytes, raise_descriptor_limit, resident_bytes};
pub use net::{keep_alive, listen};
pub use program::announce_program;
pub use spawn::{Pool, Spawner, Task, Thread};
