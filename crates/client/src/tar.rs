//! Reading a tar archive as it arrives: the plain files of a backup, nothing else.
//!
//! Headers come from outside: names may not leave the directory they are unpacked into, and a length is believed only as far
//! as bytes follow.

use crate::error::Failure;

const BLOCK: usize = 512;

/// What is done with an archive's files.
pub trait TarSink {
    fn file(&mut self, name: &str, bytes: u64) -> Result<(), Failure>;

    fn data(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    fn file_end(&mut self) -> Result<(), Failure>;
}

/// Feeds on an archive in pieces of any size.
#[derive(Debug, Default)]
pub struct TarReader {
    /// The start of a header.
    head: Vec<u8>,
    /// Bytes of the file that are to come, and the zeros behind it.
    left: u64,
    padding: u64,
    in_file: bool,
    ended: bool,
}

impl TarReader {
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn TarSink) -> Result<(), Failure> {
        while !bytes.is_empty() && !self.ended {
            if self.in_file {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (now, rest) = bytes.split_at(count);
                if !now.is_empty() {
                    sink.data(now)?;
                }
                self.left -= count as u64;
                bytes = rest;
                if self.left == 0 {
                    self.in_file = false;
                    sink.file_end()?;
                }
            } else if self.padding > 0 {
                let count = (self.padding as usize).min(bytes.len());
                self.padding -= count as u64;
                bytes = bytes.get(count..).unwrap_or_default();
            } else {
                let count = (BLOCK - self.head.len()).min(bytes.len());
                let (now, rest) = bytes.split_at(count);
                self.head.extend_from_slice(now);
                bytes = rest;
                if self.head.len() == BLOCK {
                    self.header(sink)?;
                    self.head.clear();
                }
            }
        }
        Ok(())
    }

    /// Whether the archive's end has come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    fn header(&mut self, sink: &mut dyn TarSink) -> Result<(), Failure> {
        if self.head.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(());
        }
        let wrong = || Failure::Usage("this is not a backup: a header of the tar archive is damaged".to_owned());
        let field = |from: usize, to: usize| self.head.get(from..to).unwrap_or_default();
        let text = |from, to| {
            let bytes: &[u8] = field(from, to);
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            std::str::from_utf8(bytes.get(..end).unwrap_or_default()).ok()
        };
        let octal = |from, to| u64::from_str_radix(text(from, to)?.trim(), 8).ok();
        let sum: u64 = self
            .head
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
            .sum();
        if octal(148, 156) != Some(sum) {
            return Err(wrong());
        }
        let name = text(0, 100).ok_or_else(wrong)?.to_owned();
        let bytes = match field(124, 136) {
            [0x80, 0, 0, 0, rest @ ..] => rest.try_into().map(u64::from_be_bytes).map_err(|_| wrong())?,
            _ => octal(124, 136).ok_or_else(wrong)?,
        };
        if !matches!(field(156, 157), b"0" | b"\0") || !is_safe(&name) {
            return Err(Failure::Usage(format!("this is not a backup: the tar archive holds \"{name}\"")));
        }
        self.left = bytes;
        self.padding = (BLOCK as u64 - bytes % BLOCK as u64) % BLOCK as u64;
        self.in_file = bytes > 0;
        sink.file(&name, bytes)?;
        if bytes == 0 { sink.file_end() } else { Ok(()) }
    }
}

/// A relative path of plain names.
pub(crate) fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Files(Vec<(String, Vec<u8>, bool)>);

    impl TarSink for Files {
        fn file(&mut self, name: &str, _bytes: u64) -> Result<(), Failure> {
            self.0.push((name.to_owned(), Vec::new(), false));
            Ok(())
        }

        fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
            self.0.last_mut().unwrap().1.extend_from_slice(bytes);
            Ok(())
        }

        fn file_end(&mut self) -> Result<(), Failure> {
            self.0.last_mut().unwrap().2 = true;
            Ok(())
        }
    }

    fn header(name: &str, bytes: u64) -> Vec<u8> {
        let mut head = vec![0; BLOCK];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[124..136].copy_from_slice(format!("{bytes:011o}\0").as_bytes());
        head[148..156].fill(b' ');
        head[156] = b'0';
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        head
    }

    #[test]
    fn archives_arrive_in_pieces_of_any_size() {
        let mut archive = header("BACKUP.begun", 3);
        archive.extend_from_slice(b"abc");
        archive.resize(1024, 0);
        archive.extend(header("shard-0/empty", 0));
        archive.extend(header("shard-0/large", 1000));
        archive.extend((0..1000).map(|i| i as u8));
        archive.resize(1024 + 512 + 512 + 1024, 0);
        archive.resize(archive.len() + 1024, 0);
        for step in [1, 7, 511, 512, 513, 10_000] {
            let (mut reader, mut files) = (TarReader::default(), Files::default());
            for part in archive.chunks(step) {
                reader.feed(part, &mut files).unwrap();
            }
            assert!(reader.ended());
            let names: Vec<_> = files.0.iter().map(|(name, bytes, done)| (name.as_str(), bytes.len(), *done)).collect();
            assert_eq!(names, [("BACKUP.begun", 3, true), ("shard-0/empty", 0, true), ("shard-0/large", 1000, true)]);
        }
        let (mut reader, mut files) = (TarReader::default(), Files::default());
        reader.feed(&archive[..1600], &mut files).unwrap();
        assert!(!reader.ended());
    }

    #[test]
    fn names_stay_inside_and_damage_is_refused() {
        for name in ["../x", "/etc/passwd", "a//b", "a/../b", ".hidden", "a b", ""] {
            let refused = TarReader::default().feed(&header(name, 0), &mut Files::default());
            assert!(refused.is_err(), "{name}");
        }
        let mut damaged = header("ok", 0);
        damaged[3] = 7;
        assert!(TarReader::default().feed(&damaged, &mut Files::default()).is_err());
    }
}
