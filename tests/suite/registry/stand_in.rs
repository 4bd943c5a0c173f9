//! A schema registry for tests: the part of Confluent's API that riskflow uses, and no other request is answered. A real one (Apicurio)
//! is asked by `deploy/registry/test.sh`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::serving::{Request, Served, answer};

/// What a request is written in.
const MEDIA: &str = "application/vnd.schemaregistry.v1+json";

/// What it has, and how it answers.
#[derive(Default)]
pub struct State {
    /// The schemas of each subject with their identifiers, in the order of their versions.
    pub subjects: BTreeMap<String, Vec<(u64, Value)>>,
    /// The paths that were asked for.
    pub asked: Vec<String>,
    /// What the header `Authorization` has to be.
    pub authorization: Option<String>,
    /// Whether it fails to compare schemas, as Apicurio 3.0 does for those of 2020-12.
    pub cannot_compare: bool,
}

/// A registry on loopback, until it is dropped.
pub struct StandIn {
    state: Arc<Mutex<State>>,
    scheme: &'static str,
    served: Served,
}

impl StandIn {
    pub fn start() -> Self {
        let (state, shared) = shared();
        let served = Served::start(move |stream| answer(stream, |request| shared.lock().unwrap().answer(request)));
        Self {
            state,
            scheme: "http",
            served,
        }
    }

    /// The same by HTTPS, with a certificate that an authority of its own vouches for: `ca.pem` in the folder.
    pub fn start_with_tls(folder: &Path) -> Self {
        let config = Arc::new(certified(folder));
        let (state, shared) = shared();
        let served = Served::start(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(connection, stream);
            answer(&mut stream, |request| shared.lock().unwrap().answer(request))
        });
        Self {
            state,
            scheme: "https",
            served,
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.served.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn shared() -> (Arc<Mutex<State>>, Arc<Mutex<State>>) {
    let state = Arc::<Mutex<State>>::default();
    (Arc::clone(&state), state)
}

fn error(code: u64, message: &str) -> String {
    json!({ "error_code": code, "message": message }).to_string()
}

impl State {
    fn answer(&mut self, request: &Request) -> (u16, &'static str, Vec<u8>) {
        let (status, said) = self.said(request);
        (status, MEDIA, said.into_bytes())
    }

    fn said(&mut self, request: &Request) -> (u16, String) {
        let Request {
            method,
            path,
            headers,
            body,
        } = request;
        self.asked.push(path.clone());
        if headers.get("authorization") != self.authorization.as_ref() {
            return (401, error(401, "Unauthorized"));
        }
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (subject, verb) = match (method.as_str(), parts.as_slice()) {
            ("POST", ["subjects", subject]) => (*subject, "find"),
            ("POST", ["subjects", subject, "versions"]) => (*subject, "register"),
            ("POST", ["compatibility", "subjects", subject, "versions", "latest?verbose=true"]) => {
                (*subject, "compare")
            }
            _ => return (404, "<html>Not Found</html>".to_owned()),
        };
        if headers.get("content-type").is_none_or(|media| media != MEDIA) {
            return (415, error(415, "HTTP 415 Unsupported Media Type"));
        }
        let Some(schema) = schema_of(body) else {
            return (
                422,
                error(42_201, "Either the input schema or one its references is invalid"),
            );
        };
        match verb {
            "find" => self.find(subject, &schema),
            "compare" => self.compare(subject, &schema),
            _ => self.register(subject, schema),
        }
    }

    fn find(&self, subject: &str, schema: &Value) -> (u16, String) {
        let Some(versions) = self.subjects.get(subject) else {
            return (404, error(40_401, &format!("Subject '{subject}' not found.")));
        };
        let Some(index) = versions.iter().position(|(_, known)| known == schema) else {
            return (404, error(40_403, "Schema not found"));
        };
        let found = json!({
            "subject": subject, "version": index + 1, "id": versions[index].0, "schemaType": "JSON", "schema": schema.to_string(),
        });
        (200, found.to_string())
    }

    fn compare(&self, subject: &str, schema: &Value) -> (u16, String) {
        let Some((_, newest)) = self.subjects.get(subject).and_then(|versions| versions.last()) else {
            return (404, error(40_402, "Version not found."));
        };
        if self.cannot_compare {
            return (500, error(0, "#: could not determine version"));
        }
        let messages: Vec<String> = misfit(newest, schema).into_iter().collect();
        let told = json!({ "is_compatible": messages.is_empty(), "messages": messages });
        (200, told.to_string())
    }

    fn register(&mut self, subject: &str, schema: Value) -> (u16, String) {
        let all = self.subjects.values().flatten();
        let same = all.clone().find(|(_, known)| *known == schema).map(|(id, _)| *id);
        let id = same.unwrap_or_else(|| all.map(|(id, _)| *id).max().unwrap_or(0) + 1);
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        if let Some(why) = versions.last().and_then(|(_, newest)| misfit(newest, &schema)) {
            return (409, error(409, &why));
        }
        if !versions.iter().any(|(_, known)| *known == schema) {
            versions.push((id, schema));
        }
        (200, json!({ "id": id }).to_string())
    }
}

/// The schema in a request that has nothing else.
fn schema_of(body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let fields = body.as_object()?;
    if fields.len() != 2 || fields.get("schemaType")? != "JSON" {
        return None;
    }
    let schema: Value = serde_json::from_str(fields.get("schema")?.as_str()?).ok()?;
    let is_known = schema["$schema"] == "http://json-schema.org/draft-07/schema#";
    (is_known && jsonschema::draft7::meta::is_valid(&schema)).then_some(schema)
}

/// Why one schema does not fit another: of both only the type counts here.
fn misfit(newest: &Value, schema: &Value) -> Option<String> {
    let (was, is) = (&newest["type"], &schema["type"]);
    (was != is).then(|| format!("TYPE_CHANGED: it was {was} and would be {is}"))
}

/// HTTPS with a certificate of loopback; `ca.pem` is that of who vouches for it.
fn certified(folder: &Path) -> ServerConfig {
    const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let authority = [
        "req",
        "-x509",
        "-days",
        "1",
        "-subj",
        "/CN=authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ];
    openssl(&[&authority[..], &KEY].concat());
    let asked = [
        "req",
        "-new",
        "-subj",
        "/CN=registry",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ];
    let files = ["-keyout", "server.key", "-out", "server.csr"];
    openssl(&[&asked[..], &files, &KEY].concat());
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "1",
        "-copy_extensions",
        "copy",
        "-out",
        "server.pem",
    ]);
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}
