//! Schemas of topics at a registry with the REST API of Confluent's, which Apicurio (`/apis/ccompat/v7`) and Karapace have as well.
//!
//! # The contract
//!
//! * **Nothing is taken away.** Schemas are added as further versions of their subjects. Nothing is deleted, and no level of compatibility
//!   is set: that is the registry's owner's.
//! * **The same again changes nothing.** What a subject has in any version is left as it is.
//! * **The registry judges.** Before a schema is added it is asked whether it fits what is there, by the level that it has for the subject.
//! * **Plain JSON.** Payloads have no identifier of a schema before them: whoever consumes them needs no registry.
//!
//! Subjects are named as Confluent's `TopicNameStrategy` does: `TOPIC-value`, `TOPIC-key`, with the prefix of topics. The API is that of
//! [Confluent's reference](https://docs.confluent.io/platform/current/schema-registry/develop/api.html).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, StatusCode};
use riskflow_config::{Input, Output, RegistryCredentials, RegistrySettings, Settings, TopicSettings};
use riskflow_model::schema::draft_07::{DRAFT_07, draft_07};
use riskflow_model::schema::of_topic;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

/// How long a connection, and an answer, may take.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

/// An answer has at most so many bytes: the largest schema of a topic has some 20,000.
const LARGEST: u64 = 1 << 20;

/// So much is told of what a registry says, in characters.
const TOLD: usize = 2_000;

/// What requests are written in, and answers may be.
const MEDIA: &str = "application/vnd.schemaregistry.v1+json";
const ACCEPTED: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// Codes of errors: there is no such subject, no such version, no such schema in it.
const NO_SUBJECT: u64 = 40_401;
const NO_VERSION: u64 = 40_402;
const NO_SCHEMA: u64 = 40_403;

/// A schema, and where it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The name of the subject.
    pub name: String,
    /// Whose schema it is.
    pub topic: Topic,
    /// The schema, JSON Schema of Draft 7: no later one is known to all registries.
    pub schema: String,
}

/// The subjects of all topics that a job has on Kafka, in the order of the topics.
#[must_use]
pub fn subjects(settings: &Settings) -> Vec<Subject> {
    let keys = settings.schema_registry.as_ref().is_some_and(|registry| registry.keys);
    let mut subjects = Vec::new();
    let mut add = |names: &TopicSettings, topic: Topic| {
        let name = names.name(topic);
        subjects.push(Subject {
            name: format!("{name}-value"),
            topic,
            schema: draft_07(of_topic(topic)).to_value().to_string(),
        });
        if keys {
            subjects.push(Subject {
                name: format!("{name}-key"),
                topic,
                schema: of_key(topic).to_string(),
            });
        }
    };
    if matches!(settings.input, Input::Kafka(_)) {
        settings
            .capabilities
            .inputs()
            .for_each(|topic| add(&settings.topics, topic));
    }
    if matches!(settings.output, Output::Kafka(_)) {
        let outputs = settings.capabilities.outputs();
        outputs.for_each(|topic| add(&settings.output_topics, topic));
    }
    subjects
}

fn of_key(topic: Topic) -> Value {
    json!({
        "$schema": DRAFT_07,
        "title": format!("Key of {topic}"),
        "description": format!("`{}` of the record, in UTF-8 and without the quotes of JSON.", topic.key()),
        "type": "string",
    })
}

/// How a schema stands at the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// It was there before.
    Unchanged(Place),
    /// It is there now.
    Registered(Place),
    /// It is not there.
    Missing,
    /// It does not fit what is there, by the level that the subject has; what the registry says.
    Incompatible(String),
    /// The registry does not take it, or cannot say whether it fits; what it says.
    Refused(String),
}

/// Where a schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which version of its subject it is, from 1 up.
    pub version: u64,
    /// Its identifier in the whole registry.
    pub id: u64,
}

