use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use pumice_core::duration::Span;
use pumice_host::SystemClock;
use pumice_host::processes::{
    self, Launch, ProcessFamily, Running, adopt_orphans, kill_all_leftovers, kill_leftovers, run_subreaper,
    use_subreapers,
};
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, MutexGuard};

/// Only one test at a time: they share the subreapers, and one ends all orphans.
async fn prepare() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    let alone = ALONE.lock().await;
    adopt_orphans();
    use_subreapers(&["--exact", "--ignored", "subreapers::subreaper_of_the_other_tests"]);
    alone
}

#[test]
#[ignore = "the other tests start it, as the program of their subreapers"]
fn subreaper_of_the_other_tests() {
    std::process::exit(run_subreaper().into());
}

/// What a command printed and how it ended.
struct Ended {
    out: String,
    status: std::io::Result<ExitStatus>,
}

async fn spawn(scratch: &Path, script: &str) -> Running {
    let launch = Launch {
        file: "/bin/sh".into(),
        arg0: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), std::env::var_os("PATH").unwrap_or_default())],
        folder: scratch.to_owned(),
    };
    processes::spawn(launch, scratch).await.expect("it works")
}

/// Waits for a command and for all that it started. Escapees have other outputs.
async fn end(running: Running) -> Ended {
    let Running { mut stdout, stderr: _stderr, mut root, mut family } = running;
    let mut out = String::new();
    stdout.read_to_string(&mut out).await.expect("it works");
    let status = root.wait().await;
    end_family(&mut family).await;
    Ended { out, status }
}

async fn end_family(family: &mut ProcessFamily) {
    family.end(&SystemClock, Span::from_secs(5)).await.expect("it works");
}

/// A command that runs in the background with nothing of the shell's open.
fn apart(command: &str) -> String {
    format!("{command} >/dev/null 2>&1 </dev/null &")
}

/// A `sleep` that no other has, to be looked for.
fn long_sleep(number: u32) -> String {
    format!("/bin/sleep 4{}.{number}", std::process::id())
}

fn is_alive(sleep: &str) -> bool {
    let wanted = sleep.replace(' ', "\0") + "\0";
    std::fs::read_dir("/proc")
        .expect("it works")
        .flatten()
        .any(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes()))
}

fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come about within 20 s");
}

