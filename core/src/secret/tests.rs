use serde_json::json;

use super::*;

#[test]
fn secret_text_is_masked_wherever_it_stands() {
    let secret = SecretText::new("canary-7f\"\\3");
    assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "***** \"*****\"");
    assert_eq!(mask("a canary-7f\"\\3 b"), "a ***** b");
    assert_eq!(mask(r#"{"a":"canary-7f\"\\3"}"#), r#"{"a":"*****"}"#);
    let mut value =
        json!({ "canary-7f\"\\3": ["x canary-7f\"\\3", { "b": "canary-7f\"\\3" }], "c": "canary" });
    assert!(value_holds_secret(&value));
    mask_value(&mut value);
    assert_eq!(value, json!({ "*****": ["x *****", { "b": "*****" }], "c": "canary" }));
    assert!(!value_holds_secret(&value));
}

#[test]
fn secret_that_a_template_encodes_is_masked() {
    let mut context = pumice_template::Context::new(pumice_template::Zone::Utc);
    let secret = "S3cret&Pass/wo'rd+\"1 é";
    context.insert("x", pumice_template::Value::text(secret));
    remember(secret);
    let renderer = pumice_template::Renderer::default();
    for template in [
        "{{ x }}",
        "{{ x | tojson }}",
        "{{ x | urlencode }}",
        "{{ {'k': x} | urlencode }}",
        "{{ {'k': x} }}",
        "{{ x | e }}",
        "{{ x | replace(\"'\", \"''\") }}",
        "{{ x | replace('\"', '\"\"') }}",
    ] {
        let rendered = renderer.render(template, &context).unwrap();
        let once = serde_json::to_string(&rendered).unwrap();
        for text in [rendered, once] {
            assert!(
                !mask(&text).contains("Pass") && mask(&text).contains(MASK),
                "{template}: {}",
                mask(&text)
            );
        }
    }
}

#[test]
fn many_marked_values_do_not_have_a_secret_forgotten() {
    let mut remembered = Remembered::default();
    remembered.add("the-secret-itself", true);
    remembered.add("marked-and-secret", false);
    remembered.add("marked-and-secret", true);
    for number in 0..=MAX_REMEMBERED {
        remembered.add(&format!("marked-value-{number}"), false);
    }
    for (text, wanted) in [
        ("the-secret-itself", MASK),
        ("marked-and-secret", MASK),
        ("marked-value-0", "marked-value-0"),
        ("marked-value-1", MASK),
    ] {
        assert_eq!(remembered.mask(text), wanted, "{text}");
    }
    assert_eq!(remembered.by_length.len(), MAX_REMEMBERED + 2);
}

#[test]
fn secret_within_another_leaves_nothing_of_the_longer_one() {
    remember("inner-91");
    remember("outer-inner-91-outer");
    assert_eq!(mask("outer-inner-91-outer inner-91"), "***** *****");
}

#[test]
fn secret_of_several_lines_is_masked_by_line() {
    remember("-----BEGIN KEY-----\nbGluZS1vbmU1\nx\n");
    assert_eq!(mask("got bGluZS1vbmU1!"), "got *****!");
    assert_eq!(mask("x"), "x");
}

#[test]
fn secret_that_is_short_or_a_number_is_masked_as_documented() {
    remember("short");
    assert_eq!(mask("short"), "short");
    remember_value(&json!({ "pin": 904_171 }));
    let mut value = json!([904_171, 1, 9_041_712]);
    mask_value(&mut value);
    assert_eq!(value, json!(["*****", 1, 9_041_712]));
}

#[test]
fn secret_that_comes_in_parts_is_masked_in_a_stream() {
    remember("streamed-canary-44");
    let text = b"a streamed-canary-44 b streamed-canary-4 streamed-canary-44";
    for size in 1..=text.len() {
        let mut masker = Masker::new();
        let mut given: Vec<u8> = text.chunks(size).flat_map(|part| masker.push(part)).collect();
        given.extend(masker.finish());
        assert_eq!(String::from_utf8(given).unwrap(), "a ***** b streamed-canary-4 *****", "{size}");
    }
}

#[test]
fn stream_gives_bytes_that_begin_no_secret_at_once() {
    remember("prompt-canary-81");
    let mut masker = Masker::new();
    assert_eq!(masker.push(b"50%\r"), b"50%\r");
    assert_eq!((masker.push(b"a prompt-can"), masker.held()), (b"a ".to_vec(), 10));
    assert_eq!((masker.push(b"ary-81 b"), masker.held()), (b"***** b".to_vec(), 0));
    // A secret that is learnt meanwhile is masked from then on.
    remember("learnt-canary-82");
    assert_eq!(masker.push(b"learnt-canary-82"), b"*****");
}

#[test]
fn stream_read_from_its_middle_shows_no_end_of_a_secret() {
    remember("middle-canary-83");
    let text = b"ab middle-canary-83 cd";
    let from = |skipped: usize| {
        let mut masker = Masker::new().skipping(skipped as u64);
        let mut given: Vec<u8> = text.chunks(3).flat_map(|part| masker.push(part)).collect();
        given.extend(masker.finish());
        String::from_utf8(given).unwrap()
    };
    assert_eq!((from(0).as_str(), from(2).as_str()), ("ab ***** cd", " ***** cd"));
    for within in 3..19 {
        assert_eq!(from(within), "***** cd", "{within}");
    }
    assert_eq!((from(19).as_str(), from(22).as_str(), from(30).as_str()), (" cd", "", ""));
    let until = |taken: u64| {
        let mut masker = Masker::new().skipping(1).taking(taken);
        let mut given: Vec<u8> = text.chunks(3).flat_map(|part| masker.push(part)).collect();
        given.extend(masker.finish());
        String::from_utf8(given).unwrap()
    };
    assert_eq!((until(1).as_str(), until(2).as_str(), until(20).as_str()), ("b", "b ", "b ***** c"));
    assert!((3..19).all(|within| until(within) == "b *****"));
}

#[test]
fn value_under_a_marked_name_is_masked_and_remembered() {
    mark_names(&["*marked_pass*".to_owned()]);
    let mut value =
        json!({ "env": { "DB_MARKED_PASSWORD": "marked-canary-5", "x": "y" }, "marked_pass": null });
    remember_marked(value.as_object().unwrap());
    mask_value(&mut value);
    assert_eq!(value, json!({ "env": { "DB_MARKED_PASSWORD": "*****", "x": "y" }, "marked_pass": null }));
    assert_eq!(mask("got marked-canary-5"), "got *****");
    assert!(!value_holds_secret(&json!("marked-canary-5")), "its document shows it");
}

#[test]
fn parts_of_a_secret_are_masked_by_themselves() {
    let object = json!({ "username": "reporting", "password": "json-canary-61", "host": "db.example.com",
        "more": { "api_key": "json-canary-62" } });
    remember_parts(&object.to_string());
    remember_parts("AKIAHALVESCANARY1, halves/canary+63/of+a+key\n");
    for (text, wanted) in [
        ("json-canary-61", MASK),
        ("json-canary-62", MASK),
        ("AKIAHALVESCANARY1", MASK),
        ("halves/canary+63/of+a+key", MASK),
        // Where to log in stands in documents and logs.
        ("reporting at db.example.com", "reporting at db.example.com"),
    ] {
        assert_eq!(mask(text), wanted, "{text}");
    }
    // A text with a comma is not two keys.
    for secret in
        ["no halves, canary-64 of a sentence", "short,halves-canary-of-a-key", "[\"listed-canary-65\"]"]
    {
        remember_parts(secret);
        for part in
            ["no halves", "canary-64 of a sentence", "short", "halves-canary-of-a-key", "listed-canary-65"]
        {
            assert_eq!(mask(part), part, "{secret}");
        }
    }
}
