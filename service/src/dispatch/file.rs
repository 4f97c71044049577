//! Streams the requests of a file in batches.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Cursor, Read};

use pumice_core::document::bytes_without_mark;
use pumice_core::problem::{JsonPath, Problem, SpecError};
use pumice_core::request::{
    BadRequest, DispatchRequest, MAX_KEY_BYTES, Parsed, When, check_key, parse_bytes,
};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use uuid::Uuid;

use crate::failure::Error;

/// Requests that are dispatched together.
pub const BATCH: usize = 250;
/// Batches that are read ahead.
const AHEAD: usize = 1;
/// How much of a file is read at a time, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Longest line, in bytes.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// Longest name of a batch, in bytes: the keys of its requests have a digest and a number after it.
const MAX_NAME_BYTES: usize = MAX_KEY_BYTES - 64;

/// A request with its place in the file, or what is wrong with it.
pub type Placed = Result<(String, DispatchRequest), BadRequest>;

/// A file or standard input.
pub type Source = Box<dyn Read>;

/// Batches of requests as a file is read. The last one may be an [`Error`]: the file cannot be opened or read further, or
/// is not JSON.
pub type Batches = Receiver<Result<Vec<Placed>, Error>>;

/// The other end of [`Batches`].
pub type Giver = Sender<Result<Vec<Placed>, Error>>;

/// The way of batches from the one that reads them to the one that takes them.
#[must_use]
pub fn batches() -> (Giver, Batches) {
    channel(AHEAD)
}

/// Reads the requests of a file on a thread of its own, which opens it first: a pipe may wait for its writer. `name` is
/// the file's, for messages.
pub fn read(
    name: String,
    open: impl FnOnce() -> std::io::Result<Source> + Send + 'static,
    zone: chrono_tz::Tz,
    batches: Giver,
) {
    tokio::task::spawn_blocking(move || {
        let mut sending = Sending { batches, batch: Vec::with_capacity(BATCH) };
        let opened = open().map_err(Broken::Unreadable);
        let reader = opened.map(|source| BufReader::with_capacity(READ_BYTES, source));
        let outcome = reader.and_then(|reader| read_all(reader, zone, &mut sending));
        sending.flush();
        if let Err(broken) = outcome {
            let error = Error::invalid(format!("{name}: {broken}")).caused_by(broken);
            // The receiver may be gone.
            let _ = sending.batches.blocking_send(Err(error));
        }
    });
}

/// Why a file was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    #[error("UTF-16, by its first two bytes: save it as UTF-8")]
    Utf16,
    #[error("not JSON after request {after}: {why}; nothing further was read")]
    NotJson { after: usize, why: String },
}

/// A buffered file or standard input.
type Reader = BufReader<Source>;

/// Puts requests together to batches.
struct Sending {
    batches: Giver,
    batch: Vec<Placed>,
}

impl Sending {
    /// Adds a request to the batch. Returns false when the receiver is gone.
    fn take(&mut self, parsed: Placed) -> bool {
        self.batch.push(parsed);
        self.batch.len() < BATCH || self.flush()
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        batch.is_empty() || self.batches.blocking_send(Ok(batch)).is_ok()
    }
}

/// The requests of one text or one JSON document, under the name of its place.
fn parse(text: &[u8], place: &str, zone: chrono_tz::Tz) -> Vec<Placed> {
    let named = |parsed: Parsed| match parsed {
        Ok(request) => Ok((place.to_owned(), request)),
        Err(bad) => Err(BadRequest { place: place.to_owned(), ..bad }),
    };
    parse_bytes(text, zone).into_iter().map(named).collect()
}

