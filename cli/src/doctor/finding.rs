//! What the doctor finds.

use clap::ValueEnum;
use serde::Serialize;

/// What is wrong or fine on one interface, or on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) code: Code,
    pub(crate) severity: Severity,
    /// The interface that it is about, if it is about one.
    pub(crate) interface: Option<String>,
    /// What was seen, and what it means.
    pub(crate) message: String,
    /// What mends it, if anything is to be mended.
    pub(crate) advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It keeps servers from being found.
    Problem,
    /// It may keep some from being found, or makes what is found useless.
    Warning,
    /// It is fine, or good to know.
    Note,
}

/// The name of a kind of finding, which stays the same in later versions. docs/doctor.md explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    NoNetwork,
    InterfaceDown,
    NoAddress,
    NoBroadcast,
    OnlyContainerBridges,
    SearchFailed,
    SendRefused,
    AnswersToBroadcastDropped,
    BroadcastNotDelivered,
    TargetUnknown,
    TargetElsewhere,
    PortClosed,
    NoAnswer,
    PrefixMismatch,
    PortTaken,
    OtherWords,
    ClaimsUnreachableAddress,
    AnswersLost,
    SelfTestFailed,
    NotSeen,
    InContainer,
    WslNat,
    PortFree,
    PortServes,
    SelfTestOk,
    ServersFound,
    NoServer,
    TargetAnswers,
}

impl Code {
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no code is hidden");
        value.get_name().to_owned()
    }
}

impl Severity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Finding {
    pub(crate) fn new(severity: Severity, code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            interface: None,
            message: message.into(),
            advice: None,
        }
    }

    pub(crate) fn on(self, interface: &str) -> Self {
        Self {
            interface: Some(interface.to_owned()),
            ..self
        }
    }

    pub(crate) fn with_advice(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }
}
