//! Every page, of every status, and every link on it.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pumice_core::bulk::{BulkAct, BulkState, Tally};
use pumice_core::ids::RunKey;
use pumice_service::runs::ManyRuns;
use serde_json::json;

use crate::client::{EDITOR, OPERATOR, Server, VIEWER, encoded};
use crate::fixtures::{ODD_IDS, STATUSES, lively, run_id};

/// Most bytes of a page, compressed.
pub(crate) const MAX_PAGE: usize = 60 * 1024;

/// The values of an attribute in a page, as a browser reads them.
pub(crate) fn values(page: &str, attribute: &str) -> Vec<String> {
    let begin = format!(" {attribute}=\"");
    let found = page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next());
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    found
        .map(|value| entities.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to)))
        .collect()
}

/// How many bytes a page has as the console compresses it.
pub(crate) fn compressed(text: &str) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().len()
}

#[tokio::test]
async fn every_link_of_every_page_leads_to_a_page() {
    let server = Server::start(lively().await).await;
    server.realm.print(&format!("/out/{}/stdout", run_id(4)), "hello\n");
    let (mut seen, mut waiting) = (BTreeSet::new(), VecDeque::from(["/".to_owned()]));
    while let Some(path) = waiting.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        if answer.header("content-type").starts_with("text/html") {
            assert!(compressed(&answer.body) <= MAX_PAGE, "{path}");
            let links = values(&answer.body, "href").into_iter().filter(|link| link.starts_with('/'));
            waiting.extend(links.map(|link| link.split('#').next().unwrap_or_default().to_owned()));
        }
    }
    // All odd ids were linked, and all runs.
    for id in ODD_IDS {
        assert!(seen.contains(&format!("/job?{}", encoded(&[("id", id)]))), "{id}");
    }
    for number in 0..STATUSES.len() {
        assert!(seen.contains(&format!("/run?id={}", run_id(number))), "{number}");
    }
    for page in [
        "/runs",
        "/schedules",
        "/workers",
        "/dead",
        "/dead/letter",
        "/failures",
        "/runs/many",
        "/bulks",
        "/stats",
        "/doctor",
        "/triggers",
        "/connections",
        "/state",
        "/payloads",
        "/secrets",
        "/run/output",
    ] {
        assert!(seen.iter().any(|path| path.starts_with(page)), "{page} is not reached");
    }
}

#[tokio::test]
async fn run_of_each_status_says_it_in_words() {
    let server = Server::start(lively().await).await;
    for (number, status) in STATUSES.into_iter().enumerate() {
        let page = server.get(&format!("/run?id={}", run_id(number))).await;
        assert_eq!(page.status, 200, "{status}: {}", page.body);
        assert!(page.body.contains(&format!("</span> {status}</span>")), "{status}");
        assert_eq!(page.body.contains("it broke"), status.is_failure(), "{status}");
        // Only what goes on can be cancelled.
        assert_eq!(page.body.contains("action=\"/run/cancel\""), !status.is_end(), "{status}");
    }
}

#[tokio::test]
async fn run_with_steps_shows_them_as_a_tree_and_a_graph() {
    let server = Server::start(lively().await).await;
    let page = server.get(&format!("/run?id={}", run_id(100))).await.body;
    let (tree, graph) = (page.find("id=\"tree\"").unwrap(), page.find("id=\"graph\"").unwrap());
    assert!(tree < graph);
    assert_eq!(page.matches("<g class=\"node ").count(), 3, "{page}");
    assert!(page.contains("<svg class=\"gantt\""));
    let child = format!("/run?{}", encoded(&[("id", &format!("{}/1.1", run_id(100)))]));
    assert!(values(&page, "href").contains(&child), "{page}");
    let step = server.get(&child).await.body;
    assert!(step.contains("Step of") && step.contains(&run_id(100).to_string()));
}

