//! Readers' locks on trees (AccessShare), kept with the reader.
//!
//! Nearly every statement reads and hardly any needs a tree for itself, so a reader notes its trees in a slot of its own,
//! touching nothing others write. Only AccessExclusive excludes readers; who wants it
//! 1. raises the tree's flag,
//! 2. moves what every slot holds of the tree into the lock table, as if it had always been there,
//! 3. then asks the lock table like anybody else. The flag stays up as long as a request waits or is granted there.
//!
//! A reader looks at the flag inside its slot's mutex: either it comes before step 2 passes its slot and is seen there, or it sees
//! the flag and goes to the lock table too. Trees share flags; one raised for another tree only costs time.
//!
//! Lock order: a slot, then a part of the lock table; the list of slots is never held while either is taken.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, FutureExt};
use heliosdb_contracts::{LockInfo, LockObject, LockOwner, LockWait, ReadLocks, TreeLockMode};
use heliosdb_types::{BranchId, Result, TreeRef};
use parking_lot::Mutex;
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;
use std::hash::BuildHasher;

use crate::lock_table::LockTable;
use crate::resource::Resource;

/// A power of two; most of the time all are down, so that they stay in every core's cache.
const FLAGS: usize = 1024;

/// The flags, and where all slots are found.
pub(crate) struct Readers {
    /// How many AccessExclusive requests wait or are granted, by hash of the tree.
    flags: Box<[AtomicU32]>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    next: u64,
    open: FxHashMap<u64, Weak<Slot>>,
}

impl Default for Readers {
    fn default() -> Readers {
        Readers { flags: (0..FLAGS).map(|_| AtomicU32::new(0)).collect(), slots: Mutex::default() }
    }
}

impl Readers {
    fn flag(&self, tree: TreeRef) -> &AtomicU32 {
        let hash = FxBuildHasher.hash_one(tree);
        &self.flags[(hash >> 48) as usize % FLAGS]
    }

    /// Requests for AccessExclusive that wait or are granted have become more, or less.
    pub fn count(&self, tree: TreeRef, before: u32, after: u32) {
        let flag = self.flag(tree);
        if after > before {
            flag.fetch_add(after - before, Ordering::SeqCst);
        } else if after < before {
            flag.fetch_sub(before - after, Ordering::SeqCst);
        }
    }

    /// Raises a flag until the guard goes.
    pub fn raise(&self, tree: TreeRef) -> Raised<'_> {
        self.count(tree, 0, 1);
        Raised { readers: self, tree }
    }

    pub fn open(&self) -> Vec<Arc<Slot>> {
        self.slots.lock().open.values().filter_map(Weak::upgrade).collect()
    }

    /// Nobody reads, and no flag is up.
    pub fn is_empty(&self) -> bool {
        let down = self.flags.iter().all(|flag| flag.load(Ordering::SeqCst) == 0);
        down && self.open().iter().all(|slot| slot.held.lock().is_empty())
    }
}

pub(crate) struct Raised<'a> {
    readers: &'a Readers,
    tree: TreeRef,
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.readers.count(self.tree, 1, 0);
    }
}

/// A tree a reader holds.
#[derive(Clone, Copy, Debug)]
struct Read {
    tree: TreeRef,
    /// The lock table knows.
    listed: bool,
}

/// What one session reads.
pub(crate) struct Slot {
    table: Arc<LockTable>,
    branch: BranchId,
    owner: LockOwner,
    number: u64,
    held: Mutex<SmallVec<[Read; 4]>>,
}

impl Slot {
    pub fn open(table: &Arc<LockTable>, branch: BranchId, owner: LockOwner) -> Arc<Slot> {
        let mut slots = table.readers().slots.lock();
        let number = slots.next;
        slots.next += 1;
        let slot = Arc::new(Slot { table: Arc::clone(table), branch, owner, number, held: Mutex::default() });
        slots.open.insert(number, Arc::downgrade(&slot));
        slot
    }

    fn resource(&self, tree: TreeRef) -> Resource {
        Resource::tree(self.branch, tree)
    }

    /// Step 2: shows the lock table who reads a tree.
    pub fn list(&self, branch: BranchId, tree: TreeRef) {
        if branch != self.branch {
            return;
        }
        let mut held = self.held.lock();
        for read in held.iter_mut().filter(|read| read.tree == tree && !read.listed) {
            self.table.admit_reader(self.owner, &self.resource(tree));
            read.listed = true;
        }
    }

    /// What only this slot knows.
    pub fn unlisted(&self) -> Vec<LockInfo> {
        let held = self.held.lock();
        let info = |read: &Read| LockInfo {
            owner: self.owner,
            object: LockObject::Tree(read.tree),
            mode: TreeLockMode::AccessShare,
            granted: true,
            fast: true,
        };
        held.iter().filter(|read| !read.listed).map(info).collect()
    }
}

impl ReadLocks for Slot {
    fn try_lock(&self, tree: TreeRef) -> bool {
        let mut held = self.held.lock();
        if held.iter().any(|read| read.tree == tree) {
            return true;
        }
        let listed = self.table.readers().flag(tree).load(Ordering::SeqCst) > 0;
        if listed && !self.table.try_lock(self.owner, &self.resource(tree), TreeLockMode::AccessShare) {
            return false;
        }
        held.push(Read { tree, listed });
        true
    }

    fn lock(&self, tree: TreeRef, wait: LockWait) -> BoxFuture<'_, Result<()>> {
        async move {
            if !self.try_lock(tree) {
                self.table.lock(self.owner, &self.resource(tree), TreeLockMode::AccessShare, wait).await?;
                self.held.lock().push(Read { tree, listed: true });
            }
            Ok(())
        }
        .boxed()
    }

    fn mark(&self) -> usize {
        self.held.lock().len()
    }

    fn back_to(&self, mark: usize) {
        let mut listed = SmallVec::<[TreeRef; 4]>::new();
        {
            let mut held = self.held.lock();
            listed.extend(held.iter().skip(mark).filter(|read| read.listed).map(|read| read.tree));
            held.truncate(mark);
        }
        for tree in listed {
            self.table.unlock_mode(self.owner, &self.resource(tree), TreeLockMode::AccessShare);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.back_to(0);
        self.table.readers().slots.lock().open.remove(&self.number);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({}, {:?})", self.owner, self.held.lock())
    }
}
