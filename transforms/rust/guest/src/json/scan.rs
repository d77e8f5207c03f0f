//! Helpers below the cursor: where plain text ends, which containers are open.

/// How many bytes from the start need no look inside a JSON string: neither
/// quote nor backslash nor control character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        // The high bit of each byte that is zero, or below 0x20. A borrow can
        // set it wrongly only *above* a byte that is truly marked, and the
        // lowest marked byte is the one that counts.
        let found =
            ((quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash) | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// Which containers are open: a bit each, so that depth costs no allocation up
/// to 64 and no recursion ever.
#[derive(Default)]
pub(super) struct Nesting {
    depth: usize,
    word: u64,
    full: Vec<u64>,
}

impl Nesting {
    pub(super) fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.full.push(self.word);
        }
        self.word = self.word << 1 | u64::from(object);
        self.depth += 1;
    }

    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.word >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.word = self.full.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost is an object; `None` when none is open.
    pub(super) fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.word & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_the_first_special_byte() {
        for lead in 0..20 {
            for special in [b'"', b'\\', 0, b'\n', 0x1f] {
                for filler in [b'a', b' ', b'#', b'!', b']', b'[', 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![filler; lead];
                    bytes.extend([special, b'"', 0, b'a', b'a', b'a', b'a', b'a', b'a']);
                    assert_eq!(plain(&bytes), lead, "{bytes:?}");
                    assert_eq!(plain(&bytes[..lead]), lead, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn nesting_remembers_any_depth() {
        let mut nesting = Nesting::default();
        let kind = |depth: usize| depth.is_multiple_of(3) || depth.is_multiple_of(7);
        for depth in 0..300 {
            nesting.push(kind(depth));
        }
        for depth in (0..300).rev() {
            assert_eq!(nesting.top(), Some(kind(depth)), "{depth}");
            nesting.pop();
        }
        assert_eq!(nesting.top(), None);
    }
}
