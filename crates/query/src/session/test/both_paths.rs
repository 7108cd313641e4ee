//! Statements about few rows on both paths, by a generator: compiled once with values put in, and planned anew each time.
//!
//! Invariant: rows, types, errors, and what other transactions find locked are the same after each statement.

use heliosdb_contracts::ResultColumn;
use heliosdb_runtime::{Entropy, SeededEntropy};

use super::{Client, Server};

const TABLES: &str = "
    create table t (id int primary key, a int, b bigint default 5, s text, n numeric(10,2), f float8, d date, flag bool,
        check (a < 1000));
    create table k (x text, y bigint, v int, u int unique, primary key (x, y));
    create index on t (a);
    create index on t (s, b desc nulls last) include (d);
    create index on k (v desc, x);
    create table p (id int primary key);
    insert into p select generate_series(0, 9);
    create table c (id int primary key, p int references p on delete cascade, w int generated always as (p * 2) stored);
    create table m (id int primary key, p int references p deferrable, q int unique, r text not null, e int not null default 4,
        o text, check (e <> 9 or o is not null));
    create index on m (r) where e > 3;
    create index on m (lower(o), e);
    create table n (m int references m (q) on update cascade, v int);
    insert into m select g, g % 10, g + 50, 'r' || g, g % 9, 'O' || g from generate_series(0, 19) g;
    insert into n select 50 + g % 20, g from generate_series(0, 9) g;
    insert into t select g, g * 3, g, 's' || g, g / 4.0, g, date '2024-01-01' + g, g % 2 = 0 from generate_series(0, 19) g;
    insert into k select 'x' || g % 4, g, g, g + 100 from generate_series(0, 19) g";

struct Writer<'a>(&'a SeededEntropy);

