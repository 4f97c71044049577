//! The console's cost and its response times, on a realm with a million runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pumice_local::Durability;

use super::queries;
use super::realm::{LARGE_DAG, Realm, block_on, rate};
use super::serve::{memory_mb, pumice, resident_mb};

/// Pages, each with the filters that people use; some look for what is not there.
const PAGES: [&str; 10] = [
    "/",
    "/runs",
    "/runs?status=failed",
    "/runs?since=1h",
    "/runs?job=noop-7",
    "/runs?job=*-1*&status=rejected",
    "/runs?where=status%3Afailed+job%3Anoop-*",
    "/runs?children=1&order=oldest",
    "/job?id=noop-7",
    "/failures",
];
/// How often each page is asked for.
const EACH: usize = 100;
/// Browsers that watch the first page, and how long one waits at least between two fetches, as its script does.
const BROWSERS: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// Runs that are processed while they watch.
const PROCESSED: usize = 60_000;
/// Rounds of processing, with and without browsers in turn.
const ROUNDS: usize = 5;

type Measured = Result<Vec<f64>, String>;

/// The names of the figures: the first byte of the slowest page, of the fastest, the console's memory, the extra time
/// of processing while browsers watch, and the page of a run of a dag with 1,000 steps.
pub(super) const NAMES: [&str; 8] = [
    "first_byte_p50_ms",
    "first_byte_p99_ms",
    "fastest_page_p50_ms",
    "console_mb",
    "processed_s_without",
    "processed_s_with",
    "slower_percent",
    "dag_1000_ms",
];

/// Their goals.
pub(super) const GOALS: [(&str, f64); 5] = [
    ("first_byte_p50_ms", 20.0),
    ("first_byte_p99_ms", 60.0),
    ("console_mb", 15.0),
    ("slower_percent", 3.0),
    ("dag_1000_ms", 50.0),
];

/// Measures all of them, in one realm.
pub(super) fn measure(durability: Durability) -> Measured {
    block_on(async {
        let realm = Realm::new(durability).await?;
        queries::fill(&realm, queries::ENDED).await?;
        realm.dispatch(LARGE_DAG, 1).await?;
        let mut running = realm.start().await?;
        running.drained(&realm).await?;
        running.stop().await?;
        let console = Arc::new(Console::start(realm.folder())?);
        let shown = console.clone();
        let mut figures = on_a_thread(move || first_bytes(&shown)).await?;
        figures.push(resident_mb(&console.process)?);
        let [own, files] = ["RssAnon", "RssFile"].map(|name| memory_mb(&console.process, name));
        eprintln!("the console: {:.1} MB of its own, {:.1} MB of pages of files", own?, files?);
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(drain(&realm, None).await?);
            with.push(drain(&realm, Some(&console)).await?);
        }
        let (without, with) = (queries::median(&mut without), queries::median(&mut with));
        figures.extend([without, with, (without / with - 1.0) * 100.0]);
        let shown = console.clone();
        let page = format!("/run?id=latest:{LARGE_DAG}");
        let mut waits: Vec<f64> =
            on_a_thread(move || (0..EACH).map(|_| shown.first_byte(&page)).collect()).await?;
        figures.push(at(&mut waits, 50));
        Ok(figures)
    })?
}

/// Carries out what waits for sockets apart from the engine's threads.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

