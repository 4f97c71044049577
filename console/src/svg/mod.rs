//! Pictures: SVG made of data by pure functions. They have classes and no styles of their own, as the pages' policy allows
//! none; what stands in them is escaped here.

mod bars;
mod graph;
mod heat;

pub(crate) use bars::{Bar, Lasted, Span, durations, sparkline};
pub(crate) use graph::{graph_of_job, graph_of_run};
pub(crate) use heat::heat;

/// A text within a picture.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            // XML has no way to write them.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_of_a_picture_cannot_leave_it() {
        assert_eq!(
            super::escape("</svg><script a='\"&'>\u{0}"),
            "&lt;/svg&gt;&lt;script a=&#x27;&quot;&amp;&#x27;&gt;\u{fffd}"
        );
    }
}
