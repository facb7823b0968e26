//! Small files of text that are read within a limit and replaced as a whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes are read: 1 MiB. A file of 4,096 lines, which is the most, has less than half of it.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// The content, at most one byte more than [`MAX_BYTES`]. `None` if there is no file.
pub(crate) fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Opening a pipe would wait for its other end.
        Ok(metadata) if !metadata.is_file() => {
            let reason = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        other => other?,
    };
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Replaces the file as a whole: writes another one beside it and renames that.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut other = OsString::from(".");
    other.push(name);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    other.push(format!(".{}-{number}.tmp", process::id()));
    let other = file.with_file_name(other);
    let mut created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&other)?;
    let written = created
        .write_all(text.as_bytes())
        .and_then(|()| created.sync_data());
    drop(created);
    written
        .and_then(|()| fs::rename(&other, file))
        .inspect_err(|_| {
            // Nothing more can be done about it.
            let _ = fs::remove_file(&other);
        })
}
