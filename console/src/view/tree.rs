//! A run and what it started, as nested lists.

use std::collections::{HashMap, HashSet};

use pumice_service::runs::{RunShown, RunTree, Unstarted, attempt_above};
use serde::Serialize;

use super::{Clock, RunRow};
use crate::svg::Span;

/// Most lines of a tree on a page.
const MAX_LINES: usize = 400;
/// Deepest level of a tree that is indented.
const MAX_DEPTH: usize = 24;

/// A line of a tree, with those below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Branch {
    /// The run; `None` of a step without a record.
    pub(crate) run: Option<RunRow>,
    /// The name of a step without a record.
    pub(crate) label: String,
    /// Why it has not started, or why it failed where the line above does not say so.
    pub(crate) why: String,
    pub(crate) waits: bool,
    /// When it ran, as a bar.
    pub(crate) bar: String,
    pub(crate) below: Vec<Branch>,
    /// How many lines below it are left out.
    pub(crate) left_out: usize,
}

/// The tree of runs, each below the one that started it. Of a large tree the lines beyond the limit are counted.
pub(crate) fn tree(tree: &RunTree, clock: &Clock, length: usize) -> Vec<Branch> {
    let known: HashSet<&str> = tree.runs.iter().map(|run| run.run_key.as_str()).collect();
    let mut children: HashMap<&str, Vec<&RunShown>> = HashMap::new();
    let mut roots = Vec::new();
    for run in &tree.runs {
        match run.parent.as_ref().map(|parent| parent.as_str()).filter(|parent| known.contains(parent)) {
            Some(parent) => children.entry(parent).or_default().push(run),
            None => roots.push(run),
        }
    }
    for below in children.values_mut() {
        // Steps that run at the same time begin in any order; the runs that were dispatched follow.
        below.sort_by_key(|run| (!run.is_child(), attempt_above(&run.run_key), run.run_key.step()));
    }
    let mut steps: HashMap<&str, Vec<&Unstarted>> = HashMap::new();
    for step in &tree.unstarted {
        steps.entry(step.parent.as_str()).or_default().push(step);
    }
    let span = Span::of(&tree.runs, clock.now);
    let mut grown = Grown { children, steps, clock, length, span, lines: 0 };
    roots.into_iter().map(|root| grown.branch(root, None, 0)).collect()
}

struct Grown<'a> {
    children: HashMap<&'a str, Vec<&'a RunShown>>,
    steps: HashMap<&'a str, Vec<&'a Unstarted>>,
    clock: &'a Clock,
    length: usize,
    span: Span,
    lines: usize,
}

impl<'a> Grown<'a> {
    fn branch(&mut self, run: &'a RunShown, above: Option<&RunShown>, depth: usize) -> Branch {
        self.lines += 1;
        let mut row = RunRow::of(run, self.clock, self.length);
        row.remark = run.remark_below(above, |at| self.clock.words(at));
        let key = run.run_key.as_str();
        let children = self.children.remove(key).unwrap_or_default();
        let steps = self.steps.remove(key).unwrap_or_default();
        let (mut below, mut left_out) = (Vec::new(), 0);
        for child in children {
            if self.lines >= MAX_LINES || depth >= MAX_DEPTH {
                left_out += 1;
            } else {
                below.push(self.branch(child, Some(run), depth + 1));
            }
        }
        for step in steps {
            if self.lines >= MAX_LINES {
                left_out += 1;
                continue;
            }
            self.lines += 1;
            below.push(Branch {
                run: None,
                label: step.label.clone(),
                why: step.why.clone(),
                waits: step.waits,
                bar: String::new(),
                below: Vec::new(),
                left_out: 0,
            });
        }
        let bar = self.span.bar(run);
        Branch {
            run: Some(row),
            label: String::new(),
            why: String::new(),
            waits: false,
            bar,
            below,
            left_out,
        }
    }
}
