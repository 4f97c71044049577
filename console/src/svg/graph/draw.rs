//! The picture of a graph.

use std::fmt::Write as _;

use super::layout::{Layout, layout};
use super::{Graph, Node};
use crate::svg::bars::class;
use crate::svg::escape;
use crate::view::Tone;

/// Height of a node, and the least room between two.
const HEIGHT: f64 = 28.0;
const GAP: f64 = 14.0;
/// Room between two layers.
const BETWEEN: f64 = 46.0;
/// Width of a letter, about, and of the space next to the letters.
const LETTER: f64 = 6.9;
const BESIDE: f64 = 34.0;
/// Least and greatest width of a node.
const WIDTHS: (f64, f64) = (70.0, 240.0);
/// Room around the picture.
const EDGE: f64 = 8.0;

/// How a picture is turned: layers from left to right, or from top to bottom as chains are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Right,
    Down,
}

/// How large the nodes are, and where.
struct Scale {
    turn: Turn,
    width: f64,
}

impl Scale {
    fn of(graph: &Graph, laid: &Layout) -> Self {
        let longest = graph.nodes.iter().map(|node| label(node).chars().count()).max().unwrap_or(0);
        let width = (longest as f64 * LETTER + BESIDE).clamp(WIDTHS.0, WIDTHS.1);
        // A chain, and what is nearly one, is read from top to bottom.
        let is_slim = laid.layers > 3 && laid.breadth < 2.5;
        Self { turn: if is_slim { Turn::Down } else { Turn::Right }, width }
    }

    /// The middle of what is at a place of a layer.
    fn at(&self, (layer, place): (usize, f64)) -> (f64, f64) {
        let layer = layer as f64;
        match self.turn {
            Turn::Right => (
                EDGE + self.width / 2.0 + layer * (self.width + BETWEEN),
                EDGE + HEIGHT / 2.0 + place * (HEIGHT + GAP),
            ),
            Turn::Down => (
                EDGE + self.width / 2.0 + place * (self.width + GAP),
                EDGE + HEIGHT / 2.0 + layer * (HEIGHT + BETWEEN * 0.6),
            ),
        }
    }

    /// Where edges leave a node, and where they reach one.
    fn ends(&self, (x, y): (f64, f64)) -> ((f64, f64), (f64, f64)) {
        match self.turn {
            Turn::Right => ((x + self.width / 2.0, y), (x - self.width / 2.0, y)),
            Turn::Down => ((x, y + HEIGHT / 2.0), (x, y - HEIGHT / 2.0)),
        }
    }
}

/// The picture.
pub(super) fn draw(graph: &Graph) -> String {
    let laid = layout(graph);
    let scale = Scale::of(graph, &laid);
    let last = scale.at((laid.layers.saturating_sub(1), laid.breadth));
    let (width, height) = (last.0 + scale.width / 2.0 + EDGE, last.1 + HEIGHT / 2.0 + EDGE);
    let mut svg = format!(
        "<svg width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"group\" \
         aria-label=\"{} steps\">",
        graph.nodes.iter().map(Node::count).sum::<usize>()
    );
    edges(&mut svg, &scale, graph, &laid);
    for (node, place) in graph.nodes.iter().zip(&laid.nodes) {
        box_of(&mut svg, &scale, node, scale.at(*place), graph.has_states);
    }
    svg.push_str("</svg>");
    svg
}

/// Length of a tip, and half its width.
const TIP: i64 = 5;
const HALF: i64 = 3;

/// All edges and all tips, each as one path: a large graph has many.
fn edges(svg: &mut String, scale: &Scale, graph: &Graph, laid: &Layout) {
    if graph.edges.is_empty() {
        return;
    }
    let (mut curves, mut tips) = (String::new(), String::new());
    for ((from, to), way) in graph.edges.iter().zip(&laid.edges) {
        edge((&mut curves, &mut tips), scale, laid.nodes[*from], way, laid.nodes[*to]);
    }
    // Writing to a String cannot fail.
    let _ = write!(svg, "<path class=\"edge\" d=\"{curves}\"/><path class=\"tip\" d=\"{tips}\"/>");
}

/// A place in whole units.
fn whole((x, y): (f64, f64)) -> (i64, i64) {
    (x.round() as i64, y.round() as i64)
}

