//! Bytes from the network, safe to show.

use std::fmt;

/// How many bytes are shown.
const SHOWN: usize = 64;

/// Shows bytes on one line in quotes. What is not printable ASCII is escaped, and bytes after the
/// first [`SHOWN`] are left out. Their sender can neither forge a line of a log nor move a
/// terminal's cursor.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > SHOWN {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_is_shown_as_it_is() {
        let every_byte: Vec<u8> = (0..=255).collect();
        for chunk in every_byte.chunks(SHOWN) {
            let text = Escaped(chunk).to_string();
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
        let forged = b"x\r\n2026 INFO all is well \x1b[2J\"\\";
        assert_eq!(
            Escaped(forged).to_string(),
            r#""x\r\n2026 INFO all is well \x1b[2J\"\\""#
        );
        assert_eq!(Escaped(b"").to_string(), r#""""#);
    }

    #[test]
    fn no_more_than_64_bytes_are_shown() {
        let whole = Escaped(&[b'x'; 64]).to_string();
        assert_eq!(whole, format!("\"{}\"", "x".repeat(64)));
        let cut = Escaped(&vec![0; 65_507]).to_string();
        assert_eq!(cut, format!("\"{}\"... (65507 bytes)", r"\x00".repeat(64)));
    }
}
