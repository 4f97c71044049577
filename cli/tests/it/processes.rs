//! Processes that a command started end with it, however they tried to get away.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};

/// A `sleep` that no other test has, to be looked for.
fn long_sleep() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("sleep 3{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Ways to get out of a command's process group, session, tree or environment.
fn ways(sleep: &str) -> Vec<(&'static str, String)> {
    let mut ways = vec![
        ("background", format!("{sleep} &")),
        ("session", format!("setsid {sleep} &")),
        ("timeout", format!("timeout 500 sh -c '{sleep}' &")),
        ("job control", format!("bash -c 'set -m; {sleep} & disown'")),
        ("double fork", format!("(setsid sh -c '{sleep} &' &)")),
        ("empty environment", format!("(env -i setsid /bin/sh -c 'cd /; /bin/{sleep} &' &)")),
        (
            "deaf",
            format!("(setsid sh -c 'trap \"\" TERM HUP INT; cd /; {sleep}' >/dev/null 2>&1 </dev/null &)"),
        ),
        ("nohup", format!("nohup setsid {sleep} >/dev/null 2>&1 &")),
        ("stopped", format!("(setsid sh -c 'kill -STOP $$; {sleep}' &)")),
    ];
    if std::process::Command::new("python3").arg("--version").output().is_ok() {
        // Its first thread ends, so that it looks like a zombie, and another goes on.
        ways.push(("thread", format!("setsid python3 -c 'import ctypes, subprocess, threading; threading.Thread(target=lambda: subprocess.run(\"{sleep}\".split())).start(); ctypes.CDLL(None).pthread_exit(None)' &")));
    }
    if std::process::Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        ways.push(("other user", format!("(setsid su -s /bin/sh nobody -c 'cd /; {sleep}' &)")));
    }
    ways
}

/// Whether a process with this command line is alive.
fn is_alive(sleep: &str) -> bool {
    let found = std::process::Command::new("pgrep")
        .args(["-f", "-x", &format!(".*{sleep}")])
        .output()
        .expect("pgrep");
    !found.stdout.is_empty()
}

fn dispatched(pumice: &Pumice, job: &str) -> String {
    let accepted = pumice.run(&["dispatch", job, "-o", "json"]).json();
    accepted["accepted"][0]["run_id"].as_str().expect("an id").to_owned()
}

fn shown(pumice: &Pumice, run: &str) -> Value {
    pumice.run(&["runs", "show", run, "-o", "json"]).json()["runs"][0].clone()
}

/// Tries each way out with and without cgroups, both at once.
fn try_each_way(attempt: impl Fn(&Pumice, &str, usize) + Sync) {
    let each = Pumice::with_and_without_cgroups();
    std::thread::scope(|scope| {
        for pumice in &each {
            let attempt = &attempt;
            scope.spawn(move || {
                for (index, (name, _)) in ways("").into_iter().enumerate() {
                    attempt(pumice, name, index);
                }
            });
        }
    });
}

#[test]
fn escapee_of_a_command_that_ends_is_gone_at_its_end() {
    try_each_way(|pumice, name, index| {
        let sleep = long_sleep();
        let way = &ways(&sleep)[index].1;
        let printed = pumice.run_spec(&shell("a", &format!("{way}\nsleep 0.2; exit 3")), "a");
        assert_eq!(printed.run_of("a")["result"]["error_data"]["exit_status"], 3, "{name}: {printed:?}");
        assert!(!is_alive(&sleep), "{name} is alive after the end");
    });
}

#[test]
fn escapee_of_a_timed_out_command_ends_before_the_next_attempt() {
    try_each_way(|pumice, name, index| {
        let sleep = long_sleep();
        let way = &ways(&sleep)[index].1;
        let script = format!("pgrep -f -x '.*[3]{}' && exit 9; {way}\nsleep 100", &sleep["sleep 3".len()..]);
        let mut spec = shell("a", &script);
        spec["iteration_limit"] = 2.into();
        spec["parameters"]["timeout"] = "0.4s".into();
        let printed = pumice.run_spec(&spec, "a");
        let run = printed.run_of("a");
        assert!(run["reason"].as_str().is_some_and(|why| why.starts_with("timed out")), "{name}: {run:#}");
        assert_eq!(run["log"].to_string().matches("timed out").count(), 2, "{name}: {run:#}");
        assert!(!is_alive(&sleep), "{name} is alive after the timeout");
    });
}

