//! The tables: generated from fixed seeds, so that every run measures the same bytes.
//!
//! - `lineitem`: TPC-H, from `tpchgen`.
//! - `web_log`: one row a request. 50,000 clients, 20,000 paths, 3,000 referrers (three rows in ten have none), 400 user agents
//!   of about 110 characters, all drawn log-uniformly (a few are frequent, most are rare); 5 methods, 7 status codes; 40 ms
//!   between requests on average; sizes depend on the path for seven requests in ten; durations are skewed.
//! - `metrics`: gauges of 200 hosts and 10 metrics every ten seconds with a jitter of up to 4 ms, in key order; a random walk
//!   with two decimals.

use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal64Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch};
use arrow_schema::{Field, Schema};
use heliosdb_types::PhysicalType;
use tpchgen::generators::LineItemGenerator;

pub const BATCH_ROWS: usize = 8192;

pub struct Table {
    pub name: &'static str,
    pub columns: Vec<(&'static str, PhysicalType)>,
    /// Columns of the primary key.
    pub key: Vec<usize>,
    pub batches: Vec<RecordBatch>,
}

impl Table {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The first column of a row, which is a whole number.
    pub fn key_of(&self, row: usize) -> i64 {
        let batch = &self.batches[row / BATCH_ROWS];
        batch.column(0).as_primitive::<Int64Type>().value(row % BATCH_ROWS)
    }

    pub fn arrow_bytes(&self) -> usize {
        self.batches.iter().flat_map(|batch| batch.columns()).map(|array| array.get_array_memory_size()).sum()
    }
}

/// splitmix64
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Log-uniform below `n`: 0 is most frequent.
    fn skewed(&mut self, n: u64) -> u64 {
        (((n + 1) as f64).powf(self.unit()) - 1.0) as u64
    }
}

type Int<T> = PrimitiveArray<T>;

fn text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringViewBuilder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

