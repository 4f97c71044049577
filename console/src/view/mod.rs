//! Views: data of pages, made ready for templates.

mod command;
mod runs;
mod text;
mod time;
mod tree;

pub(crate) use command::{Words, quote};
pub(crate) use pumice_core::text::counted;
pub(crate) use runs::{RunRow, StatusShown, Tone, about, remark, tone, trigger_words};
pub(crate) use text::{MAX_TEXT, document, document_within, mask_texts, plain};
pub(crate) use time::{Clock, Moment, short};
pub(crate) use tree::tree;

/// A link to a page, with its query.
pub(crate) fn link(path: &str, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(query);
    format!("{path}?{}", written.finish())
}

/// The link to a run.
pub(crate) fn run_link(key: &str) -> String {
    link("/run", &[("id", key)])
}

/// The link to a job.
pub(crate) fn job_link(id: &str) -> String {
    link("/job", &[("id", id)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_brings_every_id_back_as_it_was() {
        for id in [
            "etl/load/01",
            "a b&c=d#e?f%2Fg+h",
            "größe/日本/🚀",
            "a/../b",
            "//x",
            "\"><script>alert(1)</script>",
            "a\nb\u{202e}",
        ] {
            let link = job_link(id);
            assert!(link.is_ascii() && !link.contains([' ', '"', '<', '#', '\n']), "{link}");
            let query = link.strip_prefix("/job?").unwrap();
            let back: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            assert_eq!(back, [("id".into(), id.into())]);
        }
    }
}
