//! How requests of the webhook are signed: as [Standard Webhooks](https://www.standardwebhooks.com) says, so that its libraries verify it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use riskflow_config::SigningKey;

/// The header `webhook-signature`: of each key `v1,` and HMAC-SHA256 of `{id}.{seconds}.{body}` in base64, with blanks between.
pub(super) fn signature(keys: &[SigningKey], id: &str, seconds: i64, body: &[u8]) -> String {
    let signed: Vec<String> = keys.iter().map(|key| of_key(key, id, seconds, body)).collect();
    signed.join(" ")
}

fn of_key(key: &SigningKey, id: &str, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let text = "[bridge.webhook]\nurl = \"http://a/\"\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\", \
                    \"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]";
        let settings = WrittenSettings::from_toml(text).unwrap().check().unwrap();
        let keys = settings.bridge.webhook.unwrap().keys;
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,") && second != first);
    }
}