#[tokio::test]
async fn list_goes_on_where_the_page_ends_with_every_filter() {
    let server = Server::start(lively().await).await;
    let (mut found, mut path) =
        (Vec::new(), "/runs?limit=2&status=complete,failed,skipped,rejected,cancelled".to_owned());
    loop {
        let page = server.get(&path).await.body;
        let runs = values(&page, "id").into_iter().filter_map(|id| id.strip_prefix("r-").map(str::to_owned));
        found.extend(runs);
        let next = page.split("rel=\"next\"").next().filter(|_| page.contains("rel=\"next\""));
        match next.and_then(|before| values(before, "href").pop()) {
            // The size of a page is not a filter.
            Some(next) => path = format!("{next}&limit=2"),
            None => break,
        }
    }
    let unique: BTreeSet<&String> = found.iter().collect();
    assert_eq!((found.len(), unique.len()), (6, 6), "{found:?}");
}

#[tokio::test]
async fn form_runs_a_job_once_with_what_it_was_given() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    for id in ODD_IDS {
        let form = [("id", id), ("key", "k1"), ("globals", "day=2026-03-01\nvars.name=a=b"), ("params", "")];
        let first = server.post_as(&session, "/job/run", &form).await;
        let again = server.post_as(&session, "/job/run", &form).await;
        assert_eq!(
            (first.status, first.header("location")),
            (303, again.header("location")),
            "{id}: {}",
            first.body
        );
        let page = server.see(&session, first.header("location")).await.body;
        assert!(page.contains("2026-03-01") && page.contains("was dispatched already"), "{id}");
    }
    let wrong = server.post_as(&session, "/job/run", &[("id", "nightly"), ("globals", "day")]).await;
    assert!(wrong.status == 400 && wrong.body.contains("expected NAME=VALUE"), "{wrong:?}");
    let preview = server
        .post_as(&session, "/job/run", &[("id", "nightly"), ("preview", "1"), ("globals", "a=1")])
        .await;
    assert!(
        preview.status == 200 && preview.body.contains("hello") && preview.body.contains("a=1</textarea>"),
        "{preview:?}"
    );
    let runs = server.get("/api/v1/runs/list?job=nightly").await.json();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(0), "a preview runs nothing");
}

#[tokio::test]
async fn act_of_a_page_says_what_became_of_it() {
    let server = Server::start(lively().await).await;
    let session = server.session(EDITOR).await;
    let id = run_id(0).to_string();
    for (path, form, notice) in [
        ("/run/cancel", vec![("id", id.as_str())], "cancelled"),
        ("/run/cancel", vec![("id", id.as_str())], "has ended: cancelled"),
        (
            "/schedules/pause",
            vec![("id", "nightly"), ("entry", "0"), ("why", "stock"), ("until", "2h")],
            "entry 0 of nightly paused",
        ),
        ("/schedules/resume", vec![("id", "nightly"), ("entry", "0")], "entry 0 of nightly resumed"),
        (
            "/schedules/run",
            vec![("id", "nightly"), ("entry", "0"), ("back", "/schedules")],
            "1 run of nightly started",
        ),
        ("/jobs/pause", vec![("jobs", "etl/*"), ("why", "disk"), ("until", "2h")], "job etl/* paused"),
        ("/jobs/resume", vec![("jobs", "etl/*")], "job etl/* resumed"),
        ("/jobs/resume", vec![("jobs", "etl/*")], "job etl/* was not paused"),
        ("/workers/pause", vec![("worker", "core"), ("why", "move")], "worker core paused"),
        ("/workers/resume", vec![("worker", "core")], "worker core resumed"),
        ("/workers/drain", vec![("worker", "core")], "worker core paused: "),
        ("/maintenance/on", vec![("why", "upgrade"), ("until", "1h")], "the realm paused"),
        ("/maintenance/off", vec![], "the realm resumed"),
        ("/state/put", vec![("id", "x/y"), ("value", "{\"a\":1}")], "state item x/y put"),
        ("/state/delete", vec![("id", "x/y")], "state item x/y deleted"),
        ("/secrets/set", vec![("name", "new"), ("value", "form-canary-77")], "secret new set"),
        ("/secrets/delete", vec![("name", "new")], "secret new deleted"),
        ("/connection/test", vec![("id", "box"), ("target", "me@host")], "connection box "),
        ("/connection/delete", vec![("id", "box")], "connection box deleted"),
        ("/job/delete", vec![("id", "[x]*")], "job [x]* deleted"),
        ("/runs/cancel", vec![], "no run is ticked"),
    ] {
        let answer = server.post_as(&session, path, &form).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
        // A slash is escaped, too.
        let notice = notice.replace('/', "&#x2f;");
        let page = server.see(&session, answer.header("location")).await.body;
        assert!(page.contains(&notice), "{path}: {notice}");
        assert!(!page.contains("form-canary"), "{path}");
        assert!(!server.see(&session, "/").await.body.contains(&notice), "it is shown once");
    }
    // The pattern that the id looks like deleted no other job.
    assert_eq!(server.get("/job?id=nightly").await.status, 200);
}

