//! Text from the network, for people.

/// Text in which everything that is not visible is escaped, and a backslash, so that no name can move
/// the cursor, change the direction of writing or look like another line.
pub(crate) fn escaped(text: &str) -> String {
    // Quotes need no escape here.
    let text = text.escape_debug().to_string();
    text.replace(r"\'", "'").replace(r#"\""#, "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_visible_stays_and_nothing_else() {
        for text in [
            "Bob's \"printer\", 2nd floor",
            "Drucker für Zoë",
            "打印机",
            "प्रिंटर",
        ] {
            assert_eq!(escaped(text), text);
        }
        for (text, expected) in [
            ("a\\b", r"a\\b"),
            ("\\'", r"\\'"),
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("\r\n\0", r"\r\n\0"),
            ("\u{202e}fdp", r"\u{202e}fdp"),
            ("a\u{2028}b", r"a\u{2028}b"),
            ("\u{200b}", r"\u{200b}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
