//! Patterns over job ids and other names. `*` also crosses `/`. Lava's documents have those of Python's
//! `fnmatch.fnmatchcase`; people's terms and commands have only `*` and `?`, since job ids may have brackets in them.

/// Whether `text` matches `pattern`: `*` any run of characters, `?` one, `[seq]` and `[!seq]` one
/// of a set; case counts, and there is no escape but `[*]` (Python's fnmatch, as lava's `can_fail`).
#[must_use]
pub fn fnmatch(pattern: &str, text: &str) -> bool {
    matched(pattern, text, match_one)
}

/// Whether `text` matches a pattern that a person wrote: `*` any run of characters, `?` one; case counts. `[*]`, `[?]` and `[[]` are
/// the character itself, as [`literal`] writes it, and any other bracket is itself.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    matched(pattern, text, match_plainly)
}

/// Whether a text that a person wrote is a pattern, and not a name.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?']) || text.contains("[[]")
}

/// The text that alone matches a pattern that a person wrote; `None` where others may.
#[must_use]
pub fn only_match(pattern: &str) -> Option<String> {
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut text, mut p) = (String::new(), 0);
    while let Some(rest) = pattern.get(p..).filter(|rest| !rest.is_empty()) {
        let (c, next) = match rest {
            ['[', escaped @ ('*' | '?' | '['), ']', ..] => (*escaped, p + 3),
            ['*' | '?', ..] => return None,
            [c, ..] => (*c, p + 1),
            [] => break,
        };
        text.push(c);
        p = next;
    }
    Some(text)
}

/// Takes one character by the item of the pattern at a place; gives the place after the item.
type MatchOne = fn(&[char], usize, char) -> Option<usize>;

fn matched(pattern: &str, text: &str, match_one: MatchOne) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when a later part does not fit: just after the last star, one further on.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(next) = match_one(&pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((after, at)) = star {
            star = Some((after, at + 1));
            p = after;
            t = at + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The pattern that a text alone matches.
#[must_use]
pub fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    pattern
}

/// The pattern's place after the one-character item at `p`, when that item takes `c`.
fn match_one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match set_end(pattern, p) {
            Some(end) => set_has(&pattern[p + 1..end], c).then_some(end + 1),
            None => (c == '[').then_some(p + 1),
        },
        literal => (literal == c).then_some(p + 1),
    }
}

/// The same for a pattern that a person wrote.
fn match_plainly(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match pattern.get(p..)? {
        ['[', escaped @ ('*' | '?' | '['), ']', ..] => (*escaped == c).then_some(p + 3),
        ['?', ..] => Some(p + 1),
        [literal, ..] => (*literal == c).then_some(p + 1),
        [] => None,
    }
}

/// The place of the `]` that ends the set beginning at `p`; a `]` right at its start is a member.
fn set_end(pattern: &[char], p: usize) -> Option<usize> {
    let mut first = p + 1;
    if pattern.get(first) == Some(&'!') {
        first += 1;
    }
    let from = first + usize::from(pattern.get(first) == Some(&']'));
    (from..pattern.len()).find(|&at| pattern[at] == ']')
}

fn set_has(set: &[char], c: char) -> bool {
    let (negated, set) = match set.split_first() {
        Some(('!', rest)) => (true, rest),
        _ => (false, set),
    };
    let mut at = 0;
    let mut found = false;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            found |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= set[at] == c;
            at += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_of_people_has_two_wildcards_and_literal_brackets() {
        for (pattern, text, expected) in [
            ("a[b]", "a[b]", true),
            ("a[b]", "ab", false),
            ("a[b*", "a[bc", true),
            ("a[!b]", "ac", false),
            ("etl/*", "etl/a/b", true),
            ("?", "[", true),
            ("a[*]", "a*", true),
            ("a[*]", "ab", false),
            ("a[[]b]", "a[b]", true),
            ("[", "[", true),
            ("a[", "a[", true),
            ("*[0]", "x/y[0]", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        for text in ["a", "a[b]", "a*b", "?", "[", "[[", "a[*]", "[?]x"] {
            assert!(matches(&literal(text), text), "{text}");
            assert!(is_pattern(&literal(text)) || literal(text) == text, "{text}");
            assert_eq!(only_match(&literal(text)).as_deref(), Some(text));
        }
        assert!(!matches(&literal("a*"), "ab") && !matches(&literal("a[b]"), "ab"));
    }

    #[test]
    fn pattern_with_a_wildcard_has_no_only_match() {
        for (pattern, only) in [
            ("a*", None),
            ("?", None),
            ("a[b]", Some("a[b]")),
            ("[*]?", None),
            ("a[[]*]", None),
            ("", Some("")),
        ] {
            assert_eq!(only_match(pattern).as_deref(), only, "{pattern}");
        }
    }

    #[test]
    fn matches_as_python_does() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a/b/c", true),
            ("*/job_[0-9][0-9]", "demo/job_01", true),
            ("*/job_[0-9][0-9]", "demo/job_x1", false),
            ("[!a]b", "cb", true),
            ("[!a]b", "ab", false),
            ("[]]", "]", true),
            ("[", "[", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("A", "a", false),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("a**b", "ab", true),
            ("*a*b*c*", "xxaxxbxxc", true),
            ("", "a", false),
            ("\\*", "\\x", true),
        ] {
            assert_eq!(fnmatch(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn literal_matches_its_text_alone() {
        for text in ["etl/load", "a*", "a?b", "[ab]", "[!a]", "]", "[", "*[?]*"] {
            assert!(fnmatch(&literal(text), text), "{text}");
            for other in ["a", "ab", "axb", "b", "aa", ""] {
                assert!(!fnmatch(&literal(text), other), "{text} on {other}");
            }
        }
    }

    #[test]
    fn many_stars_stay_quick() {
        let pattern = "*a".repeat(200);
        assert!(!fnmatch(&pattern, &"a".repeat(150)));
    }
}
