//! The events of `events/` against docs/deploy.md, which says what each needs and answers.

use std::collections::BTreeSet;
use std::path::Path;

use dispatcher_lambda::{Event, payload};
use serde_json::Value;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The jobs that an event asks for, and whether all its requests have a key, or it has an id, and so make their runs once.
fn asked(event: &Value) -> (BTreeSet<String>, bool) {
    let (requests, is_once) = match Event::read(event, chrono_tz::UTC).expect("it reads") {
        Event::Direct(direct) => {
            let has_key = direct.requests.iter().flatten().all(|request| request.idempotency_key.is_some());
            (direct.requests, has_key)
        }
        Event::Delivered(records) | Event::Queued(records) => {
            (records.into_iter().flat_map(|record| record.requests).collect(), true)
        }
        Event::Sweep | Event::Changed(_) => (Vec::new(), false),
    };
    (requests.into_iter().flatten().map(|request| request.job_id.to_string()).collect(), is_once)
}

#[test]
fn page_names_the_jobs_and_the_repeats_of_every_event() {
    let page = text("docs/deploy.md");
    let (_, page) = page.split_once("\n- The events ask for the jobs ").expect("the page says it");
    let (page, _) = page.split_once("\n- The worker is").expect("the page goes on");
    let lines: Vec<&str> = page.split("\n- ").collect();
    let (jobs, once) = (lines[0], lines[1]);
    let (existing, anew) = once.split_once("`\"existing\": true`").expect("the page says it");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    for entry in std::fs::read_dir(folder).expect("it is there").flatten() {
        let name = entry.file_name().into_string().expect("a text");
        if !name.starts_with("dispatcher-") {
            continue;
        }
        let event = payload(&text(&format!("events/{name}"))).expect("it reads");
        let (asked, is_once) = asked(&event);
        for job in &asked {
            let file = format!("examples/jobs/{job}.json");
            assert!(
                jobs.contains(&format!("`{job}`")) && jobs.contains(&file),
                "{name}: {job} is not on the page"
            );
            let spec: Value = serde_json::from_str(&text(&file)).expect("JSON");
            assert_eq!(spec["job_id"], **job);
        }
        if asked.is_empty() {
            continue;
        }
        let is_on = |part: &str| part.contains(&format!("`{name}`"));
        // An answer to a queue has no runs.
        let is_queued = event["Records"][0]["eventSource"] == "aws:sqs";
        let wanted = (is_once && !is_queued, !is_once, is_queued);
        assert_eq!((is_on(existing), is_on(anew), is_on(lines[2])), wanted, "{name}");
    }
}
