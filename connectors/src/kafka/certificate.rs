//! What is wrong with the certificate of a broker: librdkafka tells only that it could not be verified. So it is looked at once more,
//! by another library, and nothing but the handshake is sent.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use riskflow_config::KafkaSettings;
use riskflow_model::Millis;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};

/// How long connecting, and each answer, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where Debian, and the images made from it, have the authorities that OpenSSL takes where the settings name none.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What is wrong with it, and what to give; `None` where that cannot be told. `words`: what librdkafka said, which names the broker.
pub(super) fn look(kafka: &KafkaSettings, words: &str) -> Option<(String, String)> {
    let (host, address) = broker(words)?;
    let connect = |address| TcpStream::connect_timeout(&address, PATIENCE).ok();
    let mut stream = address.to_socket_addrs().ok()?.find_map(connect)?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // Named, not looked up: with two providers in a build the look-up panics.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(authorities(kafka)?)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    // Until the handshake is over, or failed.
    let error = connection.complete_io(&mut stream).err()?;
    let Some(Error::InvalidCertificate(error)) = error.get_ref()?.downcast_ref::<Error>() else {
        return None;
    };
    let (found, give) = told(error, host, kafka);
    Some((format!("the certificate of {address} {found}"), give))
}

/// Host, and host with port, in `ssl://host:port/bootstrap: …`.
fn broker(words: &str) -> Option<(&str, &str)> {
    let (_, rest) = words.split_once("://")?;
    let (address, _) = rest.split_once('/')?;
    let (host, _) = address.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), address))
}

/// The authorities that the settings trust. `None`: they stand where only OpenSSL finds them.
fn authorities(kafka: &KafkaSettings) -> Option<RootCertStore> {
    let property = |name: &str| kafka.properties.get(name).map(|value| value.reveal());
    let mut store = RootCertStore::empty();
    if let Some(text) = property("ssl.ca.pem") {
        let certificates = CertificateDer::pem_slice_iter(text.as_bytes());
        store.add_parsable_certificates(certificates.filter_map(Result::ok));
    } else {
        let file = Path::new(property("ssl.ca.location").unwrap_or(AUTHORITIES));
        let certificates = CertificateDer::pem_file_iter(file).ok()?;
        store.add_parsable_certificates(certificates.filter_map(Result::ok));
    }
    Some(store)
}

fn told(error: &CertificateError, host: &str, kafka: &KafkaSettings) -> (String, String) {
    const RENEW: &str = "give the broker a certificate that is valid now; or set this machine's clock";
    const NAME: &str = "give in `kafka.brokers`, and the brokers in `advertised.listeners`, a name that stands in the certificate; or the \
                        broker a certificate for this one";
    let at = |time: &UnixTime| i64::try_from(time.as_secs()).map_or(i64::MAX, |seconds| seconds.saturating_mul(1000));
    match error {
        CertificateError::Expired => ("has expired".to_owned(), RENEW.to_owned()),
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("has expired, at {}", Millis(at(not_after))), RENEW.to_owned())
        }
        CertificateError::NotValidYet => ("is not valid yet".to_owned(), RENEW.to_owned()),
        CertificateError::NotValidYetContext { not_before, .. } => (
            format!("is not valid before {}", Millis(at(not_before))),
            RENEW.to_owned(),
        ),
        CertificateError::NotValidForName => (format!("is not for `{host}`"), NAME.to_owned()),
        CertificateError::NotValidForNameContext { presented, .. } => {
            // `DnsName("a.example")`, `IpAddress(10.0.0.1)`.
            let name = |name: &String| {
                let inner = name.split(['(', ')']).nth(1).unwrap_or(name);
                inner.trim_matches('"').to_owned()
            };
            let names: Vec<String> = presented.iter().map(name).collect();
            let found = format!("is for `{}`, not for `{host}`", names.join("`, `"));
            (found, NAME.to_owned())
        }
        CertificateError::UnknownIssuer => {
            let given = kafka.properties.get("ssl.ca.location").map(|value| value.reveal());
            let trusted = given.unwrap_or("what the system trusts (`ssl.ca.location` is not set)");
            let give =
                "give in `kafka.properties` as `ssl.ca.location` the certificate (PEM) of the authority that signed it";
            (
                format!("is signed by an authority that is not among {trusted}"),
                give.to_owned(),
            )
        }
        other => (format!("cannot be verified: {other}"), RENEW.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_found_in_the_words() {
        assert_eq!(
            broker("sasl_ssl://kafka.example:9093/bootstrap: SSL handshake failed"),
            Some(("kafka.example", "kafka.example:9093"))
        );
        assert_eq!(
            broker("ssl://[::1]:9093/1: SSL handshake failed"),
            Some(("::1", "[::1]:9093"))
        );
        assert_eq!(
            broker("GroupCoordinator: kafka.example:9093: SSL handshake failed"),
            None
        );
    }

    #[test]
    fn what_is_found_and_what_to_give_is_told_of_each_fault() {
        let kafka = KafkaSettings {
            brokers: String::new(),
            properties: std::collections::BTreeMap::new(),
            group_offsets: false,
        };
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext {
            time: at(86_400),
            not_after: at(3_600),
        };
        let (found, give) = told(&expired, "a", &kafka);
        assert!(
            found.ends_with("1970-01-01T01:00:00.000Z") && give.contains("clock"),
            "{found}; {give}"
        );
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("b.example").unwrap(),
            presented: ["DnsName(\"a.example\")", "IpAddress(10.0.0.1)"]
                .map(str::to_owned)
                .into(),
        };
        let (found, give) = told(&name, "b.example", &kafka);
        assert_eq!(found, "is for `a.example`, `10.0.0.1`, not for `b.example`");
        assert!(give.contains("advertised.listeners"), "{give}");
        let (found, give) = told(&CertificateError::UnknownIssuer, "a", &kafka);
        assert!(
            found.contains("not set") && give.contains("ssl.ca.location"),
            "{found}; {give}"
        );
    }
}