#[tokio::test]
async fn backfill_is_tried_before_it_is_begun() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let form = [
        ("id", "nightly"),
        ("entry", "0"),
        ("from", "2026-01-01"),
        ("to", "2026-01-03 12:00"),
        ("pattern", "nightly"),
        ("try", "1"),
    ];
    let tried = server.post_as(&session, "/schedules/backfill", &form).await;
    assert!(tried.status == 200 && tried.body.contains("3 of 3 slots would be started"), "{tried:?}");
    assert!(tried.body.contains("value=\"2026-01-01\""), "the form keeps what was written");
    assert!(!server.get("/schedules").await.body.contains("/backfill?id="));
    let begun = server.post_as(&session, "/schedules/backfill", &form[..5]).await;
    assert_eq!(begun.status, 303, "{begun:?}");
    let page = server.see(&session, begun.header("location")).await.body;
    assert!(page.contains("0 of 3 slots") || page.contains("of 3 slots"), "{page}");
    let place = begun.header("location");
    let id = place.strip_prefix("/backfill?id=").unwrap();
    let cancelled = server.post_as(&session, "/backfill/cancel", &[("id", id), ("why", "wrong day")]).await;
    let page = server.see(&session, cancelled.header("location")).await.body;
    assert!(page.contains("cancelled by operator: wrong day"), "{page}");
}

#[tokio::test]
async fn act_on_many_is_counted_first_and_done_to_those_alone() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let filter = "status:dispatched,waiting";
    let page = server.see(&session, &format!("/runs?{}", encoded(&[("where", filter)]))).await.body;
    let place = format!("/runs/many?{}", encoded(&[("act", "cancel"), ("where", filter)]));
    assert!(values(&page, "href").contains(&place), "{:?}", values(&page, "href"));
    let look = server.see(&session, &place).await.body;
    assert!(look.contains("Cancel 2 runs</button>"), "{look}");
    assert!(look.contains(&run_id(0).to_string()) && look.contains(&run_id(2).to_string()));
    let field = |name: &str| {
        let after = look.split(&format!("name=\"{name}\" value=\"")).nth(1);
        after.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    };
    let before = field("before");
    let expect = field("expect");
    let form = |expect: &str| {
        encoded(&[("act", "cancel"), ("where", filter), ("expect", expect), ("before", before.as_str())])
    };
    let send = async |expect: &str| server.post_form(&session, "/runs/many", &form(expect)).await;
    for (wrong, status) in [
        (expect.replacen('2', "3", 1), 409),
        ("2:0123456789abcdef".to_owned(), 409),
        // A number does not say which they are.
        ("2".to_owned(), 400),
    ] {
        let refused = send(&wrong).await;
        assert_eq!(refused.status, status, "{wrong}: {refused:?}");
        assert!(status == 400 || refused.body.contains("nothing is done"), "{wrong}: {refused:?}");
    }
    // Runs since then are not meant.
    let more = server.post_as(&session, "/job/run", &[("id", "nightly")]).await;
    let done = send(&expect).await;
    assert_eq!(done.status, 303, "{done:?}");
    assert!(
        server
            .see(&session, done.header("location"))
            .await
            .body
            .contains("2 runs cancelled or asked to stop")
    );
    assert!(server.see(&session, more.header("location")).await.body.contains("</span> dispatched</span>"));
    for (act, filter, status) in
        [("retry", "", 400), ("forget", filter, 400), ("cancel", "sttus:failed", 200), ("retry", filter, 200)]
    {
        let place = format!("/runs/many?{}", encoded(&[("act", act), ("where", filter)]));
        let look = server.see(&session, &place).await;
        assert_eq!(look.status, status, "{act} {filter}");
        assert!(look.body.contains("class=\"reason bad\""), "{act} {filter}");
        assert!(!look.body.contains("name=\"expect\""), "{act} {filter}");
    }
}