impl Writer<'_> {
    fn below(&self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    fn one<'t>(&self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len() as u64) as usize]
    }

    /// A literal that mostly fits.
    fn literal(&self, kind: &str) -> String {
        match (self.below(20), kind) {
            (0, _) => "NULL".to_owned(),
            (1, _) => self.one(&["'x'", "1.5", "3000000000", "-7", "''", "'17'", "true"]).to_owned(),
            (_, "int") => self.below(24).to_string(),
            (_, "text") => format!("'x{}'", self.below(5)),
            (_, "date") => format!("'2024-01-{:02}'", 1 + self.below(31)),
            (_, "bool") => self.one(&["true", "false", "'t'"]).to_owned(),
            _ => format!("{}.{:02}", self.below(9), self.below(100)),
        }
    }

    fn condition(&self) -> String {
        let mut condition = match self.below(5) {
            0 => format!("x = {} and y = {}", self.literal("text"), self.literal("int")),
            1 => format!("u = {}", self.literal("int")),
            _ => format!("id = {}", self.literal("int")),
        };
        let more = match (self.below(4), condition.starts_with("id")) {
            (0, true) => format!(" and a > {}", self.literal("int")),
            (0, false) => format!(" and v <> {}", self.literal("int")),
            (1, true) => format!(" and (s = {} or flag)", self.literal("text")),
            _ => String::new(),
        };
        condition.push_str(&more);
        condition
    }

    /// A condition on the first columns of a key.
    fn range(&self, on_t: bool) -> String {
        let op = self.one(&["=", "<", "<=", ">", ">="]);
        let mut condition = match (on_t, self.below(3)) {
            (true, 0) => format!("s = {}", self.literal("text")),
            (true, 1) => format!("s = {} and b {op} {}", self.literal("text"), self.literal("int")),
            (true, _) => format!("a = {}", self.literal("int")),
            (false, 0) => format!("x = {}", self.literal("text")),
            (false, 1) => format!("x = {} and y {op} {}", self.literal("text"), self.literal("int")),
            (false, _) => format!("v = {} and x {op} {}", self.literal("int"), self.literal("text")),
        };
        let more = match self.below(6) {
            0 if on_t => format!(" and a <> {}", self.literal("int")),
            1 if on_t => format!(" and a = {}", self.literal("int")),
            0 => format!(" and v <> {}", self.literal("int")),
            1 => format!(" and x = {}", self.literal("text")),
            2 => format!(" and {} is not null", if on_t { "s" } else { "u" }),
            _ => String::new(),
        };
        condition.push_str(&more);
        condition
    }

    /// Something about the rows of a range.
    fn of_range(&self) -> String {
        let on_t = self.below(2) == 0;
        let (condition, table) = (self.range(on_t), if on_t { "t" } else { "k" });
        let sums = "count(*), count(%) filter (where % > 3), sum(%), min(%), max(%), bool_or(% is null)";
        match self.below(8) {
            0 => format!("select {} from {table} where {condition}", sums.replace('%', if on_t { "a" } else { "v" })),
            1 => format!("update {table} set {0} = {0} + 1 where {condition}", if on_t { "a" } else { "v" }),
            2 if self.below(4) == 0 => format!("delete from {table} where {condition}"),
            _ => {
                let order = match on_t {
                    true => self.one(&["id", "b desc, id", "b desc nulls last, id", "a, id desc", "s, b, id", "n, id"]),
                    false => {
                        self.one(&["x, y", "y, x", "x desc, y desc", "v desc, x, y", "u, x, y", "v nulls first, x, y"])
                    }
                };
                let tail = self.one(&["", "", " limit 1", " limit 2 offset 1", " for update", " limit 3 for share"]);
                let columns = self.one(&["*", if on_t { "s, a * 2" } else { "x || y, u" }]);
                format!("select {columns} from {table} where {condition} order by {order}{tail}")
            }
        }
    }

    /// Something about all rows of a small table, or the first ones by a key.
    fn of_table(&self) -> String {
        let on_t = self.below(2) == 0;
        let table = if on_t { "t" } else { "k" };
        let int = || self.literal("int");
        let condition = match (on_t, self.below(9)) {
            (true, 0) => self.one(&["flag", "s like 's1%'", "n is null", "f > 4.5 or not flag"]).to_owned(),
            (true, 1) => format!("a % 3 = {}", self.below(3)),
            (true, 2) => format!("a <> 0 and 600 / a > {}", self.below(40)),
            (true, 3) => format!("id > {}", int()),
            (true, 4) => format!("id >= {} and id < {}", int(), int()),
            (true, 5) => format!("a > {} or b = {}", int(), int()),
            (true, 6) => format!("id in ({}, {}, {})", int(), int(), int()),
            (true, 7) => format!("(id = {} or id = {}) and a > {}", int(), int(), int()),
            (false, 0) => self.one(&["x like '%2'", "u is null or v < 4", "x > 'x1'"]).to_owned(),
            (false, 1) => format!("v % 2 = {}", self.below(2)),
            (false, 2) => format!("u > {} + 100", self.below(24)),
            (false, 3) => format!("y <= {} and v <> {}", int(), int()),
            (false, 4) => format!("v > {}", int()),
            (false, 5) => format!("u <> 105 and v / (u - 105) < {}", self.below(5)),
            (false, 6) => format!("x = {} and y in ({}, {})", self.literal("text"), int(), int()),
            (false, 7) => format!("u in ({} + 100, 1{}, 1{})", self.below(24), 10 + self.below(9), 10 + self.below(9)),
            _ => String::new(),
        };
        let condition = if condition.is_empty() { condition } else { format!(" where {condition}") };
        let number = if on_t { "a" } else { "v" };
        match self.below(12) {
            0 | 1 => format!(
                "select count(*), sum({number}), min({number}) filter (where {number} > 3) from {table}{condition}"
            ),
            2 => format!("update {table} set {number} = {number} + 1{condition}"),
            3 if self.below(8) == 0 => format!("delete from {table}{condition}"),
            _ => {
                let order = match on_t {
                    true => self.one(&["id", "id desc", "a, id", "a desc, id", "s, b desc nulls last, id", "n, id"]),
                    false => self.one(&["x, y", "x desc, y desc", "x, y desc", "u, x, y", "v desc, x, y", "v, x, y"]),
                };
                let tail =
                    self.one(&["", " limit 3", " limit 2 offset 5", " limit 1", " for update", " limit 2 for share"]);
                let columns = self.one(&["*", if on_t { "s, a * 2" } else { "x || y, u" }, number]);
                format!("select {columns} from {table}{condition} order by {order}{tail}")
            }
        }
    }

    /// Something about rows of two tables, or three, where a key of one finds the rows for the others.
    fn of_join(&self) -> String {
        let first = match self.below(4) {
            0 => format!("t.id = {}", self.literal("int")),
            1 => format!("k.x = {}", self.literal("text")),
            2 => format!("k.u = {}", self.literal("int")),
            _ => format!("t.s = {}", self.literal("text")),
        };
        let second = match self.below(7) {
            0 => "t.id = k.y",
            1 => "k.v = t.a",
            2 => "t.a = k.v + 1",
            3 => "k.u - 100 = t.id",
            4 => "k.x = t.s and k.y = t.b",
            5 => "k.x = t.s",
            _ => "t.b = k.y",
        };
        let more = match self.below(6) {
            0 => format!(" and t.a < {}", self.literal("int")),
            1 => " and k.v > t.a - 3".to_owned(),
            2 => format!(" and (k.v <> {} or t.flag)", self.literal("int")),
            3 => " and k.v / 3 < 9".to_owned(),
            _ => String::new(),
        };
        let (third, columns) = match self.below(4) {
            0 => (" join c on c.id = k.y", "t.*, k.u, c.w"),
            1 => (" join p on p.id = t.id", "t.a + k.v, t.s || k.x, p.id"),
            2 => ("", "count(*), sum(k.v), count(distinct k.v), count(distinct t.a) filter (where t.a > 3)"),
            _ => ("", self.one(&["*", "k.*, t.id", "t.a, k.v * 2"])),
        };
        let order = if columns.starts_with("count") { "" } else { " order by t.id, k.x, k.y" };
        let tail = if order.is_empty() { "" } else { self.one(&["", "", " limit 2", " limit 1 offset 1"]) };
        match self.below(3) {
            0 if third.is_empty() => {
                format!("select {columns} from t, k where {second} and {first}{more}{order}{tail}")
            }
            1 if third.is_empty() => {
                format!("select {columns} from k join t on {first} and {second}{more}{order}{tail}")
            }
            _ => format!("select {columns} from t join k on {second}{third} where {first}{more}{order}{tail}"),
        }
    }

    /// An update of some columns of a table with all that looks at others.
    fn of_parts(&self) -> String {
        let int = || self.literal("int");
        let condition = match self.below(4) {
            0 => format!("q = {} + 50", self.below(24)),
            1 => format!("r = 'r{}' and e > 3", self.below(24)),
            _ => format!("id = {}", int()),
        };
        if self.below(8) == 0 {
            return format!("delete from m where {condition} returning o, e");
        }
        if self.below(6) == 0 {
            let [id, p, q, e] = [int(), int(), int(), int()];
            return format!("insert into m values ({id}, {p}, {q}, {}, {e}, 'new')", self.literal("text"));
        }
        let mut set = Vec::new();
        for _ in 0..1 + self.below(2) {
            set.push(match self.below(9) {
                0 => format!("p = {}", int()),
                1 => format!("q = q + {}", self.below(3)),
                2 => format!("r = {}", self.literal("text")),
                3 => format!("e = {}", int()),
                4 => "e = 9".to_owned(),
                5 => format!("o = {}", self.one(&["NULL", "upper(o)", "o || r", "'O3'"])),
                6 => format!("id = {}", int()),
                7 => "r = r".to_owned(),
                _ => "e = e + length(r)".to_owned(),
            });
        }
        set.dedup_by(|a, b| a.chars().next() == b.chars().next());
        let more = match self.below(5) {
            0 => " and o is not null",
            1 => " and p < 7",
            _ => "",
        };
        let returning = self.one(&["", "", " returning *", " returning o, id + 1", " returning e, r"]);
        format!("update m set {} where {condition}{more}{returning}", set.join(", "))
    }

    fn statement(&self) -> String {
        match self.below(6) {
            0 => return self.of_range(),
            1 => return self.of_join(),
            2 => return self.of_parts(),
            3 => return self.of_table(),
            _ => {}
        }
        let condition = self.condition();
        let on_t = condition.starts_with("id");
        let table = if on_t { "t" } else { "k" };
        match self.below(12) {
            0..=2 => {
                let columns = match on_t {
                    true => {
                        self.one(&["*", "a, s", "a + 1, n * 2, d", "s || 'y', f / 2", "count(*)", "coalesce(a, 7)"])
                    }
                    false => self.one(&["*", "v", "x || y, u % 3", "v / (u - 105)"]),
                };
                let tail = self.one(&["", "", " limit 1", " for update", " limit 1 offset 1"]);
                format!("select {columns} from {table} where {condition}{tail}")
            }
            3..=5 if on_t => {
                let set = match self.below(6) {
                    0 => format!("a = a + {}", self.literal("int")),
                    1 => format!("s = {}, b = {}", self.literal("text"), self.literal("int")),
                    2 => format!("n = {}, f = f * {}", self.literal("decimal"), self.literal("decimal")),
                    3 => format!("id = {}", self.literal("int")),
                    4 => format!("d = {}, flag = {}", self.literal("date"), self.literal("bool")),
                    _ => format!("a = {}", self.below(2000)),
                };
                format!(
                    "update t set {set} where {condition}{}",
                    self.one(&["", " returning *", " returning a, old_s(s)"])
                )
                .replace("old_s(s)", "upper(s)")
            }
            3..=5 => {
                format!("update k set v = v + {}, u = {} where {condition}", self.literal("int"), self.literal("int"))
            }
            6 => format!("delete from {table} where {condition}{}", self.one(&["", " returning *"])),
            7 => {
                let [id, a, s, d] = ["int", "int", "text", "date"].map(|kind| self.literal(kind));
                let tail = self.one(&[
                    "",
                    " on conflict do nothing",
                    " on conflict (id) do update set a = excluded.a + t.a, s = 'again' returning id, a",
                    " returning *",
                ]);
                format!("insert into t (id, a, s, d) values ({id}, {a}, {s}, {d}){tail}")
            }
            8 => {
                let [x, y, v] = ["text", "int", "int"].map(|kind| self.literal(kind));
                format!("insert into k values ({x}, {y}, {v}, {}), ({x}, {v}, 1, NULL)", self.literal("int"))
            }
            9 => format!("insert into c (id, p) values ({}, {})", self.literal("int"), self.literal("int")),
            10 => format!("delete from p where id = {}", self.literal("int")),
            _ => format!(
                "select {}, {}, {} is null, '{}'::date",
                self.literal("int"),
                self.literal("text"),
                self.literal("decimal"),
                self.one(&["2024-02-30", "2024-02-29"]),
            ),
        }
    }
}

