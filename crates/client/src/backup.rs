//! `heliosdb backup`: a running server's data, to a directory or as a tar archive.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use heliosdb_runtime::{Disk, RealDisk};

use crate::backup_list::BEGUN_FILE;
use crate::connect::ConnectArgs;
use crate::error::Failure;
use crate::progress::Progress;
use crate::protocol::Event;
use crate::shell::ask_password;
use crate::tar::{TarReader, TarSink};
use crate::unpack::{Unpack, local};

#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// Where to: a directory that is empty or does not exist, or - for a tar archive on standard output
    pub to: PathBuf,

    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,

    #[command(flatten)]
    pub connect: ConnectArgs,
}

pub fn backup(args: &BackupArgs) -> Result<(), Failure> {
    if args.to == Path::new("-") {
        return to_stdout(args);
    }
    let mut connection = args.connect.connect(ask_password)?;
    let disk = RealDisk::new(&args.to).map_err(|error| local(&error))?;
    let found = disk.list("").map_err(|error| local(&error))?;
    if let Some(first) = found.first() {
        let to = args.to.display();
        return Err(Failure::Usage(format!("directory {to} is not empty: it holds \"{first}\"")));
    }
    let progress = std::rc::Rc::new(std::cell::RefCell::new(None::<Progress>));
    let told = progress.clone();
    let tell = move |bytes| {
        if let Some(progress) = told.borrow_mut().as_mut() {
            progress.add(bytes);
        }
    };
    let mut unpack = Unpack::new(disk, false, Box::new(tell));
    let mut reader = TarReader::default();
    let mut begun = Begun::default();
    let mut failed: Option<Failure> = None;
    let cancel = connection.cancel();
    let quiet = args.quiet;
    let done = connection.query("BACKUP TO STDOUT", &mut |event| {
        if let (Event::CopyData(bytes), None) = (event, &failed) {
            if begun.total.is_none() {
                begun.look(&bytes);
                if let (Some(total), false) = (begun.total, quiet) {
                    *progress.borrow_mut() = Some(Progress::new("backing up", total));
                }
            }
            if let Err(failure) = reader.feed(&bytes, &mut unpack) {
                failed = Some(failure);
                // What is still sent is read and dropped.
                cancel.send();
            }
        }
        Ok(())
    });
    if let Some(progress) = progress.borrow_mut().as_mut() {
        progress.end();
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    done?;
    let list = unpack.finish()?;
    if !quiet {
        eprintln!("{} files, {} bytes, checksums hold", list.files.len(), list.bytes());
    }
    Ok(())
}

fn to_stdout(args: &BackupArgs) -> Result<(), Failure> {
    let mut connection = args.connect.connect(ask_password)?;
    let mut out = io::stdout().lock();
    let mut broken: Option<io::Error> = None;
    let cancel = connection.cancel();
    let done = connection.query("BACKUP TO STDOUT", &mut |event| {
        if let (Event::CopyData(bytes), None) = (event, &broken)
            && let Err(error) = out.write_all(&bytes)
        {
            broken = Some(error);
            // What is still sent is read and dropped.
            cancel.send();
        }
        Ok(())
    });
    if let Some(error) = broken {
        return Err(Failure::Usage(format!("could not write to standard output: {error}")));
    }
    done?;
    out.flush().map_err(|error| Failure::Usage(format!("could not write to standard output: {error}")))
}

/// Finds `bytes N` in the archive's first file.
#[derive(Default)]
struct Begun {
    head: TarReader,
    in_it: bool,
    text: Vec<u8>,
    total: Option<u64>,
}

impl Begun {
    fn look(&mut self, bytes: &[u8]) {
        let mut head = std::mem::take(&mut self.head);
        // Damage is reported by whoever unpacks.
        let _ = head.feed(bytes, self);
        self.head = head;
    }
}

impl TarSink for Begun {
    fn file(&mut self, name: &str, _bytes: u64) -> Result<(), Failure> {
        self.in_it = name == BEGUN_FILE;
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.in_it && self.text.len() < 4096 {
            self.text.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn file_end(&mut self) -> Result<(), Failure> {
        if self.in_it {
            let text = String::from_utf8_lossy(&self.text);
            let bytes = text.lines().find_map(|line| line.strip_prefix("bytes ")?.parse().ok());
            self.total = Some(bytes.unwrap_or(0));
        }
        Ok(())
    }
}
