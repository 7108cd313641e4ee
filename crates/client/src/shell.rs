//! `heliosdb sql`: statements from the command line, a file, a pipe, or a person.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::complete::SqlHelper;
use crate::connect::ConnectArgs;
use crate::editor::{History, Typed, read_line};
use crate::error::Failure;
use crate::format::{Format, Rows};
use crate::meta::{self, Meta};
use crate::protocol::{Cancel, Connection, Event};
use crate::source::{read_text, write_file};
use crate::split::split;
use crate::watch::Watch;
use clap::Args;
use heliosdb_runtime::{Clock, RealClock, Spawner};

#[derive(Args, Clone, Debug)]
pub struct SqlArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Run statements and end; may be repeated
    #[arg(long, short, value_name = "SQL")]
    pub command: Vec<String>,

    /// Run a file and end; - is standard input
    #[arg(long, short, value_name = "FILE")]
    pub file: Vec<PathBuf>,

    /// How results look
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,

    /// Go on after an error in a file
    #[arg(long)]
    pub keep_going: bool,
}

struct Shell {
    args: ConnectArgs,
    connection: Connection,
    format: Format,
    expanded: bool,
    timing: bool,
    clock: RealClock,
    /// What Ctrl-C cancels.
    running: Running,
}

/// Told by the thread that waits for Ctrl-C.
#[derive(Clone, Default)]
struct Running {
    cancel: Arc<Mutex<Option<Cancel>>>,
    busy: Arc<AtomicBool>,
}

/// Runs the command; the failure says the exit code.
pub fn sql(args: SqlArgs) -> Result<(), Failure> {
    let connection = args.connect.connect(ask_password)?;
    let mut shell = Shell {
        args: args.connect,
        connection,
        format: args.format,
        expanded: false,
        timing: false,
        clock: RealClock::new(),
        running: Running::default(),
    };
    let interactive = args.command.is_empty() && args.file.is_empty() && io::stdin().is_terminal();
    if interactive {
        return shell.interactive();
    }
    let mut texts = args.command;
    for path in &args.file {
        texts.push(read_text(path)?);
    }
    if texts.is_empty() {
        texts.push(read_text(std::path::Path::new("-"))?);
    }
    let mut first = None;
    for text in texts {
        if let Err(failure) = shell.script(&text, args.keep_going) {
            first.get_or_insert(failure);
            if !args.keep_going {
                break;
            }
        }
    }
    first.map_or(Ok(()), Err)
}

pub(crate) fn ask_password() -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    match read_line("Password: ", &History::default(), None, true) {
        Ok(Typed::Line(password)) => Some(password),
        _ => None,
    }
}

impl Shell {
    /// Statements and commands of a text, in order.
    fn script(&mut self, text: &str, keep_going: bool) -> Result<(), Failure> {
        let mut first = None;
        let mut pending = String::new();
        let mut run = |shell: &mut Shell, sql: &str| match shell.statement(sql) {
            Err(failure) if keep_going && !shell.connection.ended() => {
                first.get_or_insert(failure);
                Ok(())
            }
            done => done,
        };
        for line in text.lines() {
            if pending.trim().is_empty() && line.trim_start().starts_with('\\') {
                if self.command(line)? {
                    return Ok(());
                }
                continue;
            }
            pending.push_str(line);
            pending.push('\n');
            let (statements, rest) = split(&pending);
            if !statements.is_empty() {
                for sql in statements {
                    run(self, sql)?;
                }
                pending = rest.to_owned();
            }
        }
        if !pending.trim().is_empty() {
            run(self, pending.trim())?;
        }
        first.map_or(Ok(()), Err)
    }