#[tokio::test]
async fn act_on_many_has_a_page_on_which_it_is_stopped_and_resumed() {
    let realm = lively().await;
    let store = pumice_service::Realm::bulk(&realm);
    let request = ManyRuns { filter: "job:*".to_owned(), ..ManyRuns::default() };
    let done = pumice_service::runs::cancel_many(&realm, &request).await.unwrap();
    let id = done.bulk.unwrap();
    // As a process leaves it that was killed before it wrote anything else.
    let complete = store.load_bulk(&id).await.unwrap().unwrap();
    let interrupted = BulkAct {
        rev: complete.rev + 1,
        state: BulkState::Active,
        beat: complete.beat - chrono::TimeDelta::minutes(5),
        tally: Tally::default(),
        in_hand: vec![RunKey::root(run_id(0))],
        ended: None,
        ..complete
    };
    store.put_bulk(&interrupted, None).await.unwrap();
    let server = Server::start(realm).await;
    let list = server.get("/bulks").await.body;
    let place = format!("/bulk?id={id}");
    assert!(values(&list, "href").contains(&place) && list.contains("interrupted"), "{list}");
    let page = server.get(&place).await;
    assert!(page.status == 200 && page.body.contains("its process has written nothing"), "{page:?}");
    assert!(values(&page.body, "href").contains(&format!("/run?id={}", run_id(0))), "{page:?}");
    // It may be one that deletes.
    let operator = server.session(OPERATOR).await;
    let form = [("id", id.as_str()), ("why", "wrong jobs")];
    assert_eq!(server.post_as(&operator, "/bulk/resume", &form).await.status, 403);
    let stopped = server.post_as(&operator, "/bulk/stop", &form).await;
    let page = server.see(&operator, stopped.header("location")).await.body;
    assert!(page.contains("stopped by operator") && page.contains(": wrong jobs"), "{page}");
    assert!(!page.contains("action=\"/bulk/resume\""), "{page}");
    let editor = server.session(EDITOR).await;
    assert!(server.see(&editor, &place).await.body.contains("action=\"/bulk/resume\""));
    let resumed = server.post_as(&editor, "/bulk/resume", &form).await;
    let page = server.see(&editor, resumed.header("location")).await.body;
    assert!(page.contains("is complete") && page.contains("<span class=\"tag\">complete</span>"), "{page}");
    let refused = server.post_as(&editor, "/bulk/resume", &form).await;
    assert!(refused.status == 409 && refused.body.contains("is complete"), "{refused:?}");
    assert_eq!(server.get("/bulk?id=none").await.status, 404);
    assert_eq!(server.get(&format!("{place}&outcome=none")).await.status, 400);
}

