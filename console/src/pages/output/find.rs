//! Looks for a text in an output.

use axum::http::StatusCode;
use pumice_core::secret::longest;
use pumice_service::runs::Outputs;
use serde::Serialize;

use super::window::{Line, MAX_SKIPPED, PIECE, lines, lines_before, masked, read};
use crate::answer::Fault;

/// Most lines that a search shows.
pub(super) const MAX_HITS: usize = 100;
/// Longest text that is looked for, in bytes.
pub(super) const MAX_WANTED: usize = 200;
/// Most bytes that are searched as one: a longer line is searched in parts that overlap, each of which a window has room for.
const MAX_PART: usize = 16 * 1024;
/// How far such parts overlap, secrets aside: the text that is looked for may have colours in it.
const OVERLAP: usize = MAX_WANTED + 1024;
/// How much of a line stands before the text that was found in it, and how much of it is shown, in characters.
const LEAD: usize = 80;
const SHOWN: usize = 400;

/// A line that has the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Hit {
    pub(super) line: Line,
    /// A place from which a window shows it.
    pub(super) at: u64,
}

/// The hits, and where to look on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Hits {
    pub(super) hits: Vec<Hit>,
    /// Where the search stopped, when it did before the end.
    pub(super) next: Option<u64>,
}

/// The lines of an output from a byte on that have a text in them, of either case, as they are shown: nothing that is masked
/// is found.
pub(super) async fn search(
    outputs: &dyn Outputs,
    location: &str,
    text: &str,
    from: u64,
) -> Result<Hits, Fault> {
    let Some(before) = lines_before(outputs, location, from).await? else {
        let why = format!("from: lines behind byte {MAX_SKIPPED} are not searched");
        return Err(Fault::new(StatusCode::BAD_REQUEST, why));
    };
    // A secret may begin before.
    let margin = longest();
    let base = from.saturating_sub(margin as u64);
    let mut looking = Looking {
        wanted: text.to_lowercase(),
        margin,
        buffer: Vec::new(),
        base,
        place: usize::try_from(from - base).unwrap_or(usize::MAX),
        number: before + 1,
        is_found: false,
        found: Hits::default(),
    };
    let mut at = base;
    loop {
        let piece = read(outputs, location, at, PIECE).await?;
        at += piece.bytes.len() as u64;
        let is_end = at >= piece.size || piece.bytes.is_empty();
        looking.buffer.extend(piece.bytes);
        looking.look(is_end);
        let next = looking.base + looking.place as u64;
        if looking.found.hits.len() >= MAX_HITS || (!is_end && at - base > MAX_SKIPPED) {
            return Ok(Hits { next: (next < piece.size).then_some(next), ..looking.found });
        }
        if is_end {
            return Ok(looking.found);
        }
        looking.forget();
    }
}

/// A search on its way through an output.
struct Looking {
    /// The text, in lower case.
    wanted: String,
    /// How many bytes around a part may belong to a secret that is partly in it.
    margin: usize,
    /// The bytes that were read and are still needed, and the place of the first of them.
    buffer: Vec<u8>,
    base: u64,
    /// The first byte of the buffer that was not searched.
    place: usize,
    /// The number of its line, and whether that line has been found already.
    number: u64,
    is_found: bool,
    found: Hits,
}

impl Looking {
    /// Searches the lines of the buffer, and the parts of one that is very long, until more is to be read.
    fn look(&mut self, is_end: bool) {
        while self.place < self.buffer.len() && self.found.hits.len() < MAX_HITS {
            let rest = &self.buffer[self.place..];
            let line_end = rest.iter().take(MAX_PART).position(|byte| *byte == b'\n').map(|place| place + 1);
            let length = match line_end {
                Some(length) => length,
                None if is_end && rest.len() <= MAX_PART => rest.len(),
                None if is_end || rest.len() > MAX_PART + self.margin => MAX_PART,
                None => return,
            };
            if !self.is_found {
                self.look_in(length);
            }
            let is_last = line_end.is_some() || (is_end && self.place + length == self.buffer.len());
            if is_last {
                self.place += length;
                self.number += u64::from(line_end.is_some());
                self.is_found = false;
            } else {
                self.place += length - (OVERLAP + self.margin).min(length / 2);
            }
        }
    }

    /// Searches one part.
    fn look_in(&mut self, length: usize) {
        let first = self.place.saturating_sub(self.margin);
        let behind = (self.place + length + self.margin).min(self.buffer.len());
        let text = masked(&self.buffer[first..behind], self.place - first, length);
        let Some(line) = lines(&text, self.number).pop() else { return };
        let Some(place) = place_of(&line.text, &self.wanted) else { return };
        self.is_found = true;
        self.found.hits.push(Hit { line: excerpt(line, place), at: self.base + self.place as u64 });
    }

