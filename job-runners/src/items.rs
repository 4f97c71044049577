//! Reads the items of a foreach from a file that a job names: its contents may be hostile.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Take};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

use pumice_core::document::parse_json;
use pumice_core::duration::Span;
use pumice_core::job_type::JobError;
use pumice_core::problem::kind;
use pumice_job_types::foreach::{Form, Item};
use rustix::fs::{OFlags, PROC_SUPER_MAGIC, fstatfs};
use serde_json::Value;

use crate::archive::{Compression, decompress};

/// What a text of UTF-8 may begin with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// The largest file of items, in bytes.
pub(crate) const MAX_FILE: u64 = 64 * 1024 * 1024;
/// The longest line of such a file, in bytes.
const MAX_LINE: usize = 1024 * 1024;
/// How long a file may take to be read.
pub(crate) const MAX_TIME: Span = Span::from_secs(30);

/// How the names of compressed files end, as Python's `smart_open` knows them.
const ENDS: [(&str, Compression); 4] = [
    (".gz", Compression::Gz),
    (".bz2", Compression::Bz2),
    (".xz", Compression::Xz),
    (".zst", Compression::Zst),
];

/// Reads up to `limit` items and one more of a file. It takes as long as the file system takes: see
/// [`JobContext::read_on_pool`](pumice_core::job_type::JobContext::read_on_pool).
pub(crate) fn read(file: &Path, form: Form, limit: usize) -> Result<Vec<Item>, JobError> {
    read_from(file, open(file)?, form, limit)
}

/// The same of what was opened under a name.
pub(crate) fn read_from(
    name: &Path,
    from: impl Read,
    form: Form,
    limit: usize,
) -> Result<Vec<Item>, JobError> {
    let from = LineEnds { inner: decompressed(name, from)?, after_return: false };
    match form {
        Form::Csv => read_csv(name, from, limit),
        Form::JsonLines => read_jsonl(name, from, limit),
    }
}

/// The decompressed bytes, if the file's name says that it is compressed.
fn decompressed<'a>(name: &Path, from: impl Read + 'a) -> Result<Box<dyn Read + 'a>, JobError> {
    let text = name.to_string_lossy().to_ascii_lowercase();
    let Some((end, compression)) = ENDS.iter().find(|(end, _)| text.ends_with(end)) else {
        return Ok(Box::new(from));
    };
    let failed =
        |error: std::io::Error| JobError::cannot_begin(format!("{}: {error}", name.display()), &error);
    let mut from = BufReader::new(from);
    if Compression::of(from.fill_buf().map_err(failed)?) != *compression {
        return Err(JobError::failed(format!("{}: is not compressed as {end}", name.display())));
    }
    let inner = decompress(from, *compression).map_err(failed)?;
    Ok(Box::new(AtMost { inner, left: MAX_FILE }))
}

/// A text as Python's text mode reads it: each `\r\n` and each `\r` is a `\n`, within quotes too.
struct LineEnds<R> {
    inner: R,
    /// Whether the last byte was a carriage return.
    after_return: bool,
}

impl<R: Read> Read for LineEnds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = self.inner.read(buffer)?;
            if count == 0 {
                return Ok(0);
            }
            if !self.after_return && !buffer[..count].contains(&b'\r') {
                return Ok(count);
            }
            let mut kept = 0;
            for at in 0..count {
                let byte = buffer[at];
                let is_second = byte == b'\n' && self.after_return;
                self.after_return = byte == b'\r';
                if !is_second {
                    buffer[kept] = if byte == b'\r' { b'\n' } else { byte };
                    kept += 1;
                }
            }
            // The second half of a line end alone is not the end of the text.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

/// Refuses what is larger than a file may be.
struct AtMost<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.checked_sub(count as u64);
        let too_large =
            || std::io::Error::other(format!("it is larger than {MAX_FILE} bytes when it is decompressed"));
        self.left = left.ok_or_else(too_large)?;
        Ok(count)
    }
}

