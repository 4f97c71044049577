//! Makes a large graph small: steps whose jobs begin alike and that are equally far become one node; where these are too many,
//! steps that follow on each other. Of the edges of groups those stay that no longer way implies.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, Node, common_folder};

/// Most nodes that are drawn one by one.
pub(super) const MAX_NODES: usize = 300;
/// Most nodes of steps that follow on each other.
const MAX_STRETCHES: usize = 100;
/// Longest part of a group's name that is an id, in characters.
const MAX_ID: usize = 14;
/// Most jobs that the title of a group names.
const MAX_TITLED: usize = 5;
/// Deepest prefix of a job's id that steps are put together by, in segments.
const MAX_SEGMENTS: usize = 8;

/// The graph with at most [`MAX_NODES`] nodes, and whether it is another one than before.
pub(super) fn collapsed(graph: Graph) -> (Graph, bool) {
    if graph.nodes.len() <= MAX_NODES {
        return (graph, false);
    }
    let ranks = graph.ranks();
    for segments in (1..=MAX_SEGMENTS).rev() {
        let groups = grouped(&graph, |node| (ranks[node], prefix(&graph.nodes[node].job, segments)));
        if let Some(small) = merged(&graph, &groups, |one, _| format!("{}/…", one.1)) {
            return (small, true);
        }
    }
    let groups = grouped(&graph, |node| (ranks[node], stem(&graph.nodes[node].job)));
    if let Some(small) = merged(&graph, &groups, |one, _| format!("{}…", one.1)) {
        return (small, true);
    }
    // Steps of neighbouring ranks: no edge leads back.
    let width = ranks.iter().max().map_or(1, |most| (most + 1).div_ceil(MAX_STRETCHES));
    let groups = grouped(&graph, |node| (ranks[node] / width, String::new()));
    let jobs: Vec<&str> = graph.nodes.iter().map(|node| node.job.as_str()).collect();
    let common = common_folder(&jobs);
    let name = |_: &Key, members: &[usize]| {
        let first = members.iter().min_by_key(|node| ranks[**node]).map_or("", |node| jobs[*node]);
        // Of those that come last the last.
        let last = members.iter().max_by_key(|node| ranks[**node]).map_or("", |node| jobs[*node]);
        let shared = common_folder(&[first, last]);
        format!("{} … {}", end_of(&first[common..]), end_of(&last[shared..]))
    };
    (merged(&graph, &groups, name).unwrap_or_default(), true)
}

/// The end of an id, which says more than its beginning.
fn end_of(id: &str) -> String {
    match id.chars().count().checked_sub(MAX_ID) {
        None | Some(0) => id.to_owned(),
        Some(more) => format!("…{}", id.chars().skip(more + 1).collect::<String>()),
    }
}

/// The first segments of a job's id.
fn prefix(job: &str, segments: usize) -> String {
    let parts: Vec<&str> = job.split('/').collect();
    parts[..segments.min(parts.len().saturating_sub(1).max(1))].join("/")
}

/// A job's id without what counts it.
fn stem(job: &str) -> String {
    job.trim_end_matches(|c: char| c.is_ascii_digit() || "-_./".contains(c)).to_owned()
}

type Key = (usize, String);

fn grouped(graph: &Graph, key: impl Fn(usize) -> Key) -> BTreeMap<Key, Vec<usize>> {
    let mut groups: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for node in 0..graph.nodes.len() {
        groups.entry(key(node)).or_default().push(node);
    }
    groups
}

/// The graph of the groups; `None` when there are too many.
fn merged(
    graph: &Graph,
    groups: &BTreeMap<Key, Vec<usize>>,
    name: impl Fn(&Key, &[usize]) -> String,
) -> Option<Graph> {
    if groups.len() > MAX_NODES {
        return None;
    }
    let mut place = vec![0; graph.nodes.len()];
    let mut nodes = Vec::with_capacity(groups.len());
    for (key, members) in groups {
        for member in members {
            place[*member] = nodes.len();
        }
        nodes.push(match members[..] {
            [one] => graph.nodes[one].clone(),
            _ => group(graph, members, name(key, members)),
        });
    }
    let mut edges: Vec<(usize, usize)> = graph
        .edges
        .iter()
        .map(|(from, to)| (place[*from], place[*to]))
        .filter(|(from, to)| from != to)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let small = Graph { nodes, edges, has_states: graph.has_states };
    let edges = needed(&small);
    Some(Graph { edges, ..small })
}

/// The edges of a graph without circles that no longer way implies.
fn needed(graph: &Graph) -> Vec<(usize, usize)> {
    let (ranks, followers) = (graph.ranks(), graph.followers());
    let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
    order.sort_by_key(|node| std::cmp::Reverse(ranks[*node]));
    // The nodes that come after each.
    let mut after: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); graph.nodes.len()];
    let mut edges = Vec::new();
    for node in order {
        let mut next = followers[node].clone();
        // The nearest first: only by it may another be reached.
        next.sort_by_key(|follower| ranks[*follower]);
        let mut reached = BTreeSet::new();
        for follower in next {
            if reached.insert(follower) {
                reached.extend(after[follower].iter().copied());
                edges.push((node, follower));
            }
        }
        after[node] = reached;
    }
    edges.sort_unstable();
    edges
}