/// Why a registry cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The certificates that HTTPS rests on.
    #[error("`kafka.schema_registry.ca_certificate` is `{}`, of which no certificates can be read", file.display())]
    Certificates {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no client.
    #[error("no client for the schema registry can be made")]
    Client(#[source] reqwest::Error),
    /// Nobody answers, or not in time.
    #[error("the schema registry at {url} does not answer")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What is wrong.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It does not let one in.
    #[error("the schema registry at {url} refuses `kafka.schema_registry.user` and `password`, or `token`: {said}")]
    Forbidden {
        /// Where it is.
        url: String,
        /// What it says.
        said: String,
    },
    /// Something else answers.
    #[error(
        "what answers at {url} is no schema registry with Confluent's API: {said}; give where that begins, such as `http://registry:8081`, \
         or `http://apicurio:8080/apis/ccompat/v7`"
    )]
    Other {
        /// Where it is.
        url: String,
        /// What it says.
        said: String,
    },
}

/// A registry.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    settings: RegistrySettings,
}

/// Whether a subject has a schema.
enum Found {
    Here(Place),
    /// The subject has others.
    Others,
    /// There is no such subject.
    Nothing,
    /// The registry does not say; what it says instead.
    Unknown(String),
}

impl Registry {
    /// A registry. It is not asked yet.
    ///
    /// # Errors
    ///
    /// When no certificates can be read from the file, or the system has none for HTTPS.
    pub fn new(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        let client = Client::builder()
            .user_agent(concat!("riskflow/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            // A request that was sent to somewhere else would come without its body.
            .redirect(Policy::none());
        let client = match &settings.ca_certificate {
            Some(file) => client.tls_certs_only(certificates(file)?),
            // Those of the system are read only for HTTPS: a machine may have none.
            None if settings.url.starts_with("http://") => client.tls_certs_only(std::iter::empty::<Certificate>()),
            None => client,
        };
        Ok(Self {
            client: client.build().map_err(RegistryError::Client)?,
            settings: settings.clone(),
        })
    }

    /// How a schema stands; changes nothing.
    ///
    /// # Errors
    ///
    /// When the registry cannot be asked.
    pub fn look(&self, subject: &Subject) -> Result<SchemaState, RegistryError> {
        Ok(match self.find(subject)? {
            Found::Here(place) => SchemaState::Unchanged(place),
            Found::Others | Found::Nothing => SchemaState::Missing,
            Found::Unknown(said) => SchemaState::Refused(said),
        })
    }

    /// Registers a schema, unless it is there or does not fit.
    ///
    /// # Errors
    ///
    /// When the registry cannot be asked; what it refuses is no error.
    pub fn register(&self, subject: &Subject) -> Result<SchemaState, RegistryError> {
        match self.find(subject)? {
            Found::Here(place) => return Ok(SchemaState::Unchanged(place)),
            Found::Unknown(said) => return Ok(SchemaState::Refused(said)),
            Found::Nothing => {}
            Found::Others => {
                if let Some(state) = self.unfit(subject)? {
                    return Ok(state);
                }
            }
        }
        let answer = self.ask(&format!("/subjects/{}/versions", subject.name), &body(subject))?;
        if answer.status == StatusCode::CONFLICT {
            return Ok(SchemaState::Incompatible(answer.said()));
        }
        if !answer.status.is_success() {
            return Ok(SchemaState::Refused(answer.said()));
        }
        Ok(match self.find(subject)? {
            Found::Here(place) => SchemaState::Registered(place),
            Found::Others | Found::Nothing => {
                SchemaState::Refused("it answers that the schema is registered, and does not have it".to_owned())
            }
            Found::Unknown(said) => SchemaState::Refused(said),
        })
    }

    /// Whether a subject has the schema, in any version.
    fn find(&self, subject: &Subject) -> Result<Found, RegistryError> {
        let answer = self.ask(&format!("/subjects/{}", subject.name), &body(subject))?;
        if answer.status.is_success() {
            let number = |field: &str| answer.body[field].as_u64();
            return match number("version").zip(number("id")) {
                Some((version, id)) => Ok(Found::Here(Place { version, id })),
                None => Err(self.other(&answer)),
            };
        }
        Ok(match answer.code() {
            Some(NO_SUBJECT) => Found::Nothing,
            Some(NO_VERSION | NO_SCHEMA) => Found::Others,
            _ => Found::Unknown(answer.said()),
        })
    }

    /// How a schema stands that must not be added to others; `None`: it may. The newest is asked about: where the level of the subject wants
    /// more, the registry asks for that itself when the schema is to be added.
    fn unfit(&self, subject: &Subject) -> Result<Option<SchemaState>, RegistryError> {
        let path = format!("/compatibility/subjects/{}/versions/latest?verbose=true", subject.name);
        let answer = self.ask(&path, &body(subject))?;
        if matches!(answer.code(), Some(NO_SUBJECT | NO_VERSION)) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            let said = format!("it cannot say whether the schema fits what is there: {}", answer.said());
            return Ok(Some(SchemaState::Refused(said)));
        }
        match answer.body["is_compatible"].as_bool() {
            Some(true) => Ok(None),
            Some(false) => Ok(Some(SchemaState::Incompatible(answer.reasons()))),
            None => Err(self.other(&answer)),
        }
    }

    fn ask(&self, path: &str, body: &Value) -> Result<Answer, RegistryError> {
        let request = self.client.post(format!("{}{path}", self.settings.url));
        let request = request.header(CONTENT_TYPE, MEDIA).header(ACCEPT, ACCEPTED);
        let request = match &self.settings.credentials {
            RegistryCredentials::None => request,
            RegistryCredentials::Basic { user, password } => request.basic_auth(user, Some(password.reveal())),
            RegistryCredentials::Bearer(token) => request.bearer_auth(token.reveal()),
        };
        let sent = request.body(body.to_string()).send();
        let response = sent.map_err(|error| self.unreachable(error.without_url()))?;
        let answer = Answer::read(response).map_err(|error| self.unreachable(error))?;
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Forbidden {
                url: self.settings.url.clone(),
                said: answer.said(),
            }),
            // A registry says which kind of nothing there is.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if answer.code().is_none() => {
                Err(self.other(&answer))
            }
            status if status.is_redirection() => Err(self.other(&answer)),
            _ => Ok(answer),
        }
    }

    fn unreachable(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RegistryError {
        RegistryError::Unreachable {
            url: self.settings.url.clone(),
            error: error.into(),
        }
    }

    fn other(&self, answer: &Answer) -> RegistryError {
        RegistryError::Other {
            url: self.settings.url.clone(),
            said: answer.said(),
        }
    }
}

