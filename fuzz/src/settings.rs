//! A settings file and environment variables, for a server and for a client: what is loaded keeps
//! to the documented bounds and comes from the source that wins.
//!
//! The input: the text of the file, then variables as `NAME=value`, a zero byte before each.

use std::ffi::OsString;

use udp_discovery_protocol::{ClientSettings, LoadError, Settings, Sources};

use crate::wire;
use model::{Model, SHARED};

mod model;
mod plain;

/// Holds the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut parts = data.split(|&byte| byte == 0);
    let file = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let variables: Vec<_> = parts.filter_map(variable).collect();
    for reader in [Reader::Server, Reader::Client] {
        check_for(reader, &file, &variables);
    }
}

/// A name, and a value that need not be text.
type Variable = (String, Vec<u8>);

fn variable(part: &[u8]) -> Option<Variable> {
    let equals = part.iter().position(|&byte| byte == b'=')?;
    let name = String::from_utf8_lossy(&part[..equals]).into_owned();
    Some((name, part[equals + 1..].to_vec()))
}

/// Whose settings are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Server,
    Client,
}

impl Reader {
    fn load(self, file: Option<&str>, variables: &[Variable]) -> Result<ClientSettings, LoadError> {
        let environment = variables
            .iter()
            .map(|(name, value)| (name.into(), os_string(value)));
        let mut sources = Sources::new().with_environment(environment);
        if let Some(text) = file {
            sources = sources.with_file("discovery.toml", text);
        }
        let loaded = match self {
            Self::Server => Settings::load_from(&sources)
                .map(|settings| ClientSettings::default().with_settings(settings)),
            Self::Client => ClientSettings::load_from(&sources),
        };
        match &loaded {
            Ok(settings) => check_bounds(settings),
            Err(error) => check_error(error),
        }
        loaded
    }
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    OsString::from_vec(bytes.to_vec())
}

/// Elsewhere a variable is text, which a corpus file with other bytes in it loses.
#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn check_for(reader: Reader, file: &str, variables: &[Variable]) {
    let of_file = reader.load(Some(file), &[]);
    let of_environment = reader.load(None, variables);
    let of_both = reader.load(Some(file), variables);

    let expected = Model::default().with_environment(reader, variables);
    assert_loaded(&of_environment, expected.and_then(Model::finished));
    if let Some(lines) = plain::lines(file) {
        let from_file = Model::default().with_file(reader, &lines);
        assert_loaded(&of_file, from_file.clone().and_then(Model::finished));
        let from_both = from_file.and_then(|model| model.with_environment(reader, variables));
        assert_loaded(&of_both, from_both.and_then(Model::finished));
    }
    check_merged(reader, variables, [of_file, of_environment, of_both]);
}

fn assert_loaded(loaded: &Result<ClientSettings, LoadError>, expected: Option<Model>) {
    match (loaded, expected) {
        (Ok(settings), Some(expected)) => assert_eq!(Model::of(settings), expected),
        (Err(_), None) => (),
        (loaded, expected) => panic!("{loaded:?} for {expected:?}"),
    }
}

/// Whatever the file says: what the environment sets is the environment's, the rest is the file's,
/// and a wrong value is an error though another source overrules it.
fn check_merged(
    reader: Reader,
    variables: &[Variable],
    [of_file, of_environment, of_both]: [Result<ClientSettings, LoadError>; 3],
) {
    let is_wrong = |loaded: &Result<_, _>| matches!(loaded, Err(error) if !matches!(error, LoadError::WordsConflict { .. }));
    assert_eq!(
        is_wrong(&of_both),
        is_wrong(&of_file) || is_wrong(&of_environment)
    );
    if let (Ok(file), Ok(environment), Ok(both)) = (&of_file, &of_environment, &of_both) {
        let is_set = |names: &[&str]| {
            variables.iter().any(|(name, value)| {
                let read = reader == Reader::Client || SHARED.contains(&name.as_str());
                read && !value.is_empty() && names.contains(&name.as_str())
            })
        };
        let merged = Model::of(file).overruled_by(&Model::of(environment), is_set);
        assert_eq!(Model::of(both), merged);
    }
}

/// The bounds that the documentation gives.
fn check_bounds(settings: &ClientSettings) {
    let shared = settings.settings();
    let codec = shared.codec();
    let (message, prefix) = (codec.message().as_str(), codec.prefix().as_str());
    assert!(wire::is_word(message) && wire::is_word(prefix));
    assert!(wire::go_together(message, prefix));
    assert!((257..=65_535).contains(&shared.buffer_size().get()));
    let seconds = shared.timeout().as_secs_f64();
    assert!(seconds > 0.0 && seconds <= 86_400.0);
    let mut names = settings
        .interfaces_whitelist()
        .iter()
        .chain(settings.interfaces_blacklist());
    assert!(names.all(|name| !name.is_empty() && name.trim() == name));
}

/// An error is one line of bounded length, whatever it is about.
fn check_error(error: &LoadError) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 2000, "{text:?}");
}
