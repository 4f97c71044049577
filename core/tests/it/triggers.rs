//! Triggers: their documents, the lookup along a key, the conditions, rendering, and S3's events by every way.

use std::sync::Arc;

use proptest::prelude::*;
use pumice_core::ids::TriggerId;
use pumice_core::trigger::{
    Assessment, ObjectEvent, TriggerSpec, TriggerVerdict, assess, levels, objects_in_text, objects_of,
};
use pumice_template::{Renderer, Zone};
use serde_json::{Value, json};

fn with(mut document: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        document[name] = value.clone();
    }
    document
}

fn trigger(more: &Value) -> Value {
    let plain =
        json!({ "trigger_id": "t", "bucket": "b", "prefix": "in", "job_id": "load", "enabled": true });
    with(plain, more)
}

fn read(document: &Value) -> Result<TriggerSpec, String> {
    TriggerSpec::parse(document, &Renderer::default()).map_err(|error| error.to_string())
}

/// A record of a notification of S3's.
fn record(key: &str, more: &Value) -> Value {
    let object = json!({ "key": key, "size": 1024, "sequencer": "0055AED6DCD90281E5" });
    json!({
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2022-01-30T16:18:17.123Z",
        "awsRegion": "ap-southeast-2", "requestParameters": { "sourceIPAddress": "10.200.240.5" },
        "responseElements": { "x-amz-request-id": "C3D13FE58DE4C810" },
        "s3": { "bucket": { "name": "b" }, "object": with(object, more) },
    })
}

fn notification(key: &str, more: &Value) -> Value {
    json!({ "Records": [record(key, more)] })
}

fn eventbridge(key: &str, more: &Value) -> Value {
    let object = json!({ "key": key, "size": 1024, "sequencer": "0055AED6DCD90281E5" });
    json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Object Created",
        "source": "aws.s3", "time": "2022-01-30T16:18:17Z", "region": "ap-southeast-2",
        "detail": { "bucket": { "name": "b" }, "object": with(object, more), "request-id": "C3D13FE58DE4C810",
            "source-ip-address": "10.200.240.5", "reason": "PutObject" },
    })
}

fn only(event: &Value) -> ObjectEvent {
    let mut objects = objects_of(event).expect("an event of S3's");
    assert_eq!(objects.len(), 1, "{event}");
    objects.remove(0).expect("an object of S3")
}

fn assessed(triggers: &[Value], event: &ObjectEvent) -> Assessment {
    let triggers: Vec<_> =
        triggers.iter().map(|one| Arc::new(one.as_object().expect("an object").clone())).collect();
    assess(&triggers, event, &Renderer::default(), Zone::Utc)
}

/// The verdict of the one trigger on an object of 1,024 bytes.
fn verdict(more: &Value, key: &str) -> TriggerVerdict {
    let mut assessment = assessed(&[trigger(more)], &only(&notification(key, &json!({}))));
    assessment.found.remove(0).verdict
}

#[test]
fn trigger_of_lavas_guide_is_read() {
    let document = json!({
        "description": "Something interesting just happened.", "bucket": "my-bucket", "prefix": "in/daily",
        "enabled": true, "globals": { "bucket": "{{bucket}}", "account-id": "{{bucket.split(':')[4]}}" },
        "if_fnmatch": "*.zip", "if_not_fnmatch": "*ignore*", "if_size_gt": 0, "job_id": "my_exe_job",
        "parameters": { "env": { "IP": "{{info.source_ip}}", "EVENT_TIME": "{{info.event_time.isoformat()}}" } },
        "trigger_id": "unique_trigger_id", "owner": "me", "delay": "5m", "jinja": true, "x-team": 1, "X-y": {},
    });
    let read = read(&document).unwrap();
    assert_eq!(Value::Object((*read.document).clone()), document);
    assert_eq!(read.advice(&Renderer::default()), []);
}

