//! Forms keep what was typed, say what is wrong where it can be corrected, and have commands with their values.

use serde_json::json;

use crate::client::{EDITOR, OPERATOR, Server, VIEWER, encoded};
use crate::fixtures::{lively, run_id};
use crate::pages::values;

#[tokio::test]
async fn command_of_a_form_has_the_values_of_its_fields() {
    let server = Server::start(lively().await).await;
    let session = server.session(EDITOR).await;
    let form = [
        ("id", "nightly"),
        ("globals", "day=x y\nvars.a=1"),
        ("params", ""),
        ("delay", "5m"),
        ("preview", "1"),
    ];
    let page = server.post_as(&session, "/job/run", &form).await.body;
    let copied = values(&page, "data-copy");
    assert_eq!(copied[0], "pumice render nightly '--global=day=x y' --global=vars.a=1", "{copied:?}");
    let dispatch = "pumice dispatch nightly '--global=day=x y' --global=vars.a=1 --delay=5m".to_owned();
    assert!(copied.contains(&dispatch), "{copied:?}");
    let query = encoded(&[("id", &run_id(100).to_string()), ("globals", "day=good"), ("from", "all")]);
    let page = server.see(&session, &format!("/run/retry?{query}")).await.body;
    let retry = format!("pumice runs retry {} --global=day=good --all --dry-run", run_id(100));
    assert_eq!(values(&page, "data-copy")[0], retry);
    let form = [
        ("id", "nightly"),
        ("entry", "0"),
        ("from", "2026-01-01"),
        ("to", "2026-01-02"),
        ("only", "all"),
        ("max_active", "3"),
        ("reverse", "1"),
        ("try", "1"),
    ];
    let page = server.post_as(&session, "/schedules/backfill", &form).await.body;
    let copied = values(&page, "data-copy");
    let begin = "pumice schedules backfill nightly --from=2026-01-01 --to=2026-01-02 --tz=";
    let end = " --entry=0 --only=all --max-active=3 --reverse --dry-run";
    assert!(copied[0].starts_with(begin) && copied[0].ends_with(end), "{copied:?}");
    let page = server.see(&session, "/job/edit?id=nightly").await.body;
    assert_eq!(
        values(&page, "data-copy")[..2],
        ["pumice apply spec.json", "pumice jobs show nightly -o json"]
    );
    let spec = json!({ "job_id": "nightly", "type": "log", "worker": "core", "payload": "x" }).to_string();
    let tag = page.split("name=\"tag\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = [("id", "nightly"), ("tag", tag), ("base", "{}"), ("spec", &spec), ("preview", "1")];
    let page = server.post_as(&session, "/job/edit", &form).await.body;
    assert_eq!(values(&page, "data-copy")[0], "pumice plan spec.json");
}

#[tokio::test]
async fn form_that_is_refused_keeps_its_fields_and_says_why() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    for (globals, params, delay, why) in [
        ("day good", "", "", "globals: &quot;day good&quot;: expected NAME=VALUE"),
        ("day=good", "dya", "", "params: &quot;dya&quot;: expected NAME=VALUE"),
        ("day=good", "dya=x", "", "the request&#x27;s parameters do not fit job nightly: parameters.dya"),
        ("day=good", "", "soon", "delay: "),
    ] {
        for preview in [true, false] {
            if preview && delay == "soon" {
                continue;
            }
            let mut form =
                vec![("id", "nightly"), ("globals", globals), ("params", params), ("delay", delay)];
            form.extend(preview.then_some(("preview", "1")));
            let answer = server.post_as(&session, "/job/run", &form).await;
            assert_eq!(answer.status, 400, "{form:?}: {}", answer.body);
            assert!(answer.body.contains(why), "{form:?}: {}", answer.body);
            assert!(answer.body.contains(&format!("{globals}</textarea>")), "{form:?}");
            assert!(!answer.body.contains("invalid spec"), "{form:?}");
        }
    }
    let runs = server.get("/api/v1/runs/list?job=nightly").await.json();
    assert_eq!(runs["runs"], json!([]));
    let query = encoded(&[("id", &run_id(100).to_string()), ("globals", "day good")]);
    let page = server.see(&session, &format!("/run/retry?{query}")).await;
    assert!(page.status == 200 && page.body.contains("day good</textarea>"), "{page:?}");
    assert!(page.body.contains("expected NAME=VALUE") && !page.body.contains("Run it again so"), "{page:?}");
    let form =
        [("id", "nightly"), ("from", "soon"), ("to", "2026-01-02"), ("why", "a mistake"), ("try", "1")];
    let page = server.post_as(&session, "/schedules/backfill", &form).await;
    assert!(page.status == 400 && page.body.contains("value=\"a mistake\""), "{page:?}");
    assert!(page.body.contains("from: "), "{page:?}");
    // A filter is corrected where it is.
    for query in ["where=colour%3Ared", "status=broken", "since=soon", "since=1h&until=2h"] {
        let page = server.see(&session, &format!("/runs?{query}")).await;
        assert!(page.status == 400 && page.body.contains("class=\"reason bad\""), "{query}: {page:?}");
        assert!(page.body.contains("name=\"where\""), "{query}");
    }
    let page = server.see(&session, "/runs?where=colour%3Ared").await.body;
    assert!(page.contains("value=\"colour:red\""), "{page}");
}