/// A curve from a node by its waypoints to another, with a tip. Each part is relative to the one before, and leaves it as that
/// one ended.
fn edge(
    (curves, tips): (&mut String, &mut String),
    scale: &Scale,
    from: (usize, f64),
    way: &[(usize, f64)],
    to: (usize, f64),
) {
    let (begin, _) = scale.ends(scale.at(from));
    let (_, end) = scale.ends(scale.at(to));
    let (begin, end) = (whole(begin), whole(end));
    let short = match scale.turn {
        Turn::Right => (end.0 - TIP, end.1),
        Turn::Down => (end.0, end.1 - TIP),
    };
    let _ = write!(curves, "M{} {}", begin.0, begin.1);
    let mut last = begin;
    for (part, next) in way.iter().map(|place| whole(scale.at(*place))).chain([short]).enumerate() {
        let (dx, dy) = (next.0 - last.0, next.1 - last.1);
        let _ = match (scale.turn, part) {
            (Turn::Right, 0) => write!(curves, "c{0} 0 {0} {dy} {dx} {dy}", dx / 2),
            (Turn::Right, _) => write!(curves, "s{} {dy} {dx} {dy}", dx / 2),
            (Turn::Down, 0) => write!(curves, "c0 {0} {dx} {0} {dx} {dy}", dy / 2),
            (Turn::Down, _) => write!(curves, "s{dx} {} {dx} {dy}", dy / 2),
        };
        last = next;
    }
    let _ = match scale.turn {
        Turn::Right => write!(tips, "M{} {}v{}l{TIP}-{HALF}z", short.0, short.1 - HALF, 2 * HALF),
        Turn::Down => write!(tips, "M{} {}h{}l-{HALF} {TIP}z", short.0 - HALF, short.1, 2 * HALF),
    };
}

/// The content of a node.
fn label(node: &Node) -> String {
    let count = node.count();
    if count > 1 { format!("{} ×{count}", node.label) } else { node.label.clone() }
}

fn box_of(svg: &mut String, scale: &Scale, node: &Node, (x, y): (f64, f64), has_state: bool) {
    let (left, top) = whole((x - scale.width / 2.0, y - HEIGHT / 2.0));
    let tone = if has_state { class(node.tone()) } else { "plain" };
    let room = ((scale.width - BESIDE + 8.0) / LETTER) as usize;
    let all = label(node);
    let shown = match all.chars().count() > room {
        // The end of a job's id says more than its beginning.
        true => {
            let skipped = all.chars().count() - room.saturating_sub(1);
            format!("…{}", all.chars().skip(skipped).collect::<String>())
        }
        false => all,
    };
    let link = node.href.as_deref().map(escape);
    if let Some(link) = &link {
        let _ = write!(svg, "<a href=\"{link}\">");
    }
    let _ = write!(
        svg,
        "<g class=\"node {tone}\" transform=\"translate({left} {top})\"><title>{}</title><rect class=\"box\" width=\"{:.0}\" \
         height=\"{HEIGHT}\" rx=\"5\"/>",
        escape(&node.title),
        scale.width
    );
    if node.count() > 1 && has_state {
        parts(svg, node, scale.width);
    }
    if has_state {
        let _ = write!(svg, "<text class=\"sign\" x=\"8\" y=\"18\">{}</text>", sign(node.tone()));
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"18\">{}</text></g>",
        if has_state { "23" } else { "10" },
        escape(&shown)
    );
    if link.is_some() {
        svg.push_str("</a>");
    }
}

/// A bar of how the steps of a node stand, along its lower side.
fn parts(svg: &mut String, node: &Node, width: f64) {
    let (mut x, all) = (3.0, node.count() as f64);
    for (tone, count) in &node.parts {
        let part = (width - 6.0) * *count as f64 / all;
        let _ = write!(
            svg,
            "<rect class=\"part {}\" x=\"{x:.1}\" y=\"24\" width=\"{part:.1}\" height=\"3\"/>",
            class(*tone)
        );
        x += part;
    }
}

/// The sign of a colour, for readers that see none.
const fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✗",
        Tone::Odd => "–",
        Tone::Busy => "▶",
        Tone::Calm => "○",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{graph, layered};
    use super::*;

    #[test]
    fn picture_has_every_node_and_edge() {
        let one = layered(4, 3);
        let svg = draw(&one);
        assert_eq!(svg.matches("<g class=\"node good\" ").count(), one.nodes.len());
        let path = |class: &str| {
            svg.split(&format!("class=\"{class}\" d=\"")).nth(1).unwrap().split('"').next().unwrap()
        };
        for class in ["edge", "tip"] {
            assert_eq!(path(class).matches('M').count(), one.edges.len(), "{class}");
        }
        assert!(!draw(&layered(1, 2)).contains("<path"), "there are no edges");
        assert_eq!((svg.matches("<svg").count(), svg.matches("</svg>").count()), (1, 1));
    }

    #[test]
    fn name_of_a_job_cannot_leave_its_text() {
        let mut one = graph(&["</text><script>alert(1)</script>".to_owned()], &[]);
        one.nodes[0].href = Some("/job?id=\"onload=\"x".to_owned());
        let svg = draw(&one);
        assert!(!svg.contains("<script") && !svg.contains("\"onload"), "{svg}");
    }

    #[test]
    fn chain_goes_down_and_a_fan_goes_right() {
        let turn = |one: &Graph| Scale::of(one, &layout(one)).turn;
        assert_eq!(turn(&layered(8, 1)), Turn::Down);
        assert_eq!(turn(&layered(3, 6)), Turn::Right);
    }

    #[test]
    fn long_name_keeps_its_end() {
        let one = graph(&[format!("etl/{}/load", "x".repeat(80))], &[]);
        let svg = draw(&one);
        assert!(svg.contains("xx/load</text>") && svg.contains(">…x"), "{svg}");
    }
}