#[tokio::test]
async fn status_and_signal_of_a_command_are_its_own() {
    let _alone = prepare().await;
    let scratch = tempfile::tempdir().expect("it works");
    for (script, code, signal) in [
        ("exit 0", Some(0), None),
        ("exit 7", Some(7), None),
        ("kill -TERM $$", None, Some(15)),
        ("kill -KILL $$", None, Some(9)),
        ("sleep 0.1; exit 3", Some(3), None),
    ] {
        let status = end(spawn(scratch.path(), script).await).await.status.expect("it works");
        assert_eq!((status.code(), status.signal()), (code, signal), "{script}");
    }
    let launch = Launch {
        file: "/nowhere".into(),
        arg0: "nowhere".into(),
        args: Vec::new(),
        env: Vec::new(),
        folder: PathBuf::from("/"),
    };
    let error = processes::spawn(launch, scratch.path()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn subreaper_serves_one_command_after_the_other() {
    let _alone = prepare().await;
    let scratch = tempfile::tempdir().expect("it works");
    let script = "echo $PPID; cut -d' ' -f5 /proc/$$/stat | grep -qx $$ && echo leader";
    let first = end(spawn(scratch.path(), script).await).await.out;
    assert_eq!(first, end(spawn(scratch.path(), script).await).await.out);
    assert!(first.ends_with("\nleader\n"), "{first}");
    assert_ne!(first.lines().next(), Some(std::process::id().to_string().as_str()));
    // A second command at the same time has another.
    let waits = spawn(scratch.path(), "echo $PPID; sleep 0.3").await;
    let other = end(spawn(scratch.path(), script).await).await.out;
    assert_ne!(end(waits).await.out.lines().next(), other.lines().next());
}

/// Ways to get rid of every mark, or to have another command's.
fn ways(sleep: &str) -> Vec<String> {
    let own = std::process::id();
    let soft = "prlimit --locks -o SOFT --noheadings --raw";
    let mut ways = vec![
        format!("({})", apart(&format!("prlimit --locks=unlimited env -i setsid {sleep}"))),
        format!("m=$({soft}); ({})", apart(&format!("prlimit --locks=$((m+1000)) env -i setsid {sleep}"))),
        format!("m=$({soft}); ({})", apart(&format!("prlimit --locks=$((m-1)) env -i setsid {sleep}"))),
    ];
    if Command::new("python3").arg("--version").output().is_ok() {
        let arguments = sleep.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        ways.push(apart(&format!(
            "python3 -c 'import os; os.setpgid(0, os.getpgid({own})); os.execvp(\"prlimit\", [\"prlimit\", \"--locks=unlimited\", \"env\", \"-i\", {arguments}])'"
        )));
    }
    ways
}

#[tokio::test]
async fn escapee_without_its_mark_ends_with_its_command_alone() {
    let _alone = prepare().await;
    let scratch = tempfile::tempdir().expect("it works");
    let count = ways("").len();
    for way in 0..count {
        let [one, two] = [1, 2].map(|half| long_sleep(u32::try_from(way).expect("it works") * 10 + half));
        // The other one goes on, and has an escapee of the same kind.
        let other = spawn(scratch.path(), &format!("{}\nexec sleep 100", ways(&two)[way])).await;
        wait_until(|| is_alive(&two));
        let first = spawn(scratch.path(), &format!("{}\nsleep 0.5", ways(&one)[way])).await;
        wait_until(|| is_alive(&one));
        assert!(end(first).await.status.expect("it works").success());
        assert!(!is_alive(&one) && is_alive(&two), "{}", ways(&one)[way]);
        // One that is dropped leaves nothing either.
        drop(other);
        assert!(!is_alive(&two), "{}", ways(&two)[way]);
    }
}

#[tokio::test]
async fn deaf_escapee_is_killed_after_the_grace() {
    let _alone = prepare().await;
    let scratch = tempfile::tempdir().expect("it works");
    let sleep = long_sleep(100);
    let deaf =
        format!("prlimit --locks=unlimited env -i setsid /bin/sh -c 'trap \"\" TERM; {sleep}; {sleep}'");
    let running = spawn(scratch.path(), &format!("({})\nsleep 0.3; exit 5", apart(&deaf))).await;
    let Running { mut root, mut family, .. } = running;
    assert_eq!(root.wait().await.expect("it works").code(), Some(5));
    let began = std::time::Instant::now();
    family.end(&SystemClock, Span::from_secs(1)).await.expect("it works");
    assert!(!is_alive(&sleep) && began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn command_whose_subreaper_is_killed_is_ended_and_reported() {
    let _alone = prepare().await;
    let scratch = tempfile::tempdir().expect("it works");
    let sleep = long_sleep(200);
    let script = format!("({})\nsleep 0.2; kill -KILL $PPID; exec {sleep}", ways(&sleep)[0]);
    let Running { mut root, mut family, .. } = spawn(scratch.path(), &script).await;
    assert!(root.wait().await.is_err());
    end_family(&mut family).await;
    assert!(!is_alive(&sleep));
    // Another takes its place.
    assert!(end(spawn(scratch.path(), "true").await).await.status.expect("it works").success());
}

#[tokio::test]
async fn command_that_stops_its_subreaper_is_ended_all_the_same() {
    let _alone = prepare().await;
    let scratch = tempfile::tempdir().expect("it works");
    let sleep = long_sleep(400);
    let script = format!("({})\nkill -STOP $PPID; echo stopped; exec {sleep}", ways(&sleep)[0]);
    let Running { mut stdout, mut root, mut family, .. } = spawn(scratch.path(), &script).await;
    let mut out = [0; 7];
    stdout.read_exact(&mut out).await.expect("it works");
    let (status, ()) = tokio::join!(root.wait(), end_family(&mut family));
    assert!(status.is_err() && !is_alive(&sleep));
}

#[tokio::test]
async fn orphan_without_any_mark_is_among_all_leftovers() {
    let _alone = prepare().await;
    let scratch = tempfile::tempdir().expect("it works");
    let mut command = Command::new("sh");
    command.args(["-c", "(env -i setsid sleep 1000 >/dev/null 2>&1 & echo $!)"]);
    let output = command.env_clear().stderr(Stdio::null()).output().expect("it works");
    let orphan = Path::new("/proc").join(String::from_utf8_lossy(&output.stdout).trim());
    assert!(output.status.success() && orphan.join("stat").exists());
    assert_eq!(kill_leftovers(scratch.path()).await, 0);
    assert!(orphan.exists());
    assert_eq!(kill_all_leftovers(scratch.path()).await, 1);
    assert!(!orphan.exists());
}

#[tokio::test]
#[ignore = "another test starts it, as the worker that it kills"]
async fn worker_that_is_killed() {
    let _alone = prepare().await;
    let scratch = std::env::temp_dir();
    let sleep = std::env::var("SLEEP").expect("it works");
    let running = spawn(&scratch, &format!("{}\nexec {sleep}", ways(&sleep).join("\n"))).await;
    println!("begun");
    end(running).await;
}

#[test]
fn killed_worker_leaves_nothing_below_its_subreapers() {
    let sleep = long_sleep(300);
    let mut worker = Command::new("/proc/self/exe");
    worker.args(["--exact", "--ignored", "--nocapture", "subreapers::worker_that_is_killed"]);
    let mut worker = worker.env("SLEEP", &sleep).stdout(Stdio::piped()).spawn().expect("it works");
    let printed = BufReader::new(worker.stdout.take().expect("it works"));
    assert!(printed.lines().map_while(Result::ok).any(|line| line.contains("begun")));
    let count = ways(&sleep).len() + 1;
    let alive = || {
        let wanted = sleep.replace(' ', "\0") + "\0";
        let all = std::fs::read_dir("/proc").expect("it works").flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| *line == wanted.as_bytes()).count()
    };
    wait_until(|| alive() == count);
    worker.kill().expect("it works");
    worker.wait().expect("it works");
    wait_until(|| alive() == 0);
}
