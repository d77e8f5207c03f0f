use relay_guest::{Event, Failure, Message, Outcome, Transform, create};
use serde_json::Value;

use crate::Redact;

fn apply(settings: &str, payload: &str) -> Result<Outcome, Failure> {
    let redact: Redact = create(settings).expect("settings");
    redact.apply(&Event::new("1").with_payload(payload))
}

/// What the payload becomes; itself if it passes.
fn edited(settings: &str, payload: &str) -> String {
    match apply(settings, payload) {
        Ok(Outcome::Pass) => payload.to_owned(),
        Ok(Outcome::Emit(messages)) => match &messages[..] {
            [Message { payload: Some(relay_guest::Content::Text(text)), .. }] => {
                assert_ne!(text, payload, "an untouched payload must pass");
                text.clone()
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn refusal(settings: &str) -> String {
    create::<Redact>(settings).err().expect("refused")
}

#[test]
fn masks_by_path() {
    let settings = r#"{"fields":["card","customer.email","items[].note"]}"#;
    let payload = r#"{"id":1, "card":"4111","customer":{"name":"A","email":["x"]},"items":[{"note":1,"n":2},{"note":{}},3]}"#;
    let expected = r#"{"id":1, "card":"***","customer":{"name":"A","email":"***"},"items":[{"note":"***","n":2},{"note":"***"},3]}"#;
    assert_eq!(edited(settings, payload), expected);
}

#[test]
fn keeps_every_other_byte() {
    let settings = r#"{"fields":["x"]}"#;
    let payload = "\n{ \"n\" : 12345678901234567890.123 , \"m\":1.10,\"e\":1E+400,\"s\":\"\\u00e9\\/\",\"d\":1,\"d\":2, \"x\" :\t9 }\n";
    assert_eq!(edited(settings, payload), payload.replace("\t9 ", "\t\"***\" "));
}

#[test]
fn a_key_is_known_however_it_is_written_and_however_often() {
    let payload = r#"{"c\u0061rd":1,"card":2,"card2":3}"#;
    let expected = r#"{"c\u0061rd":null,"card":null,"card2":3}"#;
    assert_eq!(edited(r#"{"fields":["card"],"replace":null}"#, payload), expected);
}

#[test]
fn replaces_with_any_value() {
    let settings = r#"{"fields":["a"],"replace":{"masked":true}}"#;
    assert_eq!(edited(settings, r#"{"a":1}"#), r#"{"a":{"masked":true}}"#);
    assert_eq!(edited(r#"{"fields":["[].a"],"replace":0}"#, r#"[{"a":1}]"#), r#"[{"a":0}]"#);
}

#[test]
fn removes_members_with_their_commas() {
    // Each subset of members removed must leave what a JSON reader makes of
    // removing them.
    let names = ["a", "b", "c", "d"];
    let text = r#"{ "a":1 , "b":{"x":2}, "c":[3] ,"d":"4" }"#;
    for removed in 1..16_usize {
        let fields: Vec<&str> = (0..4).filter(|bit| removed >> bit & 1 == 1).map(|bit| names[bit]).collect();
        let settings = serde_json::json!({"fields": fields, "remove": true}).to_string();
        let mut expected: Value = serde_json::from_str(text).unwrap();
        for field in fields {
            expected.as_object_mut().unwrap().shift_remove(field);
        }
        let text = edited(&settings, text);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected, "{text}");
    }
}

#[test]
fn removes_below_and_in_arrays() {
    let settings = r#"{"fields":["l[].a","m[]"],"remove":true}"#;
    let payload = r#"{"l":[{"a":1},{"a":2,"b":3},{"b":4,"a":5}],"m":[ 1,2 ]}"#;
    assert_eq!(edited(settings, payload), r#"{"l":[{},{"b":3},{"b":4}],"m":[  ]}"#);
}

#[test]
fn renames_in_place() {
    let settings = r#"{"rename":{"a.b":"c","l[].x":"y"},"fields":["a.b"]}"#;
    let payload = r#"{"a":{"z":0,"b":1},"l":[{"x":1}]}"#;
    assert_eq!(edited(settings, payload), r#"{"a":{"z":0,"c":"***"},"l":[{"y":1}]}"#);
    let settings = r#"{"rename":{"a":"x"},"fields":["z"],"remove":true}"#;
    assert_eq!(edited(settings, r#"{"z":0,"a":1,"z":2}"#), r#"{"x":1}"#);
}

#[test]
fn a_rename_never_makes_a_key_twice() {
    let settings = r#"{"rename":{"a":"b"}}"#;
    for payload in [r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#] {
        assert_eq!(apply(settings, payload).unwrap_err().code, "name-taken");
    }
    assert_eq!(edited(settings, r#"{"b":2}"#), r#"{"b":2}"#);
    let swap = r#"{"rename":{"a":"b","b":"a"}}"#;
    assert_eq!(edited(swap, r#"{"a":1,"b":2}"#), r#"{"b":1,"a":2}"#);
}

#[test]
fn what_is_not_there_is_fine() {
    let settings = r#"{"fields":["card","a.b","l[].x"],"rename":{"q":"r"}}"#;
    for payload in ["{}", "[]", "null", "3", r#"{"a":1,"l":{"x":1}}"#, r#"{"card":"***"}"#] {
        assert_eq!(apply(settings, payload), Ok(Outcome::Pass), "{payload}");
    }
}

#[test]
fn tombstones_pass() {
    let redact: Redact = create(r#"{"fields":["a"]}"#).unwrap();
    assert_eq!(redact.apply(&Event::new("1")), Ok(Outcome::Pass));
}

#[test]
fn what_is_not_json_is_poison() {
    for payload in ["", "{", r#"{"a":1,}"#, r#"{"a":1} x"#, "\u{feff}{}"] {
        assert_eq!(apply(r#"{"fields":["a"]}"#, payload).unwrap_err().code, "invalid-json");
    }
    let redact: Redact = create(r#"{"fields":["a"]}"#).unwrap();
    let failure = redact.apply(&Event::new("1").with_payload([0xff])).unwrap_err();
    assert_eq!(failure.code, "invalid-json");
}

#[test]
fn settings_are_refused_by_name() {
    assert!(refusal("{}").contains("`fields`"));
    assert!(refusal(r#"{"feilds":["a"]}"#).contains("`feilds`"));
    assert!(refusal(r#"{"fields":["a["]}"#).contains("fields[0]"));
    assert!(refusal(r#"{"fields":["a"],"remove":true,"replace":1}"#).contains("`replace`"));
    assert!(refusal(r#"{"rename":{"a":"b.c"}}"#).contains("rename.a"));
    assert!(refusal(r#"{"rename":{"a":"x","b":"x"}}"#).contains("`x`"));
    assert!(refusal(r#"{"fields":["a"],"remove":true,"rename":{"a":"x"}}"#).contains("rename.a"));
}

#[test]
fn the_schema_is_that_of_the_settings() {
    assert_eq!(relay_guest::check_schema::<crate::Settings>(include_str!("../settings.schema.json")), Ok(()));
}
