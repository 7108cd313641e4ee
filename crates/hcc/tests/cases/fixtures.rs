//! Blocks of every encoding as version 1 wrote them, kept as files: what is on disk somewhere must stay readable.
//!
//! `HELIOSDB_WRITE_FIXTURES=1` writes the files again; that is only right for a new version, under a new name. They are the
//! corpus of the mutation test below too.

use super::*;

const ROWS: usize = 1200;

fn path(encoding: Encoding) -> String {
    format!("{}/tests/fixtures/v1/{encoding:?}.block", env!("CARGO_MANIFEST_DIR"))
}

/// A column that suits the encoding.
fn column_for(encoding: Encoding) -> (PhysicalType, Vec<Datum>) {
    let text = |f: fn(usize) -> String| (0..ROWS).map(|i| Datum::Text(f(i))).collect::<Vec<_>>();
    let ints = |f: fn(i64) -> i64| (0..ROWS as i64).map(|i| Datum::Int64(f(i))).collect::<Vec<_>>();
    let floats = |f: fn(f64) -> f64| (0..ROWS).map(|i| Datum::Float64(f(i as f64))).collect::<Vec<_>>();
    let some = |mut values: Vec<Datum>, one_in: usize| {
        values.iter_mut().step_by(one_in).for_each(|value| *value = Datum::Null);
        values
    };
    match encoding {
        Encoding::AllNull => (PhysicalType::Date, vec![Datum::Null; ROWS]),
        Encoding::Constant => (PhysicalType::Text, vec![Datum::Text("always the same".into()); ROWS]),
        // A step, patches, and enough NULLs to leave them out.
        Encoding::Frame => {
            (PhysicalType::Int64, some(ints(|i| 100 * (i * 7919 % 300) + if i % 101 == 0 { 1 << 40 } else { 0 }), 5))
        }
        Encoding::Dictionary => (PhysicalType::Uuid, (0..ROWS).map(|i| Datum::Uuid([(i % 7) as u8; 16])).collect()),
        Encoding::Fsst | Encoding::Phrases => {
            (PhysicalType::Text, text(|i| format!("final deposits {} sleep, é {}", i * 31 % 97, i % 13)))
        }
        Encoding::Plain => (PhysicalType::Bytes, (0..ROWS).map(|i| Datum::Bytes(vec![i as u8; i % 5])).collect()),
        // A few NULLs stay in the body.
        Encoding::Delta => (PhysicalType::Int64, some(ints(|i| i * 1000 + i * 7919 % 13), 100)),
        Encoding::Jumps => (
            PhysicalType::Timestamp,
            (0..ROWS as i64).map(|i| Datum::Timestamp(i % 170 * 1_000_000 + i * 7919 % 999)).collect(),
        ),
        Encoding::Runs => (PhysicalType::Int64, ints(|i| i / 9 * 25)),
        Encoding::Sparse => {
            (PhysicalType::Text, text(|i| if i * 7919 % 40 == 3 { format!("error {i}") } else { "ok".into() }))
        }
        Encoding::Alp => {
            (PhysicalType::Float64, floats(|i| if i == 77.0 { f64::NAN } else { (i * 7.0) % 1000.0 / 100.0 }))
        }
        // Two series, and exceptions of both kinds.
        Encoding::AlpDelta => (
            PhysicalType::Float64,
            floats(|i| if i == 77.0 { f64::NAN } else { ((i * 7.0) % 13.0 + i + (i / 500.0).floor() * 1e6) / 100.0 }),
        ),
        Encoding::AlpRd => (PhysicalType::Float64, floats(|i| (i + 3.0).sqrt())),
        Encoding::Words => (PhysicalType::Text, text(|i| format!("https://example.org/{}", i * 7919 % 50))),
        Encoding::Zstd => {
            (PhysicalType::Text, text(|i| format!("{{\"id\": {i}, \"tags\": [\"a\", \"b\"], \"ok\": true}}")))
        }
        Encoding::Stencil => (PhysicalType::Bytes, (0..ROWS).map(|i| Datum::Bytes(index_entry(i / 7, i))).collect()),
        Encoding::Planes => (PhysicalType::Int64, ints(|i| i * i * 31)),
    }
}