#[test]
fn bad_document_names_the_field() {
    let long = "x".repeat(1_025);
    let many: Vec<String> = (0..101).map(|n| format!("job{n}")).collect();
    for (more, wanted) in [
        (json!({ "trigger_id": "" }), "trigger_id: "),
        (json!({ "trigger_id": long }), "trigger_id: trigger id"),
        (json!({ "trigger_id": "a\u{202e}" }), "trigger_id: "),
        (json!({ "trigger_id": 5 }), "trigger_id: expected a string"),
        (json!({ "bucket": 5 }), "bucket: expected a string"),
        (json!({ "bucket": "" }), "bucket: must not be empty"),
        (json!({ "bucket": "s3://b/" }), "bucket: \"s3://b/\" is an address, not a name (write \"b\")"),
        (json!({ "bucket": "a/b" }), "bucket: \"a/b\" is not the name of a bucket"),
        (json!({ "bucket": "x".repeat(256) }), "bucket: is longer than 255 bytes"),
        (json!({ "prefix": "" }), "prefix: must not be empty (write \"*\" for the whole bucket)"),
        (json!({ "prefix": "in/" }), "prefix: \"in/\" ends with a /: it would fit no key (write \"in\")"),
        (json!({ "prefix": "/" }), "(write \"*\")"),
        (json!({ "prefix": long }), "prefix: is longer than 1024 bytes"),
        (json!({ "prefix": ["in"] }), "prefix: expected a string"),
        (json!({ "job_id": [] }), "job_id: the list is empty"),
        (json!({ "job_id": many }), "job_id: 101 jobs are more than 100"),
        (json!({ "job_id": "../x" }), "job_id: job id \"../x\" must not"),
        (json!({ "job_id": ["a", "b//c"] }), "job_id[1]: job id \"b//c\" must not"),
        (json!({ "job_id": 5 }), "job_id: expected a string or a list"),
        (json!({ "job_id": "{{ bucket" }), "job_id: "),
        (json!({ "enabled": "true" }), "enabled: expected true or false"),
        (json!({ "enabled": null }), "enabled: expected true or false"),
        (json!({ "delay": "16m" }), "delay: a delay of 16m is more than 15m"),
        (json!({ "delay": "soon" }), "delay: \"soon\" is not a duration"),
        (json!({ "delay": -1 }), "delay: "),
        (json!({ "globals": [] }), "globals: expected an object"),
        (json!({ "globals": { "lava": 1 } }), "globals.lava: the global \"lava\" is reserved"),
        (json!({ "globals": { "a": { "b": ["{{ x"] } } }), "globals.a.b[0]: "),
        (json!({ "globals": { "{{ x": 1 } }), "globals[\"{{ x\"]: "),
        (json!({ "parameters": "x" }), "parameters: expected an object"),
        (json!({ "parameters": { "a": "{% if %}" } }), "parameters.a: "),
        (json!({ "jinja": "yes" }), "jinja: expected true or false"),
        (json!({ "description": 5 }), "description: expected a string"),
        (json!({ "owner": [] }), "owner: expected a string"),
        (json!({ "if_fnmatch": [] }), "if_fnmatch: the list is empty"),
        (json!({ "if_fnmatch": "" }), "if_fnmatch: a pattern must not be empty"),
        (json!({ "if_not_fnmatch": [5] }), "if_not_fnmatch[0]: expected a string"),
        (json!({ "if_event_type": [] }), "if_event_type: the list is empty"),
        (json!({ "if_not_event_type": 5 }), "if_not_event_type: expected a string or a list"),
        (json!({ "if_size_gt": "big" }), "if_size_gt: \"big\" is not a size"),
        (json!({ "if_size_gt": -1 }), "if_size_gt: a size must be 0 or more"),
        (json!({ "if_not_size_gt": true }), "if_not_size_gt: "),
        (json!({ "if_fnmtach": "*" }), "if_fnmtach: no such field (did you mean \"if_fnmatch\"?)"),
        (json!({ "secret": "x" }), "secret: only triggers of type http have it"),
        (json!({ "type": "sftp" }), "type: \"sftp\" is none of object, http"),
    ] {
        let error = read(&trigger(&more)).unwrap_err();
        assert!(error.contains(wanted), "{more}: {error}");
        assert!(error.len() < 2_000, "{}", error.len());
    }
    for name in ["trigger_id", "bucket", "prefix", "job_id", "enabled"] {
        let mut document = trigger(&json!({}));
        document.as_object_mut().unwrap().remove(name);
        let error = read(&document).unwrap_err();
        assert!(error.contains(&format!("the field \"{name}\" is missing")), "{error}");
    }
    for document in [json!(null), json!([]), json!("x")] {
        assert!(read(&document).is_err(), "{document}");
    }
}

