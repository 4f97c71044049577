//! The output of commands: a window of it, and the whole as a text.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use pumice_core::ports::Piece;
use pumice_core::secret::{Masker, longest, mask};
use pumice_core::text::escaped;
use pumice_service::runs::{AskOutputs, Outputs, Printed, ShowRun, locate, show as show_run};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{job_link, link, plain, run_link};

/// Most bytes of a window.
const MAX_WINDOW: usize = 64 * 1024;
/// Most bytes that are read to count the lines before a window, and that one search reads.
const MAX_SKIPPED: u64 = 256 * 1024 * 1024;
/// How many bytes are read at a time.
const PIECE: u64 = 256 * 1024;
/// Most lines that a search shows, and most bytes of a line that is searched as one.
const MAX_HITS: usize = 100;
const MAX_LINE: usize = 64 * 1024;
/// Longest text that is looked for, in bytes.
const MAX_WANTED: usize = 200;

/// Which window of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Its end.
    Tail,
    /// From the line in which this byte is.
    From(u64),
    /// Output since a byte, with which a line begins that has this number.
    On(u64, u64),
}

/// A line of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Its number, from 1.
    number: u64,
    text: String,
}

/// A window of an output: whole lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Window {
    lines: Vec<Line>,
    /// The number of the line behind it.
    line: u64,
    /// The place of its first byte, and of the byte behind its last.
    from: u64,
    next: u64,
    /// How many bytes there are.
    size: u64,
    /// Why the window is not the one that was asked for.
    trouble: Option<String>,
}

/// A window of the output at a location. Lines come whole; of a run that goes on the last one waits until it is complete.
///
/// # Errors
/// [`Fault`] when the output is gone or cannot be read.
pub(super) async fn window(
    outputs: &dyn Outputs,
    location: &str,
    want: Want,
    most: usize,
    is_open: bool,
) -> Result<Window, Fault> {
    let size = read(outputs, location, 0, 0).await?.size;
    let start = match want {
        Want::Tail => size.saturating_sub(most as u64),
        Want::From(from) | Want::On(from, _) => from.min(size),
    };
    let (before, is_counted) = match want {
        Want::On(_, line) => (line.saturating_sub(1), true),
        _ => lines_before(outputs, location, start).await?,
    };
    // A secret may begin before the window, or end behind it.
    let margin = longest() as u64;
    let first = start.saturating_sub(margin.max(1));
    let piece = read(outputs, location, first, start - first + most as u64 + margin).await?;
    let (begins, bytes) =
        piece.bytes.split_at(piece.bytes.len().min(usize::try_from(start - first).unwrap_or(0)));
    let seen = &bytes[..bytes.len().min(most)];
    let is_end = start + seen.len() as u64 >= piece.size;
    // The window begins and ends with a line.
    let begin = match begins.last() {
        None | Some(b'\n') => 0,
        Some(_) => seen.iter().position(|byte| *byte == b'\n').map_or(seen.len(), |place| place + 1),
    };
    let mut number = before + 1 + u64::from(begin > 0 && seen[begin - 1] == b'\n');
    let end = match is_end && !is_open {
        true => seen.len(),
        false => seen.iter().rposition(|byte| *byte == b'\n').map_or(begin, |place| place + 1).max(begin),
    };
    let mut trouble = (begin == end && seen.len() == most && !is_end)
        .then(|| format!("a line there has more than {most} bytes: only the whole has it"));
    // A line that is too long is passed over.
    let next = if trouble.is_some() { start + seen.len() as u64 } else { start + end as u64 };
    if !is_counted {
        number = 1;
        trouble = trouble.or_else(|| {
            Some(format!(
                "lines are counted from byte {}: there are too many before it",
                start + begin as u64
            ))
        });
    }
    let mut masker = Masker::new().skipping((begins.len() + begin) as u64).taking((end - begin) as u64);
    let mut shown = masker.push(&piece.bytes);
    shown.extend(masker.finish());
    let lines = lines(&shown, number);
    let line = lines.last().map_or(number, |last| last.number + 1);
    Ok(Window { lines, line, from: start + begin as u64, next, size: piece.size, trouble })
}

/// Reads some bytes of an output.
async fn read(outputs: &dyn Outputs, location: &str, from: u64, length: u64) -> Result<Piece, Fault> {
    let gone = || Fault::new(StatusCode::NOT_FOUND, format!("the output at {location} is gone"));
    outputs.read(location, from, length).await?.ok_or_else(gone)
}

