//! The operator's own configuration: the Prometheus endpoints that a rollout may name.
//!
//! Addresses and credentials stand here and nowhere else. A rollout names a profile, so that nobody who may only create rollouts
//! can aim the operator at the inside of the network or make it read a Secret.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};
use reqwest::Url;
use serde::Deserialize;

use crate::api::Span;

/// Largest configuration file that is read.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Most profiles.
const MAX_PROFILES: usize = 64;
/// Longest time that a single query may take, whatever the profile says.
pub const MAX_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration file, read and found sound.
#[derive(Debug, Clone, Default)]
pub struct OperatorConfig {
    /// Prometheus endpoints by name.
    pub prometheus: BTreeMap<String, Profile>,
}

/// One Prometheus endpoint.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Address, without credentials; ends with `/`.
    pub url: Url,
    /// How often this Prometheus scrapes the pods. It becomes the cell of an attempt.
    pub scrape_interval: Span,
    /// Longest time for one query.
    pub query_timeout: Duration,
    /// Certificates (PEM) that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How the operator says who it is.
    pub credential: Credential,
    /// Further request headers, such as a tenant.
    pub headers: BTreeMap<String, HiddenText>,
    /// Rollouts may bring queries of their own (`analysis.gauges`), which can read whatever the operator can read here.
    pub user_queries: bool,
}

/// Who the operator is to Prometheus. The secret itself stays in its file and is read anew when the file changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credential {
    /// Nobody.
    #[default]
    None,
    /// `Authorization: Bearer`, from a file.
    BearerFile(PathBuf),
    /// `Authorization: Basic`.
    Basic {
        /// User name.
        username: String,
        /// File with the password.
        password_file: PathBuf,
    },
}

/// A text that never shows up in a log.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct HiddenText(String);

impl HiddenText {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// What is wrong with the configuration file, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is far larger than any configuration.
    #[error("the configuration has {0} bytes; at most {MAX_CONFIG_BYTES} are read")]
    TooLong(usize),
    /// It is not the YAML that is expected.
    #[error("the configuration is not understood: {0}")]
    Syntax(#[from] serde_yaml::Error),
    /// Too many profiles.
    #[error("the configuration has {0} Prometheus profiles; at most {MAX_PROFILES} are allowed")]
    TooMany(usize),
    /// A profile cannot work.
    #[error("prometheus profile '{name}': {problem}")]
    Profile {
        /// Its name.
        name: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    prometheus: BTreeMap<String, RawProfile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawProfile {
    url: HiddenText,
    #[serde(default = "default_scrape_interval")]
    scrape_interval: Span,
    #[serde(default = "default_query_timeout")]
    query_timeout: Span,
    ca_file: Option<PathBuf>,
    bearer_token_file: Option<PathBuf>,
    basic_auth: Option<RawBasic>,
    #[serde(default)]
    headers: BTreeMap<String, HiddenText>,
    #[serde(default)]
    user_queries: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBasic {
    username: String,
    password_file: PathBuf,
}

fn default_scrape_interval() -> Span {
    Span::from_secs(15)
}
fn default_query_timeout() -> Span {
    Span::from_secs(5)
}

impl OperatorConfig {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// It cannot be read, or is not sound.
    pub fn load(path: &std::path::Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Checks the text of the file.
    ///
    /// # Errors
    /// It is not sound; the error names the profile and says what to write instead, and repeats no secret.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLong(text.len()));
        }
        // An empty file is a configuration without profiles, not an error.
        let raw: Option<RawConfig> = serde_yaml::from_str(text)?;
        let profiles = raw.map(|raw| raw.prometheus).unwrap_or_default();
        if profiles.len() > MAX_PROFILES {
            return Err(ConfigError::TooMany(profiles.len()));
        }
        let prometheus = profiles
            .into_iter()
            .map(|(name, raw)| match check_name(&name).and_then(|()| Profile::check(raw)) {
                Ok(profile) => Ok((name, profile)),
                Err(problem) => Err(ConfigError::Profile { name, problem }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { prometheus })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(()) } else { Err("a name has 1 to 63 small letters, digits and hyphens".into()) }
}

impl Profile {
    fn check(raw: RawProfile) -> Result<Self, String> {
        let credential = match (raw.bearer_token_file, raw.basic_auth) {
            (Some(_), Some(_)) => return Err("set bearerTokenFile or basicAuth, not both".into()),
            (Some(path), None) => Credential::BearerFile(absolute("bearerTokenFile", path)?),
            (None, Some(basic)) if basic.username.is_empty() || basic.username.contains(':') => {
                return Err("basicAuth.username may not be empty nor contain ':'".into());
            }
            (None, Some(basic)) => Credential::Basic {
                username: basic.username,
                password_file: absolute("basicAuth.passwordFile", basic.password_file)?,
            },
            (None, None) => Credential::None,
        };
        Ok(Self {
            url: check_url(raw.url.reveal())?,
            scrape_interval: within("scrapeInterval", raw.scrape_interval, 1000, 300_000)?,
            query_timeout: timeout(raw.query_timeout)?,
            ca_file: raw.ca_file.map(|path| absolute("caFile", path)).transpose()?,
            credential,
            headers: check_headers(raw.headers)?,
            user_queries: raw.user_queries,
        })
    }
}

fn check_url(text: &str) -> Result<Url, String> {
    const WRITE: &str = "write url: http://prometheus.monitoring.svc:9090";
    // The text is not repeated: it may hold a password.
    let mut url = Url::parse(text).map_err(|why| format!("its url is no address ({why}): {WRITE}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("its url must be http:// or https:// with a host: {WRITE}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its url holds a user or a password: use basicAuth with passwordFile instead".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("its url may have a path, but neither '?' nor '#'".into());
    }
    // Joining `api/v1/query` later must keep the last segment of a path prefix.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn within(field: &str, span: Span, least: i64, most: i64) -> Result<Span, String> {
    if (least..=most).contains(&span.millis()) {
        return Ok(span);
    }
    Err(format!(
        "{field} is {span}; it must be from {} to {}",
        Span::from_millis(least),
        Span::from_millis(most)
    ))
}

fn timeout(span: Span) -> Result<Duration, String> {
    let most = i64::try_from(MAX_QUERY_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
    let span = within("queryTimeout", span, 100, most)?;
    Ok(Duration::from_millis(span.millis().unsigned_abs()))
}

fn absolute(field: &str, path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("{field} must be an absolute path, such as /etc/freethread-rollout/prometheus/token"))
}

fn check_headers(headers: BTreeMap<String, HiddenText>) -> Result<BTreeMap<String, HiddenText>, String> {
    if headers.len() > 16 {
        return Err(format!("it has {} headers; at most 16 are allowed", headers.len()));
    }
    for (name, value) in &headers {
        let known = HeaderName::try_from(name.as_str())
            .map_err(|_| format!("'{}' is no header name", name.escape_debug()))?;
        match known.as_str() {
            "authorization" | "proxy-authorization" | "cookie" => {
                return Err(format!(
                    "header '{name}' would put a secret into the configuration: use bearerTokenFile or basicAuth"
                ));
            }
            "host" | "content-length" | "content-type" | "transfer-encoding" | "connection" => {
                return Err(format!("header '{name}' belongs to the transport and cannot be set"));
            }
            _ => {}
        }
        HeaderValue::try_from(value.reveal())
            .map_err(|_| format!("the value of header '{name}' is no header value"))?;
    }
    Ok(headers)
}
