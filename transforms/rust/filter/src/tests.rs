use relay_guest::{Event, Failure, FailureKind, Operation, Outcome, Transform, Unused, create};

use crate::Filter;

fn apply(settings: &str, event: &Event) -> Result<Outcome, Failure> {
    create::<Filter>(settings).expect("settings").apply(event)
}

fn kept(settings: &str, event: &Event) -> bool {
    match apply(settings, event) {
        Ok(Outcome::Pass) => true,
        Ok(Outcome::Drop(Some(_))) => false,
        other => panic!("{other:?}"),
    }
}

fn with(payload: &str) -> Event {
    Event::new("1").with_payload(payload)
}

#[test]
fn keeps_what_meets_a_condition() {
    let settings = r#"{"keep":[{"event-type":["A","B"]},{"entity":["x"],"operation":["delete"]}]}"#;
    let event = Event::new("1").with_entity("x");
    assert!(kept(settings, &event.clone().with_event_type("B")));
    assert!(!kept(settings, &event.clone().with_event_type("C")));
    assert!(kept(settings, &event.with_operation(Operation::Delete)));
    let outcome = apply(settings, &Event::new("1"));
    assert_eq!(outcome, Ok(Outcome::drop("not-kept")));
}

#[test]
fn drop_wins_over_keep() {
    let settings = r#"{"keep":[{"entity":["x"]}],"drop":[{"event-type":["Test"]}]}"#;
    let event = Event::new("1").with_entity("x");
    assert!(kept(settings, &event));
    let outcome = apply(settings, &event.with_event_type("Test"));
    assert_eq!(outcome, Ok(Outcome::drop("dropped")));
}

#[test]
fn compares_values_as_json_readers_do() {
    let equals = |wanted: &str, found: &str| {
        let settings = format!(r#"{{"keep":[{{"field":"a","equals":{wanted}}}]}}"#);
        kept(&settings, &with(&format!(r#"{{"a":{found}}}"#)))
    };
    assert!(equals("\"gold\"", r#""g\u006fld""#));
    assert!(equals("1", "1.0"));
    assert!(equals("1.1", "1.10"));
    assert!(equals("9007199254740993", "9007199254740993"));
    assert!(!equals("9007199254740993", "9007199254740992"));
    assert!(!equals("1", "\"1\""));
    assert!(!equals("1", "1e400"));
    assert!(equals("null", "null"));
    assert!(equals(r#"{"x":1,"y":[2]}"#, r#"{"y":[2.0],"x":1}"#));
    assert!(!equals(r#"{"x":1}"#, r#"{"x":1,"y":2}"#));
}

#[test]
fn fields() {
    let one_of = r#"{"keep":[{"field":"items[].sku","in":["a","b"]}]}"#;
    assert!(kept(one_of, &with(r#"{"items":[{"sku":"z"},{"sku":"b"}]}"#)));
    assert!(!kept(one_of, &with(r#"{"items":[{"sku":"z"}]}"#)));
    let exists = r#"{"keep":[{"field":"a.b","exists":true}]}"#;
    assert!(kept(exists, &with(r#"{"a":{"b":null}}"#)));
    assert!(!kept(exists, &with(r#"{"a":1}"#)));
    let absent = r#"{"drop":[{"field":"a","exists":false}]}"#;
    assert!(kept(absent, &with(r#"{"a":1}"#)));
    assert!(!kept(absent, &Event::new("1")));
    assert_eq!(apply(absent, &with("{")).unwrap_err().code, "invalid-json");
}

#[test]
fn the_payload_is_read_only_if_the_rest_holds() {
    let settings = r#"{"drop":[{"entity":["x"],"field":"a","exists":true}]}"#;
    assert!(kept(settings, &with("not json")));
    assert!(apply(settings, &with("not json").with_entity("x")).is_err());
    let unused = |settings: &str| create::<Filter>(settings).expect("settings").unused();
    assert_eq!(unused(settings), Unused { payload: false, before: true, headers: true });
    assert!(unused(r#"{"keep":[{"entity":["x"]}]}"#).payload);
}

#[test]
fn what_is_not_json_is_poison_or_halts() {
    let failure = |invalid: &str, event: &Event| {
        let settings = format!(r#"{{"drop":[{{"field":"a","exists":true}}]{invalid}}}"#);
        apply(&settings, event).map_err(|failure| (failure.kind, failure.code.into_owned())).expect_err("failed")
    };
    let poison = (FailureKind::Poison, "invalid-json".to_owned());
    let halt = (FailureKind::Halt, "invalid-json".to_owned());
    for event in [with("{"), Event::new("1").with_payload(b"\xff")] {
        assert_eq!(failure("", &event), poison);
        assert_eq!(failure(r#","invalid":"poison""#, &event), poison);
        assert_eq!(failure(r#","invalid":"halt""#, &event), halt);
    }
    assert!(kept(r#"{"drop":[{"entity":["x"],"field":"a","exists":true}],"invalid":"halt"}"#, &with("{")));
}

#[test]
fn settings_are_refused_by_name() {
    let refusal = |settings: &str| create::<Filter>(settings).err().expect("refused");
    assert!(refusal("{}").contains("`keep`"));
    assert!(refusal(r#"{"keep":[{}]}"#).contains("keep[0]"));
    assert!(refusal(r#"{"drop":[{"type":["A"]}]}"#).contains("`type`"));
    assert!(refusal(r#"{"drop":[{"operation":["upsert"]}]}"#).contains("drop[0].operation[0]"));
    assert!(refusal(r#"{"drop":[{"field":"a"}]}"#).contains("`exists`"));
    assert!(refusal(r#"{"drop":[{"field":"a","exists":true,"equals":1}]}"#).contains("one of"));
    assert!(refusal(r#"{"drop":[{"equals":1}]}"#).contains("`field`"));
    assert!(refusal(r#"{"keep":[{"entity":["x"]}],"invalid":"skip"}"#).contains("invalid: unknown variant `skip`"));
}

#[test]
fn the_schema_is_that_of_the_settings() {
    let schema = include_str!("../settings.schema.json");
    assert_eq!(relay_guest::check_schema::<crate::Settings>(schema), Ok(()));
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let condition = schema["$defs"]["condition"].to_string();
    assert_eq!(relay_guest::check_schema::<crate::Condition>(&condition), Ok(()));
}
