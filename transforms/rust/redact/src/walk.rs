//! One pass over the payload that copies all but what the tree names.

use relay_guest::Failure;
use relay_guest::json::{Cursor, Invalid, Kind};

use crate::tree::Node;

/// The text with the tree's edits; `None` if there was nothing to edit.
pub(crate) fn rewrite(text: &str, root: &Node, replace: Option<&str>) -> Result<Option<String>, Failure> {
    let mut cursor = Cursor::new(text);
    let mut edits = Edits { text, copied: 0, out: String::new() };
    walk(root, replace, &mut cursor, &mut edits)?;
    cursor.end()?;
    Ok(edits.finish())
}

/// Output so far. Edits come in the order of the text.
struct Edits<'a> {
    text: &'a str,
    /// Up to where the text is in the output.
    copied: usize,
    out: String,
}

impl Edits<'_> {
    fn put(&mut self, start: usize, end: usize, with: &str) {
        if self.copied == 0 {
            self.out.reserve(self.text.len() + 64);
        }
        self.out.push_str(self.text.get(self.copied..start).unwrap_or_default());
        self.out.push_str(with);
        self.copied = end;
    }

    fn finish(mut self) -> Option<String> {
        // Every edit ends behind byte 0, so this means that there was none.
        if self.copied == 0 {
            return None;
        }
        self.out.push_str(self.text.get(self.copied..).unwrap_or_default());
        Some(self.out)
    }
}

/// Which commas go with the removed members of one object.
#[derive(Default)]
struct Commas {
    /// The end of the last member read, once a kept one came before it: what
    /// is removed then takes the comma in front of it.
    end: Option<usize>,
    /// Start of removed members that no kept one precedes: they take the comma
    /// behind them.
    leading: Option<usize>,
}

impl Commas {
    fn kept(&mut self, start: usize, edits: &mut Edits<'_>) {
        if let Some(from) = self.leading.take() {
            edits.put(from, start, "");
        }
    }

    fn removed(&mut self, start: usize, end: usize, edits: &mut Edits<'_>) {
        match &mut self.end {
            Some(before) => {
                edits.put(*before, end, "");
                *before = end;
            }
            None => {
                self.leading.get_or_insert(start);
            }
        }
    }

    /// `end` is that of the last member.
    fn close(mut self, end: usize, edits: &mut Edits<'_>) {
        self.kept(end, edits);
    }
}

fn walk(node: &Node, replace: Option<&str>, cursor: &mut Cursor<'_>, edits: &mut Edits<'_>) -> Result<(), Failure> {
    match (cursor.kind(), &node.each) {
        (Kind::Object, _) if node.has_names() => object(node, replace, cursor, edits),
        (Kind::Array, Some(each)) if each.hit => array_of_hits(replace, cursor, edits),
        (Kind::Array, Some(each)) => cursor.array(|cursor| walk(each, replace, cursor, edits)),
        _ => Ok(cursor.value().map(drop)?),
    }
}

fn object(node: &Node, replace: Option<&str>, cursor: &mut Cursor<'_>, edits: &mut Edits<'_>) -> Result<(), Failure> {
    let mut commas = Commas::default();
    let mut end = 0;
    // New names given, and names in the object that a key could collide with.
    // Neither allocates unless there is a rename.
    let mut given: Vec<&str> = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    cursor.object(|cursor, key| {
        let child = node.child(&key.name);
        let hit = child.is_some_and(|child| child.hit);
        if hit && replace.is_none() {
            cursor.value()?;
            end = cursor.position();
            commas.removed(key.span.start, end, edits);
            return Ok::<_, Failure>(());
        }
        commas.kept(key.span.start, edits);
        if let Some(rename) = child.and_then(|child| child.rename.as_ref()) {
            given.push(&rename.name);
            if rename.name != key.name {
                edits.put(key.span.start, key.span.end, &rename.text);
            }
        } else if node.renames_to(&key.name) {
            taken.push(key.name.into_owned());
        }
        match child {
            Some(_) if hit => mask(replace, cursor, edits)?,
            Some(child) => walk(child, replace, cursor, edits)?,
            None => {
                cursor.value()?;
            }
        }
        end = cursor.position();
        commas.end = Some(end);
        Ok(())
    })?;
    commas.close(end, edits);
    match taken.iter().find(|name| given.contains(&name.as_str())) {
        Some(name) => Err(Failure::poison("name-taken", format!("cannot rename a key to `{name}`: the object has one of that name"))),
        None => Ok(()),
    }
}

/// An array of which every element is masked, or removed.
fn array_of_hits(replace: Option<&str>, cursor: &mut Cursor<'_>, edits: &mut Edits<'_>) -> Result<(), Failure> {
    if replace.is_some() {
        return cursor.array(|cursor| mask(replace, cursor, edits));
    }
    let mut start = None;
    let mut end = 0;
    cursor.array(|cursor| {
        let value = cursor.value()?;
        start.get_or_insert(value.start);
        end = value.end;
        Ok::<_, Invalid>(())
    })?;
    if let Some(start) = start {
        edits.put(start, end, "");
    }
    Ok(())
}

fn mask(replace: Option<&str>, cursor: &mut Cursor<'_>, edits: &mut Edits<'_>) -> Result<(), Failure> {
    let value = cursor.value()?;
    if let Some(replace) = replace
        && cursor.text(value.clone()) != replace
    {
        edits.put(value.start, value.end, replace);
    }
    Ok(())
}
