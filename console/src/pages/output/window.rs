//! A window of an output: some of its lines, with their numbers.

use axum::http::StatusCode;
use pumice_core::ports::Piece;
use pumice_core::secret::{Masker, longest, mask};
use pumice_service::runs::Outputs;
use serde::Serialize;

use crate::answer::Fault;
use crate::view::plain;

/// Most bytes that are read to count the lines before a window, and that one search reads.
pub(super) const MAX_SKIPPED: u64 = 256 * 1024 * 1024;
/// How many bytes are read at a time.
pub(super) const PIECE: u64 = 256 * 1024;
/// How far back from a byte the beginning of its line is looked for.
const LOOK_BACK: u64 = 4 * 1024;

/// Which window of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pages) enum Want {
    /// Its end.
    Tail,
    /// The lines before a byte.
    Before(u64),
    /// From the line in which this byte is.
    From(u64),
    /// Output since a byte of the line that has this number.
    On(u64, u64),
}

/// Limits of a window.
#[derive(Clone, Copy, Debug)]
pub(in crate::pages) struct Most {
    pub(in crate::pages) bytes: usize,
    pub(in crate::pages) lines: usize,
}

/// A line of an output, or a part of one that is longer than a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::pages) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    pub(super) text: String,
    /// Whether the line begins before this text, and whether it goes on behind it.
    pub(super) is_cut_before: bool,
    pub(super) is_cut_after: bool,
}

/// A window of an output: whole lines, but for those that are longer than it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::pages) struct Window {
    pub(super) lines: Vec<Line>,
    /// The number of the line behind it.
    pub(super) line: u64,
    /// The place of its first byte, and of the byte behind its last.
    pub(super) from: u64,
    pub(super) next: u64,
    /// How many bytes there are.
    pub(super) size: u64,
    /// Why the numbers of its lines are not those of the output.
    pub(super) trouble: Option<String>,
}

/// A window of the output at a location. Lines come whole, and one that is longer than a window in parts; of a run that goes
/// on the last line waits until it is complete.
///
/// # Errors
/// [`Fault`] when the output is gone or cannot be read.
pub(in crate::pages) async fn window(
    outputs: &dyn Outputs,
    location: &str,
    want: Want,
    most: Most,
    is_open: bool,
) -> Result<Window, Fault> {
    let size = read(outputs, location, 0, 0).await?.size;
    let bytes = most.bytes as u64;
    let (start, stop) = match want {
        Want::Tail => (size.saturating_sub(bytes), size),
        Want::Before(place) => (place.min(size).saturating_sub(bytes), place.min(size)),
        Want::On(from, _) => (from.min(size), from.saturating_add(bytes).min(size)),
        Want::From(from) => {
            let from = line_begin(outputs, location, from, size).await?;
            (from, from.saturating_add(bytes).min(size))
        }
    };
    // A secret may begin before the window, or end behind it.
    let margin = longest().max(1) as u64;
    let first = start.saturating_sub(margin);
    let piece = read(outputs, location, first, stop - first + margin).await?;
    let place = |at: u64| usize::try_from(at - first).unwrap_or(usize::MAX).min(piece.bytes.len());
    let (before, seen) = piece.bytes[..place(stop)].split_at(place(start));
    let is_whole = match want {
        Want::Before(place) if place < size => true,
        _ => stop == size && !is_open,
    };
    let mut part = part(before, seen, is_whole, matches!(want, Want::Tail | Want::Before(_)), most);
    // The last line of an output that does not grow ends with it.
    part.is_cut_after &= is_open || (start + part.end as u64) < size;
    let passed = newlines(&seen[..part.begin]);
    let (number, trouble) = match want {
        Want::On(_, line) => (line + passed, None),
        _ => match lines_before(outputs, location, start).await? {
            Some(lines) => (lines + passed + 1, None),
            None => {
                let from = start + part.begin as u64;
                (1, Some(format!("lines are counted from byte {from}: there are too many before it")))
            }
        },
    };
    let text = masked(&piece.bytes, before.len() + part.begin, part.end - part.begin);
    let mut lines = lines(&text, number);
    if let Some(line) = lines.first_mut() {
        line.is_cut_before = part.is_cut_before;
    }
    if let Some(line) = lines.last_mut() {
        line.is_cut_after = part.is_cut_after;
    }
    let last = lines.last().map_or(number, |line| line.number + u64::from(!line.is_cut_after));
    Ok(Window {
        lines,
        line: last,
        from: start + part.begin as u64,
        next: start + part.end as u64,
        size: piece.size,
        trouble,
    })
}

