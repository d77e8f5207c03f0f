//! The frozen mapping, value by value, as Postgres 15 prints them in the
//! session that the module presumes.

mod properties;

use super::*;

const DEFAULT: Options = Options { int8_as_string: false, numeric_as_digits: false };
const OTHER: Options = Options { int8_as_string: true, numeric_as_digits: true };

fn array(element: Kind) -> Kind {
    Kind::Array { element: Arc::new(element), delimiter: b',' }
}

fn range(bound: Kind) -> Kind {
    Kind::Range(Arc::new(bound))
}

fn multirange(bound: Kind) -> Kind {
    Kind::Multirange(Arc::new(bound))
}

fn json_of(kind: &Kind, text: impl AsRef<[u8]>, options: Options) -> Result<String, BadValue> {
    let mut out = b"before".to_vec();
    let done = write(&mut out, kind, text.as_ref(), options);
    let out = String::from_utf8(out).unwrap();
    let json = out.strip_prefix("before").unwrap().to_owned();
    assert!(done.is_ok() || json.is_empty(), "left {json} behind");
    done.map(|()| json)
}

/// Every text becomes this JSON.
#[track_caller]
fn table(kind: &Kind, options: Options, rows: &[(&str, &str)]) {
    for (text, json) in rows {
        assert_eq!(json_of(kind, text, options).as_deref(), Ok(*json), "{kind:?} {text}");
        serde_json::from_str::<&RawValue>(json).unwrap();
    }
}

/// Every text is refused.
#[track_caller]
fn refused(kind: &Kind, texts: &[&str]) {
    for text in texts {
        let error = json_of(kind, text, DEFAULT).unwrap_err();
        assert!(text.len() < 3 || !error.to_string().contains(text), "{error} holds the value");
    }
}

