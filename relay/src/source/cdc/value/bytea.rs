//! `bytea` to base64, from both of Postgres's formats.

use super::Written;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Bytes decoded at once, on the stack. A multiple of three, so that base64
/// pads only after the last of them.
const CHUNK: usize = 3 * 512;

/// Hex begins with `\x`, which the escape format cannot: it doubles a backslash.
pub fn write(out: &mut Vec<u8>, text: &[u8]) -> Written {
    out.push(b'"');
    match text.strip_prefix(b"\\x") {
        Some(digits) => {
            out.reserve(digits.len() / 3 * 2);
            let mut bytes = [0; CHUNK];
            for digits in digits.chunks(2 * CHUNK) {
                let room = bytes.get_mut(..digits.len() / 2).unwrap_or_default();
                hex::decode_to_slice(digits, room).map_err(|_| "not hex")?;
                encode(out, room)?;
            }
        }
        None => encode(out, &unescape(text).ok_or("not in escape format")?)?,
    }
    out.push(b'"');
    Ok(())
}

fn encode(out: &mut Vec<u8>, bytes: &[u8]) -> Written {
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true).ok_or("too large")?;
    out.resize(start + length, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    BASE64.encode_slice(bytes, room).map_err(|_| "too large")?;
    Ok(())
}

/// The format before 9.0: `\\` for a backslash, `\ooo` for what is not printable.
fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return Some(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => return None,
            [plain, rest @ ..] => {
                bytes.push(*plain);
                rest
            }
        };
    }
}