/// The part of the text that a window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    begin: usize,
    end: usize,
    is_cut_before: bool,
    is_cut_after: bool,
}

/// Chooses the part: whole lines where there are any. `is_whole`: the last line is shown as it is, complete or not;
/// `is_end`: where there are too many lines, the last ones are shown.
fn part(before: &[u8], seen: &[u8], is_whole: bool, is_end: bool, most: Most) -> Part {
    let is_break = |byte: &u8| *byte == b'\n';
    let mut end = match seen.iter().rposition(is_break) {
        _ if is_whole => seen.len(),
        Some(place) => place + 1,
        None if seen.len() >= most.bytes => whole_characters(seen),
        None => 0,
    };
    let is_within = before.last().is_some_and(|byte| *byte != b'\n');
    let mut begin = 0;
    if is_end {
        // The end of a line that began before makes way, unless it is most of the window.
        let first_break = seen[..end].iter().position(is_break).map(|place| place + 1);
        begin = first_break.filter(|begin| is_within && begin * 2 <= end).unwrap_or(0);
        let breaks = seen[begin..end].iter().enumerate().rev().skip(1).filter(|(_, byte)| is_break(byte));
        begin += breaks.map(|(place, _)| place + 1).nth(most.lines.saturating_sub(1)).unwrap_or(0);
    } else {
        let breaks = seen[..end].iter().enumerate().filter(|(_, byte)| is_break(byte));
        end = breaks.map(|(place, _)| place + 1).nth(most.lines.saturating_sub(1)).unwrap_or(end);
    }
    let is_cut_before = is_within && begin == 0 && end > 0;
    if is_cut_before {
        let is_inner = |place: &usize| seen[*place] & 0b1100_0000 == 0b1000_0000;
        begin = (0..end.min(4)).find(|place| !is_inner(place)).unwrap_or(0);
    }
    let is_cut_after = end > begin && seen[end - 1] != b'\n';
    Part { begin, end, is_cut_before, is_cut_after }
}