#[tokio::test]
async fn lists_of_jobs_and_schedules_take_the_terms_of_filters() {
    let server = Server::start(lively().await).await;
    let session = server.session(VIEWER).await;
    for (path, terms, there, gone, command) in [
        ("/jobs", "type:chain", "/job?id=chained", "/job?id=dagged", "jobs list"),
        ("/jobs", "-type:cmd job:dag*", "/job?id=dagged", "/job?id=nightly", "jobs list"),
        ("/schedules", "job:nightly", "/job?id=nightly", "/job?id=off", "schedules list"),
        ("/schedules", "worker:core -job:nightly", "/job?id=off", "/job?id=nightly", "schedules list"),
    ] {
        let page = server.see(&session, &format!("{path}?{}", encoded(&[("where", terms)]))).await;
        assert_eq!(page.status, 200, "{path} {terms}: {page:?}");
        let links = values(&page.body, "href");
        assert!(
            links.contains(&there.to_owned()) && !links.contains(&gone.to_owned()),
            "{path} {terms}: {links:?}"
        );
        let copied = values(&page.body, "data-copy");
        assert!(copied[0].contains(command) && copied[0].contains(&format!("--where={terms}")), "{copied:?}");
        let wrong = server.see(&session, &format!("{path}?where=colour:red")).await;
        assert!(wrong.status == 400 && wrong.body.contains("class=\"reason bad\""), "{path}: {wrong:?}");
        assert!(
            wrong.body.contains("value=\"colour:red\"") && !wrong.body.contains("class=\"empty\">No job"),
            "{path}: {wrong:?}"
        );
    }
    // The picture of the next day has the starts of those jobs alone.
    let day = async |terms: &str| -> usize {
        let page = server.see(&session, &format!("/schedules?{}", encoded(&[("where", terms)]))).await.body;
        let note = page.split("id=\"day\"").nth(1).unwrap().split("class=\"note\">").nth(1).unwrap();
        note.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(day("job:off").await, 0, "it is disabled, and the starts of others are not its own");
    assert!(day("job:nightly").await > 0);
}

#[tokio::test]
async fn field_that_a_page_does_not_have_is_refused() {
    let server = Server::start(lively().await).await;
    let routes = include_str!("../../src/pages/mod.rs");
    let pages: Vec<&str> = routes
        .lines()
        .filter(|line| line.contains("get(") && line.contains(".route("))
        .map(|line| line.split('"').nth(1).unwrap())
        .collect();
    assert!(pages.len() > 25, "{pages:?}");
    for page in pages {
        let answer = server.get(&format!("{page}?bogus=1")).await;
        assert_eq!(answer.status, 400, "{page}: {}", answer.body);
        assert!(answer.body.contains("this page has no field &quot;bogus&quot;"), "{page}: {}", answer.body);
    }
    let page = server.get("/runs?staus=failed").await.body;
    assert!(page.contains("did you mean &quot;status&quot;?"), "{page}");
}

#[tokio::test]
async fn runs_that_are_ticked_are_counted_before_they_are_cancelled() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let (open, other, ended) = (run_id(0).to_string(), run_id(2).to_string(), run_id(4).to_string());
    let ticked = [("run", open.as_str()), ("run", &other), ("run", &ended), ("back", "/runs?status=waiting")];
    let look = server.post_as(&session, "/runs/cancel", &ticked).await;
    assert!(look.status == 200 && look.body.contains("Cancel 2 runs</button>"), "{look:?}");
    assert!(look.body.contains("name=\"why\"") && look.body.contains("has ended"), "{look:?}");
    let status = async |id: &str| {
        let shown = server.get(&format!("/api/v1/runs/show?run={id}")).await.json();
        shown["runs"][0]["status"].clone()
    };
    assert_eq!((status(&open).await, status(&other).await), (json!("dispatched"), json!("waiting")));
    let form =
        [("run", open.as_str()), ("run", &other), ("why", "wrong day"), ("sure", "1"), ("back", "/runs")];
    let done = server.post_as(&session, "/runs/cancel", &form).await;
    assert_eq!((done.status, done.header("location")), (303, "/runs"));
    let page = server.see(&session, "/runs").await.body;
    assert!(page.contains("2 runs cancelled or asked to stop"), "{page}");
    assert_eq!(status(&open).await, json!("cancelled"));
    assert!(server.see(&session, &format!("/run?id={open}")).await.body.contains("wrong day"));
}

