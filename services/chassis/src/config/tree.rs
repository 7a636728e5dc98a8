//! Places in a tree of TOML tables, named by keys with dots between levels.

use toml::{Table, Value};

/// Words in the last part of a key that holds a secret.
const SECRET_WORDS: [&str; 3] = ["secret", "password", "setup_code"];
/// Keys of URLs with a password in them.
const SECRET_URLS: [&str; 2] = ["database.url", "bus.url"];

/// Whether what stands at `key` must not be shown. Where the secret is, may be.
pub(super) fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    let is_named = SECRET_WORDS.iter().any(|word| last.contains(word)) && !last.ends_with("_file");
    is_named || SECRET_URLS.contains(&key)
}

/// The key of `key` in the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What stands at `path`.
pub(super) fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let value = table.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => lookup(value.as_table()?, rest),
    }
}

/// What stands at `path`, to be changed.
pub(super) fn lookup_mut<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let next = value.as_table_mut()?.get_mut(first)?;
    match rest {
        None => Some(next),
        Some(rest) => lookup_mut(next, rest),
    }
}

/// Puts `value` at `key`, with the tables that lead there; what is no table gives way.
pub(super) fn put(whole: &mut Table, key: &str, value: Value) {
    let mut segments: Vec<_> = key.split('.').collect();
    let Some(last) = segments.pop() else { return };
    let mut table = whole;
    for segment in segments {
        let next = table.entry(segment).or_insert_with(|| Value::Table(Table::new()));
        if !next.is_table() {
            *next = Value::Table(Table::new());
        }
        let Value::Table(next) = next else { return };
        table = next;
    }
    table.insert(last.to_owned(), value);
}

/// Takes away what stands at `path`; says whether anything did.
pub(super) fn remove(value: &mut Value, path: &str) -> bool {
    let (parent, key) = path.rsplit_once('.').map_or((None, path), |(a, b)| (Some(a), b));
    let table = match parent {
        None => Some(value),
        Some(parent) => lookup_mut(value, parent),
    };
    table.and_then(Value::as_table_mut).is_some_and(|table| table.remove(key).is_some())
}

/// Makes every secret unreadable.
pub(super) fn mask(table: &mut Table) {
    mask_at("", table);
}

/// Hides who is named in a URL, which is where some put a password (RFC 3986 section 3.2.1).
fn hide_user(text: &mut String) {
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if let Some((user, _)) = authority.rsplit_once('@') {
        *text = format!("{scheme}://***{}", rest.get(user.len()..).unwrap_or_default());
    }
}

fn mask_at(path: &str, table: &mut Table) {
    for (key, value) in table.iter_mut() {
        let key = join(path, key);
        match value {
            Value::Table(inner) => mask_at(&key, inner),
            Value::String(text) if text.is_empty() => {}
            // A secret of digits alone is read as a number.
            _ if is_secret(&key) => *value = "***".into(),
            Value::String(text) => hide_user(text),
            Value::Array(all) => all.iter_mut().for_each(|one| {
                if let Value::String(text) = one {
                    hide_user(text);
                }
            }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_named_in_a_url_is_hidden_wherever_it_stands() {
        let mut table: Table = r#"
            [a]
            url = "https://x:SECRET@h:8/p@q?r"
            all = ["http://u:SECRET@127.0.0.1:9", "http://plain:80/a@b"]
            from = "Hubbub <hubbub@localhost>"
        "#
        .parse()
        .unwrap();
        mask(&mut table);
        let printed = table.to_string();
        assert!(!printed.contains("SECRET"), "{printed}");
        for kept in ["https://***@h:8/p@q?r", "http://***@127.0.0.1:9", "http://plain:80/a@b"] {
            assert!(printed.contains(kept), "{printed}");
        }
        assert!(printed.contains("<hubbub@localhost>"), "{printed}");
    }
}
