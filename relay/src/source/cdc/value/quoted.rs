//! The quotes that arrays and ranges put around what would confuse them.

use std::borrow::Cow;

/// Reads `"…"` at the beginning of a text; returns what it quotes and what
/// follows it. A backslash escapes any byte, and a range doubles a quote. An
/// array doubles none, and nothing in one begins where a quote ends, so both
/// are read the same way.
pub fn unquote(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut value = Cow::Borrowed(&b""[..]);
    loop {
        let at = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        let (plain, mark) = rest.split_at_checked(at)?;
        if value.is_empty() {
            value = Cow::Borrowed(plain);
        } else {
            value.to_mut().extend_from_slice(plain);
        }
        rest = match mark {
            [b'\\', escaped, after @ ..] | [b'"', escaped @ b'"', after @ ..] => {
                value.to_mut().push(*escaped);
                after
            }
            [b'"', after @ ..] => return Some((value, after)),
            _ => return None,
        };
    }
}