#[tokio::test]
async fn run_that_failed_is_done_again_by_its_plan() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let root = run_id(100).to_string();
    // A step is kept only with what it printed.
    server.realm.print(&format!("/out/{root}/1.0/stdout"), "hello\n");
    let page = server.see(&session, &format!("/run?id={root}")).await.body;
    let place = format!("/run/retry?id={root}");
    assert!(values(&page, "href").contains(&place), "{page}");
    let plan = server.see(&session, &place).await.body;
    assert!(plan.contains("1 of 3 steps kept") && plan.contains("runs again"), "{plan}");
    // The form means the run that was shown, whichever is the latest when it is sent.
    let latest = server.see(&session, "/run/retry?id=latest:dagged").await.body;
    assert!(latest.contains(&format!("name=\"id\" value=\"{root}\"")), "{latest}");
    let given = format!("{place}&{}", encoded(&[("from", "all"), ("globals", "day=2026-03-01")]));
    let all = server.see(&session, &given).await.body;
    assert!(all.contains("0 of 3 steps kept") && all.contains("globals.day"), "{all}");
    let wrong = server.see(&session, &format!("{place}&from=step&step=none")).await.body;
    assert!(wrong.contains("class=\"reason bad\"") && !wrong.contains("Run it again so"), "{wrong}");
    let form = [("id", root.as_str()), ("from", "failed"), ("key", "k")];
    let done = server.post_as(&session, "/run/retry", &form).await;
    let again = server.post_as(&session, "/run/retry", &form).await;
    assert_eq!((done.status, done.header("location")), (303, again.header("location")), "{done:?}");
    let new = server.see(&session, done.header("location")).await.body;
    assert!(new.contains(&format!("does run {root} again")), "{new}");
    // A run that goes on is not done again.
    let open = server.see(&session, &format!("/run?id={}", run_id(1))).await.body;
    assert!(!open.contains("/run&#x2f;retry") && !open.contains("Run again"), "{open}");
}

#[tokio::test]
async fn page_of_a_run_says_why_in_a_sentence() {
    let server = Server::start(lively().await).await;
    for number in [0, 2] {
        let why = server.get(&format!("/api/v1/runs/why?run={}", run_id(number))).await.json();
        let sentence = why["why"].as_str().unwrap().to_owned();
        let page = server.get(&format!("/run?id={}", run_id(number))).await.body;
        let shown = page.split("<div class=\"reason").nth(1).unwrap_or_default();
        let word = sentence.split(' ').next().unwrap_or_default();
        assert!(!word.is_empty() && shown.contains(word), "{sentence}: {shown}");
    }
}

#[tokio::test]
async fn zone_and_colours_are_chosen_by_cookie() {
    let server = Server::start(lively().await).await;
    let session = server.session(VIEWER).await;
    let answer = server
        .post_as(&session, "/taste", &[("zone", "Asia/Tokyo"), ("theme", "dark"), ("back", "/runs")])
        .await;
    let cookies: Vec<&str> =
        answer.headers["set-cookie"].iter().filter_map(|one| one.split(';').next()).collect();
    assert_eq!(cookies, ["pumice-zone=Asia/Tokyo", "pumice-theme=dark"]);
    let cookie = format!("{}={session}; {}", server.cookie(), cookies.join("; "));
    let page = server.send("GET", "/runs", &[("cookie", &cookie)], "").await.body;
    assert!(page.contains("<small>JST</small>") && page.contains("data-theme=\"dark\""), "{page}");
    for wrong in [("zone", "Mars/Olympus"), ("theme", "pink")] {
        assert_eq!(server.post_as(&session, "/taste", &[wrong]).await.status, 400, "{wrong:?}");
    }
}

#[tokio::test]
async fn times_have_their_zone_on_every_page() {
    let server = Server::start(lively().await).await;
    for path in ["/", "/runs", &format!("/run?id={}", run_id(5)), "/job?id=nightly", "/schedules", "/state"] {
        let page = server.get(path).await.body;
        for time in page.split("<time ").skip(1) {
            let time = time.split("</time>").next().unwrap_or_default();
            assert!(time.contains("<small>") && time.contains("datetime=\"20"), "{path}: {time}");
        }
    }
}

