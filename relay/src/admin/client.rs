//! The other side of the port, for `relay swap`, `rollback` and `status`.

use super::generations::BY;
use crate::config::Config;
use crate::dead_letters::{Answer, Filter, Wish};
use crate::error::{Context as _, Error, Kind, Result};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A relay that does not take a connection within this is not there.
const CONNECT: Duration = Duration::from_secs(5);

/// A swap takes as long as compiling does, at low priority on a busy machine.
const ANSWER: Duration = Duration::from_secs(600);

/// See the module.
pub struct Client {
    http: reqwest::Client,
    address: String,
    token: String,
}

impl Client {
    /// The port of the relay that runs with this configuration.
    ///
    /// # Errors
    /// `Config` if it has no port or no token.
    pub fn of(config: &Config, file: &Path) -> Result<Self> {
        let at = |e: Error| e.at("file", file.display());
        let missing = |field: &'static str, what: &str| at(Error::new(Kind::Config, what.to_owned()).at("field", field));
        let Some(listen) = config.admin.listen else {
            return Err(missing("admin.listen", "the relay of this configuration has no admin port")
                .remedy("set admin.listen, or name the port with --admin"));
        };
        let token = config.admin.token().map_err(at)?.ok_or_else(|| {
            missing("admin.token", "the relay of this configuration has no admin token")
                .remedy("set admin.token or admin.token_file, and restart it")
        })?;
        Self::new(&listen.to_string(), token)
    }

    /// A port by its address, `HOST:PORT` or a URL.
    ///
    /// # Errors
    /// `Internal` where no client can be made.
    pub fn new(address: &str, token: String) -> Result<Self> {
        let address = if address.contains("://") { address.trim_end_matches('/').to_owned() } else { format!("http://{address}") };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build().or_kind(Kind::Internal, "cannot speak HTTP")?;
        Ok(Self { http, address, token })
    }

    /// What is at work.
    ///
    /// # Errors
    /// `Admin` if nobody answers, or refuses.
    pub async fn status(&self) -> Result<Value> {
        self.send(self.http.get(format!("{}/v1/status", self.address))).await.map(|(_, answer)| answer)
    }

    /// Asks for a swap; the report, whether it was made or refused.
    ///
    /// # Errors
    /// `Admin` if nobody answers, or the request is not looked at.
    pub async fn swap(&self, transform: &str, said: &[(&str, String)], component: Option<Vec<u8>>) -> Result<Value> {
        let mut url =
            reqwest::Url::parse(&self.address).or_kind(Kind::Config, "this is no address").map_err(|e| e.at("address", &self.address))?;
        if let Ok(mut path) = url.path_segments_mut() {
            // Whatever a name holds, it is one segment.
            path.pop_if_empty().extend(["v1", "transforms", transform]);
        }
        url.query_pairs_mut().extend_pairs(said);
        let request = self.http.post(url).body(component.unwrap_or_default());
        self.send(request).await.map(|(_, answer)| answer)
    }

    /// Asks for the generation before the one that is the newest now.
    ///
    /// # Errors
    /// `Admin` if nobody answers, or there is none.
    pub async fn rollback(&self) -> Result<Value> {
        let status = self.status().await?;
        let number = |name: &str| status.pointer(&format!("/generations/{name}/number")).and_then(Value::as_u64);
        // By its number: asked twice, or by two, it goes once.
        let newest = number("candidate").or_else(|| number("active")).unwrap_or_default();
        self.send(self.http.post(format!("{}/v1/rollback?generation={newest}", self.address))).await.map(|(_, answer)| answer)
    }

    /// Has letters redriven or discarded.
    ///
    /// # Errors
    /// `Admin` if nobody answers, or it cannot be done now.
    pub async fn dead_letters(&self, wish: Wish, filter: &Filter) -> Result<Answer> {
        let wish = match wish {
            Wish::Redrive => "redrive",
            Wish::Discard => "discard",
        };
        let request = self.http.post(format!("{}/v1/dead-letters/{wish}", self.address)).json(filter);
        let (_, answer) = self.send(request).await?;
        serde_json::from_value(answer).or_kind(Kind::Admin, "the admin port answered something else")
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(reqwest::StatusCode, Value)> {
        let at = |e: Error| e.at("address", &self.address);
        let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        let request = request.bearer_auth(&self.token).header(BY, user);
        let answer = request.send().await.or_kind(Kind::Admin, "the relay's admin port does not answer");
        let answer = answer.map_err(|e| at(e).remedy("does the relay run, and is this its admin.listen?"))?;
        let status = answer.status();
        let body: Value = answer.json().await.or_kind(Kind::Admin, format!("the admin port answered {status} without JSON")).map_err(at)?;
        match body.get("error") {
            None => Ok((status, body)),
            Some(error) => {
                let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                Err(at(Error::new(Kind::Admin, format!("the relay says {}: {}", status.as_u16(), text("message")))).remedy(text("remedy")))
            }
        }
    }
}