/// Both paths' clients, and who looks what they have locked.
struct Sides {
    short: Client,
    long: Client,
    near_short: Client,
    near_long: Client,
}

/// What a statement came to: its columns if they were asked for, and its rows, tag or error.
type Outcome = (Option<Vec<ResultColumn>>, String);

impl Sides {
    fn new(servers: &[Server; 2]) -> Sides {
        let [short, long] = servers;
        let mut sides =
            Sides { short: short.client(), long: long.client(), near_short: short.client(), near_long: long.client() };
        sides.long.run("set enable_shortpath = off");
        for client in [&mut sides.short, &mut sides.long] {
            client.run(TABLES);
        }
        sides
    }

    fn compare(&mut self, sql: &str, prepared: bool) {
        // Nothing of a commented text is remembered.
        let planned = format!("/**/ {sql}");
        let run = if prepared { run_prepared } else { |client: &mut Client, sql: &str| (None, client.run(sql)) };
        let (short, long): (Outcome, Outcome) = (run(&mut self.short, sql), run(&mut self.long, &planned));
        assert_eq!(short, long, "{sql}");
    }

    /// The rows that another transaction could lock so.
    fn compare_locks(&mut self, strength: &str, sql: &str) {
        for (table, key) in [("t", "id"), ("k", "x, y"), ("c", "id"), ("p", "id"), ("m", "id"), ("n", "m, v")] {
            let look = format!("select {key} from {table} order by {key} for {strength} skip locked");
            assert_eq!(self.near_short.run(&look), self.near_long.run(&look), "{look} after {sql}");
        }
    }
}

