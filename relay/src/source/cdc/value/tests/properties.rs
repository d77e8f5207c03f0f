//! What holds for every value: what Postgres would print reads back, and what
//! is written is JSON on one line, whatever the bytes.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::Value;

/// Any kind, arrays of ranges of arrays included.
fn kinds() -> impl Strategy<Value = Kind> {
    use Kind::{Bool, Bytea, Date, Float, Int, Int8, Json, Numeric, Text, Time, TimeTz, Timestamp, TimestampTz};
    let scalars = [Bool, Int, Int8, Float, Numeric, Json, Bytea, Date, Time, TimeTz, Timestamp, TimestampTz, Text];
    Union::new(scalars.map(Just)).prop_recursive(3, 8, 1, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof![Just(b','), Just(b';'), any::<u8>()])
                .prop_map(|(element, delimiter)| Kind::Array { element: Arc::new(element), delimiter }),
            inner.clone().prop_map(range),
            inner.prop_map(multirange),
        ]
    })
}

/// Bytes that look like something, and bytes that do not.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        proptest::sample::select(&[
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            ",",
            ";",
            "\"",
            "\\",
            "NULL",
            "empty",
            "-",
            "1",
            "0",
            ".",
            "e+5",
            "t",
            "a",
            " ",
            "\n",
            "\\x",
            "ff",
            "infinity",
            "NaN",
            "2024-02-29",
            "12:00:00",
            "+00",
            " BC",
            "[0:1]=",
            "\\000",
            "ü",
            "null",
            ":",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 1..3),
    ];
    proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

/// `array_out`, for elements of text.
fn array_out(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Array(items) => format!("{{{}}}", items.iter().map(array_out).collect::<Vec<_>>().join(",")),
        Value::String(text) => {
            let special = |c: char| matches!(c, '"' | '\\' | '{' | '}' | ',' | ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
            if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("NULL") {
                return text.clone();
            }
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        other => panic!("{other} is no text"),
    }
}

/// `range_out` of one bound.
fn bound_out(text: Option<&str>) -> String {
    let Some(text) = text else { return String::new() };
    if !text.is_empty() && !text.contains(|c: char| "\"\\()[],".contains(c) || c.is_ascii_whitespace() || c == '\u{b}') {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a\"\\\\{}(),\\[\\] ]{0,6}", Just("null".to_owned())]
}

fn nested() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![3 => words().prop_map(Value::String), 1 => Just(Value::Null)];
    let one = |inner: BoxedStrategy<Value>| proptest::collection::vec(inner, 1..4).prop_map(Value::Array).boxed();
    prop_oneof![one(leaf.clone().boxed()), one(one(leaf.clone().boxed())), one(one(one(leaf.boxed())))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_string_is_written_as_serde_json_does(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn what_postgres_would_print_reads_back(value in nested(), lower in proptest::option::of(words()), upper in proptest::option::of(words())) {
        let json = json_of(&array(Kind::Text), array_out(&value), DEFAULT).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);

        let text = format!("({},{}]", bound_out(lower.as_deref()), bound_out(upper.as_deref()));
        let expected = serde_json::json!({"lower": lower, "upper": upper, "lower_inclusive": false, "upper_inclusive": true});
        let json = json_of(&range(Kind::Text), &text, DEFAULT).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), expected.clone());
        let many = format!("{{{text},{text}}}");
        // And once more inside an array.
        let json = json_of(&array(multirange(Kind::Text)), array_out(&serde_json::json!([many])), DEFAULT).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), serde_json::json!([[expected, expected]]));
    }

    #[test]
    fn bytea_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let expected = serde_json::to_string(&BASE64.encode(&bytes)).unwrap();
        let printed = |b: &u8| match b {
            b'\\' => "\\\\".to_owned(),
            0x20..0x7f => char::from(*b).to_string(),
            _ => format!("\\{b:03o}"),
        };
        prop_assert_eq!(json_of(&Kind::Bytea, format!("\\x{}", hex::encode(&bytes)), DEFAULT), Ok(expected.clone()));
        prop_assert_eq!(json_of(&Kind::Bytea, bytes.iter().map(printed).collect::<String>(), DEFAULT), Ok(expected.clone()));
    }

    #[test]
    fn whatever_is_written_is_json_on_one_line(kind in kinds(), text in texts(), int8_as_string: bool, numeric_as_digits: bool) {
        if let Ok(json) = json_of(&kind, &text, Options { int8_as_string, numeric_as_digits }) {
            prop_assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{}", json);
            prop_assert!(!json.contains(['\n', '\r']));
        }
    }
}
