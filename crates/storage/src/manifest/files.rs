//! The files a manifest lives in, and those it names.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_runtime::{Disk, OpenMode, failpoint};
use heliosdb_types::{Error, Result, SegmentId};

use super::{DeletesPlace, Manifest, check, format};
use crate::delete_vector::DeleteImage;

const CURRENT: &str = "CURRENT";
const CURRENT_NEXT: &str = "CURRENT.tmp";
const CURRENT_MAGIC: &str = "heliosdb-current-1";

/// Directories of a shard, relative to its disk's root.
pub(crate) struct ManifestFiles;

impl ManifestFiles {
    pub const MANIFESTS: &'static str = "manifest";
    pub const SEGMENTS: &'static str = "segments";
    pub const DELETES: &'static str = "deletes";
}

pub(crate) fn manifest_path(number: u64) -> String {
    format!("{}/{number:010}", ManifestFiles::MANIFESTS)
}

/// The number in a manifest's name.
pub(crate) fn manifest_number(name: &str) -> Option<u64> {
    if name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit()) { name.parse().ok() } else { None }
}

pub(crate) fn segment_path(id: SegmentId) -> String {
    format!("{}/{:012}.seg", ManifestFiles::SEGMENTS, id.0)
}

/// The id in a segment file's name.
pub(crate) fn segment_id_of(name: &str) -> Option<SegmentId> {
    name.strip_suffix(".seg").and_then(|id| id.parse().ok()).map(SegmentId)
}

pub(crate) fn deletes_path(file: u64) -> String {
    format!("{}/{file:012}.del", ManifestFiles::DELETES)
}

/// The manifest that counts; `None` in a directory that never had one. Damage is an error, never another manifest.
pub(crate) fn read_current(disk: &Arc<dyn Disk>) -> Result<Option<Manifest>> {
    let manifest = read_current_unchecked(disk)?;
    manifest.iter().try_for_each(check)?;
    Ok(manifest)
}

/// As [`read_current`], for whoever names all invariants that are broken.
pub(crate) fn read_current_unchecked(disk: &Arc<dyn Disk>) -> Result<Option<Manifest>> {
    if !disk.exists(CURRENT)? {
        return Ok(None);
    }
    let path = disk.describe(CURRENT);
    let damaged = |why: &str| Error::corrupt(format!("file \"{path}\" {why} at offset 0"));
    let text = String::from_utf8(disk.read(CURRENT)?).map_err(|_| damaged("is not text"))?;
    let mut words = text.split_whitespace();
    let (magic, number, checksum) = (words.next(), words.next(), words.next());
    let number = match (magic, number, checksum) {
        (Some(CURRENT_MAGIC), Some(number), Some(checksum)) if words.next().is_none() => {
            if checksum != format!("{:08x}", crc32c::crc32c(number.as_bytes())) {
                return Err(damaged("fails its checksum"));
            }
            number.parse().map_err(|_| damaged("names no manifest"))?
        }
        _ => return Err(damaged("is not of the form written here")),
    };
    let name = manifest_path(number);
    if !disk.exists(&name)? {
        return Err(Error::corrupt(format!("manifest \"{}\", named by \"{path}\", is missing", disk.describe(&name))));
    }
    read_manifest(disk, number).map(Some)
}

/// The manifest of a number, whether it counts or not.
pub(crate) fn read_manifest(disk: &Arc<dyn Disk>, number: u64) -> Result<Manifest> {
    let name = manifest_path(number);
    let manifest = format::decode(disk.read(&name)?, &disk.describe(&name))?;
    if manifest.number != number {
        return Err(Error::corrupt(format!("manifest \"{}\" carries another number", disk.describe(&name))));
    }
    Ok(manifest)
}

/// What `CURRENT` says.
pub(crate) fn current_text(number: u64) -> String {
    let number = number.to_string();
    format!("{CURRENT_MAGIC} {number} {:08x}\n", crc32c::crc32c(number.as_bytes()))
}

/// Writes `manifest` and what `CURRENT` will be, synced, beside what counts. After an error the old one still counts and
/// nothing refers to what was written.
pub(crate) fn write_manifest(disk: &Arc<dyn Disk>, manifest: &Manifest) -> Result<()> {
    check(manifest)?;
    replace(disk, &manifest_path(manifest.number), &format::encode(manifest))?;
    disk.sync_dir(ManifestFiles::MANIFESTS)?;
    failpoint("manifest.written")?;
    replace(disk, CURRENT_NEXT, current_text(manifest.number).as_bytes())
}

fn replace(disk: &Arc<dyn Disk>, path: &str, bytes: &[u8]) -> Result<()> {
    let file = disk.open(path, OpenMode::Create)?;
    file.truncate(0)?;
    file.write_at(bytes, 0)?;
    file.sync_all()
}

/// Makes the manifest written the one that counts. Durable on return; after an error its fate is unknown.
pub(crate) fn swap_manifest(disk: &Arc<dyn Disk>, manifest: &Manifest) -> Result<()> {
    disk.rename(CURRENT_NEXT, CURRENT)?;
    disk.sync_dir("")?;
    failpoint("manifest.swapped")?;
    // The previous one stays for whoever examines a damaged directory; older ones go.
    for name in disk.list(ManifestFiles::MANIFESTS)? {
        if name.parse::<u64>().is_ok_and(|old| old + 1 < manifest.number) {
            disk.remove(&format!("{}/{name}", ManifestFiles::MANIFESTS))?;
        }
    }
    Ok(())
}

