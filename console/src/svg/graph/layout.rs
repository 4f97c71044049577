//! Where nodes are: layers by the longest way, an order within each that has few crossings, places near what they hang on.
//!
//! The method is Sugiyama's: edges that pass layers get a waypoint in each, waypoints and nodes are ordered by the mean place
//! of their neighbours, and then moved towards it as far as others leave room.

use super::Graph;

/// How often the order is improved, down and up.
const SWEEPS: usize = 4;
/// Most waypoints: with more of them, edges go straight.
const MAX_WAYPOINTS: usize = 6_000;

/// Where everything is: the layer, and the place across the layers in units of one node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// Of each node.
    pub(super) nodes: Vec<(usize, f64)>,
    /// Of each edge: the waypoints between its ends.
    pub(super) edges: Vec<Vec<(usize, f64)>>,
    /// How many layers there are.
    pub(super) layers: usize,
    /// The last place, from 0.
    pub(super) breadth: f64,
}

/// A node or a waypoint.
#[derive(Clone, Debug, Default)]
struct Dot {
    layer: usize,
    /// Its neighbours in the layer before and in the next.
    above: Vec<usize>,
    below: Vec<usize>,
    /// How much room it takes.
    room: f64,
    place: f64,
}

/// Lays a graph out.
pub(super) fn layout(graph: &Graph) -> Layout {
    let ranks = graph.ranks();
    let mut dots: Vec<Dot> =
        ranks.iter().map(|layer| Dot { layer: *layer, room: 1.0, ..Dot::default() }).collect();
    let spans = graph.edges.iter().map(|(from, to)| ranks[*to].saturating_sub(ranks[*from] + 1));
    let has_waypoints = spans.sum::<usize>() <= MAX_WAYPOINTS;
    let mut ways: Vec<Vec<usize>> = Vec::with_capacity(graph.edges.len());
    for (from, to) in &graph.edges {
        let (mut way, mut last) = (Vec::new(), *from);
        if has_waypoints {
            for layer in ranks[*from] + 1..ranks[*to] {
                let dot = dots.len();
                dots.push(Dot { layer, above: vec![last], room: 0.4, ..Dot::default() });
                dots[last].below.push(dot);
                way.push(dot);
                last = dot;
            }
        }
        if dots[last].layer + 1 == ranks[*to] {
            dots[last].below.push(*to);
            dots[*to].above.push(last);
        }
        ways.push(way);
    }
    let layers = ranks.iter().max().map_or(0, |most| most + 1);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); layers];
    for (number, dot) in dots.iter().enumerate() {
        order[dot.layer].push(number);
    }
    ordered(&mut dots, &mut order);
    placed(&mut dots, &order);
    let least = dots.iter().map(|dot| dot.place).fold(f64::INFINITY, f64::min);
    let least = if least.is_finite() { least } else { 0.0 };
    let at = |dot: &usize| (dots[*dot].layer, dots[*dot].place - least);
    let nodes: Vec<(usize, f64)> = (0..graph.nodes.len()).map(|node| at(&node)).collect();
    let breadth = dots.iter().map(|dot| dot.place - least).fold(0.0, f64::max);
    Layout { nodes, edges: ways.iter().map(|way| way.iter().map(at).collect()).collect(), layers, breadth }
}

/// The mean place of neighbours; `None` without any.
fn mean(dots: &[Dot], neighbours: &[usize]) -> Option<f64> {
    let sum: f64 = neighbours.iter().map(|dot| dots[*dot].place).sum();
    (!neighbours.is_empty()).then(|| sum / neighbours.len() as f64)
}

/// Orders each layer by the mean place of its neighbours, down and up in turn.
fn ordered(dots: &mut [Dot], order: &mut [Vec<usize>]) {
    let number = |dots: &mut [Dot], layer: &[usize]| {
        for (place, dot) in layer.iter().enumerate() {
            dots[*dot].place = place as f64;
        }
    };
    order.iter().for_each(|layer| number(dots, layer));
    for sweep in 0..SWEEPS {
        let is_down = sweep % 2 == 0;
        for step in 0..order.len() {
            let place = if is_down { step } else { order.len() - 1 - step };
            let layer = &mut order[place];
            let key = |dot: &usize| {
                let one = &dots[*dot];
                mean(dots, if is_down { &one.above } else { &one.below }).unwrap_or(one.place)
            };
            let mut keyed: Vec<(f64, usize)> = layer.iter().map(|dot| (key(dot), *dot)).collect();
            // The sort is stable: what is equal stays as it is.
            keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
            *layer = keyed.into_iter().map(|(_, dot)| dot).collect();
            number(dots, layer);
        }
    }
}

