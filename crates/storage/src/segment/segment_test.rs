//! Segments against the rows they were written from; damage anywhere is an error or changes nothing.

use std::sync::Arc;

use arrow_array::ArrayRef;
use bytes::Bytes;
use heliosdb_contracts::{
    ColumnDescriptor, ScanMetrics, TreeDescriptor, TreeDescriptorRef, TreeKey, datum_at, row_id_key,
};
use heliosdb_hcc::{Bitmap, Filter, Predicate};
use heliosdb_runtime::{Disk, OpenMode, SimDisk};
use heliosdb_types::{
    ColumnId, CommitTs, DatabaseId, Datum, DatumRef, ErrorKind, PhysicalType, Result, SchemaVersion, SegmentId, TreeId,
    TreeRef, encode_key,
};

use super::format::{Place, TRAILER_BYTES, read_trailer, trailer};
use super::writer::SegmentFile;
use super::{BlockScan, CommitStamp, SegmentOptions, SegmentReader, SegmentWriter};
use crate::cache::BlockCache;
use crate::read::{ColumnBuilder, ColumnFilter};

use crate::fuzz_test::driver;

const PATH: &str = "segments/1.seg";

struct Row {
    values: Vec<Datum>,
    key: Bytes,
    begin: CommitTs,
}

fn descriptor(key: TreeKey) -> TreeDescriptorRef {
    let column = |id, physical, nullable| ColumnDescriptor { id: ColumnId(id), physical, nullable, missing: None };
    Arc::new(TreeDescriptor {
        tree: TreeRef::new(DatabaseId(5), TreeId(1100)),
        version: SchemaVersion(1),
        columns: vec![
            column(1, PhysicalType::Text, false),
            column(2, PhysicalType::Int64, false),
            column(3, PhysicalType::Decimal64 { precision: 12, scale: 2 }, true),
            column(4, PhysicalType::Text, true),
        ],
        key,
        sort: None,
    })
}

/// Keys (region, number), every seventh with three versions.
fn rows(descriptor: &TreeDescriptor, count: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for number in 0..count {
        for version in (0..if number % 7 == 3 { 3 } else { 1 }).rev() {
            let region = format!("region-{}", number * 4 / count);
            let values = vec![
                Datum::Text(region),
                Datum::Int64(number as i64 * 3),
                if number % 11 == 0 {
                    Datum::Null
                } else {
                    Datum::Decimal { unscaled: i128::from(number * 100 + version), scale: 2 }
                },
                Datum::Text(format!("comment {} of version {version}, quietly final", number % 97)),
            ];
            let mut key = Vec::new();
            match &descriptor.key {
                TreeKey::RowId => key.extend_from_slice(&row_id_key(number * 2)),
                TreeKey::Columns(ids) => ids.iter().for_each(|id| {
                    encode_key(&mut key, values[descriptor.position(*id).unwrap()].as_ref(), false);
                }),
            }
            rows.push(Row { values, key: key.into(), begin: CommitTs(1000 + number % 50 + version * 100) });
        }
    }
    rows
}

fn columns_of(descriptor: &TreeDescriptor, rows: &[Row]) -> Vec<ArrayRef> {
    let column = |(at, column): (usize, &ColumnDescriptor)| {
        let mut builder = ColumnBuilder::new(column.physical, rows.len());
        rows.iter().for_each(|row| builder.append(row.values[at].as_ref()).unwrap());
        builder.finish()
    };
    descriptor.columns.iter().enumerate().map(column).collect()
}

fn write(disk: &Arc<dyn Disk>, descriptor: &TreeDescriptorRef, rows: &[Row], stamp: CommitStamp) -> SegmentFile {
    disk.create_dir("segments").unwrap();
    let options = SegmentOptions { block_rows: 500, stamp, ..Default::default() };
    let mut writer = SegmentWriter::new(disk.clone(), PATH, descriptor.clone(), options).unwrap();
    for part in rows.chunks(333) {
        let keys: Vec<Bytes> = part.iter().map(|row| row.key.clone()).collect();
        let begin: Vec<CommitTs> = match stamp {
            CommitStamp::PerRow => part.iter().map(|row| row.begin).collect(),
            CommitStamp::Shared => Vec::new(),
        };
        writer.push(&columns_of(descriptor, part), &keys, &begin).unwrap();
    }
    writer.finish().unwrap()
}

