//! Reading the log after a restart: what to replay, where it ends, and whether that end is honest.
//!
//! Files are read in order. A file that is not the last must lead exactly to its successor's first record: the successor
//! got its name only when all before was durable. In the last file, records end at the first that cannot be read. That
//! is a torn tail unless something says that the record was durable: a later record in the file whose `durable_lsn`
//! covers it, or the caller (`known_durable`). Then it is damage, and the log refuses to open, leaving everything as it was
//! for whoever repairs it. Only a log that opens is changed: the tail is cut off and the rest synced, so that what was
//! replayed cannot be lost by a later power failure.

use bytes::Bytes;
use heliosdb_runtime::{Canary, Disk, OpenMode, read_large};
use heliosdb_types::{Error, Lsn, Result};

use crate::file::{FileHeader, HEADER_BYTES, file_path, is_spare, parse_name};
use crate::options::ReplayFrom;
use crate::record::{RECORD_HEAD, Record, RecordKind, TERMINATOR, decode, lsn_field};
use crate::writer::{FileMeta, FileSet};

/// Who gets a log's records when it is opened. A function that takes them one by one is enough.
pub trait Replay {
    /// The next record. An error ends the replay, and the log does not open.
    fn record(&mut self, record: Record) -> Result<()>;

    /// That was the last one. An error is the last chance to leave the log as it is: it is changed only after this.
    fn complete(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(Record) -> Result<()>> Replay for F {
    fn record(&mut self, record: Record) -> Result<()> {
        self(record)
    }
}

/// What replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// The log's last record.
    pub last: Lsn,
    /// Records handed to the caller.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    pub torn: Option<TornTail>,
}

/// Unfinished writes at the end of the log, which nobody was told to be durable. They have been cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub file: String,
    pub offset: u64,
    /// How far the remains reached.
    pub bytes: u64,
}

pub(crate) struct Recovered {
    pub files: FileSet,
    pub report: ReplayReport,
}

pub(crate) fn recover(
    disk: &dyn Disk,
    dir: &str,
    from: ReplayFrom,
    canary: Option<Canary>,
    replay: &mut dyn Replay,
) -> Result<Recovered> {
    let start = Lsn(from.start.0.max(1));
    let mut found = tidy(disk, dir)?;
    let mut report = ReplayReport { last: Lsn(start.0 - 1), ..ReplayReport::default() };
    let mut reader = Reader { disk, dir, start, replay: &mut *replay, report: &mut report };
    let (mut expected, mut cut) = (None, None);
    for at in 0..found.files.len() {
        let sequence = found.files[at].sequence;
        let successor = found.files.get(at + 1).map(|file| file.first_lsn);
        let (file, end) = reader.file(sequence, expected, successor)?;
        cut = end;
        expected = Some(Lsn(reader.report.last.0 + 1));
        found.files[at] = file;
    }
    if report.last < from.known_durable {
        let file =
            found.files.back().map_or_else(|| disk.describe(dir), |f| disk.describe(&file_path(dir, f.sequence)));
        let offset = found.files.back().map_or(0, |file| file.bytes);
        return Err(Error::corrupt(format!(
            "log file \"{file}\" ends at offset {offset} with record {}, but record {} was durable",
            report.last, from.known_durable
        )));
    }
    replay.complete()?;
    if let Some(cut) = &cut {
        cut.carry_out(disk, report.torn.is_some(), canary)?;
    }
    if let Some(torn) = &report.torn {
        tracing::warn!(file = torn.file, offset = torn.offset, bytes = torn.bytes, "cut the log's torn tail");
    }
    Ok(Recovered { files: found, report })
}

