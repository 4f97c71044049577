//! Steps that are spread, in a folder: a foreach and a dag whose steps are runs that any slot takes.

use std::collections::BTreeSet;

use serde_json::json;

use crate::operating::{apply, ended, of_steps};
use crate::pumice::{Pumice, shell};

#[test]
fn spread_steps_run_once_each_in_order_and_their_parents_end() {
    let pumice = Pumice::new();
    let file = pumice.path().join("ran");
    let line = |text: &str| format!("echo {text} >> {}", file.display());
    let mut each = of_steps("each", "foreach", &json!("item"));
    each["parameters"] = json!({
        "foreach": { "type": "range", "name": "n", "stop": 20 }, "spread": true, "workers": 6, "can_fail": true });
    let mut all = of_steps("all", "dag", &json!({ "each": ["first"], "last": ["each"] }));
    all["parameters"] = json!({ "spread": true });
    let mut stops = of_steps("stops", "foreach", &json!("item"));
    stops["parameters"] =
        json!({ "foreach": { "type": "range", "name": "n", "stop": 20 }, "spread": true, "workers": 1 });
    // The sixth item fails.
    let item = shell("item", &format!("{}; test {{{{ globals.n }}}} != 5", line("item {{ globals.n }}")));
    let jobs = json!([
        item,
        each,
        all,
        stops,
        shell("first", &line("first")),
        shell("last", &line("last")),
        { "realm": "local", "config": { "FOREACH_LIMIT": 100, "FOREACH_MAX_LIMIT": 100 } },
    ]);
    apply(&pumice, &jobs);
    let _server = pumice.serve();
    let run = ended(&pumice, "all", &[]);
    let text = std::fs::read_to_string(&file).expect("what ran");
    let ran: Vec<&str> = text.lines().collect();
    assert_eq!((ran.len(), ran[0], ran[21]), (22, "first", "last"), "{ran:?}");
    assert_eq!(ran.iter().collect::<BTreeSet<_>>().len(), 22, "each once: {ran:?}");
    let tree = pumice.run(&["runs", "show", &run, "-o", "json"]).json();
    let runs = tree["runs"].as_array().expect("runs");
    assert_eq!((runs.len(), &runs[0]["status"]), (24, &json!("complete")));
    let of = |job: &str| runs.iter().find(|run| run["job_id"] == job).expect("it is there");
    assert_eq!(of("each")["result"]["failed_indexes"], json!([5]));
    assert_eq!(of("each")["result"]["jobs_completed"], json!(19));
    // Without can_fail nothing begins after a failure.
    std::fs::remove_file(&file).expect("it is there");
    let run = ended(&pumice, "stops", &[]);
    assert_eq!(std::fs::read_to_string(&file).expect("what ran").lines().count(), 6);
    let shown = pumice.run(&["runs", "show", &run, "-o", "json"]).json();
    assert_eq!(shown["runs"][0]["status"], "failed");
    assert!(shown["runs"][0]["reason"].as_str().is_some_and(|why| why.contains("item (item 5)")), "{shown}");
}
