//! Editing one line at a terminal: history, completion, the usual keys. No library: the ones there are would change how
//! half of the server's dependencies are built.
//!
//! The terminal's mode is set by `stty`, and set back before anything else runs. Where there is no `stty`, lines are read
//! as the terminal gives them.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

/// What was typed.
pub(crate) enum Typed {
    Line(String),
    /// Ctrl-C: never mind.
    Nothing,
    /// Ctrl-D on an empty line.
    End,
}

/// Lines kept.
const HISTORY_MAX: usize = 10_000;

/// Offers completions: where the word before a place begins, and what it may become.
pub(crate) trait Complete {
    fn complete(&self, line: &str, at: usize) -> (usize, Vec<String>);
}

#[derive(Default)]
pub(crate) struct History {
    lines: Vec<String>,
}

impl History {
    pub fn read(text: &str) -> History {
        // A statement of several lines is kept on one.
        History { lines: text.lines().map(|line| line.replace('\u{1f}', "\n")).collect() }
    }

    pub fn add(&mut self, line: &str) {
        if self.lines.last().map(String::as_str) != Some(line) {
            self.lines.push(line.to_owned());
        }
        let surplus = self.lines.len().saturating_sub(HISTORY_MAX);
        self.lines.drain(..surplus);
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.replace('\n', "\u{1f}") + "\n").collect()
    }
}

