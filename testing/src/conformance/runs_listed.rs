//! Lists of runs: their filters, their orders and their pages.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::collections::BTreeMap;

use pumice_core::filter::Filter;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Change, Minute, MinuteCount, Order, RunPage, RunQuery};
use pumice_core::run::{NewRun, Run, Scheduled, Status};
use pumice_core::spec::Timezone;

use super::{Adapters, at, child_of, key, new, run_of};

const ORDERS: [Order; 2] = [Order::Newest, Order::Oldest];

impl Adapters {
    async fn page(&self, query: &RunQuery) -> RunPage {
        let page = self.runs.page(query).await.expect("the store answers");
        assert!(
            query.look_limit.is_none_or(|limit| page.looked_at <= limit),
            "{query:?}: {}",
            page.looked_at
        );
        assert!(page.runs.len() <= query.limit, "{query:?}");
        assert!(page.looked_at >= page.runs.len(), "{query:?}");
        page
    }

    /// All pages of a list; a run of each number in `added` is made after the first ones.
    async fn follow(&self, query: &RunQuery, mut added: impl Iterator<Item = u32>) -> (Vec<RunKey>, usize) {
        let (mut query, mut found, mut cut) = (query.clone(), Vec::new(), 0);
        for pages in 0.. {
            assert!(pages < 100, "a list comes to an end: {query:?}");
            let page = self.page(&query).await;
            cut += usize::from(page.is_cut);
            assert!(!page.is_cut || page.next.is_some(), "a list that is cut goes on");
            found.extend(page.runs.into_iter().map(|run| run.key));
            let Some(next) = page.next else { break };
            query.cursor = Some(next.to_string().parse().expect("its text is a cursor"));
            if let Some(number) = added.next() {
                self.make([run_of(number, "etl/load")]).await;
            }
        }
        (found, cut)
    }

    /// Runs in every status that a record may be in, of three jobs, and a step each; the oldest first.
    async fn make_many(&self) -> Vec<Run> {
        let statuses = [
            Status::Dispatched,
            Status::Running,
            Status::Waiting,
            Status::Retrying,
            Status::Complete,
            Status::Failed,
            Status::Skipped,
            Status::Rejected,
            Status::Cancelled,
        ];
        let mut all = Vec::new();
        for number in 1..=18 {
            let status = statuses[number as usize % statuses.len()];
            let job = ["etl/load", "etl/check", "report"][number as usize % 3];
            let mut run = run_of(number, job);
            run.scheduled = (number % 4 == 0).then(|| Box::new(of_backfill("b")));
            let step = Run { scheduled: run.scheduled.clone(), ..child_of(&run, 1, 0) };
            for run in [run, step] {
                self.make([run.clone()]).await;
                let changed = |run: &mut Run| {
                    run.status = status;
                    if status.is_end() {
                        (run.due_at, run.ts_end) = (None, Some(at(100)));
                    }
                };
                all.push(if status == Status::Dispatched {
                    run
                } else {
                    self.change(&run.key, changed).await
                });
            }
        }
        all
    }
}

/// The slot of a backfill's run.
fn of_backfill(id: &str) -> Scheduled {
    let zone = Timezone(chrono_tz::UTC);
    Scheduled {
        entry: Some(0),
        slot: at(0),
        zone,
        previous: None,
        missed: None,
        backfill: Some(id.to_owned()),
    }
}

/// The keys that a query gives of these runs, which stand in the order in which they were made. Runs of one moment may
/// come in any order.
fn expected(all: &[Run], query: &RunQuery) -> Vec<RunKey> {
    let mut keys: Vec<RunKey> =
        all.iter().filter(|run| query.holds(run)).map(|run| run.key.clone()).collect();
    if query.order == Order::Newest {
        keys.reverse();
    }
    keys
}

fn sorted(mut keys: Vec<RunKey>) -> Vec<RunKey> {
    keys.sort();
    keys
}

/// Whether the numbers of runs stand in order: a step has its parent's time.
fn is_in_order(keys: &[RunKey], order: Order) -> bool {
    let numbers: Vec<_> = keys.iter().map(RunKey::run_id).collect();
    match order {
        Order::Newest => numbers.is_sorted_by(|a, b| a >= b),
        Order::Oldest => numbers.is_sorted(),
    }
}