/// Opens a regular file of at most [`MAX_FILE`] bytes. A link, a pipe or a device is refused.
fn open(file: &Path) -> Result<Take<File>, JobError> {
    let failed = |what: String| JobError::failed(format!("{}: {what}", file.display()));
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file);
    let opened = opened.map_err(|error| match error.raw_os_error() {
        Some(ELOOP) => failed("is a link; a foreach reads regular files only".to_owned()),
        _ => JobError::cannot_begin(format!("{}: {error}", file.display()), &error),
    })?;
    let metadata = opened.metadata().map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() || is_kernels(&opened) {
        return Err(failed("is not a regular file".to_owned()));
    }
    if metadata.len() > MAX_FILE {
        return Err(failed(format!("has {} bytes; the limit is {MAX_FILE}", metadata.len())));
    }
    // It may grow while it is read.
    Ok(opened.take(MAX_FILE))
}

/// Whether a file is one of the kernel's, which reveals this process: `/proc/self/environ` (statfs(2)).
fn is_kernels(file: &File) -> bool {
    fstatfs(file).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC)
}

/// "Too many symbolic links", which open(2) gives for a link that is not to be followed.
const ELOOP: i32 = 40;

fn read_jsonl(file: &Path, from: impl Read, limit: usize) -> Result<Vec<Item>, JobError> {
    let mut reader = BufReader::new(from);
    let (mut items, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    let ends = Instant::now() + MAX_TIME.get();
    loop {
        number += 1;
        let bad = |error: String| JobError::failed(format!("{} line {number}: {error}", file.display()));
        line.clear();
        let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX) + 1;
        let count = reader.by_ref().take(most).read_until(b'\n', &mut line);
        if count.map_err(|error| bad(error.to_string()))? == 0 || items.len() > limit {
            return Ok(items);
        }
        if line.len() > MAX_LINE {
            return Err(bad(format!("is longer than {MAX_LINE} bytes")));
        }
        if Instant::now() > ends {
            return Err(bad(format!("was not reached within {} s", MAX_TIME.get().as_secs())));
        }
        let text = std::str::from_utf8(&line).map_err(|error| bad(error.to_string()))?;
        if !text.trim().is_empty() {
            items.push(read_item(text).map_err(bad)?);
        }
    }
}

/// An object of a line: a byte order mark is skipped; a key given twice and too large a number are refused.
fn read_item(line: &str) -> Result<Item, String> {
    match parse_json(line)? {
        Value::Object(item) => Ok(item),
        other => Err(format!("expected an object, got {}", kind(&other))),
    }
}

fn read_csv(file: &Path, from: impl Read, limit: usize) -> Result<Vec<Item>, JobError> {
    let bad = |error: csv::Error| JobError::failed(format!("{}: {error}", file.display()));
    let mut from = BufReader::new(Limited { inner: from, line: 0 });
    let first = from.fill_buf().map_err(|error| bad(error.into()))?;
    // Perhaps the upload was cut off: lava fails too.
    let why = match first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first).first() {
        None => Some("is empty"),
        Some(b'\n') => Some("begins with an empty line"),
        Some(_) => None,
    };
    if let Some(why) = why {
        let file = file.display();
        return Err(JobError::failed(format!("{file} {why}: its first line must name the columns")));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(from);
    let names = reader.headers().map_err(bad)?.clone();
    // As Python's DictReader: a field that a short row lacks is null, the surplus of a long one is left out.
    let row = |record: csv::StringRecord| -> Item {
        let value = |at: usize| record.get(at).map_or(Value::Null, Value::from);
        names.iter().enumerate().map(|(at, name)| (name.to_owned(), value(at))).collect()
    };
    reader.records().take(limit.saturating_add(1)).map(|record| record.map(row).map_err(bad)).collect()
}

