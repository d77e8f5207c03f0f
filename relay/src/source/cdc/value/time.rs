//! Dates and times. Postgres's ISO style is checked and made RFC 3339 where
//! that has a form for the value; otherwise it stays as printed.

use super::{Written, quote};

const NOT_ISO: &str = "not in ISO style; is DateStyle ISO?";

/// The length of a date that RFC 3339 can write: four digits of year.
const RFC_DATE: usize = "0000-00-00".len();
/// The length of a zone that RFC 3339 can write: no seconds.
const RFC_ZONE: usize = "+00:00".len();

/// `2024-02-29`.
pub fn date(out: &mut Vec<u8>, text: &[u8]) -> Written {
    let good = is_infinity(text) || split_date(text).is_some_and(|(_, era)| matches!(era, b"" | b" BC"));
    printed(out, text, good)
}

/// `12:00:00.5`.
pub fn time(out: &mut Vec<u8>, text: &[u8]) -> Written {
    let good = split_time(text).is_some_and(|(_, rest)| rest.is_empty());
    printed(out, text, good)
}

/// `12:00:00.5Z`; a zone with seconds stays as printed.
pub fn timetz(out: &mut Vec<u8>, text: &[u8]) -> Written {
    let parts = split_time(text).and_then(|(time, zone)| Some((time, split_zone(zone)?)));
    let Some((time, (zone, b""))) = parts else { return Err(NOT_ISO) };
    quote(out, &[time, rfc_zone(zone), minutes(zone)]);
    Ok(())
}

/// `2024-02-29T12:00:00.5`, with a zone if it is `zoned`.
pub fn timestamp(out: &mut Vec<u8>, text: &[u8], zoned: bool) -> Written {
    if is_infinity(text) {
        return printed(out, text, true);
    }
    let Some((date, time, zone, era)) = split_timestamp(text, zoned) else { return Err(NOT_ISO) };
    if era.is_empty() && date.len() == RFC_DATE && zone.len() <= RFC_ZONE {
        quote(out, &[date, b"T", time, rfc_zone(zone), minutes(zone)]);
        return Ok(());
    }
    printed(out, text, true)
}

fn printed(out: &mut Vec<u8>, text: &[u8], good: bool) -> Written {
    if !good {
        return Err(NOT_ISO);
    }
    quote(out, &[text]);
    Ok(())
}

fn is_infinity(text: &[u8]) -> bool {
    matches!(text, b"infinity" | b"-infinity")
}

/// RFC 3339 writes zero as `Z`.
fn rfc_zone(zone: &[u8]) -> &[u8] {
    match zone {
        b"+00" | b"+00:00" => b"Z",
        _ => zone,
    }
}

/// What Postgres leaves out of a zone of whole hours.
fn minutes(zone: &[u8]) -> &'static [u8] {
    if zone.len() == "+00".len() && zone != b"+00" { b":00" } else { b"" }
}

type Split<'a> = Option<(&'a [u8], &'a [u8])>;

/// What matches a pattern in which `0` is any digit, and the rest.
fn split_shape<'a>(text: &'a [u8], pattern: &[u8]) -> Split<'a> {
    let (head, rest) = text.split_at_checked(pattern.len())?;
    let same = head.iter().zip(pattern).all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape });
    same.then_some((head, rest))
}

/// A date whose year has four digits or more.
fn split_date(text: &[u8]) -> Split<'_> {
    let year = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (_, rest) = split_shape(text.get(year..)?, b"-00-00")?;
    if year < 4 { None } else { text.split_at_checked(text.len() - rest.len()) }
}

/// A time with or without a fraction.
fn split_time(text: &[u8]) -> Split<'_> {
    let (_, rest) = split_shape(text, b"00:00:00")?;
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => match fraction.iter().take_while(|b| b.is_ascii_digit()).count() {
            0 => return None,
            count => fraction.get(count..)?,
        },
        None => rest,
    };
    text.split_at_checked(text.len() - rest.len())
}

/// A zone of hours, minutes too, or seconds too.
fn split_zone(text: &[u8]) -> Split<'_> {
    let [b'+' | b'-', digits @ ..] = text else { return None };
    let (_, mut rest) = split_shape(digits, b"00")?;
    for _ in 0..2 {
        rest = split_shape(rest, b":00").map_or(rest, |(_, after)| after);
    }
    text.split_at_checked(text.len() - rest.len())
}

type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8]);

/// Date, time, zone and what is left, which may be the era.
fn split_timestamp(text: &[u8], zoned: bool) -> Option<Parts<'_>> {
    let (date, rest) = split_date(text)?;
    let (time, rest) = split_time(rest.strip_prefix(b" ")?)?;
    let (zone, era) = if zoned { split_zone(rest)? } else { (&b""[..], rest) };
    matches!(era, b"" | b" BC").then_some((date, time, zone, era))
}
