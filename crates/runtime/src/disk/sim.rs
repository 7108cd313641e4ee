//! A simulated disk: repeatable from a seed, forgetful unless synced, and able to fail.
//!
//! Model: names and bytes are volatile until synced. A crash keeps each unsynced byte change wholly, by sectors or not at
//! all, and each unsynced change of a name or not at all - half of the time a prefix of them, as journalling file systems
//! do, else any subset, as POSIX allows. A crash makes a new disk; whoever still holds the old one only gets errors, so
//! threads of the "killed" process cannot touch what its successor sees. Every call goes into a digest, so that two runs
//! can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use heliosdb_types::{Error, Result};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::files::SimInode;
use super::real::in_use;
use super::{Disk, DiskFile, DiskLock, OpenMode, parent};

/// What a fault waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOp {
    Open,
    Read,
    Write,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The call fails with EIO. A failed write may have written a part; a failed sync loses what it should have saved.
    Io,
    /// The call fails with ENOSPC.
    NoSpace,
    /// A read returns one flipped bit (the platter is unharmed).
    FlipBit,
    /// The machine goes off before the call does anything; follow with `crash` or `kill`.
    PowerOff,
}

/// A rule: the calls of kind `op` on paths containing `path` (`.`: on the root itself), after `skip` of them, `times` times.
#[derive(Clone, Debug)]
pub struct Fault {
    pub op: FaultOp,
    pub path: String,
    pub skip: u64,
    pub times: u64,
    pub kind: FaultKind,
}

/// A bit that was flipped, wherever its file has been renamed to since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlippedBit {
    inode: u64,
    offset: u64,
    bit: u8,
}

/// What was read of a file, or announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub path: String,
    pub range: Range<u64>,
    /// Only said to be needed.
    pub announced: bool,
}

/// Called before a write, with the path it goes to.
pub type Interruption = Box<dyn FnMut(&str) + Send>;

#[derive(Default)]
struct Interrupt(Option<Interruption>);

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "not set" })
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link { path: String, inode: u64 },
    Rename { from: String, to: String },
    Unlink { path: String },
}

impl NameChange {
    /// The directory whose sync makes the change durable.
    fn dir(&self) -> &str {
        match self {
            NameChange::Link { path, .. } | NameChange::Unlink { path } => parent(path),
            NameChange::Rename { to, .. } => parent(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            NameChange::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            NameChange::Unlink { path } => {
                names.remove(path);
            }
        }
    }
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    inodes: BTreeMap<u64, SimInode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    dirs: BTreeSet<String>,
    locks: BTreeSet<String>,
    faults: Vec<Fault>,
    capacity: u64,
    /// Calls that change something, so far.
    changes: u64,
    power_off_at: Option<u64>,
    dead: bool,
    syncs: u64,
    digest: u64,
    interrupt: Interrupt,
    watched: Option<Vec<Access>>,
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(State::new(StdRng::seed_from_u64(seed)))) }
    }

    /// Power loss: this disk is dead from now on, the returned one holds what survived.
    pub fn crash(&self) -> SimDisk {
        let mut old = self.state.lock();
        old.dead = true;
        let mut new = State::new(StdRng::seed_from_u64(old.rng.random()));
        new.names = old.survivors();
        new.durable_names = new.names.clone();
        new.dirs = old.dirs.clone();
        new.next_inode = old.next_inode;
        new.capacity = old.capacity;
        new.digest = old.digest;
        let kept: BTreeSet<u64> = new.names.values().copied().collect();
        for inode in kept {
            let mut file = old.inodes.get(&inode).cloned().unwrap_or_default();
            file.crash(&mut new.rng);
            new.inodes.insert(inode, file);
        }
        SimDisk { state: Arc::new(Mutex::new(new)) }
    }

    /// The process is killed, the machine stays up: this disk is dead from now on, the returned one shows what the page
    /// cache shows, and it is as volatile as it was.
    pub fn kill(&self) -> SimDisk {
        let mut old = self.state.lock();
        let rng = StdRng::seed_from_u64(old.rng.random());
        let mut new = std::mem::replace(&mut *old, State::new(rng));
        old.dead = true;
        (new.dead, new.power_off_at) = (false, None);
        new.faults.clear();
        new.locks.clear();
        new.interrupt = Interrupt::default();
        SimDisk { state: Arc::new(Mutex::new(new)) }
    }

    /// From now on what is read and announced is kept, for [`SimDisk::accesses`].
    pub fn watch_reads(&self) {
        self.state.lock().watched.get_or_insert_default();
    }

    /// What was read and announced since the last call, in order; nothing unless [`SimDisk::watch_reads`] was called.
    pub fn accesses(&self) -> Vec<Access> {
        self.state.lock().watched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Has `run` called before every write, on the writer's thread; what it writes itself does not interrupt again. The
    /// disk is not locked meanwhile, but whoever writes may hold locks of its own.
    pub fn interrupt_writes(&self, run: Interruption) {
        self.state.lock().interrupt.0 = Some(run);
    }

    pub fn uninterrupted(&self) {
        self.state.lock().interrupt.0 = None;
    }

    /// A number that two disks share only if the same calls were made on both, with the same bytes.
    pub fn digest(&self) -> u64 {
        self.state.lock().digest
    }

    /// Bytes of all files that have a name.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Adds a rule.
    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// From the `n`th change (from now) on every call fails, as if power had gone; follow with `crash`.
    pub fn power_off_after(&self, n: u64) {
        let mut state = self.state.lock();
        state.power_off_at = Some(state.changes + n);
    }

    /// Calls so far that change something: the points at which `power_off_after` can cut.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// Calls so far that sync a file.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Limits the sum of all files' lengths; beyond, ENOSPC.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// As if [`SimDisk::power_off_after`] had not been called; what it has cut off stays off.
    pub fn power_stays(&self) {
        self.state.lock().power_off_at = None;
    }

    /// Flips a bit of a stored file.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u8) -> Result<FlippedBit> {
        let mut state = self.state.lock();
        let inode = state.find(path)?;
        state.inode(inode)?.flip(offset, bit);
        Ok(FlippedBit { inode, offset, bit })
    }

    /// Undoes a flip, also on the disk that a crash made of this one.
    pub fn flip_back(&self, flipped: FlippedBit) {
        let mut state = self.state.lock();
        // A file that a crash or the shard has removed needs no repair.
        if let Ok(inode) = state.inode(flipped.inode) {
            inode.flip_back(flipped.offset, flipped.bit);
        }
    }
}