fn body(subject: &Subject) -> Value {
    json!({ "schemaType": "JSON", "schema": subject.schema })
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| RegistryError::Certificates {
        file: file.to_owned(),
        error,
    };
    let pem = std::fs::read(file).map_err(|error| wrong(error.into()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.into()))?;
    if found.is_empty() {
        return Err(wrong("there is none in it".into()));
    }
    Ok(found)
}

/// What a registry answers.
struct Answer {
    status: StatusCode,
    /// Null where it is no JSON.
    body: Value,
    /// Where that begins.
    text: String,
}

impl Answer {
    fn read(response: Response) -> std::io::Result<Self> {
        let status = response.status();
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|place| Some(format!("it points to {}", place.to_str().ok()?)));
        let mut bytes = Vec::new();
        response.take(LARGEST).read_to_end(&mut bytes)?;
        let text = location.unwrap_or_else(|| String::from_utf8_lossy(&bytes).trim().to_owned());
        Ok(Self {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            text,
        })
    }

    /// The code of an error.
    fn code(&self) -> Option<u64> {
        self.body["error_code"].as_u64()
    }

    /// What it says is wrong: its message, or how it begins.
    fn said(&self) -> String {
        let said = self.body["message"].as_str().unwrap_or(&self.text);
        let told = beginning(said);
        if told.is_empty() {
            format!("HTTP {}", self.status)
        } else {
            format!("HTTP {}: {told}", self.status.as_u16())
        }
    }

    /// Why a schema does not fit.
    fn reasons(&self) -> String {
        let reasons = self.body["messages"].as_array().into_iter().flatten();
        let reasons: Vec<&str> = reasons.filter_map(Value::as_str).collect();
        if reasons.is_empty() {
            return "it does not say why".to_owned();
        }
        beginning(&reasons.join("; "))
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(TOLD).collect()
}
