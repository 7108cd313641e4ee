//! Looking at a log without changing it: what its files hold, and everything that is wrong with them.
//!
//! Judges by recovery's rules, but goes on after what recovery would refuse, so that all damage is named at once. Of a log in
//! use only what is known durable is judged; whoever asks has pinned it ([`crate::Wal::pin`]).

use bytes::Bytes;
use heliosdb_runtime::Disk;
use heliosdb_types::{CommitTs, Error, Lsn, Result};

use crate::file::{FileHeader, HEADER_BYTES, VERSION, file_path, is_spare, parse_name};
use crate::options::ReplayFrom;
use crate::record::{Record, TERMINATOR, decode};
use crate::recover::{End, Later, TornTail};

/// A log file as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// As messages show it.
    pub path: String,
    pub version: u32,
    pub sequence: u64,
    pub first_lsn: Lsn,
    /// Before `first_lsn` if the file holds no record.
    pub last_lsn: Lsn,
    /// Newest commit in it.
    pub last_ts: CommitTs,
    /// Length of the file, and how much of it is header and records.
    pub bytes: u64,
    pub used_bytes: u64,
}

/// Something wrong with a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProblem {
    pub rule: &'static str,
    pub path: String,
    pub offset: u64,
    pub problem: String,
    /// The next start tidies it away.
    pub harmless: bool,
}

/// What a log's directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSurvey {
    pub files: Vec<LogFile>,
    /// Files that wait to be reused.
    pub spares: u64,
    pub last: Lsn,
    pub torn: Option<TornTail>,
    pub problems: Vec<LogProblem>,
}

/// What of the log is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct SurveyRange {
    /// What the manifest knows.
    pub from: ReplayFrom,
    /// The log is in use, and durable up to here: what comes later is being written. `None`: nobody uses it.
    pub durable: Option<Lsn>,
}

/// Reads every file. `each` gets the records that would be replayed; its errors become problems of theirs.
pub fn survey(
    disk: &dyn Disk,
    dir: &str,
    range: SurveyRange,
    each: &mut dyn FnMut(&Record) -> Result<()>,
) -> Result<LogSurvey> {
    let mut out = LogSurvey::default();
    let mut sequences = Vec::new();
    // A log that nothing has to be replayed from may be missing, as in a backup; whether so is asked at the end.
    let names = if disk.exists(dir)? { disk.list(dir)? } else { Vec::new() };
    for name in names {
        match parse_name(&name) {
            Some(sequence) => sequences.push(sequence),
            None if is_spare(&name) => out.spares += 1,
            None => out.problems.push(LogProblem {
                rule: "log_holds_log_files",
                path: disk.describe(&format!("{dir}/{name}")),
                offset: 0,
                problem: "is not a log file".to_owned(),
                harmless: true,
            }),
        }
    }
    sequences.sort_unstable();
    let gap = sequences.windows(2).rposition(|pair| matches!(pair, [a, b] if a + 1 != *b));
    for sequence in sequences.drain(..gap.map_or(0, |at| at + 1)) {
        out.problems.push(LogProblem {
            rule: "log_files_are_gapless",
            path: disk.describe(&file_path(dir, sequence)),
            offset: 0,
            problem: "was given up: files after it are missing".to_owned(),
            harmless: true,
        });
    }
    let start = Lsn(range.from.start.0.max(1));
    // The first record is older than what is needed, or the one that is.
    let mut next: Option<Lsn> = None;
    for (at, &sequence) in sequences.iter().enumerate() {
        let path = disk.describe(&file_path(dir, sequence));
        let last = at + 1 == sequences.len();
        let bytes = match disk.read(&file_path(dir, sequence)) {
            Ok(bytes) => Bytes::from(bytes),
            // Given up since the directory was listed.
            Err(_) if range.durable.is_some() && !disk.exists(&file_path(dir, sequence))? => continue,
            Err(error) => return Err(error),
        };
        let header = match FileHeader::decode(&bytes, &path, sequence) {
            Ok(header) => header,
            Err(error) => {
                out.problem("log_header_reads", &path, 0, error.message().to_owned());
                next = None;
                continue;
            }
        };
        let wrong_start = match next {
            None => at == 0 && header.first_lsn > start,
            Some(lsn) => lsn != header.first_lsn,
        };
        if wrong_start {
            let wanted = next.unwrap_or(start);
            let problem = format!("begins with record {}, but record {wanted} is needed", header.first_lsn);
            out.problem("log_records_are_gapless", &path, 0, problem);
        }
        let (file, end) = out.records(&path, &bytes, &header, range.durable, start, each);
        next = Some(end.next);
        out.last = Lsn(end.next.0 - 1);
        out.files.push(file);
        if last {
            out.judge_end(&path, &bytes, &header, &end, range);
        }
    }
    let newest = out.last.max(Lsn(start.0 - 1));
    let wanted = range.from.known_durable;
    if newest < wanted && out.problems.iter().all(|problem| problem.harmless) {
        let path = out.files.last().map_or_else(|| disk.describe(dir), |file| file.path.clone());
        let offset = out.files.last().map_or(0, |file| file.used_bytes);
        out.problem(
            "log_reaches_the_manifest",
            &path,
            offset,
            format!("the log ends with record {newest}, but record {wanted} was durable"),
        );
    }
    Ok(out)
}

