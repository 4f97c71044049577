//! The forms that templates give a text: what masks a secret must know them.

use crate::filters::{json, urls};
use crate::value::show;

/// A text in the forms of the filters `tojson`, `urlencode` and `escape`, of Python's `repr`, and of `replace` where it doubles
/// quotes, as SQL wants, or puts a backslash before them. Forms that are the text itself are left out.
#[must_use]
pub fn encoded_forms(text: &str) -> Vec<String> {
    let bare = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    let slashes = text.replace('\\', r"\\");
    let html = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;");
    let mut forms = vec![
        bare(json::quoted(text, true, true)),
        bare(json::quoted(text, false, true)),
        bare(json::quoted(text, false, false)),
        urls::quote(text, "/"),
        urls::quote(text, ""),
        urls::quote(text, "").replace("%20", "+"),
        bare(show::repr_str(text)),
        slashes.replace('\'', r"\'"),
        slashes.replace('"', "\\\""),
        html,
        text.replace('\'', "''"),
        text.replace('"', "\"\""),
    ];
    forms.sort_unstable();
    forms.dedup();
    forms.retain(|form| form != text);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Renderer, Value, Zone};

    #[test]
    fn forms_are_those_that_templates_render() {
        let renderer = Renderer::default();
        for text in
            ["S3cret&Pass/word+1", "it's \"so\" <b>", "plain", "it's", "a\\b\n€ x=%", "two  'a' \"b\" \\"]
        {
            let forms = encoded_forms(text);
            for template in [
                "{{ x | tojson }}",
                "{{ x | urlencode }}",
                "{{ {'k': x} | urlencode }}",
                "{{ {'k': x} }}",
                "{{ [x] | pprint }}",
                "{{ x | e }}",
                "{{ x | replace(\"'\", \"''\") }}",
                "{{ x | replace('\"', '\"\"') }}",
                "{{ x }}",
            ] {
                let mut context = Context::new(Zone::Utc);
                context.insert("x", Value::text(text));
                let rendered = renderer.render(template, &context).unwrap();
                let is_known = std::iter::once(text)
                    .chain(forms.iter().map(String::as_str))
                    .any(|form| rendered.contains(form));
                assert!(is_known, "{template} of {text:?} gives {rendered}: {forms:?}");
            }
        }
        assert!(encoded_forms("plain-text_1").is_empty());
    }
}
