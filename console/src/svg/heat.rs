//! A heat strip: how many there are in each minute, an hour a row.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape;

/// Width of a minute and height of an hour, in the picture's own units.
const CELL: usize = 10;
/// Room for the name of an hour.
const LABEL: usize = 34;
/// The shades, by the share of the fullest minute that a minute has at least, in percent.
const SHADES: [(u64, &str); 4] = [(75, "h4"), (50, "h3"), (25, "h2"), (0, "h1")];

/// Rows of minutes, each darker the more there are in it. `hours` are the names of the rows; a minute is counted from the
/// beginning of the first.
pub(crate) fn heat(counts: &BTreeMap<usize, u64>, hours: &[String], title: &str) -> String {
    let most = counts.values().copied().max().unwrap_or(0).max(1);
    let title = escape(title);
    let (width, height) = (LABEL + 60 * CELL, hours.len() * CELL);
    let mut svg = format!(
        "<svg class=\"heat\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>"
    );
    for (row, hour) in hours.iter().enumerate() {
        let (y, hour) = (row * CELL, escape(hour));
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{}\">{hour}</text><rect class=\"way\" x=\"{LABEL}\" y=\"{y}\" width=\"{}\" height=\"{}\"/>",
            y + CELL - 2,
            60 * CELL,
            CELL - 1
        );
        let shade = |minute: usize| {
            let count = *counts.get(&(row * 60 + minute))?;
            let percent = count * 100 / most;
            (count > 0)
                .then(|| SHADES.iter().find(|(least, _)| percent >= *least).map_or("h1", |(_, class)| class))
        };
        // Minutes side by side with one shade are one rectangle.
        let mut minute = 0;
        while minute < 60 {
            let class = shade(minute);
            let length = (minute..60).take_while(|other| shade(*other) == class).count();
            if let Some(class) = class {
                let (x, width) = (LABEL + minute * CELL, length * CELL - 1);
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\"/>",
                    CELL - 1
                );
            }
            minute += length;
        }
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minute_is_darker_the_more_there_are_in_it() {
        let counts = BTreeMap::from([(0, 1), (59, 4), (60, 2), (61, 2), (62, 3)]);
        let svg = heat(&counts, &["09:00".to_owned(), "1<0".to_owned()], "starts");
        for cell in [
            "class=\"h2\" x=\"34\" y=\"0\" width=\"9\"",
            "class=\"h4\" x=\"624\" y=\"0\" width=\"9\"",
            "class=\"h3\" x=\"34\" y=\"10\" width=\"19\"",
            "class=\"h4\" x=\"54\" y=\"10\" width=\"9\"",
            ">1&lt;0</text>",
        ] {
            assert!(svg.contains(cell), "{cell}: {svg}");
        }
        assert_eq!(svg.matches("class=\"h").count() - 1, 4, "the picture has a class, too: {svg}");
    }

    #[test]
    fn day_of_starts_each_minute_is_small() {
        let counts: BTreeMap<usize, u64> = (0..1_500).map(|minute| (minute, 7)).collect();
        let hours: Vec<String> = (0..25).map(|hour| format!("{hour}:00")).collect();
        let svg = heat(&counts, &hours, "starts");
        assert!(svg.matches("class=\"h4\"").count() == 25 && svg.len() < 6_000, "{}", svg.len());
    }
}