impl State {
    fn new(rng: StdRng) -> State {
        State {
            rng,
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            dirs: BTreeSet::from([String::new()]),
            locks: BTreeSet::new(),
            faults: Vec::new(),
            capacity: u64::MAX,
            changes: 0,
            power_off_at: None,
            dead: false,
            syncs: 0,
            digest: 0,
            interrupt: Interrupt::default(),
            watched: None,
        }
    }

    fn watch(&mut self, path: &str, range: Range<u64>, announced: bool) {
        if let Some(watched) = &mut self.watched {
            watched.push(Access { path: path.to_owned(), range, announced });
        }
    }

    /// The names after a crash.
    fn survivors(&mut self) -> BTreeMap<String, u64> {
        let mut names = self.durable_names.clone();
        let pending = std::mem::take(&mut self.pending_names);
        if self.rng.random_bool(0.5) {
            let kept = self.rng.random_range(0..=pending.len());
            pending.iter().take(kept).for_each(|change| change.apply(&mut names));
        } else {
            let kept: Vec<_> = pending.into_iter().filter(|_| self.rng.random_bool(0.5)).collect();
            kept.iter().for_each(|change| change.apply(&mut names));
        }
        names
    }

    fn alive(&self, doing: &str, path: &str) -> Result<()> {
        if self.dead { Err(failed(doing, path, io::Error::other("the simulated machine is off"))) } else { Ok(()) }
    }

    /// Counts a change; power may go here.
    fn changing(&mut self, doing: &str, path: &str) -> Result<()> {
        self.alive(doing, path)?;
        self.note(doing, path, 0, &[]);
        self.changes += 1;
        if self.power_off_at.is_some_and(|at| self.changes > at) {
            self.dead = true;
        }
        self.alive(doing, path)
    }

    /// Adds a call to the digest.
    fn note(&mut self, op: &str, path: &str, at: u64, bytes: &[u8]) {
        let mut hasher = DefaultHasher::new();
        (self.digest, op, path, at, bytes).hash(&mut hasher);
        self.digest = hasher.finish();
    }

