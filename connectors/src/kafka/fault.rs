//! Why a client and a broker that reach each other make no connection: passwords, tokens, certificates, TLS.

/// What is wrong, as far as the words of librdkafka tell. None of these passes by itself: somebody mends the settings, or the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The broker knows no such user, or knows another password.
    Password,
    /// The broker offers other mechanisms.
    Mechanism,
    /// There is no token to log in with.
    Token,
    /// The certificate of the broker cannot be trusted.
    Certificate,
    /// The broker asks for a certificate, and got none that it trusts.
    ClientCertificate,
    /// The broker listens without TLS.
    WithoutTls,
}

impl Fault {
    /// The fault that librdkafka 2.12 tells of in these words, if it is one of them.
    pub fn of(words: &str) -> Option<Self> {
        const KNOWN: [(&str, Fault); 9] = [
            ("SASL OAUTHBEARER token", Fault::Token),
            ("Unsupported SASL mechanism", Fault::Mechanism),
            ("SASL authentication error", Fault::Password),
            ("certificate verify failed", Fault::Certificate),
            ("alert bad certificate", Fault::ClientCertificate),
            ("alert certificate", Fault::ClientCertificate),
            ("certificate required", Fault::ClientCertificate),
            ("alert unknown ca", Fault::ClientCertificate),
            ("connecting to a PLAINTEXT broker listener", Fault::WithoutTls),
        ];
        let known = KNOWN.iter().find(|(part, _)| words.contains(part));
        known.map(|(_, fault)| *fault)
    }

    /// What to give, and where.
    pub const fn give(self) -> &'static str {
        match self {
            Self::Password => {
                "give in `kafka.properties` a `sasl.username` and `sasl.password` that the brokers know, and the `sasl.mechanism` for \
                 which they know them"
            }
            Self::Mechanism => "give in `kafka.properties` a `sasl.mechanism` that the brokers offer",
            Self::Token => {
                "give in `kafka.properties` what makes a token: `sasl.oauthbearer.config`, such as `principal=riskflow`"
            }
            Self::Certificate => {
                "give in `kafka.properties` as `ssl.ca.location` the certificate (PEM) of the authority that signed the brokers'; or the \
                 brokers a certificate that is valid now, and for the name in `kafka.brokers`"
            }
            Self::ClientCertificate => {
                "give in `kafka.properties` as `ssl.certificate.location` and `ssl.key.location` a certificate that is valid now, of an \
                 authority that the brokers trust, and its key"
            }
            Self::WithoutTls => {
                "give in `kafka.properties` a `security.protocol` without TLS (`plaintext`, `sasl_plaintext`), or in `kafka.brokers` the \
                 port on which the brokers have it"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What librdkafka 2.12.1 said of a Kafka 4.
    #[test]
    fn each_fault_is_told_from_its_words() {
        let said = [
            (
                "sasl_ssl://a:1/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid \
                 credentials with SASL mechanism SCRAM-SHA-512",
                Some(Fault::Password),
            ),
            (
                "sasl_ssl://a:1/bootstrap: SASL authentication error: Authentication failed: Invalid username or password",
                Some(Fault::Password),
            ),
            (
                "sasl_ssl://a:1/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's \
                 supported mechanisms: SCRAM-SHA-512",
                Some(Fault::Mechanism),
            ),
            (
                "Failed to acquire SASL OAUTHBEARER token: Invalid sasl.oauthbearer.config: must not be empty",
                Some(Fault::Token),
            ),
            (
                "sasl_ssl://a:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
                 certificate could not be verified",
                Some(Fault::Certificate),
            ),
            (
                "ssl://a:1/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42",
                Some(Fault::ClientCertificate),
            ),
            (
                "ssl://a:1/bootstrap: Receive failed: error:0A000416:SSL routines::sslv3 alert certificate unknown: SSL alert number 46",
                Some(Fault::ClientCertificate),
            ),
            (
                "ssl://a:1/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT \
                 broker listener?",
                Some(Fault::WithoutTls),
            ),
            (
                "a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                None,
            ),
            (
                "a:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN",
                None,
            ),
        ];
        for (words, fault) in said {
            assert_eq!(Fault::of(words), fault, "{words}");
        }
    }
}