pub async fn page_filtered_matches_the_model_in_both_orders(on: &Adapters) {
    let all = on.make_many().await;
    let job = |text: &str| RunQuery { job: Some(text.to_owned()), ..RunQuery::default() };
    let status = |statuses: &[Status]| RunQuery { statuses: statuses.to_vec(), ..RunQuery::default() };
    let bad = [Status::Failed, Status::Rejected, Status::Cancelled, Status::Skipped];
    let open = [Status::Dispatched, Status::Running, Status::Waiting, Status::Retrying];
    let mut queries = vec![
        RunQuery::default(),
        job("etl/load"),
        job("etl/*"),
        job("*e[cp]?*"),
        job("no/such"),
        job("no/*"),
        status(&bad),
        status(&open),
        status(&[Status::Failed, Status::Running]),
        status(&[Status::Complete, Status::Failed]),
        status(&[Status::Failed, Status::Failed]),
        status(&[Status::Starting]),
    ];
    queries.extend(bad.iter().chain(&open).chain([&Status::Complete]).map(|one| status(&[*one])));
    queries.extend(
        ["report", "etl/*"]
            .map(|name| RunQuery { statuses: vec![Status::Failed, Status::Complete], ..job(name) }),
    );
    let since = [Some(at(7)), None, Some(at(7)), Some(at(12)), Some(at(99))];
    let until = [None, Some(at(7)), Some(at(12)), Some(at(7)), None];
    for (since, until) in since.into_iter().zip(until) {
        for query in [RunQuery::default(), job("etl/load"), status(&[Status::Failed]), status(&open)] {
            queries.push(RunQuery { since, until, ..query });
        }
    }
    queries.extend(
        [RunQuery::default(), job("report"), status(&bad)].map(|query| RunQuery { children: true, ..query }),
    );
    let backfill = |id: &str| RunQuery { backfill: Some(id.to_owned()), ..RunQuery::default() };
    assert_eq!(expected(&all, &backfill("b")).len(), 4);
    queries.extend([backfill("b"), backfill("none")]);
    queries.push(RunQuery { children: true, ..backfill("b") });
    for query in [job("etl/*"), status(&bad), status(&open), RunQuery { since: Some(at(7)), ..job("report") }]
    {
        queries.push(RunQuery { backfill: Some("b".to_owned()), ..query });
    }
    queries.extend(filtered());
    for query in queries {
        for order in ORDERS {
            let query = RunQuery { order, limit: 1_000, ..query.clone() };
            let page = on.page(&query).await;
            assert_eq!((page.next, page.is_cut), (None, false), "{query:?}");
            let keys: Vec<RunKey> = page.runs.iter().map(|run| run.key.clone()).collect();
            assert!(is_in_order(&keys, order), "{query:?}: {keys:?}");
            assert_eq!(sorted(keys), sorted(expected(&all, &query)), "{query:?}");
        }
    }
}

/// Queries with terms that records alone answer, and others that indexes answer in part.
fn filtered() -> Vec<RunQuery> {
    let [third, fifth] = [key(3), key(5)];
    let texts = [
        "job:etl/load,report".to_owned(),
        "job:etl/*,report -job:*check".to_owned(),
        "-job:etl/load".to_owned(),
        "job:no/such,etl/load".to_owned(),
        "-status:complete job:etl/*,report".to_owned(),
        "worker:w*,core".to_owned(),
        "-worker:*".to_owned(),
        "trigger:schedule".to_owned(),
        "-trigger:schedule status:failed,running".to_owned(),
        "reason:nothing".to_owned(),
        "-reason:nothing".to_owned(),
        "backfill:b".to_owned(),
        format!("id:{third}"),
        format!("id:{third},{fifth}"),
        format!("id:{third},{fifth} job:etl/*"),
        format!("id:{}", &third.as_str()[..8]),
        format!("-id:{third}"),
        "id:ffffffff".to_owned(),
    ];
    let query = |text: &str| {
        let filter = Filter::parse(text).expect("a filter");
        RunQuery::of(filter, at(99), chrono_tz::UTC).expect("terms that may hold")
    };
    let roots: Vec<RunQuery> = texts.iter().map(|text| query(text)).collect();
    let steps = roots.iter().map(|query| RunQuery { children: true, ..query.clone() });
    steps.chain(roots.clone()).collect()
}

