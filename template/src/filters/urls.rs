//! Filters for URLs.

use crate::call::{self, Args};
use crate::fault::{Fault, Outcome, fail};
use crate::methods::text_case::{is_decimal, is_space};
use crate::rrule;
use crate::runtime::Runtime;
use crate::value::text::escape;
use crate::value::{Text, Val, show};

/// `value|urlencode`: text, or the pairs of a query.
pub(super) fn urlencode(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("urlencode")?;
    let pairs = match value {
        Val::Dict(dict) => {
            rt.copy_items(2 * dict.len())?;
            dict.read().iter().map(|(key, value)| (key.0.clone(), value.clone())).collect()
        }
        Val::Object(_) if rrule::of(value).is_none() => {
            let text = show::text(rt, value)?;
            rt.rewrite(text.as_str())?;
            return rt.text(quote(&rt.readable(text.as_str()), "/"));
        }
        Val::List(_)
        | Val::Tuple(_)
        | Val::View(_)
        | Val::Iter(_)
        | Val::Range(_)
        | Val::Bytes(_)
        | Val::Undefined(_)
        | Val::Object(_) => {
            let mut pairs = Vec::new();
            for pair in rt.items(value)? {
                let Ok([key, value]) = <[Val; 2]>::try_from(rt.items(&pair)?) else {
                    return fail("urlencode needs pairs of a name and a value");
                };
                rt.alloc_items(2)?;
                pairs.push((key, value));
            }
            pairs
        }
        other => {
            let text = show::text(rt, other)?;
            rt.rewrite(text.as_str())?;
            rt.room(text.as_str().len().saturating_mul(3))?;
            return rt.text(quote(&rt.readable(text.as_str()), "/"));
        }
    };
    let mut out = show::Shown::new(rt);
    for (at, (name, value)) in pairs.iter().enumerate() {
        out.push(if at == 0 { "" } else { "&" })?;
        let name = show::text(rt, name)?;
        let value = show::text(rt, value)?;
        rt.rewrite(value.as_str())?;
        rt.rewrite(name.as_str())?;
        rt.room(name.as_str().len().max(value.as_str().len()).saturating_mul(6))?;
        out.push(&quote(&rt.readable(name.as_str()), "").replace("%20", "+"))?;
        out.push("=")?;
        out.push(&quote(&rt.readable(value.as_str()), "").replace("%20", "+"))?;
    }
    rt.text(out.text)
}

/// Percent-encoding of all but letters, digits, `_.-~` and these.
pub(crate) fn quote(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) {
            out.push(c);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend([
                '%',
                char::from(HEX[usize::from(byte >> 4)]),
                char::from(HEX[usize::from(byte & 15)]),
            ]);
        }
    }
    out
}

/// `value|urlize(trim_url_limit, nofollow, target, rel)`: links made of the
/// addresses in text.
pub(super) fn urlize(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [limit, nofollow, target, rel, schemes] =
        args.bind("urlize", ["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"], 0)?;
    let limit = match limit {
        None | Some(Val::None) => usize::MAX,
        Some(limit) => usize::try_from(call::int(rt, "urlize", "trim_url_limit", &limit)?).unwrap_or(0),
    };
    let mut rels: Vec<String> = match rel {
        None | Some(Val::None) => Vec::new(),
        Some(rel) => {
            let rel = show::text(rt, &rel)?;
            rt.step(rel.as_str().len() as u64)?;
            rt.alloc(rel.as_str().len().saturating_mul(16))?;
            rel.as_str().split_whitespace().map(str::to_owned).collect()
        }
    };
    if nofollow.is_some_and(|nofollow| nofollow.truth()) {
        rels.push("nofollow".to_owned());
    }
    rels.push("noopener".to_owned());
    rels.sort_unstable();
    rels.dedup();
    let mut attributes = format!(" rel=\"{}\"", escape(rt, &rels.join(" "))?);
    if let Some(target) = target.filter(Val::truth) {
        attributes += &format!(" target=\"{}\"", escape(rt, show::text(rt, &target)?.as_str())?);
    }
    let text = show::text(rt, value)?;
    rt.rewrite(text.as_str())?;
    rt.alloc(text.as_str().len())?;
    let safe = if text.is_markup() { text.as_str().to_owned() } else { escape(rt, text.as_str())? };
    let links = Links { limit, attributes, schemes: schemes_of(rt, schemes)? };
    let mut out = show::Shown::new(rt);
    let mut rest = safe.as_str();
    while !rest.is_empty() {
        rt.step(2)?;
        let blank = rest.len() - rest.trim_start_matches(is_space).len();
        out.push(&rest[..blank])?;
        rest = &rest[blank..];
        let (word, after) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
        links.write(rt, word, &mut out)?;
        rest = after;
    }
    if rt.escaping.get() {
        return Ok(Val::Str(Text::markup(out.text)));
    }
    rt.text(out.text)
}

