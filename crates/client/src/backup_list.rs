//! The file `BACKUP`: what a backup consists of, and the proof that it is whole.

use std::collections::BTreeMap;

use crate::error::Failure;
use crate::tar::is_safe;

/// The last file of a backup; one without it was cut short.
pub const BACKUP_FILE: &str = "BACKUP";
/// The first.
pub const BEGUN_FILE: &str = "BACKUP.begun";
const FORMAT: &str = "heliosdb-backup";
/// The newest this program reads.
const VERSION: u32 = 1;

/// Length and crc32c of each file by its name in the backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupList {
    pub files: BTreeMap<String, (u64, u32)>,
    /// The last log record in it, and the commit timestamp it is a snapshot of.
    pub end: (u64, u64),
    /// Of the server that made it.
    pub version: String,
}

impl BackupList {
    /// Reads and checks the list.
    pub fn parse(bytes: &[u8]) -> Result<BackupList, Failure> {
        let wrong = |what: &str| Failure::Usage(format!("the backup is damaged: {BACKUP_FILE} {what}"));
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("is not text"))?;
        let (body, last) = text
            .trim_end()
            .rsplit_once('\n')
            .map(|(body, last)| (text.get(..body.len() + 1).unwrap_or_default(), last))
            .ok_or_else(|| wrong("is cut off"))?;
        let checksum = last.strip_prefix("checksum ").and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let mut lines = body.lines();
        // Asked before the checksum, which a newer version may put elsewhere.
        let format: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        match format.as_slice() {
            [FORMAT, version] => match version.parse::<u32>() {
                Ok(VERSION) => {}
                Ok(newer) => {
                    return Err(Failure::Usage(format!(
                        "the backup has format {newer}, this program knows {VERSION}: restore it with the program that made it, or a newer one"
                    )));
                }
                Err(_) => return Err(wrong("does not begin as it should")),
            },
            _ => return Err(wrong("does not begin as it should")),
        }
        if checksum != Some(crc32c::crc32c(body.as_bytes())) {
            return Err(wrong("fails its checksum"));
        }
        let mut list = BackupList::default();
        let mut total = None;
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["version", version] => list.version = (*version).to_owned(),
                ["end", "record", lsn, "commit", ts] => {
                    list.end = lsn.parse().ok().zip(ts.parse().ok()).ok_or_else(|| wrong("has a damaged end"))?;
                }
                ["file", sum, bytes, name] if is_safe(name) => {
                    let sum = u32::from_str_radix(sum, 16).ok();
                    let facts = bytes.parse().ok().zip(sum).ok_or_else(|| wrong("has a damaged line"))?;
                    list.files.insert((*name).to_owned(), facts);
                }
                ["total", files, "files", bytes, "bytes"] => total = files.parse().ok().zip(bytes.parse().ok()),
                _ => return Err(wrong("has a line that is not known")),
            }
        }
        if total != Some((list.files.len() as u64, list.bytes())) {
            return Err(wrong("does not add up"));
        }
        Ok(list)
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|(bytes, _)| bytes).sum()
    }

    /// Compares with what was read: all of it, nothing else.
    pub fn compare(&self, read: &BTreeMap<String, (u64, u32)>) -> Result<(), Failure> {
        for (name, expected) in &self.files {
            match read.get(name) {
                Some(found) if found == expected => {}
                Some((bytes, _)) if *bytes != expected.0 => {
                    return Err(Failure::Usage(format!(
                        "the backup is damaged: {name} has {bytes} bytes, not {}",
                        expected.0
                    )));
                }
                Some(_) => return Err(Failure::Usage(format!("the backup is damaged: {name} fails its checksum"))),
                None => return Err(Failure::Usage(format!("the backup is damaged: {name} is missing"))),
            }
        }
        match read.keys().find(|name| !self.files.contains_key(*name)) {
            Some(more) => Err(Failure::Usage(format!("the backup is damaged: {more} does not belong to it"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &str) -> Vec<u8> {
        format!("{body}checksum {:08x}\n", crc32c::crc32c(body.as_bytes())).into_bytes()
    }

    const BODY: &str = "heliosdb-backup 1\nversion 0.1.0\nend record 12 commit 99\nfile 0000002a 7 shard-0/CURRENT\ntotal 1 files 7 bytes\n";

    #[test]
    fn lists_are_read_and_damage_is_noticed() {
        let whole = sealed(BODY);
        let list = BackupList::parse(&whole).unwrap();
        assert_eq!((list.end, list.bytes(), list.version.as_str()), ((12, 99), 7, "0.1.0"));
        let read = BTreeMap::from([("shard-0/CURRENT".to_owned(), (7, 42))]);
        list.compare(&read).unwrap();
        for at in 0..whole.len() - 1 {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x11;
            assert!(BackupList::parse(&flipped).is_err(), "{at}");
            assert!(BackupList::parse(&whole[..at]).is_err(), "{at}");
        }
        for (name, facts, what) in [
            ("shard-0/CURRENT", (7, 43), "fails its checksum"),
            ("shard-0/CURRENT", (8, 42), "has 8 bytes, not 7"),
            ("shard-0/OTHER", (7, 42), "is missing"),
        ] {
            let error = list.compare(&BTreeMap::from([(name.to_owned(), facts)])).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let mut more = read;
        more.insert("x".to_owned(), (0, 0));
        assert!(list.compare(&more).unwrap_err().to_string().contains("does not belong"));
        for (body, what) in [
            (BODY.replace("backup 1", "backup 2"), "has format 2, this program knows 1"),
            (BODY.replace("7 bytes", "8 bytes"), "does not add up"),
            (BODY.replace("shard-0/", "../"), "a line that is not known"),
        ] {
            let error = BackupList::parse(&sealed(&body)).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