fn open(disk: &dyn Disk, file: &SegmentFile) -> Result<Arc<SegmentReader>> {
    SegmentReader::open(disk, PATH, SegmentId(1), file.file_bytes, BlockCache::new(4 << 20))
}

fn columns_key() -> TreeKey {
    TreeKey::Columns(vec![ColumnId(1), ColumnId(2)])
}

fn all_ids() -> Vec<ColumnId> {
    (1..=4).map(ColumnId).collect()
}

fn read_row(reader: &SegmentReader, row: u32, descriptor: &TreeDescriptor, ids: &[ColumnId]) -> Vec<Datum> {
    let mut out = Vec::new();
    reader
        .read_row(row, descriptor, ids, &mut |values| {
            out = values.iter().map(DatumRef::to_owned).collect();
            Ok(())
        })
        .unwrap();
    out
}

/// Keys without gaps have no filter, and are found, or not, all the same.
#[test]
fn keys_without_gaps_do_without_a_filter() {
    for (step, filtered) in [(1, false), (3, true)] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
        let descriptor = descriptor(TreeKey::Columns(vec![ColumnId(2)]));
        let mut rows = rows(&descriptor, 2000);
        rows.retain(|row| !matches!(row.values[1], Datum::Int64(number) if number % 60 == 57));
        for row in &mut rows {
            let Datum::Int64(number) = row.values[1] else { panic!("not the key") };
            row.values[1] = Datum::Int64(number / 3 * step - 700);
            let mut key = Vec::new();
            encode_key(&mut key, row.values[1].as_ref(), false);
            row.key = key.into();
        }
        let reader = open(disk.as_ref(), &write(&disk, &descriptor, &rows, CommitStamp::PerRow)).unwrap();
        assert_eq!(reader.info().bloom.is_some(), filtered);
        for number in -720..6100 {
            let mut key = Vec::new();
            encode_key(&mut key, DatumRef::Int64(number), false);
            let expected = rows.iter().filter(|row| row.key == key).count();
            assert_eq!(reader.find(&key).unwrap().len(), expected, "{number}");
        }
    }
}

#[test]
fn rows_are_found_and_read() {
    for (key, stamp) in [
        (columns_key(), CommitStamp::PerRow),
        (TreeKey::RowId, CommitStamp::PerRow),
        (TreeKey::RowId, CommitStamp::Shared),
    ] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
        let descriptor = descriptor(key);
        let mut rows = rows(&descriptor, 2000);
        if stamp == CommitStamp::Shared {
            rows.dedup_by(|a, b| a.key == b.key);
        }
        let file = write(&disk, &descriptor, &rows, stamp);
        assert_eq!(
            (file.rows as usize, &file.min_key, &file.max_key),
            (rows.len(), &rows[0].key, &rows[rows.len() - 1].key)
        );
        assert_eq!(file.file_bytes, disk.open(PATH, OpenMode::Read).unwrap().len().unwrap());
        let reader = open(disk.as_ref(), &file).unwrap();
        assert_eq!(file.file_checksum, u64::from(crc32c::crc32c(&disk.read(PATH).unwrap())));
        for at in (0..rows.len()).step_by(37) {
            let row = &rows[at];
            let found = reader.find(&row.key).unwrap();
            assert!(found.contains(&(at as u32)));
            assert!(found.clone().all(|at| rows[at as usize].key == row.key));
            assert_eq!(found.len(), rows.iter().filter(|other| other.key == row.key).count());
            let begin = (stamp == CommitStamp::PerRow).then_some(row.begin);
            assert_eq!(reader.begin_ts(at as u32).unwrap(), begin);
            let mut key = Vec::new();
            reader.key_of(at as u32, &mut key).unwrap();
            assert_eq!(key, row.key);
            assert_eq!(read_row(&reader, at as u32, &descriptor, &all_ids()), row.values);
            let mut absent = row.key.to_vec();
            *absent.last_mut().unwrap() ^= 1;
            assert!(reader.find(&absent).unwrap().is_empty());
        }
        assert!(reader.read_row(file.rows, &descriptor, &all_ids(), &mut |_| Ok(())).is_err());
    }
}