#[test]
fn bool_and_integers() {
    table(&Kind::Bool, DEFAULT, &[("t", "true"), ("f", "false"), ("true", "true"), ("false", "false")]);
    table(&Kind::Int, OTHER, &[("0", "0"), ("-2147483648", "-2147483648"), ("4294967295", "4294967295")]);
    table(&Kind::Int8, DEFAULT, &[("-9223372036854775808", "-9223372036854775808"), ("9007199254740993", "9007199254740993")]);
    table(&Kind::Int8, OTHER, &[("9007199254740993", r#""9007199254740993""#)]);
    refused(&Kind::Bool, &["", "T", "yes", "1"]);
    refused(&Kind::Int, &["", "-", "+1", "01", "1.0", "1e3", " 1", "x", "NaN"]);
}

#[test]
fn floats() {
    table(
        &Kind::Float,
        DEFAULT,
        &[
            ("0.1", "0.1"),
            ("-0", "-0"),
            ("1e+300", "1e+300"),
            ("1e-07", "1e-07"),
            ("5e-324", "5e-324"),
            ("NaN", r#""NaN""#),
            ("Infinity", r#""Infinity""#),
            ("-Infinity", r#""-Infinity""#),
        ],
    );
    refused(&Kind::Float, &["", "nan", ".5", "1.", "1e", "1e+", "0x1", "--1", "1.5f"]);
}

#[test]
fn numerics() {
    let digits = ["12.340", "0.33333333333333333333", "-0.5", "0.00000000000000000001", "1000000000000000000000000000000"];
    for text in digits {
        table(&Kind::Numeric, DEFAULT, &[(text, &format!("\"{text}\""))]);
        table(&Kind::Numeric, OTHER, &[(text, text)]);
    }
    for options in [DEFAULT, OTHER] {
        table(&Kind::Numeric, options, &[("NaN", r#""NaN""#), ("Infinity", r#""Infinity""#), ("-Infinity", r#""-Infinity""#)]);
    }
    refused(&Kind::Numeric, &["", "1e3", "1.", ".1", "00.1", "12,3"]);
}

#[test]
fn json_stands_inline_on_one_line() {
    table(
        &Kind::Json,
        DEFAULT,
        &[
            ("null", "null"),
            ("1e400", "1e400"),
            (r#"{"a": 1.10, "z": [1, "x\"y"]}"#, r#"{"a": 1.10, "z": [1, "x\"y"]}"#),
            ("{\n \"a\" : 1 ,\"a\":2,\r\n\"b\":\t\"\\u0000 \\ud83d \\n\"}", r#"{  "a" : 1 ,"a":2,  "b":	"\u0000 \ud83d \n"}"#),
            ("\n 1 \n", "1"),
        ],
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(json_of(&Kind::Json, &deep, DEFAULT), Ok(deep));
    refused(&Kind::Json, &["", "{", "{'a': 1}", "1 2", "NaN", "\"a\nb\""]);
}

#[test]
fn bytea_in_both_formats() {
    table(
        &Kind::Bytea,
        DEFAULT,
        &[
            ("\\x", r#""""#),
            ("\\x00ff5c", r#""AP9c""#),
            ("\\xFF", r#""/w==""#),
            ("", r#""""#),
            (r"\000\377\\A", r#""AP9cQQ==""#),
            (r"\\x", r#""XHg=""#),
        ],
    );
    refused(&Kind::Bytea, &["\\x0", "\\x0g", "\\9", "\\400", "\\"]);
}

#[test]
fn dates_and_times() {
    let same = |kind: &Kind, texts: &[&str]| texts.iter().for_each(|text| table(kind, OTHER, &[(text, &format!("\"{text}\""))]));
    same(&Kind::Date, &["2024-02-29", "0001-01-01", "12024-01-02", "5874897-12-31", "infinity", "-infinity", "0044-03-15 BC"]);
    same(&Kind::Time, &["00:00:00", "24:00:00", "12:00:00.1", "12:00:00.000001"]);
    same(&Kind::Timestamp, &["infinity", "-infinity", "0044-03-15 12:00:00 BC", "294276-12-31 23:59:59.999999"]);
    same(&Kind::TimestampTz, &["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "12024-01-01 00:00:00+00"]);
    // In another session than the relay's: a zone with seconds.
    same(&Kind::TimestampTz, &["1800-01-01 00:00:00+05:53:28", "0044-01-01 00:00:00+05:53:28 BC"]);
    table(&Kind::Timestamp, DEFAULT, &[("2024-02-29 12:00:00.1", r#""2024-02-29T12:00:00.1""#)]);
    table(
        &Kind::TimestampTz,
        DEFAULT,
        &[
            ("2024-02-29 06:30:00.1+00", r#""2024-02-29T06:30:00.1Z""#),
            ("2024-02-29 12:00:00+05:30", r#""2024-02-29T12:00:00+05:30""#),
            ("2024-02-29 01:30:00-05", r#""2024-02-29T01:30:00-05:00""#),
        ],
    );
    table(
        &Kind::TimeTz,
        DEFAULT,
        &[
            ("12:00:00+00", r#""12:00:00Z""#),
            ("24:00:00+00", r#""24:00:00Z""#),
            ("12:00:00.5+05:30", r#""12:00:00.5+05:30""#),
            ("01:00:00-08", r#""01:00:00-08:00""#),
            ("12:00:00-15:59:59", r#""12:00:00-15:59:59""#),
            ("12:00:00-00:00:30", r#""12:00:00-00:00:30""#),
        ],
    );
}

#[test]
fn dates_of_another_style_are_refused() {
    refused(&Kind::Date, &["", "29/02/2024", "02-29-2024", "024-01-01", "2024-1-1", "2024-02-29 AD", "2024-02-29\n"]);
    refused(&Kind::Time, &["", "12:00", "12:00:00.", "12:00:00+00", "24:00:00 PM"]);
    refused(&Kind::TimeTz, &["12:00:00", "12:00:00 UTC", "12:00:00+0", "12:00:00+00:00:00:00"]);
    refused(&Kind::Timestamp, &["2024-02-29", "2024-02-29T12:00:00", "2024-02-29 12:00:00+00", "Thu Feb 29 12:00:00 2024"]);
    refused(&Kind::TimestampTz, &["2024-02-29 12:00:00", "Thu Feb 29 12:00:00 2024 UTC", "2024-02-29 12:00:00+00 \""]);
}

#[test]
fn the_rest_is_text_as_printed() {
    for text in [
        "",
        "x  ",
        "$1,234.00",
        "1 year 2 mons -3 days +04:05:06.789",
        r#"(1,"a b""c",)"#,
        "10.0.0.1/8",
        "<a>\n\t\u{0}\u{7f}\u{2028}ü</a>",
        r"\",
    ] {
        table(&Kind::Text, DEFAULT, &[(text, &serde_json::to_string(text).unwrap())]);
    }
    assert_eq!(json_of(&Kind::Text, b"\xff", DEFAULT).unwrap_err().to_string(), "text value: not UTF-8; is the database SQL_ASCII?");
}

#[test]
fn arrays() {
    let text = array(Kind::Text);
    table(
        &text,
        DEFAULT,
        &[
            ("{}", "[]"),
            (
                "{a,\"\",\"NULL\",NULL,\"null\",\"a\\\"b\",\"a\\\\b\",\"{x}\",\"a,b\",\" sp \",\"nl\nx\",ü}",
                r#"["a","","NULL",null,"null","a\"b","a\\b","{x}","a,b"," sp ","nl\nx","ü"]"#,
            ),
            (r#"{{"{}",a},{NULL,"NULL"}}"#, r#"[["{}","a"],[null,"NULL"]]"#),
            // A composite and a domain over an array: quoted, not nested.
            (r#"{"(1,\"a b\"\"c\",ok)"}"#, r#"["(1,\"a b\"\"c\",ok)"]"#),
        ],
    );
    table(&array(Kind::Int), DEFAULT, &[("{{1,2},{3,NULL}}", "[[1,2],[3,null]]"), ("{{{{{{1}}}}}}", "[[[[[[1]]]]]]")]);
    table(&array(Kind::Int), DEFAULT, &[("[0:2]={1,2,3}", "[1,2,3]"), ("[0:1][-3:-2]={{1,2},{3,4}}", "[[1,2],[3,4]]")]);
    table(&array(Kind::Int8), OTHER, &[("{1,NULL}", r#"["1",null]"#)]);
    table(&array(Kind::Bool), DEFAULT, &[("{t,f,NULL}", "[true,false,null]")]);
    table(&array(Kind::Float), DEFAULT, &[("{1.5,NaN}", r#"[1.5,"NaN"]"#)]);
    table(
        &array(Kind::Bytea),
        DEFAULT,
        &[(r#"{"\\x00ff","\\x",NULL}"#, r#"["AP8=","",null]"#), (r#"{"\\000\\377\\\\A"}"#, r#"["AP9cQQ=="]"#)],
    );
    table(&array(array(Kind::Text)), DEFAULT, &[(r#"{"{sad,\"very \\\"happy\\\"\"}"}"#, r#"[["sad","very \"happy\""]]"#)]);
    table(
        &array(Kind::Json),
        DEFAULT,
        &[(
            "{\"{\\\"a\\\": [1, \\\"x\\\\\\\"y\\\"]}\",\"{\n\\\"b\\\":\t2}\",NULL,\"null\",1}",
            "[{\"a\": [1, \"x\\\"y\"]},{ \"b\":\t2},null,null,1]",
        )],
    );
    table(
        &array(Kind::TimestampTz),
        DEFAULT,
        &[(
            r#"{"2024-01-01 10:00:00+00",infinity,"0044-01-01 00:00:00+00 BC"}"#,
            r#"["2024-01-01T10:00:00Z","infinity","0044-01-01 00:00:00+00 BC"]"#,
        )],
    );
    let boxes = Kind::Array { element: Arc::new(Kind::Text), delimiter: b';' };
    table(&boxes, DEFAULT, &[("{(3,4),(1,2);(7,8),(5,6)}", r#"["(3,4),(1,2)","(7,8),(5,6)"]"#)]);
    refused(
        &text,
        &["", "a", "{", "{a", "{a,", "{a,}", "{,a}", "{\"a}", "{a}b", "{a}}", "{a{b}}", "{a\"b}", "[0:1]", "[x]={a}", "{{a}", "{\"a\"b}"],
    );
    refused(&text, &["{{{{{{{a}}}}}}}"]);
    assert_eq!(json_of(&array(Kind::Int), "{1,x}", DEFAULT).unwrap_err().to_string(), "integer value: not digits");
}

#[test]
fn ranges_and_multiranges() {
    fn bounds(lower: &str, upper: &str, marks: &str) -> String {
        let (open, close) = (marks.starts_with('['), marks.ends_with(']'));
        format!(r#"{{"lower":{lower},"upper":{upper},"lower_inclusive":{open},"upper_inclusive":{close}}}"#)
    }
    let empty = r#"{"empty":true}"#;
    table(&range(Kind::Int), DEFAULT, &[("[1,5)", &bounds("1", "5", "[)")), ("empty", empty), ("(,)", &bounds("null", "null", "()"))]);
    table(&range(Kind::Int8), OTHER, &[("[1,)", &bounds("\"1\"", "null", "[)"))]);
    table(
        &range(Kind::Numeric),
        DEFAULT,
        &[("[1.50,2]", &bounds("\"1.50\"", "\"2\"", "[]")), ("(NaN,)", &bounds("\"NaN\"", "null", "()"))],
    );
    table(&range(Kind::Date), DEFAULT, &[("[2024-01-01,)", &bounds("\"2024-01-01\"", "null", "[)"))]);
    let moment = (
        r#"("2024-01-01 10:00:00+00","2024-01-02 12:00:00.5+00")"#,
        bounds("\"2024-01-01T10:00:00Z\"", "\"2024-01-02T12:00:00.5Z\"", "()"),
    );
    table(
        &range(Kind::TimestampTz),
        DEFAULT,
        &[(moment.0, &moment.1), ("[-infinity,infinity)", &bounds("\"-infinity\"", "\"infinity\"", "[)"))],
    );
    table(
        &range(Kind::Text),
        DEFAULT,
        &[
            (r#"["",b)"#, &bounds(r#""""#, r#""b""#, "[)")),
            (r#"["a""b\\c,","z[](){} x")"#, &bounds(r#""a\"b\\c,""#, r#""z[](){} x""#, "[)")),
            (r#"(,"\\")"#, &bounds("null", r#""\\""#, "()")),
            ("[NULL,null)", &bounds(r#""NULL""#, r#""null""#, "[)")),
        ],
    );
    table(&range(array(Kind::Int)), DEFAULT, &[(r#"["{1,2}","{3,NULL}")"#, &bounds("[1,2]", "[3,null]", "[)"))]);
    let list = |ranges: &[String]| format!("[{}]", ranges.join(","));
    let two = list(&[bounds("1", "3", "[)"), bounds("5", "null", "[)")]);
    let many = multirange(Kind::Int);
    table(&many, DEFAULT, &[("{}", "[]"), ("{[1,3),[5,)}", &two), ("{(,)}", &list(&[bounds("null", "null", "()")]))]);
    let texts = list(&[bounds(r#""a\"}{,\\""#, r#""b]),[c""#, "[)")]);
    table(&multirange(Kind::Text), DEFAULT, &[(r#"{["a""}{,\\","b]),[c")}"#, &texts)]);
    let quoted = format!(r#"{{"{}",empty,NULL}}"#, moment.0.replace('"', "\\\""));
    table(&array(range(Kind::TimestampTz)), DEFAULT, &[(&quoted, &list(&[moment.1, empty.into(), "null".into()]))]);
    table(&array(many.clone()), DEFAULT, &[(r#"{"{[1,3),[5,)}"}"#, &list(&[two]))]);
    refused(&range(Kind::Int), &["", "[1,2", "1,2)", "[1)", "[1,2)x", "[1,2,3)", "emptyx", "[\"1,2)", "[x,2)", "{[1,2)}"]);
    refused(&many, &["", "{", "{[1,2)", "{[1,2),}", "{[1,2)}}", "[1,2)", "{[1,2)[3,4)}"]);
}
