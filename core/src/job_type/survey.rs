//! Checks over all jobs of a realm together: references, circles, look-alikes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{MAX_DEPTH, Registry};
use crate::duration::Span;
use crate::ids::JobId;
use crate::problem::{JsonPath, Problem, did_you_mean};
use crate::spec::{Actions, ActionsWhen, JobSpec, Overlap, RealmSpec};
use crate::text::{escaped, look, look_as_written, quoted};

/// Most jobs of a circle that are named.
const MAX_NAMED: usize = 8;

/// How a job comes to run another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uses {
    /// As a step, under its own run id and on its own worker.
    Step,
    /// It starts it as a run of its own, at once.
    Start,
    /// The same after a delay of a second or more: jobs may start each other so for ever.
    StartLater,
}

impl Uses {
    /// How a job starts another one after a delay.
    #[must_use]
    pub fn after(delay: Span) -> Self {
        if delay >= Span::from_secs(1) { Self::StartLater } else { Self::Start }
    }
}

/// A job that another one names.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The job.
    pub job_id: JobId,
    /// Where it is named.
    pub path: JsonPath,
    /// Its use.
    pub uses: Uses,
}

/// A job to look at with the others.
#[derive(Clone, Copy, Debug)]
pub struct Surveyed<'a> {
    /// The job.
    pub job: &'a JobSpec,
    /// Whether to report warnings about this job, rather than only look it up.
    pub given: bool,
}

impl Registry {
    /// The jobs that a job names: its steps, those it dispatches, those of its actions. Ids that are templates
    /// are left out: which job they are shows when they run.
    #[must_use]
    pub fn named_by(&self, job: &JobSpec) -> Vec<Named> {
        let mut named = self.job_type(&job.fields.r#type).map(|kind| kind.names(job)).unwrap_or_default();
        named.extend(self.named_by_actions(&job.actions()));
        named.retain(|one| !one.job_id.as_str().contains("{{"));
        named
    }

    /// The jobs that actions start.
    fn named_by_actions(&self, actions: &Actions) -> Vec<Named> {
        let mut named = Vec::new();
        for when in ActionsWhen::ALL {
            let path = JsonPath::root().field(when.field());
            for (index, spec) in actions.get(when).unwrap_or_default().iter().enumerate() {
                let found =
                    self.action(spec.kind()).map(|action| action.names(&spec.fields())).unwrap_or_default();
                let path = path.item(index);
                named
                    .extend(found.into_iter().map(|one| Named { path: path.join(one.path.as_str()), ..one }));
            }
        }
        // Which job a template names shows when it is rendered.
        named.retain(|one| !one.job_id.as_str().contains("{{"));
        named
    }

    /// Warnings about the actions of a realm that start jobs which are not there.
    #[must_use]
    pub fn survey_realm(&self, realm: &RealmSpec, jobs: &[Surveyed<'_>]) -> Vec<Problem> {
        let known = || jobs.iter().map(|one| one.job.fields.job_id.as_str());
        let named = self.named_by_actions(&realm.actions()).into_iter();
        named
            .filter(|one| known().all(|id| id != one.job_id.as_str()))
            .map(|one| unknown_job(one, known()))
            .collect()
    }

    /// Warnings about the jobs that were given, by their place: steps that are not jobs or are another
    /// worker's, circles through others, ids that look alike, jobs that nothing starts. The realm's actions
    /// start jobs too.
    #[must_use]
    pub fn survey(&self, jobs: &[Surveyed<'_>], realm: Option<&RealmSpec>) -> Vec<(usize, Problem)> {
        let named: Vec<Vec<Named>> = jobs.iter().map(|one| self.named_by(one.job)).collect();
        let by_id: HashMap<&str, usize> =
            jobs.iter().enumerate().map(|(index, one)| (one.job.fields.job_id.as_str(), index)).collect();
        let survey = Survey { registry: self, jobs, named, by_id };
        let mut told = survey.steps();
        told.extend(survey.circles());
        told.extend(survey.look_alikes());
        let by_realm = realm.map(|realm| self.named_by_actions(&realm.actions())).unwrap_or_default();
        told.extend(survey.unstarted(&by_realm));
        told.retain(|(index, _)| jobs[*index].given);
        told.sort_by_key(|(index, _)| *index);
        told
    }
}

struct Survey<'a> {
    registry: &'a Registry,
    jobs: &'a [Surveyed<'a>],
    named: Vec<Vec<Named>>,
    by_id: HashMap<&'a str, usize>,
}

impl Survey<'_> {
    fn id(&self, index: usize) -> &str {
        self.jobs[index].job.fields.job_id.as_str()
    }

