//! Who may call: one shared secret on every RPC of the cluster, and one token for each application. Clients put it into
//! the `authorization` header by an interceptor; servers check every request in a tower layer, before any service sees
//! it.
//!
//! Without TLS the secret is readable on the wire: it keeps strangers out, not listeners.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use rand::Rng;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The header that carries a secret, as `Bearer <secret>`.
const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "Bearer ";

/// A secret that is never printed: not by `{}`, not by `{:?}`, not in an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file of the secret cannot be read.
    #[error("secret file `{path}` cannot be read")]
    Unreadable {
        /// The file as given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Nothing but white space.
    #[error("secret from {0} is empty")]
    Empty(String),
    /// It would not fit into a header.
    #[error("secret from {0} has characters other than printable ASCII")]
    NotPrintable(String),
}

impl Secret {
    /// Takes a secret; `origin` names where it is from in errors (never its text).
    pub fn new(text: &str, origin: &str) -> Result<Secret, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty(origin.to_owned()));
        }
        if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(SecretError::NotPrintable(origin.to_owned()));
        }
        Ok(Secret(text.into()))
    }

    /// Reads it from a file; white space around it does not count.
    pub fn from_file(path: &Path) -> Result<Secret, SecretError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
        Secret::new(&text, &format!("file `{}`", path.display()))
    }

    /// The cluster's secret from settings, as Spark: `spark.authenticate.secret`, else
    /// `spark.authenticate.secret.file`. None when neither is set.
    pub fn from_settings<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Secret>, SecretError> {
        if let Some(text) = get("spark.authenticate.secret") {
            return Secret::new(text, "`spark.authenticate.secret`").map(Some);
        }
        match get("spark.authenticate.secret.file") {
            Some(path) => Secret::from_file(Path::new(path)).map(Some),
            None => Ok(None),
        }
    }

    /// A new random token of 128 bits, in hexadecimal.
    pub fn random() -> Secret {
        let bits: u128 = rand::rng().random();
        Secret(format!("{bits:032x}").into())
    }

    /// The text itself, for the one place that must send it on.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this secret, in a time that does not depend on where they differ.
    pub fn matches(&self, candidate: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), candidate.as_bytes());
        let mut difference = own.len() ^ other.len();
        for (index, byte) in own.iter().enumerate() {
            difference |= usize::from(byte ^ other.get(index).copied().unwrap_or(0));
        }
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(*****)")
    }
}

/// Puts the secret on each request of a client; without one, does nothing.
#[derive(Clone, Debug, Default)]
pub struct ClientAuth {
    header: Option<MetadataValue<Ascii>>,
}

impl ClientAuth {
    /// An interceptor for `SomeClient::with_interceptor`.
    pub fn new(secret: Option<&Secret>) -> ClientAuth {
        let header = secret.map(|secret| {
            let mut value =
                MetadataValue::try_from(format!("{BEARER}{}", secret.expose())).expect("a secret is printable ASCII");
            value.set_sensitive(true);
            value
        });
        ClientAuth { header }
    }
}

impl Interceptor for ClientAuth {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request.metadata_mut().insert(AUTHORIZATION, header.clone());
        }
        Ok(request)
    }
}

/// Server side: `Server::builder().layer(RequireSecret::new(secret))` checks every RPC of every service behind it.
#[derive(Clone, Debug)]
pub struct RequireSecret {
    secret: Option<Secret>,
}

impl RequireSecret {
    /// Lets only requests with this secret pass; all pass when there is none.
    pub fn new(secret: Option<Secret>) -> RequireSecret {
        RequireSecret { secret }
    }
}

impl<S> tower::Layer<S> for RequireSecret {
    type Service = SecretCheck<S>;

    fn layer(&self, inner: S) -> SecretCheck<S> {
        SecretCheck { secret: self.secret.clone(), inner }
    }
}

/// The service that [`RequireSecret`] wraps round another.
#[derive(Clone, Debug)]
pub struct SecretCheck<S> {
    secret: Option<Secret>,
    inner: S,
}

impl<S, B, R> tower::Service<http::Request<B>> for SecretCheck<S>
where
    S: tower::Service<http::Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<http::Response<R>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match check(self.secret.as_ref(), request.headers()) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

fn check(secret: Option<&Secret>, headers: &http::HeaderMap) -> Result<(), Status> {
    let Some(secret) = secret else { return Ok(()) };
    let given =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix(BEARER));
    match given {
        Some(given) if secret.matches(given) => Ok(()),
        Some(_) => Err(Status::unauthenticated(
            "the secret is not the right one; set `spark.authenticate.secret` to the cluster's",
        )),
        None => Err(Status::unauthenticated("a secret is needed; set `spark.authenticate.secret` to the cluster's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text, "the test").expect("a good secret")
    }

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", secret("hunter2")), "Secret(*****)");
        assert!(!format!("{:?}", ClientAuth::new(Some(&secret("hunter2")))).contains("hunter2"));
    }

    #[test]
    fn only_the_same_text_matches() {
        let own = secret("abc");
        assert!(own.matches("abc"));
        for other in ["", "ab", "abcd", "abd", "ABC"] {
            assert!(!own.matches(other), "{other}");
        }
    }

    #[test]
    fn requests_without_the_secret_are_refused() {
        let mut headers = http::HeaderMap::new();
        assert!(check(None, &headers).is_ok());
        assert!(check(Some(&secret("abc")), &headers).is_err());
        headers.insert(AUTHORIZATION, http::HeaderValue::from_static("Bearer abd"));
        assert!(check(Some(&secret("abc")), &headers).is_err());
        headers.insert(AUTHORIZATION, http::HeaderValue::from_static("Bearer abc"));
        assert!(check(Some(&secret("abc")), &headers).is_ok());
    }

    #[test]
    fn settings_name_the_secret_or_its_file() {
        let direct = Secret::from_settings(|key| (key == "spark.authenticate.secret").then_some("abc"));
        assert!(direct.expect("readable").is_some_and(|found| found.matches("abc")));
        assert!(Secret::from_settings(|_| None).expect("readable").is_none());
        let missing = Secret::from_settings(|key| (key == "spark.authenticate.secret.file").then_some("/no/such/file"));
        assert!(matches!(missing, Err(SecretError::Unreadable { .. })));
    }
}