/// The prefixes that `extra_schemes` lists.
fn schemes_of(rt: &Runtime<'_>, schemes: Option<Val>) -> Outcome<Vec<String>> {
    let mut known = Vec::new();
    for scheme in
        schemes.filter(|schemes| !schemes.is_none()).map_or(Ok(Vec::new()), |list| rt.items(&list))?
    {
        let scheme = call::text(rt, "urlize", "extra_schemes", &scheme)?;
        if !rt.regexes.raw(rt, URI_SCHEME)?.is_match(scheme).unwrap_or(false) {
            return fail(format!("{} is not a valid URI scheme prefix", show::repr_str(scheme)));
        }
        rt.alloc(scheme.len())?;
        known.push(scheme.to_owned());
    }
    Ok(known)
}

const URI_SCHEME: &str = r"\A[\w.+-]{2,}:(?:/){0,2}\z";

/// Whether a word is an address of the web, by Jinja2's pattern: a scheme or
/// `www.` and a domain, a domain of one of a few kinds, or a scheme and the
/// number of a host; then perhaps a port, a path, a query or a fragment.
fn is_web(word: &str) -> bool {
    let after = |prefix: &str| {
        word.get(..prefix.len())
            .filter(|head| head.eq_ignore_ascii_case(prefix))
            .map(|_| &word[prefix.len()..])
    };
    let scheme = after("https://").or_else(|| after("http://"));
    let rest = scheme.unwrap_or(word);
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let port = host.rsplit_once(':').filter(|(_, port)| is_number(port, 5));
    let host = port.map_or(host, |(host, _)| host);
    if scheme.is_some() {
        return is_domain(host) || is_host_number(host);
    }
    let www = host.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("www."));
    (www && is_domain(&host[4..])) || is_known_domain(host)
}

/// Up to `most` decimal digits, at least one.
fn is_number(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && text.chars().all(is_decimal)
}

/// A character of a domain's label.
fn is_label(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '%' | '-')
}

/// Labels, the last of which is a top level domain's.
fn is_domain(host: &str) -> bool {
    let (labels, last) = host.rsplit_once('.').map_or((None, host), |(labels, last)| (Some(labels), last));
    let count = last.chars().count();
    let plain = (2..=63).contains(&count) && last.bytes().all(|b| b.is_ascii_alphabetic());
    let idna = last.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--"))
        && (6..=63).contains(&count)
        && last[4..].chars().all(|c| c != '-' && is_label(c));
    let labelled =
        |labels: &str| labels.split('.').all(|label| !label.is_empty() && label.chars().all(is_label));
    (plain || idna) && labels.is_none_or(labelled)
}

/// Labels of at least two characters, and a top level domain of the first.
fn is_known_domain(host: &str) -> bool {
    let known = ["com", "net", "int", "edu", "gov", "org", "info", "mil"];
    host.rsplit_once('.').is_some_and(|(labels, last)| {
        known.iter().any(|known| last.eq_ignore_ascii_case(known))
            && labels
                .split('.')
                .all(|label| (2..=63).contains(&label.chars().count()) && label.chars().all(is_label))
    })
}

