//! Text into runs of letters, numbers, and single other characters.

/// The kind of a token so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Word,
    Number,
    /// Letters with dots in between.
    DottedWord,
    /// Digits with dots in between.
    DottedNumber,
}

/// Splits a text. A dot is a decimal point or a separator, which only the characters after it
/// decide; so dotted runs are taken whole and split after.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut chars = text.chars().filter(|c| *c != '\0').peekable();
    let mut tokens = Vec::new();
    while chars.peek().is_some() {
        token(&mut chars, &mut tokens);
    }
    tokens
}

fn token(chars: &mut std::iter::Peekable<impl Iterator<Item = char>>, tokens: &mut Vec<String>) {
    let mut token = String::new();
    let mut state = State::Start;
    let mut letters = false;
    while let Some(c) = chars.peek().copied() {
        let ends_in_dot = token.ends_with('.');
        state = match state {
            State::Start => {
                chars.next();
                token.push(if c.is_whitespace() { ' ' } else { c });
                if c.is_alphabetic() {
                    state = State::Word;
                } else if is_digit(c) {
                    state = State::Number;
                } else {
                    break;
                }
                continue;
            }
            State::Word if c.is_alphabetic() => State::Word,
            State::Word if c == '.' => State::DottedWord,
            State::Number if is_digit(c) => State::Number,
            State::Number if c == '.' || (c == ',' && token.len() >= 2) => State::DottedNumber,
            State::DottedWord if c == '.' || c.is_alphabetic() => State::DottedWord,
            State::DottedWord if is_digit(c) && ends_in_dot => State::DottedNumber,
            State::DottedNumber if c == '.' || is_digit(c) => State::DottedNumber,
            State::DottedNumber if c.is_alphabetic() && ends_in_dot => State::DottedWord,
            _ => {
                letters |= matches!(state, State::Word | State::DottedWord);
                break;
            }
        };
        letters |= c.is_alphabetic();
        token.push(c);
        chars.next();
    }
    letters |= matches!(state, State::DottedWord);
    let dotted = matches!(state, State::DottedWord | State::DottedNumber);
    let separators = letters || token.matches('.').count() > 1 || token.ends_with(['.', ',']);
    if dotted && separators {
        split_dots(&token, tokens);
    } else if state == State::DottedNumber && !token.contains('.') {
        tokens.push(token.replace(',', "."));
    } else {
        tokens.push(token);
    }
}

fn split_dots(token: &str, tokens: &mut Vec<String>) {
    let mut part = String::new();
    for c in token.chars() {
        if matches!(c, '.' | ',') {
            if !part.is_empty() {
                tokens.push(std::mem::take(&mut part));
            }
            tokens.push(c.to_string());
        } else {
            part.push(c);
        }
    }
    if !part.is_empty() {
        tokens.push(part);
    }
}

/// A character Python's `isdigit` accepts, of which only the ASCII ones
/// later read as numbers.
pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_as_dateutil_does() {
        assert_eq!(split("4:30:21.447"), ["4", ":", "30", ":", "21.447"]);
        assert_eq!(split("Sep.20.2009"), ["Sep", ".", "20", ".", "2009"]);
        assert_eq!(split("10h36m28.5s"), ["10", "h", "36", "m", "28.5", "s"]);
        assert_eq!(split("04:05:06,789"), ["04", ":", "05", ":", "06.789"]);
        assert_eq!(split("1 March\t2026"), ["1", " ", "March", " ", "2026"]);
    }
}