impl LogSurvey {
    fn problem(&mut self, rule: &'static str, path: &str, offset: u64, problem: String) {
        self.problems.push(LogProblem { rule, path: path.to_owned(), offset, problem, harmless: false });
    }

    fn records(
        &mut self,
        path: &str,
        bytes: &Bytes,
        header: &FileHeader,
        durable: Option<Lsn>,
        start: Lsn,
        each: &mut dyn FnMut(&Record) -> Result<()>,
    ) -> (LogFile, End) {
        let mut file = LogFile {
            path: path.to_owned(),
            version: VERSION,
            sequence: header.sequence,
            first_lsn: header.first_lsn,
            last_lsn: Lsn(header.first_lsn.0 - 1),
            last_ts: CommitTs::ZERO,
            bytes: bytes.len() as u64,
            used_bytes: HEADER_BYTES as u64,
        };
        let mut end = End { offset: HEADER_BYTES, next: header.first_lsn, unproven: HEADER_BYTES };
        while durable.is_none_or(|durable| end.next <= durable) {
            let Some((record, after)) = decode(bytes, end.offset, header.salt) else { break };
            if record.lsn != end.next || record.durable_lsn >= record.lsn {
                let problem = format!("record {} stands where record {} must", record.lsn, end.next);
                self.problem("log_records_are_gapless", path, end.offset as u64, problem);
                break;
            }
            if record.lsn >= start
                && let Err(error) = each(&record)
            {
                self.problem("log_record_reads", path, end.offset as u64, error.message().to_owned());
            }
            file.last_lsn = record.lsn;
            file.last_ts = file.last_ts.max(record.commit_ts);
            end = End { offset: after, next: Lsn(end.next.0 + 1), ..end };
            file.used_bytes = after as u64;
        }
        (file, end)
    }

    /// The end of the last file: fine, a torn tail, or damage.
    fn judge_end(&mut self, path: &str, bytes: &Bytes, header: &FileHeader, end: &End, range: SurveyRange) {
        let unreadable = format!("record {} is unreadable, and was durable", end.next);
        if let Some(durable) = range.durable {
            if end.next <= durable {
                self.problem("log_records_read", path, end.offset as u64, unreadable);
            }
            return;
        }
        let later = Later::search(bytes, header, end);
        if later.durable >= end.next || range.from.known_durable >= end.next {
            self.problem("log_records_read", path, end.offset as u64, unreadable);
            return;
        }
        let began = bytes.get(end.offset..).unwrap_or_default().iter().take(TERMINATOR).any(|byte| *byte != 0);
        if began || later.reach > end.offset {
            let bytes = (later.reach.max(end.offset + 1) - end.offset) as u64;
            self.torn = Some(TornTail { file: path.to_owned(), offset: end.offset as u64, bytes });
        }
    }
}

/// Where a log file's record `last` ends: what comes after belongs to later times. Everything up to there must be readable.
pub fn end_of_record(bytes: &Bytes, path: &str, sequence: u64, last: Lsn) -> Result<u64> {
    let header = FileHeader::decode(bytes, path, sequence)?;
    let mut end = End { offset: HEADER_BYTES, next: header.first_lsn, unproven: HEADER_BYTES };
    while end.next <= last {
        match decode(bytes, end.offset, header.salt) {
            Some((record, after)) if record.lsn == end.next => {
                end = End { offset: after, next: Lsn(end.next.0 + 1), ..end };
            }
            _ => {
                let (offset, next) = (end.offset, end.next);
                return Err(Error::corrupt(format!(
                    "log file \"{path}\" is damaged at offset {offset}: record {next} is unreadable"
                )));
            }
        }
    }
    Ok(end.offset as u64)
}
