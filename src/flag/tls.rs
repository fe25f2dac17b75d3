//! TLS of the flags, with a certificate that is renewed while they are served: the kubelet swaps the files of a Secret, and they are read again.
//!
//! A certificate that is missing or broken ends nothing: callers that cannot connect take their default, and rollbacks go on.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::FlagMetrics;

/// Time between two looks at the files. The kubelet itself takes a minute or more to bring a new certificate.
const EVERY: Duration = Duration::from_secs(10);
/// Longest time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Largest file that is read.
const MOST_FILE: u64 = 256 << 10;

/// Why the files are no certificate that could be presented. Says nothing of what is in them.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is too large to be one.
    #[error("{path} is larger than {MOST_FILE} bytes", path = .path.display())]
    Large {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{name} holds no {what} in PEM: {source}")]
    Pem {
        /// The file's name.
        name: &'static str,
        /// What it should hold.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The key cannot be used, or is another certificate's.
    #[error("tls.crt and tls.key do not go together: {0}")]
    Key(#[from] rustls::Error),
}

/// A certificate in a folder as a Secret of the type kubernetes.io/tls has it: `tls.crt` and `tls.key`.
#[derive(Clone)]
pub struct Tls {
    folder: PathBuf,
    provider: Arc<CryptoProvider>,
    presented: Arc<Presented>,
    acceptor: TlsAcceptor,
}

/// What is presented; nothing until there is one.
#[derive(Debug, Default)]
struct Presented(RwLock<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tls {
    /// From the files in `folder`, which are read by [`Tls::keep`].
    ///
    /// # Errors
    /// The cryptography at hand speaks no version of TLS.
    pub fn new(folder: PathBuf) -> Result<Self, rustls::Error> {
        let (provider, presented) = (Arc::new(aws_lc_rs::default_provider()), Arc::new(Presented::default()));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(presented.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { folder, provider, presented, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads the files again and again. One that is broken leaves the one before. Never ends.
    pub async fn keep(&self, metrics: &FlagMetrics) {
        let mut trouble = None;
        loop {
            let now = match self.read().await {
                Ok(renewed) => {
                    if renewed || trouble.is_some() {
                        tracing::info!(renewed, "the certificate of the flags is in order");
                    }
                    None
                }
                Err(error) => {
                    metrics.no_certificate();
                    Some(error.to_string())
                }
            };
            if let Some(error) = now.as_ref().filter(|_| now != trouble) {
                tracing::error!(
                    error,
                    "the certificate of the flags is not renewed: callers see the one before, if there is one"
                );
            }
            trouble = now;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The server's end of a handshake.
    ///
    /// # Errors
    /// It failed, or took too long.
    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await?
    }

    async fn file(&self, name: &str) -> Result<Vec<u8>, CertificateError> {
        let path = self.folder.join(name);
        let failed = |source| CertificateError::Read { path: path.clone(), source };
        if tokio::fs::metadata(&path).await.map_err(failed)?.len() > MOST_FILE {
            return Err(CertificateError::Large { path });
        }
        tokio::fs::read(&path).await.map_err(failed)
    }

    /// Presents what is in the files from now on: whether that is another certificate than before.
    async fn read(&self) -> Result<bool, CertificateError> {
        let (certificate, key) = (self.file("tls.crt").await?, self.file("tls.key").await?);
        let wrong = |name, what| move |source| CertificateError::Pem { name, what, source };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
        let chain = match chain {
            Ok(chain) if chain.is_empty() => Err(pem::Error::NoItemsFound),
            chain => chain,
        };
        let chain = chain.map_err(wrong("tls.crt", "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(wrong("tls.key", "private key"))?;
        let new = CertifiedKey::from_der(chain, key, &self.provider)?;
        let mut presented = self.presented.0.write().unwrap_or_else(PoisonError::into_inner);
        let renewed = presented.as_ref().is_none_or(|before| before.cert != new.cert);
        *presented = Some(Arc::new(new));
        Ok(renewed)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::Instant,
    };
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A folder of this test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("flag-tls-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, file: &str, bytes: &[u8]) {
            std::fs::write(self.0.join(file), bytes).unwrap();
        }

        fn copy(&self, from: &str) {
            for file in ["tls.crt", "tls.key"] {
                self.put(file, &std::fs::read(fixtures().join(from).join(file)).unwrap());
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flag/tls")
    }

    fn certificate(of: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(fixtures().join(of)).unwrap()
    }

    /// A handshake as a client does it who knows the authority, and the certificate that it was shown.
    async fn shown(tls: &Tls) -> Option<CertificateDer<'static>> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.crt")).unwrap();
        let config = ClientConfig::builder_with_provider(tls.provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (client, server) = duplex(1 << 14);
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let (client, server) = tokio::join!(connector.connect(name, client), tls.accept(server));
        let (mut client, mut server) = (client.ok()?, server.ok()?);
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        client.get_ref().1.peer_certificates().map(|chain| chain[0].clone().into_owned())
    }

    async fn until(tls: &Tls, wanted: &CertificateDer<'static>) {
        let begun = Instant::now();
        while shown(tls).await.as_ref() != Some(wanted) {
            assert!(begun.elapsed() < EVERY * 3, "it is not presented");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_certificate_is_presented_without_a_restart_and_a_broken_one_is_not() {
        let folder = Folder::new("renewal");
        let tls = Tls::new(folder.0.clone()).unwrap();
        let keeper = tls.clone();
        tokio::spawn(async move { keeper.keep(&FlagMetrics::default()).await });
        let (first, second) = (certificate("first/tls.crt"), certificate("second/tls.crt"));
        tokio::time::sleep(EVERY * 2).await;
        assert_eq!(shown(&tls).await, None, "there is none yet");
        folder.copy("first");
        until(&tls, &first).await;
        let other = std::fs::read(fixtures().join("second/tls.key")).unwrap();
        for (file, bytes) in
            [("tls.crt", &b"-----BEGIN"[..]), ("tls.crt", b""), ("tls.key", b"none"), ("tls.key", &other)]
        {
            folder.copy("first");
            folder.put(file, bytes);
            tokio::time::sleep(EVERY * 2).await;
            assert_eq!(shown(&tls).await.as_ref(), Some(&first), "{file} is broken");
        }
        folder.copy("second");
        until(&tls, &second).await;
        std::fs::remove_file(folder.0.join("tls.crt")).unwrap();
        tokio::time::sleep(EVERY * 2).await;
        assert_eq!(shown(&tls).await, Some(second), "it is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_does_not_go_on_ends() {
        let tls = Tls::new(PathBuf::new()).unwrap();
        let ((_client, server), begun) = (duplex(64), Instant::now());
        assert_eq!(tls.accept(server).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < HANDSHAKE + Duration::from_secs(1));
        let (mut client, server) = duplex(64);
        client.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(tls.accept(server).await.unwrap_err().kind(), io::ErrorKind::InvalidData, "no TLS");
    }
}
