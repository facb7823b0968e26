//! One value as its source has it, and how it is read.

use core::num::NonZeroU16;
use core::time::Duration;
use std::string::String;
use std::vec::Vec;

use toml::de::DeValue;

use super::error::ValueError;
use crate::settings::BufferSize;
use crate::wire::Word;

/// The longest timeout, a day: a longer one is a slip of the unit.
pub(super) const MAX_TIMEOUT_SECONDS: f64 = 86_400.0;

/// A value that is not read yet.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    /// Of an environment variable. White space around a number or a boolean is read over, as
    /// the Python packages do.
    Text(&'a str),
    /// Of a file.
    Toml(&'a DeValue<'a>),
}

impl Raw<'_> {
    pub(super) fn port(self) -> Result<NonZeroU16, ValueError> {
        NonZeroU16::new(self.integer()?).ok_or(ValueError::OutOfRange)
    }

    pub(super) fn word(self) -> Result<Word, ValueError> {
        match self {
            Self::Text(text) => Ok(Word::new(text)?),
            Self::Toml(value) => Ok(Word::new(string(value)?)?),
        }
    }

    pub(super) fn timeout(self) -> Result<Duration, ValueError> {
        let seconds = self.number()?;
        // Not a number is in no range.
        if !(0.0..=MAX_TIMEOUT_SECONDS).contains(&seconds) {
            return Err(ValueError::OutOfRange);
        }
        match Duration::try_from_secs_f64(seconds) {
            Ok(timeout) if !timeout.is_zero() => Ok(timeout),
            _ => Err(ValueError::OutOfRange),
        }
    }

    pub(super) fn buffer_size(self) -> Result<BufferSize, ValueError> {
        Ok(BufferSize::new(self.integer()?)?)
    }

    pub(super) fn boolean(self) -> Result<bool, ValueError> {
        match self {
            Self::Text(text) => boolean(text.trim_ascii()).ok_or(ValueError::NotABoolean),
            Self::Toml(DeValue::Boolean(value)) => Ok(*value),
            Self::Toml(other) => Err(wrong_type(other)),
        }
    }

    /// Names, trimmed, without those that are empty.
    pub(super) fn names(self) -> Result<Vec<String>, ValueError> {
        match self {
            Self::Text(text) => Ok(text.split(',').filter_map(name).collect()),
            Self::Toml(DeValue::Array(values)) => values
                .iter()
                .map(|value| string(value.get_ref()).map(name))
                .filter_map(Result::transpose)
                .collect(),
            Self::Toml(other) => Err(wrong_type(other)),
        }
    }

    pub(super) fn integer<T: TryFrom<u64>>(self) -> Result<T, ValueError> {
        let number = match self {
            Self::Text(text) => unsigned(text.trim_ascii())?,
            Self::Toml(DeValue::Integer(integer)) => {
                u64::from_str_radix(integer.as_str(), integer.radix())
                    .map_err(|_| ValueError::OutOfRange)?
            }
            Self::Toml(other) => return Err(wrong_type(other)),
        };
        T::try_from(number).map_err(|_| ValueError::OutOfRange)
    }

    fn number(self) -> Result<f64, ValueError> {
        match self {
            Self::Text(text) => decimal(text.trim_ascii()),
            // TOML's own rules have been kept: this reads inf and nan too.
            Self::Toml(DeValue::Float(float)) => {
                float.as_str().parse().map_err(|_| ValueError::NotANumber)
            }
            Self::Toml(DeValue::Integer(_)) => self.integer::<u32>().map(f64::from),
            Self::Toml(other) => Err(wrong_type(other)),
        }
    }
}

fn wrong_type(value: &DeValue<'_>) -> ValueError {
    ValueError::WrongType {
        found: value.type_str(),
    }
}

fn string<'a>(value: &'a DeValue<'_>) -> Result<&'a str, ValueError> {
    value.as_str().ok_or_else(|| wrong_type(value))
}

fn name(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

fn boolean(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "1", "yes", "on"]) {
        Some(true)
    } else if is_one_of(["false", "0", "no", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// Digits alone: the standard library would take a plus sign too.
fn unsigned(text: &str) -> Result<u64, ValueError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::NotANumber);
    }
    text.parse().map_err(|_| ValueError::OutOfRange)
}

/// Digits and a point: the standard library would take signs, exponents, inf and nan too.
fn decimal(text: &str) -> Result<f64, ValueError> {
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return Err(ValueError::NotANumber);
    }
    text.parse().map_err(|_| ValueError::NotANumber)
}