/// Lists the files of the log's newest gapless run, with the `first_lsn` of their headers; removes what retiring left
/// behind when it was interrupted: older files beyond a gap (removal is oldest first) and spares.
fn tidy(disk: &dyn Disk, dir: &str) -> Result<FileSet> {
    let names = disk.list(dir)?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
    sequences.sort_unstable();
    let gap = sequences.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
    let run = sequences.split_off(gap.map_or(0, |at| at + 1));
    let leftovers = sequences.iter().map(|sequence| file_path(dir, *sequence));
    let spares = names.iter().filter(|name| is_spare(name)).map(|name| format!("{dir}/{name}"));
    for path in leftovers.chain(spares) {
        disk.remove(&path)?;
    }
    let mut set = FileSet::default();
    for sequence in run {
        let path = file_path(dir, sequence);
        let file = disk.open(&path, OpenMode::Read)?;
        let mut head = [0; HEADER_BYTES];
        let got = file.read_at(&mut head, 0)?;
        let header = FileHeader::decode(&head[..got], &disk.describe(&path), sequence)?;
        set.files.push_back(FileMeta { sequence, first_lsn: header.first_lsn, bytes: 0 });
    }
    Ok(set)
}

/// A log file up to the end of what was ever written to it. Files are reserved whole, so most of a young one would be zeros.
fn read_written(disk: &dyn Disk, path: &str) -> Result<Bytes> {
    let file = disk.open(path, OpenMode::Read)?;
    let end = file.written_end()?.max(HEADER_BYTES as u64).min(file.len()?);
    let end = usize::try_from(end).map_err(|_| Error::corrupt(format!("{} is too large", file.path())))?;
    read_large(file.as_ref(), end).map(Bytes::from)
}

struct Reader<'a> {
    disk: &'a dyn Disk,
    dir: &'a str,
    start: Lsn,
    replay: &'a mut dyn Replay,
    report: &'a mut ReplayReport,
}

/// Why a file's records ended where they did.
pub(crate) struct End {
    pub offset: usize,
    /// The record that should have come next.
    pub next: Lsn,
    /// Where the records begin that were written last, in one group: none proves them to be durable.
    pub unproven: usize,
}

impl Reader<'_> {
    /// Replays one file. `expected` is the record it must begin with, `successor` the one the next file begins with.
    fn file(
        &mut self,
        sequence: u64,
        expected: Option<Lsn>,
        successor: Option<Lsn>,
    ) -> Result<(FileMeta, Option<Cut>)> {
        let path = file_path(self.dir, sequence);
        let name = self.disk.describe(&path);
        let bytes = read_written(self.disk, &path)?;
        let header = FileHeader::decode(&bytes, &name, sequence)?;
        if expected.is_none() && header.first_lsn > self.start {
            return Err(Error::corrupt(format!(
                "the log begins with record {} in file \"{name}\" at offset 0, but record {} is needed",
                header.first_lsn, self.start
            )));
        }
        if expected.is_some_and(|lsn| lsn != header.first_lsn) {
            return Err(Error::corrupt(format!("log file \"{name}\" begins with the wrong record at offset 0")));
        }
        let end = self.records(&bytes, &header, &name)?;
        self.report.last = Lsn(end.next.0 - 1);
        let kept = end.offset as u64;
        let cut = match successor {
            Some(lsn) if lsn == end.next => None,
            Some(_) => return Err(damaged(&name, &end)),
            None => {
                self.end_of_log(&name, &bytes, &header, &end)?;
                Some(Cut { path, bytes, end })
            }
        };
        Ok((FileMeta { sequence, first_lsn: header.first_lsn, bytes: kept }, cut))
    }

    fn records(&mut self, bytes: &Bytes, header: &FileHeader, name: &str) -> Result<End> {
        let mut end = End { offset: HEADER_BYTES, next: header.first_lsn, unproven: HEADER_BYTES };
        let mut durable = Lsn(0);
        while let Some((record, after)) = decode(bytes, end.offset, header.salt) {
            if record.lsn != end.next || record.durable_lsn >= record.lsn {
                // The checksum holds, so these bytes were written here: not a torn write.
                return Err(damaged(name, &end));
            }
            if record.durable_lsn > durable {
                (durable, end.unproven) = (record.durable_lsn, end.offset);
            }
            if record.lsn >= self.start && record.kind != RecordKind::MARK {
                self.report.records += 1;
                self.report.bytes += (after - end.offset) as u64;
                self.replay.record(record)?;
            }
            end = End { offset: after, next: Lsn(end.next.0 + 1), ..end };
        }
        Ok(end)
    }

    /// Decides between a torn tail and damage.
    fn end_of_log(&mut self, name: &str, bytes: &Bytes, header: &FileHeader, end: &End) -> Result<()> {
        let later = Later::search(bytes, header, end);
        if later.durable >= end.next {
            return Err(damaged(name, end));
        }
        let head = bytes.get(end.offset..).unwrap_or_default();
        let began = head.iter().take(TERMINATOR).any(|byte| *byte != 0);
        if began || later.reach > end.offset {
            let reach = later.reach.max((end.offset + RECORD_HEAD).min(bytes.len()));
            let torn =
                TornTail { file: name.to_owned(), offset: end.offset as u64, bytes: (reach - end.offset) as u64 };
            self.report.torn = Some(torn);
        }
        Ok(())
    }
}