/// How many lines end before a byte, and whether they were counted: of a long output they are not.
async fn lines_before(outputs: &dyn Outputs, location: &str, start: u64) -> Result<(u64, bool), Fault> {
    if start > MAX_SKIPPED {
        return Ok((0, false));
    }
    let (mut at, mut count) = (0, 0);
    while at < start {
        let bytes = read(outputs, location, at, PIECE.min(start - at)).await?.bytes;
        if bytes.is_empty() {
            break;
        }
        count += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        at += bytes.len() as u64;
    }
    Ok((count, true))
}

/// A line that has what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Hit {
    line: Line,
    /// The place of its first byte.
    at: u64,
}

/// The hits, and where to look on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Hits {
    hits: Vec<Hit>,
    /// Where the search stopped, when it did before the end.
    next: Option<u64>,
}

/// The lines of an output from a byte on that have a text in them, of either case, as they are shown: nothing that is masked
/// is found.
async fn search(outputs: &dyn Outputs, location: &str, text: &str, from: u64) -> Result<Hits, Fault> {
    let wanted = text.to_lowercase();
    let (mut number, is_counted) = lines_before(outputs, location, from).await?;
    if !is_counted {
        return Err(Fault::bad(format!("from: lines behind byte {MAX_SKIPPED} are not searched")));
    }
    let (mut found, mut at, mut rest) = (Hits::default(), from, Vec::new());
    loop {
        let piece = read(outputs, location, at, PIECE).await?;
        let is_end = at + piece.bytes.len() as u64 >= piece.size || piece.bytes.is_empty();
        let mut begin = at - rest.len() as u64;
        at += piece.bytes.len() as u64;
        rest.extend(piece.bytes);
        let whole = match is_end || rest.len() > MAX_LINE {
            true => rest.len(),
            false => rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1),
        };
        let left = rest.split_off(whole);
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            let place = begin;
            begin += line.len() as u64;
            number += 1;
            let Some(line) = lines(line, number).pop() else { continue };
            if line.text.to_lowercase().contains(&wanted) {
                found.hits.push(Hit { line, at: place });
            }
            if found.hits.len() >= MAX_HITS {
                found.next = Some(begin);
                return Ok(found);
            }
        }
        rest = left;
        if is_end {
            return Ok(found);
        }
        if at - from > MAX_SKIPPED {
            found.next = Some(begin);
            return Ok(found);
        }
    }
}

/// The lines of a text in which secrets are masked; a line may have one of which the rest stands elsewhere.
fn lines(bytes: &[u8], first: u64) -> Vec<Line> {
    let text = String::from_utf8_lossy(bytes);
    let text = anstream::adapter::strip_str(&text).to_string();
    let text = mask(&text);
    let line =
        |(number, text): (u64, &str)| Line { number, text: plain(text.strip_suffix('\r').unwrap_or(text)) };
    (first..)
        .zip(text.strip_suffix('\n').unwrap_or(&text).split('\n'))
        .filter(|_| !bytes.is_empty())
        .map(line)
        .collect()
}

/// The query that names an output of a run: where it is, and which it is, as it has another place once its attempt has ended.
fn query<'a>(run: &'a str, printed: &'a Printed, attempt: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("id", run),
        ("at", printed.location.as_str()),
        ("step", printed.run_key.as_str()),
        ("attempt", attempt),
        ("name", printed.name.as_str()),
    ]
}

/// An output in a list: whose it is, and where its pages are.
pub(super) fn listed(run: &str, printed: &Printed) -> Value {
    let attempt = printed.attempt.to_string();
    let query = query(run, printed, &attempt);
    let name = printed.name.as_str();
    json!({
        "job": escaped(printed.job_id.as_str()),
        "step": (printed.run_key.as_str() != run).then(|| run_link(printed.run_key.as_str())),
        "attempt": attempt,
        "stream": printed.stream.name(),
        "name": escaped(name),
        "lost": printed.lost,
        "href": link("/run/output", &query),
        "raw": link("/run/output/raw", &query),
    })
}

/// The output of a run that is asked for. A file that is not an output of the run is not looked at, whatever its place.
async fn asked(ask: &Ask) -> Result<(String, Printed, bool), Fault> {
    let (run, at) = (ask.query.need("id")?, ask.query.need("at")?);
    ask.app.refresh().await;
    let found = locate(ask.realm(), &AskOutputs::of(run)).await?;
    let is_open = !found.status.is_end();
    // The output of an attempt moves to its last place when it ends, and is read on from there.
    let name = ask.query.get("name").filter(|_| !found.printed.iter().any(|printed| printed.location == at));
    let attempt = ask.query.parsed::<u32>("attempt")?;
    let is_meant = |printed: &Printed| match name {
        None => printed.location == at,
        Some(name) => {
            let step = ask.query.get("step").unwrap_or(run);
            printed.run_key.as_str() == step
                && printed.name == name
                && Some(printed.attempt) == attempt
                && !printed.lost
        }
    };
    let printed = found.printed.into_iter().find(is_meant);
    let printed = printed.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "the run has no such output"))?;
    Ok((run.to_owned(), printed, is_open))
}