/// An entry of an index: a number, and the number its row is found by.
fn index_entry(number: usize, row: usize) -> Vec<u8> {
    [&[1][..], &(number as u32).to_be_bytes(), &[1], &(row as u64).to_be_bytes()].concat()
}

/// `length u32 | block | (length u32 | section)*`
fn packed(block: &[u8], sections: &[Vec<u8>]) -> Vec<u8> {
    let parts = std::iter::once(block).chain(sections.iter().map(Vec::as_slice));
    parts.flat_map(|part| [&(part.len() as u32).to_le_bytes()[..], part].concat()).collect()
}

fn unpacked(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let (part, after) = rest.split_at(u32::from_le_bytes(*len) as usize);
        parts.push(part.to_vec());
        bytes = after;
    }
    parts
}

#[allow(clippy::disallowed_methods)] // a test's own fixtures
fn fixture(encoding: Encoding) -> Vec<Vec<u8>> {
    if std::env::var_os("HELIOSDB_WRITE_FIXTURES").is_some() {
        let (physical, values) = column_for(encoding);
        let (block, sections) = encode(&array_of(&values, physical), physical, forced(encoding)).unwrap();
        std::fs::write(path(encoding), packed(&block.bytes, &sections)).unwrap();
    }
    unpacked(&std::fs::read(path(encoding)).unwrap())
}

#[test]
fn blocks_of_version_1_are_read() {
    for encoding in Encoding::ALL {
        let parts = fixture(encoding);
        let (physical, values) = column_for(encoding);
        let shared = shared(&parts[1..], physical);
        let view = BlockView::open_with(parts[0].clone().into(), physical, ROWS, &shared).unwrap();
        assert_eq!(view.encoding(), encoding);
        assert_eq!(&view.decode(0..ROWS).unwrap(), &array_of(&values, physical), "{encoding:?}");
        let mut scratch = Vec::new();
        for row in (0..ROWS).step_by(17) {
            assert!(same(&view.get(row, &mut scratch).unwrap(), &values[row].as_ref()), "{encoding:?} row {row}");
        }
    }
}

/// Mutation fuzzing with the fixtures as corpus: several bytes at a time, in blocks and in shared sections.
/// `HELIOSDB_FUZZ_ROUNDS` (and `HELIOSDB_SEED`) make it as long as wanted; a failure prints both.
#[test]
fn mutated_fixtures_never_panic() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, seed) = (number("HELIOSDB_FUZZ_ROUNDS", 40), number("HELIOSDB_SEED", 1));
    let mut opened = 0_usize;
    for encoding in Encoding::ALL {
        let parts = fixture(encoding);
        let (physical, _) = column_for(encoding);
        for round in 0..rounds {
            let mut rng = StdRng::seed_from_u64(seed + round);
            let mut parts = parts.clone();
            for _ in 0..rng.random_range(1..4) {
                let part = rng.random_range(0..parts.len());
                damage(&mut parts[part], &mut rng);
            }
            let sections = parts[1..].iter().map(|part| part.clone().into());
            let outcome = std::panic::catch_unwind(|| {
                let Ok(shared) = Shared::open(sections, physical) else { return false };
                use_damaged(parts[0].clone(), physical, ROWS, &shared);
                true
            });
            let command = "cargo test -p heliosdb-hcc mutated";
            assert!(outcome.is_ok(), "{encoding:?}: HELIOSDB_FUZZ_ROUNDS=1 HELIOSDB_SEED={} {command}", seed + round);
            opened += usize::from(outcome.is_ok_and(|opened| opened));
        }
    }
    assert!(opened > 0, "nothing got past the headers");
}
