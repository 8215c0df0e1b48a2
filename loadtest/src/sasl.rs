//! Logging in (RFC 6120 §6): the mechanism that was asked for, or the strongest that is offered.

use crate::client::Client;
use crate::passing::Refused;
use crate::scan;
use crate::scram::{Hash, Scram};
use crate::target::{Account, Mechanism};
use anyhow::{Error, Result, anyhow, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// Strongest first.
const MECHANISMS: [(Mechanism, &str); 3] = [
    (Mechanism::ScramSha256, "SCRAM-SHA-256"),
    (Mechanism::ScramSha1, "SCRAM-SHA-1"),
    (Mechanism::Plain, "PLAIN"),
];

/// Logs in on a stream whose `features` have come.
pub(crate) async fn authenticate(
    client: &mut Client,
    features: &[u8],
    account: &Account,
    wanted: Option<Mechanism>,
) -> Result<()> {
    let (mechanism, name) = choose(features, wanted)?;
    let hash = match mechanism {
        Mechanism::Plain => {
            let message = format!("\0{}\0{}", account.user, account.password);
            client.send(auth(name, message.as_bytes()).as_bytes()).await?;
            let answer = client.stanza().await?;
            return if scan::name(&answer) == b"success" { Ok(()) } else { Err(failure(&answer)) };
        }
        Mechanism::ScramSha1 => Hash::Sha1,
        Mechanism::ScramSha256 => Hash::Sha256,
    };
    let scram = Scram::new(&account.user, hash)?;
    client.send(auth(name, scram.first().as_bytes()).as_bytes()).await?;
    let answer = client.stanza().await?;
    let challenge = scan::text(&answer, "challenge").ok_or_else(|| failure(&answer))?;
    let (last, expected) = scram.answer(account, &BASE64.decode(challenge)?)?;
    let data = BASE64.encode(last);
    client
        .send(format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{data}</response>").as_bytes())
        .await?;
    let answer = client.stanza().await?;
    let success = scan::text(&answer, "success").ok_or_else(|| failure(&answer))?;
    ensure!(BASE64.decode(success)? == expected.as_bytes(), "the server's signature is wrong");
    Ok(())
}

/// Why somebody did not get in.
fn failure(answer: &[u8]) -> Error {
    if scan::holds(answer, "<temporary-auth-failure") {
        return Refused(told(answer)).into();
    }
    anyhow!("login: {}", told(answer))
}

fn auth(mechanism: &str, data: &[u8]) -> String {
    let data = BASE64.encode(data);
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
}

fn choose(features: &[u8], wanted: Option<Mechanism>) -> Result<(Mechanism, &'static str)> {
    let is_offered = |name: &str| scan::holds(features, &format!(">{name}<"));
    let is_wanted = |mechanism: Mechanism| wanted.is_none_or(|wanted| wanted == mechanism);
    let found = MECHANISMS.into_iter().find(|(mechanism, name)| is_wanted(*mechanism) && is_offered(name));
    let Some(found) = found else { bail!("no mechanism for the login is offered in {}", told(features)) };
    Ok(found)
}

/// What the server said, shortened.
pub(crate) fn told(stanza: &[u8]) -> String {
    let text = String::from_utf8_lossy(stanza);
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_offered_mechanism_is_taken_unless_another_is_asked_for() {
        let features = b"<stream:features><mechanisms><mechanism>PLAIN</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
            <mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>";
        assert_eq!(choose(features, None).unwrap().1, "SCRAM-SHA-1");
        assert_eq!(choose(features, Some(Mechanism::Plain)).unwrap().1, "PLAIN");
        assert!(choose(features, Some(Mechanism::ScramSha256)).is_err());
    }
}
