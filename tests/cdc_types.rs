//! Property: what a column holds arrives in JSON with every digit, byte and zone.

use crate::support::cdc::Capture;
use crate::support::database::Database;

const ALL: &str = "tables = [\"public.*\"]\n";

/// Column type, value as SQL, and its JSON, character by character.
const CASES: &[(&str, &str, &str)] = &[
    ("int8", "9223372036854775807", "9223372036854775807"),
    ("int2", "-32768", "-32768"),
    ("bool", "true", "true"),
    ("float8", "0.1::float8 + 0.2::float8", "0.30000000000000004"),
    ("float8", "'NaN'", r#""NaN""#),
    ("float4", "'-Infinity'", r#""-Infinity""#),
    ("numeric", "12345678901234567890123456789.00100", r#""12345678901234567890123456789.00100""#),
    ("numeric(5,2)", "1", r#""1.00""#),
    ("text", r#"E'\u00e9\n"\\\u0007\U0001F600'"#, "\"é\\n\\\"\\\\\\u0007😀\""),
    ("char(4)", "'ab'", r#""ab  ""#),
    ("bytea", r"'\x00ff10'", r#""AP8Q""#),
    ("uuid", "'406c07f3-26f0-4eea-a50c-109940064b8f'", r#""406c07f3-26f0-4eea-a50c-109940064b8f""#),
    ("timestamptz", "'2024-02-29 12:00:00.123456+05:30'", r#""2024-02-29T06:30:00.123456Z""#),
    ("timestamptz", "'infinity'", r#""infinity""#),
    ("timestamp", "'2024-02-29 12:00:00'", r#""2024-02-29T12:00:00""#),
    ("date", "'0044-03-15 BC'", r#""0044-03-15 BC""#),
    ("timetz", "'12:00:00.5+05:30'", r#""12:00:00.5+05:30""#),
    ("interval", "'1 year 2 days 03:04:05'", r#""1 year 2 days 03:04:05""#),
    ("json", r#"'{"b":1,  "a":[1.50,{"x":null}], "b":2}'"#, r#"{"b":1,  "a":[1.50,{"x":null}], "b":2}"#),
    ("jsonb", r#"'{"b": 1.50, "a": 12345678901234567890}'"#, r#"{"a": 12345678901234567890, "b": 1.50}"#),
    ("int8[]", "'{{1,NULL},{9007199254740993,4}}'", "[[1,null],[9007199254740993,4]]"),
    ("text[]", r#"ARRAY['a,b', 'NULL', '', '"q"', NULL]"#, r#"["a,b","NULL","","\"q\"",null]"#),
    ("timestamptz[]", "ARRAY['2024-02-29 12:00+00'::timestamptz]", r#"["2024-02-29T12:00:00Z"]"#),
    ("int4range", "'[1,5)'", r#"{"lower":1,"upper":5,"lower_inclusive":true,"upper_inclusive":false}"#),
    ("numrange", "'empty'", r#"{"empty":true}"#),
    (
        "tstzmultirange",
        "'{[2024-01-01 00:00+00,)}'",
        r#"[{"lower":"2024-01-01T00:00:00Z","upper":null,"lower_inclusive":true,"upper_inclusive":false}]"#,
    ),
    ("mood", "'so so'", r#""so so""#),
    ("mood[]", "ARRAY['so so', 'fine']::mood[]", r#"["so so","fine"]"#),
    ("age", "42", "42"),
    ("ages", "ARRAY[1,2]", "[1,2]"),
    ("price_range", "'[1.50,2)'", r#"{"lower":"1.50","upper":"2","lower_inclusive":true,"upper_inclusive":false}"#),
    ("pair", "ROW(1, 'a b')", r#""(1,\"a b\")""#),
    ("inet", "'10.0.0.1/8'", r#""10.0.0.1/8""#),
    ("point", "'(1,2)'", r#""(1,2)""#),
    ("box[]", "ARRAY[box '(1,1),(0,0)', box '(2,2),(0,0)']", r#"["(1,1),(0,0)","(2,2),(0,0)"]"#),
    ("tsvector", "'a fat cat'", r#""'a' 'cat' 'fat'""#),
    ("bit varying(8)", "B'0101'", r#""0101""#),
    ("money", "12.5", r#""$12.50""#),
];

/// A table with a column of each case, and a row in it when `values` is asked for.
fn database() -> Database {
    let database = Database::new();
    let columns: Vec<_> = CASES.iter().enumerate().map(|(n, (sql_type, ..))| format!("c{n} {sql_type}")).collect();
    let sql = format!(
        "CREATE TYPE mood AS ENUM ('so so', 'fine'); CREATE DOMAIN age AS int CHECK (VALUE > 0); CREATE DOMAIN ages AS int[];
         CREATE TYPE price_range AS RANGE (subtype = numeric); CREATE TYPE pair AS (n int, t text);
         CREATE TABLE t (id int8 PRIMARY KEY, {})",
        columns.join(", ")
    );
    database.connect().batch_execute(&sql).expect("creates");
    database
}

fn insert(database: &Database, id: i64) {
    let values: Vec<_> = CASES.iter().map(|(_, value, _)| *value).collect();
    // Whatever the application's session prints is its own business.
    let sql = format!(
        "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'; SET bytea_output = 'escape'; SET extra_float_digits = -15;
         SET IntervalStyle = 'iso_8601'; INSERT INTO t VALUES ({id}, {})",
        values.join(", ")
    );
    database.connect().batch_execute(&sql).expect("inserts");
}

/// What stands in the message, member by member: as text, for parsing would
/// hide lost digits.
fn demand(payload: &[u8], id: &str, json: impl Fn(usize) -> String) {
    let text = std::str::from_utf8(payload).expect("text");
    let members: Vec<_> = (0..CASES.len()).map(|n| format!("\"c{n}\":{}", json(n))).collect();
    let wanted = format!("{{\"id\":{id},{}}}", members.join(","));
    for (n, member) in members.iter().enumerate() {
        assert!(text.contains(member.as_str()), "{}: wanted {member} in {text}", CASES[n].0);
    }
    assert_eq!(text, wanted);
}

/// GIVEN a column of each type and an application with settings of its own, THEN
/// each value is what its type says, and NULL is null.
#[test]
fn every_type() {
    let database = database();
    let capture = Capture::new(&database, ALL);
    insert(&database, i64::MAX);
    database.connect().batch_execute("INSERT INTO t (id) VALUES (1)").expect("inserts");
    let received = capture.publish();
    demand(received[0].payload.as_deref().expect("a row"), &i64::MAX.to_string(), |n| CASES[n].2.to_owned());
    assert_eq!(received[0].key.as_deref(), Some(r#"{"id":9223372036854775807}"#));
    demand(received[1].payload.as_deref().expect("a row"), "1", |_| "null".to_owned());
    serde_json::from_slice::<serde_json::Value>(received[0].payload.as_deref().expect("a row")).expect("JSON");
}

/// GIVEN `int8 = "string"` and `numeric = "digits"`, THEN so they are, in keys,
/// arrays and ranges too; nothing else changes.
#[test]
fn numbers_by_option() {
    let database = database();
    let capture = Capture::new(&database, &format!("{ALL}[source.rows]\nint8 = \"string\"\nnumeric = \"digits\""));
    insert(&database, 7);
    let received = capture.publish();
    assert_eq!(received[0].key.as_deref(), Some(r#"{"id":"7"}"#));
    demand(received[0].payload.as_deref().expect("a row"), "\"7\"", |n| match CASES[n] {
        ("int8", _, json) => format!("\"{json}\""),
        ("int8[]", ..) => r#"[["1",null],["9007199254740993","4"]]"#.to_owned(),
        ("numeric" | "numeric(5,2)", _, json) => json.trim_matches('"').to_owned(),
        ("price_range", _, json) => json.replace("\"1.50\"", "1.50").replace("\"2\"", "2"),
        (_, _, json) => json.to_owned(),
    });
}