    fn steps(&self) -> Vec<(usize, Problem)> {
        let mut told = Vec::new();
        for (index, named) in self.named.iter().enumerate().filter(|(index, _)| self.jobs[*index].given) {
            let worker = &self.jobs[index].job.fields.worker;
            for one in named {
                let name = quoted(one.job_id.as_str());
                let Some(&other) = self.by_id.get(one.job_id.as_str()) else {
                    told.push((index, unknown_job(one.clone(), self.by_id.keys().copied())));
                    continue;
                };
                let theirs = &self.jobs[other].job.fields.worker;
                if one.uses == Uses::Step && theirs != worker {
                    let message =
                        format!("the step {name} is for worker {theirs}, not {worker}, and always fails");
                    told.push((index, Problem::warning("other-worker", one.path.clone(), message)));
                }
            }
        }
        told
    }

    /// Circles through others, each once, at the first of its jobs that was given.
    fn circles(&self) -> Vec<(usize, Problem)> {
        let mut told = Vec::new();
        let mut seen: HashSet<Vec<usize>> = HashSet::new();
        for circle in self.find_circles() {
            let mut members = circle.clone();
            members.sort_unstable();
            if !seen.insert(members.clone()) {
                continue;
            }
            let Some(at) = members.into_iter().find(|index| self.jobs[*index].given) else { continue };
            let from = circle.iter().position(|index| *index == at).unwrap_or(0);
            let way: Vec<usize> = circle[from..].iter().chain(&circle[..=from]).copied().collect();
            let link = |pair: &[usize]| {
                let at_once = self.named[pair[0]].iter().filter(|one| one.uses != Uses::StartLater);
                at_once.into_iter().find(|one| one.job_id.as_str() == self.id(pair[1]))
            };
            let path = link(&way[..2]).map(|one| one.path.clone()).unwrap_or_default();
            let steps = way.windows(2).all(|pair| link(pair).is_some_and(|one| one.uses == Uses::Step));
            let locks = way
                .iter()
                .any(|index| self.jobs[*index].job.fields.overlap.unwrap_or_default() != Overlap::Allow);
            let what = match (steps, locks) {
                (true, _) if circle.len() == 1 => "a job may not be a step of itself".to_owned(),
                (true, true) => {
                    "with overlap, the last one meets the lock that a run above it holds".to_owned()
                }
                (true, false) => format!("it fails {MAX_DEPTH} levels down at the latest"),
                (false, _) => {
                    format!(
                        "it is stopped after {MAX_DEPTH} levels, but for starts after a delay of a second or more"
                    )
                }
            };
            let mut names: Vec<String> =
                way.iter().map(|index| escaped(self.id(*index)).into_owned()).collect();
            if names.len() > MAX_NAMED {
                names.splice(MAX_NAMED / 2..names.len() - MAX_NAMED / 2, ["…".to_owned()]);
            }
            let message = format!("the jobs run each other in a circle: {}", names.join(" > "));
            told.push((at, Problem::warning("circle", path, message).with_hint(what)));
        }
        told
    }

    /// A circle through each job that closes one, found without recursion: chains of jobs may be long.
    fn find_circles(&self) -> Vec<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let next: Vec<Vec<usize>> = self
            .named
            .iter()
            .map(|named| {
                let at_once = named.iter().filter(|one| one.uses != Uses::StartLater);
                at_once.filter_map(|one| self.by_id.get(one.job_id.as_str()).copied()).collect()
            })
            .collect();
        let mut marks = vec![Mark::New; next.len()];
        let mut circles = Vec::new();
        for start in 0..next.len() {
            if marks[start] != Mark::New {
                continue;
            }
            marks[start] = Mark::Open;
            let mut path = vec![(start, 0_usize)];
            while let Some((job, followed)) = path.last_mut() {
                let job = *job;
                let Some(&other) = next[job].get(*followed) else {
                    marks[job] = Mark::Done;
                    path.pop();
                    continue;
                };
                *followed += 1;
                match marks[other] {
                    Mark::New => {
                        marks[other] = Mark::Open;
                        path.push((other, 0));
                    }
                    Mark::Open => {
                        let from = path.iter().position(|(on_path, _)| *on_path == other).unwrap_or(0);
                        circles.push(path[from..].iter().map(|(on_path, _)| *on_path).collect());
                    }
                    Mark::Done => {}
                }
            }
        }
        circles
    }

    fn look_alikes(&self) -> Vec<(usize, Problem)> {
        let mut looks: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for index in 0..self.jobs.len() {
            for look in [look(self.id(index)), look_as_written(self.id(index))] {
                looks.entry(look).or_default().insert(index);
            }
        }
        let (mut told, mut warned) = (Vec::new(), BTreeSet::new());
        for alike in looks.into_values().filter(|alike| alike.len() > 1) {
            for &index in &alike {
                let Some(&other) = alike.iter().find(|other| **other != index) else { continue };
                // Of two given jobs the later one has the warning.
                if (self.jobs[other].given && other > index) || !warned.insert(index) {
                    continue;
                }
                let odd = odd_letters(self.id(index), self.id(other));
                let message = format!("looks like the other job {}", quoted(self.id(other)));
                let problem = Problem::warning("look-alike", JsonPath::root().field("job_id"), message);
                told.push((index, Problem { hint: odd, ..problem }));
            }
        }
        told
    }

    /// Leaf jobs that no job, action or schedule starts, in a realm where jobs start jobs: probably a forgotten
    /// step. A job that starts others is taken for an entry point.
    fn unstarted(&self, by_realm: &[Named]) -> Vec<(usize, Problem)> {
        let named = self.named.iter().flatten().chain(by_realm);
        let started: HashSet<&str> = named.map(|one| one.job_id.as_str()).collect();
        if started.is_empty() {
            return Vec::new();
        }
        let alone = |index: &usize| {
            let job = self.jobs[*index].job;
            self.named[*index].is_empty()
                && job.fields.schedule.0.is_empty()
                && !started.contains(self.id(*index))
                && self.registry.job_type(&job.fields.r#type).is_some()
        };
        (0..self.jobs.len())
            .filter(alone)
            .map(|index| {
                let message = "no job, action or schedule starts this job";
                let told = Problem::warning("never-started", JsonPath::root().field("job_id"), message);
                (index, told.with_hint("it runs only when it is dispatched by hand"))
            })
            .collect()
    }
}