fn at(waits: &mut [f64], share: usize) -> f64 {
    waits.sort_by(f64::total_cmp);
    waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The slowest page's median and 99th percentile, and the fastest's median, in ms.
fn first_bytes(console: &Console) -> Measured {
    let (mut medians, mut slow) = (Vec::new(), Vec::new());
    for page in PAGES {
        let mut waits = (0..EACH).map(|_| console.first_byte(page)).collect::<Result<Vec<_>, _>>()?;
        let (p50, p99) = (at(&mut waits, 50), at(&mut waits, 99));
        eprintln!("{page}: {p50:.1} ms at the median, {p99:.1} ms at p99");
        medians.push(p50);
        slow.push(p99);
    }
    Ok(vec![at(&mut medians, 100), at(&mut slow, 100), at(&mut medians, 0)])
}

/// How many runs a second are processed from a queue, while browsers watch or none does.
async fn drain(realm: &Realm, watched: Option<&Arc<Console>>) -> Result<f64, String> {
    for _ in 0..PROCESSED / 100 {
        realm.dispatch("noop", 100).await?;
    }
    realm.settle().await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let browsers: Vec<_> = watched
        .into_iter()
        .flat_map(|console| std::iter::repeat_n(console, BROWSERS))
        .map(|console| {
            let (console, is_over) = (console.clone(), is_over.clone());
            std::thread::spawn(move || console.watch(&is_over))
        })
        .collect();
    let began = Instant::now();
    let mut running = realm.start().await?;
    running.drained(realm).await?;
    let rate = rate(PROCESSED, began);
    running.stop().await?;
    is_over.store(true, Ordering::Relaxed);
    for browser in browsers {
        browser.join().map_err(|_| "a browser failed")??;
    }
    Ok(rate)
}

/// A console of a folder, and a session with it. It ends when it is dropped.
struct Console {
    process: Child,
    address: SocketAddr,
    cookie: String,
}

impl Console {
    fn start(folder: &std::path::Path) -> Result<Self, String> {
        let mut process = Command::new(pumice()?)
            .args(["console", "--listen", "127.0.0.1:0", "--home"])
            .arg(folder)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let stderr = process.stderr.take().ok_or("no stderr")?;
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let link = lines
            .by_ref()
            .find_map(|line| line.split_once("log in once at ").map(|(_, link)| link.to_owned()));
        // Its output must be read, or it would block on it.
        std::thread::spawn(move || lines.count());
        let (address, path) = link
            .as_deref()
            .and_then(|link| link.strip_prefix("http://")?.split_once('/'))
            .ok_or("the console printed no link")?;
        let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        let mut console = Self { process, address, cookie: String::new() };
        let mut answer = String::new();
        let mut stream = console.ask(&format!("/{path}"))?;
        stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie =
            cookie.and_then(|cookie| cookie.split(';').next()).ok_or("the console gave no session")?;
        cookie.clone_into(&mut console.cookie);
        Ok(console)
    }

    /// Sends a request, on a connection of its own.
    fn ask(&self, path: &str) -> Result<TcpStream, String> {
        let mut stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        let text = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncookie: {}\r\n\r\n",
            self.address, self.cookie
        );
        stream.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(stream)
    }

    /// The time until the first byte of a page, in ms. It is read to its end, and must be a page.
    fn first_byte(&self, path: &str) -> Result<f64, String> {
        let began = Instant::now();
        let mut stream = self.ask(path)?;
        let mut page = vec![0];
        stream.read_exact(&mut page).map_err(|error| format!("{path}: {error}"))?;
        let took = began.elapsed().as_secs_f64() * 1_000.0;
        stream.read_to_end(&mut page).map_err(|error| format!("{path}: {error}"))?;
        match page.starts_with(b"HTTP/1.1 200") {
            true => Ok(took),
            false => Err(format!("{path}: {}", String::from_utf8_lossy(&page[..page.len().min(200)]))),
        }
    }

    /// Does what the script of the first page does: it fetches the page when the stream of events says that something has
    /// changed.
    fn watch(&self, is_over: &AtomicBool) -> Result<(), String> {
        let stream = self.ask("/live")?;
        let wait = Some(Duration::from_millis(100));
        stream.set_read_timeout(wait).map_err(|error| error.to_string())?;
        let mut events = BufReader::new(stream);
        let (mut line, mut fetched) = (Vec::new(), Instant::now());
        let mut is_other = false;
        while !is_over.load(Ordering::Relaxed) {
            match events.read_until(b'\n', &mut line) {
                Ok(0) => return Err("the stream of events ended".to_owned()),
                Ok(_) => {
                    is_other |= line.starts_with(b"event: change");
                    line.clear();
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error.to_string()),
            }
            if is_other && fetched.elapsed() >= PAUSE {
                self.first_byte("/")?;
                (is_other, fetched) = (false, Instant::now());
            }
        }
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
