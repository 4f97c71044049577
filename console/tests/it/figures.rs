//! Figures and commands of pages say what is so.

use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::client::{EDITOR, OPERATOR, Server, encoded};
use crate::fixtures::lively;

async fn apply(server: &Server, jobs: &[Value]) {
    let documents: Vec<Value> = jobs.iter().map(|job| json!({ "document": job })).collect();
    let applied = server.api(EDITOR, "/api/v1/apply", &json!({ "specs": { "documents": documents } })).await;
    assert_eq!(applied.status, 200, "{applied:?}");
}

fn job(id: &str, more: &Value) -> Value {
    let mut job = json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": "x" });
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job
}

fn section<'p>(page: &'p str, id: &str) -> &'p str {
    let begin = page.split(&format!("id=\"{id}\"")).nth(1).unwrap_or_default();
    begin.split("</section>").next().unwrap_or_default()
}

#[tokio::test]
async fn cancelled_run_is_not_shown_as_failed() {
    let server = Server::start(Folder::new().await).await;
    let session = server.session(OPERATOR).await;
    apply(&server, &[job("c/c", &json!({}))]).await;
    for _ in 0..3 {
        let run = server.post_as(&session, "/job/run", &[("id", "c/c")]).await;
        let run = run.header("location").split_once("id=").unwrap().1.to_owned();
        assert_eq!(server.post_as(&session, "/run/cancel", &[("id", run.as_str())]).await.status, 303);
    }
    let page = server.get("/job?id=c%2Fc").await.body;
    assert!(page.contains("<strong>0</strong> of 3 failed"), "{page}");
    assert!(page.contains("<strong>3</strong> cancelled"), "{page}");
    let now = server.get("/").await.body;
    let figure = now.split("<figure>").nth(1).unwrap().split("</figure>").next().unwrap();
    assert!(figure.contains("3 runs dispatched since"), "{figure}");
    assert!(figure.contains("class=\"good\"") && !figure.contains("class=\"bad\""), "{figure}");
}

#[tokio::test]
async fn starts_of_the_next_day_are_later_by_their_jitter() {
    let server = Server::start(Folder::new().await).await;
    // A slot of the last half hour is from before the jobs were put, and the next one may start in more than a day.
    let hour = (chrono::Utc::now() + chrono::TimeDelta::hours(12)).format("%H").to_string();
    let spread = |n: usize| {
        let crontab = format!("0 {hour} * * *");
        let more = json!({ "schedule": [{ "crontab": crontab, "jitter": "30m" }], "timezone": "UTC" });
        job(&format!("j{n:02}"), &more)
    };
    apply(&server, &(0..20).map(spread).collect::<Vec<_>>()).await;
    let page = server.get("/schedules").await.body;
    let day = section(&page, "day");
    assert!(day.contains("20 starts") && !day.contains("the most at once, 20"), "{day}");
    let now = server.get("/").await.body;
    assert!(now.matches(&format!("T{hour}:00:00.000Z")).count() < 3, "{now}");
    // Of one job the start is said with its slot.
    let one = server.get("/schedules?job=j07").await.body;
    assert!(one.contains("and its jitter makes it later"), "{one}");
}

#[tokio::test]
async fn changes_of_the_clock_are_all_shown_or_counted() {
    let server = Server::start(Folder::new().await).await;
    let entries: Vec<Value> =
        (0..30).map(|minute| json!({ "crontab": format!("{minute} 2 * * *") })).collect();
    let often = json!([{ "crontab": "*/5 * * * *" }]);
    apply(
        &server,
        &[
            job("thirty", &json!({ "schedule": entries, "timezone": "Europe/Berlin" })),
            job("often", &json!({ "schedule": often, "timezone": "Europe/Berlin" })),
        ],
    )
    .await;
    let page = server.get("/schedules?job=thirty").await.body;
    let ahead = section(&page, "ahead");
    // Fourteen months have two changes at least, and three at most.
    let rows = ahead.matches("class=\"why\"").count();
    let more = ahead.split(" more</strong>").next().and_then(|text| text.rsplit('>').next());
    let more = more.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    assert!(rows + more == 60 || rows + more == 90, "{rows} and {more}: {ahead}");
    assert!(ahead.contains("does not exist") && ahead.contains("comes twice"), "{ahead}");
    let page = server.get("/schedules?job=often").await.body;
    let ahead = section(&page, "ahead");
    assert!(ahead.contains("does not exist") || ahead.contains("comes twice"), "{ahead}");
}