    /// Runs one statement, shows what it gives and what went wrong.
    fn statement(&mut self, sql: &str) -> Result<(), Failure> {
        let began = self.clock.monotonic();
        self.running.busy.store(true, Ordering::Release);
        let watch = Watch::start(&self.args, self.connection.pid());
        let done = run(&mut self.connection, sql, self.format, self.expanded);
        drop(watch);
        self.running.busy.store(false, Ordering::Release);
        if self.timing {
            let millis = self.clock.monotonic().saturating_sub(began).as_secs_f64() * 1000.0;
            println!("Time: {millis:.3} ms");
        }
        match done {
            Err(Failure::Statement(error)) => {
                eprint!("{}", error.shown(sql));
                Err(Failure::Shown(error))
            }
            done => done,
        }
    }

    /// A backslash command; true: quit.
    fn command(&mut self, line: &str) -> Result<bool, Failure> {
        let on = |on: bool| if on { "on" } else { "off" };
        match meta::parse(line) {
            Meta::Quit => return Ok(true),
            Meta::Help => println!("{}", meta::HELP),
            Meta::Timing => {
                self.timing = !self.timing;
                println!("Timing is {}.", on(self.timing));
            }
            Meta::Expanded => {
                self.expanded = !self.expanded;
                println!("Expanded display is {}.", on(self.expanded));
            }
            Meta::ConnInfo => {
                let ConnectArgs { user, dbname, host, port, .. } = &self.args;
                let tls = if self.connection.encrypted { ", encrypted" } else { "" };
                println!("You are connected to database \"{dbname}\" as user \"{user}\" on {host}:{port}{tls}.");
            }
            Meta::Format(name) => match <Format as clap::ValueEnum>::from_str(&name, true) {
                Ok(format) => self.format = format,
                Err(_) => eprintln!("unknown format {name}; there are table, csv and json"),
            },
            Meta::File(path) => {
                let text = read_text(std::path::Path::new(&path))?;
                self.script(&text, false)?;
            }
            Meta::Connect(dbname) => {
                let args = ConnectArgs { dbname, ..self.args.clone() };
                self.connection = args.connect(ask_password)?;
                self.args = args;
                self.note_cancel();
            }
            Meta::Describe { queries, nothing } => self.describe(queries, nothing)?,
            Meta::Wrong(what) => eprintln!("{what}"),
        }
        Ok(false)
    }

    fn describe(&mut self, queries: Vec<(String, String)>, nothing: Option<String>) -> Result<(), Failure> {
        for (number, (title, sql)) in queries.into_iter().enumerate() {
            match collect(&mut self.connection, &sql) {
                Ok(rows) if rows.rows.is_empty() && (number > 0 || nothing.is_some()) => {}
                Ok(rows) => {
                    println!("{title}");
                    rows.write(self.format, self.expanded, &mut io::stdout().lock())?;
                }
                Err(Failure::Statement(error)) if error.code == "42P01" && nothing.is_some() => {
                    eprintln!("{}", nothing.unwrap_or_default());
                    return Err(Failure::Shown(error));
                }
                Err(Failure::Statement(error)) => {
                    eprint!("{}", error.shown(""));
                    return Err(Failure::Shown(error));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn interactive(&mut self) -> Result<(), Failure> {
        println!("heliosdb sql {}, server {}", env!("CARGO_PKG_VERSION"), self.connection.server_version);
        println!("Type \\? for help, \\q to quit.\n");
        self.note_cancel();
        watch_interrupts(self.running.clone());
        let mut helper = SqlHelper { names: names(&mut self.connection) };
        let path = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".heliosdb_history"));
        // None yet, the first time.
        let mut history = path
            .as_ref()
            .and_then(|path| read_text(path).ok())
            .map_or_else(History::default, |text| History::read(&text));
        let mut pending = String::new();
        while !self.connection.ended() {
            let sign = match (pending.is_empty(), self.connection.status) {
                (false, _) => "->",
                (true, b'T') => "=*>",
                (true, b'E') => "=!>",
                (true, _) => "=>",
            };
            let prompt = format!("{}{sign} ", self.args.dbname);
            let line = match read_line(&prompt, &history, Some(&helper), false) {
                Ok(Typed::Line(line)) => line,
                Ok(Typed::Nothing) => {
                    pending.clear();
                    continue;
                }
                Ok(Typed::End) => break,
                Err(error) => return Err(Failure::Usage(error.to_string())),
            };
            if pending.is_empty() && line.trim_start().starts_with('\\') {
                history.add(line.trim());
                match self.command(&line) {
                    Ok(true) => break,
                    Ok(false) | Err(Failure::Shown(_)) => {}
                    Err(failure) if self.connection.ended() => return Err(failure),
                    Err(failure) => eprintln!("{failure}"),
                }
                continue;
            }
            pending.push_str(&line);
            pending.push('\n');
            let (statements, rest) = split(&pending);
            let statements: Vec<String> = statements.into_iter().map(str::to_owned).collect();
            let rest = rest.trim_start().to_owned();
            for sql in statements {
                history.add(&format!("{sql};"));
                match self.statement(&sql) {
                    Err(Failure::Connection(why)) => return Err(Failure::Connection(why)),
                    _ if defines(&sql) => helper.names = names(&mut self.connection),
                    _ => {}
                }
            }
            pending = rest;
        }
        if let Some(path) = &path {
            // Worth no error message on the way out.
            let _ = write_file(path, history.text().as_bytes());
        }
        Ok(())
    }

    fn note_cancel(&self) {
        if let Ok(mut cancel) = self.running.cancel.lock() {
            *cancel = Some(self.connection.cancel());
        }
    }
}

/// Cancels what runs at Ctrl-C; while nothing does, the line editor sees the key itself. For the rest of the process.
fn watch_interrupts(running: Running) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT]) else { return };
    let thread = Spawner::threads().thread("interrupts", move || {
        for _ in signals.forever() {
            let cancel = running.cancel.lock().ok().and_then(|cancel| cancel.clone());
            if let Some(cancel) = cancel.filter(|_| running.busy.load(Ordering::Acquire)) {
                cancel.send();
            }
        }
    });
    // Dropping it would wait for its end, and it has none.
    std::mem::forget(thread);
}

