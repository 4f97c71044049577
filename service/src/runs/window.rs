//! Parts of an output, with secrets masked.

use pumice_core::ports::StoreError;
use pumice_core::secret::{Masker, longest};
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outputs::{AskOutputs, Outputs, Printed, locate};
use crate::failure::Error;
use crate::realm::Realm;

/// How much of an output's end is shown where nothing says how much, in bytes.
pub const TAIL: u64 = 64 * 1024;
/// Most bytes of a part.
pub const MAX_PART: u64 = 1024 * 1024;

/// Most names that an error has.
const FEW: usize = 8;
/// Bytes of the longest character in UTF-8.
const LONGEST_CHARACTER: u64 = 4;

/// Some bytes of an output, with secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where the next part begins: a secret is in one part or in the other.
    pub next: u64,
    /// How many bytes the output has.
    pub size: u64,
}

/// About `most` bytes of an output from `from` on; `None` where it is gone. Bytes at the end that may begin a secret, or are the
/// beginning of a character, are left for the next part where there may be one.
///
/// # Errors
/// [`StoreError`] when it cannot be read.
pub async fn masked(
    outputs: &dyn Outputs,
    location: &str,
    from: u64,
    most: u64,
    is_open: bool,
) -> Result<Option<Masked>, StoreError> {
    // A secret may begin before, and no part is too small to pass a secret.
    let longest = longest() as u64;
    let (before, most) = (longest.min(from), most.max(2 * longest).max(LONGEST_CHARACTER));
    let Some(piece) = outputs.read(location, from - before, before + most).await? else { return Ok(None) };
    let mut masker = Masker::new().skipping(before);
    let mut bytes = masker.push(&piece.bytes);
    let end = from - before + piece.bytes.len() as u64;
    if end >= piece.size && !is_open {
        bytes.extend(masker.finish());
    }
    let mut next = end.saturating_sub(masker.held() as u64).max(from);
    if masker.held() == 0 && (end < piece.size || is_open) {
        next = next.saturating_sub(torn(&mut bytes)).max(from);
    }
    Ok(Some(Masked { bytes, next, size: piece.size }))
}

/// Which part of an output to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadOutput {
    /// The run: its id or the beginning of it, `latest`, or `latest:JOB`.
    pub run: String,
    /// The step: the id of its job, or its place as `/1.2`; the run itself where it has none.
    #[serde(default)]
    pub step: Option<String>,
    /// The attempt; the last one that printed something.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// The output: `stdout`, `stderr`, or a payload and one of them, as `load.sh.stdout`.
    #[serde(default = "stdout")]
    pub name: String,
    /// The byte to begin with; so that the last 64 KiB are read where it is missing.
    #[serde(default)]
    pub from: Option<u64>,
    /// Most bytes to read, at most 1 MiB.
    #[serde(default = "tail")]
    pub limit: u64,
}

fn stdout() -> String {
    "stdout".to_owned()
}

const fn tail() -> u64 {
    TAIL
}

/// A part of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputPart {
    /// Whose output it is; missing where nothing was printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Printed>,
    /// The byte that it begins with.
    pub from: u64,
    /// The byte to go on with.
    pub next: u64,
    /// How many bytes there are so far.
    pub size: u64,
    /// Whether the run goes on, so that there may be more.
    pub is_open: bool,
    /// The text: secrets are masked, and bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Reads a part of an output, of a run that goes on as well: `next` is where to go on.