fn read_all(mut reader: Reader, zone: chrono_tz::Tz, to: &mut Sending) -> Result<(), Broken> {
    let mut lines = Lines::default();
    // A JSON list is one document over all its lines; so is an object that does not end on its first line.
    loop {
        let Some(line) = lines.next(&mut reader)? else { return Ok(()) };
        let Line::Whole(bytes) = &line else {
            to.take(Err(line.too_long(lines.number)));
            break;
        };
        if lines.number == 1 && matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
            return Err(Broken::Utf16);
        }
        let text = bytes_without_mark(bytes).trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let unfinished = serde_json::from_slice::<IgnoredAny>(text).is_err_and(|error| error.is_eof());
        if text.starts_with(b"[") || (text.starts_with(b"{") && unfinished) {
            let whole = Cursor::new(text.to_vec()).chain(Cursor::new(b"\n")).chain(reader);
            return read_documents(whole, text.starts_with(b"["), zone, to);
        }
        parse(text, &format!("line {}", lines.number), zone).into_iter().for_each(|parsed| {
            to.take(parsed);
        });
        if reader.buffer().is_empty() && !to.flush() {
            return Ok(());
        }
        break;
    }
    while let Some(line) = lines.next(&mut reader)? {
        let parsed = match &line {
            Line::Whole(bytes) => parse(bytes, &format!("line {}", lines.number), zone),
            Line::TooLong => vec![Err(line.too_long(lines.number))],
        };
        // A partial batch is sent before a read that may block.
        let goes_on = parsed.into_iter().all(|parsed| to.take(parsed));
        if !goes_on || (reader.buffer().is_empty() && !to.flush()) {
            return Ok(());
        }
    }
    Ok(())
}

/// A line of a file.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

impl Line {
    fn too_long(&self, number: usize) -> BadRequest {
        let message = format!("the line is longer than {} KiB", MAX_LINE_BYTES / 1024);
        let error = SpecError::one(Problem::new(JsonPath::root(), message));
        BadRequest { place: format!("line {number}"), error }
    }
}

/// Lines with their numbers, none longer than [`MAX_LINE_BYTES`].
#[derive(Default)]
struct Lines {
    number: usize,
}

impl Lines {
    fn next(&mut self, reader: &mut dyn BufRead) -> Result<Option<Line>, Broken> {
        let mut line = Vec::new();
        let taken =
            reader.take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line).map_err(Broken::Unreadable)?;
        if taken == 0 {
            return Ok(None);
        }
        self.number += 1;
        if taken < MAX_LINE_BYTES || line.ends_with(b"\n") {
            return Ok(Some(Line::Whole(line)));
        }
        // The rest of it.
        loop {
            line.clear();
            let taken = reader
                .take(MAX_LINE_BYTES as u64)
                .read_until(b'\n', &mut line)
                .map_err(Broken::Unreadable)?;
            if taken == 0 || line.ends_with(b"\n") {
                return Ok(Some(Line::TooLong));
            }
        }
    }
}

/// Reads a JSON list, or a sequence of JSON objects. Each element is parsed by itself, so that a refused one does
/// not stop the others; a JSON syntax error does.
fn read_documents(
    reader: impl Read,
    list: bool,
    zone: chrono_tz::Tz,
    to: &mut Sending,
) -> Result<(), Broken> {
    let mut taking = Taking { zone, to, number: 0 };
    let not_json = |error: serde_json::Error, number: usize| {
        if error.is_io() {
            return Broken::Unreadable(error.into());
        }
        // The parser's words for a byte that is not part of a character.
        let why = error.to_string().replace("invalid unicode code point", "not UTF-8");
        Broken::NotJson { after: number, why }
    };
    let mut reading = serde_json::Deserializer::from_reader(BufReader::new(reader));
    if list {
        let read = reading.deserialize_seq(&mut taking).and_then(|_| reading.end());
        return read.map_err(|error| not_json(error, taking.number));
    }
    for document in reading.into_iter::<Box<RawValue>>() {
        match document {
            Ok(document) if taking.take(&document) => {}
            Ok(_) => break,
            Err(error) => return Err(not_json(error, taking.number)),
        }
    }
    Ok(())
}

