//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677): made from a password, kept and read in PostgreSQL's text form
//! `SCRAM-SHA-256$iterations:salt$stored_key:server_key`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heliosdb_contracts::ScramVerifier;
use heliosdb_runtime::Entropy;
use heliosdb_types::{Error, Result};
use sha2::{Digest, Sha256};

/// PostgreSQL's default.
const ITERATIONS: u32 = 4096;
const SALT_LEN: usize = 16;
const BLOCK: usize = 64;

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut padded = [0u8; BLOCK];
    if key.len() > BLOCK {
        padded[..32].copy_from_slice(&sha256(&[key]));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let inner_pad = padded.map(|byte| byte ^ 0x36);
    let outer_pad = padded.map(|byte| byte ^ 0x5c);
    let mut inner = vec![inner_pad.as_slice()];
    inner.extend_from_slice(message);
    sha256(&[&outer_pad, &sha256(&inner)])
}

/// PBKDF2 with one block (RFC 8018): what RFC 5802 calls Hi.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut round = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = round;
    for _ in 1..iterations {
        round = hmac(password, &[&round]);
        sum.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// The verifier of a password, with a fresh salt.
pub(crate) fn verifier_of(password: &str, entropy: &dyn Entropy) -> Result<ScramVerifier> {
    if !password.is_ascii() {
        // Clients normalise other characters (RFC 4013) before they hash; without the same tables nobody could log in.
        return Err(Error::unsupported("a password with characters outside ASCII"));
    }
    let mut salt = vec![0u8; SALT_LEN];
    entropy.fill(&mut salt);
    Ok(derive(password.as_bytes(), salt, ITERATIONS))
}

fn derive(password: &[u8], salt: Vec<u8>, iterations: u32) -> ScramVerifier {
    let salted = salted_password(password, &salt, iterations);
    let stored_key = sha256(&[&hmac(&salted, &[b"Client Key"])]);
    let server_key = hmac(&salted, &[b"Server Key"]);
    ScramVerifier { iterations, salt, stored_key, server_key }
}

/// As `pg_authid.rolpassword` has it.
pub(crate) fn to_text(verifier: &ScramVerifier) -> String {
    let ScramVerifier { iterations, salt, stored_key, server_key } = verifier;
    let (salt, stored, server) = (STANDARD.encode(salt), STANDARD.encode(stored_key), STANDARD.encode(server_key));
    format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
}

/// Reads [`to_text`]'s form; `None` if it is anything else.
pub(crate) fn from_text(text: &str) -> Option<ScramVerifier> {
    let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
    let (iterations, salt) = head.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let key = |text: &str| <[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok();
    let iterations = iterations.parse().ok().filter(|count| *count > 0)?;
    Some(ScramVerifier {
        iterations,
        salt: STANDARD.decode(salt).ok()?,
        stored_key: key(stored)?,
        server_key: key(server)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677_verifies() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = derive(b"pencil", salt, 4096);
        let auth = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(&verifier.server_key, &[auth.as_bytes()]);
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_signature = hmac(&verifier.stored_key, &[auth.as_bytes()]);
        let client_key: Vec<u8> = proof.iter().zip(client_signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(sha256(&[&client_key]), verifier.stored_key);
    }

    #[test]
    fn the_text_form_reads_back() {
        let verifier = derive(b"secret", vec![7; 16], 4096);
        let read = from_text(&to_text(&verifier)).unwrap();
        assert_eq!((read.salt, read.stored_key), (verifier.salt, verifier.stored_key));
        assert!(from_text("md5abc").is_none());
        assert!(from_text("SCRAM-SHA-256$0:AA==$AA==:AA==").is_none());
    }
}
