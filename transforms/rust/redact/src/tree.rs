//! The paths of the settings as one tree, walked along with the payload.

use relay_guest::json::{Path, Step};

/// What the settings say about one value and what is in it.
#[derive(Default)]
pub(crate) struct Node {
    /// Mask or remove this value; nothing below it is looked at then.
    pub(crate) hit: bool,
    pub(crate) rename: Option<Rename>,
    pub(crate) each: Option<Box<Node>>,
    // Few names as a rule: comparing lengths first beats hashing.
    names: Vec<(String, Node)>,
}

/// A new name for the key that leads to a node.
pub(crate) struct Rename {
    pub(crate) name: String,
    /// The name as JSON text, quotes included.
    pub(crate) text: String,
}

impl Node {
    /// The node at the end of the steps, made where it is missing.
    pub(crate) fn add(&mut self, steps: &[Step]) -> &mut Node {
        let Some((step, rest)) = steps.split_first() else {
            return self;
        };
        match step {
            Step::Each => self.each.get_or_insert_default().add(rest),
            Step::Name(name) => {
                let found = self.names.iter().position(|(known, _)| known == name);
                // Taken out and put back last: `push_mut` needs no second look.
                let node = found.map_or_else(Node::default, |at| self.names.swap_remove(at).1);
                self.names.push_mut((name.clone(), node)).1.add(rest)
            }
        }
    }

    /// Adds one entry of the setting `rename` to the tree.
    pub(crate) fn rename(&mut self, path: &str, name: &str, removes: bool) -> Result<(), String> {
        let path: Path = path.parse().map_err(|error| format!("{error}"))?;
        let Some((Step::Name(old), parent)) = path.steps().split_last() else {
            return Err("only a name can be renamed, not `[]`".to_owned());
        };
        if name.is_empty() || name.contains(['.', '[']) {
            return Err(format!("`{name}` is not a name: a key stays where it is"));
        }
        let parent = self.add(parent);
        if parent.renames().any(|rename| rename.name == name) {
            return Err(format!("another key of the same object becomes `{name}`"));
        }
        let node = parent.add(&[Step::Name(old.clone())]);
        if node.hit && removes {
            return Err("the field is removed by `fields`".to_owned());
        }
        let text = serde_json::Value::from(name).to_string();
        node.rename = Some(Rename { name: name.to_owned(), text });
        Ok(())
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }

    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether a key of this object takes that name.
    pub(crate) fn renames_to(&self, name: &str) -> bool {
        self.renames().any(|rename| rename.name == name)
    }

    fn renames(&self) -> impl Iterator<Item = &Rename> {
        self.names.iter().filter_map(|(_, node)| node.rename.as_ref())
    }
}