#[tokio::test]
async fn time_of_a_filter_gets_the_offset_of_the_page() {
    let server = Server::start(lively().await).await;
    let session = format!("{}={}", server.cookie(), server.session(EDITOR).await);
    let filter = "since:2026-11-29T13:30";
    for (zone, written) in [
        ("America/New_York", "since:2026-11-29T13:30-05:00"),
        ("Asia/Kathmandu", "since:2026-11-29T13:30+05:45"),
    ] {
        let cookie = format!("{session}; pumice-zone={zone}");
        let see = async |path: &str| server.send("GET", path, &[("cookie", &cookie)], "").await;
        for (page, more) in [
            ("/runs", &[("order", "oldest")][..]),
            ("/runs/many", &[("act", "delete")]),
            ("/stats", &[]),
            ("/failures", &[]),
            ("/dead", &[]),
            ("/audit", &[]),
        ] {
            let asked = |filter| encoded(&[more, &[("where", filter)]].concat());
            let answer = see(&format!("{page}?{}", asked(filter))).await;
            let place = format!("{page}?{}", asked(written));
            assert_eq!((answer.status, answer.header("location")), (303, place.as_str()), "{page} in {zone}");
            let shown = see(&place).await;
            assert!(shown.status == 200 && shown.body.contains(written), "{page} in {zone}: {shown:?}");
            assert!(shown.body.contains(&format!("--where={written}")), "{page}: the command");
        }
        // A span of time is the same in every zone.
        assert_eq!(see("/runs?where=since:1d").await.status, 200);
    }
}

#[tokio::test]
async fn query_that_says_two_things_is_refused() {
    let server = Server::start(lively().await).await;
    for (path, status) in [
        ("/runs?job=slow&job=nightly", 400),
        ("/jobs?pattern=a&pattern=b", 400),
        ("/runs?status=failed&status=complete&job=a", 200),
        ("/runs?job=%FF", 400),
        ("/runs?job=%EF%BF%BD", 200),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    // Acts are done to runs, and not to their steps.
    for (path, has_acts) in [("/runs?job=*&children=1", false), ("/runs?job=*", true)] {
        let page = server.get(path).await.body.replace("&#x2f;", "/");
        assert_eq!(page.contains("/runs/many?"), has_acts, "{path}: {page}");
    }
    let put = json!({ "id": "x", "value": 1 }).to_string();
    let token = format!("Bearer {EDITOR}");
    let headers =
        [("authorization", token.as_str()), ("content-type", "application/json"), ("if-none-match", "*")];
    let refused = server.send("POST", "/api/v1/state/put", &headers, &put).await;
    assert!(refused.status == 400 && refused.body.contains("if-none-match"), "{refused:?}");
}

#[tokio::test]
async fn scripts_are_small_as_they_are_sent() {
    let server = Server::start(Folder::new().await).await;
    let page = server.get("/").await.body.replace("&#x2f;", "/");
    let size = async |place: &str, encoding: &str| {
        let answer = server.send("GET", place, &[("accept-encoding", encoding)], "").await;
        assert_eq!(answer.status, 200, "{place}");
        assert_eq!(answer.header("content-encoding"), encoding, "{place}");
        answer.header("content-length").parse::<usize>().unwrap()
    };
    let mut scripts: Vec<&str> =
        page.split('"').filter(|part| part.starts_with("/assets/") && part.contains(".js?v=")).collect();
    scripts.sort_unstable();
    scripts.dedup();
    assert_eq!(scripts.len(), 2, "{scripts:?}");
    let mut sent = 0;
    for script in &scripts {
        sent += size(script, "gzip").await;
    }
    assert!(sent <= 24 * 1024, "{sent} bytes");
    let style = page.split('"').find(|part| part.starts_with("/assets/console.css")).unwrap();
    assert!(size(style, "gzip").await < size(style, "").await);
    let tag = server.send("GET", style, &[], "").await.header("etag").to_owned();
    let known = [("if-none-match", tag.as_str()), ("accept-encoding", "gzip")];
    assert_eq!(server.send("GET", style, &known, "").await.status, 304);
}