/// `127.0.0.1` or `[::1]`.
fn is_host_number(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let parts: Vec<&str> = inner.split(':').collect();
        let hex = |part: &&str| part.len() <= 4 && part.bytes().all(|b| b.is_ascii_hexdigit());
        // Two parts with their colons, then one to six whose colons may be left out.
        return parts.len() >= 3 && inner.len() <= 40 && parts.iter().all(hex);
    }
    let parts: Vec<&str> = host.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| is_number(part, 3))
}

/// A mail address, by Jinja2's rule.
const MAIL: &str = r"\A\S+@\w[\w.-]*\.\w+\z";

/// Bytes of a word that can be a link: an address has no more.
const LONGEST_LINK: usize = 100_000;

/// How links are written.
struct Links {
    limit: usize,
    attributes: String,
    schemes: Vec<String>,
}

impl Links {
    /// Writes a word, as a link if it is an address; brackets and points
    /// around it stay outside.
    fn write(&self, rt: &Runtime<'_>, word: &str, out: &mut show::Shown<'_, '_>) -> Outcome<()> {
        rt.step(word.len() as u64 / 4)?;
        let mut middle = word;
        while let Some(rest) = ["(", "<", "&lt;"].iter().find_map(|open| middle.strip_prefix(open)) {
            middle = rest;
        }
        let (head, rest) = word.split_at(word.len() - middle.len());
        while let Some(rest) =
            [")", ">", ".", ",", "\n", "&gt;"].iter().find_map(|close| middle.strip_suffix(close))
        {
            middle = rest;
        }
        let mut end = middle.len();
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let (middle, tail) = rest.split_at(end);
            let opened = middle.matches(open).count();
            if opened > middle.matches(close).count() {
                // Brackets that the tail closes go back to the middle, with all before them.
                let closing = tail.match_indices(close).take(opened).last();
                end += closing.map_or(0, |(at, close)| at + close.len());
            }
        }
        let (middle, tail) = rest.split_at(end);
        out.push(head)?;
        self.middle(rt, middle, out)?;
        out.push(tail)
    }

    fn middle(&self, rt: &Runtime<'_>, middle: &str, out: &mut show::Shown<'_, '_>) -> Outcome<()> {
        if middle.len() > LONGEST_LINK {
            return out.push(middle);
        }
        let fits =
            |pattern| Ok::<_, Box<Fault>>(rt.regexes.raw(rt, pattern)?.is_match(middle).unwrap_or(false));
        let attributes = &self.attributes;
        if is_web(middle) {
            let plain = middle.starts_with("https://") || middle.starts_with("http://");
            let scheme = if plain { "" } else { "https://" };
            let shown = match middle.char_indices().nth(self.limit) {
                Some((at, _)) => format!("{}...", &middle[..at]),
                None => middle.to_owned(),
            };
            return out.push(&format!("<a href=\"{scheme}{middle}\"{attributes}>{shown}</a>"));
        }
        if let Some(address) = middle.strip_prefix("mailto:")
            && rt.regexes.raw(rt, MAIL)?.is_match(address).unwrap_or(false)
        {
            return out.push(&format!("<a href=\"{middle}\">{address}</a>"));
        }
        if middle.contains('@') && !middle.starts_with("www.") && !middle.contains(':') && fits(MAIL)? {
            return out.push(&format!("<a href=\"mailto:{middle}\">{middle}</a>"));
        }
        // Jinja2 lets each scheme have its turn.
        let mut middle = middle.to_owned();
        for scheme in &self.schemes {
            rt.step(1)?;
            if middle != *scheme && middle.starts_with(scheme) {
                middle = format!("<a href=\"{middle}\"{attributes}>{middle}</a>");
            }
        }
        out.push(&middle)
    }
}
