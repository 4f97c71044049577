//! Times that are typed are read in the zone in which their page shows times, and the page says which that is.

use pumice_testing::folder::Folder;
use serde_json::json;

use crate::client::{Answer, EDITOR, Server, encoded};
use crate::pages::values;

const ZONE: &str = "Australia/Lord_Howe";

/// A realm with a job in a zone of its own, one whose id is like a pattern, and one in the realm's.
async fn started() -> Server {
    let server = Server::start(Folder::new().await).await;
    let job = |id: &str, zone: Option<&str>| {
        let mut job = json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": "x", "schedule": "0 3 * * *" });
        if let Some(zone) = zone {
            job["timezone"] = json!(zone);
        }
        json!({ "document": job })
    };
    let documents = [job("lord", Some(ZONE)), job("lo*[d]", Some(ZONE)), job("other", None)];
    let applied = server.api(EDITOR, "/api/v1/apply", &json!({ "specs": { "documents": documents } })).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    server
}

/// A page in this zone.
async fn see(server: &Server, zone: &str, path: &str) -> Answer {
    let (token, cookie) = (format!("Bearer {EDITOR}"), format!("pumice-zone={zone}"));
    server.send("GET", path, &[("authorization", &token), ("cookie", &cookie)], "").await
}

#[tokio::test]
async fn time_of_a_filter_of_one_job_is_in_its_zone() {
    let server = started().await;
    let typed = "since:2026-11-30T08:50";
    let place = |path: &str, fields: &[(&str, &str)]| {
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("{path}{joint}{}", encoded(fields))
    };
    let offset = async |zone: &str, path: &str| {
        let answer = see(&server, zone, path).await;
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        let place = answer.header("location").to_owned();
        let page = see(&server, zone, &place).await;
        assert!(page.status != 303, "{place} is a page");
        place.split("08%3A50").nth(1).map(|rest| rest[..8].to_owned()).unwrap_or_default()
    };
    for path in ["/runs", "/failures", "/stats", "/dead", "/runs/many?act=cancel"] {
        for (terms, zone, expected) in [
            (format!("job:lord {typed}"), "job", "%2B11%3A"),
            (format!("job:\"lo[*][[]d]\" {typed}"), "job", "%2B11%3A"),
            (format!("job:lord {typed}"), "UTC", "%2B00%3A"),
            (format!("job:lord {typed}"), "Asia/Tokyo", "%2B09%3A"),
        ] {
            assert_eq!(
                offset(zone, &place(path, &[("where", &terms)])).await,
                expected,
                "{path} {terms} {zone}"
            );
        }
        // Of several jobs it is the realm's.
        let realms = offset("realm", &place(path, &[("where", typed)])).await;
        for terms in [typed.to_owned(), format!("job:lord,other {typed}"), format!("job:l* {typed}")] {
            assert_eq!(offset("job", &place(path, &[("where", &terms)])).await, realms, "{path} {terms}");
        }
    }
    let by_field = place("/runs", &[("job", "lord"), ("where", typed)]);
    assert_eq!(offset("job", &by_field).await, "%2B11%3A");
}

#[tokio::test]
async fn foot_of_a_page_names_the_zone_of_its_times() {
    let server = started().await;
    let foot = async |zone: &str, path: &str| {
        let page = see(&server, zone, path).await.body;
        page.split("<footer>").nth(1).unwrap().replace("&#x2f;", "/")
    };
    for path in ["/job?id=lord", "/schedules?job=lord", "/runs?job=lord"] {
        assert!(foot("job", path).await.contains(&format!("({ZONE})")), "{path}");
        assert!(foot("UTC", path).await.contains("(UTC)"), "{path}");
    }
    for path in ["/", "/schedules", "/jobs"] {
        assert!(foot("job", path).await.contains("; of a job in its own zone)"), "{path}");
        assert!(!foot("UTC", path).await.contains("of a job"), "{path}");
    }
}

