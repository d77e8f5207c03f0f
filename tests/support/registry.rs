//! An OCI registry on loopback, and artifacts in it.

use super::services;
use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use relay::transform::digest;
use std::path::PathBuf;

/// Media types of the Wasm OCI artifact layout, and of every manifest.
pub const COMPONENT: &str = "application/wasm";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry of go-containerregistry; gone when dropped.
pub struct Registry {
    pub address: String,
    dir: PathBuf,
}

impl Registry {
    /// An empty one.
    pub fn start() -> Self {
        let (dir, address) = services::registry(&super::unique("registry"));
        Self { address, dir }
    }

    /// Pushes layers as one artifact; the reference to it, by its digest.
    pub fn push(&self, repository: &str, layers: &[(&str, Vec<u8>)]) -> String {
        let layers: Vec<_> = layers.iter().map(|(kind, bytes)| ImageLayer::new(bytes.clone(), (*kind).to_owned(), None)).collect();
        let config = Config::new(b"{}".to_vec(), CONFIG.to_owned(), None);
        let manifest = serde_json::to_vec(&OciImageManifest::build(&layers, &config, None)).expect("JSON");
        let name = digest(&manifest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            for layer in &layers {
                self.push_blob(repository, &layer.data).await;
            }
            self.push_blob(repository, &config.data).await;
            let request = client().put(self.url(repository, "manifests/v1")).header("Content-Type", MANIFEST);
            request.body(manifest).send().await.and_then(reqwest::Response::error_for_status).expect("pushes the manifest");
        });
        format!("oci://{}/{repository}@sha256:{name}", self.address)
    }

    /// In one piece (source: OCI distribution specification, *Pushing a blob
    /// monolithically*). `oci-client` wants a `Location` in the second answer, and this
    /// registry gives none.
    async fn push_blob(&self, repository: &str, bytes: &[u8]) {
        let begun = client().post(self.url(repository, "blobs/uploads/")).send().await.expect("begins");
        let location = begun.headers()["location"].to_str().expect("text");
        let url = reqwest::Url::parse(&format!("http://{}", self.address)).and_then(|base| base.join(location)).expect("a URL");
        let request = client().put(url).query(&[("digest", format!("sha256:{}", digest(bytes)))]).body(bytes.to_vec());
        request.send().await.and_then(reqwest::Response::error_for_status).expect("pushes a blob");
    }

    fn url(&self, repository: &str, rest: &str) -> String {
        format!("http://{}/v2/{repository}/{rest}", self.address)
    }

    /// Pushes a component.
    pub fn push_component(&self, repository: &str, bytes: Vec<u8>) -> String {
        self.push(repository, &[(COMPONENT, bytes)])
    }
}

fn client() -> reqwest::Client {
    // As the relay; this process has no provider yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

impl Drop for Registry {
    fn drop(&mut self) {
        services::stop("registry.sh", Some(&self.dir), true);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