/// Moves what is in a layer towards its neighbours, in its order and without overlaps.
fn placed(dots: &mut [Dot], order: &[Vec<usize>]) {
    for layer in order {
        let mut at = 0.0;
        let width: f64 = layer.iter().map(|dot| dots[*dot].room).sum();
        for dot in layer {
            let half = dots[*dot].room / 2.0;
            at += half;
            dots[*dot].place = at - width / 2.0;
            at += half;
        }
    }
    for sweep in 0..SWEEPS {
        let is_down = sweep % 2 == 0;
        for step in 0..order.len() {
            let layer = &order[if is_down { step } else { order.len() - 1 - step }];
            let wanted: Vec<f64> = layer
                .iter()
                .map(|dot| {
                    let one = &dots[*dot];
                    mean(dots, if is_down { &one.above } else { &one.below }).unwrap_or(one.place)
                })
                .collect();
            let mut given: Vec<f64> = Vec::with_capacity(layer.len());
            for (place, dot) in layer.iter().enumerate() {
                let least = place
                    .checked_sub(1)
                    .map(|before| given[before] + (dots[layer[before]].room + dots[*dot].room) / 2.0);
                given.push(least.map_or(wanted[place], |least| wanted[place].max(least)));
            }
            // Pushed aside in one direction alone, the layer would drift.
            let drift: f64 = given.iter().zip(&wanted).map(|(given, wanted)| given - wanted).sum();
            let drift = drift / layer.len().max(1) as f64;
            for (dot, place) in layer.iter().zip(given) {
                dots[*dot].place = place - drift;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{graph, layered};
    use super::*;

    #[test]
    fn nodes_of_a_layer_do_not_overlap_and_edges_go_on() {
        for one in [layered(1, 1), layered(6, 5), layered(40, 1), layered(3, 60), graph(&[], &[])] {
            let laid = layout(&one);
            for (from, to) in &one.edges {
                assert!(laid.nodes[*from].0 < laid.nodes[*to].0);
            }
            for (number, (layer, place)) in laid.nodes.iter().enumerate() {
                assert!(*place >= 0.0 && *place <= laid.breadth && *layer < laid.layers);
                let near = |other: &(usize, f64)| other.0 == *layer && (other.1 - place).abs() < 0.99;
                assert_eq!(laid.nodes.iter().filter(|other| near(other)).count(), 1, "{number}");
            }
        }
    }

    #[test]
    fn edge_that_passes_layers_has_a_waypoint_in_each() {
        let jobs = ["a", "b", "c", "d"].map(str::to_owned);
        let laid = layout(&graph(&jobs, &[(0, 1), (1, 2), (2, 3), (0, 3)]));
        let layers: Vec<usize> = laid.edges[3].iter().map(|(layer, _)| *layer).collect();
        assert_eq!(layers, [1, 2]);
        // The waypoint is next to the node, not on it.
        assert!((laid.edges[3][0].1 - laid.nodes[1].1).abs() > 0.5);
    }

    #[test]
    fn picture_of_the_same_steps_is_the_same() {
        let one = layered(12, 9);
        assert_eq!(layout(&one), layout(&one));
    }

    #[test]
    fn chain_is_straight() {
        let laid = layout(&layered(30, 1));
        assert!(laid.nodes.iter().all(|(_, place)| *place == 0.0), "{:?}", laid.nodes);
    }

    #[test]
    fn crossing_is_undone() {
        // a → d, b → c: in the order of names the edges cross.
        let jobs = ["a", "b", "c", "d"].map(str::to_owned);
        let laid = layout(&graph(&jobs, &[(0, 3), (1, 2)]));
        let before = |one: usize, other: usize| laid.nodes[one].1 < laid.nodes[other].1;
        assert_eq!(before(0, 1), before(3, 2));
    }
}