#[test]
fn ranges_of_keys_are_found_whatever_their_length() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(4));
    let descriptor = descriptor(columns_key());
    let rows = rows(&descriptor, 1300);
    let file = write(&disk, &descriptor, &rows, CommitStamp::PerRow);
    let reader = open(disk.as_ref(), &file).unwrap();
    let at = |key: &[u8]| rows.partition_point(|row| row.key.as_ref() < key) as u32;
    let mut bounds: Vec<Bytes> = rows.iter().step_by(37).map(|row| row.key.clone()).collect();
    // Between two keys, below the first and above the last.
    bounds.extend(rows.iter().step_by(211).map(|row| Bytes::from([row.key.as_ref(), &[0]].concat())));
    bounds.extend([Bytes::new(), Bytes::from_static(&[0xFF; 30])]);
    for lower in &bounds {
        assert_eq!(reader.rows_between(lower, None).unwrap(), at(lower)..rows.len() as u32);
        for upper in &bounds {
            let expected = at(lower)..at(upper).max(at(lower));
            assert_eq!(reader.rows_between(lower, Some(upper)).unwrap(), expected, "{lower:?} to {upper:?}");
        }
    }
}

#[test]
fn ranges_of_entries_are_found_whatever_their_bytes() {
    let column = ColumnDescriptor { id: ColumnId(1), physical: PhysicalType::Bytes, nullable: false, missing: None };
    let key = TreeKey::Columns(vec![ColumnId(1)]);
    let descriptor = Arc::new(TreeDescriptor { columns: vec![column], ..(*descriptor(key)).clone() });
    let of_one_length = |n: u16| [&[1], &n.to_be_bytes()[..], &[0, 7, (n % 3) as u8]].concat();
    let ragged = |n: u16| [&n.to_be_bytes()[..], &vec![0; usize::from(n % 4)]].concat();
    let texts = |n: u16| format!("customer {n:05}, somewhere in {}", ["town", "the country"][usize::from(n % 2)]);
    let kinds: [&dyn Fn(u16) -> Vec<u8>; 3] = [&of_one_length, &ragged, &|n| texts(n).into_bytes()];
    for (disk, entry) in kinds.iter().enumerate() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(disk as u64));
        let row = |n: u16| {
            let values = vec![Datum::Bytes(entry(n))];
            let mut key = Vec::new();
            encode_key(&mut key, values[0].as_ref(), false);
            Row { values, key: key.into(), begin: CommitTs(1000) }
        };
        let rows: Vec<Row> = (0..1300).map(row).collect();
        let reader = open(disk.as_ref(), &write(&disk, &descriptor, &rows, CommitStamp::Shared)).unwrap();
        let at = |key: &[u8]| rows.partition_point(|row| row.key.as_ref() < key) as u32;
        let mut bounds: Vec<Vec<u8>> = vec![vec![], vec![1], vec![2], vec![0xFF; 30]];
        for row in rows.iter().step_by(83).chain(rows.last()) {
            // What begins so, the key itself, what comes right after it, and what is no key's beginning.
            bounds.extend((1..=row.key.len()).map(|len| row.key[..len].to_vec()));
            bounds.push([row.key.as_ref(), &[0]].concat());
            bounds.push([&row.key[..row.key.len() - 2], &[0, 9]].concat());
            bounds.push([&row.key[..row.key.len() - 2], &[200]].concat());
        }
        for (n, lower) in bounds.iter().enumerate() {
            assert_eq!(reader.rows_between(lower, None).unwrap(), at(lower)..1300, "from {lower:?}");
            for upper in bounds.iter().skip(n % 13).step_by(13) {
                let expected = at(lower)..at(upper).max(at(lower));
                assert_eq!(reader.rows_between(lower, Some(upper)).unwrap(), expected, "{lower:?} to {upper:?}");
            }
        }
    }
}

