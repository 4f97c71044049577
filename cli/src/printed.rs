//! What the commands of runs printed, wherever it is kept.

use std::io::Write;

use pumice_core::ports::StoreError;
use pumice_core::run::Run;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

/// Most lines of a command's output that are shown while runs are followed, and most bytes.
const MAX_LINES: usize = 20;
const MAX_SHOWN_BYTES: u64 = 16 * 1024;

/// Where it is read from.
#[derive(Clone, Debug)]
pub(crate) enum Outputs {
    /// Files of this machine.
    Files,
    /// Files of this machine that are removed at the end.
    PassingFiles,
    /// Objects in S3.
    #[cfg(feature = "aws")]
    Objects(pumice_aws::Objects),
}

/// Where a command's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Where what a run's commands printed is, in their order.
pub(crate) fn places(run: &Run) -> Vec<(Stream, String)> {
    let data = run.result.get("error_data").filter(|data| data.is_object()).unwrap_or(&run.result);
    let outputs = data.get("output").and_then(Value::as_array).into_iter().flatten();
    outputs
        .flat_map(|output| [Stream::Stdout, Stream::Stderr].map(|stream| (stream, output.get(stream.name()))))
        .filter_map(|(stream, place)| Some((stream, place?.as_str()?.to_owned())))
        .collect()
}

type Reader = Box<dyn AsyncBufRead + Send + Unpin>;

async fn open_file(place: &str) -> std::io::Result<(u64, Reader)> {
    let file = tokio::fs::File::open(place).await?;
    Ok((file.metadata().await?.len(), Box::new(BufReader::new(file))))
}

impl Outputs {
    /// What is at a place, and its size in bytes; `None` when it is gone.
    async fn open(&self, place: &str) -> Result<Option<(u64, Reader)>, StoreError> {
        match self {
            Self::Files | Self::PassingFiles => match open_file(place).await {
                Ok(opened) => Ok(Some(opened)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::new(format!("{place}: {error}"))),
            },
            #[cfg(feature = "aws")]
            Self::Objects(objects) => {
                let opened = objects.open(place).await?;
                Ok(opened.map(|(size, reader)| (size, Box::new(reader) as Reader)))
            }
        }
    }

    /// The first lines of all that a run's commands printed, and how much more there is.
    pub(crate) async fn first_lines(&self, run: &Run) -> Vec<String> {
        let mut lines = Vec::new();
        for (_, place) in places(run) {
            match self.first_lines_at(&place).await {
                Ok(found) => lines.extend(found),
                Err(error) => lines.push(format!("… cannot be shown: {error}")),
            }
        }
        lines
    }

    async fn first_lines_at(&self, place: &str) -> Result<Vec<String>, StoreError> {
        let Some((size, reader)) = self.open(place).await? else { return Ok(Vec::new()) };
        let mut parts = reader.take(MAX_SHOWN_BYTES).split(b'\n');
        let mut lines = Vec::new();
        while lines.len() <= MAX_LINES
            && let Some(line) =
                parts.next_segment().await.map_err(|error| StoreError::new(format!("{place}: {error}")))?
        {
            lines.push(shown(&line));
        }
        if lines.len() > MAX_LINES || size > MAX_SHOWN_BYTES {
            lines.truncate(MAX_LINES);
            let place = if matches!(self, Self::PassingFiles) { "--keep DIR keeps them" } else { place };
            lines.push(format!("… {size} bytes in all: {place}"));
        }
        Ok(lines)
    }

    /// Copies what is at a place, as it is; says whether it was still there. A reader that has gone, as
    /// `head` does, is no failure.
    pub(crate) async fn copy(&self, place: &str, to: &mut (dyn Write + Send)) -> Result<bool, StoreError> {
        let Some((_, mut reader)) = self.open(place).await? else { return Ok(false) };
        let failed = |error: std::io::Error| StoreError::new(format!("{place}: {error}"));
        loop {
            let bytes = reader.fill_buf().await.map_err(failed)?;
            let count = bytes.len();
            match to.write_all(bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(true),
                other => other.map_err(failed)?,
            }
            if count == 0 {
                to.flush().map_err(failed)?;
                return Ok(true);
            }
            reader.consume(count);
        }
    }
}

/// A line as a terminal may show it.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.strip_suffix('\r').unwrap_or(&line);
    line.split('\t').map(pumice_core::text::escaped).collect::<Vec<_>>().join("\t")
}