    /// Lets go of the bytes that are not needed any more.
    fn forget(&mut self) {
        let gone = self.place.saturating_sub(self.margin);
        self.buffer.drain(..gone);
        self.base += gone as u64;
        self.place -= gone;
    }
}

/// Where a text has another one in it that is in lower case.
fn place_of(text: &str, wanted: &str) -> Option<usize> {
    let found = text.to_lowercase().find(wanted)?;
    let mut lowered = 0;
    // A character in lower case may have another length.
    let place = text.char_indices().find(|(_, c)| {
        let is_there = lowered >= found;
        lowered += c.to_lowercase().map(char::len_utf8).sum::<usize>();
        is_there
    });
    Some(place.map_or(text.len(), |(place, _)| place))
}

/// The part of a line around a place.
fn excerpt(line: Line, place: usize) -> Line {
    let begin = line.text[..place].char_indices().rev().nth(LEAD - 1).map_or(0, |(begin, _)| begin);
    let end = line.text[begin..].char_indices().nth(SHOWN).map_or(line.text.len(), |(end, _)| begin + end);
    Line {
        number: line.number,
        is_cut_before: begin > 0,
        is_cut_after: end < line.text.len(),
        text: line.text[begin..end].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::texts::Text;
    use super::*;

    async fn found(text: &str, wanted: &str, from: u64) -> Vec<(u64, String, u64)> {
        let found = search(&Text::of(text), "x", wanted, from).await.unwrap();
        found.hits.into_iter().map(|hit| (hit.line.number, hit.line.text, hit.at)).collect()
    }

    #[tokio::test]
    async fn search_finds_lines_as_they_are_shown() {
        pumice_core::secret::remember("search-canary-77");
        let text =
            format!("one\nTwo \u{1b}[1mreds\u{1b}[0m\n{}\nsearch-canary-77 red\nred", "x".repeat(70_000));
        let all = vec![
            (2, "Two reds".to_owned(), 4),
            (4, "***** red".to_owned(), 70_022),
            (5, "red".to_owned(), 70_043),
        ];
        assert_eq!(found(&text, "RED", 0).await, all);
        assert_eq!(found(&text, "red", 21).await, all[1..]);
        assert!(found(&text, "canary", 0).await.is_empty() && found(&text, "none", 0).await.is_empty());
        // Nor is the rest of a secret, wherever the search begins.
        for from in 70_022..70_040 {
            assert!(found(&text, "77", from).await.is_empty(), "{from}");
        }
        let many = Text::of("red\n".repeat(MAX_HITS + 1));
        let found = search(&many, "x", "red", 0).await.unwrap();
        assert_eq!((found.hits.len(), found.next), (MAX_HITS, Some(4 * MAX_HITS as u64)));
    }

    #[tokio::test]
    async fn search_counts_a_long_line_as_one() {
        let long = format!("first\n{}\nneedle here\nlast", "x".repeat(2 * 1024 * 1024));
        let hits = found(&long, "needle", 0).await;
        assert_eq!(hits, [(3, "needle here".to_owned(), 7 + 2 * 1024 * 1024)]);
        // However often a line has it, it is one line.
        let hits = found(&"x".repeat(500_000), "xxx", 0).await;
        assert_eq!((hits.len(), hits[0].0, hits[0].2), (1, 1, 0));
        assert!(hits[0].1.len() <= SHOWN);
    }

    #[tokio::test]
    async fn search_finds_text_across_the_pieces_of_a_long_line() {
        let places = [MAX_PART, 4 * MAX_PART, PIECE as usize, 2 * PIECE as usize].into_iter();
        for place in places.flat_map(|border| border - 8..border + 3) {
            let text = format!("{}needle{}\nneedle\n", "z".repeat(place), "z".repeat(70_000));
            let hits = found(&text, "needle", 0).await;
            assert_eq!(hits.iter().map(|hit| hit.0).collect::<Vec<_>>(), [1, 2], "{place}");
            assert!(hits[0].1.contains("needle"), "{place}");
            let window = hits[0].2..hits[0].2 + MAX_PART as u64;
            assert!(window.contains(&(place as u64)) && window.contains(&(place as u64 + 5)), "{place}");
        }
    }

    #[test]
    fn place_is_that_of_the_text_and_not_of_its_lower_case() {
        assert_eq!(place_of("İİ needle", "needle"), Some("İİ ".len()));
        assert_eq!((place_of("NEEDLE", "needle"), place_of("x", "needle")), (Some(0), None));
    }
}
