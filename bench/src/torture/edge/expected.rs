//! The expected output and files of each step, by its script.

use std::fmt::Write;

use pumice_core::run::Run;

use super::jobs::LINES;

/// The output and files of one attempt of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// Files below `LAVA_S3_TMP`.
    pub(super) files: Vec<(String, String)>,
}

/// The attempt in which a step ends well when nothing disturbs it.
pub(super) fn attempts(job: &str) -> u32 {
    match job {
        "retry" => 3,
        "keep" | "add" => 2,
        _ => 1,
    }
}

/// The output and files of an attempt of an honest step. `id` is its name in its script: its place and its attempt.
pub(super) fn left(run: &Run, attempt: u32, id: &str) -> Left {
    let mut left = Left::default();
    let job = run.job_id.as_str();
    let text = match job {
        "print" => {
            left.stderr = format!("c {id}\nf {id}\n").into_bytes();
            left.stdout = format!("a {id}\nb {id}\nc {id}\nd").into_bytes();
            left.stdout.extend([0, 0xff]);
            format!(" {id}\ne {id}\n{}", numbers(LINES))
        }
        "retry" => {
            left.stderr = format!("why {id}\n").into_bytes();
            format!("try {id}\n")
        }
        "keep" => {
            left.files = (1..=attempt).map(|n| (format!("{n}.txt"), format!("{n}\n"))).collect();
            format!("kept {id}\n")
        }
        "files" => {
            left.files = (1..=3).map(|n| (format!("{n}.txt"), format!("{n} {id}\n"))).collect();
            left.files.push(("sub/deep".to_owned(), format!("deep {id}\n")));
            format!("files {id}\n")
        }
        "make" => format!("made {id}\n"),
        "add" => format!("added {id}\n"),
        "total" => format!("note\n{}{}\ntotal {id}\n", numbers(100), run.run_id),
        "put" => format!("put {id}\n"),
        "get" => format!("{} {}\ngot {id}\n", item(run), run.run_id),
        _ => format!("forked {id}\n"),
    };
    left.stdout.extend(text.into_bytes());
    left
}

fn numbers(count: usize) -> String {
    (1..=count).fold(String::new(), |mut text, number| {
        // Writing to a text never fails.
        let _ = writeln!(text, "{number}");
        text
    })
}

/// The item of a foreach that a step of its chain is for: the key names the steps on the way.
fn item(run: &Run) -> &str {
    run.key.as_str().split('/').nth(1).and_then(|step| step.split_once('.')).map_or("", |(_, step)| step)
}