#[test]
fn blocks_come_back_whole() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
    let descriptor = descriptor(columns_key());
    let rows = rows(&descriptor, 1200);
    let reader = open(disk.as_ref(), &write(&disk, &descriptor, &rows, CommitStamp::PerRow)).unwrap();
    let mut at = 0;
    for block in 0..reader.info().block_count() {
        let full = reader.read_block(block).unwrap();
        assert_eq!(full.first_row as usize, at);
        let part = &rows[at..at + full.keys.len()];
        assert_eq!(full.columns, columns_of(&descriptor, part));
        assert!(full.keys.iter().eq(part.iter().map(|row| row.key.as_ref())));
        assert!(full.begin.iter().eq(part.iter().map(|row| &row.begin)));
        at += part.len();
    }
    assert_eq!(at, rows.len());
}

#[test]
fn scans_filter_see_and_prune() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
    let written = descriptor(columns_key());
    let rows = rows(&written, 3000);
    let reader = open(disk.as_ref(), &write(&disk, &written, &rows, CommitStamp::PerRow)).unwrap();
    // A later version of the tree has one column more.
    let mut later = TreeDescriptor::clone(&written);
    later.columns.push(ColumnDescriptor {
        id: ColumnId(9),
        physical: PhysicalType::Int32,
        nullable: true,
        missing: Some(Datum::Int32(77)),
    });
    let filter = |id, physical, predicate: Predicate<'_>| ColumnFilter {
        column: ColumnId(id),
        filter: Filter::compile(&predicate, physical).unwrap(),
        tally: Default::default(),
    };
    let (low, seventy_seven) = (Datum::Int64(2400), Datum::Int32(77));
    let filters = [
        filter(2, PhysicalType::Int64, Predicate::Compare(heliosdb_hcc::CompareOp::Lt, &low)),
        filter(4, PhysicalType::Text, Predicate::Contains("5 of")),
        filter(9, PhysicalType::Int32, Predicate::Compare(heliosdb_hcc::CompareOp::Eq, &seventy_seven)),
    ];
    let projection = [ColumnId(9), ColumnId(4), ColumnId(3)];
    let as_of = CommitTs(1130);
    let scan = BlockScan {
        descriptor: &later,
        projection: &projection,
        filters: &filters,
        bound: None,
        as_of,
        want_keys: true,
    };
    let metrics = ScanMetrics::default();
    let hidden = |row: u32| row % 10 == 4;
    let mut got: Vec<(u32, Bytes, Vec<Datum>)> = Vec::new();
    for block in 0..reader.info().block_count() {
        let first = reader.block_range(block).start;
        let mut visible = |selection: &mut Bitmap| {
            (0..selection.len()).filter(|row| hidden(first + *row as u32)).for_each(|row| selection.clear(row));
            Ok(())
        };
        let Some(scanned) = reader.scan_block(block, &scan, &mut visible, &metrics).unwrap() else { continue };
        let keys = scanned.keys.as_ref().unwrap();
        assert_eq!(keys.len(), scanned.rows);
        for (at, position) in scanned.positions().enumerate() {
            let types = [PhysicalType::Int32, PhysicalType::Text, PhysicalType::Decimal64 { precision: 12, scale: 2 }];
            let values = scanned
                .columns
                .iter()
                .zip(types)
                .map(|(array, t)| datum_at(array, at, t).unwrap().to_owned())
                .collect();
            got.push((position, Bytes::copy_from_slice(keys.get(at)), values));
        }
    }
    let expected: Vec<(u32, Bytes, Vec<Datum>)> = rows
        .iter()
        .enumerate()
        .filter(|(at, row)| {
            let Datum::Text(comment) = &row.values[3] else { return false };
            let Datum::Int64(number) = row.values[1] else { return false };
            number < 2400 && comment.contains("5 of") && row.begin <= as_of && !hidden(*at as u32)
        })
        .map(|(at, row)| {
            (at as u32, row.key.clone(), vec![Datum::Int32(77), row.values[3].clone(), row.values[2].clone()])
        })
        .collect();
    assert!(expected.len() > 10);
    assert_eq!(got, expected);
    let counters: std::collections::HashMap<_, _> = metrics.counters().into_iter().collect();
    assert!(counters["blocks_skipped"] >= 4 && counters["blocks_read"] >= 1, "{counters:?}");
    assert!(counters["bytes_read"] >= counters["bytes_from_disk"] && counters["bytes_from_disk"] > 0);
    assert_eq!(counters["rows_out"], expected.len() as u64);
    assert_eq!(read_row(&reader, 0, &later, &[ColumnId(9)]), [Datum::Int32(77)]);
    // A constant of the younger column that does not match drops every block unread.
    let other = Datum::Int32(78);
    let filters = [filter(9, PhysicalType::Int32, Predicate::Compare(heliosdb_hcc::CompareOp::Eq, &other))];
    let scan = BlockScan { filters: &filters, ..scan };
    assert!((0..reader.info().block_count()).all(|block| !reader.block_may_match(block, &scan)));
}