fn group(graph: &Graph, members: &[usize], name: String) -> Node {
    let mut parts: Vec<(crate::view::Tone, usize)> = Vec::new();
    for (tone, count) in members.iter().flat_map(|member| &graph.nodes[*member].parts) {
        match parts.iter_mut().find(|(known, _)| known == tone) {
            Some((_, sum)) => *sum += count,
            None => parts.push((*tone, *count)),
        }
    }
    let jobs: Vec<&str> =
        members.iter().take(MAX_TITLED).map(|member| graph.nodes[*member].job.as_str()).collect();
    let more = if members.len() > jobs.len() {
        format!(" and {} more", members.len() - jobs.len())
    } else {
        String::new()
    };
    let title = format!("{} steps: {}{more}", members.len(), jobs.join(", "));
    Node { job: name.clone(), label: name, title, href: None, parts }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{graph, layered};
    use super::*;

    #[test]
    fn small_graph_stays_as_it_is() {
        let small = layered(10, 30);
        assert_eq!(collapsed(small.clone()), (small, false));
    }

    #[test]
    fn large_graph_keeps_every_step_and_its_direction() {
        let names = |name: fn(usize) -> String, count: usize| (0..count).map(name).collect::<Vec<_>>();
        let chain = |count: usize| (1..count).map(|node| (node - 1, node)).collect::<Vec<_>>();
        let fan = |count: usize| (1..count).map(|node| (0, node)).collect::<Vec<_>>();
        for large in [
            layered(10, 100),
            layered(500, 2),
            graph(&names(|n| format!("etl/{}/{}/{n}", n % 7, n % 3), 1000), &fan(1000)),
            graph(&names(|n| format!("job_{n}"), 1000), &fan(1000)),
            graph(&names(|n| format!("{n}"), 1000), &fan(1000)),
            graph(&names(|n| format!("{n:x}-x"), 1000), &chain(1000)),
            graph(&names(|n| format!("{n:x}-x"), 1000), &[]),
        ] {
            let steps = large.nodes.len();
            let (small, is_other) = collapsed(large);
            assert!(is_other && (1..=MAX_NODES).contains(&small.nodes.len()), "{}", small.nodes.len());
            assert_eq!(small.nodes.iter().map(Node::count).sum::<usize>(), steps);
            let ranks = small.ranks();
            assert!(small.edges.iter().all(|(from, to)| ranks[*from] < ranks[*to]), "an edge leads back");
        }
    }

    #[test]
    fn steps_that_follow_on_each_other_are_named_by_the_first_and_the_last() {
        let names: Vec<String> = (0..301).map(|n| format!("a/n{n}")).collect();
        let chain: Vec<(usize, usize)> = (1..names.len()).map(|node| (node - 1, node)).collect();
        let (small, _) = collapsed(graph(&names, &chain));
        let labels: Vec<&str> = small.nodes.iter().map(|node| node.label.as_str()).collect();
        assert_eq!((labels[0], labels[75]), ("n0 … n3", "a/n300"), "{labels:?}");
        let names: Vec<String> = (0..400).map(|n| format!("a/{}/a-name-that-is-long-{n}", n % 2)).collect();
        let chain: Vec<(usize, usize)> = (1..names.len()).map(|node| (node - 1, node)).collect();
        let (small, _) = collapsed(graph(&names, &chain));
        assert_eq!(small.nodes[1].label, "…hat-is-long-4 … …hat-is-long-7");
    }

    #[test]
    fn edge_of_groups_that_a_longer_way_implies_is_left_out() {
        // Each comes after each before it.
        let names: Vec<String> = (0..400).map(|n| format!("{n:x}-x")).collect();
        let all: Vec<(usize, usize)> = (0..400).flat_map(|to| (0..to).map(move |from| (from, to))).collect();
        let (small, _) = collapsed(graph(&names, &all));
        assert_eq!(small.nodes.len(), 100);
        assert_eq!(small.edges, (1..100).map(|node| (node - 1, node)).collect::<Vec<_>>());
        let jobs = ["a", "b", "c", "d"].map(str::to_owned);
        let diamond = graph(&jobs, &[(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]);
        assert_eq!(needed(&diamond), [(0, 1), (0, 2), (1, 3), (2, 3)]);
    }

    #[test]
    fn group_is_named_by_what_its_steps_have_in_common() {
        let names: Vec<String> = (0..400).map(|n| format!("etl/{}/{n}", n % 4)).collect();
        let (small, _) = collapsed(graph(&names, &[]));
        let labels: Vec<&str> = small.nodes.iter().map(|node| node.label.as_str()).collect();
        assert_eq!(labels, ["etl/0/…", "etl/1/…", "etl/2/…", "etl/3/…"]);
        assert!(small.nodes[0].title.starts_with("100 steps: etl/0/0, etl/0/4"), "{}", small.nodes[0].title);
    }
}
