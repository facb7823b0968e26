//! Which servers are wanted, by their names and properties.

use udp_discovery_protocol::DetailsAnswer;
use wildmatch::WildMatch;

use crate::config::Config;

/// The name and the properties that a server must have.
#[derive(Debug)]
pub(crate) struct Wanted {
    name: Option<WildMatch>,
    properties: Vec<(String, String)>,
}

impl Wanted {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            name: config.wanted_name().map(WildMatch::new),
            properties: config.wanted_properties().to_vec(),
        }
    }

    /// Whether a server without details is wanted.
    pub(crate) fn is_anybody(&self) -> bool {
        self.name.is_none() && self.properties.is_empty()
    }

    /// Whether the server of an answer is wanted.
    pub(crate) fn contains(&self, answer: &DetailsAnswer<'_>) -> bool {
        self.contains_server(answer.name, &answer.properties)
    }

    /// Whether a server with this name and these properties is wanted. Of properties with the same key,
    /// the first counts.
    pub(crate) fn contains_server<'a>(
        &self,
        name: Option<&str>,
        properties: &(impl Iterator<Item = (&'a str, &'a str)> + Clone),
    ) -> bool {
        let has_name = |pattern: &WildMatch| name.is_some_and(|name| pattern.matches(name));
        let has_property = |(key, value): &(String, String)| {
            let mut properties = properties.clone();
            let first = properties.find(|(other, _)| other.eq_ignore_ascii_case(key));
            first.is_some_and(|(_, other)| other == value)
        };
        self.name.as_ref().is_none_or(has_name) && self.properties.iter().all(has_property)
    }
}