#[tokio::test]
async fn page_has_the_command_that_shows_the_same() {
    let server = Server::start(lively().await).await;
    let failed = run_id(5).to_string();
    for (path, command) in [
        ("/".to_owned(), "pumice runs list --status running,dispatched,waiting,retrying".to_owned()),
        (
            "/runs?job=etl/*&status=failed&since=1d".to_owned(),
            "pumice runs list '--job=etl/*' --status=failed --since=1d".to_owned(),
        ),
        (format!("/run?id={failed}"), format!("pumice runs show {failed}")),
        ("/jobs?pattern=etl/*".to_owned(), "pumice jobs list 'etl/*'".to_owned()),
        ("/job?id=etl%2Fload%2F01".to_owned(), "pumice jobs show etl/load/01".to_owned()),
        ("/schedules?job=nightly".to_owned(), "pumice schedules list --job=nightly".to_owned()),
        ("/triggers?bucket=in&key=x".to_owned(), "pumice triggers test in x".to_owned()),
        ("/state".to_owned(), "pumice state list".to_owned()),
    ] {
        let page = server.get(&path).await.body;
        assert!(values(&page, "data-copy").contains(&command), "{path}: {:?}", values(&page, "data-copy"));
    }
}

#[tokio::test]
async fn dead_letter_is_redriven_or_dropped_by_roles_that_may() {
    let server = Server::start(lively().await).await;
    let letters = server.get("/dead").await.body;
    let links: Vec<String> =
        values(&letters, "href").into_iter().filter(|link| link.starts_with("/dead/letter")).collect();
    assert_eq!(links.len(), STATUSES.len(), "{letters}");
    assert!(letters.contains("set aside: "), "{letters}");
    let id = |link: &String| link.rsplit('=').next().unwrap().to_owned();
    // The first is of a run that waits, the fifth of one that is complete.
    let (open, ended) = (id(&links[0]), id(&links[4]));
    let session = server.session(VIEWER).await;
    for path in ["/dead/redrive", "/dead/drop"] {
        assert_eq!(server.post_as(&session, path, &[("id", &open)]).await.status, 403);
    }
    let session = server.session(OPERATOR).await;
    assert!(!server.see(&session, &links[0]).await.body.contains("action=\"/dead/redrive\""));
    for path in ["/dead/redrive", "/dead/drop"] {
        assert_eq!(server.post_as(&session, path, &[("id", &open)]).await.status, 403);
    }
    let session = server.session(EDITOR).await;
    let page = server.see(&session, &links[4]).await.body;
    assert!(page.contains("Its run has ended") && !page.contains("action=\"/dead/redrive\""), "{page}");
    assert!(server.see(&session, &links[0]).await.body.contains("action=\"/dead/redrive\""));
    for (letter, notice) in
        [(&open, "is handed out once more"), (&ended, "was left where it is: its run has ended")]
    {
        let answer = server.post_as(&session, "/dead/redrive", &[("id", letter)]).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        assert!(server.see(&session, "/dead").await.body.contains(notice), "{notice}");
    }
    assert_eq!(server.post_as(&session, "/dead/redrive", &[("id", &open)]).await.status, 404, "it is gone");
    assert_eq!(server.post_as(&session, "/dead/drop", &[("id", &ended)]).await.status, 303);
    let left = server.see(&session, "/dead").await.body;
    assert_eq!(
        values(&left, "href").iter().filter(|link| link.starts_with("/dead/letter")).count(),
        STATUSES.len() - 2
    );
}

#[tokio::test]
async fn failures_of_one_cause_are_one_group_that_leads_to_a_retry() {
    let server = Server::start(lively().await).await;
    let page = server.get("/failures").await.body;
    assert_eq!(page.matches("<section id=\"g-").count(), 1, "{page}");
    let retry =
        values(&page, "href").into_iter().find(|link| link.starts_with("/runs/many?act=retry")).unwrap();
    let many = server.get(&retry).await.body;
    assert!(many.contains("fingerprint:") && many.contains("Run 3 runs again"), "{many}");
    let wrong = server.get("/failures?where=colour:red").await;
    assert!(wrong.status == 200 && wrong.body.contains("is not a word of filters"), "{wrong:?}");
}