#[test]
fn http_trigger_has_fields_of_its_own() {
    let hook = |more: Value| {
        let plain =
            json!({ "trigger_id": "t", "type": "http", "job_id": "load", "enabled": true, "secret": "hook" });
        read(&with(plain, &more))
    };
    assert!(hook(json!({ "signature_header": "X-Signature", "delay": 5, "globals": { "a": 1 } })).is_ok());
    for (more, wanted) in [
        (json!({ "secret": null }), "the field \"secret\" is missing"),
        (json!({ "secret": " " }), "secret: must not be empty"),
        (json!({ "signature_header": "a b" }), "signature_header: \"a b\" is not the name of a header"),
        (json!({ "bucket": "b" }), "bucket: only triggers of type object have it"),
        (json!({ "if_size_gt": 1 }), "if_size_gt: only triggers of type object have it"),
    ] {
        let error = hook(more.clone()).unwrap_err();
        assert!(error.contains(wanted), "{more}: {error}");
    }
    let hook = json!({ "trigger_id": "t", "type": "http", "job_id": "load", "enabled": true, "secret": "hook",
        "bucket": "b", "prefix": "in" });
    assert_eq!(assessed(&[hook], &only(&notification("in/x", &json!({})))).found, [], "no object starts it");
}

#[test]
fn trigger_with_slips_is_warned_of() {
    let advice = |more: Value| -> Vec<String> {
        let told = read(&trigger(&more)).unwrap().advice(&Renderer::default());
        told.iter().map(|problem| format!("{}: {problem}", problem.name.unwrap())).collect()
    };
    assert_eq!(advice(json!({})), [] as [&str; 0]);
    for (more, wanted) in [
        (
            json!({ "prefix": "in/*.csv" }),
            "trigger-prefix: prefix: \"in/*.csv\" is compared letter by letter",
        ),
        (json!({ "enabled": false }), "not-enabled: enabled: "),
        (
            json!({ "if_fnmatch": ["*.csv", "*{{ day }}*"] }),
            "pattern-not-rendered: if_fnmatch[1]: patterns are never rendered",
        ),
        (
            json!({ "globals": { "k": "{{ kye }}" } }),
            "unknown-variable: globals.k: unknown variable \"kye\" (did you mean \"key\"?)",
        ),
        (
            json!({ "globals": { "k": "{{ info.sise }}" } }),
            "unknown variable \"info.sise\" (did you mean \"size\"?)",
        ),
        (json!({ "job_id": "{{ start }}" }), "unknown-variable: job_id: unknown variable \"start\" (known: "),
    ] {
        let told = advice(more.clone());
        assert!(told.len() == 1 && told[0].contains(wanted), "{more}: {told:?}");
    }
    assert_eq!(advice(json!({ "jinja": false, "globals": { "k": "{{ kye }}" } })), [] as [&str; 0]);
}

#[test]
fn levels_lead_from_the_whole_key_to_the_bucket() {
    for (key, wanted) in [
        ("a/b/c", &["a/b/c", "a/b", "a", "*"][..]),
        ("a", &["a", "*"]),
        ("/a/b", &["/a/b", "/a", "*"]),
        ("a//b", &["a//b", "a", "*"]),
        ("dir/", &["dir/", "dir", "*"]),
        ("*", &["*"]),
        ("../a", &["../a", "..", "*"]),
    ] {
        assert_eq!(levels(key), wanted, "{key}");
    }
}

