//! The operator's configuration: what it may say, and what is said back when it is wrong.

use std::time::Duration;

use freethread_rollout::observe::profiles::{Credential, OperatorConfig};

fn profile(lines: &str) -> String {
    format!("prometheus:\n  default:\n    {}\n", lines.replace('\n', "\n    "))
}

#[test]
fn a_whole_profile() {
    let text = profile(
        "url: https://prometheus.monitoring.svc:9090/prefix\nscrapeInterval: 1s\nqueryTimeout: 2s\ncaFile: /etc/ca.crt\n\
         basicAuth: {username: operator, passwordFile: /etc/password}\nheaders: {X-Scope-OrgID: team-secret}\n\
         userQueries: true",
    );
    let config = OperatorConfig::parse(&text).unwrap();
    let profile = &config.prometheus["default"];
    assert_eq!(profile.url.as_str(), "https://prometheus.monitoring.svc:9090/prefix/");
    assert_eq!((profile.scrape_interval.millis(), profile.query_timeout), (1000, Duration::from_secs(2)));
    assert!(matches!(&profile.credential, Credential::Basic { username, .. } if username == "operator"));
    assert!(profile.user_queries);
    assert_eq!(profile.headers["X-Scope-OrgID"].reveal(), "team-secret");
    assert!(!format!("{config:?}").contains("team-secret"), "headers are not shown");
}

#[test]
fn the_defaults() {
    let config = OperatorConfig::parse(&profile("url: http://p:9090")).unwrap();
    let profile = &config.prometheus["default"];
    assert_eq!((profile.scrape_interval.millis(), profile.query_timeout), (15_000, Duration::from_secs(5)));
    assert_eq!(profile.credential, Credential::None);
    assert!(!profile.user_queries, "what a query can read is the administrator's to decide");
    assert!(OperatorConfig::parse("").unwrap().prometheus.is_empty());
    assert!(OperatorConfig::parse("prometheus: {}").unwrap().prometheus.is_empty());
}

#[test]
fn what_is_wrong_is_said_without_secrets() {
    for (lines, part) in [
        ("scrapeInterval: 15s", "url"),
        ("url: prometheus:9090/x", "must be http:// or https://"),
        ("url: not an address", "no address"),
        ("url: file:///etc/passwd", "must be http:// or https://"),
        ("url: http://me:hunter2@p:9090", "use basicAuth"),
        ("url: http://hunter2@p:9090", "use basicAuth"),
        ("url: http://p:9090/?token=hunter2", "neither '?' nor '#'"),
        ("url: http://p\nqueryTimeout: 6s", "queryTimeout is 6s; it must be from 100ms to 5s"),
        ("url: http://p\nscrapeInterval: 10ms", "scrapeInterval is 10ms; it must be from 1s to 5m"),
        ("url: http://p\nscrapeInterval: often", "such as 90s"),
        ("url: http://p\nbearerTokenFile: token", "bearerTokenFile must be an absolute path"),
        ("url: http://p\nbearerTokenFile: /t\nbasicAuth: {username: a, passwordFile: /p}", "not both"),
        ("url: http://p\nbasicAuth: {username: 'a:b', passwordFile: /p}", "nor contain ':'"),
        ("url: http://p\nbasicAuth: {username: a, password: hunter2}", "unknown field `password`"),
        ("url: http://p\nheaders: {Authorization: Bearer hunter2}", "use bearerTokenFile"),
        ("url: http://p\nheaders: {Host: x}", "belongs to the transport"),
        ("url: http://p\nheaders: {'a b': x}", "no header name"),
        ("url: http://p\nheaders: {X-A: \"hunter2\\n\"}", "no header value"),
        ("url: http://p\nproxy: x", "unknown field `proxy`"),
    ] {
        let error = OperatorConfig::parse(&profile(lines)).unwrap_err().to_string();
        assert!(error.contains(part), "{lines}: {error}");
        assert!(!error.contains("hunter2"), "{lines}: {error}");
    }
    let error = OperatorConfig::parse("prometheus: {Default: {url: 'http://p'}}").unwrap_err().to_string();
    assert!(error.contains("profile 'Default': a name has 1 to 63 small letters"), "{error}");
    let error = OperatorConfig::load(std::path::Path::new("/nowhere/config.yaml")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/config.yaml cannot be read"), "{error}");
}