#[tokio::test]
async fn run_again_begins_with_the_input_that_the_run_had() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let form = [("id", "off"), ("globals", "day=2026-03-01\nvars.name=a=b")];
    let run = server.post_as(&session, "/job/run", &form).await;
    let place = run.header("location").replace("/run?", "/run/retry?");
    let page = server.see(&session, &place).await.body;
    assert!(page.contains("day=2026-03-01\nvars.name=a=b</textarea>"), "{page}");
    // The steps are there to be chosen. One is kept only with what it printed.
    server.realm.print(&format!("/out/{}/1.0/stdout", run_id(100)), "hello\n");
    let page = server.see(&session, &format!("/run/retry?id={}", run_id(100))).await.body;
    assert!(page.contains("<option value=\"etl&#x2f;load&#x2f;01\">"), "{page}");
}

#[tokio::test]
async fn starts_of_a_paused_entry_are_looked_through_all_the_same() {
    let server = Server::start(lively().await).await;
    let job = json!({ "job_id": "dst", "type": "log", "worker": "core", "enabled": true, "payload": "x",
        "schedule": "30 2 * * *", "timezone": "America/New_York" });
    let apply = json!({ "specs": { "documents": [{ "document": job }] } });
    assert_eq!(server.api(EDITOR, "/api/v1/apply", &apply).await.status, 200);
    let ahead = async || {
        let page = server.get("/schedules?job=dst").await.body;
        page.split("id=\"ahead\"").nth(1).unwrap().split("</section>").next().unwrap().to_owned()
    };
    let notes = |section: &str| section.matches("class=\"why\"").count();
    let active = ahead().await;
    assert!(notes(&active) >= 1 && !active.contains("Not every entry is active"), "{active}");
    let pause = json!({ "jobs": ["dst"] });
    assert_eq!(server.api(EDITOR, "/api/v1/schedules/pause", &pause).await.status, 200);
    let paused = ahead().await;
    assert_eq!(notes(&paused), notes(&active), "{paused}");
    assert!(paused.contains("Not every entry is active"), "{paused}");
}