#[test]
fn first_level_with_triggers_counts_and_no_other() {
    let at = |id: &str, prefix: &str, more: Value| {
        with(trigger(&more), &json!({ "trigger_id": id, "prefix": prefix }))
    };
    let all = [
        at("whole", "*", json!({})),
        at("deep", "a/b", json!({ "enabled": false })),
        at("top", "a", json!({})),
        at("elsewhere", "c", json!({})),
        with(at("other", "a/b", json!({})), &json!({ "bucket": "other" })),
    ];
    let assessment = assessed(&all, &only(&notification("a/b/c", &json!({}))));
    assert_eq!(assessment.level.as_deref(), Some("a/b"));
    let found: Vec<&str> = assessment.found.iter().map(|one| one.trigger_id.as_str()).collect();
    assert_eq!(found, ["deep"], "a trigger that is not enabled is found all the same");
    assert_eq!(assessment.found[0].verdict, TriggerVerdict::Unfit(vec!["it is not enabled".to_owned()]));
    let others: Vec<&str> = assessment.others.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(others, ["elsewhere", "top", "whole"]);
    let assessment = assessed(&all, &only(&notification("x/y", &json!({}))));
    assert_eq!((assessment.level.as_deref(), assessment.found.len()), (Some("*"), 1));
}

#[test]
fn every_condition_must_hold() {
    for (more, key, wanted) in [
        (json!({ "if_fnmatch": "*.csv" }), "in/a.csv", None),
        (json!({ "if_fnmatch": ["*.csv", "in/*"] }), "in/a.txt", None),
        (json!({ "if_fnmatch": "*.csv" }), "in/a.CSV", Some("if_fnmatch: the key \"in/a.CSV\"")),
        (json!({ "if_fnmatch": "a.csv" }), "in/a.csv", Some("matches none of its patterns")),
        (
            json!({ "if_not_fnmatch": ["x", "*.tmp"] }),
            "in/a.tmp",
            Some("if_not_fnmatch: the key \"in/a.tmp\" matches \"*.tmp\""),
        ),
        (json!({ "if_not_fnmatch": "*.tmp" }), "in/a", None),
        (json!({ "if_size_gt": 1_023 }), "in/a", None),
        (
            json!({ "if_size_gt": "1 KiB" }),
            "in/a",
            Some("if_size_gt: the object has 1024 bytes, not more than 1024"),
        ),
        (json!({ "if_not_size_gt": 1_024 }), "in/a", None),
        (
            json!({ "if_not_size_gt": "1K" }),
            "in/a",
            Some("if_not_size_gt: the object has 1024 bytes, more than 1000"),
        ),
        (json!({ "if_event_type": "ObjectCreated:*" }), "in/a", None),
        (
            json!({ "if_event_type": ["ObjectRemoved:*"] }),
            "in/a",
            Some("if_event_type: the event type \"ObjectCreated:Put\""),
        ),
        (json!({ "if_not_event_type": "*:Put" }), "in/a", Some("if_not_event_type: ")),
    ] {
        match (verdict(&more, key), wanted) {
            (TriggerVerdict::Fits(..), None) => {}
            (TriggerVerdict::Unfit(reasons), Some(wanted)) => {
                assert!(reasons.len() == 1 && reasons[0].contains(wanted), "{more}: {reasons:?}");
            }
            (verdict, _) => panic!("{more} {key}: {verdict:?}"),
        }
    }
    let more = json!({ "if_fnmatch": "x", "if_size_gt": 9_999, "enabled": false });
    let TriggerVerdict::Unfit(reasons) = verdict(&more, "in/a") else { panic!("it does not fit") };
    assert_eq!(reasons.len(), 3, "each reason is reported: {reasons:?}");
}

#[test]
fn object_without_a_size_is_not_larger_than_anything() {
    let mut event = only(&notification("in/a", &json!({})));
    event.size = None;
    let unfit = |more: Value| {
        matches!(assessed(&[trigger(&more)], &event).found[0].verdict, TriggerVerdict::Unfit(_))
    };
    assert!(unfit(json!({ "if_size_gt": 0 })) && !unfit(json!({ "if_not_size_gt": 0 })));
}

