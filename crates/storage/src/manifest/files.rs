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

fn manifest_path(number: u64) -> String {
    format!("{}/{number:010}", ManifestFiles::MANIFESTS)
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
    let manifest = format::decode(disk.read(&name)?, &disk.describe(&name))?;
    if manifest.number != number {
        return Err(Error::corrupt(format!("manifest \"{}\" carries another number", disk.describe(&name))));
    }
    check(&manifest)?;
    Ok(Some(manifest))
}

/// Writes `manifest` and what `CURRENT` will be, synced, beside what counts. After an error the old one still counts and
/// nothing refers to what was written.
pub(crate) fn write_manifest(disk: &Arc<dyn Disk>, manifest: &Manifest) -> Result<()> {
    check(manifest)?;
    replace(disk, &manifest_path(manifest.number), &format::encode(manifest))?;
    disk.sync_dir(ManifestFiles::MANIFESTS)?;
    failpoint("manifest.written")?;
    let number = manifest.number.to_string();
    let current = format!("{CURRENT_MAGIC} {number} {:08x}\n", crc32c::crc32c(number.as_bytes()));
    replace(disk, CURRENT_NEXT, current.as_bytes())
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

const DELETES_MAGIC: &[u8; 8] = b"HELIOSDV";

/// Writes delete vectors into one file, durably; their places are in the order given.
pub(crate) fn write_deletes(disk: &Arc<dyn Disk>, number: u64, images: &[DeleteImage]) -> Result<Vec<DeletesPlace>> {
    let mut bytes = DELETES_MAGIC.to_vec();
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
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    if crc32c::crc32c(&bytes) != place.checksum {
        return Err(Error::corrupt(format!("file \"{}\" fails its checksum at offset {}", file.path(), place.offset)));
    }
    DeleteImage::decode(&Bytes::from(bytes), &format!("file \"{}\"", file.path()))
}