    /// The fault that strikes this call, if any.
    fn fault(&mut self, op: FaultOp, path: &str) -> Option<FaultKind> {
        for fault in &mut self.faults {
            let here = if fault.path == "." { path.is_empty() } else { path.contains(&fault.path) };
            if fault.op != op || !here || fault.times == 0 {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            self.dead |= fault.kind == FaultKind::PowerOff;
            return Some(fault.kind);
        }
        None
    }

    fn check_fault(&mut self, op: FaultOp, doing: &str, path: &str) -> Result<()> {
        match self.fault(op, path) {
            Some(kind) => Err(failed(doing, path, kind.error())),
            None => Ok(()),
        }
    }

    fn find(&self, path: &str) -> Result<u64> {
        self.names.get(path).copied().ok_or_else(|| failed("open", path, io::ErrorKind::NotFound.into()))
    }

    fn inode(&mut self, inode: u64) -> Result<&mut SimInode> {
        self.inodes.get_mut(&inode).ok_or_else(|| Error::internal("simulated file is gone"))
    }

    fn used(&self) -> u64 {
        let linked: BTreeSet<u64> = self.names.values().copied().collect();
        linked.iter().filter_map(|inode| self.inodes.get(inode)).map(SimInode::len).sum()
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn need_dir(&self, doing: &str, dir: &str) -> Result<()> {
        if self.dirs.contains(dir) { Ok(()) } else { Err(failed(doing, dir, io::ErrorKind::NotFound.into())) }
    }
}

impl FaultKind {
    fn error(self) -> io::Error {
        match self {
            FaultKind::NoSpace => io::ErrorKind::StorageFull.into(),
            FaultKind::Io | FaultKind::FlipBit => io::Error::other("injected I/O error"),
            FaultKind::PowerOff => io::Error::other("the simulated machine is off"),
        }
    }
}

fn failed(doing: &str, path: &str, source: io::Error) -> Error {
    Error::io(format!("{doing} \"{path}\""), source)
}

impl Disk for SimDisk {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.alive("open", path)?;
        state.note("open", path, mode as u64, &[]);
        state.check_fault(FaultOp::Open, "open", path)?;
        let inode = match (state.names.get(path).copied(), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(failed("create", path, io::ErrorKind::AlreadyExists.into())),
            (Some(inode), _) => inode,
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                state.need_dir("create", parent(path))?;
                state.changing("create", path)?;
                let inode = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(inode, SimInode::default());
                state.change_names(NameChange::Link { path: path.to_owned(), inode });
                inode
            }
            (None, _) => return Err(failed("open", path, io::ErrorKind::NotFound.into())),
        };
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(SimFile { state: self.state.clone(), inode, path: path.to_owned(), writable }))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        let state = self.state.lock();
        state.alive("list", dir)?;
        state.need_dir("list", dir)?;
        let files = state.names.keys().filter(|path| parent(path) == dir);
        let dirs = state.dirs.iter().filter(|path| !path.is_empty() && parent(path) == dir);
        let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        let names: BTreeSet<String> = files.chain(dirs).map(name).collect();
        Ok(names.into_iter().collect())
    }

    fn exists(&self, path: &str) -> Result<bool> {
        let state = self.state.lock();
        state.alive("look for", path)?;
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.changing("rename", from)?;
        state.check_fault(FaultOp::Rename, "rename", from)?;
        state.find(from)?;
        state.need_dir("rename to", parent(to))?;
        state.change_names(NameChange::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.changing("remove", path)?;
        state.check_fault(FaultOp::Remove, "remove", path)?;
        state.find(path)?;
        state.change_names(NameChange::Unlink { path: path.to_owned() });
        Ok(())
    }

    fn create_dir(&self, path: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.changing("create directory", path)?;
        let mut dir = path;
        while !dir.is_empty() {
            state.dirs.insert(dir.to_owned());
            dir = parent(dir);
        }
        Ok(())
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.changing("remove directory", path)?;
        state.need_dir("remove directory", path)?;
        if state.names.keys().chain(&state.dirs).any(|name| !name.is_empty() && parent(name) == path) {
            return Err(failed("remove directory", path, io::ErrorKind::DirectoryNotEmpty.into()));
        }
        state.dirs.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.changing("sync directory", dir)?;
        state.need_dir("sync directory", dir)?;
        state.check_fault(FaultOp::SyncDir, "sync directory", dir)?;
        let pending = std::mem::take(&mut state.pending_names);
        for change in pending {
            if change.dir() == dir { change.apply(&mut state.durable_names) } else { state.pending_names.push(change) }
        }
        Ok(())
    }

    fn lock_exclusive(&self, path: &str) -> Result<Box<dyn DiskLock>> {
        let mut state = self.state.lock();
        state.alive("lock", path)?;
        if !state.locks.insert(path.to_owned()) {
            return Err(in_use(path));
        }
        Ok(Box::new(SimLock { state: self.state.clone(), path: path.to_owned() }))
    }

    fn available_space(&self) -> Result<u64> {
        let state = self.state.lock();
        state.alive("ask for the space of", "")?;
        Ok(state.capacity.saturating_sub(state.used()))
    }

    fn describe(&self, path: &str) -> String {
        path.to_owned()
    }
}

