//! Numbers: checked to be what JSON calls one, then copied digit by digit.

use super::{Written, quote};

/// Integers of any width.
pub fn int(out: &mut Vec<u8>, text: &[u8], as_string: bool) -> Written {
    match after_whole(text) {
        Some(b"") if as_string => quote(out, &[text]),
        Some(b"") => out.extend_from_slice(text),
        _ => return Err("not digits"),
    }
    Ok(())
}

/// `1.5`, `1e-07`; `NaN` and the infinities as strings.
pub fn float(out: &mut Vec<u8>, text: &[u8]) -> Written {
    match after_decimal(text) {
        _ if is_special(text) => quote(out, &[text]),
        Some(rest) if rest.is_empty() || is_exponent(rest) => out.extend_from_slice(text),
        _ => return Err("not a number"),
    }
    Ok(())
}

/// `12.340`, without an exponent, as Postgres always prints it.
pub fn numeric(out: &mut Vec<u8>, text: &[u8], as_digits: bool) -> Written {
    match after_decimal(text) {
        _ if is_special(text) => quote(out, &[text]),
        Some(b"") if as_digits => out.extend_from_slice(text),
        Some(b"") => quote(out, &[text]),
        _ => return Err("not a number"),
    }
    Ok(())
}

fn is_special(text: &[u8]) -> bool {
    matches!(text, b"NaN" | b"Infinity" | b"-Infinity")
}

/// What follows one or more digits.
fn after_digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 { None } else { text.get(count..) }
}

/// What follows a sign and the whole digits, which JSON wants without leading
/// zeros.
fn after_whole(text: &[u8]) -> Option<&[u8]> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0', b'0'..=b'9', ..] => None,
        _ => after_digits(digits),
    }
}

fn after_decimal(text: &[u8]) -> Option<&[u8]> {
    let rest = after_whole(text)?;
    match rest.strip_prefix(b".") {
        Some(fraction) => after_digits(fraction),
        None => Some(rest),
    }
}

fn is_exponent(text: &[u8]) -> bool {
    let [b'e', exponent @ ..] = text else { return false };
    let digits = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
    after_digits(digits) == Some(b"")
}