fn defines(sql: &str) -> bool {
    let word = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
    matches!(word.as_str(), "CREATE" | "ALTER" | "DROP")
}

/// What completion offers; nothing if the server does not say.
fn names(connection: &mut Connection) -> Vec<String> {
    let sql = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r','v','m','p','S') AND n.nspname <> 'information_schema' \
        UNION SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND c.relkind IN ('r','v','m','p') \
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let rows = collect(connection, sql).unwrap_or_default();
    rows.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}

fn collect(connection: &mut Connection, sql: &str) -> Result<Rows, Failure> {
    let mut rows = Rows::default();
    connection.query(sql, &mut |event| {
        match event {
            Event::Columns(columns) => rows.columns = columns,
            Event::Row(row) => rows.rows.push(row),
            _ => {}
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Runs statements and shows each result when it is complete, as psql does.
fn run(connection: &mut Connection, sql: &str, format: Format, expanded: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut rows: Option<Rows> = None;
    let done = connection.query(sql, &mut |event| {
        match event {
            Event::Columns(columns) => rows = Some(Rows { columns, rows: Vec::new() }),
            Event::Row(row) => {
                if let Some(rows) = &mut rows {
                    rows.rows.push(row);
                }
            }
            Event::CopyData(data) => out.write_all(&data)?,
            Event::Complete(tag) => match rows.take() {
                Some(rows) => rows.write(format, expanded, &mut out)?,
                // Tags would spoil what a program reads.
                None if format == Format::Table && !tag.starts_with("COPY") => writeln!(out, "{tag}")?,
                None => {}
            },
            Event::Notification { channel, payload, pid } => {
                let payload = if payload.is_empty() { payload } else { format!(" with payload \"{payload}\"") };
                writeln!(
                    out,
                    "Asynchronous notification \"{channel}\"{payload} received from server process with PID {pid}."
                )?;
            }
            Event::Notice(notice) => {
                out.flush()?;
                eprint!("{}", notice.shown(""));
            }
        }
        Ok(())
    });
    out.flush()?;
    done
}
