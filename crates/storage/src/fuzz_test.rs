//! Mutated bytes for what storage reads back: an error or a value, never a panic, never memory by an unchecked count.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_runtime::{Disk, OpenMode, SimDisk};

use crate::delete_vector::DeleteVector;
use crate::log::{decode_counter, decode_ops};
use crate::manifest::{Manifest, read_current, swap_manifest, write_manifest};

#[path = "../../../fuzz/driver.rs"]
pub(crate) mod driver;

use driver::fuzz;

#[test]
fn fuzz_log_ops() {
    let fixture = include_bytes!("../tests/fixtures/log-ops-v1.bin").to_vec();
    fuzz("log_ops", &[fixture], &[], |bytes| {
        let bytes = Bytes::copy_from_slice(bytes);
        let _ = (decode_ops(&bytes, "input"), decode_counter(&bytes, "input"));
    });
}

#[test]
fn fuzz_deletes() {
    let deletes = DeleteVector::default();
    for (row, ts) in [(3, 10), (4, 20), (70_000, 30), (70_001, 30)] {
        deletes.delete(row, heliosdb_types::CommitTs(ts));
    }
    let mut image = Vec::new();
    deletes.image(heliosdb_types::CommitTs(40)).encode(&mut image);
    fuzz("deletes", &[image], &[], |bytes| {
        let _ = crate::delete_vector::DeleteImage::decode(&Bytes::copy_from_slice(bytes), "input");
    });
}

/// Header and checksum made sound again, so that what is behind them is reached.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    file.resize(file.len().max(20), 0);
    let (len, crc) = ((file.len() - 20) as u32, crc32c::crc32c(&file[20..]));
    file[12..16].copy_from_slice(&len.to_le_bytes());
    file[16..20].copy_from_slice(&crc.to_le_bytes());
    file
}

#[test]
fn fuzz_manifest() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    disk.create_dir("manifest").unwrap();
    write_manifest(&disk, &Manifest { number: 1, ..Manifest::empty() }).unwrap();
    swap_manifest(&disk, &Manifest { number: 1, ..Manifest::empty() }).unwrap();
    let path = format!("manifest/{:010}", 1);
    let sound = disk.read(&path).unwrap();
    assert!(sealed(&sound) == sound, "the header is as this test believes");
    fuzz("manifest", &[sound], &[], |bytes| {
        let file = disk.open(&path, OpenMode::Create).unwrap();
        file.truncate(0).unwrap();
        file.write_at(&sealed(bytes), 0).unwrap();
        file.sync_all().unwrap();
        let _ = read_current(&disk);
    });
}
