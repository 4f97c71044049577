//! Reports of refused requests, grouped for people, in bounded memory.

use std::io::{BufRead, BufReader, Seek, Write};

use pumice_core::text::{escaped, shown};
use pumice_service::dispatch::RefusedRequest;
use tempfile::SpooledTempFile;

/// Most reasons that are distinguished. Further ones are counted together.
const MAX_REASONS: usize = 20;
/// How many requests are named that were refused for the reason of an earlier one.
const NAMED: usize = 4;
/// How many bytes of refused requests are kept in memory for a response. The rest is in a file without a name.
const MAX_IN_MEMORY: usize = 256 * 1024;

/// Groups refused requests by their reasons: the first of each reason is reported at once, the others at the end.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    reasons: Vec<Reason>,
    /// Those whose reasons came after the first [`MAX_REASONS`].
    beyond: Later,
}

/// A reason, and which requests were refused for it.
#[derive(Debug)]
struct Reason {
    why: String,
    first: String,
    later: Later,
}

/// Requests that were refused after the first one.
#[derive(Debug, Default)]
struct Later {
    named: Vec<String>,
    count: usize,
}

impl Later {
    fn add(&mut self, request: &str) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(shown(request));
        }
    }

    /// `lines 4, 6, 8, 10 and 1195 more`.
    fn words(&self) -> String {
        let numbers: Option<Vec<&str>> = self.named.iter().map(|one| one.strip_prefix("line ")).collect();
        let more = self.count - self.named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        match numbers {
            Some(numbers) if self.count > 1 => format!("lines {}{more}", numbers.join(", ")),
            _ => format!("{}{more}", self.named.join(", ")),
        }
    }
}

impl Refusals {
    /// Takes a refused request in. Returns the line to report at once; `None` where an earlier one had the same reason.
    pub(crate) fn take(&mut self, refused: &RefusedRequest) -> Option<String> {
        let RefusedRequest { request, error } = refused;
        if let Some(known) = self.reasons.iter_mut().find(|known| known.why == *error) {
            known.later.add(request);
            return None;
        }
        if self.reasons.len() == MAX_REASONS {
            self.beyond.add(request);
            return None;
        }
        let (why, first) = (error.clone(), shown(request));
        let line = format!("{first}: {}", escaped(&why));
        self.reasons.push(Reason { why, first, later: Later::default() });
        Some(line)
    }

    /// The lines for the others, one for each reason that several had, and forgets all.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let Self { reasons, beyond } = std::mem::take(self);
        let again = reasons.iter().filter(|reason| reason.later.count > 0);
        let mut lines: Vec<String> = again
            .map(|Reason { why, first, later }| format!("{}, as {first}: {}", later.words(), escaped(why)))
            .collect();
        if beyond.count > 0 {
            lines.push(format!("{}, for other reasons: -o json has each", beyond.words()));
        }
        lines
    }
}

/// Refused requests that are kept for a response, in a file where they are many.
pub(crate) struct KeptRefusals {
    file: SpooledTempFile,
    is_empty: bool,
}

impl KeptRefusals {
    pub(crate) fn new() -> Self {
        Self { file: SpooledTempFile::new(MAX_IN_MEMORY), is_empty: true }
    }

    /// Keeps a refused request.
    ///
    /// # Errors
    /// The system's error when the file cannot be written.
    pub(crate) fn keep(&mut self, refused: &RefusedRequest) -> std::io::Result<()> {
        self.is_empty = false;
        let mut line = serde_json::to_vec(refused)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Hands on the elements of the JSON list that they are, with the commas between them.
    ///
    /// # Errors
    /// The system's error when the file cannot be read, or the error of `to`.
    pub(crate) fn write<E: From<std::io::Error>>(
        &mut self,
        mut to: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_empty {
            return Ok(());
        }
        self.file.rewind()?;
        let mut between = "";
        for line in BufReader::new(&mut self.file).lines() {
            to(&format!("{between}{}", line?))?;
            between = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: usize, why: &str) -> RefusedRequest {
        RefusedRequest { request: format!("line {line}"), error: why.to_owned() }
    }

    #[test]
    fn equal_reasons_are_one_line_with_numbers_and_a_count() {
        let mut refusals = Refusals::default();
        let reported: Vec<String> =
            (1..=1_200).filter_map(|line| refusals.take(&refused(2 * line, "no such job x"))).collect();
        assert_eq!(reported, ["line 2: no such job x"]);
        assert_eq!(refusals.take(&refused(3, "not JSON")).as_deref(), Some("line 3: not JSON"));
        assert_eq!(refusals.take(&refused(5, "not JSON")), None);
        assert_eq!(
            refusals.rest(),
            ["lines 4, 6, 8, 10 and 1195 more, as line 2: no such job x", "line 5, as line 3: not JSON"]
        );
        assert_eq!(refusals.rest(), [""; 0], "they are reported once");
    }

    #[test]
    fn requests_without_lines_are_named() {
        let mut refusals = Refusals::default();
        let reported = ["etl/a", "etl/b", "etl/c\u{1b}"].map(|job| {
            refusals
                .take(&RefusedRequest { request: job.to_owned(), error: "the store\u{7} is full".to_owned() })
        });
        assert_eq!(reported, [Some("etl/a: the store\\x07 is full".to_owned()), None, None]);
        assert_eq!(refusals.rest(), ["etl/b, etl/c\\x1b, as etl/a: the store\\x07 is full"]);
    }

    #[test]
    fn reasons_that_all_differ_are_counted_and_not_kept() {
        let mut refusals = Refusals::default();
        let reported =
            (1..=100_000).filter_map(|n| refusals.take(&refused(n, &format!("no such job x{n}")))).count();
        assert_eq!(
            (reported, refusals.reasons.len(), refusals.beyond.named.len()),
            (MAX_REASONS, MAX_REASONS, NAMED)
        );
        assert_eq!(
            refusals.rest(),
            ["lines 21, 22, 23, 24 and 99976 more, for other reasons: -o json has each"]
        );
    }

    #[test]
    fn refusals_of_a_response_go_to_a_file_and_come_back() {
        for count in [0, 1, 20_000] {
            let mut kept = KeptRefusals::new();
            let all: Vec<RefusedRequest> = (0..count).map(|n| refused(n, "why\nnot\u{2028}")).collect();
            all.iter().for_each(|one| kept.keep(one).unwrap());
            assert_eq!(kept.file.is_rolled(), count > 10_000, "{count}");
            let mut text = String::new();
            kept.write(|part| -> std::io::Result<()> {
                text.push_str(part);
                Ok(())
            })
            .unwrap();
            assert_eq!(serde_json::from_str::<Vec<RefusedRequest>>(&format!("[{text}]")).unwrap(), all);
        }
    }
}