/// How many bytes of a text are whole characters: the last one may be cut.
fn whole_characters(bytes: &[u8]) -> usize {
    let lead = bytes.iter().rev().take(4).position(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let Some(behind) = lead else { return bytes.len() };
    let length = match bytes[bytes.len() - 1 - behind] {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    if length > behind + 1 { bytes.len() - 1 - behind } else { bytes.len() }
}

/// Where the line begins in which a byte is; of a very long line that byte itself.
async fn line_begin(outputs: &dyn Outputs, location: &str, from: u64, size: u64) -> Result<u64, Fault> {
    if from == 0 || from >= size {
        return Ok(from.min(size));
    }
    let first = from.saturating_sub(LOOK_BACK);
    let bytes = read(outputs, location, first, from - first).await?.bytes;
    Ok(match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(place) => first + place as u64 + 1,
        None if first == 0 => 0,
        None => from,
    })
}

/// Reads some bytes of an output.
pub(super) async fn read(
    outputs: &dyn Outputs,
    location: &str,
    from: u64,
    length: u64,
) -> Result<Piece, Fault> {
    let gone = || Fault::new(StatusCode::NOT_FOUND, format!("the output at {location} is gone"));
    outputs.read(location, from, length).await?.ok_or_else(gone)
}

/// How many lines end in a text.
pub(super) fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// How many lines end before a byte; `None` of a long output, where they are not counted.
pub(super) async fn lines_before(
    outputs: &dyn Outputs,
    location: &str,
    start: u64,
) -> Result<Option<u64>, Fault> {
    if start > MAX_SKIPPED {
        return Ok(None);
    }
    let (mut at, mut count) = (0, 0);
    while at < start {
        let bytes = read(outputs, location, at, PIECE.min(start - at)).await?.bytes;
        if bytes.is_empty() {
            break;
        }
        count += newlines(&bytes);
        at += bytes.len() as u64;
    }
    Ok(Some(count))
}

/// Some bytes of a text with its secrets masked, those included that begin before them or end behind.
pub(super) fn masked(bytes: &[u8], begin: usize, length: usize) -> Vec<u8> {
    let mut masker = Masker::new().skipping(begin as u64).taking(length as u64);
    let mut shown = masker.push(bytes);
    shown.extend(masker.finish());
    shown
}

/// The lines of a text in which secrets are masked; a line may have one of which the rest stands elsewhere.
pub(super) fn lines(bytes: &[u8], first: u64) -> Vec<Line> {
    let text = String::from_utf8_lossy(bytes);
    let text = anstream::adapter::strip_str(&text).to_string();
    let text = mask(&text);
    let line = |(number, text): (u64, &str)| {
        let text = plain(text.strip_suffix('\r').unwrap_or(text));
        Line { number, text, ..Line::default() }
    };
    (first..)
        .zip(text.strip_suffix('\n').unwrap_or(&text).split('\n'))
        .filter(|_| !bytes.is_empty())
        .map(line)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::texts::Text;
    use super::*;

    /// A line as the tests write it: its number, and its text with `…` where it is cut.
    fn written(line: &Line) -> (u64, String) {
        let mark = |is_cut: bool| if is_cut { "…" } else { "" };
        (line.number, format!("{}{}{}", mark(line.is_cut_before), line.text, mark(line.is_cut_after)))
    }

    async fn seen(text: &str, want: Want, bytes: usize, is_open: bool) -> (Vec<(u64, String)>, u64, u64) {
        let most = Most { bytes, lines: 1_000 };
        let found = window(&Text::of(text), "x", want, most, is_open).await.unwrap();
        (found.lines.iter().map(written).collect(), found.from, found.next)
    }

    fn numbered(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        lines.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[tokio::test]
    async fn window_has_whole_lines_and_their_numbers() {
        let text = "one\ntwo\nthree\nfour";
        for (want, bytes, is_open, lines, from, next) in [
            (Want::From(0), 100, false, &[(1, "one"), (2, "two"), (3, "three"), (4, "four")][..], 0, 18),
            (Want::From(0), 100, true, &[(1, "one"), (2, "two"), (3, "three")], 0, 14),
            (Want::From(4), 100, false, &[(2, "two"), (3, "three"), (4, "four")], 4, 18),
            (Want::From(5), 100, false, &[(2, "two"), (3, "three"), (4, "four")], 4, 18),
            (Want::From(0), 9, false, &[(1, "one"), (2, "two")], 0, 8),
            (Want::On(8, 3), 100, false, &[(3, "three"), (4, "four")], 8, 18),
            (Want::Tail, 5, false, &[(4, "four")], 14, 18),
            (Want::Tail, 4, false, &[(4, "four")], 14, 18),
            (Want::Before(14), 10, false, &[(2, "two"), (3, "three")], 4, 14),
            (Want::Before(99), 5, false, &[(4, "four")], 14, 18),
            (Want::From(18), 9, false, &[], 18, 18),
            (Want::From(99), 9, false, &[], 18, 18),
        ] {
            let found = seen(text, want, bytes, is_open).await;
            assert_eq!(found, (numbered(lines), from, next), "{want:?} {bytes} {is_open}");
        }
        assert_eq!(seen("", Want::Tail, 9, false).await, (numbered(&[]), 0, 0));
        assert_eq!(seen("\n\n", Want::Tail, 9, false).await, (numbered(&[(1, ""), (2, "")]), 0, 2));
    }

    #[tokio::test]
    async fn line_longer_than_the_window_is_shown_cut() {
        let long = "x".repeat(50);
        for (text, want, is_open, lines, from, next) in [
            // The only line, with and without its end; a run that goes on.
            (long.clone(), Want::Tail, false, vec![(1, "…xxxxxxxxxx")], 40, 50),
            (long.clone(), Want::Tail, true, vec![(1, "…xxxxxxxxxx…")], 40, 50),
            (format!("{long}\n"), Want::Tail, false, vec![(1, "…xxxxxxxxx")], 41, 51),
            // After short lines, and before them.
            (format!("a\nb\n{long}"), Want::Tail, false, vec![(3, "…xxxxxxxxxx")], 44, 54),
            (format!("{long}\nc\n"), Want::Tail, false, vec![(1, "…xxxxxxx"), (2, "c")], 43, 53),
            (
                format!("{long}\nc\nd\ne\nf\n"),
                Want::Tail,
                false,
                vec![(2, "c"), (3, "d"), (4, "e"), (5, "f")],
                51,
                59,
            ),
            (format!("{long}\nc\n"), Want::From(0), false, vec![(1, "xxxxxxxxxx…")], 0, 10),
            (format!("{long}\nc\n"), Want::From(45), false, vec![(1, "xxxxxxxxxx…")], 0, 10),
            (format!("{long}\nc\n"), Want::On(10, 1), true, vec![(1, "…xxxxxxxxxx…")], 10, 20),
            (format!("{long}\nc\n"), Want::On(45, 1), true, vec![(1, "…xxxxx"), (2, "c")], 45, 53),
            (format!("{long}\nc\n"), Want::Before(20), false, vec![(1, "…xxxxxxxxxx…")], 10, 20),
            (format!("a\nb\n{long}"), Want::Before(14), false, vec![(3, "xxxxxxxxxx…")], 4, 14),
            // Characters stay whole.
            ("é".repeat(20), Want::From(0), false, vec![(1, "ééééé…")], 0, 10),
            (format!("x{}", "é".repeat(20)), Want::From(0), false, vec![(1, "xéééé…")], 0, 9),
            (format!("{}x", "é".repeat(20)), Want::Tail, false, vec![(1, "…ééééx")], 32, 41),
        ] {
            let found = seen(&text, want, 10, is_open).await;
            assert_eq!(found, (numbered(&lines), from, next), "{want:?} {is_open} {text}");
        }
    }

    #[tokio::test]
    async fn windows_one_after_another_show_every_byte() {
        let text = format!("a\n{}\nb\nc\n{}", "x".repeat(45), "y".repeat(23));
        let most = Most { bytes: 10, lines: 2 };
        let (mut forth, mut place, mut line) = (String::new(), 0, 1);
        while place < text.len() as u64 {
            let found =
                window(&Text::of(text.as_str()), "x", Want::On(place, line), most, false).await.unwrap();
            assert!(found.from == place && found.next > place && found.lines.len() <= 2, "{found:?}");
            for line in &found.lines {
                forth.push_str(&line.text);
                forth.extend((!line.is_cut_after).then_some('\n'));
            }
            (place, line) = (found.next, found.line);
        }
        assert_eq!(forth.trim_end(), text);
        let (mut back, mut place) = (Vec::new(), text.len() as u64);
        while place > 0 {
            let found =
                window(&Text::of(text.as_str()), "x", Want::Before(place), most, false).await.unwrap();
            assert!(found.next == place && found.from < place && found.lines.len() <= 2, "{found:?}");
            let size = found.lines.iter().map(|line| line.text.len()).sum::<usize>();
            back.push((size, found.lines.last().map(|line| line.number)));
            place = found.from;
        }
        let all = text.bytes().filter(|byte| *byte != b'\n').count();
        assert_eq!(back.iter().map(|(size, _)| size).sum::<usize>(), all, "{back:?}");
        assert_eq!((back.first().unwrap().1, back.last().unwrap().1), (Some(5), Some(2)));
    }

    #[tokio::test]
    async fn window_of_short_lines_has_a_limit_of_lines() {
        let text = Text::of("x\n".repeat(500));
        let most = Most { bytes: 10_000, lines: 100 };
        for (want, first, last) in
            [(Want::Tail, 401, 500), (Want::From(0), 1, 100), (Want::Before(400), 101, 200)]
        {
            let found = window(&text, "x", want, most, false).await.unwrap();
            let numbers = (found.lines[0].number, found.lines.last().unwrap().number);
            assert_eq!((numbers, found.lines.len()), ((first, last), 100), "{want:?}");
        }
    }

    #[tokio::test]
    async fn line_shows_neither_colours_nor_secrets() {
        pumice_core::secret::remember("output-canary-9");
        let (lines, ..) =
            seen("\u{1b}[31mred\u{1b}[0m output-canary-9\r\n\u{7}", Want::Tail, 99, false).await;
        assert_eq!(lines, numbered(&[(1, "red *****")]));
        // A window that begins or ends within a secret shows no part of it.
        let text = format!("{}output-canary-9{}", "a".repeat(20), "b".repeat(20));
        for place in 15..40 {
            for want in [Want::From(place), Want::Before(place), Want::On(place, 1)] {
                let shown = format!("{:?}", seen(&text, want, 10, false).await.0);
                assert!(!shown.contains("outp") && !shown.contains("ary"), "{want:?} {shown}");
            }
        }
    }
}
