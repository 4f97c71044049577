//! The words dates are written with.

/// The number of the name in `names`, whatever its case.
fn find(names: &[&[&str]], word: &str) -> Option<usize> {
    names.iter().position(|forms| forms.iter().any(|form| form.eq_ignore_ascii_case(word)))
}

/// A weekday, from Monday as 0.
pub(super) fn weekday(word: &str) -> Option<u8> {
    let names: [&[&str]; 7] = [
        &["mon", "monday"],
        &["tue", "tuesday"],
        &["wed", "wednesday"],
        &["thu", "thursday"],
        &["fri", "friday"],
        &["sat", "saturday"],
        &["sun", "sunday"],
    ];
    find(&names, word).map(|day| day as u8)
}

/// A month, from January as 1.
pub(super) fn month(word: &str) -> Option<i64> {
    let names: [&[&str]; 12] = [
        &["jan", "january"],
        &["feb", "february"],
        &["mar", "march"],
        &["apr", "april"],
        &["may"],
        &["jun", "june"],
        &["jul", "july"],
        &["aug", "august"],
        &["sep", "sept", "september"],
        &["oct", "october"],
        &["nov", "november"],
        &["dec", "december"],
    ];
    find(&names, word).map(|month| month as i64 + 1)
}

/// A unit of the clock: hour 0, minute 1, second 2.
pub(super) fn unit(word: &str) -> Option<usize> {
    find(&[&["h", "hour", "hours"], &["m", "minute", "minutes"], &["s", "second", "seconds"]], word)
}

/// The half of the day: `false` before noon, `true` after.
pub(super) fn afternoon(word: &str) -> Option<bool> {
    find(&[&["am", "a"], &["pm", "p"]], word).map(|half| half == 1)
}

/// Words and marks that say nothing.
pub(super) fn is_filler(word: &str) -> bool {
    const FILLERS: [&str; 18] =
        [" ", ".", ",", ";", "-", "/", "'", "at", "on", "and", "ad", "m", "t", "of", "st", "nd", "rd", "th"];
    FILLERS.iter().any(|filler| filler.eq_ignore_ascii_case(word))
}

/// A name of UTC, whatever its case.
pub(super) fn is_utc(word: &str) -> bool {
    ["utc", "gmt", "z"].iter().any(|name| name.eq_ignore_ascii_case(word))
}

/// A name of UTC as dateutil lists them.
pub(super) fn is_listed_utc(word: &str) -> bool {
    ["UTC", "GMT", "Z", "z"].contains(&word)
}
