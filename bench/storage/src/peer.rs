//! fjall, holding the same rows as encoded values.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use heliosdb_contracts::KeyedRow;
use heliosdb_types::{RowLayout, RowView};

use crate::ours::Sum;

pub struct Peer {
    pub db: Database,
    pub rows: Keyspace,
}

pub fn open(dir: &Path, cache_bytes: u64, memtable_bytes: u64) -> Peer {
    let db = Database::builder(dir).cache_size(cache_bytes).open().expect("fjall opens");
    let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
    let rows = db.keyspace("rows", options).expect("fjall opens a keyspace");
    Peer { db, rows }
}

impl Peer {
    /// Rows in the order of their keys, straight into tables.
    pub fn load(&self, rows: impl Iterator<Item = KeyedRow>) {
        let mut ingestion = self.rows.start_ingestion().expect("ingestion");
        rows.for_each(|row| ingestion.write(&row.key[..], &row.row[..]).expect("ingestion"));
        ingestion.finish().expect("ingestion");
    }

    pub fn write(&self, rows: &[KeyedRow], durable: bool) {
        let mode = durable.then_some(PersistMode::SyncData);
        let mut batch = self.db.batch().durability(mode);
        rows.iter().for_each(|row| batch.insert(&self.rows, &row.key[..], &row.row[..]));
        batch.commit().expect("fjall commits");
    }

    /// A row's bytes, as they come.
    pub fn get(&self, key: &[u8]) -> u64 {
        self.rows.get(key).expect("get").expect("a row is lost").len() as u64
    }

    /// A row's bytes, and every column of them.
    pub fn get_values(&self, key: &[u8], layout: &RowLayout) -> u64 {
        let row = self.rows.get(key).expect("get").expect("a row is lost");
        let mut sum = Sum::default();
        add(&row, layout, &mut sum);
        sum.0
    }

    pub fn range(&self, from: &[u8], to: &[u8], layout: &RowLayout) -> (usize, u64) {
        let (mut rows, mut sum) = (0, Sum::default());
        for entry in self.rows.range(from..to) {
            add(&entry.value().expect("range"), layout, &mut sum);
            rows += 1;
        }
        (rows, sum.0)
    }
}

fn add(row: &[u8], layout: &RowLayout, sum: &mut Sum) {
    let view = RowView::new(layout, row).expect("a row");
    for column in 0..view.len() {
        sum.add(&[view.get(column).expect("a value")]);
    }
}
