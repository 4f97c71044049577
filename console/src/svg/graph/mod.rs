//! The graph of a job's steps: what comes after what, and how each stands.
//!
//! `plan` makes a graph of a spec or a run, `collapse` makes a large one small, `layout` says where each node is, and `draw`
//! makes the picture. All but the reading of records is pure, and the same steps give the same picture.

mod collapse;
mod draw;
mod layout;
mod plan;

pub(crate) use plan::{graph_of_job, graph_of_run};

use super::super::view::Tone;

/// A step, or several that are drawn as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The job of the step, or what the steps have in common.
    pub(super) job: String,
    /// The text in the node.
    pub(super) label: String,
    /// More about it.
    pub(super) title: String,
    /// The page that shows it.
    pub(super) href: Option<String>,
    /// How its steps stand, with how many there are of each.
    pub(super) parts: Vec<(Tone, usize)>,
}

impl Node {
    /// How many steps it shows.
    pub(super) fn count(&self) -> usize {
        self.parts.iter().map(|(_, count)| count).sum()
    }

    /// The colour of the whole: the worst of its parts.
    pub(super) fn tone(&self) -> Tone {
        let order = [Tone::Bad, Tone::Busy, Tone::Odd, Tone::Calm];
        let has = |tone: &Tone| self.parts.iter().any(|(part, count)| part == tone && *count > 0);
        order.into_iter().find(has).unwrap_or(Tone::Good)
    }
}

/// Steps, and the pairs of which the second comes after the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<(usize, usize)>,
    /// Whether its steps belong to a run, so that they stand somehow.
    pub(super) has_states: bool,
}

impl Graph {
    /// The nodes that come after each node.
    pub(super) fn followers(&self) -> Vec<Vec<usize>> {
        let mut followers = vec![Vec::new(); self.nodes.len()];
        for (from, to) in &self.edges {
            followers[*from].push(*to);
        }
        followers
    }

    /// How many edges the longest way to each node has. Nodes on a circle, of which a plan has none, stay at 0.
    pub(super) fn ranks(&self) -> Vec<usize> {
        let followers = self.followers();
        let mut before = vec![0_usize; self.nodes.len()];
        for (_, to) in &self.edges {
            before[*to] += 1;
        }
        let mut ranks = vec![0; self.nodes.len()];
        let mut ready: Vec<usize> = (0..self.nodes.len()).filter(|node| before[*node] == 0).collect();
        while let Some(node) = ready.pop() {
            for follower in &followers[node] {
                ranks[*follower] = ranks[*follower].max(ranks[node] + 1);
                before[*follower] -= 1;
                if before[*follower] == 0 {
                    ready.push(*follower);
                }
            }
        }
        ranks
    }
}

/// How many bytes of the ids are a folder that all are in.
fn common_folder(jobs: &[&str]) -> usize {
    let Some(first) = jobs.first() else { return 0 };
    let same = |one: &str| first.bytes().zip(one.bytes()).take_while(|(a, b)| a == b).count();
    let common = jobs.iter().map(|one| same(one)).min().unwrap_or(0);
    // A slash is one byte, so that the cut is between characters.
    first.as_bytes()[..common].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn folder_that_all_are_in_is_left_out() {
        for (jobs, common) in [
            (&["etl/a", "etl/b"][..], 4),
            (&["etl/a/x", "etl/a/y"], 6),
            (&["größe/a", "größe/b"], "größe/".len()),
            (&["a", "b"], 0),
            (&["ab", "abc"], 0),
            (&["etl/load", "etl/loader"], 4),
            (&[], 0),
        ] {
            assert_eq!(common_folder(jobs), common, "{jobs:?}");
        }
    }

    /// A graph of steps with these names.
    pub(crate) fn graph(jobs: &[String], edges: &[(usize, usize)]) -> Graph {
        let node = |job: &String| Node {
            job: job.clone(),
            label: job.clone(),
            title: job.clone(),
            href: None,
            parts: vec![(Tone::Good, 1)],
        };
        Graph { nodes: jobs.iter().map(node).collect(), edges: edges.to_vec(), has_states: true }
    }

    /// A graph of layers, in which each node comes after two of the layer before.
    pub(crate) fn layered(layers: usize, width: usize) -> Graph {
        let jobs: Vec<String> = (0..layers * width).map(|n| format!("etl/{}/step{n}", n / width)).collect();
        let mut edges = Vec::new();
        for node in width..layers * width {
            let (layer, place) = (node / width - 1, node % width);
            edges.push((layer * width + place, node));
            if width > 1 {
                edges.push((layer * width + (place * 7 + 1) % width, node));
            }
        }
        edges.sort_unstable();
        edges.dedup();
        graph(&jobs, &edges)
    }

    #[test]
    fn rank_is_the_longest_way() {
        let jobs = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(graph(&jobs, &[(0, 1), (1, 2), (0, 2), (2, 3), (0, 3)]).ranks(), [0, 1, 2, 3]);
        assert_eq!(graph(&jobs, &[(0, 1), (1, 0)]).ranks(), [0, 0, 0, 0], "a circle ends");
    }

    #[test]
    fn tone_of_many_is_that_of_the_worst() {
        let node = |parts: &[(Tone, usize)]| Node { parts: parts.to_vec(), ..layered(1, 1).nodes[0].clone() };
        assert_eq!(node(&[(Tone::Good, 9), (Tone::Bad, 1)]).tone(), Tone::Bad);
        assert_eq!(node(&[(Tone::Good, 9), (Tone::Calm, 1)]).tone(), Tone::Calm);
        assert_eq!((node(&[(Tone::Good, 9)]).tone(), node(&[(Tone::Good, 9)]).count()), (Tone::Good, 9));
    }
}