struct Taking<'a> {
    zone: chrono_tz::Tz,
    to: &'a mut Sending,
    number: usize,
}

impl Taking<'_> {
    fn take(&mut self, document: &RawValue) -> bool {
        self.number += 1;
        let text = document.get().as_bytes();
        let place = format!("request {}", self.number);
        let parsed = match pumice_core::request::is_json(text) {
            true => parse(text, &place, self.zone),
            false => {
                let message = "expected an object with a job_id";
                let error = SpecError::one(Problem::new(JsonPath::root(), message));
                vec![Err(BadRequest { place, error })]
            }
        };
        parsed.into_iter().all(|parsed| self.to.take(parsed))
    }
}

impl<'de> Visitor<'de> for &mut Taking<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(document) = items.next_element::<Box<RawValue>>()? {
            if !self.take(&document) {
                break;
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Refuses a key of several requests that leaves no room for what follows in theirs.
pub(super) fn check_list_key(name: &str) -> Result<(), Error> {
    check_key(name).map_err(|error| Error::invalid(error.to_string()))?;
    if name.len() > MAX_NAME_BYTES {
        let why = format!("the key of several requests is longer than {MAX_NAME_BYTES} bytes");
        return Err(Error::invalid(why));
    }
    Ok(())
}

/// Derives the idempotency keys of a file's requests from their content, so that repeating the file makes no run
/// twice, even after lines were added, removed or moved. Equal requests are numbered.
#[derive(Debug)]
pub struct Keys {
    name: String,
    /// The requests that there were, by half of their digests: there may be millions.
    seen: HashSet<u64>,
    /// How often those came that came more than once.
    repeated: HashMap<u64, u32>,
}

impl Keys {
    /// Keys under the name of a batch.
    ///
    /// # Errors
    /// [`Error`] when the name is empty or too long.
    pub fn new(name: &str) -> Result<Self, Error> {
        check_list_key(name)?;
        Ok(Self { name: name.to_owned(), seen: HashSet::new(), repeated: HashMap::new() })
    }

    /// Gives a request its key, unless it brings one.
    pub fn give(&mut self, request: &mut DispatchRequest) {
        if request.idempotency_key.is_some() {
            return;
        }
        let when = match request.when {
            When::Now => json!(null),
            When::After(delay) => json!({ "delay": delay }),
            When::At(at) => json!({ "at": at.timestamp_micros() }),
        };
        let mut asked = json!([request.job_id, request.parameters, request.globals, when]);
        asked.sort_all_objects();
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, asked.to_string().as_bytes());
        let (half, _) = digest.as_u64_pair();
        let number = match self.seen.insert(half) {
            true => 1,
            false => {
                let number = self.repeated.entry(half).or_insert(1);
                *number += 1;
                *number
            }
        };
        request.idempotency_key = Some(format!("{}/{}.{number}", self.name, digest.simple()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: impl AsRef<[u8]>) -> (Vec<Parsed>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requests");
        std::fs::write(&file, text).unwrap();
        let (mut found, mut failed) = (Vec::new(), None);
        let open = move || Ok(Box::new(std::fs::File::open(file)?) as Source);
        let (sender, mut batches) = batches();
        read("requests".to_owned(), open, chrono_tz::UTC, sender);
        while let Some(batch) = batches.recv().await {
            match batch {
                Ok(batch) => {
                    assert!(batch.len() <= BATCH);
                    found.extend(batch.into_iter().map(|one| one.map(|(_, request)| request)));
                }
                Err(error) => failed = Some(error.to_string()),
            }
        }
        (found, failed)
    }

    fn places(parsed: &[Parsed]) -> Vec<String> {
        let place = |one: &Parsed| match one {
            Ok(request) => request.job_id.to_string(),
            Err(bad) => bad.place.clone(),
        };
        parsed.iter().map(place).collect()
    }

    #[tokio::test]
    async fn one_bad_request_stops_none_in_any_form() {
        for (text, wanted) in [
            ("a\n# note\n\n-x\nb -g x=1\r\nc", vec!["a", "line 4", "b", "c"]),
            ("\u{feff}a\nb\n", vec!["a", "b"]),
            (
                "{\"job_id\":\"a\"}\n{\"job_id\":\n{\"job_id\":\"b\",\"job_id\":\"c\"}\n{\"job_id\":\"d\"}\ne\n",
                vec!["a", "line 2", "line 3", "d", "e"],
            ),
            ("{\"job_id\":\"a\",}\n{\"job_id\":\"b\"}\n", vec!["line 1", "b"]),
            (
                "[{\"job_id\":\"a\"},{\"job_id\":\"b\",\"job_id\":\"c\"},3,{\"job\":1},\n{\"job_id\":\"d\"}]",
                vec!["a", "request 2", "request 3", "request 4", "d"],
            ),
            ("\n\u{feff}[\n{\"job_id\":\"a\"}\n]\n", vec!["a"]),
            ("{\n  \"job_id\": \"a\"\n}\n{\n\"job_id\": \"b\"}", vec!["a", "b"]),
            ("{\"job_id\": \"a\"} \n", vec!["a"]),
            ("", vec![]),
            ("# nothing\n", vec![]),
        ] {
            let (parsed, failed) = all(text).await;
            assert_eq!(
                (places(&parsed), failed),
                (wanted.iter().map(ToString::to_string).collect(), None),
                "{text:?}"
            );
        }
    }

    #[tokio::test]
    async fn invalid_json_ends_the_reading_with_its_place() {
        let (parsed, failed) = all("[{\"job_id\":\"a\"},\n{\"job_id\" \"b\"}]").await;
        assert_eq!(places(&parsed), ["a"]);
        assert!(failed.is_some_and(|failed| failed.contains("not JSON after request 1")));
        let (parsed, failed) = all(b"\xff\xfea\0\n\0b\0").await;
        assert!(parsed.is_empty() && failed.is_some_and(|failed| failed.contains("UTF-16")));
        let (_, failed) = all("[{\"job_id\":\"a\"}").await;
        assert!(failed.is_some_and(|failed| failed.contains("not JSON after request 1")));
    }

    #[tokio::test]
    async fn very_many_and_very_long_lines_are_read() {
        let (parsed, failed) = all("a -g x=1\n".repeat(20_001)).await;
        assert_eq!((parsed.len(), failed), (20_001, None));
        let long = format!("a\na -g x={}\nb\n", "y".repeat(3 * MAX_LINE_BYTES));
        assert_eq!(places(&all(long).await.0), ["a", "line 2", "b"]);
        assert_eq!(places(&all(format!("{}\nb\n", "y".repeat(2 * MAX_LINE_BYTES))).await.0), ["line 1", "b"]);
    }

    #[tokio::test]
    async fn keys_follow_from_what_is_asked() {
        let keys_of = async |text: &str| -> Vec<String> {
            let mut keys = Keys::new("night").unwrap();
            let requests = all(text).await.0.into_iter().map(Result::unwrap);
            requests
                .map(|mut request| {
                    keys.give(&mut request);
                    request.idempotency_key.unwrap()
                })
                .collect()
        };
        let first = keys_of("a\na\nb -g x=1\nb -d 5m\n").await;
        let distinct: std::collections::HashSet<&String> = first.iter().collect();
        assert_eq!(distinct.len(), 4);
        let again = keys_of("new\nb -d 5m\na\n# note\nb -g x=1\na\n").await;
        assert_eq!(
            [&again[1], &again[2], &again[3], &again[4]],
            [&first[3], &first[0], &first[2], &first[1]]
        );
        assert_eq!(keys_of("{\"job_id\":\"a\",\"idempotency_key\":\"own\"}").await, ["own"]);
        assert!(Keys::new("").is_err() && Keys::new(&"x".repeat(MAX_KEY_BYTES)).is_err());
    }
}
