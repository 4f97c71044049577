//! Documents that are written on the condition that they are as they were read.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use std::sync::Arc;

use pumice_core::connection::ConnectionSpec;
use pumice_core::ids::{ConnId, JobId, TriggerId};
use pumice_core::ports::{Catalog, Doc, DocumentChange, DocumentWrite, DocumentsWritten};
use pumice_core::spec::{JobSpec, RealmSpec};
use pumice_core::trigger::TriggerSpec;
use pumice_template::Renderer;
use serde_json::{Value, json};

use super::Adapters;

fn doc(document: &Value) -> Doc {
    document.as_object().cloned().expect("an object")
}

fn job(id: &str, note: &str) -> Value {
    json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": null, "schedule": "@daily",
        "parameters": { "n": 1.5, "all": [1, null, { "a": "" }] }, "x-note": note })
}

fn put_job(document: &Value, before: Option<&Value>) -> DocumentWrite {
    let job = JobSpec::from_checked(Arc::new(doc(document))).expect("it holds");
    DocumentWrite { change: DocumentChange::PutJob(Box::new(job)), before: before.map(doc) }
}

fn delete_job(id: &str, before: &Value) -> DocumentWrite {
    let id = JobId::new(id).expect("an id");
    DocumentWrite { change: DocumentChange::DeleteJob(id), before: Some(doc(before)) }
}

async fn write(catalog: &dyn Catalog, writes: Vec<DocumentWrite>) -> DocumentsWritten {
    catalog.write_documents(writes).await.expect("the store answers")
}

async fn stored(catalog: &dyn Catalog, id: &str) -> Option<Value> {
    let all = catalog.all_jobs().await.expect("the store answers");
    all.into_iter().find(|(found, _)| found.as_str() == id).map(|(_, doc)| Value::Object(doc))
}

pub async fn documents_that_are_as_they_were_read_are_written(on: &Adapters) {
    let (Some(catalog), Some(connections)) = (on.catalog.as_deref(), on.connections.as_deref()) else {
        return;
    };
    let connection =
        json!({ "conn_id": "box", "type": "generic", "enabled": true, "attributes": { "a": 1 } });
    let trigger =
        json!({ "trigger_id": "in", "bucket": "b", "prefix": "*", "job_id": "one", "enabled": true });
    let spec = ConnectionSpec::parse(&connection).expect("it holds");
    let put_connection =
        DocumentWrite { change: DocumentChange::PutConnection(Box::new(spec)), before: None };
    let spec = TriggerSpec::parse(&trigger, &Renderer::default()).expect("it holds");
    let put_trigger = DocumentWrite { change: DocumentChange::PutTrigger(Box::new(spec)), before: None };
    let one = job("one", "first");
    let written = write(catalog, vec![put_connection, put_job(&one, None), put_trigger]).await;
    assert_eq!(written, DocumentsWritten { written: 3, moved: None });
    assert_eq!(stored(catalog, "one").await, Some(one.clone()));
    let found = connections.all_connections().await.expect("the store answers");
    assert_eq!(
        found.into_iter().map(|(_, doc)| Value::Object(doc)).collect::<Vec<_>>(),
        std::slice::from_ref(&connection)
    );
    let second = job("one", "second");
    assert_eq!(write(catalog, vec![put_job(&second, Some(&one))]).await.written, 1);
    assert_eq!(stored(catalog, "one").await, Some(second.clone()));
    let gone = vec![
        DocumentWrite {
            change: DocumentChange::DeleteTrigger(TriggerId::new("in").expect("an id")),
            before: Some(doc(&trigger)),
        },
        delete_job("one", &second),
        DocumentWrite {
            change: DocumentChange::DeleteConnection(ConnId::new("box").expect("an id")),
            before: Some(doc(&connection)),
        },
    ];
    assert_eq!(write(catalog, gone).await, DocumentsWritten { written: 3, moved: None });
    assert_eq!(stored(catalog, "one").await, None);
    assert!(on.triggers.all_triggers().await.expect("the store answers").is_empty());
    assert!(connections.all_connections().await.expect("the store answers").is_empty());
}

pub async fn document_that_changed_keeps_all_from_being_written(on: &Adapters) {
    let Some(catalog) = on.catalog.as_deref() else { return };
    let (one, other) = (job("one", "first"), job("one", "other"));
    assert_eq!(write(catalog, vec![put_job(&one, None)]).await.written, 1);
    let new = job("two", "new");
    for late in [put_job(&other, None), put_job(&other, Some(&other)), delete_job("one", &other)] {
        let refused = write(catalog, vec![put_job(&new, None), late]).await;
        assert_eq!(refused, DocumentsWritten { written: 0, moved: Some("job \"one\"".to_owned()) });
        assert_eq!((stored(catalog, "one").await, stored(catalog, "two").await), (Some(one.clone()), None));
    }
    // One that is gone is another, too.
    let gone = write(catalog, vec![delete_job("three", &new)]).await;
    assert_eq!(gone.moved.as_deref(), Some("job \"three\""));
}

pub async fn realm_that_changed_is_not_written(on: &Adapters) {
    let Some(catalog) = on.catalog.as_deref() else { return };
    let before = catalog.realm_document().await.expect("the store answers");
    let name = before.as_ref().and_then(|doc| doc.get("realm")).cloned().unwrap_or_else(|| json!("test"));
    let definition = |note: &str| json!({ "realm": name, "config": { "EVENT_TTL": "9d" }, "x-note": note });
    let put = |after: &Value, before: Option<Doc>| {
        let spec = RealmSpec::parse(after).expect("it holds");
        DocumentWrite { change: DocumentChange::PutRealm(Box::new(spec)), before }
    };
    let (first, second) = (definition("first"), definition("second"));
    assert_eq!(write(catalog, vec![put(&first, before.clone())]).await.written, 1);
    for late in [before, Some(doc(&second)), None] {
        let refused = write(catalog, vec![put(&second, late)]).await;
        let moved = format!("realm \"{}\"", name.as_str().expect("a name"));
        assert_eq!(refused, DocumentsWritten { written: 0, moved: Some(moved) });
    }
    assert_eq!(catalog.realm_document().await.expect("the store answers"), Some(doc(&first)));
    assert_eq!(write(catalog, vec![put(&second, Some(doc(&first)))]).await.written, 1);
}
