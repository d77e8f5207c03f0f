//! Components at a registry, as the Wasm working group of the CNCF packs them
//! (source: `tag-runtime`, *Wasm OCI Artifact layout*): one layer, `application/wasm`.

use super::Library;
use crate::config::Modules;
use crate::error::{Context as _, Error, Kind, Result};
use crate::transform::digest;
use futures_util::StreamExt as _;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, errors::OciDistributionError};
use std::path::PathBuf;
use std::time::Duration;

/// Media types of a component's layer: the layout's, and the one that tools used
/// before it.
const LAYERS: &[&str] = &["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/// Fetches what a reference with a digest stands for, and keeps it.
pub(super) async fn fetch(text: &str, library: &Library, limit: u64) -> Result<PathBuf> {
    let reference: Reference = text
        .parse()
        .or_kind(Kind::Component, "this is no reference to a registry")
        .map_err(|e| e.remedy("write it like oci://ghcr.io/acme/redact@sha256:…"))?;
    let manifest = reference.digest().and_then(|digest| digest.strip_prefix("sha256:")).map(str::to_owned).ok_or_else(|| {
        // A tag may be another component tomorrow.
        Error::new(Kind::Component, "the reference has no sha256 digest").remedy("write it like oci://ghcr.io/acme/redact@sha256:…")
    })?;
    if let Some(path) = library.of_manifest(&manifest) {
        return Ok(path);
    }
    let Modules { fetch_timeout: transfer, registry_timeout: silence, .. } = library.config;
    let slow = || {
        Error::new(Kind::Component, format!("the registry did not give the component within {transfer:?}"))
            .remedy("is the way to it slow? raise modules.fetch_timeout")
    };
    let bytes = tokio::time::timeout(transfer, download(&reference, limit, silence)).await.unwrap_or_else(|_| Err(slow()))?;
    tracing::info!(reference = text, bytes = bytes.len(), "component fetched");
    let library = library.clone();
    let kept = tokio::task::spawn_blocking(move || library.name_manifest(&manifest, &bytes)).await;
    kept.or_kind(Kind::Internal, "keeping a module failed")?
}

async fn download(reference: &Reference, limit: u64, silence: Duration) -> Result<Vec<u8>> {
    let registry = reference.resolve_registry();
    let failed = |what: &str, cause: OciDistributionError| {
        Error::new(Kind::Component, what)
            .cause(cause)
            .at("registry", registry)
            .remedy("is the registry up, does it have this digest, and may this user read it (`docker login`)?")
    };
    // The process has one, unless this is the first to speak TLS in it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let protocol = if is_loopback(registry) { ClientProtocol::Http } else { ClientProtocol::Https };
    let config = ClientConfig { protocol, connect_timeout: Some(silence), read_timeout: Some(silence), ..ClientConfig::default() };
    let client = Client::new(config);
    let auth = credentials(registry);
    let (manifest, _) =
        client.pull_image_manifest(reference, &auth).await.map_err(|e| failed("the registry does not give the manifest", e))?;
    let layer = component(&manifest)?;
    if u64::try_from(layer.size).unwrap_or(u64::MAX) > limit {
        return Err(Error::new(Kind::Component, format!("the component has {} bytes, the limit is {limit}", layer.size))
            .remedy("raise swap.max_component, or make the component smaller"));
    }
    let mut blob = client.pull_blob_stream(reference, layer).await.map_err(|e| failed("the registry does not give the component", e))?;
    let mut bytes = Vec::new();
    while let Some(piece) = blob.stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|e| failed("the registry does not give the component", e.into()))?);
        if bytes.len() as u64 > limit {
            return Err(Error::new(Kind::Component, format!("the registry sends more than the {} bytes that it says", layer.size)));
        }
    }
    let found = digest(&bytes);
    if layer.digest.strip_prefix("sha256:") != Some(&*found) {
        return Err(Error::new(Kind::Component, format!("the registry sent sha256:{found} for {}", layer.digest)).at("registry", registry));
    }
    Ok(bytes)
}

fn component(manifest: &OciImageManifest) -> Result<&OciDescriptor> {
    let found: Vec<_> = manifest.layers.iter().filter(|layer| LAYERS.contains(&&*layer.media_type)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        none_or_several => {
            let types: Vec<_> = manifest.layers.iter().map(|layer| &*layer.media_type).collect();
            let what =
                format!("{} layers of this artifact are components, one must be; its layers: {}", none_or_several.len(), types.join(", "));
            Err(Error::new(Kind::Component, what).remedy("push it with a tool for components, such as `wkg oci push`"))
        }
    }
}

/// Those of `docker login`.
fn credentials(registry: &str) -> RegistryAuth {
    use docker_credential::DockerCredential;
    match docker_credential::get_credential(registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => RegistryAuth::Basic(user, password),
        Ok(DockerCredential::IdentityToken(token)) => RegistryAuth::Bearer(token),
        Err(_) => RegistryAuth::Anonymous,
    }
}

/// As with Docker, a registry on this machine needs no TLS.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback() {
        for (registry, expected) in
            [("localhost:5000", true), ("127.0.0.1:1", true), ("[::1]:5000", true), ("ghcr.io", false), ("localhost.example:1", false)]
        {
            assert_eq!(is_loopback(registry), expected, "{registry}");
        }
    }
}