#[test]
fn bad_trigger_is_in_no_other_ones_way() {
    let bad = with(trigger(&json!({})), &json!({ "trigger_id": "bad", "colour": 1 }));
    let off = with(bad.clone(), &json!({ "trigger_id": "off", "enabled": false }));
    let found = assessed(&[bad, off, trigger(&json!({}))], &only(&notification("in/a", &json!({})))).found;
    assert!(
        matches!(&found[0].verdict, TriggerVerdict::Failed(why) if why.contains("colour: no such field")),
        "{found:?}"
    );
    assert!(matches!(found[1].verdict, TriggerVerdict::Unfit(_)), "one that is not enabled may be bad");
    assert!(matches!(found[2].verdict, TriggerVerdict::Fits(..)));
}

#[test]
fn everything_lava_renders_is_rendered() {
    let more = json!({
        "job_id": ["load/{{ key.split('/')[-1].split('.')[0] }}", "plain"], "delay": "90s",
        "globals": { "{{ bucket }}": "{{ key }}", "n": "{{ info.size + 1 }}", "raw": "{{ event.awsRegion }}", "five": 5 },
        "parameters": { "env": [{ "IP": "{{ info.source_ip }}", "AT": "{{ info.event_time.strftime('%Y-%m-%d') }}",
            "TYPE": "{{ info.event_type }}", "REGION": "{{ info.aws_region }}", "URL": "{{ info.location }}",
            "BASE": "{{ utils.path.basename(key) }}" }] },
    });
    let TriggerVerdict::Fits(id, starts) = verdict(&more, "in/a%22b.csv") else { panic!("it fits") };
    assert_eq!(id, TriggerId::new("t").unwrap());
    let request = starts[1].request.as_ref().unwrap();
    assert_eq!(
        Value::Object(request.globals.clone()),
        json!({ "b": "in/a\"b.csv", "n": "1025", "raw": "ap-southeast-2", "five": 5 })
    );
    assert_eq!(
        Value::Object(request.parameters.clone()),
        json!({ "env": [{ "IP": "10.200.240.5", "AT": "2022-01-30", "TYPE": "ObjectCreated:Put",
            "REGION": "ap-southeast-2", "URL": "s3://b/in/a\"b.csv", "BASE": "a\"b.csv" }] })
    );
    assert_eq!(format!("{:?}", request.when), "After(Span(90s))");
    assert_eq!(starts[0].job_id, "load/a\"b");
    let plain = with(more, &json!({ "jinja": false, "job_id": "plain" }));
    let TriggerVerdict::Fits(_, starts) = verdict(&plain, "in/a") else { panic!("it fits") };
    assert_eq!(starts[0].request.as_ref().unwrap().globals["n"], "{{ info.size + 1 }}");
}

#[test]
fn job_id_whose_template_fails_fails_alone() {
    let TriggerVerdict::Fits(_, starts) =
        verdict(&json!({ "job_id": ["{{ nothing }}", "plain", "{{ key }}/"] }), "in/a")
    else {
        panic!("it fits")
    };
    let told: Vec<bool> = starts.iter().map(|start| start.request.is_ok()).collect();
    assert_eq!(told, [false, true, false], "{starts:?}");
    for more in [
        json!({ "globals": { "x": "{{ nothing.at.all }}" } }),
        json!({ "parameters": { "x": "{{ 1 / 0 }}" } }),
        json!({ "globals": { "{{ 'lava' }}": 1 } }),
    ] {
        assert!(matches!(verdict(&more, "in/a"), TriggerVerdict::Failed(_)), "{more}");
    }
}