/// The warning about a job that is named and not there.
fn unknown_job<'a>(named: Named, known: impl Iterator<Item = &'a str>) -> Problem {
    let hint = did_you_mean(named.job_id.as_str(), known);
    let message = format!("there is no job {}", quoted(named.job_id.as_str()));
    Problem { hint, ..Problem::warning("unknown-job", named.path, message) }
}

/// Which letter of an id is not what it looks like.
fn odd_letters(id: &str, other: &str) -> Option<String> {
    let differs = |(one, other): (char, char)| (one != other).then_some((one, other));
    let (one, other) = id.chars().zip(other.chars()).find_map(differs)?;
    Some(format!("it has U+{:04X} where the other has U+{:04X}", u32::from(one), u32::from(other)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job_type::{Given, JobType};

    /// A type whose payload lists its steps.
    struct Steps;

    impl JobType for Steps {
        const NAME: &'static str = "steps";
        const ABOUT: &'static str = "";
        type Payload = Vec<String>;
        type Parameters = serde_json::Map<String, serde_json::Value>;

        fn names(&self, given: &Given<'_, Self>) -> Vec<Named> {
            let named = |id: &String| Named {
                job_id: JobId::new(id).unwrap(),
                path: JsonPath::root().field("payload"),
                uses: Uses::Step,
            };
            given.payload.iter().flatten().map(named).collect()
        }
    }

    fn survey(jobs: &[(String, Vec<String>, bool)]) -> Vec<(usize, String)> {
        let registry = Registry::builder().leaf(Steps).build().unwrap();
        let specs: Vec<JobSpec> = jobs
            .iter()
            .map(|(id, steps, _)| {
                let document = json!({ "job_id": id, "type": "steps", "worker": "w", "payload": steps });
                JobSpec::parse(&document).unwrap()
            })
            .collect();
        let surveyed: Vec<Surveyed<'_>> =
            specs.iter().zip(jobs).map(|(job, (_, _, given))| Surveyed { job, given: *given }).collect();
        let told = registry.survey(&surveyed, None).into_iter();
        told.map(|(index, problem)| (index, problem.to_string())).collect()
    }

    fn job(id: &str, steps: &[&str]) -> (String, Vec<String>, bool) {
        (id.to_owned(), steps.iter().map(ToString::to_string).collect(), true)
    }

    #[test]
    fn circle_is_reported_once_at_its_first_given_job() {
        let told = survey(&[job("a", &["b"]), job("b", &["c", "a"]), job("c", &["a"])]);
        let circles: Vec<&str> = told.iter().map(|(_, told)| told.as_str()).collect();
        assert_eq!(told.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 0], "{circles:?}");
        assert!(circles.iter().any(|told| told.contains("a > b > c > a")), "{circles:?}");
        assert!(circles.iter().any(|told| told.contains("a > b > a")), "{circles:?}");
        let mut stored = job("a", &["b"]);
        stored.2 = false;
        let told = survey(&[stored, job("b", &["a"])]);
        assert!(told.len() == 1 && told[0].0 == 1 && told[0].1.contains("b > a > b"), "{told:?}");
    }

    #[test]
    fn very_long_line_of_jobs_is_surveyed() {
        let count = 20_000;
        let line: Vec<_> =
            (0..count).map(|n| job(&format!("j{n}"), &[&format!("j{}", (n + 1) % count)])).collect();
        let told = survey(&line);
        assert!(told.len() == 1 && told[0].1.contains("j0 > j1 > j2 > j3 > … > "), "{}", told.len());
    }

    #[test]
    fn stored_jobs_are_looked_up_and_not_reported() {
        let mut stored = job("load", &["nowhere"]);
        stored.2 = false;
        assert_eq!(survey(&[stored.clone(), job("top", &["load"])]), []);
        let told = survey(&[stored, job("LOAD", &["load"])]);
        assert!(told.len() == 1 && told[0].1.contains("looks like the other job \"load\""), "{told:?}");
    }
}
