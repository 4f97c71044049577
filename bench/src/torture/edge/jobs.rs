//! The jobs of the edge torture: scripts that write files, fork in every way, print through every path, retry, share
//! files, and hostile ones.

use std::path::Path;

use pumice_core::spec::JobSpec;
use serde_json::{Value, json};

use super::super::jobs::job;

/// How many lines a command prints besides those that name it.
pub(super) const LINES: usize = 2_000;
/// How many items a foreach has.
pub(super) const ITEMS: usize = 4;

/// The scripts' knowledge of the place that they run in.
pub(super) struct Place<'a> {
    /// The file that each execution adds a line to.
    pub(super) marks: &'a Path,
    /// A folder outside the realm that nothing may be made in.
    pub(super) outside: &'a Path,
    /// The command line of a process that must not be alive in the end.
    pub(super) sleep: &'a str,
    /// The length of the longest line, in bytes.
    pub(super) line: u64,
}

/// The beginning of every script: it knows its step and its attempt, and records that it ran.
fn script(place: &Place<'_>, then: &str) -> String {
    format!(
        "set -e\nid=\"${{LAVA_S3_TMP#*/temp/}} $TRY\"\necho \"$id\" >> '{}'\n{then}",
        place.marks.display()
    )
}

/// A command that fails where the machine is out of something may be tried again: none of its own is.
fn command(id: &str, script: String, more: Value) -> Value {
    let mut job = job(id, "cmd", json!("sh -c"), json!({ "iteration_limit": 10, "iteration_delay": "0.2s" }));
    job["parameters"] = json!({ "args": [script], "env": { "TRY": "{{ globals.lava.iteration }}", "N": "{{ globals.n | default('-') }}" } });
    if let (Some(job), Value::Object(more)) = (job.as_object_mut(), more) {
        job.extend(more);
    }
    job
}

/// Ways out of a process group, a session, a tree, an environment.
fn ways(sleep: &str) -> [String; 8] {
    [
        format!("{sleep} & setsid {sleep} &"),
        format!("timeout 500 sh -c '{sleep}' 2>/dev/null & bash -c 'set -m; {sleep} & disown'"),
        format!("(setsid sh -c '{sleep} &' &)"),
        format!("(env -i setsid /bin/sh -c 'cd /; {sleep} &' &)"),
        format!("nohup setsid {sleep} >/dev/null 2>&1 & (setsid sh -c 'kill -STOP $$; {sleep}' &)"),
        // As another user, where this is root; else as the same.
        format!("(setsid su -s /bin/sh nobody -c 'cd /; {sleep}' 2>/dev/null || setsid {sleep}) &"),
        format!("i=0; while [ $i -lt 30 ]; do (setsid {sleep} &) ; i=$((i+1)); done"),
        format!(
            "(setsid sh -c 'trap \"\" TERM HUP INT; cd /; {sleep}; {sleep}' >/dev/null 2>&1 </dev/null &)"
        ),
    ]
}

/// Jobs that must end well.
fn honest(place: &Place<'_>) -> Vec<Value> {
    let own = |then: &str| script(place, then);
    let mut jobs = vec![
        command(
            "print",
            own(&format!(
                "echo \"a $id\"; echo \"b $id\" > /dev/stdout; echo \"c $id\" | tee /dev/stderr\n\
                 printf 'd\\000\\377 %s\\n' \"$id\" | cat; (echo \"e $id\") & wait; echo \"f $id\" >&2; seq {LINES}"
            )),
            json!({}),
        ),
        command("retry", own("echo \"try $id\"; echo \"why $id\" >&2; test \"$TRY\" -ge 3"), json!({})),
        command(
            "keep",
            own("echo \"$TRY\" > \"$LAVA_S3_TMP/$TRY.txt\"; echo \"kept $id\"; test \"$TRY\" -ge 2"),
            json!({ "keep": "attempts" }),
        ),
        command(
            "files",
            own("test -z \"$(ls -A .)\"; test -z \"$(ls -A \"$TMPDIR\")\"\n\
                 for n in 1 2 3; do echo \"$n $id\" > \"$LAVA_S3_TMP/$n.txt\"; echo junk > \"$TMPDIR/$n\"; echo junk > $n; done\n\
                 mkdir -p \"$LAVA_S3_TMP/sub\"; echo \"deep $id\" > \"$LAVA_S3_TMP/sub/deep\"; echo \"files $id\""),
            json!({}),
        ),
        command(
            "make",
            own("seq 100 > data.new; mv data.new data; echo note > \"$HOME/note\"; echo \"made $id\""),
            json!({}),
        ),
        command(
            "add",
            own(
                "cp data two.new; echo \"$LAVA_RUN_ID\" >> two.new; mv two.new two; echo \"added $id\"; test \"$TRY\" -ge 2",
            ),
            json!({}),
        ),
        command("total", own("cat \"$HOME/note\" two; echo \"total $id\""), json!({})),
        command(
            "put",
            own("echo \"$N $LAVA_RUN_ID\" > \"new.$N\"; mv \"new.$N\" \"item.$N\"; echo \"put $id\""),
            json!({}),
        ),
        command("get", own("cat \"item.$N\"; echo \"got $id\""), json!({})),
        job("flow", "chain", json!(["make", "add", "total"]), json!({})),
        job("pair", "chain", json!(["put", "get"]), json!({})),
        job(
            "spread",
            "foreach",
            json!("pair"),
            json!({ "parameters": { "workers": 2, "foreach": { "type": "range", "stop": ITEMS, "name": "n" } } }),
        ),
        job("twice", "chain", json!(["print", "print"]), json!({})),
        job(
            "graph",
            "dag",
            json!({ "keep": ["print"], "retry": ["print"] }),
            json!({ "parameters": { "workers": 2 } }),
        ),
    ];
    jobs.extend(ways(place.sleep).iter().enumerate().map(|(number, way)| {
        command(&format!("fork-{number}"), own(&format!("{way}\necho \"forked $id\"")), json!({}))
    }));
    jobs
}

