//! Measures apalis as `pumice-bench` measures Pumice: `pumice-bench-apalis STORE PART JOBS` prints figures as JSON. `STORE` is
//! `redis://…` or `sqlite:FILE`.

mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::{BoxDynError, Data};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::try_join_all;
use serde_json::{Value, json};

use stores::{Redis, Sqlite, Store};

const CALLERS: usize = 16;
const BATCH: usize = 100;
const WARM_UP: usize = 10;
const SAMPLES: usize = 500;
const PAUSE: Duration = Duration::from_millis(1);
/// How often the end of the last job is looked for, as `pumice-bench` does.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// What the jobs tell of themselves.
pub(crate) struct Starts {
    began: Instant,
    count: AtomicUsize,
    last_ns: AtomicU64,
}

impl Starts {
    fn new() -> Self {
        Self { began: Instant::now(), count: AtomicUsize::new(0), last_ns: AtomicU64::new(0) }
    }

    /// How many jobs have started.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// When the last job started.
    fn last(&self) -> Instant {
        self.began + Duration::from_nanos(self.last_ns.load(Ordering::Acquire))
    }
}

/// The job: it does nothing but say when it started.
pub(crate) async fn noop(_: u64, starts: Data<Arc<Starts>>) {
    starts.last_ns.store(starts.began.elapsed().as_nanos() as u64, Ordering::Release);
    starts.count.fetch_add(1, Ordering::AcqRel);
}

/// A worker that runs until the process ends.
struct Working {
    starts: Arc<Starts>,
    wake: UnboundedSender<()>,
}

impl Working {
    fn start(store: &impl Store) -> Self {
        let starts = Arc::new(Starts::new());
        let (wake, woken) = unbounded();
        let worker = store.clone().work(woken, starts.clone());
        tokio::spawn(async move {
            // A worker that stops leaves the measurement without an end.
            let ended = worker.await;
            eprintln!("the worker stopped: {ended:?}");
            std::process::exit(1);
        });
        Self { starts, wake }
    }

    /// Waits until so many jobs are recorded as done.
    async fn ended(&self, store: &impl Store, count: usize) -> Result<(), BoxDynError> {
        while self.starts.count() < count || store.done().await? < count {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Runs a few jobs, so that connections and caches are there.
    async fn warm_up(&self, store: &mut impl Store) -> Result<(), BoxDynError> {
        fill(store, WARM_UP).await?;
        self.wake.unbounded_send(())?;
        self.ended(store, WARM_UP).await
    }
}

fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

async fn fill(store: &mut impl Store, jobs: usize) -> Result<(), BoxDynError> {
    for first in (0..jobs).step_by(BATCH) {
        store.push(vec![0; BATCH.min(jobs - first)]).await?;
    }
    Ok(())
}

/// Jobs taken a second from one caller, from sixteen at the same time, and in batches of a hundred.
async fn enqueue(mut store: impl Store, jobs: usize) -> Result<Value, BoxDynError> {
    store.push(vec![0]).await?;
    let began = Instant::now();
    for _ in 0..jobs {
        store.push(vec![0]).await?;
    }
    let single = rate(jobs, began);

    let each = jobs.div_ceil(CALLERS);
    let caller = async |mut store: _| {
        for _ in 0..each {
            Store::push(&mut store, vec![0]).await?;
        }
        Ok::<(), BoxDynError>(())
    };
    let began = Instant::now();
    try_join_all((0..CALLERS).map(|_| caller(store.clone()))).await?;
    let many = rate(each * CALLERS, began);

    let began = Instant::now();
    fill(&mut store, jobs).await?;
    Ok(json!({ "enqueue_s": single, "enqueue_16_s": many, "enqueue_bulk_s": rate(jobs, began) }))
}

/// Jobs a second from a full queue until the last is recorded as done.
async fn process(mut store: impl Store, jobs: usize) -> Result<Value, BoxDynError> {
    fill(&mut store, jobs).await?;
    store.settle().await?;
    let began = Instant::now();
    let working = Working::start(&store);
    working.ended(&store, jobs).await?;
    Ok(json!({ "process_s": rate(jobs, began) }))
}

/// From the request to the start of its job on an idle queue: median and 99th of a hundred, in ms.
async fn latency(mut store: impl Store) -> Result<Value, BoxDynError> {
    let working = Working::start(&store);
    working.warm_up(&mut store).await?;
    let mut waits = Vec::with_capacity(SAMPLES);
    for n in 1..=SAMPLES {
        let asked = Instant::now();
        store.push(vec![0]).await?;
        working.wake.unbounded_send(())?;
        working.ended(&store, WARM_UP + n).await?;
        waits.push((working.starts.last() - asked).as_secs_f64() * 1_000.0);
        tokio::time::sleep(PAUSE).await;
    }
    waits.sort_by(f64::total_cmp);
    let at = |percent: usize| waits[waits.len() * percent / 100];
    Ok(json!({ "lat_p50_ms": at(50), "lat_p99_ms": at(99) }))
}

/// Memory of a worker that has nothing to do, in MB.
async fn idle(mut store: impl Store) -> Result<Value, BoxDynError> {
    let working = Working::start(&store);
    working.warm_up(&mut store).await?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let kib: f64 = resident.ok_or("no VmRSS")?.parse()?;
    Ok(json!({ "rss_mb": kib / 1024.0 }))
}

async fn measure(store: impl Store, part: &str, jobs: usize) -> Result<Value, BoxDynError> {
    match part {
        "enqueue" => enqueue(store, jobs).await,
        "process" => process(store, jobs).await,
        "latency" => latency(store).await,
        "idle" => idle(store).await,
        _ => Err(format!("{part:?} is not a part").into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, part, jobs] = arguments.as_slice() else {
        return Err("usage: pumice-bench-apalis STORE PART JOBS".into());
    };
    let jobs = jobs.parse()?;
    let figures = match store.strip_prefix("sqlite:") {
        Some(file) => measure(Sqlite::open(file).await?, part, jobs).await?,
        None => measure(Redis::open(store).await?, part, jobs).await?,
    };
    println!("{figures}");
    Ok(())
}
