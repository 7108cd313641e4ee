//! Bytes to rows: where a row ends, whatever way the chunks were cut.

use heliosdb_types::{Error, Result, SqlState};

use super::options::CopyOptions;

/// The longest row accepted; PostgreSQL's own buffer ends there too.
const ROW_BYTES_MAX: usize = 1 << 30;

/// Collects bytes and gives complete rows.
pub(crate) struct Lines {
    csv: bool,
    quote: u8,
    escape: u8,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already given out.
    start: usize,
    /// Bytes of `buffer` already searched for the current row's end.
    searched: usize,
    /// Csv: the search stands inside quotes.
    quoted: bool,
    /// `\.` was seen: nothing more is data.
    ended: bool,
    /// Number of the row given last, from 1, headers counted.
    pub line: u64,
}

impl Lines {
    pub fn new(options: &CopyOptions) -> Lines {
        Lines {
            csv: options.csv,
            quote: options.quote,
            escape: options.escape,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            quoted: false,
            ended: false,
            line: 0,
        }
    }

    /// Adds a chunk.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        if self.buffer.len() + chunk.len() > ROW_BYTES_MAX + (1 << 20) {
            return Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row of COPY data is too long"));
        }
        if !self.ended {
            self.buffer.extend_from_slice(chunk);
        }
        Ok(())
    }

    /// The next complete row, without its line end, as a range of [`Lines::bytes`]; at `end` of the data the last row
    /// needs none.
    pub fn next(&mut self, end: bool) -> Result<Option<std::ops::Range<usize>>> {
        if self.ended {
            return Ok(None);
        }
        let found = if self.csv { self.find_csv() } else { self.find_text() };
        let row = match found {
            Some(at) => {
                let row = self.start..at;
                self.start = at + 1;
                row
            }
            None if end && self.start < self.buffer.len() => {
                if self.quoted {
                    self.line += 1;
                    return Err(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
                }
                let row = self.start..self.buffer.len();
                self.start = self.buffer.len();
                row
            }
            None => return Ok(None),
        };
        self.searched = self.start;
        self.quoted = false;
        self.line += 1;
        let row = self.without_carriage_return(row);
        if self.buffer.get(row.clone()) == Some(b"\\.".as_slice()) {
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(row))
    }

    pub fn bytes(&self, row: std::ops::Range<usize>) -> &[u8] {
        self.buffer.get(row).unwrap_or(&[])
    }

    fn without_carriage_return(&self, row: std::ops::Range<usize>) -> std::ops::Range<usize> {
        // In text a data carriage return is written as \r, so a bare one belongs to the line end.
        match self.buffer.get(row.clone()) {
            Some([.., b'\r']) => row.start..row.end - 1,
            _ => row,
        }
    }

    /// A newline that no backslash takes away.
    fn find_text(&mut self) -> Option<usize> {
        loop {
            let rest = self.buffer.get(self.searched..)?;
            let Some(at) = memchr::memchr(b'\n', rest) else {
                self.searched = self.buffer.len();
                return None;
            };
            let at = self.searched + at;
            let before = self.buffer.get(self.start..at).unwrap_or(&[]);
            let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
            self.searched = at + 1;
            if backslashes % 2 == 0 {
                return Some(at);
            }
        }
    }

    /// A newline outside quotes.
    fn find_csv(&mut self) -> Option<usize> {
        loop {
            // To the next byte that means something here.
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let found = if self.quoted {
                memchr::memchr2(self.quote, self.escape, rest)
            } else {
                memchr::memchr2(self.quote, b'\n', rest)
            };
            let Some(skip) = found else {
                self.searched = self.buffer.len();
                return None;
            };
            self.searched += skip;
            let byte = self.buffer.get(self.searched).copied().unwrap_or_default();
            if self.quoted && byte == self.escape && self.escape != self.quote {
                // The next byte is taken as it is, if it is there already.
                if self.searched + 1 >= self.buffer.len() {
                    return None;
                }
                self.searched += 2;
                continue;
            }
            if byte == self.quote {
                self.quoted = !self.quoted;
            } else if byte == b'\n' && !self.quoted {
                return Some(self.searched);
            }
            self.searched += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::options::options_of;

    fn rows(csv: bool, chunks: &[&[u8]]) -> Vec<String> {
        let format = if csv { "csv" } else { "text" };
        let options = options_of(format);
        let mut lines = Lines::new(&options);
        let mut out = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            lines.push(chunk).unwrap();
            while let Some(row) = lines.next(at + 1 == chunks.len()).unwrap() {
                out.push(String::from_utf8(lines.bytes(row).to_vec()).unwrap());
            }
        }
        out
    }

    #[test]
    fn text_rows_end_at_unescaped_newlines_wherever_chunks_are_cut() {
        let data = b"a\\\nb\tc\r\nd\\\\\ne";
        let whole = rows(false, &[data]);
        assert_eq!(whole, ["a\\\nb\tc", "d\\\\", "e"]);
        for cut in 0..data.len() {
            assert_eq!(rows(false, &[&data[..cut], &data[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn csv_rows_end_outside_quotes() {
        let data = b"1,\"a\n\"\"b\"\r\n2,c\n";
        let whole = rows(true, &[data]);
        assert_eq!(whole, ["1,\"a\n\"\"b\"", "2,c"]);
        for cut in 0..data.len() {
            assert_eq!(rows(true, &[&data[..cut], &data[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn the_end_marker_ends_the_data() {
        assert_eq!(rows(false, &[b"1\n\\.\n2\n", b"3\n"]), ["1"]);
    }
}
