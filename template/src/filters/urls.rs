//! Filters for URLs.

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::text::escape;
use crate::value::{Text, Val, show};

/// `value|urlencode`: text, or the pairs of a query.
pub(super) fn urlencode(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("urlencode")?;
    let pairs = match value {
        Val::Dict(dict) => dict.read().iter().map(|(key, value)| (key.0.clone(), value.clone())).collect(),
        Val::List(_) | Val::Tuple(_) | Val::View(_) | Val::Iter(_) => {
            let mut pairs = Vec::new();
            for pair in rt.items(value)? {
                let Ok([key, value]) = <[Val; 2]>::try_from(rt.items(&pair)?) else {
                    return fail("urlencode needs pairs of a name and a value");
                };
                pairs.push((key, value));
            }
            pairs
        }
        other => {
            let text = show::text(rt, other)?;
            rt.rewrite(text.as_str())?;
            return rt.text(quote(text.as_str(), "/"));
        }
    };
    let mut out = show::Shown::new(rt);
    for (at, (name, value)) in pairs.iter().enumerate() {
        out.push(if at == 0 { "" } else { "&" })?;
        let name = show::text(rt, name)?;
        let value = show::text(rt, value)?;
        rt.rewrite(value.as_str())?;
        out.push(&quote(name.as_str(), "").replace("%20", "+"))?;
        out.push("=")?;
        out.push(&quote(value.as_str(), "").replace("%20", "+"))?;
    }
    rt.text(out.text)
}

fn quote(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `value|urlize(trim_url_limit, nofollow, target, rel)`: links made of the
/// addresses in text.
pub(super) fn urlize(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [limit, nofollow, target, rel, _schemes] =
        args.bind("urlize", ["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"], 0)?;
    let limit = match limit {
        None | Some(Val::None) => usize::MAX,
        Some(limit) => usize::try_from(call::int(rt, "urlize", "trim_url_limit", &limit)?).unwrap_or(0),
    };
    let mut rels: Vec<String> = match rel {
        None | Some(Val::None) => Vec::new(),
        Some(rel) => show::text(rt, &rel)?.as_str().split_whitespace().map(str::to_owned).collect(),
    };
    if nofollow.is_some_and(|nofollow| nofollow.truth()) {
        rels.push("nofollow".to_owned());
    }
    rels.push("noopener".to_owned());
    rels.sort_unstable();
    rels.dedup();
    let mut attributes = format!(" rel=\"{}\"", escape(&rels.join(" ")));
    if let Some(target) = target.filter(|target| !target.is_none()) {
        attributes += &format!(" target=\"{}\"", escape(show::text(rt, &target)?.as_str()));
    }
    let text = show::text(rt, value)?;
    rt.rewrite(text.as_str())?;
    let safe = if text.is_markup() { text.as_str().to_owned() } else { escape(text.as_str()) };
    let mut out = show::Shown::new(rt);
    for word in safe.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        out.push(&linked(bare, limit, &attributes))?;
        out.push(&word[bare.len()..])?;
    }
    if rt.escaping.get() {
        return Ok(Val::Str(Text::markup(out.text)));
    }
    rt.text(out.text)
}

/// A word as a link, if it is an address; brackets and points around it
/// stay outside.
fn linked(word: &str, limit: usize, attributes: &str) -> String {
    let mut body = word;
    let mut head = String::new();
    while let Some(open) = ["(", "<", "&lt;"].iter().find(|open| body.starts_with(**open)) {
        head.push_str(open);
        body = &body[open.len()..];
    }
    let mut tail = String::new();
    while let Some(close) = [")", ">", ".", ",", "\n", "&gt;"].iter().find(|close| body.ends_with(**close)) {
        if *close == ")" && body.matches('(').count() >= body.matches(')').count() {
            break;
        }
        tail.insert_str(0, close);
        body = &body[..body.len() - close.len()];
    }
    let shown = if body.chars().count() > limit {
        body.chars().take(limit).collect::<String>() + "..."
    } else {
        body.to_owned()
    };
    let web = ["http://", "https://"].iter().find_map(|scheme| body.strip_prefix(*scheme));
    let link = if web.is_some_and(has_domain) {
        Some(format!("<a href=\"{body}\"{attributes}>{shown}</a>"))
    } else if body.starts_with("www.") && has_domain(body) {
        Some(format!("<a href=\"https://{body}\"{attributes}>{shown}</a>"))
    } else if is_mail(body) {
        let address = body.strip_prefix("mailto:").unwrap_or(body);
        Some(format!("<a href=\"mailto:{address}\">{address}</a>"))
    } else {
        None
    };
    match link {
        Some(link) => head + &link + &tail,
        None => word.to_owned(),
    }
}

/// Whether an address begins with a host that can be a domain's.
fn has_domain(rest: &str) -> bool {
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or("");
    let labels: Vec<&str> = host.split('.').collect();
    let last = labels.last().map_or(0, |last| last.chars().count());
    host == "localhost" || (labels.len() > 1 && last >= 2 && labels.iter().all(|label| !label.is_empty()))
}

fn is_mail(word: &str) -> bool {
    let word = word.strip_prefix("mailto:").unwrap_or(word);
    word.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
            && !host.contains('@')
            && word.chars().all(|c| c.is_alphanumeric() || "._%+-@".contains(c))
    })
}
