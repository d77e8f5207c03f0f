//! JSON compared by what it means: members in any order, numbers by their exact
//! decimal value, strings after their escapes.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Deeper than this, text is compared: recursion must not exhaust the stack.
const DEPTH: usize = 200;

/// One place where two documents differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path of the place, `payload.items[2].price`.
    pub field: String,
    /// What should be there; nothing where the place should not be.
    pub expected: Option<String>,
    /// What is there.
    pub got: Option<String>,
}

impl Difference {
    /// The places within, where both sides are JSON that differs in meaning; else
    /// itself.
    pub(super) fn by_field(self) -> Vec<Self> {
        let mut within = Vec::new();
        if let (Some(expected), Some(got)) = (&self.expected, &self.got) {
            compare(&self.field, expected, got, &mut within);
        }
        if within.is_empty() { vec![self] } else { within }
    }
}

/// Appends the places where two JSON texts differ in meaning. What is no JSON is
/// compared as text.
pub fn compare(field: &str, expected: &str, got: &str, out: &mut Vec<Difference>) {
    values(field, expected, got, 0, out);
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

fn values(field: &str, expected: &str, got: &str, depth: usize, out: &mut Vec<Difference>) {
    let (expected, got) = (expected.trim(), got.trim());
    if expected == got {
        return;
    }
    let differs = |out: &mut Vec<Difference>| {
        out.push(Difference { field: field.to_owned(), expected: Some(expected.to_owned()), got: Some(got.to_owned()) });
    };
    let first = |text: &str| text.bytes().next();
    match (first(expected), first(got)) {
        _ if depth >= DEPTH => differs(out),
        (Some(b'{'), Some(b'{')) => match (serde_json::from_str(expected), serde_json::from_str(got)) {
            (Ok(e), Ok(g)) => objects(field, &e, &g, depth, out),
            _ => differs(out),
        },
        (Some(b'['), Some(b'[')) => match (serde_json::from_str::<Vec<&RawValue>>(expected), serde_json::from_str::<Vec<&RawValue>>(got)) {
            (Ok(e), Ok(g)) => {
                for at in 0..e.len().max(g.len()) {
                    let path = format!("{field}[{at}]");
                    member(&path, e.get(at).map(|v| v.get()), g.get(at).map(|v| v.get()), depth, out);
                }
            }
            _ => differs(out),
        },
        (Some(b'"'), Some(b'"')) => match (serde_json::from_str::<String>(expected), serde_json::from_str::<String>(got)) {
            (Ok(e), Ok(g)) if e == g => {}
            _ => differs(out),
        },
        _ => match (Decimal::read(expected), Decimal::read(got)) {
            (Some(e), Some(g)) if e == g => {}
            _ => differs(out),
        },
    }
}

fn objects(field: &str, expected: &Members<'_>, got: &Members<'_>, depth: usize, out: &mut Vec<Difference>) {
    let names = expected.keys().chain(got.keys().filter(|name| !expected.contains_key(*name)));
    for name in names {
        let path = format!("{field}.{name}");
        member(&path, expected.get(name).map(|v| v.get()), got.get(name).map(|v| v.get()), depth, out);
    }
}

fn member(path: &str, expected: Option<&str>, got: Option<&str>, depth: usize, out: &mut Vec<Difference>) {
    match (expected, got) {
        (Some(e), Some(g)) => values(path, e, g, depth + 1, out),
        (e, g) => out.push(Difference { field: path.to_owned(), expected: e.map(str::to_owned), got: g.map(str::to_owned) }),
    }
}

/// A JSON number: sign, digits without zeros at either end, power of ten of the
/// last digit.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        // The grammar is the library's; what is left is arithmetic.
        serde_json::from_str::<&RawValue>(text).ok()?;
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let zeros = all.len() - all.trim_end_matches('0').len();
        let shift = i64::try_from(zeros).ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        Some(Self { negative, digits: digits.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(expected: &str, got: &str) -> Vec<Difference> {
        let mut out = Vec::new();
        compare("p", expected, got, &mut out);
        out
    }

    #[test]
    fn meaning_and_not_text() {
        for (a, b) in [
            (r#"{"a":1,"b":[1.10,"x"]}"#, r#"{ "b": [11e-1, "\u0078"], "a": 1.0 }"#),
            ("100", "1E2"),
            ("-0", "0.00"),
            ("12345678901234567890.10", "12345678901234567890.1"),
            ("null", " null"),
        ] {
            assert_eq!(differences(a, b), [], "{a} {b}");
        }
    }

    #[test]
    fn exact_numbers() {
        for (a, b) in [("9007199254740993", "9007199254740992"), ("1", "-1"), ("1", "\"1\""), ("0.1", "0.10000000000000001"), ("1", "true")]
        {
            assert_eq!(differences(a, b).len(), 1, "{a} {b}");
        }
    }

    #[test]
    fn places_are_named() {
        let found = differences(r#"{"a":{"b":[1,2]},"c":1}"#, r#"{"a":{"b":[1,3,4]},"d":null}"#);
        let fields: Vec<_> = found.iter().map(|d| d.field.as_str()).collect();
        assert_eq!(fields, ["p.a.b[1]", "p.a.b[2]", "p.c", "p.d"]);
        assert_eq!((found[2].expected.as_deref(), found[2].got.as_deref()), (Some("1"), None));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |inner: &str| format!("{}{inner}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(differences(&nested("1"), &nested("2")).len(), 1);
    }
}