#[tokio::test]
async fn palette_offers_jobs_runs_and_the_acts_that_the_role_may_do() {
    let server = Server::start(lively().await).await;
    let offered = async |token: &str, text: &str| -> Vec<(String, String)> {
        let answer = server.get_as(token, &format!("/palette?{}", encoded(&[("text", text)]))).await;
        let places = answer.json();
        let text = |place: &serde_json::Value, name: &str| place[name].as_str().unwrap().to_owned();
        let places = places.as_array().unwrap().iter();
        places.map(|place| (text(place, "name"), text(place, "href"))).collect()
    };
    let found = offered(EDITOR, "etl/load/01").await;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["Job etl/load/01", "Run etl/load/01…", "Pause etl/load/01…", "Edit etl/load/01…"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let found = offered(OPERATOR, "pause night").await;
    assert_eq!(found, [("Pause nightly…".to_owned(), "/job?id=nightly#pause".to_owned())]);
    assert!(offered(VIEWER, "pause night").await.is_empty());
    let found = offered(OPERATOR, &format!("cancel {}", run_id(1))).await;
    assert!(found.iter().any(|(_, href)| *href == format!("/run?id={}#cancel", run_id(1))), "{found:?}");
    for (_, href) in found {
        assert_eq!(server.get(href.split('#').next().unwrap()).await.status, 200, "{href}");
    }
}

#[tokio::test]
async fn view_is_kept_under_its_name_and_forgotten() {
    let server = Server::start(lively().await).await;
    let session = server.session(VIEWER).await;
    let mut cookie = format!("{}={session}", server.cookie());
    let login = cookie.clone();
    let page = server.send("GET", "/runs?status=failed&job=etl/*", &[("cookie", &cookie)], "").await.body;
    let query = values(&page, "value").into_iter().find(|value| value.starts_with("job=etl%2F")).unwrap();
    for (name, query, kept) in [
        ("last <night>", query.as_str(), 1),
        ("other", "since=1h", 2),
        ("last <night>", "", 1),
        ("other", "", 0),
    ] {
        let headers = [
            ("cookie", cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let form = encoded(&[("name", name), ("query", query)]);
        let answer = server.send("POST", "/runs/views", &headers, &form).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        cookie = format!("{login}; {}", answer.header("set-cookie").split(';').next().unwrap());
        let page = server.send("GET", answer.header("location"), &[("cookie", &cookie)], "").await.body;
        assert_eq!(page.matches("<button>Forget ").count(), kept, "{name} {query}");
        if kept == 1 && !query.is_empty() {
            assert!(page.contains("aria-current=\"true\">last &lt;night&gt;</a>"), "{page}");
        }
    }
    for wrong in [[("name", "x"), ("query", "back=//evil.example")], [("name", ""), ("query", "since=1h")]] {
        assert_eq!(server.post_as(&session, "/runs/views", &wrong).await.status, 400, "{wrong:?}");
    }
}

#[tokio::test]
async fn form_of_a_job_has_its_globals_and_the_parameters_of_its_type() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let page = server.see(&session, "/job?id=templated").await.body;
    assert!(page.contains("name=\"global:on\"") && page.contains("placeholder=\"true\""), "{page}");
    assert!(page.contains("<select name=\"param:jinja\">"), "{page}");
    let form = [("id", "templated"), ("global:on", "yes"), ("param:jinja", "false"), ("preview", "1")];
    let page = server.post_as(&session, "/job/run", &form).await;
    assert!(page.status == 200 && page.body.contains("&quot;jinja&quot;: false"), "{page:?}");
    let copied = values(&page.body, "data-copy");
    let line = "printf %s '{\"job_id\":\"templated\",\"globals\":{\"on\":\"yes\"},\"parameters\":{\"jinja\":false}}' | \
         pumice dispatch --file=-";
    assert!(copied.contains(&line.to_owned()), "{copied:?}");
    let form = [("id", "templated"), ("param:jinja", "maybe"), ("preview", "1")];
    let page = server.post_as(&session, "/job/run", &form).await;
    assert!(page.status == 400 && page.body.contains("is neither true nor false"), "{page:?}");
}

#[tokio::test]
async fn times_are_in_the_zone_of_the_job_where_that_is_chosen() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let run = server.post_as(&session, "/job/run", &[("id", "nightly")]).await;
    let chosen = server.post_as(&session, "/taste", &[("zone", "job")]).await;
    let cookie = chosen.headers["set-cookie"][0].split(';').next().unwrap().to_owned();
    assert_eq!(cookie, "pumice-zone=job");
    let cookie = format!("{}={session}; {cookie}", server.cookie());
    for path in
        ["/", "/runs?job=nightly", run.header("location"), "/job?id=nightly", "/schedules?job=nightly"]
    {
        let page = server.send("GET", path, &[("cookie", &cookie)], "").await.body;
        let main = page.split("<footer>").next().unwrap();
        assert!(
            main.contains("<small>CET</small>") || main.contains("<small>CEST</small>"),
            "{path}: {main}"
        );
        assert!(page.contains("<option value=\"job\" selected>"), "{path}");
    }
}

#[test]
fn filter_of_each_page_is_reached_by_its_key() {
    let templates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/templates")).unwrap();
    let mut filters = 0;
    for file in templates {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for form in text.split("<form class=\"filter\"").skip(1) {
            let form = form.split("</form>").next().unwrap();
            assert!(form.contains("data-search"), "{}", path.display());
            filters += 1;
        }
    }
    assert!(filters > 6, "{filters}");
}