/// A job for each way, whose command goes on, and one that dispatches them all.
fn escapees(sleep: &str) -> Value {
    let mut jobs: Vec<Value> = ways(sleep)
        .into_iter()
        .enumerate()
        .map(|(index, (_, way))| shell(&format!("s{index}"), &format!("{way}\n: > ready{index}; sleep 100")))
        .collect();
    let payload: Vec<Value> = jobs.iter().map(|job| job["job_id"].clone()).collect();
    jobs.push(
        json!({ "job_id": "all", "type": "dispatch", "worker": "core", "enabled": true, "payload": payload }),
    );
    Value::Array(jobs)
}

fn ready(folder: &std::path::Path, sleep: &str) -> bool {
    let count = ways(sleep).len();
    let mut found = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with("ready") {
                found += 1;
            }
        }
    }
    found == count
}

#[test]
fn cancelled_run_and_stopped_service_leave_nothing_running() {
    let endings = ["cancel", "stop", "kill"].into_iter();
    let each = endings.flat_map(|ending| Pumice::with_and_without_cgroups().map(|pumice| (ending, pumice)));
    for (ending, pumice) in each {
        let sleep = long_sleep();
        pumice.write("jobs.json", escapees(&sleep).to_string());
        assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
        let mut server = pumice.serve();
        dispatched(&pumice, "all");
        wait_until(|| ready(&pumice.path().join(".pumice"), &sleep));
        assert!(is_alive(&sleep));
        match ending {
            "cancel" => {
                let listed = || pumice.run(&["runs", "list", "--status", "running", "-o", "json"]).json();
                for run in listed()["runs"].as_array().expect("runs") {
                    assert_eq!(
                        pumice.run(&["runs", "cancel", run["run_id"].as_str().expect("an id")]).status,
                        0
                    );
                }
                wait_until(|| listed()["runs"].as_array().is_some_and(Vec::is_empty));
                assert!(!is_alive(&sleep), "something is alive after a cancel");
            }
            "stop" => {
                assert_eq!(server.end_by("TERM"), 0);
                assert!(!is_alive(&sleep), "something is alive after the service was stopped");
            }
            _ => {
                server.0.kill().expect("killed");
                server.0.wait().expect("gone");
                wait_until(|| !is_alive(&sleep));
            }
        }
    }
}

#[test]
fn killed_run_leaves_neither_processes_nor_its_folder() {
    for pumice in Pumice::with_and_without_cgroups() {
        let sleep = long_sleep();
        pumice.write("jobs.json", escapees(&sleep).to_string());
        let temp = pumice.path().join("temp");
        std::fs::create_dir(&temp).expect("a folder");
        let mut run = pumice
            .command(&["run", "--jobs", "jobs.json", "all"])
            .env("TMPDIR", &temp)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("run");
        wait_until(|| ready(&temp, &sleep));
        run.kill().expect("killed");
        run.wait().expect("gone");
        wait_until(|| !is_alive(&sleep));
        wait_until(|| std::fs::read_dir(&temp).expect("a folder").next().is_none());
    }
}

