//! Pauses of jobs, of workers and of the realm: their forms, and where they are shown.

use crate::client::{OPERATOR, Server, encoded};
use crate::fixtures::lively;
use crate::pages::values;

#[tokio::test]
async fn pause_is_shown_with_its_terms_where_it_holds() {
    let server = Server::start(lively().await).await;
    let session = server.session(OPERATOR).await;
    let terms = [("why", "<b>disk</b>"), ("until", "2999-01-02 03:04")];
    for (path, what, pages) in [
        ("/jobs/pause", ("jobs", "night*"), ["/jobs", "/job?id=nightly"]),
        ("/workers/pause", ("worker", "core"), ["/workers", "/job?id=nightly"]),
        ("/maintenance/on", ("x", ""), ["/workers", "/job?id=nightly"]),
    ] {
        let answer = server.post_as(&session, path, &[&[what], terms.as_slice()].concat()).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
        for page in pages {
            // The first page after it says what became of it.
            let notice = server.see(&session, page).await.body;
            let body = server.see(&session, page).await.body;
            assert!(notice.contains("paused") && !body.contains("<b>disk"), "{path} {page}");
            let pause = body.split("&lt;b&gt;disk").next().filter(|before| before.len() < body.len());
            let pause = pause.unwrap_or_else(|| panic!("{path} {page}: {body}"));
            assert!(pause.ends_with("by operator: "), "{path} {page}");
            assert!(body.contains("2999-01-02"), "{path} {page}");
        }
        let resume = path.replace("pause", "resume").replace("on", "off");
        let resumed = server.post_as(&session, &resume, &[what]).await;
        assert_eq!(resumed.status, 303, "{resume}");
        server.see(&session, "/").await;
        assert!(!server.see(&session, pages[0]).await.body.contains("disk"), "{resume}");
    }
    // A job with a name like a pattern is paused alone, from its own page.
    let page = server.see(&session, &format!("/job?{}", encoded(&[("id", "[x]*")]))).await.body;
    assert!(values(&page, "value").contains(&"[[]x][*]".to_owned()), "{page}");
    let until =
        server.post_as(&session, "/jobs/pause", &[("jobs", "nightly"), ("until", "1999-01-01")]).await;
    assert_eq!(until.status, 400, "a pause cannot end before it begins: {}", until.body);
}