#[derive(Debug)]
struct SimLock {
    state: Arc<Mutex<State>>,
    path: String,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    path: String,
    writable: bool,
}

impl SimFile {
    fn change<T>(&self, doing: &str, run: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        if !self.writable {
            return Err(failed(doing, &self.path, io::ErrorKind::PermissionDenied.into()));
        }
        state.changing(doing, &self.path)?;
        run(&mut state)
    }

    /// Fails with ENOSPC when the file cannot grow to `len`.
    fn reserve(&self, state: &mut State, len: u64) -> Result<()> {
        let (capacity, used) = (state.capacity, state.used());
        let growth = len.saturating_sub(state.inode(self.inode)?.len());
        if growth > 0 && used.saturating_add(growth) > capacity {
            return Err(failed("write", &self.path, io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.change("sync", |state| {
            state.syncs += 1;
            if let Some(kind) = state.fault(FaultOp::Sync, &self.path) {
                let mut rng = StdRng::seed_from_u64(state.rng.random());
                state.inode(self.inode)?.fail_sync(&mut rng);
                return Err(failed("sync", &self.path, kind.error()));
            }
            state.inode(self.inode)?.sync();
            Ok(())
        })
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> &str {
        &self.path
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut state = self.state.lock();
        state.alive("read", &self.path)?;
        let fault = state.fault(FaultOp::Read, &self.path);
        let got = state.inode(self.inode)?.read(buf, offset);
        state.note("read", &self.path, offset, &buf[..got]);
        state.watch(&self.path, offset..offset + got as u64, false);
        match fault {
            Some(FaultKind::FlipBit) if got > 0 => {
                let at = state.rng.random_range(0..got);
                buf[at] ^= 1 << state.rng.random_range(0..8);
                Ok(got)
            }
            Some(kind) => Err(failed("read", &self.path, kind.error())),
            None => Ok(got),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        // Taken out while it runs, so that it does not interrupt itself.
        let interruption = self.state.lock().interrupt.0.take();
        if let Some(mut run) = interruption {
            run(&self.path);
            self.state.lock().interrupt.0.get_or_insert(run);
        }
        self.change("write", |state| {
            state.note("write", &self.path, offset, bytes);
            if let Some(kind) = state.fault(FaultOp::Write, &self.path) {
                let part = state.rng.random_range(0..=bytes.len());
                state.inode(self.inode)?.write(&bytes[..part], offset);
                return Err(failed("write", &self.path, kind.error()));
            }
            self.reserve(state, offset.saturating_add(bytes.len() as u64))?;
            if !bytes.is_empty() {
                state.inode(self.inode)?.write(bytes, offset);
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> Result<()> {
        self.sync()
    }

    fn len(&self) -> Result<u64> {
        let mut state = self.state.lock();
        state.alive("ask for the length of", &self.path)?;
        Ok(state.inode(self.inode)?.len())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.change("truncate", |state| {
            state.note("truncate", &self.path, len, &[]);
            self.reserve(state, len)?;
            state.inode(self.inode)?.resize(len);
            Ok(())
        })
    }

    fn announce(&self, offset: u64, len: u64) {
        self.state.lock().watch(&self.path, offset..offset.saturating_add(len), true);
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.change("extend", |state| {
            state.note("extend", &self.path, len, &[]);
            self.reserve(state, len)?;
            let inode = state.inode(self.inode)?;
            if inode.len() < len {
                inode.resize(len);
            }
            Ok(())
        })
    }
}
