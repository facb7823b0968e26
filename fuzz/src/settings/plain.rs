//! The simplest of TOML files, read line by line.

use std::collections::HashSet;

/// One line: a key, with `client.` before it in that table, and its value.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) key: String,
    pub(super) value: Value,
}

/// A value of one of the simple types.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Integer(String),
    Float(String),
    Boolean(bool),
    Text(String),
}

/// The lines of `text`, if all of them are simple, no key is there twice and there is at most one
/// table, `client`. Of other files this reader knows nothing.
pub(super) fn lines(text: &str) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    let mut table = "";
    let mut keys = HashSet::new();
    for line in text.split('\n').map(|line| line.trim_matches([' ', '\t'])) {
        if line.is_empty() {
            continue;
        }
        if line == "[client]" && table.is_empty() {
            table = "client.";
            continue;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim_end_matches([' ', '\t']);
        let is_bare = |it: u8| it.is_ascii_lowercase() || it == b'_';
        if key.is_empty() || key == "client" || !key.bytes().all(is_bare) {
            return None;
        }
        let key = format!("{table}{key}");
        let value = value.trim_start_matches([' ', '\t']);
        if !keys.insert(key.clone()) {
            return None;
        }
        lines.push(Line {
            key,
            value: read(value)?,
        });
    }
    Some(lines)
}

fn read(value: &str) -> Option<Value> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match (value, inner) {
        ("true", _) => Some(Value::Boolean(true)),
        ("false", _) => Some(Value::Boolean(false)),
        (_, Some(inner)) => {
            let is_simple = |it: u8| matches!(it, b' '..=b'~') && !b"\"\\".contains(&it);
            let is_simple = inner.bytes().all(is_simple);
            is_simple.then(|| Value::Text(inner.to_owned()))
        }
        _ if is_integer(value) => Some(Value::Integer(value.to_owned())),
        _ => {
            let (whole, fraction) = value.split_once('.')?;
            let is_fraction =
                !fraction.is_empty() && fraction.bytes().all(|it| it.is_ascii_digit());
            (is_integer(whole) && is_fraction).then(|| Value::Float(value.to_owned()))
        }
    }
}

/// Digits of a number that every reader of TOML can hold, written in its one way.
fn is_integer(digits: &str) -> bool {
    (1..=18).contains(&digits.len())
        && digits.bytes().all(|it| it.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}
