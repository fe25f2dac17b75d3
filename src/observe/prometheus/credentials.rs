//! The HTTP client and the credential of one profile, read anew when their files change.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use reqwest::{Certificate, redirect::Policy};
use tokio::{sync::Mutex, time::Instant};

use crate::observe::profiles::{Credential, Profile};

const MAX_SECRET_BYTES: u64 = 64 << 10;
const MAX_CA_BYTES: u64 = 1 << 20;
/// How long files are taken as unchanged without looking.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a query needs; cheap to clone.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) client: prometheus_http_query::Client,
    pub(super) headers: HeaderMap,
}

/// The access of one profile and the state of the files that it was made of.
#[derive(Default)]
pub(super) struct Keys {
    held: Mutex<Option<Held>>,
}

struct Held {
    access: Access,
    ca: Option<Stamp>,
    secret: Option<Stamp>,
    looked: Instant,
}

/// Tells one version of a file from another.
#[derive(Clone, PartialEq, Eq)]
struct Stamp(SystemTime, u64);

impl Keys {
    /// The access as the files are now; an error says which file is wrong, never what is in it.
    pub(super) async fn access(&self, profile: &Profile) -> Result<Access, String> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.looked.elapsed() < LOOK_EVERY) {
            return Ok(held.access.clone());
        }
        let ca = stamp(profile.ca_file.as_deref(), MAX_CA_BYTES).await?;
        let secret_file = match &profile.credential {
            Credential::None => None,
            Credential::BearerFile(path) | Credential::Basic { password_file: path, .. } => {
                Some(path.as_path())
            }
        };
        let secret = stamp(secret_file, MAX_SECRET_BYTES).await?;
        if let Some(held) = held.as_mut().filter(|held| held.ca == ca && held.secret == secret) {
            held.looked = Instant::now();
            return Ok(held.access.clone());
        }
        let client = match held.as_ref().filter(|held| held.ca == ca) {
            Some(held) => held.access.client.clone(),
            None => client(profile).await?,
        };
        let access = Access { client, headers: headers(profile).await? };
        *held = Some(Held { access: access.clone(), ca, secret, looked: Instant::now() });
        Ok(access)
    }
}

async fn stamp(path: Option<&Path>, most: u64) -> Result<Option<Stamp>, String> {
    let Some(path) = path else { return Ok(None) };
    let unreadable = |why: std::io::Error| format!("{} cannot be read: {why}", path.display());
    let metadata = tokio::fs::metadata(path).await.map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > most {
        return Err(format!("{} is no file of at most {most} bytes", path.display()));
    }
    Ok(Some(Stamp(metadata.modified().map_err(unreadable)?, metadata.len())))
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    tokio::fs::read(path).await.map_err(|why| format!("{} cannot be read: {why}", path.display()))
}

async fn client(profile: &Profile) -> Result<prometheus_http_query::Client, String> {
    // Redirects stay off: a Prometheus does not send the operator anywhere else.
    let builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("freethread-rollout/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(profile.query_timeout)
        .timeout(profile.query_timeout)
        .pool_max_idle_per_host(8);
    let builder = match &profile.ca_file {
        Some(path) => {
            let certificates = Certificate::from_pem_bundle(&read(path).await?)
                .map_err(|why| format!("{} holds no certificates in PEM: {why}", path.display()))?;
            if certificates.is_empty() {
                return Err(format!("{} holds no certificates in PEM", path.display()));
            }
            builder.tls_certs_only(certificates)
        }
        // Without TLS no certificates are wanted; a minimal image may have none of its own.
        None if profile.url.scheme() == "http" => builder.tls_certs_only([]),
        None => builder,
    };
    let client = builder
        .build()
        .map_err(|why| format!("no TLS client can be made ({}): set caFile", super::client::causes(&why)))?;
    prometheus_http_query::Client::from(client, profile.url.as_str())
        .map_err(|why| format!("its url cannot be used: {why}"))
}

async fn headers(profile: &Profile) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &profile.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("'{name}' is no header name"))?;
        let mut value = HeaderValue::try_from(value.reveal())
            .map_err(|_| format!("header {name} has an invalid value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let authorization = match &profile.credential {
        Credential::None => return Ok(headers),
        Credential::BearerFile(path) => format!("Bearer {}", secret(path).await?),
        Credential::Basic { username, password_file } => {
            format!("Basic {}", base64(format!("{username}:{}", secret(password_file).await?).as_bytes()))
        }
    };
    let mut value = HeaderValue::try_from(authorization)
        .map_err(|_| "the credential file holds characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

async fn secret(path: &PathBuf) -> Result<String, String> {
    let text = String::from_utf8(read(path).await?).map_err(|_| format!("{} is no text", path.display()))?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(text) }
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_the_standard_one() {
        for (text, wanted) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("a:p\u{fe}?", "YTpww74/")]
        {
            assert_eq!(super::base64(text.as_bytes()), wanted);
        }
    }
}
