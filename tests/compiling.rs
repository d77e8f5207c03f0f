//! Property: a component is compiled in a process of its own, that gives way to the
//! lanes, finds its end, and takes nobody with it.

use crate::support::relay::{PATIENCE, Relay};
use crate::support::swapping::{Port, Swapping, chameleon};
use crate::support::{component, eventually, signal};
use std::path::{Path, PathBuf};

/// How many compiled components lie in the cache in this directory.
fn kept(cache: &Path) -> usize {
    let entries = std::fs::read_dir(cache).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    // Beside each is what wasmtime knows of its use, with an extension.
    entries.map(|path| if path.is_dir() { kept(&path) } else { usize::from(path.extension().is_none()) }).sum()
}

/// The process that this relay has compile something, if there is one.
fn compiler_of(relay: &Relay) -> Option<PathBuf> {
    let parent = format!("PPid:\t{}\n", relay.id());
    let says = |process: &Path, file: &str| std::fs::read_to_string(process.join(file)).unwrap_or_default();
    let mut processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    processes.find(|process| says(process, "status").contains(&parent) && says(process, "cmdline").contains("\0compile\0"))
}

/// Its niceness (source: proc(5), `/proc/pid/stat`, the 19th field).
fn niceness(process: &Path) -> Option<i32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
}

/// What a gate said of the newest swap.
fn said(port: &Port, gate: &str) -> String {
    let newest = port.newest();
    let finding = newest["gates"].as_array().and_then(|gates| gates.iter().find(|g| g["gate"] == gate).cloned());
    finding.unwrap_or_default()["detail"].as_str().unwrap_or_default().to_owned()
}

/// GIVEN limits of its own, WHEN a component is swapped in, THEN another process compiled
/// it, and what that made is what the relay runs; WHEN it comes again, it is there.
#[test]
fn what_the_compiler_made_is_what_runs() {
    let it = Swapping::new("", "limits = { memory = \"8MiB\", stack = \"256KiB\" }");
    let cache = it.path("cache");
    let relay = it.start_with(&[("XDG_CACHE_HOME", cache.to_str().expect("a path"))]);
    let port = Port::of(&relay);
    eventually("the first is compiled", PATIENCE, || kept(&cache) == 1);
    assert_eq!(port.swap("", &chameleon("pass2")).0, 200);
    assert_eq!(said(&port, "compile"), "1 stages, 1 compiled in a process of its own");
    assert_eq!(kept(&cache), 2, "the relay did not compile it once more");
    relay.stop().expect(0, &[]);
    let again = it.component("pass2");
    let args = ["compile", again.to_str().expect("a path")];
    let told = Relay::start_with(&args, &[("XDG_CACHE_HOME", cache.to_str().expect("a path"))]).wait().expect(0, &[]).stdout;
    assert!(told.contains("was there"), "{told}");
}

/// GIVEN a component that takes long to compile, WHEN its compiler is killed, or takes
/// longer than it may, THEN the swap is refused and the old one goes on.
#[test]
fn a_compiler_that_dies_takes_nobody_with_it() {
    let it = Swapping::new("", "");
    let cache = it.path("cache");
    let env = [("XDG_CACHE_HOME", cache.to_str().expect("a path")), ("RELAY_TEST_SECRET", "hidden")];
    let large = std::fs::read(component("js/redact.wasm")).expect("reads");
    let relay = it.start_with(&env);
    let port = Port::of(&relay);
    let (code, report) = std::thread::scope(|scope| {
        let swap = scope.spawn(|| port.swap("", &large));
        eventually("a nice compiler", PATIENCE, || compiler_of(&relay).is_some_and(|process| niceness(&process) == Some(15)));
        let process = compiler_of(&relay).expect("it takes its time");
        let environment = std::fs::read_to_string(process.join("environ")).expect("reads");
        assert!(environment.contains("XDG_CACHE_HOME") && !environment.contains("SECRET"), "{environment}");
        let id = process.file_name().and_then(|name| name.to_str()).expect("a number");
        signal(id, "KILL");
        swap.join().expect("an answer")
    });
    assert_eq!((code, report["outcome"].as_str()), (422, Some("refused")), "{report}");
    assert!(report["reason"].as_str().is_some_and(|reason| reason.contains("the compiler died")), "{report}");
    relay.stop().expect(0, &[]);

    it.configure("compile_time = \"50ms\"", "");
    let relay = it.start_with(&env);
    let port = Port::of(&relay);
    let (code, report) = port.swap("", &large);
    assert_eq!((code, report["outcome"].as_str()), (422, Some("refused")), "{report}");
    assert!(report["reason"].as_str().is_some_and(|reason| reason.contains("longer than 50ms")), "{report}");
    it.insert(&["a", "b"], 50);
    it.until_published();
    relay.stop().expect(0, &[]);
}

/// GIVEN nowhere to keep it, or what is no component, WHEN it is compiled ahead of time,
/// THEN the command says so.
#[test]
fn compiling_ahead_of_time_says_what_it_cannot() {
    let path = component("guests/chameleon");
    let args = ["compile", path.to_str().expect("a path")];
    Relay::start_with(&args, &[("XDG_CACHE_HOME", "/proc/nowhere")]).wait().expect(3, &["XDG_CACHE_HOME"]);
    Relay::run(&["compile", "Cargo.toml"]).expect(4, &["not WebAssembly", "Cargo.toml"]);
    Relay::run(&["compile", "no/such.wasm"]).expect(4, &["no/such.wasm"]);
}
