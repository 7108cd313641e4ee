//! Checking all files of a shard: of one that is stopped, from its directory alone; of one that runs, what one moment names.
//!
//! Goes on after what it finds, so that everything wrong is named at once: the rule, the file, the place. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use heliosdb_contracts::{Checked, Finding};
use heliosdb_runtime::Disk;
use heliosdb_types::{CommitTs, Error, Lsn, Result, SegmentId, TreeRef};
use heliosdb_wal::{RecordKind, ReplayFrom, SurveyRange, survey};
use rustc_hash::FxHashMap;

use super::check_segment::{CheckedSegment, IsDeleted};
use crate::core::Core;
use crate::delete_vector::DeleteVector;
use crate::log::{KIND_COMMIT, KIND_COUNTER, LogOp, decode_counter, decode_ops};
use crate::manifest::{
    DeletesPlace, Manifest, ManifestFiles, SegmentMeta, broken_invariants, deletes_path, load_deletes, manifest_number,
    read_current_unchecked, read_manifest, segment_id_of,
};
use crate::memtable::BranchTree;

/// Of a file that is damaged all over, this many places are enough.
const FINDINGS_MAX: usize = 1_000;

pub(super) type Stop<'a> = &'a (dyn Fn() -> Result<()> + 'a);

/// Collects what is found.
pub(super) struct Checker<'a> {
    pub disk: &'a Arc<dyn Disk>,
    pub stop: Stop<'a>,
    pub out: Checked,
    tree: Option<TreeRef>,
    file: String,
}

impl Checker<'_> {
    /// What is looked at from here on.
    pub(super) fn about(&mut self, tree: Option<TreeRef>, file: &str) {
        (self.tree, self.file) = (tree, file.to_owned());
    }

    pub(super) fn found(&mut self, rule: &str, offset: Option<u64>, problem: &str) {
        self.note(rule, offset, problem, false);
    }

    fn note(&mut self, rule: &str, offset: Option<u64>, problem: &str, harmless: bool) {
        if self.out.findings.len() < FINDINGS_MAX {
            let (tree, file) = (self.tree, Some(self.file.clone()));
            let (rule, problem) = (rule.to_owned(), problem.to_owned());
            self.out.findings.push(Finding { harmless, rule, tree, file, offset, problem });
        }
    }

    /// An error that names its place in its message.
    pub(super) fn failed(&mut self, rule: &str, error: &Error) {
        self.found(rule, offset_in(error.message()), error.message());
    }
}

