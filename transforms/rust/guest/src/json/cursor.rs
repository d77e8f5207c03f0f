use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::scan::{Nesting, plain};
use crate::Failure;

/// Text that is not JSON (RFC 8259), and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub at: usize,
    pub expected: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for Invalid {}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::poison(super::INVALID, format!("payload: {invalid}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    /// String, number, `true`, `false` or `null`.
    Scalar,
}

/// The key of an object's member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// With escapes decoded, so that `"em\u0061il"` is `email`. A key that has
    /// no UTF-8 form (a lone surrogate) is left as written.
    pub name: Cow<'a, str>,
    /// Where it stands, quotes included.
    pub span: Range<usize>,
}

/// Reads JSON text from its start to its end, once, and checks all of it.
///
/// Depth is not limited and costs no recursion: values nobody looks into are
/// skipped in a loop. Spans are byte offsets into the text.
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The offset just behind what was read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The text of a span.
    pub fn text(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    /// What the next value is, judged by its first byte; it is not consumed.
    pub fn kind(&mut self) -> Kind {
        self.blank();
        match self.peek() {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            _ => Kind::Scalar,
        }
    }

    /// Reads past one value of any kind.
    pub fn value(&mut self) -> Result<Range<usize>, Invalid> {
        self.blank();
        let start = self.at;
        let mut open = Nesting::default();
        loop {
            match self.peek() {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    self.at += 1;
                    self.blank();
                    if !self.took(b'}') {
                        self.member()?;
                        open.push(true);
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.blank();
                    if !self.took(b']') {
                        open.push(false);
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => return Err(self.expected("a value")),
            }
            loop {
                let Some(object) = open.top() else {
                    return Ok(start..self.at);
                };
                self.blank();
                match (self.peek(), object) {
                    (b',', true) => {
                        self.at += 1;
                        self.blank();
                        self.member()?;
                        break;
                    }
                    (b',', false) => {
                        self.at += 1;
                        self.blank();
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        open.pop();
                    }
                    (_, true) => return Err(self.expected("`,` or `}`")),
                    (_, false) => return Err(self.expected("`,` or `]`")),
                }
            }
        }
    }

    /// Reads an object; `each` must read exactly the member's value.
    pub fn object<E: From<Invalid>>(&mut self, mut each: impl FnMut(&mut Self, Key<'a>) -> Result<(), E>) -> Result<(), E> {
        self.blank();
        self.take(b'{', "`{`")?;
        self.blank();
        if self.took(b'}') {
            return Ok(());
        }
        loop {
            let start = self.at;
            let escaped = self.string()?;
            let span = start..self.at;
            self.blank();
            self.take(b':', "`:`")?;
            let inner = self.text(span.start + 1..span.end - 1);
            let name = if escaped { super::decode(self.text(span.clone())).unwrap_or(Cow::Borrowed(inner)) } else { Cow::Borrowed(inner) };
            each(self, Key { name, span })?;
            self.blank();
            if self.took(b'}') {
                return Ok(());
            }
            self.take(b',', "`,` or `}`")?;
            self.blank();
        }
    }

    /// Reads an array; `each` must read exactly one element.
    pub fn array<E: From<Invalid>>(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.blank();
        self.take(b'[', "`[`")?;
        self.blank();
        if self.took(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            self.blank();
            if self.took(b']') {
                return Ok(());
            }
            self.take(b',', "`,` or `]`")?;
        }
    }

    /// Checks that nothing but white space is left.
    pub fn end(&mut self) -> Result<(), Invalid> {
        self.blank();
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// The next byte; NUL, which JSON allows nowhere, at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn expected(&self, expected: &'static str) -> Invalid {
        Invalid { at: self.at, expected }
    }

    fn took(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, byte: u8, name: &'static str) -> Result<(), Invalid> {
        if self.took(byte) { Ok(()) } else { Err(self.expected(name)) }
    }

    fn blank(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn member(&mut self) -> Result<(), Invalid> {
        self.string()?;
        self.blank();
        self.take(b':', "`:`")?;
        self.blank();
        Ok(())
    }

    fn literal(&mut self, name: &'static str) -> Result<(), Invalid> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(name.as_bytes()) {
            self.at += name.len();
            Ok(())
        } else {
            Err(self.expected(name))
        }
    }

    /// Reads past a string; whether it has escapes.
    fn string(&mut self) -> Result<bool, Invalid> {
        self.take(b'"', "a string")?;
        let mut escaped = false;
        loop {
            self.at += plain(self.text.as_bytes().get(self.at..).unwrap_or_default());
            if self.took(b'"') {
                return Ok(escaped);
            }
            self.take(b'\\', "the end of a string, or an escaped control character")?;
            escaped = true;
            match self.peek() {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                b'u' => {
                    self.at += 1;
                    for _ in 0..4 {
                        if !self.peek().is_ascii_hexdigit() {
                            return Err(self.expected("a hex digit"));
                        }
                        self.at += 1;
                    }
                }
                _ => return Err(self.expected("an escape")),
            }
        }
    }

    fn number(&mut self) -> Result<(), Invalid> {
        self.took(b'-');
        if !self.took(b'0') {
            self.digits()?;
        }
        if self.took(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        if !self.peek().is_ascii_digit() {
            return Err(self.expected("a digit"));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    fn accepted(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.value().and_then(|_| cursor.end()).is_ok()
    }

    /// The same text through `object` and `array` instead of `value`.
    fn walked(cursor: &mut Cursor<'_>) -> Result<(), Invalid> {
        match cursor.kind() {
            Kind::Object => cursor.object(|cursor, _| walked(cursor)),
            Kind::Array => cursor.array(walked),
            Kind::Scalar => cursor.value().map(drop),
        }
    }

    #[test]
    fn accepts_exactly_what_serde_json_does() {
        let seeds = [
            r#" { "a" : [ 1 , -2.50e+10 , true , false , null , "x\u00e9\n" ] , "b" : { } } "#,
            r#"[{"k":"v\"\\\/","n":0.10,"deep":[[[[{}]]]]},"ünï",12345678901234567890.123]"#,
        ];
        let alphabet: Vec<char> = "{}[]\":,\\/ue+-.0129 \n\ttrfalsn\u{1}\u{0}é".chars().collect();
        // A fixed multiplier walks the same texts on every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut both = [0; 2];
        for round in 0..50_000 {
            let mut chars: Vec<char> = seeds[round % 2].chars().collect();
            for _ in 0..1 + random(3) {
                let at = random(chars.len());
                match random(3) {
                    0 => drop(chars.remove(at)),
                    1 => chars.insert(at, alphabet[random(alphabet.len())]),
                    _ => chars[at] = alphabet[random(alphabet.len())],
                }
            }
            let text: String = chars.into_iter().collect();
            let expected = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            assert_eq!(accepted(&text), expected, "{text}");
            let mut cursor = Cursor::new(&text);
            let walked = walked(&mut cursor).and_then(|()| cursor.end());
            assert_eq!(walked.is_ok(), expected, "{text}");
            both[usize::from(expected)] += 1;
        }
        assert!(both[0] > 1000 && both[1] > 1000, "{both:?}");
    }

    #[test]
    fn depth_is_no_limit() {
        let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(accepted(&text));
        assert!(!accepted(&text[1..]));
        assert!(!accepted(&text[..text.len() - 1]));
    }

    #[test]
    fn escaped_keys_are_decoded() {
        let mut names = Vec::new();
        let read = Cursor::new(r#"{"em\u0061il":1,"\ud800":2}"#).object(|cursor, key| {
            names.push(key.name.into_owned());
            cursor.value().map(drop)
        });
        assert_eq!(read, Ok(()));
        assert_eq!(names, ["email", r"\ud800"]);
    }
}