#[test]
fn rows_that_are_left_are_read_the_same_however_many_are_hidden() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
    let written = descriptor(columns_key());
    let rows = rows(&written, 1200);
    let reader = open(disk.as_ref(), &write(&disk, &written, &rows, CommitStamp::PerRow)).unwrap();
    let ids = all_ids();
    let scan = BlockScan {
        descriptor: &written,
        projection: &ids,
        filters: &[],
        bound: None,
        as_of: CommitTs(5000),
        want_keys: false,
    };
    // None, one in a hundred, in ten, in four, in two, and all but one in a hundred.
    let shares: [fn(u32) -> bool; 6] = [
        |_| false,
        |row| row % 100 == 7,
        |row| row % 10 == 4,
        |row| row % 4 == 0,
        |row| row % 2 == 1,
        |row| row % 100 != 7,
    ];
    for (share, hidden) in shares.iter().enumerate() {
        let mut seen = 0;
        for block in 0..reader.info().block_count() {
            let range = reader.block_range(block);
            let mut visible = |selection: &mut Bitmap| {
                range.clone().filter(|row| hidden(*row)).for_each(|row| selection.clear((row - range.start) as usize));
                Ok(())
            };
            let found = reader.scan_block(block, &scan, &mut visible, &ScanMetrics::default()).unwrap().unwrap();
            let left: Vec<u32> = range.clone().filter(|row| !hidden(*row)).collect();
            assert_eq!(found.positions().collect::<Vec<_>>(), left, "share {share}");
            for (at, row) in left.iter().enumerate() {
                let values = found.columns.iter().zip(&written.columns);
                let values = values.map(|(array, column)| datum_at(array, at, column.physical).unwrap().to_owned());
                assert_eq!(values.collect::<Vec<_>>(), rows[*row as usize].values, "share {share}, row {row}");
            }
            seen += left.len();
        }
        assert_eq!(seen, (0..rows.len() as u32).filter(|row| !hidden(*row)).count());
    }
}

#[test]
fn large_values_make_small_blocks() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
    let descriptor = descriptor(columns_key());
    let mut rows = rows(&descriptor, 30);
    for (at, row) in rows.iter_mut().enumerate().skip(10) {
        row.values[3] = Datum::Text(char::from(b'a' + at as u8 % 26).to_string().repeat(900_000));
    }
    let reader = open(disk.as_ref(), &write(&disk, &descriptor, &rows, CommitStamp::PerRow)).unwrap();
    assert!(reader.info().block_count() > 5, "{} blocks", reader.info().block_count());
    assert!((0..reader.info().block_count()).map(|block| reader.block_range(block).len()).sum::<usize>() == rows.len());
    for (at, row) in rows.iter().enumerate() {
        assert!(reader.find(&row.key).unwrap().contains(&(at as u32)));
        assert!(read_row(&reader, at as u32, &descriptor, &all_ids()) == row.values, "row {at}");
    }
}

