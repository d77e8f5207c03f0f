//! Property: beside a sink that is a file, letters lie in a file; what is there is known
//! to the next relay, and no letter is lost behind half a line.

use crate::dead_letters::STRICT;
use crate::support::component;
use crate::support::relay::Relay;

/// A pipeline from `in.jsonl` to `out.jsonl`, with `letters.jsonl`; its file.
fn configure(directory: &tempfile::TempDir) -> String {
    let toml = format!(
        "[source]\nkind = \"file\"\npath = \"in.jsonl\"\n[sink]\nkind = \"file\"\npath = \"out.jsonl\"\n[dead_letters]\nfile = \"letters.jsonl\"\n\
         [[transform]]\npath = \"{}\"\n",
        component(STRICT).display()
    );
    let path = directory.path().join("relay.toml");
    std::fs::write(&path, toml).expect("writes");
    path.to_str().expect("a path").to_owned()
}

/// GIVEN a sink that is a file, WHEN events fail, THEN the letters are in a file, and
/// held keys are known to the next relay.
#[test]
fn letters_lie_in_a_file_beside_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let line = |n: u64, kind: &str, key: &str| {
        format!("{{\"id\":\"{n}\",\"entity\":\"o\",\"event_type\":\"{kind}\",\"key\":\"{key}\",\"topic\":\"t\"}}\n")
    };
    std::fs::write(path("in.jsonl"), [line(1, "pass", "a"), line(2, "poison", "a"), line(3, "pass", "a"), line(4, "pass", "b")].concat())
        .expect("writes");
    let config = configure(&directory);
    Relay::run(&["run", "-c", &config]).expect(0, &[]);
    let out = std::fs::read_to_string(path("out.jsonl")).expect("reads");
    assert_eq!(out.lines().count(), 2, "{out}");
    let told = Relay::run(&["dead-letters", "list", "-c", &config]).expect(0, &["2 letters"]).stdout;
    assert!(told.contains("key=a dead attempts=1") && told.contains("key=a parked"), "{told}");
    // The same lines once more: 1 is of a key that is held, 2 and 3 are there already.
    Relay::run(&["run", "-c", &config]).expect(0, &["there are dead letters"]);
    let told = Relay::run(&["dead-letters", "list", "--state", "dead", "-c", &config]).expect(0, &[]).stdout;
    assert_eq!(told.lines().count(), 1, "{told}");
}

/// GIVEN a file of letters that ends in half a line, WHEN the next letter is written, THEN
/// it is one; and letters of different files that share names are two.
#[test]
fn half_a_line_costs_no_letter() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let config = configure(&directory);
    // Half a character, too.
    std::fs::write(path("letters.jsonl"), b"{\"id\":\"a\xc3").expect("writes");
    for payload in ["one", "two"] {
        let line = format!("{{\"entity\":\"o\",\"event_type\":\"poison\",\"key\":\"k\",\"topic\":\"t\",\"payload_text\":\"{payload}\"}}\n");
        std::fs::write(path("in.jsonl"), line).expect("writes");
        Relay::run(&["run", "-c", &config]).expect(0, &[]);
    }
    let told = Relay::run(&["dead-letters", "show", "--key", "k", "-c", &config]).expect(0, &[]).stdout;
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("one") && told.contains("two"), "{told}");
    Relay::run(&["dead-letters", "show", "nobody", "-c", &config]).expect(3, &["no such letter"]);
}