/// The last `at offset N` of a message.
fn offset_in(message: &str) -> Option<u64> {
    let (_, rest) = message.rsplit_once("at offset ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A segment to be checked, with the deletes that count for it.
struct Named {
    meta: SegmentMeta,
    deletes: Arc<DeleteVector>,
    /// Loaded by a record that is yet to be replayed: which rows of it count, the records after it say.
    from_log: bool,
}

/// Checks the shard in `disk`'s root, which nobody uses. `stop` is asked now and then; its error ends the check.
pub fn check_dir(disk: &Arc<dyn Disk>, stop: &dyn Fn() -> Result<()>) -> Result<Checked> {
    let mut checker = Checker { disk, stop, out: Checked::default(), tree: None, file: String::new() };
    let manifest = checker.manifest()?;
    let known = manifest.clone().unwrap_or_else(Manifest::empty);
    let loaded = checker.log(&known, None)?;
    let mut named = checker.deletes(&known)?;
    let installed: BTreeSet<SegmentId> = known.segments.iter().map(|entry| entry.meta.id).collect();
    for (lsn, meta) in loaded {
        // A load that the manifest has already: its files, or what they were merged into.
        if !known.installed_loads.contains(&lsn) && !installed.contains(&meta.id) {
            named.push(Named { meta, deletes: Arc::default(), from_log: true });
        }
    }
    let ids: BTreeSet<SegmentId> = named.iter().map(|named| named.meta.id).collect();
    checker.segments(named)?;
    if manifest.is_some() {
        checker.orphans(&known, &ids)?;
    }
    Ok(checker.out)
}

impl Core {
    /// Checks what counts now, while the shard goes on.
    pub fn check(self: &Arc<Core>, stop: &dyn Fn() -> Result<()>) -> Result<Checked> {
        let mut checker = Checker { disk: &self.disk, stop, out: Checked::default(), tree: None, file: String::new() };
        let (manifest, named, durable, _pin) = {
            let manifest = self.manifest.lock();
            let version = {
                let _state = self.commit.lock();
                self.version.load_full()
            };
            checker.current_is(&manifest)?;
            // Read under the lock: a swap removes what it replaces.
            _ = checker.deletes(&manifest)?;
            let named = version.all_segments().map(|segment| {
                let deletes = segment.deletes.clone();
                (segment.clone(), Named { meta: segment.meta.clone(), deletes, from_log: false })
            });
            let named: Vec<_> = named.collect();
            let pin = self.wal.pin(Lsn(manifest.replay_lsn.0 + 1));
            (manifest.clone(), named, self.wal.durable(), pin)
        };
        checker.log(&manifest, Some(durable))?;
        // Held until they are checked: their files stay.
        let (_segments, named): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        checker.segments(named)?;
        Ok(checker.out)
    }
}

impl Checker<'_> {
    /// The manifest that counts, and that every other one kept is whole.
    fn manifest(&mut self) -> Result<Option<Manifest>> {
        let current = self.disk.describe("CURRENT");
        self.about(None, &current);
        let manifest = match read_current_unchecked(self.disk) {
            Ok(Some(manifest)) => Some(manifest),
            Ok(None) => {
                // A shard that never swapped a manifest has its log alone.
                if !self.names_in(ManifestFiles::MANIFESTS)?.is_empty() {
                    self.found("current_names_a_manifest", None, "is missing");
                }
                None
            }
            Err(error) => {
                self.failed("current_names_a_manifest", &error);
                None
            }
        };
        self.out.files += 1;
        if let Some(manifest) = &manifest {
            self.invariants(manifest);
        }
        if !self.disk.exists(ManifestFiles::MANIFESTS)? {
            return Ok(manifest);
        }
        for name in self.disk.list(ManifestFiles::MANIFESTS)? {
            let path = format!("{}/{name}", ManifestFiles::MANIFESTS);
            let shown = self.disk.describe(&path);
            self.about(None, &shown);
            let Some(number) = manifest_number(&name) else {
                self.note("manifests_are_named_by_number", None, "is not a manifest", true);
                continue;
            };
            self.out.files += 1;
            let counts = manifest.as_ref().is_some_and(|manifest| manifest.number == number);
            if !counts && let Err(error) = read_manifest(self.disk, number) {
                // One that does not count: the one before, or one that was being written.
                self.note("manifest_reads", offset_in(error.message()), error.message(), true);
            }
        }
        Ok(manifest)
    }

    /// The manifest on disk is the one in memory.
    fn current_is(&mut self, expected: &Manifest) -> Result<()> {
        let current = self.disk.describe("CURRENT");
        self.about(None, &current);
        self.out.files += 2;
        match read_current_unchecked(self.disk) {
            Ok(Some(found))
                if (found.number, found.replay_lsn) == (expected.number, expected.replay_lsn)
                    && found.segments == expected.segments =>
            {
                self.invariants(&found);
            }
            Ok(None) if expected.number == 0 => {}
            Ok(_) => self.found("manifest_is_the_one_in_use", None, "names another manifest than the one in use"),
            Err(error) => self.failed("manifest_reads", &error),
        }
        Ok(())
    }

    fn invariants(&mut self, manifest: &Manifest) {
        for name in broken_invariants(manifest) {
            self.found(name, None, &format!("manifest {} breaks this invariant", manifest.number));
        }
    }

    /// Checks the log, and gives the segments that its records load.
    fn log(&mut self, manifest: &Manifest, durable: Option<Lsn>) -> Result<Vec<(Lsn, SegmentMeta)>> {
        const LOG: &str = "wal";
        let shown = self.disk.describe(LOG);
        self.about(None, &shown);
        let mut loaded = Vec::new();
        let from = ReplayFrom { start: Lsn(manifest.replay_lsn.0 + 1), known_durable: manifest.captured_lsn };
        let stop = self.stop;
        let found = survey(self.disk.as_ref(), LOG, SurveyRange { from, durable }, &mut |record| {
            stop()?;
            let what = format!("log record {}", record.lsn);
            match record.kind {
                RecordKind(0) => Ok(()),
                RecordKind(KIND_COUNTER) => decode_counter(&record.ops, &what).map(|_| ()),
                RecordKind(KIND_COMMIT) => {
                    for op in decode_ops(&record.ops, &what)? {
                        if let LogOp::AddSegments(segments) = op {
                            loaded.extend(segments.into_iter().map(|segment| (record.lsn, segment.meta)));
                        }
                    }
                    Ok(())
                }
                RecordKind(kind) => Err(Error::corrupt(format!("{what} is of unknown kind {kind}"))),
            }
        })?;
        (self.stop)()?;
        self.out.files += found.files.len() as u64;
        self.out.bytes += found.files.iter().map(|file| file.used_bytes).sum::<u64>();
        for problem in found.problems {
            self.about(None, &problem.path);
            self.note(problem.rule, Some(problem.offset), &problem.problem, problem.harmless);
        }
        if let Some(torn) = found.torn {
            self.about(None, &torn.file);
            let problem =
                format!("{} bytes of a write that was never acknowledged; the next start cuts them", torn.bytes);
            self.note("log_ends_cleanly", Some(torn.offset), &problem, true);
        }
        Ok(loaded)
    }

    /// Checks delete vectors, and gives the manifest's segments with theirs.
    fn deletes(&mut self, manifest: &Manifest) -> Result<Vec<Named>> {
        let live: BTreeSet<BranchTree> = manifest
            .trees
            .iter()
            .filter(|entry| entry.dropped.is_none())
            .map(|entry| (entry.branch, entry.tree))
            .collect();
        let mut files = BTreeSet::new();
        let mut named = Vec::with_capacity(manifest.segments.len());
        // A dropped tree's files may be gone.
        for entry in manifest.segments.iter().filter(|entry| live.contains(&(entry.meta.branch, entry.meta.tree))) {
            (self.stop)()?;
            let deletes = match &entry.deletes {
                None => DeleteVector::default(),
                Some(place) => {
                    files.insert(place.file);
                    self.one_delete_vector(&entry.meta, place)?
                }
            };
            named.push(Named { meta: entry.meta.clone(), deletes: Arc::new(deletes), from_log: false });
        }
        self.out.files += files.len() as u64;
        Ok(named)
    }

    fn one_delete_vector(&mut self, meta: &SegmentMeta, place: &DeletesPlace) -> Result<DeleteVector> {
        let path = deletes_path(place.file);
        let shown = self.disk.describe(&path);
        self.about(Some(meta.tree), &shown);
        if !self.disk.exists(&path)? {
            self.found("delete_vector_exists", Some(place.offset), &format!("is missing (of segment {})", meta.id));
            return Ok(DeleteVector::default());
        }
        self.out.bytes += u64::from(place.len);
        match load_deletes(self.disk, place) {
            Ok(image) => {
                if image.rows.max().is_some_and(|row| row >= meta.rows) {
                    let problem = format!("deletes rows that segment {} does not have", meta.id);
                    self.found("deleted_rows_exist", Some(place.offset), &problem);
                }
                Ok(DeleteVector::from_image(image))
            }
            Err(error) => {
                self.failed("delete_vector_reads", &error);
                Ok(DeleteVector::default())
            }
        }
    }

    fn segments(&mut self, named: Vec<Named>) -> Result<()> {
        let mut by_tree: BTreeMap<BranchTree, Vec<Named>> = BTreeMap::new();
        for named in named {
            by_tree.entry((named.meta.branch, named.meta.tree)).or_default().push(named);
        }
        for mut of_tree in by_tree.into_values() {
            of_tree.sort_by_key(|named| named.meta.id);
            // `DeleteVector` is asked row by row, so one mask a segment is made first.
            let masks: FxHashMap<SegmentId, _> =
                of_tree.iter().map(|named| (named.meta.id, named.deletes.mask(CommitTs::MAX))).collect();
            let tests: Vec<_> = of_tree
                .iter()
                .map(|named| {
                    let mask = masks.get(&named.meta.id).cloned().flatten();
                    let from_log = named.from_log;
                    move |row: u32| from_log || mask.as_ref().is_some_and(|mask| mask.contains(row))
                })
                .collect();
            let mut done: Vec<(CheckedSegment, IsDeleted<'_>)> = Vec::new();
            for (named, test) in of_tree.iter().zip(&tests) {
                (self.stop)()?;
                if let Some(checked) = self.segment(&named.meta, test, &done)? {
                    done.push((checked, test));
                }
            }
        }
        Ok(())
    }

    /// Files that nothing names. The next start removes them.
    fn orphans(&mut self, manifest: &Manifest, segments: &BTreeSet<SegmentId>) -> Result<()> {
        for name in self.names_in(ManifestFiles::SEGMENTS)? {
            if !segment_id_of(&name).is_some_and(|id| segments.contains(&id)) {
                self.orphan(ManifestFiles::SEGMENTS, &name);
            }
        }
        let used: BTreeSet<String> =
            manifest.segments.iter().filter_map(|entry| entry.deletes).map(|place| deletes_path(place.file)).collect();
        for name in self.names_in(ManifestFiles::DELETES)? {
            if !used.contains(&format!("{}/{name}", ManifestFiles::DELETES)) {
                self.orphan(ManifestFiles::DELETES, &name);
            }
        }
        Ok(())
    }

    /// Nothing, in a directory that is not there: a backup makes those it has files for.
    fn names_in(&self, dir: &str) -> Result<Vec<String>> {
        if self.disk.exists(dir)? { self.disk.list(dir) } else { Ok(Vec::new()) }
    }

    fn orphan(&mut self, dir: &str, name: &str) {
        let shown = self.disk.describe(&format!("{dir}/{name}"));
        self.about(None, &shown);
        self.note("every_file_is_named", None, "nothing names this file; the next start removes it", true);
    }
}