/// What is to be done to the last file, once nothing speaks against it.
struct Cut {
    path: String,
    bytes: Bytes,
    end: End,
}

impl Cut {
    fn carry_out(&self, disk: &dyn Disk, torn: bool, canary: Option<Canary>) -> Result<()> {
        let end = &self.end;
        if torn && read_large(disk.open(&self.path, OpenMode::Read)?.as_ref(), self.bytes.len())? != self.bytes {
            // What is about to be thrown away may have been read wrongly.
            let name = disk.describe(&self.path);
            return Err(Error::corrupt(format!(
                "log file \"{name}\" reads differently each time, somewhere behind offset {}",
                end.offset
            )));
        }
        let file = disk.open(&self.path, OpenMode::Write)?;
        file.truncate(end.offset as u64)?;
        // Replayed records may so far live in the page cache only: the process died, not the machine. If a sync of theirs
        // has failed, the kernel takes them for written, and only writing them again makes a sync of them mean anything.
        let unproven = self.bytes.get(end.unproven..end.offset).unwrap_or_default();
        if !unproven.is_empty() && !Canary::TrustPageCache.sings(canary) {
            file.write_at(unproven, end.unproven as u64)?;
        }
        file.sync_all()
    }
}

fn damaged(name: &str, end: &End) -> Error {
    Error::corrupt(format!(
        "log file \"{name}\" is damaged at offset {}: record {} is unreadable",
        end.offset, end.next
    ))
    .with_detail("Records at or after this one were durable, so this is not an unfinished write.")
    .with_hint("Restore the file from a backup or a replica.")
}

/// What valid records behind the end say.
pub(crate) struct Later {
    pub durable: Lsn,
    /// Where the last of them ends.
    pub reach: usize,
}

impl Later {
    /// Looks at every offset: behind an unreadable record, where the next begins is unknown. A record must carry the
    /// file's salt in its checksum and a number that fits the distance; checksums are only tried where the number does.
    pub fn search(bytes: &Bytes, header: &FileHeader, end: &End) -> Later {
        let mut later = Later { durable: Lsn(0), reach: end.offset };
        let mut at = end.offset + 1;
        while at + RECORD_HEAD <= bytes.len() {
            if let Some(skip) = zero_run(bytes, at) {
                at = skip;
                continue;
            }
            let farthest = Lsn(end.next.0 + ((at - end.offset) / RECORD_HEAD) as u64 + 1);
            let plausible = lsn_field(bytes, at).is_some_and(|lsn| lsn > end.next && lsn <= farthest);
            match plausible.then(|| decode(bytes, at, header.salt)).flatten() {
                Some((record, after)) => {
                    later.durable = later.durable.max(record.durable_lsn);
                    later.reach = later.reach.max(after);
                    at = after;
                }
                None => at += 1,
            }
        }
        later
    }
}

/// If a long run of zeros starts at `at`: where to look on (a record's length field is never zero in all its bytes, and
/// its first non-zero byte is within the first two). Most of the last file is such a run, so it is looked at in wide steps.
fn zero_run(bytes: &[u8], at: usize) -> Option<usize> {
    const STEP: usize = 256;
    let is_zero = |step: &&[u8]| step.iter().fold(0, |all, byte| all | byte) == 0;
    let steps = bytes.get(at..)?.chunks_exact(STEP).take_while(is_zero).count();
    (steps > 0).then_some(at + steps * STEP - 3)
}