#[test]
fn rows_out_of_order_and_foreign_keys_are_refused() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
    disk.create_dir("segments").unwrap();
    let descriptor = descriptor(columns_key());
    let rows = rows(&descriptor, 10);
    let push = |order: &[usize], key_of: usize| {
        let path = format!("segments/{order:?}-{key_of}");
        let mut writer =
            SegmentWriter::new(disk.clone(), &path, descriptor.clone(), SegmentOptions::default()).unwrap();
        let picked: Vec<Row> = order
            .iter()
            .map(|at| Row { values: rows[*at].values.clone(), key: rows[*at].key.clone(), begin: rows[*at].begin })
            .collect();
        let mut keys: Vec<Bytes> = picked.iter().map(|row| row.key.clone()).collect();
        keys[0] = rows[key_of].key.clone();
        let begin: Vec<CommitTs> = picked.iter().map(|row| row.begin).collect();
        writer.push(&columns_of(&descriptor, &picked), &keys, &begin)
    };
    assert!(push(&[0, 1, 2], 0).is_ok());
    assert!(push(&[1, 0], 1).is_err());
    assert!(push(&[1, 1], 1).is_err());
    assert!(push(&[1, 2, 3], 0).is_err());
    let empty =
        SegmentWriter::new(disk.clone(), "segments/empty", descriptor.clone(), SegmentOptions::default()).unwrap();
    assert!(empty.finish().is_err());
}

/// Everything a reader can be asked, as text; an error is only accepted if it says that bytes are damaged.
fn everything(disk: &dyn Disk, file: &SegmentFile, descriptor: &TreeDescriptor, key: &[u8]) -> Result<String> {
    let reader = open(disk, file)?;
    let mut out = format!("{:?}", reader.find(key)?);
    for block in 0..reader.info().block_count() {
        let full = reader.read_block(block)?;
        out += &format!("{:?} {:?} {:?}", full.columns, full.keys, full.begin);
    }
    let ids = all_ids();
    let scan =
        BlockScan { descriptor, projection: &ids, filters: &[], bound: None, as_of: CommitTs(1050), want_keys: false };
    for block in 0..reader.info().block_count() {
        let scanned = reader.scan_block(block, &scan, &mut |_| Ok(()), &ScanMetrics::default())?;
        out += &format!("{:?}", scanned.map(|scanned| (scanned.rows, scanned.columns)));
    }
    Ok(out)
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let disk = SimDisk::new(11);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let descriptor = descriptor(columns_key());
    let rows = rows(&descriptor, 600);
    let file = write(&shared, &descriptor, &rows, CommitStamp::PerRow);
    let key = rows[123].key.clone();
    let sound = everything(&disk, &file, &descriptor, &key).unwrap();
    let mut noticed = 0;
    // Every byte of the trailer and the footer's end, and a spread over the rest.
    let last = file.file_bytes - 64;
    for at in (0..last).step_by(71).chain(last..file.file_bytes) {
        disk.flip_bit(PATH, at, (at % 8) as u8).unwrap();
        match everything(&disk, &file, &descriptor, &key) {
            Ok(answer) => assert!(answer == sound, "byte {at} changes the answer"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.message().contains("1.seg") && error.message().contains("offset"), "{error}");
                noticed += 1;
            }
        }
        disk.flip_bit(PATH, at, (at % 8) as u8).unwrap();
    }
    assert!(noticed > 80, "only {noticed} flips were noticed");
    let short = SegmentFile { file_bytes: file.file_bytes - 1, ..file.clone() };
    assert_eq!(open(&disk, &short).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(everything(&disk, &file, &descriptor, &key).unwrap(), sound);
}

/// Footers that pass their checksum and make no sense: an error or other values, never a panic.
#[test]
fn fuzz_segment() {
    let disk = SimDisk::new(11);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let descriptor = descriptor(columns_key());
    let rows = rows(&descriptor, 60);
    let file = write(&shared, &descriptor, &rows, CommitStamp::PerRow);
    let sound = disk.read(PATH).unwrap();
    let (body, tail) = sound.split_at(sound.len() - TRAILER_BYTES);
    let place = read_trailer(tail.try_into().unwrap(), PATH, sound.len() as u64).unwrap();
    let (data, footer) = body.split_at(place.offset as usize);
    driver::fuzz("segment", &[footer.to_vec()], &[], |footer| {
        let place = Place { offset: data.len() as u64, len: footer.len() as u32, crc: crc32c::crc32c(footer) };
        let whole = [data, footer, &trailer(&place)].concat();
        let handle = disk.open(PATH, OpenMode::Create).unwrap();
        handle.truncate(0).unwrap();
        handle.write_at(&whole, 0).unwrap();
        let file = SegmentFile { file_bytes: whole.len() as u64, ..file.clone() };
        let _ = everything(&disk, &file, &descriptor, &rows[20].key);
    });
}