pub async fn page_followed_while_runs_are_added_gives_each_once(on: &Adapters) {
    let all = on.make_many().await;
    let mut added = 20..;
    let queries = [
        RunQuery::default(),
        RunQuery { job: Some("etl/load".to_owned()), ..RunQuery::default() },
        RunQuery { job: Some("etl/*".to_owned()), ..RunQuery::default() },
        RunQuery { statuses: vec![Status::Failed, Status::Complete], ..RunQuery::default() },
        RunQuery { statuses: vec![Status::Failed, Status::Cancelled], ..RunQuery::default() },
        RunQuery { statuses: vec![Status::Running, Status::Waiting], children: true, ..RunQuery::default() },
        RunQuery { since: Some(at(3)), until: Some(at(16)), ..RunQuery::default() },
    ];
    for query in queries {
        for (order, limit) in [(Order::Newest, 1), (Order::Newest, 4), (Order::Oldest, 1), (Order::Oldest, 4)]
        {
            let query = RunQuery { order, limit, ..query.clone() };
            let (found, cut) = on.follow(&query, added.by_ref().take(5)).await;
            assert_eq!(cut, 0, "{query:?}");
            assert!(is_in_order(&found, order), "{query:?}: {found:?}");
            let there: Vec<RunKey> =
                found.iter().filter(|key| all.iter().any(|run| run.key == **key)).cloned().collect();
            assert_eq!(sorted(there), sorted(expected(&all, &query)), "{query:?}");
            let count = found.len();
            let mut once = sorted(found);
            once.dedup();
            assert_eq!(once.len(), count, "none comes twice: {query:?}");
        }
    }
}

pub async fn page_of_runs_of_one_moment_gives_each_once(on: &Adapters) {
    let moment = |number: u32, job: &str| Run { ts_dispatch: at(5), ..run_of(number, job) };
    let jobs = ["etl/load", "report"];
    let runs: Vec<Run> = (1..=9).map(|number| moment(number, jobs[number as usize % 2])).collect();
    let batch: Vec<(NewRun, _)> = runs.iter().map(|run| (new(run.clone()), None)).collect();
    on.runs.create(&batch).await.expect("they are made");
    for number in 1..=9 {
        on.change(&key(number), |run| (run.status, run.due_at) = (Status::Failed, None)).await;
    }
    for statuses in [vec![], vec![Status::Failed]] {
        for (order, limit) in [(Order::Newest, 2), (Order::Oldest, 2), (Order::Newest, 5), (Order::Oldest, 1)]
        {
            let query = RunQuery { statuses: statuses.clone(), order, limit, ..RunQuery::default() };
            let (found, _) = on.follow(&query, std::iter::empty()).await;
            assert_eq!(sorted(found), (1..=9).map(key).collect::<Vec<_>>(), "{query:?}");
        }
    }
}

pub async fn page_cut_by_its_look_limit_says_so_and_goes_on(on: &Adapters) {
    let all = on.make_many().await;
    for query in [
        RunQuery::default(),
        RunQuery { statuses: vec![Status::Complete], ..RunQuery::default() },
        RunQuery { statuses: vec![Status::Failed, Status::Rejected], children: true, ..RunQuery::default() },
        RunQuery { statuses: vec![Status::Running, Status::Waiting], ..RunQuery::default() },
        RunQuery { job: Some("*t".to_owned()), ..RunQuery::default() },
    ] {
        for (order, look_limit) in
            [(Order::Newest, 1), (Order::Newest, 3), (Order::Oldest, 1), (Order::Oldest, 3)]
        {
            let query = RunQuery { order, limit: 100, look_limit: Some(look_limit), ..query.clone() };
            let first = on.page(&query).await;
            assert!(first.is_cut && first.next.is_some(), "{query:?}");
            let (found, cut) = on.follow(&query, std::iter::empty()).await;
            assert!(cut > 0, "{query:?}");
            assert!(is_in_order(&found, order), "{query:?}: {found:?}");
            assert_eq!(sorted(found), sorted(expected(&all, &query)), "{query:?}");
        }
    }
}

pub async fn page_with_a_cursor_of_the_other_order_is_refused(on: &Adapters) {
    on.make([run_of(1, "report"), run_of(2, "report")]).await;
    let query = RunQuery { limit: 1, ..RunQuery::default() };
    let cursor = on.page(&query).await.next;
    assert!(cursor.is_some());
    let error = on
        .runs
        .page(&RunQuery { order: Order::Oldest, cursor, ..query })
        .await
        .expect_err("a cursor of the other order");
    assert!(error.to_string().contains("other order"), "{error}");
}