/// Runs `stty` on our terminal.
fn stty(arguments: &[&str]) -> Option<String> {
    let output = Command::new("stty").args(arguments).stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The terminal as it was, when dropped.
struct RawMode(String);

impl RawMode {
    fn enter() -> Option<RawMode> {
        let before = stty(&["-g"])?;
        stty(&["-icanon", "-echo", "-isig", "-ixon", "min", "1", "time", "0"])?;
        Some(RawMode(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        stty(&[&self.0]);
    }
}

/// The line being edited.
#[derive(Default)]
struct Edit {
    line: Vec<char>,
    /// Where the cursor is, in characters.
    at: usize,
}

impl Edit {
    fn text(&self) -> String {
        self.line.iter().collect()
    }

    fn set(&mut self, text: &str) {
        // The terminal shows one line.
        self.line = text.chars().map(|c| if c == '\n' { ' ' } else { c }).collect();
        self.at = self.line.len();
    }

    fn insert(&mut self, text: &str) {
        for c in text.chars() {
            self.line.insert(self.at, c);
            self.at += 1;
        }
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.line.drain(from..to.min(self.line.len()));
        self.at = from;
    }

    fn word_start(&self) -> usize {
        let mut at = self.at;
        while at > 0 && self.line.get(at - 1).is_some_and(|c| c.is_whitespace()) {
            at -= 1;
        }
        while at > 0 && self.line.get(at - 1).is_some_and(|c| !c.is_whitespace()) {
            at -= 1;
        }
        at
    }

    /// Completes the word before the cursor as far as all proposals agree; several are returned to be shown.
    fn complete(&mut self, with: &dyn Complete) -> Vec<String> {
        let before: String = self.line.iter().take(self.at).collect();
        let (start, mut found) = with.complete(&before, before.len());
        let Some(first) = found.first().cloned() else { return Vec::new() };
        let same = found.iter().fold(first.as_str(), |same, other| {
            let agree = same.char_indices().zip(other.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
            same.get(..agree.unwrap_or(same.len().min(other.len()))).unwrap_or_default()
        });
        let from = before.get(..start).map_or(0, |head| head.chars().count());
        let typed = self.at - from;
        if same.chars().count() >= typed {
            let same = same.to_owned();
            self.remove(from, self.at);
            self.insert(&same);
        }
        if found.len() == 1 {
            self.insert(" ");
            found.clear();
        }
        found
    }

    /// Draws prompt and line on one row of `width`, scrolled so that the cursor is seen.
    fn draw(&self, prompt: &str, width: usize, hidden: bool) -> String {
        let room = width.saturating_sub(prompt.chars().count() + 1).max(10);
        let from = self.at.saturating_sub(room);
        let shown: String = self.line.iter().skip(from).take(room).map(|&c| if hidden { '*' } else { c }).collect();
        let back = shown.chars().count() - (self.at - from);
        let cursor = if back > 0 { format!("\x1b[{back}D") } else { String::new() };
        format!("\r\x1b[K{prompt}{shown}{cursor}")
    }
}

/// Reads one line. `hidden`: a password, which is neither shown nor remembered.
pub(crate) fn read_line(
    prompt: &str,
    history: &History,
    with: Option<&dyn Complete>,
    hidden: bool,
) -> io::Result<Typed> {
    let mut out = io::stderr();
    let Some(_raw) = RawMode::enter() else { return plain(prompt) };
    let width = stty(&["size"]).and_then(|size| size.split(' ').nth(1)?.parse().ok()).filter(|&width| width > 0);
    let width = width.unwrap_or(80);
    let mut edit = Edit::default();
    // Where we are in the history; its end is the line being typed.
    let (mut place, mut typed) = (history.lines.len(), String::new());
    loop {
        write!(out, "{}", edit.draw(prompt, width, hidden))?;
        out.flush()?;
        match key()? {
            Key::Enter => {
                writeln!(out, "\r")?;
                return Ok(Typed::Line(edit.text()));
            }
            Key::Control('c') => {
                writeln!(out, "^C\r")?;
                return Ok(Typed::Nothing);
            }
            Key::Control('d') if edit.line.is_empty() => {
                writeln!(out, "\r")?;
                return Ok(Typed::End);
            }
            Key::Char(c) => edit.insert(c.encode_utf8(&mut [0; 4])),
            Key::Backspace if edit.at > 0 => edit.remove(edit.at - 1, edit.at),
            Key::Delete | Key::Control('d') if edit.at < edit.line.len() => edit.remove(edit.at, edit.at + 1),
            Key::Left => edit.at = edit.at.saturating_sub(1),
            Key::Right => edit.at = (edit.at + 1).min(edit.line.len()),
            Key::Home | Key::Control('a') => edit.at = 0,
            Key::End | Key::Control('e') => edit.at = edit.line.len(),
            Key::Control('u') => edit.remove(0, edit.at),
            Key::Control('k') => edit.line.truncate(edit.at),
            Key::Control('w') => edit.remove(edit.word_start(), edit.at),
            Key::Control('l') => write!(out, "\x1b[H\x1b[2J")?,
            Key::Up if place > 0 && !hidden => {
                if place == history.lines.len() {
                    typed = edit.text();
                }
                place -= 1;
                edit.set(history.lines.get(place).map_or("", String::as_str));
            }
            Key::Down if place < history.lines.len() && !hidden => {
                place += 1;
                edit.set(history.lines.get(place).map_or(typed.as_str(), String::as_str));
            }
            Key::Tab => {
                let found = with.map(|with| edit.complete(with)).unwrap_or_default();
                if !found.is_empty() {
                    writeln!(out, "\r\n{}\r", found.join("  "))?;
                }
            }
            Key::Gone => return Ok(Typed::End),
            _ => {}
        }
    }
}

/// A line as the terminal, or whatever it is, gives it.
fn plain(prompt: &str) -> io::Result<Typed> {
    eprint!("{prompt}");
    let mut line = String::new();
    match io::stdin().read_line(&mut line)? {
        0 => Ok(Typed::End),
        _ => Ok(Typed::Line(line.trim_end_matches(['\n', '\r']).to_owned())),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Char(char),
    Control(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    Other,
    Gone,
}

fn key() -> io::Result<Key> {
    let mut input = io::stdin().lock();
    let mut next = || {
        let mut byte = [0];
        input.read(&mut byte).map(|got| (got > 0).then_some(byte[0]))
    };
    decode(&mut next)
}

/// One key from the bytes a terminal sends for it.
fn decode(next: &mut dyn FnMut() -> io::Result<Option<u8>>) -> io::Result<Key> {
    let Some(first) = next()? else { return Ok(Key::Gone) };
    Ok(match first {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        8 | 127 => Key::Backspace,
        27 => {
            if !matches!(next()?, Some(b'[' | b'O')) {
                return Ok(Key::Other);
            }
            let mut number = 0_u32;
            loop {
                match next()? {
                    Some(digit @ b'0'..=b'9') => number = number.saturating_mul(10) + u32::from(digit - b'0'),
                    Some(b';') => number = 0,
                    Some(b'A') => return Ok(Key::Up),
                    Some(b'B') => return Ok(Key::Down),
                    Some(b'C') => return Ok(Key::Right),
                    Some(b'D') => return Ok(Key::Left),
                    Some(b'H') => return Ok(Key::Home),
                    Some(b'F') => return Ok(Key::End),
                    Some(b'~') => {
                        return Ok(match number {
                            1 | 7 => Key::Home,
                            4 | 8 => Key::End,
                            3 => Key::Delete,
                            _ => Key::Other,
                        });
                    }
                    Some(_) => return Ok(Key::Other),
                    None => return Ok(Key::Gone),
                }
            }
        }
        1..=26 => Key::Control(char::from(first + b'a' - 1)),
        0..=31 => Key::Other,
        _ => {
            let more = match first {
                0xc0..=0xdf => 1,
                0xe0..=0xef => 2,
                0xf0..=0xf7 => 3,
                _ => 0,
            };
            let mut bytes = vec![first];
            for _ in 0..more {
                bytes.extend(next()?);
            }
            std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next()).map_or(Key::Other, Key::Char)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words;

    impl Complete for Words {
        fn complete(&self, line: &str, at: usize) -> (usize, Vec<String>) {
            let start = line[..at].rfind(' ').map_or(0, |at| at + 1);
            let found = ["select", "sequence", "table"].iter().filter(|word| word.starts_with(&line[start..at]));
            (start, found.map(ToString::to_string).collect())
        }
    }

    #[test]
    fn keys_are_understood() {
        let keys = |bytes: &[u8]| {
            let mut bytes = bytes.iter().copied();
            let mut keys = Vec::new();
            loop {
                match decode(&mut || Ok(bytes.next())).unwrap() {
                    Key::Gone => return keys,
                    key => keys.push(key),
                }
            }
        };
        let expected = [Key::Char('é'), Key::Up, Key::Home, Key::Delete, Key::Control('c'), Key::Enter];
        assert_eq!(keys("é\x1b[A\x1bOH\x1b[3~\x03\r".as_bytes()), expected);
        assert_eq!(keys(b"\x1b[1;5C\xff"), [Key::Right, Key::Other]);
    }

    #[test]
    fn words_are_completed_as_far_as_all_agree() {
        let mut edit = Edit::default();
        edit.insert("x s");
        assert_eq!(edit.complete(&Words), ["select", "sequence"]);
        assert_eq!(edit.text(), "x se");
        edit.insert("l");
        assert!(edit.complete(&Words).is_empty());
        assert_eq!(edit.text(), "x select ");
        edit.at = 1;
        edit.insert("é");
        assert_eq!((edit.text().as_str(), edit.at), ("xé select ", 2));
        edit.at = 9;
        edit.remove(edit.word_start(), 9);
        assert_eq!(edit.text(), "xé  ");
    }

    #[test]
    fn a_long_line_scrolls_and_a_password_is_hidden() {
        let mut edit = Edit::default();
        edit.set(&"abc".repeat(50));
        assert!(edit.draw("=> ", 40, false).len() < 60);
        edit.set("secret");
        assert_eq!(edit.draw("", 40, true), "\r\x1b[K******");
        edit.at = 2;
        assert_eq!(edit.draw("> ", 40, false), "\r\x1b[K> secret\x1b[4D");
    }

    #[test]
    fn history_keeps_statements_whole() {
        let mut history = History::default();
        ["a", "a", "b\nc"].iter().for_each(|line| history.add(line));
        assert_eq!(History::read(&history.text()).lines, ["a", "b\nc"]);
    }
}