/// Files of version 1 begin with this and say no version.
pub(crate) const DELETES_MAGIC_1: &[u8; 8] = b"HELIOSDV";
/// Later ones: `magic 8 | version u32 | crc32c of the 12 bytes before u32`.
const DELETES_MAGIC: &[u8; 8] = b"HELIOSDW";
/// 2: a version in the header.
const DELETES_VERSION: u32 = 2;
const DELETES_HEADER: usize = 16;

fn deletes_header() -> Vec<u8> {
    let mut bytes = DELETES_MAGIC.to_vec();
    bytes.extend_from_slice(&DELETES_VERSION.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Where delete vectors may begin in a file with this header.
fn check_deletes_header(bytes: &[u8], path: &str) -> Result<u64> {
    let damaged = |why: &str| Error::corrupt(format!("file \"{path}\" {why} at offset 0"));
    if bytes.starts_with(DELETES_MAGIC_1) {
        return Ok(DELETES_MAGIC_1.len() as u64);
    }
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    let (Some(version), Some(checksum), Some(head)) = (word(8), word(12), bytes.get(..12)) else {
        return Err(damaged("is shorter than its header"));
    };
    if !bytes.starts_with(DELETES_MAGIC) || crc32c::crc32c(head) != checksum {
        return Err(damaged("does not begin as delete vectors do"));
    }
    if version != DELETES_VERSION {
        return Err(damaged(&format!("has version {version}, this program knows 1 to {DELETES_VERSION}")));
    }
    Ok(DELETES_HEADER as u64)
}

/// Writes delete vectors into one file, durably; their places are in the order given.
pub(crate) fn write_deletes(disk: &Arc<dyn Disk>, number: u64, images: &[DeleteImage]) -> Result<Vec<DeletesPlace>> {
    let mut bytes = deletes_header();
    let places = images.iter().map(|image| {
        let start = bytes.len();
        image.encode(&mut bytes);
        let part = &bytes[start..];
        let (len, checksum) = (part.len() as u32, crc32c::crc32c(part));
        DeletesPlace { file: number, offset: start as u64, len, checksum }
    });
    let places = places.collect();
    let path = deletes_path(number);
    let file = disk.open(&path, OpenMode::CreateNew)?;
    let written = file.write_at(&bytes, 0).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // On a full disk what is half written must not stay; elsewhere the next start removes it.
        let _ = disk.remove(&path);
        return Err(error);
    }
    disk.sync_dir(ManifestFiles::DELETES)?;
    Ok(places)
}

pub(crate) fn load_deletes(disk: &Arc<dyn Disk>, place: &DeletesPlace) -> Result<DeleteImage> {
    let file = disk.open(&deletes_path(place.file), OpenMode::Read)?;
    if place.offset.saturating_add(u64::from(place.len)) > file.len()? {
        return Err(Error::corrupt(format!("file \"{}\" ends before offset {}", file.path(), place.offset)));
    }
    let mut head = [0; DELETES_HEADER];
    let got = file.read_at(&mut head, 0)?;
    if place.offset < check_deletes_header(head.get(..got).unwrap_or_default(), file.path())? {
        return Err(Error::corrupt(format!(
            "file \"{}\" has no delete vector at offset {}",
            file.path(),
            place.offset
        )));
    }
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    if crc32c::crc32c(&bytes) != place.checksum {
        return Err(Error::corrupt(format!("file \"{}\" fails its checksum at offset {}", file.path(), place.offset)));
    }
    DeleteImage::decode(&Bytes::from(bytes), &format!("file \"{}\"", file.path()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // fixtures are files of the source tree
mod tests {
    use heliosdb_runtime::SimDisk;
    use heliosdb_types::{CommitTs, ErrorKind};
    use roaring::RoaringBitmap;

    use super::*;

    fn image() -> DeleteImage {
        DeleteImage { rows: RoaringBitmap::from_iter([1, 5, 9, 70_000]), tail: vec![(CommitTs(10), 5)] }
    }

    fn fixture(name: &str, header: Vec<u8>) -> (Arc<dyn Disk>, DeletesPlace) {
        let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut part = Vec::new();
        image().encode(&mut part);
        if std::env::var_os("HELIOSDB_REWRITE").is_some() {
            std::fs::write(&path, [header.clone(), part.clone()].concat()).unwrap();
        }
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        disk.create_dir(ManifestFiles::DELETES).unwrap();
        disk.write_atomic(&deletes_path(7), &std::fs::read(path).unwrap()).unwrap();
        let (offset, len, checksum) = (header.len() as u64, part.len() as u32, crc32c::crc32c(&part));
        (disk, DeletesPlace { file: 7, offset, len, checksum })
    }

    /// Delete vectors written by these versions must stay readable.
    #[test]
    fn delete_vectors_of_format_versions_1_and_2_are_read() {
        for (name, header) in [("deletes-v1.del", DELETES_MAGIC_1.to_vec()), ("deletes-v2.del", deletes_header())] {
            let (disk, place) = fixture(name, header);
            let read = load_deletes(&disk, &place).unwrap();
            assert_eq!((read.rows, read.tail), (image().rows, image().tail), "{name}");
        }
    }

    #[test]
    fn delete_vectors_of_a_newer_version_are_refused() {
        let (disk, place) = fixture("deletes-v2.del", deletes_header());
        let mut bytes = disk.read(&deletes_path(7)).unwrap();
        bytes[8] = 3;
        disk.write_atomic(&deletes_path(7), &bytes).unwrap();
        let error = load_deletes(&disk, &place).err().unwrap();
        assert!(error.message().contains("does not begin as"), "{error}");
        let checksum = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        disk.write_atomic(&deletes_path(7), &bytes).unwrap();
        let error = load_deletes(&disk, &place).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains("has version 3, this program knows 1 to 2"), "{error}");
    }
}