/// Files written by earlier versions stay readable. `HELIOSDB_WRITE_FIXTURES=1` writes the file again; that is only right
/// for a new format version, under a new name.
#[test]
fn a_file_of_format_version_2_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/segment-v2.seg");
    let descriptor = descriptor(columns_key());
    let rows = rows(&descriptor, 700);
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(3));
    if std::env::var_os("HELIOSDB_WRITE_FIXTURES").is_some() {
        write(&disk, &descriptor, &rows, CommitStamp::PerRow);
        #[allow(clippy::disallowed_methods)] // a test's own fixture
        std::fs::write(path, disk.read(PATH).unwrap()).unwrap();
        disk.remove(PATH).unwrap();
    }
    #[allow(clippy::disallowed_methods)]
    let bytes = std::fs::read(path).unwrap();
    disk.create_dir("segments").unwrap();
    disk.open(PATH, OpenMode::Create).unwrap().write_at(&bytes, 0).unwrap();
    let reader =
        SegmentReader::open(disk.as_ref(), PATH, SegmentId(1), bytes.len() as u64, BlockCache::new(1 << 20)).unwrap();
    assert_eq!((reader.rows() as usize, &reader.info().descriptor), (rows.len(), &descriptor));
    for (at, row) in rows.iter().enumerate() {
        assert!(reader.find(&row.key).unwrap().contains(&(at as u32)));
        assert_eq!(reader.begin_ts(at as u32).unwrap(), Some(row.begin));
        assert_eq!(read_row(&reader, at as u32, &descriptor, &all_ids()), row.values);
    }
}

/// Version 1, which nothing released ever wrote, and a newer one are refused by name instead of being misread.
#[test]
fn files_of_other_format_versions_are_refused() {
    let disk = Arc::new(SimDisk::new(3));
    let shared: Arc<dyn Disk> = disk.clone();
    let descriptor = descriptor(columns_key());
    let file = write(&shared, &descriptor, &rows(&descriptor, 10), CommitStamp::PerRow);
    for version in [1_u32, 3] {
        let mut trailer = disk.read(PATH).unwrap().split_off(file.file_bytes as usize - 32);
        trailer[16..20].copy_from_slice(&version.to_le_bytes());
        let crc = crc32c::crc32c(&trailer[..20]);
        trailer[20..24].copy_from_slice(&crc.to_le_bytes());
        disk.open(PATH, OpenMode::Write).unwrap().write_at(&trailer, file.file_bytes - 32).unwrap();
        let error = open(disk.as_ref(), &file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let named = format!("version {version}, this program knows 2");
        assert!(error.message().contains(&named), "{error}");
    }
}

#[test]
fn hcc_and_contracts_agree_on_arrow_types() {
    for physical in [
        PhysicalType::Bool,
        PhysicalType::Int16,
        PhysicalType::Int32,
        PhysicalType::Int64,
        PhysicalType::Float32,
        PhysicalType::Float64,
        PhysicalType::Decimal64 { precision: 9, scale: 3 },
        PhysicalType::Decimal128 { precision: 30, scale: 3 },
        PhysicalType::Numeric,
        PhysicalType::Text,
        PhysicalType::Bytes,
        PhysicalType::Date,
        PhysicalType::Time,
        PhysicalType::Timestamp,
        PhysicalType::TimestampTz,
        PhysicalType::Interval,
        PhysicalType::Uuid,
    ] {
        assert_eq!(heliosdb_hcc::arrow_type(physical), heliosdb_contracts::arrow_type(physical));
    }
}
