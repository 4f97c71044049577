//! Runs attacks in processes of their own.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value as Json;

use super::{Attack, MAY_USE_KIB, context};
use crate::Renderer;

/// The attack that a process begins with.
const FIRST: &str = "PUMICE_ATTACK_FIRST";
/// Processor time over what is allowed after which the system ends a process.
const GRACE: Duration = Duration::from_secs(2);
/// Address space of a process, which the system refuses to exceed.
const ADDRESS_SPACE: u64 = 2 << 30;
/// Resident memory that earlier attacks may leave behind before a new
/// process takes over.
const LEFT_BEHIND_KIB: u64 = 48 * 1024;

/// Runs all attacks, from the test `name`; fails with those that took too
/// much.
pub(super) fn run(name: &str, attacks: &[Attack]) {
    if let Some(first) = std::env::var_os(FIRST) {
        let first = first.to_str().and_then(|first| first.parse().ok()).expect("a number");
        return attack(&attacks[first..], first);
    }
    let mut wrong = Vec::new();
    let mut first = 0;
    while first < attacks.len() {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(FIRST, first.to_string())
            .stderr(Stdio::null())
            .output()
            .expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout);
        let mut last = None;
        for line in told.lines().filter_map(|line| line.split_once("attack ").map(|(_, line)| line)) {
            let mut words = line.splitn(4, ' ').map(|word| word.parse::<u64>().unwrap_or(0));
            let mut next = || words.next().unwrap_or(0);
            let (index, millis, kib) = (next() as usize, next(), next());
            last = Some(index);
            let attack = &attacks[index];
            if u128::from(millis) > attack.may_take().as_millis() || kib > MAY_USE_KIB {
                wrong.push(format!("{millis} ms, {} MiB: {}", kib / 1024, shown(attack)));
            }
        }
        let next = last.map_or(first, |last| last + 1);
        if !output.status.success() && next < attacks.len() {
            wrong.push(format!("{}: {}", output.status, shown(&attacks[next])));
            first = next + 1;
        } else {
            assert!(next > first, "nothing ran: {told}");
            first = next;
        }
    }
    println!("{} attacks", attacks.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attacks.len(), wrong.join("\n"));
}

fn shown(attack: &Attack) -> String {
    let all: String = attack.strings.join(" | ");
    all.chars().take(400).collect()
}

/// Runs attacks in this process until it has grown too large.
fn attack(attacks: &[Attack], first: usize) {
    let space = Rlimit { current: Some(ADDRESS_SPACE), maximum: getrlimit(Resource::As).maximum };
    setrlimit(Resource::As, space).expect("a limit");
    let ctx = context();
    for (index, attack) in attacks.iter().enumerate() {
        let began = processor_time();
        let ends = began + attack.may_take() + GRACE;
        let time = Rlimit { current: Some(ends.as_secs() + 1), maximum: getrlimit(Resource::Cpu).maximum };
        setrlimit(Resource::Cpu, time).expect("a limit");
        // From here on the peak counts anew.
        fs::write("/proc/self/clear_refs", "5").expect("the peak is reset");
        let structure: Json = attack.strings.iter().map(|text| Json::from(text.as_str())).collect();
        let result = Renderer::new(attack.limits()).render_json(&structure, &ctx);
        let end = match &result {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.message().chars().take(60).collect(),
        };
        drop(result);
        let took = processor_time().saturating_sub(began).as_millis();
        let mut out = std::io::stdout();
        writeln!(out, "attack {} {took} {} {end}", first + index, memory("VmHWM:")).expect("it is written");
        if memory("VmRSS:") > LEFT_BEHIND_KIB {
            break;
        }
    }
}

/// The processor time of this process's thread.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("the system records it");
    Duration::from_nanos(
        stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("a number"),
    )
}

fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the system records it");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
