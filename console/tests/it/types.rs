//! A text does not take the place of a value of another type unnoticed, in whichever job below the global is used.

use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::client::{EDITOR, Server, encoded};
use crate::pages::values;

/// Jobs that start `m/step`, whose globals have a number, a switch and a list, in every way that there is.
fn jobs() -> Vec<Value> {
    let job = |id: &str, kind: &str, payload: Value, more: Value| {
        let mut job =
            json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload });
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    };
    let each = json!({ "parameters": { "foreach": { "type": "inline", "values": [{ "region": "x" }] } } });
    let start = json!({ "on_fail": [{ "action": "dispatch", "job_id": "m/step" }] });
    vec![
        job(
            "m/step",
            "cmd",
            json!("echo '{{ globals.n * 2 }}'"),
            json!({ "globals": { "n": 3, "on": true, "vars": { "list": [1] } } }),
        ),
        job("m/chain", "chain", json!(["m/step"]), json!({})),
        job("m/deep", "chain", json!(["m/chain"]), json!({})),
        job("m/dag", "dag", json!({ "m/step": null }), json!({})),
        job("m/each", "foreach", json!("m/step"), each),
        job("m/starts", "dispatch", json!("m/step"), json!({})),
        job("m/action", "log", json!("x"), start),
        // Here a text goes down, as ever.
        job("m/text", "chain", json!(["m/step"]), json!({ "globals": { "n": "3" } })),
    ]
}

const WAYS: [&str; 7] = ["m/step", "m/chain", "m/deep", "m/dag", "m/each", "m/starts", "m/action"];

async fn started() -> (Server, String) {
    let server = Server::start(Folder::new().await).await;
    let documents: Vec<Value> = jobs().into_iter().map(|job| json!({ "document": job })).collect();
    let applied = server.api(EDITOR, "/api/v1/apply", &json!({ "specs": { "documents": documents } })).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    let session = server.session(EDITOR).await;
    (server, session)
}

#[tokio::test]
async fn text_for_a_number_of_a_job_below_is_refused() {
    let (server, session) = started().await;
    for job in WAYS {
        for (line, name) in
            [("n=9", "n"), ("on=false", "on"), ("vars.list=2", "vars.list"), ("vars=x", "vars")]
        {
            for more in [&[][..], &[("preview", "1")]] {
                let form = [&[("id", job), ("globals", line)][..], more].concat();
                let answer = server.post_as(&session, "/job/run", &form).await;
                let why = format!("globals: {name} is not a text in job m&#x2f;step");
                assert!(answer.status == 400 && answer.body.contains(&why), "{job} {line}: {answer:?}");
            }
        }
        for line in ["n:=9", "n:=\"9\"", "on:=false", "other=9", "vars.other=x"] {
            let answer = server.post_as(&session, "/job/run", &[("id", job), ("globals", line)]).await;
            assert_eq!(answer.status, 303, "{job} {line}: {answer:?}");
        }
    }
    let answer = server.post_as(&session, "/job/run", &[("id", "m/text"), ("globals", "n=9")]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
}

#[tokio::test]
async fn text_for_a_number_of_a_step_is_refused_when_its_run_is_done_again() {
    let (server, session) = started().await;
    for job in WAYS {
        let begun = server.post_as(&session, "/job/run", &[("id", job)]).await;
        let id = begun.header("location").strip_prefix("/run?id=").unwrap().to_owned();
        let cancelled = server.post_as(&session, "/run/cancel", &[("id", &id)]).await;
        assert_eq!(cancelled.status, 303, "{cancelled:?}");
        for spec in ["latest", "pinned"] {
            let form = [("id", id.as_str()), ("from", "failed"), ("spec", spec), ("globals", "n=9")];
            let why = "globals: n is not a text in job m&#x2f;step";
            let page = server.see(&session, &format!("/run/retry?{}", encoded(&form))).await;
            assert!(page.status == 200 && page.body.contains(why), "{job} {spec}: {page:?}");
            assert!(!page.body.contains("Run it again so"), "{job} {spec}");
            let refused = server.post_as(&session, "/run/retry", &form).await;
            assert!(refused.status == 400 && refused.body.contains(why), "{job} {spec}: {refused:?}");
        }
        let form = [("id", id.as_str()), ("from", "failed"), ("globals", "n:=9")];
        let done = server.post_as(&session, "/run/retry", &form).await;
        assert_eq!(done.status, 303, "{job}: {done:?}");
    }
}

#[tokio::test]
async fn global_with_a_dot_in_its_name_is_in_no_option_of_a_command() {
    let (server, session) = started().await;
    let job = json!({ "job_id": "odd", "type": "cmd", "worker": "core", "enabled": true,
        "globals": { "a.b": "old", "a": { "b": "inner" } }, "payload": "echo \"{{ globals['a.b'] }} {{ globals.a.b }}\"" });
    let apply = json!({ "specs": { "documents": [{ "document": job }] } });
    assert_eq!(server.api(EDITOR, "/api/v1/apply", &apply).await.status, 200);
    let form = [("id", "odd"), ("global:a.b", "NEW"), ("preview", "1")];
    let page = server.post_as(&session, "/job/run", &form).await.body;
    assert!(page.contains("NEW inner"), "{page}");
    let copied = values(&page, "data-copy");
    assert!(copied.iter().all(|command| !command.contains("a.b=")), "{copied:?}");
    let request = "printf %s '{\"job_id\":\"odd\",\"globals\":{\"a.b\":\"NEW\"},\"parameters\":{}}' | pumice dispatch --file=-";
    assert!(copied.iter().any(|command| command == request), "{copied:?}");
}