#[test]
fn event_says_the_same_by_every_way() {
    let direct = notification("in/a%2Bb+%C3%A9%20c.csv", &json!({ "versionId": "v1" }));
    let sns =
        json!({ "Type": "Notification", "MessageId": "1", "TopicArn": "t", "Message": direct.to_string() });
    let event = only(&direct);
    assert_eq!((event.bucket.as_str(), event.key.as_str()), ("b", "in/a+b \u{e9} c.csv"));
    assert_eq!((event.size, event.version.as_deref()), (Some(1024), Some("v1")));
    assert_eq!(event.time.unwrap().to_rfc3339(), "2022-01-30T16:18:17.123+00:00");
    assert_eq!(only(&sns), event);
    assert_eq!(objects_in_text(&format!("\u{feff} {sns}")).unwrap(), [Ok(event.clone())]);
    let bus = eventbridge("in/a+b \u{e9} c.csv", &json!({ "version-id": "v1" }));
    let other = only(&bus);
    assert_eq!(other.event_type, "ObjectCreated:PutObject");
    assert_eq!(
        (&other.key, other.size, &other.source_ip, &other.aws_region),
        (&event.key, event.size, &event.source_ip, &event.aws_region)
    );
    let id = TriggerId::new("t").unwrap();
    assert_eq!(other.name(&id), event.name(&id), "one object, one run, by whatever way");
    let queued = json!({ "Type": "Notification", "Message": bus.to_string() });
    assert_eq!(only(&queued), other, "keys of EventBridge are not decoded");
}

#[test]
fn names_differ_where_objects_or_events_do() {
    let id = TriggerId::new("t").unwrap();
    let name = |key: &str, more: Value| only(&notification(key, &more)).name(&id);
    let first = name("a", json!({}));
    assert_eq!(name("a", json!({ "size": 5, "versionId": "null" })), first);
    let others = [
        name("b", json!({})),
        name("a", json!({ "versionId": "v2" })),
        name("a", json!({ "sequencer": "0055AED6DCD90281E6" })),
        only(&notification("a", &json!({}))).name(&TriggerId::new("u").unwrap()),
    ];
    for (at, other) in others.iter().enumerate() {
        assert!(*other != first && !others[..at].contains(other), "{other:?}");
    }
    // The request that caused an event distinguishes events without a sequencer.
    let bare = |mut event: Value, path: &str| {
        event.pointer_mut(path).unwrap().as_object_mut().unwrap().remove("sequencer");
        only(&event).name(&id)
    };
    let direct = bare(notification("a", &json!({})), "/Records/0/s3/object");
    assert_eq!(direct, bare(eventbridge("a", &json!({})), "/detail/object"));
    assert_ne!(direct, first);
}

#[test]
fn message_of_another_kind_is_none_of_s3s() {
    assert_eq!(
        objects_of(&json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" })),
        Some(vec![])
    );
    for value in [
        json!(null),
        json!({}),
        json!([]),
        json!({ "job_id": "a" }),
        json!({ "Records": [] }),
        json!({ "Records": [{ "eventSource": "aws:sqs" }] }),
        json!({ "source": "aws.s3" }),
        json!({ "source": "aws.ec2", "detail-type": "Object Created" }),
        json!({ "Type": "Notification", "Message": "load -g x=1" }),
    ] {
        assert_eq!(objects_of(&value), None, "{value}");
    }
    for text in ["load -g x=1", "", "[1]", "{", "{\"a\": 1, \"a\": 2}"] {
        assert_eq!(objects_in_text(text), None, "{text}");
    }
}

#[test]
fn malformed_event_names_the_missing_field() {
    let broken = |path: &str, name: &str, value: Option<Value>| {
        let mut event = notification("in/a", &json!({}));
        let object = event.pointer_mut(path).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => drop(object.insert(name.to_owned(), value)),
            None => drop(object.remove(name)),
        }
        objects_of(&event).unwrap().remove(0).unwrap_err().to_string()
    };
    for (path, name, value, wanted) in [
        ("/Records/0", "s3", Some(json!(5)), "s3.bucket.name is missing"),
        ("/Records/0/s3", "bucket", None, "s3.bucket.name is missing"),
        ("/Records/0/s3/object", "key", None, "s3.object.key is missing"),
        ("/Records/0/s3/object", "key", Some(json!("")), "s3.object.key is empty"),
        ("/Records/0/s3/object", "key", Some(json!(5)), "s3.object.key is a number, not a text"),
        ("/Records/0/s3/object", "key", Some(json!("a%ff")), "is not UTF-8 once it is decoded"),
        (
            "/Records/0/s3/object",
            "key",
            Some(json!("x".repeat(1_025))),
            "the key has 1025 bytes, more than 1024",
        ),
        ("/Records/0/s3/object", "size", Some(json!("big")), "s3.object.size is \"big\", not a size"),
        ("/Records/0/s3/object", "size", Some(json!(-1)), "s3.object.size is -1, not a size"),
        ("/Records/0", "eventName", None, "eventName is missing"),
        ("/Records/0", "eventTime", Some(json!("soon")), "eventTime is soon, not a time"),
    ] {
        let error = broken(path, name, value);
        assert!(error.starts_with("an S3 event is malformed: ") && error.contains(wanted), "{error}");
    }
    let mixed = json!({ "Records": [record("in/a", &json!({})), { "eventSource": "aws:sqs" }] });
    let objects = objects_of(&mixed).unwrap();
    assert!(objects[0].is_ok() && objects[1].is_err(), "{objects:?}");
    assert!(
        objects_of(&json!({ "source": "aws.s3", "detail-type": "x", "detail": {} })).unwrap()[0].is_err()
    );
}