/// The page of an output.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let (run, printed, is_open) = asked(&ask).await?;
    let from = ask.query.parsed::<u64>("from")?;
    let attempt = printed.attempt.to_string();
    let query = query(&run, &printed, &attempt);
    let at = |from: u64| link("/run/output", &[&query[..], &[("from", &from.to_string())]].concat());
    let looked_for = match ask.query.get("find").filter(|text| !text.is_empty()) {
        Some(text) if text.len() > MAX_WANTED => {
            return Err(Fault::bad(format!("find: it has {} bytes, {MAX_WANTED} at most", text.len())));
        }
        Some(text) => {
            let Hits { hits, next } =
                search(ask.realm().outputs(), &printed.location, text, from.unwrap_or(0)).await?;
            let hit = |hit: &Hit| json!({ "line": hit.line, "href": format!("{}#L{}", at(hit.at), hit.line.number) });
            let more = next
                .map(|next| format!("{}&{}", at(next), link("", &[("find", text)]).trim_start_matches('?')));
            Some(json!({ "text": text, "hits": hits.iter().map(hit).collect::<Vec<_>>(), "more": more }))
        }
        None => None,
    };
    let want = from.map_or(Want::Tail, Want::From);
    let found = window(ask.realm().outputs(), &printed.location, want, MAX_WINDOW, is_open).await?;
    let tree = show_run(ask.realm(), &ShowRun { run: run.clone(), details: false }).await?;
    let status = tree.runs.first().map(|run| crate::view::StatusShown::from(run.status));
    let own = json!({
        "output": listed(&run, &printed),
        "run": { "key": run, "href": run_link(&run), "status": status },
        "job_href": job_link(printed.job_id.as_str()),
        "is_open": is_open,
        "is_slow": ask.realm().is_aws(),
        "earlier": (found.from > 0).then(|| at(found.from.saturating_sub(MAX_WINDOW as u64))),
        "later": (found.next < found.size && !is_open).then(|| at(found.next)),
        "tail": link("/run/output", &query),
        "search": looked_for,
        "at": printed.location,
        "window": found,
    });
    let title = format!("{} · {}", printed.stream.name(), printed.job_id);
    let head = Head::new(title, "runs", &ask.words(&["runs", "output", &run]));
    render(&ask, "output.html", head.live(""), own).await
}

/// An output as a text: the whole, or what has come since a byte.
pub(crate) async fn raw(ask: Ask) -> Result<Response, Fault> {
    let (_, printed, is_open) = asked(&ask).await?;
    if let Some(from) = ask.query.parsed::<u64>("from")? {
        let line = ask.query.parsed::<u64>("line")?;
        let want = line.map_or(Want::From(from), |line| Want::On(from, line));
        return piece(&ask, &printed, want, is_open).await;
    }
    let gone = || Fault::new(StatusCode::NOT_FOUND, "the output is gone");
    let first = ask.realm().outputs().read(&printed.location, 0, 0).await?;
    first.ok_or_else(gone)?;
    let (realm, location) = (ask.app.realm.clone(), printed.location.clone());
    let pieces = stream::unfold(Some((0_u64, Masker::new())), move |state| {
        let (realm, location) = (realm.clone(), location.clone());
        async move {
            let (at, mut masker) = state?;
            match realm.outputs().read(&location, at, PIECE).await {
                Ok(Some(piece)) if !piece.bytes.is_empty() => {
                    let next = at + piece.bytes.len() as u64;
                    Some((Ok::<_, Infallible>(masker.push(&piece.bytes)), Some((next, masker))))
                }
                Ok(_) => Some((Ok(masker.finish()), None)),
                Err(error) => Some((Ok(format!("\n(cannot be read further: {error})\n").into_bytes()), None)),
            }
        }
    });
    Ok(text(Body::from_stream(pieces)))
}

