use std::fmt;
use std::str::FromStr;

use super::{Cursor, Invalid, Kind};

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into the member of that name.
    Name(String),
    /// Into every element of an array.
    Each,
}

/// Where a value stands: `customer.email`, `items[].note`, `[].id`.
///
/// Names are parted by `.`; `[]` is every element of an array, and an array is
/// never entered without it. A backslash takes the next character as it is:
/// `a\.b` is one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    EmptyName,
    Bracket,
    Escape,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyName => "a path has no empty name: write it like `customer.email`",
            Self::Bracket => "`[` must be followed by `]`, and that by `.`, `[]` or the end",
            Self::Escape => "`\\` must be followed by a character",
        })
    }
}

impl std::error::Error for PathError {}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let mut chars = text.chars().peekable();
        // Whether a name may, or must, come next.
        let mut name_allowed = true;
        let mut name_required = true;
        while let Some(next) = chars.next() {
            match next {
                '[' => {
                    let wanted_name = name_required && !steps.is_empty();
                    if chars.next() != Some(']') || wanted_name {
                        return Err(PathError::Bracket);
                    }
                    steps.push(Step::Each);
                    (name_allowed, name_required) = (false, false);
                }
                '.' if name_required => return Err(PathError::EmptyName),
                '.' => (name_allowed, name_required) = (true, true),
                _ if !name_allowed => return Err(PathError::Bracket),
                first => {
                    let mut name = String::new();
                    let mut at = Some(first);
                    while let Some(char) = at {
                        name.push(match char {
                            '\\' => chars.next().ok_or(PathError::Escape)?,
                            plain => plain,
                        });
                        at = chars.next_if(|char| !matches!(char, '.' | '['));
                    }
                    steps.push(Step::Name(name));
                    (name_allowed, name_required) = (false, false);
                }
            }
        }
        if name_required { Err(PathError::EmptyName) } else { Ok(Self(steps)) }
    }
}

impl<'de> serde::Deserialize<'de> for Path {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("`{text}`: {error}")))
    }
}

impl Path {
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether it can mean more than one value.
    pub fn is_plural(&self) -> bool {
        self.0.contains(&Step::Each)
    }

    /// The last name in it, if it ends in one.
    pub fn last_name(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// The JSON text of the value, the last one of a plural path. The whole
    /// text is checked, found or not.
    pub fn find<'a>(&self, text: &'a str) -> Result<Option<&'a str>, Invalid> {
        let mut found = None;
        self.visit(text, &mut |value| found = Some(value))?;
        Ok(found)
    }

    /// Gives the JSON text of each value the path means, in order. Of a
    /// repeated key the last value counts, as JSON readers have it.
    pub fn visit<'a>(&self, text: &'a str, each: &mut impl FnMut(&'a str)) -> Result<(), Invalid> {
        walk(&self.0, text, each)
    }
}

fn walk<'a>(steps: &[Step], text: &'a str, each: &mut impl FnMut(&'a str)) -> Result<(), Invalid> {
    let Some((step, rest)) = steps.split_first() else {
        each(text);
        return Ok(());
    };
    let mut cursor = Cursor::new(text);
    match (step, cursor.kind()) {
        (Step::Name(name), Kind::Object) => {
            let mut last = None;
            cursor.object(|cursor, key| {
                let value = cursor.value()?;
                if key.name == *name {
                    last = Some(cursor.text(value));
                }
                Ok::<_, Invalid>(())
            })?;
            cursor.end()?;
            last.map_or(Ok(()), |value| walk(rest, value, each))
        }
        (Step::Each, Kind::Array) => {
            cursor.array(|cursor| {
                let value = cursor.value()?;
                walk(rest, cursor.text(value), each)
            })?;
            cursor.end()
        }
        _ => {
            cursor.value()?;
            cursor.end()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[test]
    fn parses() {
        let name = |name: &str| Step::Name(name.to_owned());
        assert_eq!(path("a.b").0, [name("a"), name("b")]);
        assert_eq!(path("a[].b").0, [name("a"), Step::Each, name("b")]);
        assert_eq!(path("[][].b").0, [Step::Each, Step::Each, name("b")]);
        assert_eq!(path(r"a\.b\[").0, [name("a.b[")]);
        assert_eq!(path("a[]").last_name(), None);
        for wrong in ["", ".", "a.", ".a", "a..b", "a[", "a[0]", "a[]b", "a.[]", "a\\", "[]."] {
            assert!(Path::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn finds_the_text_of_values() {
        let text = r#" {"a":{"b": 1.10},"l":[{"b":1},{"b":2},3], "a.b": "dot"} "#;
        assert_eq!(path("a.b").find(text), Ok(Some("1.10")));
        assert_eq!(path(r"a\.b").find(text), Ok(Some("\"dot\"")));
        assert_eq!(path("l.b").find(text), Ok(None));
        assert_eq!(path("a.b.c").find(text), Ok(None));
        let mut all = Vec::new();
        path("l[].b").visit(text, &mut |value| all.push(value)).unwrap();
        assert_eq!(all, ["1", "2"]);
    }

    #[test]
    fn of_a_repeated_key_the_last_counts() {
        let text = r#"{"a":{"b":1},"a":{"c":2}}"#;
        assert_eq!(path("a.b").find(text), Ok(None));
        assert_eq!(path("a.c").find(text), Ok(Some("2")));
    }

    #[test]
    fn checks_what_it_does_not_look_at() {
        assert!(path("a").find(r#"{"a":1,"b":}"#).is_err());
        assert!(path("a").find(r#"{"a":1} x"#).is_err());
        assert!(path("a").find("").is_err());
    }
}