#[test]
fn key_of_the_longest_kind_is_taken() {
    let key = "\u{e9}".repeat(512);
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(only(&notification(&encoded, &json!({}))).key, key);
    assert_eq!(only(&notification("a/../%2e%2e/b", &json!({}))).key, "a/../../b", "a key is not a path");
    assert_eq!(only(&notification("50%25%", &json!({}))).key, "50%%");
}

/// A key as S3's notifications have it.
fn encoded(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*/".contains(&byte);
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn key_survives_both_ways(key in "[a-c/+% \u{e9}\u{1f600}.&=\"\\\\]{1,40}") {
        let (direct, bus) = (only(&notification(&encoded(&key), &json!({}))), only(&eventbridge(&key, &json!({}))));
        prop_assert_eq!(&direct.key, &key);
        prop_assert_eq!(&bus.key, &key);
        let id = TriggerId::new("t").unwrap();
        prop_assert_eq!(direct.name(&id), bus.name(&id));
    }

    #[test]
    fn levels_are_the_key_cut_at_its_slashes(key in "[ab/]{1,12}") {
        let levels = levels(&key);
        prop_assert_eq!(levels[0], key.as_str());
        prop_assert_eq!(*levels.last().unwrap(), "*");
        for level in &levels[1..levels.len() - 1] {
            let rest = key.strip_prefix(level);
            prop_assert!(rest.is_some_and(|rest| rest.starts_with('/')) && !level.ends_with('/'), "{}", level);
        }
        for cut in key.match_indices('/').map(|(at, _)| &key[..at]).filter(|cut| !cut.is_empty() && !cut.ends_with('/')) {
            prop_assert!(levels.contains(&cut), "{}", cut);
        }
    }

    /// The value of a key that a template puts in place never changes what is around it.
    #[test]
    fn key_stays_one_text_wherever_it_is_rendered(key in "[\\PC\n\"'{}%]{1,30}") {
        let mut event = only(&notification("in/a", &json!({})));
        event.key = format!("in/{key}");
        let more = json!({ "globals": { "k": "{{ key }}", "other": "x" }, "parameters": { "args": ["{{ key }}"] } });
        let assessment = assessed(&[trigger(&more)], &event);
        let TriggerVerdict::Fits(_, starts) = &assessment.found[0].verdict else { panic!("{assessment:?}") };
        let request = starts[0].request.as_ref().unwrap();
        prop_assert_eq!(Value::Object(request.globals.clone()), json!({ "k": event.key, "other": "x" }));
        prop_assert_eq!(Value::Object(request.parameters.clone()), json!({ "args": [event.key] }));
    }
}