/// Output since a byte, for a page that follows.
async fn piece(ask: &Ask, printed: &Printed, want: Want, is_open: bool) -> Result<Response, Fault> {
    let found = window(ask.realm().outputs(), &printed.location, want, MAX_WINDOW, is_open).await?;
    let value = json!({
        "lines": found.lines,
        "next": found.next,
        "line": found.line,
        "size": found.size,
        "is_open": is_open,
        "trouble": found.trouble,
    });
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn text(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline; filename=\"output.txt\""));
    response
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use pumice_core::ports::StoreError;

    use super::*;

    struct Text(Vec<u8>);

    #[async_trait]
    impl Outputs for Text {
        async fn read(&self, _: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
            let place = |at: u64| usize::try_from(at).unwrap().min(self.0.len());
            let bytes = self.0[place(from)..place(from + length)].to_vec();
            Ok(Some(Piece { bytes, size: self.0.len() as u64 }))
        }
    }

    async fn seen(text: &str, want: Want, most: usize, is_open: bool) -> (Vec<(u64, String)>, u64, u64) {
        let found = window(&Text(text.as_bytes().to_vec()), "x", want, most, is_open).await.unwrap();
        (found.lines.into_iter().map(|line| (line.number, line.text)).collect(), found.from, found.next)
    }

    fn numbered(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        lines.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[tokio::test]
    async fn window_has_whole_lines_and_their_numbers() {
        let text = "one\ntwo\nthree\nfour";
        for (want, most, is_open, lines, from, next) in [
            (Want::From(0), 100, false, &[(1, "one"), (2, "two"), (3, "three"), (4, "four")][..], 0, 18),
            (Want::From(0), 100, true, &[(1, "one"), (2, "two"), (3, "three")], 0, 14),
            (Want::From(4), 100, false, &[(2, "two"), (3, "three"), (4, "four")], 4, 18),
            (Want::From(5), 100, false, &[(3, "three"), (4, "four")], 8, 18),
            (Want::From(0), 9, false, &[(1, "one"), (2, "two")], 0, 8),
            (Want::Tail, 5, false, &[(4, "four")], 14, 18),
            (Want::Tail, 4, false, &[(4, "four")], 14, 18),
            (Want::From(18), 9, false, &[], 18, 18),
            (Want::From(99), 9, false, &[], 18, 18),
        ] {
            let found = seen(text, want, most, is_open).await;
            assert_eq!(found, (numbered(lines), from, next), "{want:?} {most} {is_open}");
        }
        assert_eq!(seen("", Want::Tail, 9, false).await, (numbered(&[]), 0, 0));
        assert_eq!(seen("\n\n", Want::Tail, 9, false).await, (numbered(&[(1, ""), (2, "")]), 0, 2));
    }

    #[tokio::test]
    async fn line_that_is_too_long_is_reported_and_skipped() {
        let text = format!("{}\nshort\n", "x".repeat(50));
        let found = window(&Text(text.clone().into_bytes()), "x", Want::From(0), 20, true).await.unwrap();
        assert!(found.lines.is_empty() && found.next == 20 && found.trouble.is_some(), "{found:?}");
        let (lines, ..) = seen(&text, Want::From(40), 20, true).await;
        assert_eq!(lines, numbered(&[(2, "short")]));
    }

    #[tokio::test]
    async fn line_shows_neither_colours_nor_secrets() {
        pumice_core::secret::remember("output-canary-9");
        let (lines, ..) =
            seen("\u{1b}[31mred\u{1b}[0m output-canary-9\r\n\u{7}", Want::Tail, 99, false).await;
        assert_eq!(lines, numbered(&[(1, "red *****")]));
    }

    #[tokio::test]
    async fn search_finds_lines_as_they_are_shown() {
        pumice_core::secret::remember("search-canary-77");
        let text =
            format!("one\nTwo \u{1b}[1mreds\u{1b}[0m\n{}\nsearch-canary-77 red\nred", "x".repeat(70_000));
        let find = async |wanted: &str, from| {
            let found = search(&Text(text.clone().into_bytes()), "x", wanted, from).await.unwrap();
            found.hits.into_iter().map(|hit| (hit.line.number, hit.line.text, hit.at)).collect::<Vec<_>>()
        };
        let all = vec![
            (2, "Two reds".to_owned(), 4),
            (4, "***** red".to_owned(), 70_022),
            (5, "red".to_owned(), 70_043),
        ];
        assert_eq!(find("RED", 0).await, all);
        assert_eq!(find("red", 21).await, all[1..]);
        assert!(find("canary", 0).await.is_empty() && find("none", 0).await.is_empty());
        let many = Text("red\n".repeat(MAX_HITS + 1).into_bytes());
        let found = search(&many, "x", "red", 0).await.unwrap();
        assert_eq!((found.hits.len(), found.next), (MAX_HITS, Some(4 * MAX_HITS as u64)));
    }
}