#[tokio::test]
async fn form_names_the_zone_in_which_its_times_are_read() {
    let server = started().await;
    let mut forms = 0;
    for (choice, path, zones) in [
        ("job", "/schedules?job=lord", &[ZONE][..]),
        ("job", "/job?id=lord", &[ZONE]),
        ("Asia/Tokyo", "/schedules", &["Asia/Tokyo"]),
        ("Asia/Tokyo", "/schedules?job=lord", &["Asia/Tokyo"]),
        ("Asia/Tokyo", "/job?id=lord", &["Asia/Tokyo"]),
        ("Asia/Tokyo", "/jobs", &["Asia/Tokyo"]),
        ("Asia/Tokyo", "/workers", &["Asia/Tokyo"]),
    ] {
        let page = see(&server, choice, path).await.body;
        for form in page.split("<form ").skip(1).map(|form| form.split("</form>").next().unwrap()) {
            // Those of filters are spans.
            if form.contains("method=\"get\"")
                || !(form.contains("name=\"until\"") || form.contains("name=\"from\""))
            {
                continue;
            }
            forms += 1;
            let zone = zones.iter().find(|zone| values(form, "value").contains(&(**zone).to_owned()));
            let zone = zone.unwrap_or_else(|| panic!("{choice} {path}: {form}"));
            assert!(form.replace("&#x2f;", "/").contains(&format!("in {zone}")), "{choice} {path}: {form}");
        }
    }
    assert!(forms >= 9, "{forms}");
    // In a list of several each row has its own.
    let rows = see(&server, "job", "/schedules").await.body;
    let zones = values(&rows, "value").into_iter().filter(|value| value == ZONE).count();
    assert_eq!(zones, 2, "{rows}");
}

#[tokio::test]
async fn time_of_a_form_is_read_in_the_zone_that_it_names() {
    let server = started().await;
    let session = server.session(EDITOR).await;
    let backfill = [
        ("id", "lord"),
        ("from", "2025-04-06 02:30"),
        ("to", "2025-04-06 03:30"),
        ("only", "all"),
        ("zone", ZONE),
    ];
    let tried =
        server.post_as(&session, "/schedules/backfill", &[&backfill[..], &[("try", "1")][..]].concat()).await;
    assert!(tried.status == 200 && tried.body.contains("1 of 1 slot would be started"), "{tried:?}");
    assert!(values(&tried.body, "data-copy")[0].contains(&format!("--tz={ZONE}")), "{tried:?}");
    assert!(values(&tried.body, "value").contains(&ZONE.to_owned()), "it stays in the form");
    let begun = server.post_as(&session, "/schedules/backfill", &backfill).await;
    let page = see(&server, "job", begun.header("location")).await.body;
    assert!(page.contains("6 Apr 2025 02:30 +10:30"), "{page}");
    let terms = [("until", "2036-12-01 12:00"), ("zone", ZONE)];
    let pause = [&[("id", "lord"), ("entry", "0")][..], &terms].concat();
    let paused = server.post_as(&session, "/schedules/pause", &pause).await;
    assert_eq!(paused.status, 303, "{paused:?}");
    let listed = server.get("/api/v1/schedules/list?job=lord").await.json();
    let until = listed["schedules"][0]["paused"]["until"].as_str().unwrap().to_owned();
    assert!(until.starts_with("2036-12-01T01:00"), "{until}");
    let page = see(&server, "job", "/schedules?job=lord").await.body;
    assert!(page.contains("until 1 Dec 2036 12:00 +11:00"), "{page}");
    for (path, what) in [
        ("/jobs/pause", ("jobs", "lord")),
        ("/workers/pause", ("worker", "core")),
        ("/maintenance/on", ("x", "")),
    ] {
        let paused = server.post_as(&session, path, &[&[what][..], &terms].concat()).await;
        assert_eq!(paused.status, 303, "{path}: {paused:?}");
        let page = see(&server, "UTC", if path == "/jobs/pause" { "/jobs" } else { "/workers" }).await.body;
        assert!(page.contains("2036-12-01T01:00:00"), "{path}: {page}");
    }
    let wrong = server
        .post_as(&session, "/jobs/pause", &[("jobs", "lord"), ("until", "2036-12-01"), ("zone", "Mars")])
        .await;
    assert!(wrong.status == 400 && wrong.body.contains("is not a time zone"), "{wrong:?}");
}