/// Refuses to go on with a line that is too long: a row is kept whole in memory.
struct Limited<R> {
    inner: R,
    /// How much of the line that is under way was read.
    line: usize,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        self.line = match read.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => count - at,
            None => self.line + count,
        };
        if self.line > MAX_LINE {
            return Err(std::io::Error::other(format!("a line is longer than {MAX_LINE} bytes")));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    fn folder() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    #[test]
    fn files_are_read_row_by_row() {
        let folder = folder();
        let rows = read(&folder.file("a.csv", "a,b\n1,\"x, y\"\n2,z\n"), Form::Csv, 10).unwrap();
        assert_eq!(json!(rows), json!([{"a": "1", "b": "x, y"}, {"a": "2", "b": "z"}]));
        assert_eq!(read(&folder.file("a.csv", "a\n1\n2\n3\n4\n"), Form::Csv, 2).unwrap().len(), 3);
        let lines = "\u{feff}{\"a\":1}\n\n{\"a\":2}";
        assert_eq!(read(&folder.file("a.jsonl", lines), Form::JsonLines, 10).unwrap().len(), 2);
        assert_eq!(read(&folder.file("a.jsonl", lines), Form::JsonLines, 0).unwrap().len(), 1);
        for (text, wanted) in [
            ("{\"a\":1,\"a\":2}\n", "the key \"a\" is given twice"),
            ("{\"a\":18446744073709551616}\n", "more than 64 bits"),
            ("[1]\n", "expected an object, got a list"),
            ("{\"a\":1}\nnope\n", "b.jsonl line 2"),
        ] {
            let error = read(&folder.file("b.jsonl", text), Form::JsonLines, 10).unwrap_err();
            assert!(error.message.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn items_from_a_special_file_are_refused_at_once() {
        let folder = folder();
        let pipe = folder.0.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = folder.0.path().join("link");
        std::os::unix::fs::symlink("/proc/self/environ", &link).unwrap();
        for (path, why) in [
            (pipe.as_path(), "is not a regular file"),
            (&link, "is a link"),
            (Path::new("/dev/zero"), "is not a regular file"),
            (Path::new("/proc/self/environ"), "is not a regular file"),
            (folder.0.path(), "is not a regular file"),
            (Path::new("/nowhere"), "No such file"),
        ] {
            for error in
                [read(path, Form::JsonLines, 10).unwrap_err(), read(path, Form::Csv, 10).unwrap_err()]
            {
                assert!(error.message.contains(why), "{}: {error}", path.display());
            }
        }
    }

    #[test]
    fn compressed_file_is_read_as_its_name_says() {
        use std::io::Write;
        let folder = folder();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(b"a\n1\n2\n").unwrap();
        let gz = gz.finish().unwrap();
        let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        bz2.write_all(b"a\n1\n2\n").unwrap();
        let bz2 = bz2.finish().unwrap();
        let zst = ruzstd::encoding::compress_to_vec(
            b"a\n1\n2\n".as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        xz.write_all(b"a\n1\n2\n").unwrap();
        let xz = xz.finish().unwrap();
        for (name, bytes) in
            [("a.csv.gz", &gz), ("A.CSV.GZ", &gz), ("a.bz2", &bz2), ("a.csv.xz", &xz), ("a.zst", &zst)]
        {
            let rows = read(&folder.file(name, bytes), Form::Csv, 10).unwrap();
            assert_eq!(json!(rows), json!([{ "a": "1" }, { "a": "2" }]), "{name}");
        }
        for (name, bytes) in [("b.gz", b"a\n1\n".as_slice()), ("b.bz2", &gz), ("b.xz", b""), ("b.zst", &xz)] {
            let error = read(&folder.file(name, bytes), Form::Csv, 10).unwrap_err();
            assert!(error.message.contains("is not compressed as ."), "{name}: {error}");
        }
        let torn = &gz[..gz.len() - 6];
        let error = read(&folder.file("c.gz", torn), Form::Csv, 10).unwrap_err();
        assert!(error.message.contains("cannot be decompressed"), "{error}");
        // 80 MB of empty lines, which take 80 kB.
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let line = [b" ".repeat(9_999).as_slice(), b"\n"].concat();
        for _ in 0..80 {
            bomb.write_all(&line.repeat(100)).unwrap();
        }
        let error = read(&folder.file("d.gz", bomb.finish().unwrap()), Form::JsonLines, 10).unwrap_err();
        assert!(error.message.contains("larger than 67108864 bytes"), "{error}");
    }

    #[test]
    fn files_and_lines_without_end_are_refused() {
        let folder = folder();
        let long = vec![b'x'; MAX_LINE + 10];
        let csv = [b"a\n1\n", long.as_slice()].concat();
        for error in [
            read(&folder.file("a.jsonl", &long), Form::JsonLines, 10).unwrap_err(),
            read(&folder.file("a.csv", &csv), Form::Csv, 10).unwrap_err(),
        ] {
            assert!(error.message.contains("longer than 1048576 bytes"), "{error}");
        }
        let sparse = File::create(folder.0.path().join("huge")).unwrap();
        sparse.set_len(MAX_FILE + 1).unwrap();
        let error = read(&folder.0.path().join("huge"), Form::Csv, 10).unwrap_err();
        assert!(error.message.contains("the limit is 67108864"), "{error}");
    }
}