fn run_prepared(client: &mut Client, sql: &str) -> Outcome {
    let prepared = match client.prepare(sql) {
        Ok(prepared) => prepared,
        Err(error) => {
            client.session.fail(&error);
            return (None, format!("{}: {}", error.state(), error.message()));
        }
    };
    let rows = client.run_prepared(&prepared, Vec::new());
    let rows = rows.unwrap_or_else(|error| format!("{}: {}", error.state(), error.message()));
    (Some(prepared.columns().unwrap_or_default().to_vec()), rows)
}

fn both_paths_agree(seed: u64, statements: usize) {
    let entropy = SeededEntropy::new(seed);
    let writer = Writer(&entropy);
    let mut sides = Sides::new(&[Server::new(), Server::new()]);
    let mut in_block = 0;
    for _ in 0..statements {
        let mut sql = writer.statement();
        if in_block > 0 {
            in_block -= 1;
            if in_block == 0 {
                sql = writer.one(&["commit", "rollback"]).to_owned();
            }
        } else if writer.below(30) == 0 {
            in_block = 1 + writer.below(6);
            sql = "begin".to_owned();
        }
        sides.compare(&sql, writer.below(4) == 0);
        if in_block > 0 && writer.below(4) == 0 {
            sides.compare_locks(writer.one(&["update", "no key update", "share", "key share"]), &sql);
        }
    }
    sides.compare(
        "select * from t order by id; select * from k order by x, y; select * from c order by id; select * from p order by id;
        select * from m order by id; select * from n order by v; select id from m where r > '' and e > 3 order by r, id;
        select id from m order by lower(o), e, id; select q from m where q > 0 order by q",
        false,
    );
}

/// `HELIOSDB_STATEMENTS` says how many, half of them of each of two seeds.
#[test]
fn both_paths_give_the_same_rows_types_errors_and_locks() {
    let statements = std::env::var("HELIOSDB_STATEMENTS").map_or(1_500, |count| count.parse().unwrap());
    std::thread::scope(|scope| {
        for seed in [11, 12] {
            scope.spawn(move || both_paths_agree(seed, statements / 2));
        }
    });
}