/// Jobs that may end in any way, so long as nothing else suffers.
fn hostile(place: &Place<'_>) -> Vec<Value> {
    let (sleep, outside, line) = (place.sleep, place.outside.display(), place.line);
    let once = json!({ "iteration_limit": 1 });
    let bad = |id: &str, text: String| command(id, script(place, &text), once.clone());
    let mut late = bad("bad-late", sleep.to_owned());
    late["parameters"]["timeout"] = "0.3s".into();
    let zero = |id: &str, file: &str| {
        let items = json!({ "foreach": { "type": "csv", "filename": file } });
        job(id, "foreach", json!("print"), json!({ "parameters": items }))
    };
    vec![
        bad(
            "bad-pipe",
            "rm -f \"$PUMICE_SCRATCH/live/$LAVA_RUN_ID\"*; echo x; echo y >&2; rm -f \"$PUMICE_SCRATCH/live/$LAVA_RUN_ID\"*\n\
             for n in stdout stderr; do mkfifo \"$PUMICE_SCRATCH/live/$LAVA_RUN_ID.1.$n\" \"$LAVA_S3_TMP/$n\"; done; exit 1"
                .to_owned(),
        ),
        bad(
            "bad-link",
            format!("rmdir \"$LAVA_S3_TMP\"; ln -s '{outside}' \"$LAVA_S3_TMP\"; ln -s '{outside}' out; echo x; echo y >&2"),
        ),
        bad("bad-zero", "head -c 50000000 /dev/zero > /dev/null; ln -s /dev/zero items.csv; ln -s /dev/zero \"$LAVA_S3_TMP/stdout\"".to_owned()),
        bad(
            "bad-tree",
            "mkdir -p a/b/c; touch a/b/c/f; chmod 000 a/b a; mkdir keep; touch keep/f; chattr +i keep/f 2>/dev/null || true\n\
             n=0; d=deep; while [ $n -lt 60 ]; do d=$d/deeper; n=$((n+1)); done; mkdir -p \"$d\"; chmod 000 \"$TMPDIR\" .; exit 1"
                .to_owned(),
        ),
        bad("bad-line", format!("head -c {line} /dev/zero | tr '\\000' x")),
        bad("bad-many", format!("i=0; while [ $i -lt 100 ]; do {sleep} & i=$((i+1)); done; exit 1")),
        bad("bad-quiet", "exec >&- 2>&-; exit 0".to_owned()),
        bad("bad-death", "echo x; kill -9 $$".to_owned()),
        late,
        zero("bad-items", "/dev/zero"),
        bad("bad-feed", "rm -f items.csv; ln -s /dev/zero items.csv".to_owned()),
        zero("bad-eat", "items.csv"),
        job("bad-chain", "chain", json!(["bad-feed", "bad-eat"]), json!({})),
    ]
}

/// All jobs.
pub(super) fn all(place: &Place<'_>) -> Result<Vec<JobSpec>, String> {
    let mut specs = honest(place);
    specs.extend(hostile(place));
    specs.iter().map(|spec| JobSpec::parse(spec).map_err(|error| error.to_string())).collect()
}

/// Jobs that are asked for, and how often among so many.
pub(super) const MIX: [(&str, u64); 26] = [
    ("print", 20),
    ("retry", 6),
    ("keep", 6),
    ("files", 14),
    ("flow", 8),
    ("spread", 4),
    ("twice", 6),
    ("graph", 5),
    ("fork-0", 3),
    ("fork-1", 3),
    ("fork-2", 3),
    ("fork-3", 3),
    ("fork-4", 3),
    ("fork-5", 3),
    ("fork-6", 2),
    ("fork-7", 1),
    ("bad-pipe", 2),
    ("bad-link", 2),
    ("bad-zero", 2),
    ("bad-tree", 2),
    ("bad-many", 1),
    ("bad-quiet", 2),
    ("bad-death", 2),
    ("bad-late", 2),
    ("bad-items", 2),
    ("bad-chain", 2),
];
