//! The way to the API server: every call bounded.

use std::{future::Future, time::Duration};

use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{CliError, args::ConnectionArgs};
use crate::api::{FreeThreadRollout, Span};

/// A client, the namespace, and the time that a call may take.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) namespace: String,
    request_timeout: Span,
}

impl Connection {
    /// By kubeconfig, as kubectl does it.
    pub(super) async fn open(args: &ConnectionArgs) -> Result<Self, CliError> {
        let bad = |error: &dyn std::fmt::Display| CliError::Kubeconfig(error.to_string());
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &args.kubeconfig {
            Some(file) => {
                let file = Kubeconfig::read_from(file).map_err(|e| bad(&e))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|e| bad(&e))?
            }
            None if args.context.is_some() => Config::from_kubeconfig(&options).await.map_err(|e| bad(&e))?,
            None => Config::infer().await.map_err(|e| bad(&e))?,
        };
        config.connect_timeout = Some(duration(args.request_timeout));
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|e| bad(&e))?;
        Ok(Self { client, namespace, request_timeout: args.request_timeout })
    }

    pub(super) fn rollouts(&self) -> Api<FreeThreadRollout> {
        self.namespaced()
    }

    /// Objects of a kind in the namespace.
    pub(super) fn namespaced<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Wait for one answer, and no longer than a request may take.
    pub(super) async fn bounded<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CliError> {
        match tokio::time::timeout(duration(self.request_timeout), call).await {
            Err(_) => Err(CliError::Timeout { doing, after: self.request_timeout }),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                Err(CliError::Forbidden { doing, message: status.message.clone() })
            }
            Ok(Err(kube::Error::Api(source))) => Err(CliError::Api { doing, source }),
            Ok(Err(error)) => Err(CliError::Unreachable { doing, why: causes(&error) }),
            Ok(Ok(value)) => Ok(value),
        }
    }

    /// What a 404 about the rollout `name` means: no such rollout, or no such resource at all.
    pub(super) fn explain(&self, name: &str, error: CliError) -> CliError {
        match &error {
            // The API server names what it looked for; for a kind that it does not know there is nothing to name.
            CliError::Api { source, .. } if source.code == 404 && source.message.contains(name) => {
                CliError::NotFound { name: name.to_owned(), namespace: self.namespace.clone() }
            }
            CliError::Api { source, .. } if source.code == 404 => CliError::NotInstalled,
            _ => error,
        }
    }
}

/// An error with its causes; what repeats the text before it is left out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

pub(super) fn duration(span: Span) -> Duration {
    Duration::from_millis(span.millis().unsigned_abs())
}