#[tokio::test]
async fn metrics_need_a_token() {
    let server = Server::start(lively().await).await;
    let without = server.send("GET", "/metrics", &[], "").await;
    assert_eq!((without.status, without.header("www-authenticate")), (401, "Bearer"));
    let answer = server.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let line = "pumice_job_runs{job_id=\"<b>bold</b>'\\\"\",status=";
    assert!(answer.body.contains(line) && answer.body.contains("größe/日本/🚀 job"), "{}", answer.body);
    assert!(answer.body.contains("pumice_dead_letters_all 9\n"), "{}", answer.body);
}

#[tokio::test]
async fn document_of_a_run_stands_alone() {
    let folder = lively().await;
    folder.print(&format!("/out/{}/stdout", run_id(4)), "the last line\n");
    for number in [4, 5, 100] {
        let document =
            pumice_console::run_as_document(&folder, &run_id(number).to_string(), None).await.unwrap();
        assert!(
            values(&document, "href").is_empty() && values(&document, "src").is_empty(),
            "{number}: it links"
        );
        assert!(!document.contains("<script") && !document.contains("<form"), "{number}");
        assert!(document.contains("<style>") && document.contains(&run_id(number).to_string()), "{number}");
        assert_eq!(document.contains("the last line"), number == 4, "{number}");
    }
    let missing = pumice_console::run_as_document(&folder, "latest:none", None).await.unwrap_err();
    assert!(missing.to_string().contains("none"), "{missing}");
}

#[tokio::test]
async fn output_that_is_followed_goes_on_from_its_place() {
    let server = Server::start(lively().await).await;
    let (id, location) = (run_id(4).to_string(), format!("/out/{}/stdout", run_id(4)));
    server.realm.print(&location, "one\ntwo\n");
    let query = encoded(&[("id", &id), ("at", &location)]);
    let page = server.get(&format!("/run/output?{query}")).await.body;
    assert!(page.contains("id=\"L2\"") && page.contains("href=\"#L2\""), "{page}");
    server.realm.print(&location, "one\ntwo\nthree\n");
    let line = |number: u64, text: &str| json!({ "number": number, "text": text, "is_cut_before": false, "is_cut_after": false });
    let piece = server.get(&format!("/run/output/raw?{query}&from=8")).await.json();
    assert_eq!(
        piece,
        json!({ "lines": [line(3, "three")], "next": 14, "line": 4, "size": 14, "is_open": false, "trouble": null })
    );
    // Output that was read where it was written goes on in its last place, with the number of its line.
    let moved =
        [("id", id.as_str()), ("at", "/scratch/live/x"), ("step", &id), ("attempt", "1"), ("name", "stdout")];
    let piece = server.get(&format!("/run/output/raw?{}&from=4&line=20", encoded(&moved))).await.json();
    assert_eq!(piece["lines"], json!([line(20, "two"), line(21, "three")]));
    for other in ["stderr", "x"] {
        let other = [&moved[..4], &[("name", other)]].concat();
        assert_eq!(server.get(&format!("/run/output/raw?{}&from=4", encoded(&other))).await.status, 404);
    }
}

#[tokio::test]
async fn lines_of_an_output_are_found_and_linked() {
    let server = Server::start(lively().await).await;
    let (id, location) = (run_id(4).to_string(), format!("/out/{}/stdout", run_id(4)));
    server.realm.print(&location, "one\ntwo <b>\nthree\nTWO\n");
    let query = [("id", id.as_str()), ("at", &location), ("find", "two")];
    let page = server.get(&format!("/run/output?{}", encoded(&query))).await.body;
    assert!(
        page.contains("from=4#L2") && page.contains("from=18#L4") && !page.contains("from=0#L1"),
        "{page}"
    );
    assert!(page.contains("two &lt;b&gt;"), "{page}");
    let long = "x".repeat(201);
    let query = [("id", id.as_str()), ("at", &location), ("find", &long)];
    assert_eq!(server.get(&format!("/run/output?{}", encoded(&query))).await.status, 400);
}