#[test]
fn two_commands_at_once_end_only_their_own() {
    let pumice = Pumice::new();
    let (first, second) = (long_sleep(), long_sleep());
    let jobs = json!([
        shell("first", &format!("(setsid {first} &) ; sleep 0.3")),
        shell(
            "second",
            &format!(
                "(setsid {second} &) ; touch begun; while ! test -e go; do sleep 0.05; done; pgrep -f -x '.*{second}' > /dev/null && echo there"
            )
        ),
    ]);
    pumice.write("jobs.json", jobs.to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let _server = pumice.serve();
    let one = dispatched(&pumice, "second");
    wait_until(|| is_alive(&second));
    let other = dispatched(&pumice, "first");
    wait_until(|| shown(&pumice, &other)["status"] == "complete");
    assert!(!is_alive(&first) && is_alive(&second));
    let dir = std::fs::read_dir(pumice.path().join(".pumice/scratch")).expect("a folder");
    for entry in dir.flatten().filter(|entry| entry.path().join("dir/begun").exists()) {
        std::fs::write(entry.path().join("dir/go"), "").expect("a file");
    }
    wait_until(|| shown(&pumice, &one)["status"] == "complete");
    assert_eq!(pumice.run(&["runs", "output", &one]).out, "there\n");
    assert!(!is_alive(&second));
}

/// The guard of a server, once it does nothing about a signal that asks it to end.
fn guard_of(server: &crate::pumice::Server) -> String {
    const TERM: u64 = 1 << (15 - 1);
    let parent = server.0.id().to_string();
    let mut guard = String::new();
    wait_until(|| {
        let found = std::process::Command::new("pgrep")
            .args(["-P", &parent, "-f", "__guard"])
            .output()
            .expect("pgrep");
        guard = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        let status = std::fs::read_to_string(format!("/proc/{guard}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        caught.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & TERM != 0)
    });
    guard
}

#[test]
fn guard_outlives_signals_and_is_replaced_when_killed() {
    for (signals, again) in [(&["TERM", "INT", "HUP"][..], false), (&["KILL"], true)] {
        let pumice = Pumice::new();
        let sleep = long_sleep();
        let jobs =
            json!([shell("a", &format!("(env -i setsid /bin/{sleep} &) ; sleep 100")), shell("b", "true")]);
        pumice.write("jobs.json", jobs.to_string());
        assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
        let mut server = pumice.serve();
        dispatched(&pumice, "a");
        wait_until(|| is_alive(&sleep));
        let guard = guard_of(&server);
        for signal in signals {
            let sent =
                std::process::Command::new("kill").args(["-s", signal, &guard]).status().expect("kill");
            assert!(sent.success());
        }
        if again {
            // The next command brings another.
            let run = dispatched(&pumice, "b");
            wait_until(|| shown(&pumice, &run)["status"] == "complete");
            assert_ne!(guard_of(&server), guard);
        }
        server.0.kill().expect("killed");
        server.0.wait().expect("gone");
        wait_until(|| !is_alive(&sleep));
    }
}

/// The cgroup that a command printed as its own, as a directory; `None` where it has none of its own, which is printed.
fn cgroup_of(printed: &str, left_out: &str) -> Option<std::path::PathBuf> {
    let own =
        printed.lines().find_map(|line| line.strip_prefix("0::")).filter(|own| own.contains("/pumice-"));
    if own.is_none() {
        eprintln!("left out: {left_out}: commands get no cgroups here: {printed:?}");
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    Some(std::path::Path::new(mount.split(' ').nth(4)?).join(own?.trim_start_matches('/')))
}

#[test]
fn cgroup_of_a_command_is_gone_after_every_end_of_its_server() {
    for ending in ["TERM", "KILL", "KILL both"] {
        let [pumice, _] = Pumice::with_and_without_cgroups();
        let sleep = long_sleep();
        let jobs = json!([
            shell("a", "cat /proc/self/cgroup"),
            shell("b", &format!("touch begun; (setsid {sleep} &); exec {sleep}"))
        ]);
        pumice.write("jobs.json", jobs.to_string());
        assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
        let mut server = pumice.serve();
        let run = dispatched(&pumice, "a");
        wait_until(|| shown(&pumice, &run)["status"] == "complete");
        let Some(cgroup) = cgroup_of(&pumice.run(&["runs", "output", &run]).out, ending) else { return };
        assert!(cgroup.exists());
        dispatched(&pumice, "b");
        wait_until(|| is_alive(&sleep));
        if ending == "TERM" {
            assert_eq!(server.end_by("TERM"), 0);
        } else {
            if ending == "KILL both" {
                let guard = guard_of(&server);
                let killed = std::process::Command::new("kill").args(["-s", "KILL", &guard]).status();
                assert!(killed.expect("kill").success());
            }
            server.0.kill().expect("killed");
            server.0.wait().expect("gone");
            if ending == "KILL both" {
                assert!(cgroup.exists() && is_alive(&sleep));
                // The next server takes over.
                assert_eq!(pumice.serve().end_by("TERM"), 0);
            }
        }
        wait_until(|| !is_alive(&sleep) && !cgroup.exists());
    }
}

#[test]
fn escapee_without_any_mark_is_gone_while_other_commands_go_on() {
    for pumice in Pumice::with_and_without_cgroups() {
        let other = long_sleep();
        let sleeps: Vec<String> = unmarked("").iter().map(|_| long_sleep()).collect();
        let script = |sleep: &String, way: usize| {
            // A second attempt finds what the first one has left.
            format!(
                "pgrep -f -x '/bin/[s]{}' && exit 9\n{}\nsleep 0.7; exit 1",
                &sleep[1..],
                unmarked(sleep)[way]
            )
        };
        let escapes = sleeps.iter().enumerate().map(|(way, sleep)| {
            let mut job = shell(&format!("a{way}"), &script(sleep, way));
            job["iteration_limit"] = 2.into();
            job
        });
        let jobs: Vec<Value> =
            escapes.chain(std::iter::once(shell("second", &format!("exec {other}")))).collect();
        pumice.write("jobs.json", Value::Array(jobs).to_string());
        assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
        let server = pumice.serve();
        dispatched(&pumice, "second");
        wait_until(|| is_alive(&other));
        let runs: Vec<String> =
            (0..sleeps.len()).map(|way| dispatched(&pumice, &format!("a{way}"))).collect();
        for (run, sleep) in runs.iter().zip(&sleeps) {
            wait_until(|| shown(&pumice, run)["status"] == "failed");
            let shown = shown(&pumice, run);
            assert_eq!(shown["result"]["error_data"]["exit_status"], 1, "{shown:#}");
            assert!(count_alive(sleep) == 0 && is_alive(&other), "{shown:#}");
        }
        assert_eq!(server.end_by("TERM"), 0);
        assert!(!is_alive(&other));
    }
}

/// Ways to get rid of every mark: all limits are set anew, or to a number of the same kind, and the environment is another.
fn unmarked(sleep: &str) -> Vec<String> {
    let soft = "prlimit --locks -o SOFT --noheadings --raw";
    let mut ways = vec![
        format!("(prlimit --locks=unlimited env -i setsid /bin/sh -c '/bin/{sleep} &' &)"),
        format!("(env -i bash -c 'ulimit -x unlimited; setsid /bin/{sleep} &' &)"),
        format!("m=$({soft}); (prlimit --locks=$((m + 1000)) env -i setsid /bin/{sleep} &)"),
    ];
    if std::process::Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        ways.push(format!("(su - nobody -s /bin/sh -c 'setsid /bin/{sleep} &' &)"));
        ways.push(format!("(su - root -c 'setsid /bin/{sleep} &' &)"));
    }
    ways
}

/// How many processes with this command line are alive.
fn count_alive(sleep: &str) -> usize {
    let found = std::process::Command::new("pgrep").args(["-f", "-x", &format!("/bin/{sleep}")]).output();
    String::from_utf8_lossy(&found.expect("pgrep").stdout).lines().count()
}

/// Waits until the guard of a server has looked twice, so that once all of a look came after now.
fn wait_for_looks(guard: &str) {
    let looker = || {
        let threads = std::fs::read_dir(format!("/proc/{guard}/task")).ok()?.flatten();
        let named = |thread: &std::path::Path| {
            std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "looker")
        };
        threads.map(|thread| thread.path()).find(|thread| named(thread))
    };
    wait_until(|| looker().is_some());
    let looker = looker().expect("a thread that looks");
    // It gives its processor up once after each look.
    let looks = || {
        let status = std::fs::read_to_string(looker.join("status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).expect("a number")
    };
    let before = looks();
    wait_until(|| looks() >= before + 2);
}

#[test]
fn escapees_without_a_mark_end_after_their_server_is_killed() {
    let [_, pumice] = Pumice::with_and_without_cgroups();
    let sleep = long_sleep();
    let ways = unmarked(&sleep);
    let jobs = json!([shell("escapes", &format!("{}\nsleep 100", ways.join("\n")))]);
    pumice.write("jobs.json", jobs.to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let mut server = pumice.serve();
    dispatched(&pumice, "escapes");
    wait_until(|| count_alive(&sleep) == ways.len());
    wait_for_looks(&guard_of(&server));
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    wait_until(|| count_alive(&sleep) == 0);
}
