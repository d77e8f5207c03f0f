//! Property: a reference to a registry stands wherever a path does, means the same
//! bytes for ever, and is not needed again once they are here.

use crate::support::component;
use crate::support::registry::{COMPONENT, Registry};
use crate::support::relay::{Finished, Relay};
use crate::support::swapping::{Swapping, TOKEN, chameleon, short_digest};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

const EVENT: &str = r#"{"id":"e1","entity":"order","key":"a","payload":{"card":"4111"}}"#;

/// The bytes of a component that is built.
fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(component(name)).expect("reads")
}

/// A home of its own for what is fetched, with an event in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("events.jsonl"), format!("{EVENT}\n")).expect("writes");
        Self(home)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path").to_owned()
    }

    fn run(&self, args: &[&str]) -> Finished {
        Relay::start_with(args, &[("XDG_DATA_HOME", &self.path("data"))]).wait()
    }

    /// A pipeline of files through this component.
    fn pipeline(&self, component: &str) -> String {
        let toml = format!(
            "name = \"p\"\n[source]\nkind = \"file\"\npath = \"events.jsonl\"\n[sink]\nkind = \"file\"\npath = \"out.jsonl\"\n\
             [[transform]]\npath = \"{component}\"\nsettings = {{ fields = [\"card\"] }}\n"
        );
        std::fs::write(self.path("relay.toml"), toml).expect("writes");
        self.path("relay.toml")
    }

    fn published(&self) -> String {
        std::fs::read_to_string(self.path("out.jsonl")).expect("reads")
    }
}

/// GIVEN a component at a registry, WHEN it is named in relay.toml, THEN it is fetched
/// by its digest and used; and again without the registry.
#[test]
fn a_pipeline_runs_a_component_of_a_registry() {
    let (registry, home) = (Registry::start(), Home::new());
    let reference = registry.push_component("acme/redact", bytes("redact"));
    let config = home.pipeline(&reference);
    home.run(&["check", "-c", &config, "--offline"]).expect(0, &["component fetched"]);
    drop(registry);
    home.run(&["run", "-c", &config, "--until-drained"]).expect(0, &[]);
    let message: Value = serde_json::from_str(&home.published()).expect("JSON");
    assert_eq!(message["payload"]["card"], "***", "{message}");
}

/// GIVEN references that cannot be used, WHEN they are named, THEN one error says which
/// and why.
#[test]
fn what_cannot_be_fetched_is_named() {
    let (registry, home) = (Registry::start(), Home::new());
    let good = registry.push_component("acme/redact", bytes("redact"));
    let two = registry.push("acme/two", &[(COMPONENT, bytes("redact")), (COMPONENT, bytes("route"))]);
    let none = registry.push("acme/none", &[("application/vnd.oci.image.layer.v1.tar", b"layer".to_vec())]);
    let garbage = registry.push_component("acme/garbage", b"no component".to_vec());
    let tag = format!("oci://{}/acme/redact:v1", registry.address);
    let unknown = format!("oci://{}/acme/redact@sha256:{}", registry.address, "0".repeat(64));
    let cases: [(&str, &[&str]); 6] = [
        (&tag, &["no sha256 digest"]),
        (&unknown, &["the registry does not give the manifest", &registry.address]),
        (&two, &["2 layers of this artifact are components"]),
        (&none, &["0 layers of this artifact are components", "application/vnd.oci.image.layer.v1.tar"]),
        (&garbage, &["not WebAssembly"]),
        ("oci://", &["no reference to a registry", "oci://ghcr.io/acme/redact@sha256:"]),
    ];
    for (reference, texts) in cases {
        let finished = home.run(&["run", "-c", &home.pipeline(reference), "--until-drained"]);
        finished.expect(4, &[texts, &[reference]].concat());
    }
    // As soon as its manifest says how large it is.
    let toml = home.pipeline(&good);
    let limited = std::fs::read_to_string(&toml).expect("reads") + "[swap]\nmax_component = \"1KB\"\n";
    std::fs::write(&toml, limited).expect("writes");
    home.run(&["run", "-c", &toml, "--until-drained"]).expect(4, &["the limit is 1000", "swap.max_component"]);
    let address = registry.address.clone();
    drop(registry);
    home.run(&["run", "-c", &home.pipeline(&good), "--until-drained"]).expect(4, &["does not give the manifest", &address]);
}

/// GIVEN a component at a registry, WHEN a command for transforms names it, THEN it does
/// what it does with a file.
#[test]
fn every_command_takes_a_reference() {
    let (registry, home) = (Registry::start(), Home::new());
    let reference = registry.push_component("acme/redact", bytes("redact"));
    let (cases, events) = (home.path("one.case.yaml"), home.path("events.jsonl"));
    let case =
        "settings: { fields: [card] }\nevents: [{ payload: { card: \"4111\" } }]\noutcomes: [{ emit: [{ payload: { card: \"***\" } }] }]\n";
    std::fs::write(&cases, case).expect("writes");
    let settings = ["--settings", r#"{"fields":["card"]}"#];
    let says = |args: &[&str], text: &str| {
        let said = home.run(args).expect(0, &[]).stdout;
        assert!(said.contains(text), "{args:?}: `{text}` in {said}");
    };
    says(&["test", &reference, "--cases", &cases], "1 passed, 0 failed");
    // Fetched once; from here on nobody needs it.
    drop(registry);
    says(&[&["try", &reference, &events][..], &settings].concat(), "\"***\"");
    says(&[&["inspect", &reference][..], &settings].concat(), "a transform");
    says(&[&["bench", &reference, "--time", "10ms"][..], &settings].concat(), "instantiate");
    says(&[&["replay", &reference, "--source", &events, "--against", &reference][..], &settings].concat(), "emitted");
}

/// GIVEN a running relay, WHEN a reference is swapped in, THEN it is active, also after
/// a restart without the registry; one that is not there is refused in the history.
#[test]
fn a_component_of_a_registry_is_swapped_in() {
    let registry = Registry::start();
    let it = Swapping::new("", "");
    let (relay, port) = it.serve();
    let second = it.component("pass2");
    let reference = registry.push_component("acme/chameleon", chameleon("pass2"));
    port.command(&["swap", "c", &reference]).expect(0, &[]);
    assert_eq!(port.active(), short_digest(&second));
    let unknown = format!("oci://{}/acme/chameleon@sha256:{}", registry.address, "0".repeat(64));
    port.command(&["swap", "c", &unknown]).expect(12, &["does not give the manifest"]);
    let entry = port.newest();
    assert_eq!((entry["outcome"].as_str(), entry["gates"][0]["gate"].as_str()), (Some("refused"), Some("fetch")), "{entry}");
    let (code, answer) = port.request("POST", &format!("/v1/transforms/c?reference={}", &reference[..30]), Some(TOKEN), b"");
    assert_ne!(code, 200, "a reference without a digest: {answer}");
    drop(registry);
    relay.kill();
    it.insert(&["a"], 5);
    let (relay, port) = it.serve();
    assert_eq!(port.active(), short_digest(Path::new(&second)));
    it.until_published();
    relay.stop().expect(0, &[]);
}
