//! Bars: starts a minute, durations of runs, when the runs of a tree went on.

use std::fmt::Write as _;

use pumice_core::Timestamp;
use pumice_service::runs::RunShown;

use super::escape;
use crate::view::{Tone, tone};

/// Height of a picture of bars, in its own units.
const HEIGHT: usize = 40;
/// Fewest bars that a picture has room for: a few are not drawn as wide as many.
const ROOM: usize = 40;
/// Width of the picture of a tree's times.
const WIDTH: f64 = 1000.0;

/// A bar: how many, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) all: usize,
    pub(crate) bad: usize,
}

/// Bars side by side, each as high as its number.
pub(crate) fn sparkline(bars: &[Bar], title: &str) -> String {
    let most = bars.iter().map(|bar| bar.all).max().unwrap_or(0).max(1);
    let height = |count: usize| if count == 0 { 0 } else { (count * (HEIGHT - 2)).div_ceil(most).max(2) };
    let mut svg = begin(bars.len() * 6, HEIGHT, "spark", title);
    for (place, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.all > 0) {
        let (x, good, bad) = (place * 6, height(bar.all), height(bar.bad.min(bar.all)));
        rect(&mut svg, "good", x, HEIGHT - good, good);
        if bad > 0 {
            rect(&mut svg, "bad", x, HEIGHT - bad, bad);
        }
    }
    // Writing to a String cannot fail.
    let _ = write!(svg, "<path class=\"axis\" d=\"M0 {}.5H{}\"/></svg>", HEIGHT - 1, bars.len() * 6);
    svg
}

fn rect(svg: &mut String, class: &str, x: usize, y: usize, height: usize) {
    let _ = write!(svg, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"5\" height=\"{height}\"/>");
}

fn begin(width: usize, height: usize, class: &str, title: &str) -> String {
    let title = escape(title);
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{title}\"><title>{title}</title>"
    )
}

/// How long a run lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lasted {
    pub(crate) millis: u64,
    pub(crate) tone: Tone,
}

/// The durations of runs, each as a bar, the oldest first. Very long ones do not make all others vanish: the height grows
/// with the square root.
pub(crate) fn durations(runs: &[Lasted], title: &str) -> String {
    let root = |millis: u64| millis.isqrt();
    let most = runs.iter().map(|run| root(run.millis)).max().unwrap_or(0).max(1);
    let room = runs.len().max(ROOM);
    let mut svg = begin(room * 6, HEIGHT, "spark", title);
    for (place, run) in (room - runs.len()..).zip(runs) {
        let scaled = (root(run.millis) * (HEIGHT as u64 - 2)).div_ceil(most).max(2);
        let height = usize::try_from(scaled).unwrap_or(HEIGHT);
        rect(&mut svg, class(run.tone), place * 6, HEIGHT - height, height);
    }
    let _ = write!(svg, "<path class=\"axis\" d=\"M0 {}.5H{}\"/></svg>", HEIGHT - 1, room * 6);
    svg
}

/// The class of a colour.
pub(super) const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Odd => "odd",
        Tone::Busy => "busy",
        Tone::Calm => "calm",
    }
}

/// The time from the first dispatch of a tree to its last end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
}

impl Span {
    /// The time of these runs. A run that has not ended lasts until now.
    pub(crate) fn of(runs: &[RunShown], now: Timestamp) -> Self {
        let from = runs.iter().map(|run| run.ts_start.unwrap_or(run.ts_dispatch).0).min().unwrap_or(now);
        let end = |run: &RunShown| run.ts_end.map_or(now, |at| at.0);
        let to = runs.iter().map(end).max().unwrap_or(now).max(from);
        Self { from, to, now }
    }

    /// Where a time is on the way, from 0 to [`WIDTH`].
    fn place(&self, at: Timestamp) -> f64 {
        let micros =
            |from: Timestamp, to: Timestamp| (to - from).num_microseconds().unwrap_or(i64::MAX) as f64;
        let whole = micros(self.from, self.to).max(1.0);
        (micros(self.from, at) / whole * WIDTH).clamp(0.0, WIDTH)
    }

    /// When a run went on, as a bar within the time of its tree; empty where it has not started.
    pub(crate) fn bar(&self, run: &RunShown) -> String {
        let Some(start) = run.ts_start else { return String::new() };
        let end = run.ts_end.map_or(self.now, |at| at.0);
        // However short, it can be seen.
        let x = self.place(start.0).min(WIDTH - 8.0);
        let width = (self.place(end) - x).max(8.0).min(WIDTH - x);
        let tone = class(tone(run.status));
        format!(
            "<svg class=\"gantt\" viewBox=\"0 0 {WIDTH:.0} 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"way\" width=\"{WIDTH:.0}\" height=\"10\"/>\
             <rect class=\"{tone}\" x=\"{x:.1}\" width=\"{width:.1}\" height=\"10\"/></svg>"
        )
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use pumice_core::duration::Span as Time;
    use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
    use pumice_core::run::{Run, Status};
    use pumice_service::runs::Viewpoint;

    use super::*;

    fn run(start: Option<i64>, end: Option<i64>) -> RunShown {
        let run_id: RunId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let at = |seconds: i64| Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, about, at(0), at(0), Time::from_days(1));
        run.status = Status::Complete;
        (run.ts_start, run.ts_end) = (start.map(at), end.map(at));
        RunShown::of(&run, None, Viewpoint { now: at(100), served: None })
    }

    #[test]
    fn bar_of_a_tree_lies_where_its_run_went_on() {
        let runs =
            [run(Some(0), Some(100)), run(Some(50), Some(75)), run(Some(100), Some(100)), run(None, None)];
        let span = Span::of(&runs, Timestamp::UNIX_EPOCH + TimeDelta::seconds(100));
        for (run, expected) in [
            (&runs[0], "x=\"0.0\" width=\"1000.0\""),
            (&runs[1], "x=\"500.0\" width=\"250.0\""),
            (&runs[2], "x=\"992.0\" width=\"8.0\""),
        ] {
            assert!(span.bar(run).contains(expected), "{}", span.bar(run));
        }
        assert_eq!(span.bar(&runs[3]), "");
    }

    #[test]
    fn bar_of_no_time_at_all_is_seen() {
        let runs = [run(Some(0), Some(0))];
        let bar = Span::of(&runs, Timestamp::UNIX_EPOCH).bar(&runs[0]);
        assert!(bar.contains("x=\"0.0\" width=\"8.0\""), "{bar}");
    }

    #[test]
    fn sparkline_shows_one_among_many() {
        let bars = [Bar { all: 1, bad: 0 }, Bar { all: 1000, bad: 1 }, Bar::default()];
        let svg = sparkline(&bars, "a < b");
        assert!(svg.contains("<title>a &lt; b</title>"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert!(svg.contains("class=\"good\" x=\"0\" y=\"38\" width=\"5\" height=\"2\""), "{svg}");
        assert!(svg.contains("class=\"bad\" x=\"6\""), "{svg}");
    }

    #[test]
    fn durations_of_all_runs_are_seen() {
        let lasted = [0, 1, 1_000_000].map(|millis| Lasted { millis, tone: Tone::Good });
        let svg = durations(&lasted, "x");
        assert_eq!(
            (svg.matches("height=\"2\"").count(), svg.matches("height=\"38\"").count()),
            (2, 1),
            "{svg}"
        );
    }
}
