//! The table of the point reads and updates: 16 columns of the kinds applications have, about 190 bytes a row, from its key
//! and a round alone, so that every run and every contender holds the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{ColumnDescriptor, KeyedRow, TreeDescriptor, TreeDescriptorRef, TreeKey};
use heliosdb_types::{
    ColumnId, DatabaseId, DatumRef, PhysicalType, RowLayout, SchemaVersion, TreeId, TreeRef, encode_key, encode_row,
};

const MONEY: PhysicalType = PhysicalType::Decimal64 { precision: 12, scale: 2 };

const TYPES: [PhysicalType; 16] = [
    PhysicalType::Int64,
    PhysicalType::Int32,
    PhysicalType::Int32,
    PhysicalType::Int16,
    MONEY,
    MONEY,
    MONEY,
    PhysicalType::Bool,
    PhysicalType::Date,
    PhysicalType::Timestamp,
    PhysicalType::Float64,
    PhysicalType::Text,
    PhysicalType::Text,
    PhysicalType::Text,
    PhysicalType::Text,
    PhysicalType::Text,
];

const STATES: [&str; 5] = ["open", "paid", "packed", "shipped", "returned"];
const MODES: [&str; 7] = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"];
const WORDS: [&str; 16] = [
    "quickly",
    "final",
    "deposits",
    "sleep",
    "carefully",
    "ironic",
    "requests",
    "above",
    "the",
    "furious",
    "accounts",
    "pending",
    "packages",
    "haggle",
    "blithely",
    "express",
];

/// splitmix64
pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A sequence of numbers from a seed.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

pub fn descriptor() -> TreeDescriptorRef {
    tree(2000, &TYPES)
}

fn tree(id: u64, types: &[PhysicalType]) -> TreeDescriptorRef {
    let columns = types.iter().enumerate().map(|(at, physical)| ColumnDescriptor {
        id: ColumnId(at as u32 + 1),
        physical: *physical,
        nullable: true,
        missing: None,
    });
    Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(id)),
        version: SchemaVersion(1),
        columns: columns.collect(),
        key: TreeKey::Columns(vec![ColumnId(1)]),
        sort: None,
    })
}

pub fn columns(descriptor: &TreeDescriptor) -> Vec<ColumnId> {
    descriptor.columns.iter().map(|column| column.id).collect()
}

pub fn layout() -> RowLayout {
    RowLayout::new(&TYPES)
}

pub fn key(n: u64) -> Bytes {
    let mut key = Vec::with_capacity(9);
    encode_key(&mut key, DatumRef::Int64(n as i64), false);
    key.into()
}

/// The row of a key after `round` updates.
pub fn row(n: u64, round: u64) -> KeyedRow {
    let mut rng = Rng(mix(n ^ round.wrapping_mul(0x5851_f42d_4c95_7f2d)));
    let city = format!("city of {}", rng.below(1000));
    let reference = format!("{:016x}", rng.next());
    let mut comment = String::with_capacity(48);
    for _ in 0..3 + rng.below(4) {
        comment.push_str(WORDS[rng.below(16) as usize]);
        comment.push(' ');
    }
    let cents = |n: u64| DatumRef::Decimal { unscaled: n.into(), scale: 2 };
    let values = [
        DatumRef::Int64(n as i64),
        DatumRef::Int32(rng.below(200_000) as i32),
        DatumRef::Int32(rng.below(10_000) as i32),
        DatumRef::Int16(rng.below(7) as i16),
        cents(100 * (1 + rng.below(50))),
        cents(90_000 + rng.below(10_000_000)),
        cents(rng.below(11)),
        DatumRef::Bool(rng.below(10) == 0),
        DatumRef::Date(8000 + rng.below(2500) as i32),
        DatumRef::Timestamp(700_000_000_000_000 + rng.below(200_000_000_000_000) as i64),
        DatumRef::Float64(rng.below(100_000) as f64 / 1000.0),
        DatumRef::Text(STATES[rng.below(5) as usize]),
        DatumRef::Text(MODES[rng.below(7) as usize]),
        DatumRef::Text(&city),
        DatumRef::Text(&reference),
        DatumRef::Text(&comment),
    ];
    let mut encoded = Vec::new();
    encode_row(&TYPES, &values, &mut encoded).expect("values fit their columns");
    KeyedRow { key: key(n), row: encoded.into() }
}

/// A table keyed by random UUIDs: the key, a number and a short text.
pub mod uuid {
    use super::*;

    const TYPES: [PhysicalType; 3] = [PhysicalType::Uuid, PhysicalType::Int64, PhysicalType::Text];

    pub fn descriptor() -> TreeDescriptorRef {
        tree(2001, &TYPES)
    }

    pub fn row(n: u64) -> KeyedRow {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mix(n).to_be_bytes());
        id[8..].copy_from_slice(&mix(n ^ 0xabcd_0000_0000_0000).to_be_bytes());
        let text = format!("order {}", mix(n) % 1_000_000);
        let values = [DatumRef::Uuid(id), DatumRef::Int64(n as i64), DatumRef::Text(&text)];
        let (mut key, mut row) = (Vec::with_capacity(17), Vec::new());
        encode_key(&mut key, values[0], false);
        encode_row(&TYPES, &values, &mut row).expect("values fit their columns");
        KeyedRow { key: key.into(), row: row.into() }
    }
}

/// Large rows that do not compress: a number and 4,000 random bytes.
pub mod large {
    use super::*;

    pub const BYTES: usize = 4000;
    const TYPES: [PhysicalType; 2] = [PhysicalType::Int64, PhysicalType::Bytes];

    pub fn descriptor() -> TreeDescriptorRef {
        tree(2002, &TYPES)
    }

    pub fn row(n: u64) -> KeyedRow {
        let mut rng = Rng(mix(n));
        let noise: Vec<u8> = (0..BYTES / 8).flat_map(|_| rng.next().to_le_bytes()).collect();
        let mut row = Vec::with_capacity(BYTES + 64);
        encode_row(&TYPES, &[DatumRef::Int64(n as i64), DatumRef::Bytes(&noise)], &mut row).expect("values fit");
        KeyedRow { key: key(n), row: row.into() }
    }
}