fn batch(columns: &[(&'static str, PhysicalType)], arrays: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .zip(&arrays)
        .map(|((name, _), array)| Field::new(*name, array.data_type().clone(), array.is_nullable()))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("arrays match the schema")
}

pub fn lineitem(scale: f64) -> Table {
    let decimal = PhysicalType::Decimal64 { precision: 15, scale: 2 };
    let columns = vec![
        ("l_orderkey", PhysicalType::Int64),
        ("l_partkey", PhysicalType::Int64),
        ("l_suppkey", PhysicalType::Int64),
        ("l_linenumber", PhysicalType::Int32),
        ("l_quantity", decimal),
        ("l_extendedprice", decimal),
        ("l_discount", decimal),
        ("l_tax", decimal),
        ("l_returnflag", PhysicalType::Text),
        ("l_linestatus", PhysicalType::Text),
        ("l_shipdate", PhysicalType::Date),
        ("l_commitdate", PhysicalType::Date),
        ("l_receiptdate", PhysicalType::Date),
        ("l_shipinstruct", PhysicalType::Text),
        ("l_shipmode", PhysicalType::Text),
        ("l_comment", PhysicalType::Text),
    ];
    let generator = LineItemGenerator::new(scale, 1, 1);
    let mut rows = generator.iter();
    let mut batches = Vec::new();
    loop {
        let part: Vec<_> = rows.by_ref().take(BATCH_ROWS).collect();
        if part.is_empty() {
            break;
        }
        let int64 =
            |f: &dyn Fn(usize) -> i64| Arc::new(Int::<Int64Type>::from_iter_values((0..part.len()).map(f))) as ArrayRef;
        let money = |f: &dyn Fn(usize) -> i64| {
            let array = Int::<Decimal64Type>::from_iter_values((0..part.len()).map(f));
            Arc::new(array.with_precision_and_scale(15, 2).expect("15, 2 is valid")) as ArrayRef
        };
        let date = |f: &dyn Fn(usize) -> i32| {
            Arc::new(Int::<Date32Type>::from_iter_values((0..part.len()).map(f))) as ArrayRef
        };
        batches.push(batch(
            &columns,
            vec![
                int64(&|i| part[i].l_orderkey),
                int64(&|i| part[i].l_partkey),
                int64(&|i| part[i].l_suppkey),
                Arc::new(Int::<Int32Type>::from_iter_values(part.iter().map(|row| row.l_linenumber))),
                money(&|i| part[i].l_quantity * 100),
                money(&|i| part[i].l_extendedprice.0),
                money(&|i| part[i].l_discount.0),
                money(&|i| part[i].l_tax.0),
                text(part.iter().map(|row| Some(row.l_returnflag))),
                text(part.iter().map(|row| Some(row.l_linestatus))),
                date(&|i| part[i].l_shipdate.to_unix_epoch()),
                date(&|i| part[i].l_commitdate.to_unix_epoch()),
                date(&|i| part[i].l_receiptdate.to_unix_epoch()),
                text(part.iter().map(|row| Some(row.l_shipinstruct))),
                text(part.iter().map(|row| Some(row.l_shipmode))),
                text(part.iter().map(|row| Some(row.l_comment))),
            ],
        ));
    }
    Table { name: "lineitem", columns, key: vec![0, 3], batches }
}

/// 2026-01-01 in microseconds.
const START: i64 = 1_767_225_600_000_000;

fn timestamps(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int::<TimestampMicrosecondType>::from_iter_values(values).with_timezone("UTC"))
}

pub fn web_log(rows: usize) -> Table {
    let columns = vec![
        ("id", PhysicalType::Int64),
        ("at", PhysicalType::TimestampTz),
        ("client", PhysicalType::Text),
        ("method", PhysicalType::Text),
        ("path", PhysicalType::Text),
        ("status", PhysicalType::Int16),
        ("bytes", PhysicalType::Int32),
        ("referrer", PhysicalType::Text),
        ("agent", PhysicalType::Text),
        ("duration_us", PhysicalType::Int32),
    ];
    let mut rng = Rng(1);
    let clients: Vec<String> = (0..50_000)
        .map(|_| format!("{}.{}.{}.{}", 1 + rng.below(222), rng.below(256), rng.below(256), rng.below(256)))
        .collect();
    let nouns = ["articles", "users", "orders", "static/js", "static/css", "api/v2/items", "search", "images", "docs"];
    let paths: Vec<String> = (0..20_000)
        .map(|i| {
            format!(
                "/{}/{:x}/{}",
                nouns[i % nouns.len()],
                rng.next() >> 28,
                ["", "edit", "view.html", "data.json"][i % 4]
            )
        })
        .collect();
    let referrers: Vec<String> = (0..3_000)
        .map(|i| {
            format!(
                "https://{}.example.{}/page/{:x}",
                ["www", "news", "shop"][i % 3],
                ["com", "org"][i % 2],
                rng.next() >> 40
            )
        })
        .collect();
    let agents: Vec<String> = (0..400)
        .map(|i| {
            let system =
                ["Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"][i % 3];
            let (major, build) = (90 + rng.below(60), rng.below(6_000));
            format!(
                "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.{build}.0 Safari/537.36"
            )
        })
        .collect();
    let (mut at, mut batches, mut id) = (START, Vec::new(), 0);
    while (id as usize) < rows {
        let count = BATCH_ROWS.min(rows - id as usize);
        let (mut ats, mut sizes, mut statuses, mut durations) = (vec![], vec![], vec![], vec![]);
        let (mut client, mut method, mut path, mut referrer, mut agent) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..count {
            at += (-rng.unit().max(1e-12).ln() * 40_000.0) as i64;
            ats.push(at);
            client.push(Some(clients[rng.skewed(50_000) as usize].as_str()));
            method.push(Some(["GET", "POST", "PUT", "HEAD", "DELETE"][rng.skewed(5) as usize]));
            let page = rng.skewed(20_000) as usize;
            path.push(Some(paths[page].as_str()));
            statuses.push([200, 304, 404, 301, 500, 403, 429][rng.skewed(7) as usize]);
            sizes.push(if rng.below(10) < 7 {
                300 + (page * page % 90_007) as i32
            } else {
                rng.skewed(1 << 20) as i32
            });
            referrer.push((rng.below(10) >= 3).then(|| referrers[rng.skewed(3_000) as usize].as_str()));
            agent.push(Some(agents[rng.skewed(400) as usize].as_str()));
            durations.push(200 + rng.skewed(2_000_000) as i32);
        }
        batches.push(batch(
            &columns,
            vec![
                Arc::new(Int::<Int64Type>::from_iter_values(id..id + count as i64)),
                timestamps(ats),
                text(client.into_iter()),
                text(method.into_iter()),
                text(path.into_iter()),
                Arc::new(Int::<Int16Type>::from_iter_values(statuses)),
                Arc::new(Int::<Int32Type>::from_iter_values(sizes)),
                text(referrer.into_iter()),
                text(agent.into_iter()),
                Arc::new(Int::<Int32Type>::from_iter_values(durations)),
            ],
        ));
        id += count as i64;
    }
    // One schema for all batches, whether or not a batch has NULLs.
    Table { name: "web_log", columns, key: vec![0], batches: same_schema(batches) }
}

pub fn metrics(rows: usize) -> Table {
    let columns = vec![
        ("host", PhysicalType::Text),
        ("metric", PhysicalType::Text),
        ("at", PhysicalType::TimestampTz),
        ("value", PhysicalType::Float64),
    ];
    let mut rng = Rng(2);
    let names = [
        "cpu.idle",
        "cpu.iowait",
        "cpu.system",
        "cpu.user",
        "disk.read",
        "disk.write",
        "mem.free",
        "mem.used",
        "net.in",
        "net.out",
    ];
    let (hosts, each) = (200, rows / (200 * names.len()));
    let mut all: Vec<(String, &str, i64, f64)> = Vec::with_capacity(rows);
    for host in 0..hosts {
        for name in names {
            let mut cents = rng.below(10_000) as i64;
            for tick in 0..each {
                cents = (cents + rng.below(201) as i64 - 100).clamp(0, 1_000_000);
                let at = START + tick as i64 * 10_000_000 + rng.below(4_000) as i64;
                all.push((format!("host-{host:04}.prod.example.org"), name, at, cents as f64 / 100.0));
            }
        }
    }
    let batches = all
        .chunks(BATCH_ROWS)
        .map(|part| {
            batch(
                &columns,
                vec![
                    text(part.iter().map(|row| Some(row.0.as_str()))),
                    text(part.iter().map(|row| Some(row.1))),
                    timestamps(part.iter().map(|row| row.2).collect()),
                    Arc::new(Int::<Float64Type>::from_iter_values(part.iter().map(|row| row.3))),
                ],
            )
        })
        .collect();
    Table { name: "metrics", columns, key: vec![0, 1, 2], batches }
}

fn same_schema(batches: Vec<RecordBatch>) -> Vec<RecordBatch> {
    let Some(first) = batches.first() else { return batches };
    let nullable = |at: usize| batches.iter().any(|batch| batch.column(at).is_nullable());
    let fields = first
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| field.as_ref().clone().with_nullable(nullable(at)))
        .collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    batches
        .iter()
        .map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).expect("wider nullability"))
        .collect()
}