///
/// # Errors
/// [`Error`] when there is no such run, step or output, or the store cannot be read.
pub async fn read_output(realm: &dyn Realm, request: &ReadOutput) -> Result<OutputPart, Error> {
    if request.limit == 0 || request.limit > MAX_PART {
        return Err(Error::invalid(format!(
            "limit: {} is not between 1 and {MAX_PART} bytes",
            request.limit
        )));
    }
    let asked = AskOutputs { run: request.run.clone(), step: request.step.clone(), since: None };
    let found = locate(realm, &asked).await?;
    let is_open = !found.status.is_end();
    let is_meant = |printed: &&Printed| {
        printed.name == request.name && request.attempt.is_none_or(|attempt| attempt == printed.attempt)
    };
    // The newest first: of what was printed by an attempt that was made again, the last time counts.
    for printed in found.printed.iter().rev().filter(is_meant) {
        let Some(piece) = realm.outputs().read(&printed.location, 0, 0).await? else { continue };
        let from = request.from.unwrap_or_else(|| piece.size.saturating_sub(request.limit));
        let read = masked(realm.outputs(), &printed.location, from, request.limit, is_open).await?;
        let Some(Masked { bytes, next, size }) = read else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return Ok(OutputPart { output: Some(printed.clone()), from, next, size, is_open, text });
    }
    let mut names: Vec<&str> = found.printed.iter().map(|printed| printed.name.as_str()).collect();
    if is_open || names.is_empty() || names.contains(&request.name.as_str()) {
        let from = request.from.unwrap_or(0);
        return Ok(OutputPart { output: None, from, next: from, size: 0, is_open, text: String::new() });
    }
    names.dedup();
    names.truncate(FEW);
    let why = format!("there are {}", names.join(", "));
    Err(Error::not_found(format!("run {} has no output {}: {why}", request.run, quoted(&request.name))))
}

/// Takes the beginning of a character off the end, and says how many bytes that were.
fn torn(bytes: &mut Vec<u8>) -> u64 {
    let tail = bytes.len().saturating_sub(3);
    let begins = (tail..bytes.len()).rev().find(|at| bytes[*at] & 0xc0 == 0xc0);
    let Some(at) = begins else { return 0 };
    let wanted = match bytes[at] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return 0,
    };
    let there = bytes.len() - at;
    if there >= wanted {
        return 0;
    }
    bytes.truncate(at);
    there as u64
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use pumice_core::ports::Piece;

    use super::*;

    struct Bytes(Vec<u8>);

    #[async_trait]
    impl Outputs for Bytes {
        async fn read(&self, _: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
            let place = |at: u64| usize::try_from(at).unwrap().min(self.0.len());
            let bytes = self.0[place(from)..place(from + length)].to_vec();
            Ok(Some(Piece { bytes, size: self.0.len() as u64 }))
        }
    }

    #[tokio::test]
    async fn parts_of_any_size_show_no_part_of_a_secret() {
        pumice_core::secret::remember("window-canary-5521");
        let text = format!("{} window-canary-5521 middle window-canary-552", "x".repeat(70));
        let wanted = text.replace("window-canary-5521", "*****");
        for most in 1..text.len() as u64 {
            let (mut shown, mut at) = (Vec::new(), 0);
            loop {
                let part =
                    masked(&Bytes(text.clone().into_bytes()), "x", at, most, false).await.unwrap().unwrap();
                assert!(part.next > at || part.next == part.size, "{most}: it goes on");
                shown.extend(part.bytes);
                at = part.next;
                if at == part.size {
                    break;
                }
            }
            assert_eq!(String::from_utf8(shown).unwrap(), wanted, "{most}");
        }
        // Where it may grow the end waits for what comes.
        let part = masked(&Bytes(text.clone().into_bytes()), "x", 0, 1_000, true).await.unwrap().unwrap();
        assert_eq!(part.next, text.len() as u64 - 17);
        // From within a secret nothing of it is shown.
        for from in 72..89 {
            let part =
                masked(&Bytes(text.clone().into_bytes()), "x", from, 1_000, false).await.unwrap().unwrap();
            assert!(part.bytes.starts_with(b"***** middle"), "{from}");
        }
    }

    #[test]
    fn beginning_of_a_character_waits_for_its_rest() {
        for (bytes, taken) in [
            (&b"a"[..], 0),
            (b"a\xc3", 1),
            (b"a\xc3\xa9", 0),
            (b"a\xe2\x82", 2),
            (b"\xf0\x9f\x8c", 3),
            (b"\xf0\x9f\x8c\x8b", 0),
            (b"a\xff", 0),
            (b"", 0),
        ] {
            let mut rest = bytes.to_vec();
            assert_eq!(torn(&mut rest), taken, "{bytes:?}");
            assert_eq!(rest.len() as u64, bytes.len() as u64 - taken, "{bytes:?}");
        }
    }
}