/// How many there are of each job, status and kind.
type Model = BTreeMap<(String, &'static str), (u64, u64)>;

async fn counted(on: &Adapters) -> Option<Model> {
    let counts = on.runs.counts().await.expect("the store answers")?;
    let number = |count: &pumice_core::ports::RunCount| (count.runs, count.steps);
    Some(
        counts
            .by_job
            .iter()
            .map(|count| ((count.job_id.clone(), count.status.as_str()), number(count)))
            .collect(),
    )
}

fn model(all: &[Run]) -> Model {
    let mut model = Model::new();
    for run in all {
        let count = model.entry((run.job_id.to_string(), run.status.as_str())).or_default();
        *(if run.is_child() { &mut count.1 } else { &mut count.0 }) += 1;
    }
    model
}

pub async fn counts_follow_every_change(on: &Adapters) {
    // A store that keeps no counts says so.
    let Some(none) = counted(on).await else {
        on.make_many().await;
        assert!(counted(on).await.is_none());
        return;
    };
    assert!(none.is_empty());
    let all = on.make_many().await;
    assert_eq!(counted(on).await, Some(model(&all)));
    // Writes that change nothing: a run that was there, a conflict, a change within its status.
    let again = on.runs.create(&[(new(run_of(1, "etl/check")), None)]).await.expect("the store answers");
    assert!(again[0].existing.is_some());
    let stale = Run { status: Status::Failed, ..run_of(1, "etl/check") };
    on.runs
        .commit(&Change { run: stale, lock: None, permit: None, message: None })
        .await
        .expect_err("a conflict");
    on.change(&key(1), |run| run.crashes = 3).await;
    assert_eq!(counted(on).await, Some(model(&all)));
    for (query, expected) in [
        (RunQuery::default(), Some(18)),
        (RunQuery { children: true, ..RunQuery::default() }, Some(36)),
        (RunQuery { job: Some("etl/*".to_owned()), ..RunQuery::default() }, Some(12)),
        (RunQuery { statuses: vec![Status::Failed], ..RunQuery::default() }, Some(2)),
        (RunQuery { since: Some(at(3)), ..RunQuery::default() }, None),
        (RunQuery { backfill: Some("b".to_owned()), ..RunQuery::default() }, None),
    ] {
        assert_eq!(on.runs.count(&query).await.expect("the store answers"), expected, "{query:?}");
    }
}

pub async fn starts_are_counted_by_their_minute(on: &Adapters) {
    let (first, last) = (Minute::of(at(0)), Minute::of(at(400)));
    let counted = async |since: Minute, until: Minute| {
        let starts = on.runs.starts(since, until).await.expect("the store answers");
        assert!(starts.since == since && !starts.is_cut, "few runs are counted whole: {starts:?}");
        let counts = starts.by_minute.into_iter().filter(|(_, count)| *count != MinuteCount::default());
        counts
            .map(|(minute, count)| (minute.0 - first.0, (count.runs, count.failed)))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(counted(first, last).await, BTreeMap::new());
    // A run and a step each, of which the first of each minute fails; the last one is under way.
    for number in [10, 20, 70, 200, 210, 220, 390] {
        let run = run_of(number, ["etl/load", "report"][number as usize % 2]);
        on.make([run.clone(), child_of(&run, 1, 0)]).await;
        let ends = match number {
            10 | 70 | 200 => Some(Status::Failed),
            // It ended by request.
            220 => Some(Status::Cancelled),
            390 => None,
            _ => Some(Status::Complete),
        };
        for key in [run.key.clone(), run.key.child(1, 0)] {
            let Some(status) = ends else { continue };
            on.change(&key, |run| (run.status, run.due_at, run.ts_end) = (status, None, Some(at(395)))).await;
        }
    }
    let all = [(0, (2, 1)), (1, (1, 1)), (3, (3, 1)), (6, (1, 0))];
    assert_eq!(counted(first, last).await, all.into());
    assert_eq!(counted(Minute(first.0 + 1), last).await, all[1..].iter().copied().collect());
    // What a clock that was put back has dispatched since counts for the present.
    let present = Minute(first.0 + 3);
    assert_eq!(counted(Minute(first.0 + 1), present).await, [(1, (1, 1)), (3, (4, 1))].into());
    // One that failed is done again and ends well; one is removed.
    on.change(&key(70), |run| (run.status, run.ts_end) = (Status::Complete, Some(at(399)))).await;
    assert_eq!(counted(Minute(first.0 + 1), present).await, [(1, (1, 0)), (3, (4, 1))].into());
    if on.runs.remove(&key(200)).await.expect("the store answers") {
        assert_eq!(counted(Minute(first.0 + 1), present).await, [(1, (1, 0)), (3, (3, 0))].into());
    }
}
