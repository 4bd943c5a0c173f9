//! How requests and connections of HTTP end, and what becomes of reading the configuration again.

use axum::http::StatusCode;

/// What became of a request to write an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Appended.
    Accepted,
    /// Appended before, and not again.
    Replayed,
    /// No token, or one that is not known.
    Unauthorized,
    /// A path that does not exist.
    NoSuchPath,
    /// A method that the path does not take.
    Method,
    /// No warning or case of that identifier.
    UnknownCase,
    /// A case outside the token's region.
    OtherRegion,
    /// An actor, a role, a unit or an override that is not the token's.
    NotAllowed,
    /// The body is not declared to be JSON.
    ContentType,
    /// The body is too large.
    TooLarge,
    /// The body is no JSON, or does not come.
    Malformed,
    /// Neither body nor header gives an identifier.
    NoId,
    /// The action is not one.
    Invalid,
    /// The identifier was given to another action of the case.
    Conflict,
    /// Too many requests wait.
    Busy,
    /// The job has not worked off its history: it does not know its cases.
    NotReady,
    /// It could not be appended.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Replayed,
        Self::Unauthorized,
        Self::NoSuchPath,
        Self::Method,
        Self::UnknownCase,
        Self::OtherRegion,
        Self::NotAllowed,
        Self::ContentType,
        Self::TooLarge,
        Self::Malformed,
        Self::NoId,
        Self::Invalid,
        Self::Conflict,
        Self::Busy,
        Self::NotReady,
        Self::Failed,
    ];

    /// The name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Replayed => "replayed",
            Self::Unauthorized => "unauthorized",
            Self::NoSuchPath => "no_such_path",
            Self::Method => "method",
            Self::UnknownCase => "unknown_case",
            Self::OtherRegion => "other_region",
            Self::NotAllowed => "not_allowed",
            Self::ContentType => "content_type",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::NoId => "no_id",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::NotReady => "not_ready",
            Self::Failed => "failed",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Accepted => StatusCode::ACCEPTED,
            Self::Replayed => StatusCode::OK,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NoSuchPath | Self::UnknownCase => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::OtherRegion | Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed | Self::NoId => StatusCode::BAD_REQUEST,
            Self::Invalid | Self::Conflict => StatusCode::UNPROCESSABLE_ENTITY,
            // Nothing is wrong with the request: it may come again, under the same identifier.
            Self::Busy | Self::NotReady | Self::Failed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Why a connection was ended by this side; the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No TLS handshake in time.
    Handshake,
    /// No request in time.
    Idle,
    /// An answer of which nothing was read for a while.
    Stalled,
    /// An answer that was not read to its end in time.
    Slow,
    /// Idle, or slow to take its answer, while all places were taken.
    Shed,
}

impl Ended {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Handshake, Self::Idle, Self::Stalled, Self::Slow, Self::Shed];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Slow => "slow",
            Self::Shed => "shed",
        }
    }
}

/// What became of reading the configuration again; the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// What may change while the job runs is in force.
    Applied,
    /// It cannot be used: nothing changed.
    Refused,
}

impl Reload {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Applied, Self::Refused];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

/// What became of a request that was passed on to the process with the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOn {
    /// That process answered, whatever it said.
    Answered,
    /// It is not there, cannot be reached, or did not answer in time.
    Failed,
}

impl PassedOn {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Answered, Self::Failed];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
        }
    }
}
